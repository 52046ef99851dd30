"""Harmonics where they pay: bytes go where the photos show them, and as few as the loss that is allowed needs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from support.tiny import blobs, ring_of_cameras

from leansplat import engines
from leansplat.captures.capture import Capture, View
from leansplat.compression.harmonics import coarsest_steps, color_weights, loss_on_photos, smallest_palette
from leansplat.engines.cpu import render
from leansplat.formats import sog, spz
from leansplat.gaussians import Gaussians

CAMERAS = ring_of_cameras(12)


def colorful(count: int = 400) -> Gaussians:
    """Every second one can hardly be seen."""
    scene = blobs(count)
    shN = 0.3 * torch.randn(count, 8, 3, generator=torch.Generator().manual_seed(1))
    hidden = torch.arange(count) % 2 == 0
    return replace(scene, shN=shN, opacities=torch.where(hidden, -5.0, 2.0))


def capture_of(scene: Gaussians) -> Capture:
    with torch.no_grad():
        images = [render(scene, camera).image.clamp(0, 1) for camera in CAMERAS]
    noise = torch.Generator().manual_seed(2)
    photos = [(image + 0.02 * torch.randn(image.shape, generator=noise)).clamp(0, 1) for image in images]
    views = [
        View(f"{number}.png", camera, (photo * 255).round().to(torch.uint8))
        for number, (camera, photo) in enumerate(zip(CAMERAS, photos, strict=True))
    ]
    return Capture("colorful", tuple(views), (), None, (0.0, 0.0, 0.0))


SCENE = colorful()
CAPTURE = capture_of(SCENE)
WEIGHTS = color_weights(engines.named("cpu").sensitivity(SCENE, CAMERAS, (0.0, 0.0, 0.0)))
LOSS = loss_on_photos(SCENE, CAPTURE)


def test_weights_are_where_gaussians_are_seen() -> None:
    assert WEIGHTS.mean() == pytest.approx(1.05, rel=1e-5)
    assert WEIGHTS[::2].max() < 0.2
    assert WEIGHTS[1::2].mean() > 1.9


def test_the_loss_is_that_of_psnr_on_the_photos() -> None:
    assert LOSS(SCENE) == 0
    assert LOSS(replace(SCENE, shN=0 * SCENE.shN)) > 3
    duller = replace(SCENE, shN=0.9 * SCENE.shN)
    spread = tuple(CAPTURE.train[3 * number // 2] for number in range(8))
    assert LOSS(duller) == loss_on_photos(SCENE, replace(CAPTURE, train=spread))(duller)


def palette_loss(size: int) -> float:
    books = sog.fit(SCENE, palette_size=size, weights=WEIGHTS)
    values = books.palette_values()[sog.palette_labels(SCENE.shN.numpy(), books)]
    return LOSS(replace(SCENE, shN=torch.from_numpy(values)))


def test_the_palette_is_the_smallest_that_loses_no_more_than_is_allowed() -> None:
    allowed = (palette_loss(90) + palette_loss(128)) / 2
    size = smallest_palette(SCENE, WEIGHTS, LOSS, allowed)
    assert size == 128
    assert palette_loss(size) <= allowed < palette_loss(int(size / 2**0.5))
    assert smallest_palette(SCENE, WEIGHTS, LOSS, 100.0) == sog.SMALLEST_PALETTE
    assert smallest_palette(SCENE, WEIGHTS, LOSS, -1.0) == sog.usual_palette_size(len(SCENE))


def steps_loss(steps: np.ndarray) -> float:
    return LOSS(
        replace(
            SCENE, shN=Gaussians.from_arrays(spz.decode(spz.encode(SCENE, sh_steps=steps, order=np.arange(400)))).shN
        )
    )


def test_steps_are_as_wide_as_is_allowed_and_wider_where_less_is_seen() -> None:
    steps = coarsest_steps(SCENE, WEIGHTS, LOSS, 0.3)
    assert steps_loss(steps) <= 0.3
    assert steps_loss(np.minimum(2 * steps, 256)) > 0.3
    assert np.median(steps[::2]) >= 4 * np.median(steps[1::2])
    ratio = np.log2(steps[:, 0, 0] * np.sqrt(WEIGHTS))
    inside = (steps[:, 0, 0] > 1) & (steps[:, 0, 0] < 256)
    assert np.ptp(ratio[inside]) <= 1.001


def test_steps_that_see_cost_less_than_even_ones_of_as_many_levels() -> None:
    steps = coarsest_steps(SCENE, WEIGHTS, LOSS, 0.3)
    even = np.full_like(steps, np.exp2(np.floor(np.log2(steps).mean())))
    assert steps_loss(steps) < steps_loss(even)


def test_the_least_and_the_most_that_can_be_allowed() -> None:
    assert (coarsest_steps(SCENE, WEIGHTS, LOSS, -1.0) == 1).all()
    assert (coarsest_steps(SCENE, WEIGHTS, LOSS, 100.0) > 32).all()


def test_a_scene_without_harmonics_needs_nothing() -> None:
    flat = replace(SCENE, shN=SCENE.shN[:, :0])
    loss = loss_on_photos(flat, CAPTURE)
    assert smallest_palette(flat, WEIGHTS, loss, 1.0) == sog.usual_palette_size(len(flat))
    assert (coarsest_steps(flat, WEIGHTS, loss, 1.0) == 1).all()
