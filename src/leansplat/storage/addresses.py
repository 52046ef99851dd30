"""What an address is: a scheme, `://`, and names with slashes between them, such as `s3://bucket/scenes/a.ply`.

An address is a plain string everywhere, so that it can stand in a manifest and travel between machines. Whatever has no
scheme is a path on this machine.
"""

from __future__ import annotations

import re
from pathlib import Path

from leansplat.errors import InputError

SCHEMES = ("s3", "gs", "file", "memory")
"""What may stand before `://`. `memory` is the memory of one process, for trying things."""

_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://(.*)", re.DOTALL)


def is_address(text: str) -> bool:
    """Whether `text` is an address rather than a path: `s3://bucket/a.ply` is, `C:/a.ply` and `a.ply` are not."""
    return _ADDRESS.match(text) is not None


def checked(address: str) -> str:
    """The address without slashes at its end.

    Raises:
        InputError: it is no address, its scheme is none of `SCHEMES`, or it names no place (no bucket, no folder).
    """
    found = _ADDRESS.match(address)
    if found is None:
        raise InputError(f"{address} is not an address; give one such as s3://bucket/scenes")
    scheme, rest = found[1].lower(), found[2]
    if scheme not in SCHEMES:
        known = ", ".join(f"{name}://" for name in SCHEMES[:-1])
        raise InputError(f"{address} has a scheme that is not known here; give a path, or an address with {known}")
    if not rest.strip("/"):
        raise InputError(f"{address} names no place; give one such as {scheme}://bucket/scenes")
    if any(name in (".", "..") for name in rest.split("/")):
        raise InputError(f"{address} has . or .. in it; give the place itself")
    return f"{scheme}://{rest.rstrip('/')}"


def scheme_of(address: str) -> str:
    """ "s3" of "s3://bucket/a.ply"."""
    return checked(address).partition("://")[0]


def joined(address: str, *names: str) -> str:
    """The address of something below another; each name may have slashes in it."""
    return "/".join([address.rstrip("/"), *(name.strip("/") for name in names)])


def parent(address: str) -> str:
    """The address of the folder that something is in.

    Raises:
        InputError: it is in none, being a bucket.
    """
    scheme, _, rest = checked(address).partition("://")
    around = rest.rpartition("/")[0]
    if not around:
        raise InputError(f"{address} is in no folder; name something inside of it")
    return f"{scheme}://{around}"


def last_name(address: str) -> str:
    """ "a.ply" of "s3://bucket/scenes/a.ply"."""
    return checked(address).rpartition("/")[2]


def local_path(address: str) -> Path | None:
    """The path that a `file://` address stands for, None of any other."""
    scheme, _, rest = checked(address).partition("://")
    return Path(rest) if scheme == "file" else None
