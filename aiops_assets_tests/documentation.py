"""README and the pages of the site, as text."""

import re
from pathlib import Path

from aiops_assets.settings import PROJECT_ROOT

README = PROJECT_ROOT / "README.md"
DOCS = PROJECT_ROOT / "docs"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)


def pages() -> list[Path]:
    """The site's pages; what is built lies below a folder whose name begins with an underscore."""
    found = (page for page in DOCS.rglob("*.md") if not any(part.startswith("_") for part in page.parts))
    return sorted(found, key=lambda page: page.relative_to(DOCS).as_posix())


def commands(page: Path) -> list[str]:
    """The commands of a page that its readers type: its bash blocks."""
    return [text for language, text in BLOCK.findall(page.read_text()) if language == "bash"]
