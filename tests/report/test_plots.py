"""Drawings: the same bytes every time, safe to put beside each other on a page, names that do not overlap."""

from __future__ import annotations

import re
import sys
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leansplat.errors import InputError
from leansplat.report.plots import Line, Look, Panel, draw_histogram, draw_lines, nth_look, spread
from leansplat.report.svg import INK, QUIET, inline, standalone

LINES = [
    Line("gradient", [(10.0, 27.0), (40.0, 28.0)], nth_look(0)),
    Line("opacity & more", [(12.0, 26.0), (40.0, 28.1)], nth_look(1), ["5 %", "25 %"]),
    Line("30k", [(80.0, 28.2)], Look(QUIET, "--", "*", level=True)),
    Line("never run", [], nth_look(2)),
]


def drawing(name: str = "one") -> str:
    return draw_lines(name, [Panel("size, MB", "PSNR, dB", LINES), Panel("size, MB", "SSIM", LINES[:1])])


def ids(svg: str) -> list[str]:
    return re.findall(r'\bid="([^"]+)"', svg)


def test_the_same_numbers_give_the_same_bytes_without_a_date() -> None:
    assert drawing() == drawing()
    assert "date" not in drawing()


def test_a_drawing_names_its_axes_and_every_line_that_has_points() -> None:
    shown = "".join(ElementTree.fromstring(drawing()).itertext())
    for words in ("size, MB", "PSNR, dB", "SSIM", "gradient", "opacity & more", "30k", "25 %"):
        assert words in shown
    assert "never run" not in shown


def test_a_panel_without_points_says_not_run() -> None:
    assert "not run" in draw_lines("empty", [Panel("x", "y", LINES[3:])])


def test_points_of_one_size_can_be_drawn() -> None:
    same = [Line("one", [(5.0, 1.0)], nth_look(0)), Line("other", [(5.0, 1.0)], nth_look(1))]
    assert ElementTree.fromstring(draw_lines("same", [Panel("x", "y", same)])) is not None


def test_drawings_on_one_page_share_no_id_and_refer_to_their_own() -> None:
    one, other = drawing("one"), drawing("other")
    assert len(ids(one)) == len(set(ids(one)))
    assert not set(ids(one)) & set(ids(other))
    for svg in (one, other):
        references = set(re.findall(r'(?:href="#|url\(#)([^")]+)', svg))
        assert references
        assert references <= set(ids(svg))


def test_on_a_page_a_drawing_takes_the_colours_of_the_text_and_has_a_name() -> None:
    element = inline(drawing(), 'about "this" & that')
    assert INK not in element
    assert "currentColor" in element
    assert ElementTree.fromstring(element).get("aria-label") == 'about "this" & that'
    assert ElementTree.fromstring(element).get("width") is None


def test_a_file_of_its_own_is_on_white() -> None:
    root = ElementTree.fromstring(standalone(drawing()).encode())
    assert root[0].tag.endswith("rect")
    assert root[0].get("fill") == "#ffffff"


def test_a_histogram_names_both_its_sides() -> None:
    svg = draw_histogram("h", [0.5, 0.25, 0.25, 0.0], [0.1, 0.2, 0.3, 0.4], ("before", "after"), "opacity")
    shown = "".join(ElementTree.fromstring(svg).itertext())
    for words in ("before", "after", "opacity", "%"):
        assert words in shown


def test_looks_can_be_told_apart_without_colour() -> None:
    looks = [nth_look(index) for index in range(9)]
    assert len({(look.mark, look.filled) for look in looks}) == len(looks)


def test_without_matplotlib_a_sentence_says_what_to_install(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(InputError, match="pip install matplotlib"):
        drawing()


@given(st.lists(st.floats(-50, 150), max_size=9))
def test_names_keep_their_order_and_distance_and_stay_inside(places: list[float]) -> None:
    moved = spread(places, 10.0, 0.0, 100.0)
    order = sorted(range(len(places)), key=lambda index: places[index])
    for low, high in pairwise(order):
        assert moved[high] - moved[low] >= 10.0 - 1e-9
    assert all(0 <= place <= 100 for place in moved)


def test_names_that_have_room_stay_where_they_are() -> None:
    assert spread([30.0, 10.0, 55.0], 10.0, 0.0, 100.0) == [30.0, 10.0, 55.0]
