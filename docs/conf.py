"""How Sphinx builds the site: `make docs`. Nothing is loaded from another host, neither here nor by a reader."""

import sys
from pathlib import Path

from aiops_assets import __version__

sys.path.insert(0, str(Path(__file__).parent / "extensions"))

project = "aiops_assets"
author = "the aiops_assets developers"
copyright = "the aiops_assets developers, Apache-2.0"
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "from_code"]
exclude_patterns = ["extensions", "_build"]
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]
autodoc_member_order = "bysource"
autodoc_typehints = "signature"

html_theme = "furo"
html_title = f"aiops_assets {__version__}"
html_show_sphinx = False
html_copy_source = False
