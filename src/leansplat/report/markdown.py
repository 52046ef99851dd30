"""A report as Markdown, for a repository: plots and pictures are files beside it.

Markdown has no titles over several columns, so a group of columns becomes one column with its numbers between slashes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from leansplat.report.charts import numbers_of
from leansplat.report.document import (
    NOT_RUN,
    Block,
    Cells,
    Charts,
    Code,
    Comparisons,
    Document,
    Facts,
    Fold,
    Gallery,
    Notes,
    Page,
    Picture,
    Plot,
    Shares,
    Table,
    Text,
    simple_table,
)
from leansplat.report.numbers import NONE

PLOTS, PICTURES = "plots", "crops"
"""Folders beside report.md."""


def to_markdown(document: Document) -> str:
    """The text of report.md."""
    lines = [f"# {document.title}", ""]
    for block in document.lead:
        lines += [*_block(block), ""]
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
    elif isinstance(block, Gallery):
        yield from _pictures(block.pictures)
    elif isinstance(block, Notes):
        yield from (f"- {sentence}" for sentence in block.sentences)
    elif isinstance(block, Facts):
        yield from (f"- **{fact.value}** {fact.label}" for fact in block.facts)
    elif isinstance(block, Charts):
        for chart in block.charts:
            yield from (f"**{chart.title}**", "", *_table(simple_table(*numbers_of(chart))), "")
    elif isinstance(block, Shares):
        for whole in block.wholes:
            rows = [[name, f"{size:,}"] for name, size in whole.parts.items()]
            yield from (f"**{whole.title}**", "", *_table(simple_table(["part", whole.unit], rows)), "")
    elif isinstance(block, Comparisons):
        for view in block.views:
            sides = [
                Picture(f"{view.name}-{n}", side.label, side.webp, side.width) for n, side in enumerate(view.sides, 1)
            ]
            yield from (f"**{view.title}**", "", *_pictures(sides), "", view.caption, "")
    elif isinstance(block, Code):
        yield from ("```", block.words, "```")
    elif isinstance(block, Page):
        yield f"{block.title} is in report.html."
    elif isinstance(block, Fold):
        yield f"**{block.title}**"
        for inner in block.blocks:
            yield from ("", *_block(inner))


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


def _pictures(pictures: Sequence[Picture]) -> Iterator[str]:
    yield _row([picture.caption for picture in pictures])
    yield _row(["---"] * len(pictures))
    images = [f'<img src="{PICTURES}/{picture.name}.webp" width="{max(picture.width, 160)}">' for picture in pictures]
    yield _row(images)


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
