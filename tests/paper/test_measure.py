"""What is measured on a finished job."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from support.tiny import blobs

from leansplat.paper.measure import opacity_histogram


def test_the_opacity_histogram_is_numpys() -> None:
    scene = replace(blobs(500), opacities=3 * torch.randn(500, generator=torch.Generator().manual_seed(0)))
    expected = np.histogram(torch.sigmoid(scene.opacities.double()).numpy(), bins=64, range=(0, 1))[0]
    assert opacity_histogram(scene) == expected.tolist()


def test_opacities_of_0_and_1_are_in_the_first_and_the_last_bin() -> None:
    counts = opacity_histogram(replace(blobs(2), opacities=torch.tensor([-1000.0, 1000.0])))
    assert (counts[0], counts[-1], sum(counts)) == (1, 1, 2)
