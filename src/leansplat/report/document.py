"""What a report is made of: sections of texts, tables, plots and pictures, without saying how they look.

A table has groups of columns, because one of the paper's has four numbers per dataset; a group without numbers is one
that has not been run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

NOT_RUN = "not run"


@dataclass(frozen=True)
class Text:
    """A paragraph; code in backquotes."""

    words: str


@dataclass(frozen=True)
class Group:
    """Columns of a table that belong together.

    Args:
        title: what stands above them; "" for nothing.
        heads: the head of each column.
    """

    title: str
    heads: tuple[str, ...]


Cells = tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """A table.

    Args:
        groups: the groups of columns.
        rows: each row has the cells of each group, or None for "not run".
        notes: sentences under the table.
    """

    groups: Sequence[Group]
    rows: Sequence[Sequence[Cells | None]]
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Plot:
    """A drawing.

    Args:
        name: the name of its file, without a suffix; unique in the report.
        title: what it shows, in a sentence.
        svg: the drawing, see `plots`.
    """

    name: str
    title: str
    svg: str


@dataclass(frozen=True)
class Picture:
    """A picture in a gallery.

    Args:
        name: the name of its file, without a suffix; unique in the report.
        caption: what stands under it.
        webp: the bytes of the file.
        width: its width in pixels.
    """

    name: str
    caption: str
    webp: bytes
    width: int


@dataclass(frozen=True)
class Gallery:
    """Pictures side by side."""

    pictures: Sequence[Picture]


Block = Text | Table | Plot | Gallery


@dataclass(frozen=True)
class Section:
    """A part of a report.

    Args:
        name: a short name, for links.
        title: the heading that people read.
    """

    name: str
    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Document:
    """A report."""

    title: str
    sections: Sequence[Section]

    def plots(self) -> list[Plot]:
        return [block for section in self.sections for block in section.blocks if isinstance(block, Plot)]

    def pictures(self) -> list[Picture]:
        galleries = [block for section in self.sections for block in section.blocks if isinstance(block, Gallery)]
        return [picture for gallery in galleries for picture in gallery.pictures]


def simple_table(heads: Sequence[str], rows: Sequence[Sequence[str]], notes: Sequence[str] = ()) -> Table:
    """A table without titles over its columns."""
    return Table([Group("", (head,)) for head in heads], [[(cell,) for cell in row] for row in rows], notes)
