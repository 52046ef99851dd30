"""A page as a reader of it gets it: elements with their attributes and texts, and tables as rows of cells."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

VOID = {"meta", "img", "input", "br", "link", "hr"}


@dataclass
class Element:
    tag: str
    attributes: dict[str, str]
    children: list[Element | str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(child if isinstance(child, str) else child.text for child in self.children)

    def all(self, tag: str, **attributes: str) -> list[Element]:
        """Elements within this one by their tag and by classes, such as `all("figure", cls="chart")`."""
        wanted = attributes.get("cls")
        found = []
        for child in self.children:
            if isinstance(child, Element):
                if child.tag == tag and (wanted is None or wanted in child.attributes.get("class", "").split()):
                    found.append(child)
                found += child.all(tag, **attributes)
        return found


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open = [Element("", {})]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open[-1].children.append(Element(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].tag == tag, f"</{tag}> closes <{self.open[-1].tag}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def parsed(page: Path | str) -> Element:
    """The whole page; every element must be closed where it should be."""
    parser = _Parser()
    parser.feed(page.read_text(encoding="utf-8") if isinstance(page, Path) else page)
    parser.close()
    assert len(parser.open) == 1, f"<{parser.open[-1].tag}> is not closed"
    return parser.open[0]


def rows_of(table: Element) -> list[list[str]]:
    """Texts of a table's cells, row by row, the head first."""
    return [[cell.text for cell in row.children if isinstance(cell, Element)] for row in table.all("tr")]


def table_after(page: Element, section: str) -> list[list[str]]:
    """The first table in a section, by the section's id."""
    (found,) = [each for each in page.all("section") if each.attributes["id"] == section]
    return rows_of(found.all("table")[0])
