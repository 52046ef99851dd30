"""A report as one HTML file: plots and pictures are in it, and it asks nothing of the network.

It follows the reader's choice of light or dark; wide tables scroll by themselves, so the page never does sideways.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator, Sequence
from html import escape
from importlib.resources import files

from leansplat.report.charts import COLORS, Chart, Series, numbers_of, svg_of, swatch_of
from leansplat.report.document import (
    NOT_RUN,
    Block,
    Cells,
    Charts,
    Code,
    Comparison,
    Comparisons,
    Document,
    Facts,
    Fold,
    Gallery,
    Notes,
    Page,
    Plot,
    Shares,
    Table,
    Text,
    Whole,
    simple_table,
)
from leansplat.report.svg import inline

_STYLE, _SCRIPT = "page.css", "page.js"
"""Beside this module."""


def to_html(document: Document) -> str:
    """The text of report.html."""
    links = "\n".join(
        f'<li><a href="#{section.name}">{_words(section.title)}</a></li>' for section in document.sections
    )
    style, script = (files("leansplat.report").joinpath(name).read_text("utf-8") for name in (_STYLE, _SCRIPT))
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_policy(document, script)}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(document.title)}</title>",
        f"<style>{style}</style>",
        "</head>",
        "<body>",
        "<main>",
        f'<p class="over">{_words(document.over)}</p>' if document.over else "",
        f"<h1>{_words(document.title)}</h1>",
        *(_block(block) for block in document.lead),
        f'<nav aria-label="Contents"><ol>\n{links}\n</ol></nav>',
    ]
    for section in document.sections:
        parts.append(f'<section id="{section.name}">\n<h2>{_words(section.title)}</h2>')
        parts += [_block(block) for block in section.blocks]
        parts.append("</section>")
    foot = [f"<footer>{_words(document.under)}</footer>"] if document.under else []
    return "\n".join([*parts, *foot, "</main>", f"<script>{script}</script>", "</body>", "</html>", ""])


def _policy(document: Document, script: str) -> str:
    """What a browser may do for the page: show what is in it, run this one script, and fetch nothing from anywhere.

    A page within it has scripts of its own, for which this policy counts, too.
    """
    within = any(isinstance(block, Page) for section in document.sections for block in section.blocks)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    own = f"script-src 'sha256-{digest}'; img-src data:"
    pages = (
        "script-src 'unsafe-inline' 'wasm-unsafe-eval' blob: data:; worker-src blob: data:; connect-src blob: data:; "
        "img-src data: blob:; media-src data: blob:; frame-src 'self'"
    )
    always = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
    return f"{always}; {pages if within else own}"


def _block(block: Block) -> str:
    if isinstance(block, Text):
        return f"<p>{_words(block.words)}</p>"
    if isinstance(block, Table):
        return "\n".join(_table(block))
    if isinstance(block, Plot):
        caption = f"<figcaption>{_words(block.title)}</figcaption>"
        return f"<figure>\n{inline(block.svg, block.title)}\n{caption}\n</figure>"
    if isinstance(block, Notes):
        return '<ul class="notes">\n' + "\n".join(f"<li>{_words(text)}</li>" for text in block.sentences) + "\n</ul>"
    if isinstance(block, Facts):
        facts = [
            f"<li><strong>{_words(fact.value)}</strong><span>{_words(fact.label)}</span></li>" for fact in block.facts
        ]
        return '<ul class="facts">\n' + "\n".join(facts) + "\n</ul>"
    if isinstance(block, Charts):
        return '<div class="charts">\n' + "\n".join(map(_chart, block.charts)) + "\n</div>"
    if isinstance(block, Shares):
        return (
            '<div class="wholes">\n' + "\n".join(line for each in block.wholes for line in _shares(each)) + "\n</div>"
        )
    if isinstance(block, Comparisons):
        return '<div class="comparisons">\n' + "\n".join(map(_comparison, block.views)) + "\n</div>"
    if isinstance(block, Code):
        return f"<div><pre><code>{escape(block.words, quote=False)}</code></pre></div>"
    if isinstance(block, Page):
        title = escape(block.title)
        return f'<iframe title="{title}" loading="lazy" srcdoc="{escape(block.html)}"></iframe>'
    if isinstance(block, Fold):
        inner = "\n".join(map(_block, block.blocks))
        return f"<details><summary>{_words(block.title)}</summary>\n{inner}\n</details>"
    return _gallery(block)


def _chart(chart: Chart) -> str:
    """A drawing with its legend and its numbers."""
    title = _words(chart.title)
    if not chart.drawn:
        return f'<figure class="chart"><h3>{title}</h3><p class="note">{NOT_RUN}</p></figure>'
    buttons = [_legend(chart, series) for series in chart.drawn]
    head, rows = numbers_of(chart)
    return "\n".join(
        [
            f'<figure class="chart" data-kind="{chart.kind}" data-x="{escape(chart.x.label)}">',
            f"<h3>{title}</h3>",
            f'<ul class="legend">{"".join(buttons)}</ul>',
            svg_of(chart),
            '<details class="numbers"><summary>Numbers</summary>',
            *_table(simple_table(head, rows)),
            "</details></figure>",
        ]
    )


def _legend(chart: Chart, series: Series) -> str:
    """A button that says what a series is, and with a script hides it."""
    button = f'<button type="button" aria-pressed="true" data-series="{escape(series.name)}">'
    return f"<li>{button}{swatch_of(chart, series)}{_words(series.name)}</button></li>"


def _shares(shares: Whole) -> Iterator[str]:
    whole = sum(shares.parts.values())
    parts = sorted(((size, name) for name, size in shares.parts.items() if size > 0), reverse=True)
    said = ", ".join(f"{name} {size / whole:.1%}" for size, name in parts)
    yield f'<div class="whole"><h3>{_words(shares.title)}</h3>'
    yield f'<div class="bar" role="img" aria-label="{escape(f"{shares.title}: {said}")}">'
    for number, (size, name) in enumerate(parts):
        share = escape(f"{name}: {size / whole:.1%}")
        yield f'<span class="c{number % COLORS}" style="flex:{size}" title="{share}"></span>'
    yield "</div>"
    yield '<div class="wide" tabindex="0" role="region" aria-label="Table"><table>\n<thead>'
    yield f'<tr><th scope="col">part</th><th scope="col">{escape(shares.unit)}</th><th scope="col">share</th></tr>'
    yield "</thead>\n<tbody>"
    for number, (size, name) in enumerate(parts):
        swatch = f'<span class="swatch c{number % COLORS}" aria-hidden="true"></span>'
        yield f'<tr><th scope="row">{swatch}{_words(name)}</th><td>{size:,}</td><td>{size / whole:.1%}</td></tr>'
    yield f'<tr><th scope="row">all</th><td>{whole:,}</td><td>100.0%</td></tr>'
    yield "</tbody></table></div></div>"


def _comparison(view: Comparison) -> str:
    sides = [
        f'<figure class="side"{" data-differs" if side.differs else ""}><img alt="{escape(side.alt)}" '
        f'width="{side.width}" height="{side.height}" src="{_data(side.webp)}">'
        f"<figcaption>{_words(side.label)}</figcaption></figure>"
        for side in view.sides
    ]
    caption = f'<p class="note">{_words(view.caption)}</p>'
    body = "\n".join(sides)
    return (
        f'<figure class="comparison"><h3>{_words(view.title)}</h3>\n<div class="sides">\n{body}\n</div>\n'
        f"{caption}</figure>"
    )


def _data(webp: bytes) -> str:
    return f"data:image/webp;base64,{base64.b64encode(webp).decode()}"


def _table(table: Table) -> Iterator[str]:
    longest = max((len(cell) for row in table.rows for cells in row for cell in cells or ()), default=0)
    words = ' class="words"' if longest > 60 else ""
    yield f'<div class="wide" tabindex="0" role="region" aria-label="Table"><table{words}>\n<thead>'
    if any(group.title for group in table.groups):
        titles = [
            f'<th class="start" scope="colgroup" colspan="{len(group.heads)}">{_words(group.title)}</th>'
            for group in table.groups
        ]
        yield f"<tr>{''.join(titles)}</tr>"
    yield f"<tr>{''.join(_heads(group.heads) for group in table.groups)}</tr>\n</thead>\n<tbody>"
    for row in table.rows:
        cells = [
            f'<td class="start missing" colspan="{len(group.heads)}">{NOT_RUN}</td>'
            if found is None
            else _cells(found, leads=index == 0)
            for index, (group, found) in enumerate(zip(table.groups, row, strict=True))
        ]
        yield f"<tr>{''.join(cells)}</tr>"
    yield "</tbody></table></div>"
    for note in table.notes:
        yield f'<p class="note">{_words(note)}</p>'


def _heads(heads: Sequence[str]) -> str:
    first, *others = (_words(head) for head in heads)
    return f'<th class="start" scope="col">{first}</th>' + "".join(f'<th scope="col">{head}</th>' for head in others)


def _cells(cells: Cells, *, leads: bool) -> str:
    """Cells of a group of columns; the first of a row is its head."""
    first, *others = (_words(cell) for cell in cells)
    head = f'<th class="start" scope="row">{first}</th>' if leads else f'<td class="start">{first}</td>'
    return head + "".join(f"<td>{cell}</td>" for cell in others)


def _gallery(gallery: Gallery) -> str:
    figures = [
        f'<figure><img alt="{escape(picture.caption)}" src="{_data(picture.webp)}">'
        f"<figcaption>{_words(picture.caption)}</figcaption></figure>"
        for picture in gallery.pictures
    ]
    return '<div class="gallery">\n' + "\n".join(figures) + "\n</div>"


def _words(text: str) -> str:
    """Text as HTML, with what is in backquotes as code and what is in double asterisks bold."""
    coded = re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text, quote=False))
    return re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", coded)
