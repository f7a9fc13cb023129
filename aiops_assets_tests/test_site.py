"""README and the site: it builds without a warning, loads nothing from elsewhere, and names all that there is."""

import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import click
import pytest

from aiops_assets.commands.cli import main
from aiops_assets.service.instruments import Instruments
from aiops_assets.service.serving import app_of
from aiops_assets.settings import PROJECT_ROOT, Settings, load_settings
from aiops_assets_tests.documentation import DOCS, README, commands, pages

MIN_PAGES = 20
MAX_BYTES = 12_000
"""Of a page's text; one that is longer is read by nobody."""
LOADING = {"script": "src", "link": "href", "img": "src", "iframe": "src"}
"""Element -> the attribute that makes a browser load something."""
LINK = re.compile(r"\]\(([^)\s]+)\)")
TARGETS = re.findall(r"^([a-z-]+):.*##", (PROJECT_ROOT / "Makefile").read_text(), flags=re.MULTILINE)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site. Warnings are errors: links that lead nowhere, pages that nothing leads to."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-d", str(folder / "doctrees")]
    done = subprocess.run([*command, str(DOCS), str(folder / "html")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    return folder / "html"


def text_of(site: Path, page: str) -> str:
    return (site / page).read_text()


@pytest.mark.parametrize("name", list(Settings.model_fields))
def test_every_setting_is_in_the_site(site: Path, name: str) -> None:
    assert f">{name.upper()}<" in text_of(site, "reference/settings.html")


def leaves(name: str, command: click.Command) -> list[str]:
    """Each command as it is typed after `aiops`, those of groups among them."""
    if not isinstance(command, click.Group):
        return [name]
    return [leaf for part, inner in command.commands.items() for leaf in leaves(f"{name} {part}".strip(), inner)]


@pytest.mark.parametrize("name", sorted(leaves("", main)))
def test_every_command_is_in_the_site(site: Path, name: str) -> None:
    assert f"aiops {name}<" in text_of(site, "reference/commands.html")


@pytest.mark.parametrize("path", list(app_of(load_settings({}), demo=True).openapi()["paths"]))
def test_every_route_is_in_the_site(site: Path, path: str) -> None:
    assert f"{path}<" in text_of(site, "reference/api.html")


@pytest.mark.parametrize("name", [m.name for m in Instruments().registry.collect() if m.name.startswith("aiops")])
def test_every_metric_is_in_the_site(site: Path, name: str) -> None:
    assert f">{name}" in text_of(site, "reference/metrics.html")


def test_every_target_of_make_is_described() -> None:
    text = README.read_text() + (PROJECT_ROOT / "CONTRIBUTING.md").read_text()
    text += "".join(page.read_text() for page in pages())
    assert [target for target in TARGETS if target not in ("help", "clean") and f"make {target}" not in text] == []


def test_there_are_pages_and_none_is_too_long() -> None:
    assert len(pages()) >= MIN_PAGES
    assert {page.name: page.stat().st_size for page in pages() if page.stat().st_size > MAX_BYTES} == {}
    assert README.stat().st_size <= 8_000


def test_what_readme_links_to_is_there() -> None:
    links = [link for link in LINK.findall(README.read_text()) if not link.startswith("https://")]
    assert [link for link in links if not (PROJECT_ROOT / link.partition("#")[0]).exists()] == []


def test_no_page_loads_anything_from_another_host(site: Path) -> None:
    loaded = {link for page in site.rglob("*.html") for link in _loaded(page.read_text())}
    assert {link for link in loaded if re.match(r"(https?:)?//", link)} == set()


def _loaded(text: str) -> Iterator[str]:
    found: list[str] = []

    class Links(HTMLParser):
        def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
            given = dict(attributes)
            # An address for search engines is not loaded.
            if tag in LOADING and given.get("rel") != "canonical":
                found.append(given.get(LOADING[tag]) or "")

    Links().feed(text)
    yield from found


def test_each_block_of_commands_stands_once() -> None:
    blocks = [block for page in pages() for block in commands(page)]
    assert len(blocks) == len(set(blocks))
