"""What a file of Niedermayr et al. says of a scene, apart from how it is packed: tables, indices and 8-bit codes.

Gaussians may share a row of the table of colours and one of the table of shapes (rotation and relative scales); each
has its own position, opacity and size. `ClusteredGaussians` holds that as floats, in the units that are quantised, and
turns into `Gaussians` by differentiable steps, so that training goes through the very arithmetic of a reader.

Source: Niedermayr, Stumpfegger and Westermann, "Compressed 3D Gaussian Splatting for Accelerated Novel View Synthesis",
CVPR 2024, section 4.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from leansplat.formats import reach
from leansplat.formats.affine import Affine
from leansplat.gaussians import TENSOR_NAMES, WORLD, Gaussians, Origin
from leansplat.ordering import morton_order

BY_FEATURE = ("features_dc", "features_rest")
BY_SHAPE = ("scaling", "rotation")
QUANTISED = (*BY_FEATURE, "opacity", *BY_SHAPE, "scaling_factor")
"""What has 8 bits; the first two are rows of the table of colours, those in `BY_SHAPE` of the table of shapes."""

LARGEST_POSITION = 65504.0
"""Largest half-precision number."""

# An 8-bit scale or opacity can be exactly 0 and an opacity exactly 1, which logarithms and logits cannot say. These
# stand in: a thickness, relative to the Gaussian's size, and a distance from 0 and 1 that no image shows.
_THINNEST = 1e-6
_FAINTEST = 2.0**-24

WIDEST = {"features_dc": 25.5, "features_rest": 12.75, "scaling_factor": 25.5, "scaling": 25.5}
"""Ranges that 8 bits may be spread over, so that for the sake of another no colour is off by more than 1 in 70, nor a
size by more than 5 %; what lies outside becomes the nearest within."""

_MANY = 0.01

_ROWS_AT_A_TIME = 1 << 18


@dataclass(frozen=True)
class ClusteredGaussians:
    """N Gaussians that share C colours and G shapes; float32 tensors, a row each.

    Args:
        xyz: (N, 3) centres.
        opacity: (N, 1) in [0, 1].
        scaling_factor: (N, 1) natural logarithm of the root of the covariance's trace, which is the length of the
            vector of the three standard deviations; None where `scaling` holds the logarithms of these themselves.
        features_dc: (C, 1, 3), features_rest: (C, K - 1, 3), as `sh0` and `shN`.
        scaling: (G, 3) standard deviations divided by that length, at least 0.
        rotation: (G, 4) as w, x, y, z, of length 1.
        feature_indices, gaussian_indices: (N,) int64, the row of each Gaussian in the tables of colours and of shapes;
            None where each has its own, in order.
        antialiased, origin: see `Gaussians`.
    """

    xyz: Tensor
    opacity: Tensor
    scaling_factor: Tensor | None
    features_dc: Tensor
    features_rest: Tensor
    scaling: Tensor
    rotation: Tensor
    feature_indices: Tensor | None = None
    gaussian_indices: Tensor | None = None
    antialiased: bool = False
    origin: Origin = WORLD

    @classmethod
    def of(cls, gaussians: Gaussians, *, sizes_apart: bool = True) -> ClusteredGaussians:
        """A scene in which nothing is shared, with or without `scaling_factor`."""
        factor = 0.5 * (2 * gaussians.scales).logsumexp(dim=1, keepdim=True)
        return cls(
            xyz=gaussians.means,
            opacity=gaussians.opacities.sigmoid()[:, None],
            scaling_factor=factor if sizes_apart else None,
            features_dc=gaussians.sh0,
            features_rest=gaussians.shN,
            scaling=(gaussians.scales - factor).exp() if sizes_apart else gaussians.scales,
            rotation=_unit(gaussians.quats),
            antialiased=gaussians.antialiased,
            origin=gaussians.origin,
        )

    def gaussians(self) -> Gaussians:
        """The scene it says; differentiable."""
        scales = self.scaling
        if self.scaling_factor is not None:
            scales = scales.clamp(min=_THINNEST).log()
            scales = scales - 0.5 * (2 * scales).logsumexp(dim=1, keepdim=True)
        scales, quats = (_rows(table, self.gaussian_indices) for table in (scales, _unit(self.rotation)))
        return Gaussians(
            means=self.xyz,
            quats=quats,
            scales=scales if self.scaling_factor is None else scales + self.scaling_factor,
            opacities=self.opacity.clamp(_FAINTEST, 1 - _FAINTEST).logit()[:, 0],
            sh0=_rows(self.features_dc, self.feature_indices),
            shN=_rows(self.features_rest, self.feature_indices),
            antialiased=self.antialiased,
            origin=self.origin,
        )


@dataclass(frozen=True)
class Encoded:
    """A file's content; fields are named as its arrays.

    Args:
        xyz: (N, 3) float16.
        codes: int8, by the names in `QUANTISED`, of the shapes that `ClusteredGaussians` gives; `scaling_factor` may
            be missing.
        ranges: by the same names, what the codes mean.
        feature_indices, gaussian_indices: (N,) int32, or None.
        antialiased, origin: see `Gaussians`.
        order: (N,) int64: row i of the file holds Gaussian order[i] of what was encoded, which may have more.
    """

    xyz: Tensor
    codes: Mapping[str, Tensor]
    ranges: Mapping[str, Affine]
    feature_indices: Tensor | None
    gaussian_indices: Tensor | None
    antialiased: bool
    order: Tensor
    origin: Origin = WORLD


def encode(scene: Gaussians | ClusteredGaussians, ranges: Mapping[str, Affine] | None = None) -> Encoded:
    """Quantise a scene, in Morton order of its centres; table rows that nothing uses are dropped.

    Sizes are kept apart from shapes, as the authors do. Where many Gaussians are so flat that 8 bits of a shape take
    them for planes, the logarithms of their standard deviations are quantised instead.

    Args:
        scene: finite; plain `Gaussians` share nothing. Centres beyond `LARGEST_POSITION` become infinite, but strays
            among plain ones are left out as `arranged` says.
        ranges: by the names in `QUANTISED`; by default each spans all values, or most where that would be too coarse.
    """
    if isinstance(scene, Gaussians):
        order = torch.from_numpy(arranged(scene)[1])
        clustered = ClusteredGaussians.of(scene, sizes_apart=not _many_are_flat(scene))
    else:
        order, clustered = morton_order(scene.xyz), scene
    feature_rows, feature_indices = _renumbered(clustered.feature_indices, order)
    shape_rows, gaussian_indices = _renumbered(clustered.gaussian_indices, order)
    rows = dict.fromkeys(BY_FEATURE, feature_rows) | dict.fromkeys(BY_SHAPE, shape_rows)
    codes, used = {}, {}
    for name in QUANTISED:
        values = getattr(clustered, name)
        if values is None:
            continue
        used[name] = ranges[name] if ranges is not None else Affine.covering(values, WIDEST.get(name, math.inf))
        codes[name] = used[name].quantise(values)[rows.get(name, order)]
    return Encoded(
        xyz=clustered.xyz.detach()[order].to(torch.float16),
        codes=codes,
        ranges=used,
        feature_indices=feature_indices,
        gaussian_indices=gaussian_indices,
        antialiased=clustered.antialiased,
        order=order,
        origin=clustered.origin,
    )


def decode(encoded: Encoded, rows: Tensor | None = None) -> Gaussians:
    """The scene that a reader of the file gets, in the file's order; or only some rows of it."""
    count = len(encoded.xyz) if rows is None else len(rows)
    coefficients = encoded.codes["features_rest"].shape[1]
    gaussians = Gaussians(
        means=torch.empty(count, 3),
        quats=torch.empty(count, 4),
        scales=torch.empty(count, 3),
        opacities=torch.empty(count),
        sh0=torch.empty(count, 1, 3),
        shN=torch.empty(count, coefficients, 3),
        antialiased=encoded.antialiased,
        origin=encoded.origin,
    )
    for start in range(0, count, _ROWS_AT_A_TIME):
        part = slice(start, start + _ROWS_AT_A_TIME)
        found = _dequantised(encoded, part if rows is None else rows[part]).gaussians()
        for name in TENSOR_NAMES:
            getattr(gaussians, name)[part] = getattr(found, name)
    return gaussians


def arranged(gaussians: Gaussians) -> tuple[Gaussians, np.ndarray]:
    """A scene and the order in which a file holds its Gaussians, (M,) int64: Morton order, of all but strays beyond
    `LARGEST_POSITION`.
    ."""

    def errors(means: np.ndarray) -> np.ndarray:
        return np.where((np.abs(means) > LARGEST_POSITION).any(axis=1), np.inf, 0)

    return gaussians, reach.file_order(gaussians.arrays(), errors)


def _many_are_flat(gaussians: Gaussians) -> bool:
    """Whether a hundredth of the Gaussians are thinner than half a step of 8 bits, relative to their size."""
    thinnest = ClusteredGaussians.of(gaussians).scaling.amin(dim=1)
    return bool((thinnest < 0.5 / 255).sum() > _MANY * len(gaussians))


def _dequantised(encoded: Encoded, rows: slice | Tensor) -> ClusteredGaussians:
    """Some rows of a file as floats, each with a colour and a shape of its own."""
    by_feature = rows if encoded.feature_indices is None else encoded.feature_indices[rows]
    by_shape = rows if encoded.gaussian_indices is None else encoded.gaussian_indices[rows]
    chosen: dict[str, Any] = dict.fromkeys(BY_FEATURE, by_feature) | dict.fromkeys(BY_SHAPE, by_shape)
    values: dict[str, Any] = {
        name: encoded.ranges[name].dequantise(codes[chosen.get(name, rows)]) for name, codes in encoded.codes.items()
    }
    xyz = encoded.xyz[rows].to(torch.float32)
    return ClusteredGaussians(**{"scaling_factor": None, **values}, xyz=xyz, antialiased=encoded.antialiased)


def _renumbered(indices: Tensor | None, order: Tensor) -> tuple[Tensor, Tensor | None]:
    """Which rows of a table to keep, in what order, and the indices into them of Gaussians in a new order.

    Rows that several Gaussians share come first, so that most indices are small; then those of single Gaussians in the
    order of these, so that neighbours in the file are neighbours in space. Both help deflate.
    """
    if indices is None:
        return order, None
    used, places, counts = torch.unique(indices[order], return_inverse=True, return_counts=True)
    first = torch.full((len(used),), len(order)).scatter_reduce_(0, places, torch.arange(len(order)), "amin")
    sequence = (first + len(order) * (counts == 1)).argsort()
    position = torch.empty_like(sequence)
    position[sequence] = torch.arange(len(used))
    return used[sequence], position[places].to(torch.int32)


def _rows(table: Tensor, indices: Tensor | None) -> Tensor:
    return table if indices is None else table.index_select(0, indices)


def _unit(quats: Tensor) -> Tensor:
    """(N, 4) quaternions of length 1; no rotation for those of length 0."""
    length = quats.norm(dim=1, keepdim=True)
    return torch.where(length > 0, quats / length.clamp(min=1e-12), torch.tensor([1.0, 0.0, 0.0, 0.0]))
