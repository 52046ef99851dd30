"""A report as one HTML file: plots and pictures are in it, and it asks nothing of the network.

It follows the reader's choice of light or dark; wide tables scroll by themselves, so the page never does sideways.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from html import escape

from leansplat.report.document import NOT_RUN, Block, Cells, Document, Gallery, Plot, Table, Text
from leansplat.report.svg import inline

_STYLE = """
:root { color-scheme: light dark; --ink: #16181d; --quiet: #5d636d; --line: #d9dce1; --paper: #ffffff; --soft: #f5f6f8 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e8ec; --quiet: #a0a6b0; --line: #363b44; --paper: #14161a; --soft: #1d2026 }
}
* { box-sizing: border-box }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.55 system-ui, sans-serif }
main { max-width: 76rem; margin: 0 auto; padding: 2rem 1.25rem 5rem }
h1 { font-size: 1.8rem; line-height: 1.2; margin: 0 0 1rem }
h2 { font-size: 1.25rem; margin: 3rem 0 .75rem; padding-top: .75rem; border-top: 1px solid var(--line) }
p { max-width: 46rem }
a { color: inherit }
nav ol { columns: 18rem; margin: 0; padding-left: 1.5rem; color: var(--quiet) }
code { font-size: .9em; background: var(--soft); padding: .1em .3em; border-radius: .25em }
.wide { overflow-x: auto; margin: 1rem 0 }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums }
th, td { padding: .3rem .6rem; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line) }
th { font-weight: 600; vertical-align: bottom }
thead tr:first-child th[colspan] { text-align: center }
th:first-child, td:first-child { text-align: left; position: sticky; left: 0; background: var(--paper) }
.start { border-left: 1px solid var(--line) }
.words td, .words th { text-align: left; white-space: normal; vertical-align: top; min-width: 9rem }
.missing { color: var(--quiet); text-align: center; font-style: italic }
.note, figcaption { color: var(--quiet); font-size: .875rem; max-width: 46rem }
figure { margin: 1.5rem 0 }
figure svg { display: block; width: 100%; height: auto }
.gallery { display: grid; grid-template-columns: repeat(auto-fill, minmax(9rem, 1fr)); gap: 1rem }
.gallery figure { margin: 0 }
.gallery img { width: 100%; display: block; image-rendering: pixelated }
"""


def to_html(document: Document) -> str:
    """The text of report.html."""
    links = "\n".join(
        f'<li><a href="#{section.name}">{_words(section.title)}</a></li>' for section in document.sections
    )
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(document.title)}</title>",
        f"<style>{_STYLE}</style>",
        "</head>",
        "<body>",
        "<main>",
        f"<h1>{escape(document.title)}</h1>",
        f'<nav aria-label="Contents"><ol>\n{links}\n</ol></nav>',
    ]
    for section in document.sections:
        parts.append(f'<section id="{section.name}">\n<h2>{_words(section.title)}</h2>')
        parts += [_block(block) for block in section.blocks]
        parts.append("</section>")
    return "\n".join([*parts, "</main>", "</body>", "</html>", ""])


def _block(block: Block) -> str:
    if isinstance(block, Text):
        return f"<p>{_words(block.words)}</p>"
    if isinstance(block, Table):
        return "\n".join(_table(block))
    if isinstance(block, Plot):
        caption = f"<figcaption>{_words(block.title)}</figcaption>"
        return f"<figure>\n{inline(block.svg, block.title)}\n{caption}\n</figure>"
    return _gallery(block)


def _table(table: Table) -> Iterator[str]:
    longest = max((len(cell) for row in table.rows for cells in row for cell in cells or ()), default=0)
    yield f'<div class="wide"><table{" class=words" if longest > 60 else ""}>\n<thead>'
    if any(group.title for group in table.groups):
        titles = [
            f'<th class="start" colspan="{len(group.heads)}">{_words(group.title)}</th>' for group in table.groups
        ]
        yield f"<tr>{''.join(titles)}</tr>"
    yield f"<tr>{''.join(_cells(group.heads, 'th') for group in table.groups)}</tr>\n</thead>\n<tbody>"
    for row in table.rows:
        cells = [
            f'<td class="start missing" colspan="{len(group.heads)}">{NOT_RUN}</td>'
            if found is None
            else _cells(found, "td")
            for group, found in zip(table.groups, row, strict=True)
        ]
        yield f"<tr>{''.join(cells)}</tr>"
    yield "</tbody></table></div>"
    for note in table.notes:
        yield f'<p class="note">{_words(note)}</p>'


def _cells(cells: Cells, tag: str) -> str:
    first, *others = (_words(cell) for cell in cells)
    return f'<{tag} class="start">{first}</{tag}>' + "".join(f"<{tag}>{cell}</{tag}>" for cell in others)


def _gallery(gallery: Gallery) -> str:
    figures = [
        f'<figure><img alt="{escape(picture.caption)}" src="data:image/webp;base64,'
        f'{base64.b64encode(picture.webp).decode()}"><figcaption>{_words(picture.caption)}</figcaption></figure>'
        for picture in gallery.pictures
    ]
    return '<div class="gallery">\n' + "\n".join(figures) + "\n</div>"


def _words(text: str) -> str:
    """Text as HTML, with what is in backquotes as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text, quote=False))
