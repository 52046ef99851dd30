"""A report as Markdown, for a repository: plots and pictures are files beside it.

Markdown has no titles over several columns, so a group of columns becomes one column with its numbers between slashes.
"""

from __future__ import annotations

from collections.abc import Iterator

from leansplat.report.document import NOT_RUN, Block, Cells, Document, Gallery, Plot, Table, Text
from leansplat.report.numbers import NONE

PLOTS, PICTURES = "plots", "crops"
"""Folders beside report.md."""


def to_markdown(document: Document) -> str:
    """The text of report.md."""
    lines = [f"# {document.title}", ""]
    for section in document.sections:
        lines += [f"## {section.title}", ""]
        for block in section.blocks:
            lines += [*_block(block), ""]
    return "\n".join(lines)


def _block(block: Block) -> Iterator[str]:
    if isinstance(block, Text):
        yield block.words
    elif isinstance(block, Table):
        yield from _table(block)
    elif isinstance(block, Plot):
        yield f"![{block.title}]({PLOTS}/{block.name}.svg)"
        yield ""
        yield f"*{block.title}*"
    else:
        yield from _gallery(block)


def _table(table: Table) -> Iterator[str]:
    heads = [
        f"{group.title}: {' / '.join(group.heads)}" if group.title else " / ".join(group.heads)
        for group in table.groups
    ]
    yield _row(heads)
    yield _row(["---"] * len(heads))
    for row in table.rows:
        yield _row([_cell(cells) for cells in row])
    for note in table.notes:
        yield ""
        yield note


def _cell(cells: Cells | None) -> str:
    if cells is None:
        return NOT_RUN
    return NONE if set(cells) == {NONE} else " / ".join(cells).replace("|", "/").replace("<", "&lt;")


def _gallery(gallery: Gallery) -> Iterator[str]:
    yield _row([picture.caption for picture in gallery.pictures])
    yield _row(["---"] * len(gallery.pictures))
    images = [
        f'<img src="{PICTURES}/{picture.name}.webp" width="{max(picture.width, 160)}">' for picture in gallery.pictures
    ]
    yield _row(images)


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
