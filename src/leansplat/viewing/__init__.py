"""Viewing: scenes in a browser, on a page that this machine serves or on one that people can put anywhere."""

from __future__ import annotations

from leansplat.viewing.pages import standalone, write_folder, write_page
from leansplat.viewing.session import Viewing

__all__ = ["Viewing", "standalone", "write_folder", "write_page"]
