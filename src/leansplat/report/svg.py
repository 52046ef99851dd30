"""SVG of plots made fit for two places: a file of its own, and a page that has a dark side.

Plots are drawn in two neutral colours, which a page replaces by its own text colours.
"""

from __future__ import annotations

import re
from html import escape

INK = "#16181d"
"""Colour of text and of what matters most."""

QUIET = "#868b94"
"""Colour of axes and references; readable on light and on dark."""


def tidy(svg: str, name: str) -> str:
    """The `<svg>` element alone, without metadata, with ids that no other drawing on a page has.

    Args:
        name: unique among drawings that share a page; letters, digits, "-", "_" and ".".
    """
    element = svg[svg.index("<svg") :]
    element = re.sub(r"\s*<metadata>.*?</metadata>", "", element, flags=re.DOTALL)
    element = re.sub(r'\bid="', f'id="{name}-', element)
    element = re.sub(r'(xlink:href="#|url\(#)', rf"\g<1>{name}-", element)
    return element.replace("*{", f"#{name} *{{", 1).replace("<svg ", f'<svg id="{name}" ', 1)


def standalone(svg: str) -> str:
    """An SVG file, on white."""
    start = svg.index(">") + 1
    background = '\n <rect width="100%" height="100%" fill="#ffffff"/>'
    return f'<?xml version="1.0" encoding="utf-8"?>\n{svg[:start]}{background}{svg[start:]}'


def inline(svg: str, title: str) -> str:
    """An element for a page: as wide as there is room, up to its own width, in the colours of the page."""
    start = svg.index(">")
    tag = svg[:start]
    width = re.search(r'width="([0-9.]+)pt"', tag)
    tag = re.sub(r' (width|height)="[0-9.]+pt"', "", tag)
    limit = f' style="max-width:{float(width[1]) * 4 / 3:.0f}px"' if width else ""
    return f'{tag} role="img" aria-label="{escape(title)}"{limit}{svg[start:].replace(INK, "currentColor")}'
