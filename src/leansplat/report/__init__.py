"""Reports for people: texts, tables, plots and crops as a document, written as one HTML file and as Markdown.

`document` is what a report is made of, and `writing` writes it; `plots`, `crops` and `numbers` make its parts.
"""

from leansplat.report import numbers, plots
from leansplat.report.crops import Shot, cut_crops
from leansplat.report.document import (
    NOT_RUN,
    Block,
    Cells,
    Document,
    Gallery,
    Group,
    Picture,
    Plot,
    Section,
    Table,
    Text,
    simple_table,
)
from leansplat.report.writing import write_document

__all__ = [
    "NOT_RUN",
    "Block",
    "Cells",
    "Document",
    "Gallery",
    "Group",
    "Picture",
    "Plot",
    "Section",
    "Shot",
    "Table",
    "Text",
    "cut_crops",
    "numbers",
    "plots",
    "simple_table",
    "write_document",
]
