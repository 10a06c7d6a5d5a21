"""How Sphinx makes a site of the pages: `make docs`.

The pages are plain Markdown, for a code host and for a pager, and stay so: what a site needs beyond them is in tools/website.py.
The sources are the whole checkout, so that links to what is beside docs/ lead somewhere here, too.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from tools.website import VERSION, setup

__all__ = ["setup"]

project = "Mesos-DNS"
copyright = "the Mesos-DNS in Python maintainers, Apache 2.0"
version = release = VERSION
extensions = ["myst_parser"]
root_doc = "docs/index"
source_suffix = {".md": "markdown"}
include_patterns = ["*.md", "docs/**.md", "changes/README.md", "fuzz/README.md"]
# Folders that nobody has to search for pages.
exclude_patterns = [".*", "build", "dist", "src", "tests", "bench", "tools", "packaging"]
# The anchors of a code host: headings, in lower case, with dashes.
myst_heading_anchors = 4
nitpicky = True
html_theme = "furo"
html_title = f"Mesos-DNS {VERSION}"
html_copy_source = False
html_show_sphinx = False
