"""A report of anybody's own: what they put into a document is in both files, and the files are whole."""

from __future__ import annotations

import io
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image
from support.html_page import parsed

from leansplat.errors import InputError
from leansplat.report import (
    Axis,
    Chart,
    Charts,
    Code,
    Comparison,
    Comparisons,
    Document,
    Fact,
    Facts,
    Fold,
    Gallery,
    Group,
    Notes,
    Page,
    Picture,
    Plot,
    Section,
    Series,
    Shares,
    Side,
    Table,
    Text,
    Whole,
    plots,
    simple_table,
    write_document,
)
from leansplat.report.html import to_html
from leansplat.report.markdown import to_markdown


def document() -> Document:
    image = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(image, "WEBP", lossless=True)
    line = plots.Line("mine", [(1.0, 20.0), (10.0, 30.0)], plots.nth_look(0))
    drawing = plots.draw_lines("sizes", [plots.Panel("MB", "PSNR, dB", [line])])
    groups = [Group("", ("scene",)), Group("the garden", ("PSNR", "MB"))]
    blocks = [
        Text("What `shrink` did."),
        Table(groups, [[("small",), ("31.2", "4.5")], [("smaller",), None]], ["Bytes count 10^6 to the MB."]),
        Plot("sizes", "Quality over size", drawing),
        Gallery([Picture("view", "one view", image.getvalue(), 8)]),
    ]
    return Document("My scenes", [Section("small", "How small they are", blocks)])


def test_all_of_a_document_is_in_both_files(tmp_path: Path) -> None:
    files = write_document(document(), tmp_path / "out")
    assert [str(path.relative_to(tmp_path / "out")) for path in files] == [
        "report.html",
        "report.md",
        "plots/sizes.svg",
        "crops/view.webp",
    ]
    for path in files[:2]:
        text = path.read_text(encoding="utf-8")
        for words in ("My scenes", "How small they are", "31.2", "not run", "10^6", "Quality over size", "one view"):
            assert words in text, (path, words)
    assert "<code>shrink</code>" in files[0].read_text(encoding="utf-8")
    assert ElementTree.parse(files[2]).getroot().tag.endswith("svg")
    assert Image.open(files[3]).size == (8, 8)


def test_the_same_document_gives_the_same_bytes(tmp_path: Path) -> None:
    one, other = (write_document(document(), tmp_path / name) for name in ("one", "other"))
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in other]


def test_an_earlier_report_is_replaced_only_on_request(tmp_path: Path) -> None:
    write_document(document(), tmp_path)
    with pytest.raises(InputError, match=r"report\.html already exists"):
        write_document(document(), tmp_path)
    assert write_document(document(), tmp_path, overwrite=True)


def test_every_kind_of_block_is_in_both_files() -> None:
    image = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(image, "WEBP")
    sides = [
        Side(label, f"{label} of it", image.getvalue(), 8, 8, label == "apart") for label in ("one", "two", "apart")
    ]
    chart = Chart("Seen over time", Axis("hours"), Axis("owls"), [Series("wood", [(1, 2), (3, 4)])])
    blocks = [
        Notes(["what was missing"]),
        Facts([Fact("4.0×", "smaller")]),
        Charts([chart]),
        Shares([Whole("owls by kind", "owls", {"tawny": 3, "barn": 1})]),
        Comparisons([Comparison("night", "The worst night", "no moon", sides)]),
        Code("leansplat demo"),
        Fold("more of it", [Text("the rest")]),
    ]
    made = Document("Owls", [Section("s", "Seen", blocks)], [Text("at **first**")], "kept by night", "the end")
    page, text = to_html(made), to_markdown(made)
    for words in (
        *("what was missing", "4.0×", "Seen over time", "wood", "owls by kind", "tawny", "The worst night", "no moon"),
        *("leansplat demo", "more of it", "the rest"),
    ):
        assert words in page, words
        assert words in text, words
    assert "<strong>first</strong>" in page
    assert "75.0%" in page
    assert [picture.name for picture in made.pictures()] == ["night-1", "night-2", "night-3"]
    found = parsed(page)
    assert [side.attributes["alt"] for side in found.all("img")] == [f"{side.label} of it" for side in sides]
    assert ["data-differs" in side.attributes for side in found.all("figure", cls="side")] == [False, False, True]


def test_a_page_within_the_page_lets_its_scripts_run_and_still_asks_nothing() -> None:
    inner = '<!DOCTYPE html><title>a "viewer"</title><script>run()</script>'
    page = parsed(to_html(Document("d", [Section("s", "S", [Page("The scene", inner)])])))
    (frame,) = page.all("iframe")
    assert frame.attributes["srcdoc"] == inner
    assert frame.attributes["title"] == "The scene"
    (policy,) = [each.attributes["content"] for each in page.all("meta") if "http-equiv" in each.attributes]
    assert policy.startswith("default-src 'none';")
    assert "http" not in policy


def test_words_in_tables_cannot_break_out_of_either_page() -> None:
    mean = Document("a", [Section("s", "b", [simple_table(["h"], [["<script>x</script> | y"]])])])
    assert "<script>x" not in to_html(mean)
    assert to_markdown(mean).splitlines()[-2].count("|") == 2
