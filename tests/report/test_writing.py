"""A report of anybody's own: what they put into a document is in both files, and the files are whole."""

from __future__ import annotations

import io
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image

from leansplat.errors import InputError
from leansplat.report import (
    Document,
    Gallery,
    Group,
    Picture,
    Plot,
    Section,
    Table,
    Text,
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


def test_words_in_tables_cannot_break_out_of_either_page() -> None:
    mean = Document("a", [Section("s", "b", [simple_table(["h"], [["<script>x</script> | y"]])])])
    assert "<script>" not in to_html(mean)
    assert to_markdown(mean).splitlines()[-2].count("|") == 2
