"""Reports for people: texts, tables, plots and crops as a document, written as one HTML file and as Markdown.

`document` is what a report is made of, `writing` writes it; `charts`, `plots`, `crops` and `numbers` make its parts.
`page.css` and `page.js` are how a page looks and what it can do.
"""

from leansplat.report import numbers, plots
from leansplat.report.charts import Axis, Chart, Series
from leansplat.report.crops import Shot, cut_crops
from leansplat.report.document import (
    NOT_RUN,
    Block,
    Cells,
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
    Shares,
    Side,
    Table,
    Text,
    Whole,
    simple_table,
)
from leansplat.report.html import to_html
from leansplat.report.writing import write_document

__all__ = [
    "NOT_RUN",
    "Axis",
    "Block",
    "Cells",
    "Chart",
    "Charts",
    "Code",
    "Comparison",
    "Comparisons",
    "Document",
    "Fact",
    "Facts",
    "Fold",
    "Gallery",
    "Group",
    "Notes",
    "Page",
    "Picture",
    "Plot",
    "Section",
    "Series",
    "Shares",
    "Shot",
    "Side",
    "Table",
    "Text",
    "Whole",
    "cut_crops",
    "numbers",
    "plots",
    "simple_table",
    "to_html",
    "write_document",
]
