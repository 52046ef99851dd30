"""Viewing: scenes in a browser, on a page that this machine serves or on one that people can put anywhere."""

from __future__ import annotations

from leansplat.viewing.session import Viewing
from leansplat.viewing.standalone import standalone, write_folder, write_page

__all__ = ["Viewing", "standalone", "write_folder", "write_page"]
