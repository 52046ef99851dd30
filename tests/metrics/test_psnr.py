"""PSNR against its definition, and the two conventions that move it: clamping, and one mean over all channels."""

import math

import numpy as np
import pytest
import torch

from leansplat.metrics.psnr import psnr


@pytest.mark.parametrize("offset", [0.5, 0.1, 0.01, 0.001])
def test_a_constant_error_gives_minus_twenty_log10_of_it(offset):
    photo = torch.full((5, 7, 3), 0.25)
    assert psnr(photo + offset, photo) == pytest.approx(-20.0 * math.log10(offset), abs=1e-3)


def test_equal_images_are_infinitely_alike():
    photo = torch.rand(4, 4, 3, generator=torch.Generator().manual_seed(0))
    assert psnr(photo, photo.clone()) == math.inf


def test_the_mean_is_over_pixels_and_channels_together():
    photo = torch.zeros(2, 3, 3)
    image = photo.clone()
    image[1, 2, 0] = 1.0  # one of 18 values is wrong by 1: MSE = 1/18
    assert psnr(image, photo) == pytest.approx(10.0 * math.log10(18.0), abs=1e-9)


def test_a_render_brighter_than_white_counts_as_white():
    photo = torch.full((3, 3, 3), 0.9)
    assert psnr(torch.full((3, 3, 3), 7.0), photo) == pytest.approx(20.0, abs=1e-4)
    assert psnr(torch.full((3, 3, 3), -7.0), 1.0 - photo) == pytest.approx(20.0, abs=1e-4)


def test_it_agrees_with_float64_numpy_on_random_images():
    generator = torch.Generator().manual_seed(3)
    image, photo = torch.rand(31, 17, 3, generator=generator), torch.rand(31, 17, 3, generator=generator)
    error = np.mean((image.numpy().astype(np.float64) - photo.numpy().astype(np.float64)) ** 2)
    assert psnr(image, photo) == pytest.approx(10.0 * np.log10(1.0 / error), abs=1e-9)


def test_a_view_without_contiguous_memory_gives_the_same_number():
    generator = torch.Generator().manual_seed(4)
    planes, photo = torch.rand(3, 9, 6, generator=generator), torch.rand(9, 6, 3, generator=generator)
    assert psnr(planes.permute(1, 2, 0), photo) == psnr(planes.permute(1, 2, 0).contiguous(), photo)


def test_a_render_that_requires_gradients_is_measured():
    photo = torch.zeros(2, 2, 3)
    assert psnr(torch.full((2, 2, 3), 0.1, requires_grad=True), photo) == pytest.approx(20.0, abs=1e-4)


def test_mismatched_shapes_and_eight_bit_photos_are_refused():
    with pytest.raises(ValueError, match="one shape"):
        psnr(torch.zeros(2, 3, 3), torch.zeros(3, 2, 3))
    with pytest.raises(ValueError, match="floating point"):
        psnr(torch.zeros(2, 2, 3), torch.zeros(2, 2, 3, dtype=torch.uint8))
