"""A scene whose Gaussians share rows of tables, as the .npz of Niedermayr et al. holds it."""

from __future__ import annotations

from dataclasses import replace

import torch

from leansplat.formats.c3dgs_coding import ClusteredGaussians
from support.scene_comparison import random_scene


def clustered(count: int = 500, colors: int = 40, shapes: int = 25, seed: int = 0) -> ClusteredGaussians:
    """A scene whose Gaussians share rows at random; some rows have no user, others one."""
    scene = random_scene(count, seed=seed)
    random = torch.Generator().manual_seed(seed)
    alone = ClusteredGaussians.of(scene)
    return replace(
        alone,
        features_dc=alone.features_dc[:colors],
        features_rest=alone.features_rest[:colors],
        scaling=alone.scaling[:shapes],
        rotation=alone.rotation[:shapes],
        feature_indices=(torch.rand(count, generator=random) ** 3 * colors).long(),
        gaussian_indices=(torch.rand(count, generator=random) ** 3 * shapes).long(),
    )
