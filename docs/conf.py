"""The site of the documentation: ``sphinx-build -c docs . site`` from the checkout. Nothing is loaded from elsewhere.

The source is the whole checkout, so that links between pages, notebooks, code and data are the same here and on GitHub.
"""

from __future__ import annotations

import xr_cbottle

project = "xr_cbottle"
author = "The xr_cbottle developers"
version = release = xr_cbottle.__version__
html_title = f"xr_cbottle {release}"

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinxarg.ext",
]
if tags.has("brief"):  # noqa: F821  # tests, of what people wrote: to show the code of all modules takes long
    extensions.remove("sphinx.ext.viewcode")
root_doc = "docs/index"
include_patterns = ["docs/**", "examples/**", "*.md"]
exclude_patterns = ["**/node_modules", "README.md", "**/.ipynb_checkpoints", "examples/simulations/sim"]
suppress_warnings = ["myst.header"]  # pages of examples begin where they like

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3  # as GitHub makes them
nb_execution_mode = "off"  # tests run the notebooks; here they are shown as they are kept

default_role = "py:obj"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_member_order = "bysource"
napoleon_use_ivar = True
# What is returned is told in a sentence, and its type is in the signature.
napoleon_custom_sections = [("Returns", "notes_style"), ("Yields", "notes_style")]

html_theme = "furo"
html_theme_options = {"navigation_with_keys": True}
html_extra_path = ["site"]  # the first page, which leads to the root document
html_copy_source = False
html_show_sourcelink = False
copybutton_exclude = ".linenos, .gp, .go"
