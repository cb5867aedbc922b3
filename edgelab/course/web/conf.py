"""Sphinx's settings for the site; copied beside the pages that `edgelab.course.website` prepares."""

project = "Edge AI Acceleration Workbook"
author = "The workbook's authors"
copyright = "the workbook's authors, Apache License 2.0"
extensions = ["myst_nb", "sphinx_copybutton", "sphinx_togglebutton"]
exclude_patterns = ["_build"]
language = "en"

nb_execution_mode = "off"  # the chapters come executed
nb_render_markdown_format = "myst"
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3
suppress_warnings = ["myst.header", "mystnb.unknown_mime_type"]

html_theme = "sphinx_book_theme"
html_title = project
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = ["site.js"]
html_show_sourcelink = False
html_copy_source = False
html_show_search_summary = False  # would fetch pages, which a browser refuses for files
html_context = {"default_mode": "auto"}
html_theme_options = {
    "show_navbar_depth": 1,
    "use_download_button": False,
    "use_fullscreen_button": False,
    "show_toc_level": 2,
}
togglebutton_hint = "Show"
copybutton_selector = "div.cell_input div.highlight pre, div.highlight pre"
