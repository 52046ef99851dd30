"""`ClusteredQuantiser`: fine-tuning of shared colours and shapes at 8 bits, as Niedermayr et al. 2024, section 4.2.

Rows of the two tables are trained; the gradient of a row is the sum over the Gaussians that share it. Which row a
Gaussian has stays as clustering decided. Everything goes through fake quantisation in the units of the file: opacities
after the sigmoid, scales and rotations normalised (a reader normalises once more), sizes as logarithms; centres are
16-bit floats.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from leansplat.compression.covariance import log_size, rotation_and_scales
from leansplat.compression.fake_quantisation import MovingRange, fake_quantise, half_precision
from leansplat.compression.state import said_origin
from leansplat.compression.unit_rows import unit_rows
from leansplat.compression.vector_quantisation import Table
from leansplat.engines.shared import SharedGaussians
from leansplat.formats import c3dgs_npz
from leansplat.formats.c3dgs_coding import QUANTISED, WIDEST, ClusteredGaussians, Encoded, encode
from leansplat.gaussians import WORLD, Gaussians, Origin
from leansplat.training.config import TrainingConfig


class ClusteredQuantiser:
    """See `fine_tuning.Quantiser`; latents are `means`, `opacities` (logits), `sizes` (N, 1), and rows of the tables:
    `sh0`, `shN`, `quats`, `shapes` (log scales of any length, which are normalised).

    Args:
        colors: a table of all colour coefficients (3 K) of the scene it begins with.
        shapes: a table of its normalised covariances (6).
        Either is None where nothing is shared.
    """

    def __init__(self, colors: Table | None = None, shapes: Table | None = None) -> None:
        self._colors, self._shapes = colors, shapes
        self._feature_indices = colors.indices if colors is not None else None
        self._gaussian_indices = shapes.indices if shapes is not None else None
        self._antialiased = False
        self._origin: Origin = WORLD
        self._ranges = _ranges({})
        self.order: np.ndarray = np.zeros(0, np.int64)

    def begin(self, gaussians: Gaussians) -> dict[str, Tensor]:
        self._antialiased, self._origin = gaussians.antialiased, gaussians.origin
        count = len(gaussians)
        self.order = np.arange(count)
        sizes = log_size(gaussians.scales)[:, None]
        colors = torch.cat([gaussians.sh0, gaussians.shN], dim=1)
        quats, scales = torch.nn.functional.normalize(gaussians.quats, dim=1), gaussians.scales - sizes
        if self._colors is not None:
            colors = self._colors.rows(colors)
        if self._shapes is not None:
            shared_quats, shared_scales = rotation_and_scales(self._shapes.centres)
            quats = torch.cat([shared_quats, quats[self._shapes.own]])
            scales = torch.cat([shared_scales, scales[self._shapes.own]])
        latents = {
            "means": gaussians.means.clone(),
            "opacities": gaussians.opacities.reshape(count, 1).clone(),
            "sizes": sizes,
            "sh0": colors[:, :1].clone(),
            "shN": colors[:, 1:].clone(),
            "quats": quats,
            "shapes": scales,
        }
        self.step(latents, 0)
        return latents

    def render_parameters(self, latents: Mapping[str, Tensor]) -> SharedGaussians:
        floats = self._clustered(latents)
        rounded: dict[str, Any] = {
            name: fake_quantise(getattr(floats, name), moving.affine) for name, moving in self._ranges.items()
        }
        decoded = replace(floats, xyz=half_precision(floats.xyz), **rounded)
        if self._feature_indices is None:
            return SharedGaussians(decoded.gaussians())
        none = torch.zeros(len(decoded.xyz), 1, 3)
        shapes = replace(decoded, features_dc=none, features_rest=none[:, :0], feature_indices=None).gaussians()
        tables = {"sh0": decoded.features_dc, "shN": decoded.features_rest}
        return SharedGaussians(shapes, {name: (table, self._feature_indices) for name, table in tables.items()})

    def rates(self, recipe: TrainingConfig) -> Mapping[str, float]:
        return {
            "opacities": recipe.opacity_rate,
            "sizes": recipe.scale_rate,
            "sh0": recipe.sh0_rate,
            "shN": recipe.shN_rate,
            "quats": recipe.quat_rate,
            "shapes": recipe.scale_rate,
        }

    def step(self, latents: Mapping[str, Tensor], step: int) -> None:
        floats = self._clustered(latents)
        for name, moving in self._ranges.items():
            moving.follow(getattr(floats, name))

    def encode(self, latents: Mapping[str, Tensor]) -> Encoded:
        """The file's content, in the ranges that were trained with."""
        with torch.no_grad():
            return encode(self._clustered(latents), {name: moving.affine for name, moving in self._ranges.items()})

    def write(self, latents: Mapping[str, Tensor], path: Path, *, overwrite: bool = False) -> None:
        c3dgs_npz.pack(self.encode(latents), path, overwrite=overwrite)

    def select(self, latents: Mapping[str, Tensor], rows: Tensor) -> tuple[ClusteredQuantiser, dict[str, Tensor]]:
        part, own = copy(self), {"means", "opacities", "sizes"}
        part.order = self.order[rows.numpy()] if len(self.order) else self.order
        if self._feature_indices is None:
            own |= {"sh0", "shN"}
        else:
            part._feature_indices = self._feature_indices[rows]
        if self._gaussian_indices is None:
            own |= {"quats", "shapes"}
        else:
            part._gaussian_indices = self._gaussian_indices[rows]
        return part, {name: latent[rows] if name in own else latent for name, latent in latents.items()}

    def tensors(self) -> dict[str, Tensor]:
        origin = torch.tensor(self._origin, dtype=torch.float64)
        found = {"antialiased": torch.tensor(self._antialiased), "origin": origin}
        found |= {name: moving.bounds for name, moving in self._ranges.items() if moving.bounds is not None}
        for name in ("feature_indices", "gaussian_indices"):
            indices = getattr(self, f"_{name}")
            if indices is not None:
                found[name] = indices
        return found

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        self._antialiased, self._origin = bool(tensors["antialiased"]), said_origin(tensors)
        self._ranges = _ranges(tensors)
        self._feature_indices = tensors.get("feature_indices")
        self._gaussian_indices = tensors.get("gaussian_indices")

    def _clustered(self, latents: Mapping[str, Tensor]) -> ClusteredGaussians:
        """What the latents say, before rounding."""
        shapes = latents["shapes"]
        relative = shapes - shapes.detach().amax(dim=1, keepdim=True)  # which cancels, and keeps `exp` in range
        return ClusteredGaussians(
            xyz=latents["means"],
            opacity=latents["opacities"].sigmoid(),
            scaling_factor=latents["sizes"],
            features_dc=latents["sh0"],
            features_rest=latents["shN"],
            scaling=unit_rows(relative.exp()),
            rotation=unit_rows(latents["quats"]),
            feature_indices=self._feature_indices,
            gaussian_indices=self._gaussian_indices,
            antialiased=self._antialiased,
            origin=self._origin,
        )


def _ranges(bounds: Mapping[str, Tensor]) -> dict[str, MovingRange]:
    """The ranges of what is quantised, at their bounds where these are known."""
    return {name: MovingRange(bounds.get(name), WIDEST.get(name, math.inf)) for name in QUANTISED}
