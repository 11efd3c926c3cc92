# SPDX-License-Identifier: MIT
# Sphinx: pages of Markdown, and the API from Doxygen's XML. `docs/build` runs both.
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[1]
project = "Tessera"
version = release = re.search(r'VERSION_STRING "([^"]+)"', (ROOT / "include/tessera/base/config.h").read_text())[1]
html_title = f"Tessera {version}"
html_theme = "furo"
html_copy_source = False
html_show_sphinx = html_show_copyright = False
html_static_path = ["static"]
html_css_files = ["wide.css"]
extensions = ["myst_parser", "breathe"]
breathe_projects = {"tessera": str(ROOT / "build/docs/doxygen/xml")}
breathe_default_project = "tessera"
breathe_default_members = ("members", "undoc-members")
breathe_show_include = False
primary_domain = highlight_language = "cpp"
cpp_id_attributes = ["TESSERA_C"]
c_id_attributes = ["TESSERA_C"]
myst_heading_anchors = 3
# Each page of the API opens namespace tessera again.
suppress_warnings = ["duplicate_declaration.cpp"]
