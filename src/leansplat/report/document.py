"""What a report is made of: sections of texts, tables, plots and pictures, without saying how they look.

A table has groups of columns, because one of the paper's has four numbers per dataset; a group without numbers is one
that has not been run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from leansplat.report.charts import Chart

NOT_RUN = "not run"


@dataclass(frozen=True)
class Text:
    """A paragraph; code in backquotes, what is bold in double asterisks."""

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


@dataclass(frozen=True)
class Notes:
    """Sentences that stand in a list, such as what could not be shown."""

    sentences: Sequence[str]


@dataclass(frozen=True)
class Fact:
    """A number that people look for first.

    Args:
        value: with its unit.
        label: what it is.
    """

    value: str
    label: str


@dataclass(frozen=True)
class Facts:
    """Numbers in large print."""

    facts: Sequence[Fact]


@dataclass(frozen=True)
class Charts:
    """Charts side by side, as far as there is room."""

    charts: Sequence[Chart]


@dataclass(frozen=True)
class Whole:
    """What a whole is made of.

    Args:
        title: what it is of.
        unit: what is counted, such as "bytes".
        parts: the number of each part, by its name.
    """

    title: str
    unit: str
    parts: Mapping[str, int]


@dataclass(frozen=True)
class Shares:
    """What several wholes are made of, each as a bar and as a table, side by side as far as there is room."""

    wholes: Sequence[Whole]


@dataclass(frozen=True)
class Side:
    """One of several pictures of the same view.

    Args:
        label: what it is in a word, such as "before".
        alt: what it shows, for who cannot see it.
        webp: the bytes of the file.
        width, height: in pixels, the same for all sides.
        differs: whether it is not a picture of the view, but of how two of the others differ.
    """

    label: str
    alt: str
    webp: bytes
    width: int
    height: int
    differs: bool = False


@dataclass(frozen=True)
class Comparison:
    """Pictures of one view to wipe between.

    Args:
        name: the name of its files, without a suffix; unique in the report.
        title: which view it is.
        caption: what there is to say of it.
        sides: the pictures.
    """

    name: str
    title: str
    caption: str
    sides: Sequence[Side]


@dataclass(frozen=True)
class Comparisons:
    """Views side by side, as far as there is room."""

    views: Sequence[Comparison]


@dataclass(frozen=True)
class Code:
    """What can be typed or copied as it stands."""

    words: str


@dataclass(frozen=True)
class Page:
    """A whole HTML document of its own within the report.

    Args:
        title: what it shows.
        html: the document, which asks nothing of the network.
    """

    title: str
    html: str


@dataclass(frozen=True)
class Fold:
    """Blocks that are shown on request.

    Args:
        title: what they are.
    """

    title: str
    blocks: Sequence[Block]


Block = Text | Notes | Table | Plot | Gallery | Facts | Charts | Shares | Comparisons | Code | Page | Fold


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
    """A report.

    Args:
        title: the heading of all.
        lead: what comes before the first section.
        over, under: a line above the title and one at the end; "" for none.
    """

    title: str
    sections: Sequence[Section]
    lead: Sequence[Block] = ()
    over: str = ""
    under: str = ""

    def plots(self) -> list[Plot]:
        return [block for section in self.sections for block in section.blocks if isinstance(block, Plot)]

    def pictures(self) -> list[Picture]:
        galleries = [block for section in self.sections for block in section.blocks if isinstance(block, Gallery)]
        views = [view for section in self.sections for block in section.blocks for view in _views(block)]
        compared = [
            Picture(f"{view.name}-{number}", side.alt, side.webp, side.width)
            for view in views
            for number, side in enumerate(view.sides, 1)
        ]
        return [*(picture for gallery in galleries for picture in gallery.pictures), *compared]


def _views(block: Block) -> Sequence[Comparison]:
    return block.views if isinstance(block, Comparisons) else ()


def simple_table(heads: Sequence[str], rows: Sequence[Sequence[str]], notes: Sequence[str] = ()) -> Table:
    """A table without titles over its columns."""
    return Table([Group("", (head,)) for head in heads], [[(cell,) for cell in row] for row in rows], notes)
