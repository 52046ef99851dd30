"""`write_document`: report.html, one file for people, and report.md with its plots and crops, for a repository."""

from __future__ import annotations

from pathlib import Path

from leansplat.errors import InputError
from leansplat.files import replacing
from leansplat.report.document import Document
from leansplat.report.html import to_html
from leansplat.report.markdown import PICTURES, PLOTS, to_markdown
from leansplat.report.svg import standalone


def write_document(document: Document, output: Path, *, overwrite: bool = False) -> list[Path]:
    """Write a document as a report; the same document gives the same bytes.

    Args:
        output: folder to write into; made if needed.
        overwrite: whether files already there may be replaced.

    Returns:
        The files written: report.html, report.md, then plots and crops.

    Raises:
        InputError: a file is there already, or cannot be written.
    """
    files = {
        output / "report.html": to_html(document).encode(),
        output / "report.md": to_markdown(document).encode(),
        **{output / PLOTS / f"{plot.name}.svg": standalone(plot.svg).encode() for plot in document.plots()},
        **{output / PICTURES / f"{picture.name}.webp": picture.webp for picture in document.pictures()},
    }
    for path in files:
        if path.exists() and not overwrite:
            raise InputError(f"{path} already exists; pass --overwrite (overwrite=True) or choose another folder")
    for path, content in files.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{path.parent} cannot be made ({error.strerror}); choose another folder") from error
        with replacing(path, overwrite=overwrite) as file:
            file.write(content)
    return list(files)
