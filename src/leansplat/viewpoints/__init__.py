"""Viewpoints: cameras for a scene that came without any, as a person would have held them."""

from __future__ import annotations

from leansplat.viewpoints.search import MadeUpViews, made_up_views
from leansplat.viewpoints.sheet import contact_sheet

__all__ = ["MadeUpViews", "contact_sheet", "made_up_views"]
