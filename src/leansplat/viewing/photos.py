"""Pictures of a capture's photos for the page: each photo as it is, and a small one for the strip."""

from __future__ import annotations

import io
from collections.abc import Sequence

from PIL import Image

from leansplat.captures.capture import Capture, View
from leansplat.pictures import cut_out
from leansplat.viewing.server import Entry, entry

_THUMBNAIL = 116
"""Height in pixels: twice that of the strip, for fine screens."""


def views_of(capture: Capture) -> list[View]:
    """All views by name, as the strip has them."""
    return sorted((*capture.train, *capture.test), key=lambda view: view.name)


def photo_entries(views: Sequence[View]) -> dict[str, Entry]:
    """What to serve; a picture is made when it is first asked for. `addresses` says what they are called."""
    found = {}
    for index, view in enumerate(views):
        found[addresses(index)["photo"]] = entry("a.png", lambda view=view: _photo(view))  # type: ignore[misc]
        found[addresses(index)["thumbnail"]] = entry("a.jpg", lambda view=view: _thumbnail(view))  # type: ignore[misc]
    return found


def addresses(index: int) -> dict[str, str]:
    return {"photo": f"photos/{index}.png", "thumbnail": f"thumbnails/{index}.jpg"}


def _photo(view: View) -> bytes:
    """The photo without any loss, for differences from it; what a mask hides is transparent."""
    return _encoded(Image.fromarray(cut_out(view).contiguous().numpy()), "PNG", compress_level=1)


def _thumbnail(view: View) -> bytes:
    image = Image.fromarray(view.photo.contiguous().numpy())
    image.thumbnail((4 * _THUMBNAIL, _THUMBNAIL))
    return _encoded(image, "JPEG", quality=80)


def _encoded(image: Image.Image, kind: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()
