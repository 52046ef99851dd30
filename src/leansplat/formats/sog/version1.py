"""SOG of version 1, as PlayCanvas's first tool wrote it (`sogs`, 2025): read only.

The images are those of version 2, but bytes stand for even steps between ends that meta.json gives: of each axis or
colour, of the opacity's logit, and for all numbers of the palette together.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from leansplat.arrays import GaussianArrays
from leansplat.formats.sog.codebooks import Codebooks
from leansplat.formats.sog.container import read_gaussians, read_palette
from leansplat.formats.sog.encoding import decode
from leansplat.formats.sog.files import Files
from leansplat.formats.sog.images import LARGEST_SIDE
from leansplat.formats.sog.meta import Meta


def read(files: Files, meta: Meta) -> GaussianArrays:
    """The scene that meta.json of version 1 describes; raises as `container.unpack` does."""
    count = meta.count("means", "shape", 0, least=0, most=LARGEST_SIDE**2)
    unused = np.zeros(256, np.float32)
    codebooks = Codebooks(unused, unused, unused, np.zeros((1, 0, 3), np.uint8))
    if meta.get("shN") is not None:
        steps = np.linspace(meta.numbers("shN", "mins", size=1)[0], meta.numbers("shN", "maxs", size=1)[0], 256)
        codebooks = replace(codebooks, shN=steps.astype(np.float32), palette=read_palette(files, meta))
    encoded = read_gaussians(files, meta, count, codebooks)
    sh0 = _even_steps(np.column_stack([encoded.sh0, encoded.opacities]), meta, "sh0")
    return replace(
        decode(encoded),
        scales=_even_steps(encoded.scales, meta, "scales"),
        sh0=np.ascontiguousarray(sh0[:, None, :3]),
        opacities=np.ascontiguousarray(sh0[:, 3]),
    )


def _even_steps(codes: np.ndarray, meta: Meta, section: str) -> np.ndarray:
    """(N, C) float32 from bytes (N, C) and the ends of each column."""
    lowest, highest = (meta.numbers(section, end, size=codes.shape[1]) for end in ("mins", "maxs"))
    steps = (lowest + np.linspace(0, 1, 256)[:, None] * (highest - lowest)).astype(np.float32)
    return steps[codes, np.arange(codes.shape[1])]
