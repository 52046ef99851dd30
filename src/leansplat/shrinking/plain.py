"""Kinds of files that `shrink` writes though `compress` does not: .ply, .splat and .glb.

Their numbers have a fixed precision, so what there is to choose is how many Gaussians a file has, and the degree of
their harmonics. Training goes through no rounding: there is none, or in a .splat it is too fine to be worth it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from leansplat.arrays import AnyScene, GaussianArrays
from leansplat.compression.codecs import CODECS, Codec, codec_of
from leansplat.compression.format_quantiser import FileQuantiser, RowQuantiser
from leansplat.errors import InputError
from leansplat.formats.format import Format
from leansplat.formats.known import GLTF, PLY, SPLAT
from leansplat.formats.ply_header import read_header
from leansplat.gaussians import Gaussians

_EXTRA = "extra."

_PLY_PARTS = {
    "positions": "[xyz]",
    "normals": "n[xyz]",
    "colors": "f_dc_.*",
    "shN": "f_rest_.*",
    "opacities": "opacity",
    "scales": "scale_.*",
    "rotations": "rot_.*",
}
"""Properties of a .ply, by what they are part of."""

_SPLAT_PARTS = {"positions": 12, "scales": 12, "colors": 3, "opacities": 1, "rotations": 4}
"""Bytes of a Gaussian in a .splat."""


def codec_for(path: str | os.PathLike[str]) -> Codec:
    """The kind of file that the suffix of `path` names, with its usual options: a codec of `CODECS`, or a plain one.

    Raises:
        InputError: neither has this suffix; names those there are.
    """
    name = Path(path).name.lower()
    plain = [suffix for suffix in PLAIN if name.endswith(suffix)]
    compressed = [suffix for suffix in CODECS if name.endswith(suffix)]
    if not plain and not compressed:
        raise InputError(f"{path} has no suffix that can be written; give one of {', '.join((*CODECS, *PLAIN))}")
    if max(map(len, compressed), default=0) >= max(map(len, plain), default=0):
        return codec_of(path)()
    return PLAIN[max(plain, key=len)]()


class PlainQuantiser(RowQuantiser):
    """A format without rounding to train through; latents are the scene's tensors, in its order.

    Extra properties and comments stay with the Gaussians where the format has a place for them.

    Args:
        file: the format.
        sh_degree: the highest that it holds.
    """

    def __init__(self, file: Format, sh_degree: int) -> None:
        super().__init__(_AsItIs(file, sh_degree))
        self._extras: dict[str, Tensor] = {}
        self._comments: tuple[str, ...] = ()

    def _begin(self, gaussians: Gaussians, order: Tensor) -> dict[str, Tensor]:
        self._extras, self._comments = dict(gaussians.extras), gaussians.comments
        return super()._begin(gaussians, order)

    def select(self, latents: Mapping[str, Tensor], rows: Tensor) -> tuple[PlainQuantiser, dict[str, Tensor]]:
        part, kept = super().select(latents, rows)
        assert isinstance(part, PlainQuantiser)
        part._extras = {name: values[rows] for name, values in self._extras.items()}
        return part, kept

    def tensors(self) -> dict[str, Tensor]:
        text = json.dumps(self._comments).encode()
        extras = {f"{_EXTRA}{name}": values for name, values in self._extras.items()}
        return {**super().tensors(), "comments": torch.tensor(list(text), dtype=torch.uint8), **extras}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        super().load(tensors)
        self._comments = tuple(json.loads(bytes(tensors["comments"].tolist())))
        extras = {name: values for name, values in tensors.items() if name.startswith(_EXTRA)}
        self._extras = {name.removeprefix(_EXTRA): values for name, values in extras.items()}

    def _gaussians(self, latents: Mapping[str, Tensor]) -> Gaussians:
        return replace(super()._gaussians(latents), extras=self._extras, comments=self._comments)


@dataclass
class _AsItIs:
    """See `format_quantiser.Coding`: a scene is its own code, up to the degree of harmonics that a file holds."""

    FORMAT: Format
    sh_degree: int

    def arranged(self, gaussians: AnyScene) -> tuple[GaussianArrays, np.ndarray]:
        scene = gaussians.arrays()
        return scene.with_sh_degree(min(scene.sh_degree, self.sh_degree)), np.arange(len(scene))

    def encode(self, gaussians: AnyScene, *, order: np.ndarray) -> GaussianArrays:
        return gaussians.arrays()[order]

    def decode(self, encoded: GaussianArrays) -> GaussianArrays:
        return encoded

    def write_encoded(self, encoded: GaussianArrays, path: Path, *, overwrite: bool) -> None:
        self.FORMAT.write(encoded, path, overwrite=overwrite)


@dataclass(frozen=True)
class PlainCodec(Codec):
    """See `Codec`; there are no options."""

    format: ClassVar[Format]
    most_sh: ClassVar[int] = 3

    def quantiser(self, steps: int) -> FileQuantiser:
        return PlainQuantiser(self.format, self.most_sh)


class PlyCodec(PlainCodec):
    suffix = ".ply"
    format = PLY

    def bytes_by_part(self, path: Path) -> dict[str, int]:
        with open(path, "rb") as handle:
            header = read_header(handle, path)
        vertex = header.element("vertex")
        if header.byte_order == "" or any(element.has_lists for element in header.elements):
            return super().bytes_by_part(path)
        parts: dict[str, int] = {}
        for entry in vertex.properties:
            name = next((part for part, prefix in _PLY_PARTS.items() if re.fullmatch(prefix, entry.name)), "other")
            parts[name] = parts.get(name, 0) + vertex.count * np.dtype(entry.type).itemsize
        return {"header": path.stat().st_size - sum(parts.values()), **parts}


class SplatCodec(PlainCodec):
    suffix = ".splat"
    format = SPLAT
    most_sh = 0

    def bytes_by_part(self, path: Path) -> dict[str, int]:
        count = path.stat().st_size // sum(_SPLAT_PARTS.values())
        return {name: count * size for name, size in _SPLAT_PARTS.items()}


class GlbCodec(PlainCodec):
    suffix = ".glb"
    format = GLTF


PLAIN: dict[str, type[PlainCodec]] = {kind.suffix: kind for kind in (PlyCodec, SplatCodec, GlbCodec)}
"""Every plain kind of file by its suffix."""
