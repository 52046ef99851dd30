"""`.splat`, the format of antimatter15's web viewer: 32 bytes per Gaussian and nothing else, not even a header.

    float x y z | float scale x y z | uchar red green blue opacity | uchar rotation w x y z

Little-endian. Scales are standard deviations, colours are 0.5 + sh0 / (2 sqrt(pi)) and opacities sigmoids, both times
255, and a rotation's byte is 128 q + 128. Viewers draw a file while it arrives, so the most important Gaussians, by
volume times opacity, come first, as in the files of the format's own converter.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from leansplat.activation import color_of, log_of, logit_of, opacity_of, scale_of, sh0_of, unit
from leansplat.arrays import AnyScene, GaussianArrays, blocks, unfilled
from leansplat.errors import SceneFileError
from leansplat.files import replacing
from leansplat.formats.format import (
    Written,
    opened,
    refuse_nonfinite,
    report_nonfinite,
    row_blocks,
)

_ROW = np.dtype([("means", "<f4", 3), ("scales", "<f4", 3), ("colors", "u1", 4), ("rotations", "u1", 4)])
_NAMES = ("means", "scales", "colors", "rotations")


@dataclass(frozen=True)
class Encoded:
    """A scene as a file has it, N Gaussians in the order of the file.

    Args:
        order: (N,) int64; row i is Gaussian `order[i]` of the scene that was encoded.
        means: (N, 3) float32.
        scales: (N, 3) float32, standard deviations.
        colors: (N, 4) uint8, red, green, blue and opacity.
        rotations: (N, 4) uint8, w first.
    """

    order: np.ndarray
    means: np.ndarray
    scales: np.ndarray
    colors: np.ndarray
    rotations: np.ndarray

    def __len__(self) -> int:
        return len(self.order)

    @classmethod
    def empty(cls, count: int) -> Encoded:
        """Memory for `count` Gaussians, in the file's own order."""
        return cls(np.arange(count), *(np.empty((count, *_ROW[name].shape), _ROW[name].base) for name in _NAMES))


def encode(gaussians: AnyScene) -> Encoded:
    """Quantise a scene whose parameters are all finite, the most important Gaussians first; no SH above degree 0."""
    gaussians = gaussians.arrays()
    encoded = Encoded.empty(len(gaussians))
    encoded.order[:] = np.argsort(-_importance(gaussians), kind="stable")
    for part in blocks(len(gaussians)):
        rows = encoded.order[part]
        encoded.means[part] = gaussians.means[rows]
        encoded.scales[part] = scale_of(gaussians.scales[rows])
        color = color_of(gaussians.sh0[rows, 0]).clip(0, 1)
        opacity = opacity_of(gaussians.opacities[rows])
        encoded.colors[part] = np.rint(np.column_stack([color, opacity]) * 255)
        quats = unit(gaussians.quats[rows])
        # Of q and -q, the same rotation, the one whose largest number is negative: bytes reach -1 but not 1.
        largest = np.take_along_axis(quats, np.abs(quats).argmax(axis=1, keepdims=True), axis=1)
        encoded.rotations[part] = np.rint(np.where(largest > 0, -quats, quats) * 128 + 128)
    return encoded


def decode(encoded: Encoded, rows: np.ndarray | None = None) -> GaussianArrays:
    """The scene that a reader of the file sees, in its order, in float32; or only some of its rows."""
    count = len(encoded) if rows is None else len(rows)
    scene = unfilled(count, 0)
    for part in blocks(count):
        at = part if rows is None else rows[part]
        scene.means[part] = encoded.means[at]
        scene.scales[part] = log_of(encoded.scales[at])
        scene.sh0[part, 0] = sh0_of(encoded.colors[at, :3] / 255)
        scene.opacities[part] = logit_of(encoded.colors[at, 3] / 255)
        scene.quats[part] = unit(encoded.rotations[at] / 128 - 1)
    return scene


def pack(encoded: Encoded, path: Path, *, overwrite: bool = False) -> None:
    """Write what `encode` made; errors as for `leansplat.files.replacing`."""
    with replacing(path, overwrite=overwrite) as handle:
        for part in blocks(len(encoded)):
            rows = np.empty(part.stop - part.start, _ROW)
            for name in _NAMES:
                rows[name] = getattr(encoded, name)[part]
            handle.write(rows.tobytes())


def unpack(path: Path) -> Encoded:
    """Read a file without decoding it.

    Raises:
        SceneFileError: the file is missing, or its size is not a multiple of 32 bytes.
    """
    with opened(path) as handle:
        size = os.fstat(handle.fileno()).st_size
        if size % _ROW.itemsize:
            raise SceneFileError(
                f"{path} has {size:,} bytes, which is no multiple of the {_ROW.itemsize} that a Gaussian takes in a "
                ".splat file: it is cut off or of another format; copy or export it again."
            )
        encoded = Encoded.empty(size // _ROW.itemsize)
        for part, rows in row_blocks(handle, _ROW, len(encoded), path):
            for name in _NAMES:
                getattr(encoded, name)[part] = rows[name]
    return encoded


def read(path: Path, *, drop_nonfinite: bool = False) -> GaussianArrays:
    """Read a .splat file; arguments and errors as for `leansplat.formats.read`."""
    gaussians = decode(unpack(path))
    return report_nonfinite(gaussians, gaussians.finite(), path, drop=drop_nonfinite)


def write(gaussians: AnyScene, path: Path, *, overwrite: bool = False) -> Written:
    """Write a .splat file; arguments and errors as for `leansplat.formats.write`."""
    gaussians = gaussians.arrays()
    refuse_nonfinite(gaussians, path)
    encoded = encode(gaussians)
    pack(encoded, path, overwrite=overwrite)
    return Written(encoded.order, lambda rows: decode(encoded, rows))


def _importance(gaussians: GaussianArrays) -> np.ndarray:
    """(N,) the logarithm of volume times opacity, but for a constant."""
    logits = gaussians.opacities.astype(np.float64)
    return gaussians.scales.sum(axis=1, dtype=np.float64) - np.logaddexp(0, -logits)
