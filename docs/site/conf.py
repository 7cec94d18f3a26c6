"""Settings of Sphinx; docs/site/__main__.py runs it."""

import sys
from importlib.metadata import version as installed
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

project = "tcnfast"
version = release = installed("tcnfast")
copyright = "the authors of tcnfast, Apache-2.0"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
source_suffix = {".md": "markdown"}
exclude_patterns = []

myst_heading_anchors = 3
myst_enable_extensions = ["attrs_inline", "attrs_block"]
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_class_signature = "separated"
toc_object_entries = False
python_maximum_signature_line_length = 90
suppress_warnings = ["misc.highlighting_failure"]  # a lexer meets a language that is newer than it

html_theme = "pydata_sphinx_theme"
html_title = "tcnfast"
html_static_path = [str(Path(__file__).parent / "static")]
html_css_files = ["tcnfast.css"]
html_show_sourcelink = False
html_copy_source = False
html_context = {"default_mode": "auto"}
html_sidebars = {"index": [], "faq": []}  # they have nothing below them
html_theme_options = {
    "navigation_with_keys": False,
    "show_prev_next": True,
    "navbar_align": "left",
    "header_links_before_dropdown": 6,
    "navbar_end": ["theme-switcher"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "show_toc_level": 2,
    "collapse_navigation": True,
    "secondary_sidebar_items": ["page-toc"],
}
