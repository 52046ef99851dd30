"""The built page that lies in the package: an HTML file and one script, made from `viewer/` by `npm run build`."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

_SCRIPT = '<script src="viewer.js" defer></script>'
_SHARED_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'self' blob:; worker-src blob:; style-src 'unsafe-inline'; "
    "img-src 'self' blob: data:; connect-src 'self' blob: data:; base-uri 'none'; form-action 'none'"
)
"""What a page that people put somewhere may do. The browser itself refuses everything from elsewhere."""

NAMES = ("index.html", "viewer.js", "LICENSES.txt")


@cache
def page_file(name: str) -> str:
    """The text of one of `NAMES`."""
    return (files("leansplat.viewing") / "page" / name).read_text(encoding="utf-8")


def with_policy(page: str) -> str:
    """A page that lets the browser fetch nothing from elsewhere, wherever it lies."""
    return page.replace(
        '<meta charset="utf-8">',
        f'<meta charset="utf-8">\n<meta http-equiv="Content-Security-Policy" content="{_SHARED_POLICY}">',
    )


def with_elements(page: str, elements: str, *, script: str | None = None) -> str:
    """A page with further elements before its script, and with the script's text in it if that is given."""
    before, found, after = page.partition(_SCRIPT)
    if not found:
        raise ValueError("the built page has no script; build it again from viewer/")
    own = _SCRIPT if script is None else "<script>" + script.replace("</script", r"<\/script") + "</script>"
    return f"{before}{elements}{own}{after}"
