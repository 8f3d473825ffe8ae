"""Sphinx: pages in Markdown by MyST, the reference from docstrings by autodoc. Nothing is fetched from a network."""

import os
import sys
from pathlib import Path

import django

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
django.setup()

from notifications import __version__  # noqa: E402 - the path is set above

project = "django-klaxon"
author = "The django-klaxon authors"
project_copyright = author
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "show-inheritance": True}

html_theme = "furo"
html_title = f"django-klaxon {release}"
html_copy_source = False
