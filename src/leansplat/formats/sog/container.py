"""The files of a SOG scene, version 2, around the integers of `encoding`.

`meta.json` has the tables and names the images; in them pixel i, row by row from the top left, is Gaussian i:

    means_l, means_u       R, G, B: low and high byte of the three positions
    quats                  R, G, B: three components; A: 252 + which one is missing
    scales                 R, G, B: entries of meta.scales.codebook
    sh0                    R, G, B: entries of meta.sh0.codebook; A: opacity
    shN_labels             R, G: low and high byte of the entry of the palette
    shN_centroids          R, G, B: entries of meta.shN.codebook; 64 palette entries a row, a pixel a coefficient

`antialias` is the published specification's word for opacity compensation, `model` that of PlayCanvas's own tools.
"""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from leansplat.arrays import WORLD, Origin
from leansplat.errors import SceneFileError
from leansplat.formats.options import LARGEST_PALETTE
from leansplat.formats.sog.codebooks import Codebooks
from leansplat.formats.sog.encoding import Encoded
from leansplat.formats.sog.files import Files
from leansplat.formats.sog.images import LARGEST_SIDE, read_image, read_tables, side_lengths, to_webp
from leansplat.formats.sog.meta import Meta

_TAG = 252
_ENTRIES_IN_ROW = 64
COEFFICIENTS = {1: 3, 2: 8, 3: 15}
"""SH degree -> coefficients above degree 0."""

_IMAGES = {"means": 2, "scales": 1, "quats": 1, "sh0": 1}
"""How many images an entry of meta.json names, of those with a pixel per Gaussian; labels come after them."""


def pack(encoded: Encoded, prefix: str = "") -> tuple[dict[str, bytes], bytes]:
    """The images by name, and meta.json; the same scene gives the same bytes.

    Args:
        prefix: what the images' names start with.

    Raises:
        ValueError: the scene is too large for WebP.
    """
    books = encoded.codebooks
    count = len(encoded.positions)
    coefficients = books.palette.shape[1]
    tables = {
        "means_l": encoded.positions & 0xFF,
        "means_u": encoded.positions >> 8,
        "scales": encoded.scales,
        "quats": np.column_stack([encoded.rotations, _TAG + encoded.largest]),
        "sh0": np.column_stack([encoded.sh0, encoded.opacities]),
    }
    if coefficients:
        labels, palette = _numbered_by_first_use(encoded.labels, books.palette)
        tables["shN_labels"] = np.column_stack([labels & 0xFF, labels >> 8, np.zeros_like(labels)])
    width, height = side_lengths(count)
    images = {name: _image(table, width, height) for name, table in tables.items()}
    if coefficients:
        rows = -(-len(palette) // _ENTRIES_IN_ROW)
        images["shN_centroids"] = _image(palette.reshape(-1, 3), _ENTRIES_IN_ROW * coefficients, rows)
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        contents = dict(zip(images, threads.map(to_webp, images.values()), strict=True))

    def files(*names: str) -> list[str]:
        return [f"{prefix}{name}.webp" for name in names]

    meta: dict[str, Any] = {
        "version": 2,
        "asset": {"generator": "leansplat"},
        "count": count,
        "antialias": encoded.antialiased,
        **({"model": "antialiased"} if encoded.antialiased else {}),
        "means": {
            "mins": encoded.lowest.tolist(),
            "maxs": encoded.highest.tolist(),
            "files": files("means_l", "means_u"),
        },
        "scales": {"codebook": _shortest(books.scales), "files": files("scales")},
        "quats": {"files": files("quats")},
        "sh0": {"codebook": _shortest(books.sh0), "files": files("sh0")},
    }
    if coefficients:
        meta["shN"] = {
            "count": len(palette),
            "bands": list(COEFFICIENTS.values()).index(coefficients) + 1,
            "codebook": _shortest(books.shN),
            "files": files("shN_centroids", "shN_labels"),
        }
    extras: dict[str, Any] = {"comments": encoded.comments} if encoded.comments else {}
    if encoded.origin != WORLD:
        extras["origin"] = encoded.origin
    if extras:
        meta["extras"] = extras
    named = {f"{prefix}{name}.webp": content for name, content in contents.items()}
    return named, json.dumps(meta, separators=(",", ":")).encode()


def unpack(files: Files, meta: Meta) -> Encoded:
    """The scene that meta.json of version 2 describes.

    Raises:
        SceneFileError: an entry is missing or wrong, an image is missing, damaged or of the wrong size, or a byte
            stands for nothing.
    """
    count = meta.count("count", least=0, most=LARGEST_SIDE**2)
    codebook: np.ndarray = np.zeros(256, np.float32)
    palette: np.ndarray = np.zeros((1, 0, 3), np.uint8)
    if meta.get("shN") is not None:
        degree = meta.count("shN", "bands", least=1, most=3)
        entries = meta.count("shN", "count", least=1, most=LARGEST_PALETTE)
        codebook, palette = _codebook(meta, "shN"), read_palette(files, meta)
        if palette.shape[1] != COEFFICIENTS[degree] or len(palette) < entries:
            raise SceneFileError(
                f"{meta.path} has a palette of {len(palette):,} entries of {palette.shape[1]} coefficients, where "
                f"{entries:,} of {COEFFICIENTS[degree]} are expected; export it again."
            )
        palette = palette[:entries]
    codebooks = Codebooks(_codebook(meta, "scales"), _codebook(meta, "sh0"), codebook, palette)
    return read_gaussians(files, meta, count, codebooks)


def read_palette(files: Files, meta: Meta) -> np.ndarray:
    """(P, K - 1, 3) uint8 from the image of the palette, whose width says how many coefficients an entry has."""
    name, _ = meta.names("shN", "files", size=2)
    widest = _ENTRIES_IN_ROW * max(COEFFICIENTS.values())
    pixels = read_image(files, name, 1, widest * LARGEST_PALETTE // _ENTRIES_IN_ROW, meta.path)
    coefficients, rest = divmod(pixels.shape[1], _ENTRIES_IN_ROW)
    if rest or coefficients not in COEFFICIENTS.values():
        raise SceneFileError(
            f"{meta.path} has an image {name} that is {pixels.shape[1]} pixels wide, where 192, 512 or 960 are "
            "expected; export it again."
        )
    return pixels[:, :, :3].reshape(-1, coefficients, 3)


def read_gaussians(files: Files, meta: Meta, count: int, codebooks: Codebooks) -> Encoded:
    """What the images with a pixel per Gaussian hold; takes memory as `read_tables` does."""
    names = [name for key, size in _IMAGES.items() for name in meta.names(key, "files", size=size)]
    palette = codebooks.palette
    if palette.shape[1]:
        names += meta.names("shN", "files", size=2)[1:]
    low, high, scales, quats, sh0, *shN = read_tables(files, names, count, meta.path)
    labels = _joined(shN[0][:, 0], shN[0][:, 1]) if shN else np.zeros(count, np.uint16)
    if labels.max(initial=0) >= len(palette):
        raise SceneFileError(f"{meta.path} has Gaussians whose entry is beyond its palette; export it again.")
    if quats[:, 3].min(initial=_TAG) < _TAG:
        raise SceneFileError(
            f"{meta.path} has rotations that stand for nothing; its images were altered: export it again."
        )
    return Encoded(
        positions=_joined(low[:, :3], high[:, :3]),
        lowest=meta.numbers("means", "mins", size=3),
        highest=meta.numbers("means", "maxs", size=3),
        rotations=quats[:, :3],
        largest=quats[:, 3] - np.uint8(_TAG),
        scales=scales[:, :3],
        sh0=sh0[:, :3],
        opacities=sh0[:, 3],
        labels=labels,
        codebooks=codebooks,
        antialiased=meta.get("antialias") is True or meta.get("model") == "antialiased",
        order=np.arange(count),
        comments=_comments(meta),
        origin=_origin(meta),
    )


def _numbered_by_first_use(labels: np.ndarray, palette: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same palette, but in the order in which Gaussians come to need its entries, and without those none needs.

    Labels then rise along the file, which makes them cheap where a Gaussian hardly ever shares its entry.
    """
    entries, first = np.unique(labels, return_index=True)
    used = entries[np.argsort(first)] if len(entries) else np.zeros(1, np.uint16)
    number = np.zeros(len(palette), np.uint16)
    number[used] = np.arange(len(used))
    return number[labels], palette[used]


def _image(table: np.ndarray, width: int, height: int) -> np.ndarray:
    """Rows of bytes as an image, (height, width, channels) uint8; pixels without a row are zero."""
    image = np.zeros((height * width, table.shape[1]), np.uint8)
    image[: len(table)] = table
    return image.reshape(height, width, table.shape[1])


def _joined(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    return low | high.astype(np.uint16) << 8


def _shortest(codebook: np.ndarray) -> list[float]:
    """The float32 numbers with no more digits than tell them apart."""
    return [float(str(value)) for value in codebook]


def _codebook(meta: Meta, section: str) -> np.ndarray:
    return meta.numbers(section, "codebook", size=256).astype(np.float32)


def _origin(meta: Meta) -> Origin:
    if meta.get("extras", "origin") is None:
        return WORLD
    x, y, z = meta.numbers("extras", "origin", size=3).tolist()
    return x, y, z


def _comments(meta: Meta) -> tuple[str, ...]:
    comments = meta.get("extras", "comments")
    if isinstance(comments, list) and all(isinstance(comment, str) for comment in comments):
        return tuple(comments)
    return ()
