"""Charts of a page: every point is where its values are, said in words and in a table, and readable in both themes."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from xml.etree import ElementTree

import pytest
from support.html_page import parsed, rows_of

from leansplat.report import Axis, Chart, Charts, Document, Section, Series, to_html
from leansplat.report.charts import COLORS, described, numbers_of, svg_of, thinned

SVG = "{http://www.w3.org/2000/svg}"


def drawing(chart: Chart) -> ElementTree.Element:
    return ElementTree.fromstring(svg_of(chart).replace("<svg ", f'<svg xmlns="{SVG[1:-1]}" ', 1))


def points(group: ElementTree.Element) -> list[list]:
    return json.loads(group.attrib["data-points"])


LINES = Chart(
    "Loss",
    Axis("steps", ",.0f"),
    Axis("loss", ".3f", log=True),
    [
        Series("first & <second>", [(0.0, 1.0), (100.0, 0.1), (200.0, 0.01)]),
        Series("other's", [(50.0, 0.5), (150.0, 0.05)], color=1),
        Series("empty", [], color=2),
    ],
)


def test_points_lie_where_their_values_are_on_linear_and_logarithmic_axes() -> None:
    first, other = (points(group) for group in drawing(LINES).iter(f"{SVG}g") if "data-points" in group.attrib)
    (x0, y0, *_), (x1, y1, *_), (x2, y2, *_) = first
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2)  # equal steps
    assert y1 - y0 == pytest.approx(y2 - y1, abs=0.2)  # equal factors
    assert y0 < y2  # larger is higher
    assert other[0][0] == pytest.approx((x0 + x1) / 2, abs=0.2)
    assert [point[2:] for point in first] == [["0", "1.000"], ["100", "0.100"], ["200", "0.010"]]


def test_a_series_is_drawn_through_its_points_and_an_empty_one_is_left_out() -> None:
    groups = [group for group in drawing(LINES).iter(f"{SVG}g") if "data-points" in group.attrib]
    assert [group.attrib["data-series"] for group in groups] == ["first & <second>", "other's"]
    for group in groups:
        (line,) = [path for path in group.iter(f"{SVG}path") if path.attrib["class"] == "line"]
        drawn = [tuple(map(float, pair.split())) for pair in line.attrib["d"].lstrip("M").split("L")]
        assert drawn == [tuple(point[:2]) for point in points(group)]


@pytest.mark.parametrize("kind", ["lines", "points", "steps"])
@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("values", [[(1.0, 1.0)], [(1.0, 3.0), (1.0, 3.0)], [(1e-6, 1e9), (1e6, 1e-9)], []])
def test_whatever_the_values_are_all_of_it_is_on_the_drawing(
    kind, log: bool, values: list[tuple[float, float]]
) -> None:
    chart = Chart("t", Axis("x", log=log), Axis("y", log=log), [Series("s", values)], kind)
    tree = drawing(chart)
    _, _, width, height = map(float, tree.attrib["viewBox"].split())
    for group in tree.iter(f"{SVG}g"):
        for point in points(group):
            assert 0 <= point[0] <= width
            assert 0 <= point[1] <= height
    ticks = [text for text in tree.iter(f"{SVG}text") if text.attrib["class"] == "tick"]
    assert 2 <= len(ticks) <= 14


def test_a_histogram_says_the_ends_of_its_bins() -> None:
    chart = Chart("h", Axis("x", ".1f"), Axis("y", ".0f", low=0), [Series("s", [(0, 5), (1, 10), (2, 0)])], "steps")
    (group,) = [group for group in drawing(chart).iter(f"{SVG}g") if "data-points" in group.attrib]
    assert [point[2:] for point in points(group)] == [["0.0 to 1.0", "5"], ["1.0 to 2.0", "10"]]


def test_names_beside_points_do_not_lie_over_each_other() -> None:
    chart = Chart(
        "q",
        Axis("x", log=True),
        Axis("y"),
        [Series(f"a long name {n}", [(1.0 + 0.01 * n, 30.0 + 0.01 * n)], color=n) for n in range(9)]
        + [Series("far", [(100.0, 35.0)])],
        "points",
    )
    boxes = []
    for text in drawing(chart).iter(f"{SVG}text"):
        if text.attrib["class"] == "name":
            wide = 6.0 * len(text.text or "")
            left = float(text.attrib["x"]) - {"start": 0, "middle": wide / 2, "end": wide}[text.attrib["text-anchor"]]
            boxes.append((left, float(text.attrib["y"]), left + wide))
    assert 2 <= len(boxes) < 10
    for number, (left, y, right) in enumerate(boxes):
        for other_left, other_y, other_right in boxes[:number]:
            assert right <= other_left or other_right <= left or abs(y - other_y) > 8


def test_words_and_a_table_say_what_the_drawing_shows() -> None:
    assert "goes from 1.000 to 0.010" in described(LINES)
    head, rows = numbers_of(LINES)
    assert head == ["series", "steps", "loss"]
    assert ["other's", "150", "0.050"] in rows
    page = parsed(to_html(Document("d", [Section("s", "S", [Charts([LINES])])])))
    (chart,) = page.all("figure", cls="chart")
    assert rows_of(chart.all("table")[0])[1:] == rows
    assert [button.text for button in chart.all("button")] == ["first & <second>", "other's"]


def test_a_long_series_is_thinned_between_its_ends() -> None:
    many = [(float(n), float(n)) for n in range(1001)]
    assert thinned(many, 11) == [(float(n), float(n)) for n in range(0, 1001, 100)]
    assert thinned(many[:5], 11) == many[:5]


# Colours


def themes() -> list[dict[str, str]]:
    """The colours of the light and of the dark page, by name."""
    style = files("leansplat.report").joinpath("page.css").read_text("utf-8")
    light, dark = re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    found = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", light))
    return [found, found | dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", dark))]


def contrast(one: str, other: str) -> float:
    """By WCAG 2.2: (L1 + 0.05) / (L2 + 0.05) of the relative luminances, the lighter first."""

    def luminance(color: str) -> float:
        shares = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        red, green, blue = (v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in shares)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", themes(), ids=["light", "dark"])
def test_text_and_lines_stand_out_in_both_themes(theme: dict[str, str]) -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    for ground in ("paper", "soft"):
        for text in ("ink", "quiet", "accent"):
            assert contrast(theme[text], theme[ground]) >= 4.5, (text, ground)
    for number in range(COLORS):
        assert contrast(theme[f"c{number}"], theme["paper"]) >= 3, number
    assert len({theme[f"c{number}"] for number in range(COLORS)}) == COLORS
