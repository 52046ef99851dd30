"""`bytes_of_members`: what an archive (.sog, .npz) spends its bytes on."""

from __future__ import annotations

import zipfile
from pathlib import Path


def bytes_of_members(path: Path) -> dict[str, int]:
    """Bytes of an archive's members as they are packed, in its order; "archive" is what holds them together."""
    with zipfile.ZipFile(path) as archive:
        members = {Path(entry.filename).stem: entry.compress_size for entry in archive.infolist()}
    return {**members, "archive": path.stat().st_size - sum(members.values())}
