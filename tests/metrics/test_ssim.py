"""SSIM and the training loss, against PyTorch's convolutions and autograd in float64."""

from __future__ import annotations

import math

import pytest
import torch
from support.reference_ssim import SIZES, pair, reference_ssim

from leansplat.metrics import ssim
from leansplat.metrics.loss import photometric_loss


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_ssim_is_that_of_the_formula(height: int, width: int) -> None:
    image, photo = pair(height, width)
    expected = float(reference_ssim(image.double(), photo.double() / 255))
    assert ssim(image, photo) == pytest.approx(expected, abs=2e-6)
    assert ssim(image, photo / 255) == pytest.approx(expected, abs=2e-6)


def test_equal_images_have_an_ssim_of_one_and_order_does_not_matter() -> None:
    image, photo = pair(30, 40)
    assert ssim(photo, photo) == pytest.approx(1, abs=1e-6)
    assert ssim(image, photo / 255) == pytest.approx(ssim(photo / 255, image), abs=1e-6)


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("weight", [0.0, 0.2, 1.0])
def test_the_loss_and_its_gradient_are_those_of_autograd(height: int, width: int, weight: float) -> None:
    image, photo = pair(height, width)
    wide = image.double().requires_grad_()
    target = photo.double() / 255
    expected = (1 - weight) * (wide - target).abs().mean() + weight * (1 - reference_ssim(wide, target))
    expected.backward()
    image.requires_grad_()
    loss = photometric_loss(image, photo, weight)
    (3 * loss).backward()
    assert float(loss.detach()) == pytest.approx(float(expected.detach()), rel=1e-5, abs=1e-7)
    error = (image.grad.double() / 3 - wide.grad).norm() / wide.grad.norm()
    assert float(error) < 1e-5


def test_a_planar_view_needs_no_copy_and_gives_the_same() -> None:
    image, photo = pair(20, 24)
    planar = image.permute(2, 0, 1).contiguous().permute(1, 2, 0)
    assert float(photometric_loss(planar, photo)) == float(photometric_loss(image, photo))


def test_images_of_different_sizes_are_refused() -> None:
    image, photo = pair(8, 9)
    with pytest.raises(ValueError, match="compared"):
        ssim(image, photo[:-1])
    with pytest.raises(ValueError, match="compared"):
        photometric_loss(image, photo[:, 1:])
    with pytest.raises(ValueError, match="expected"):
        ssim(image[..., 0], photo[..., 0])


def test_a_uniform_difference_has_the_loss_of_the_closed_form() -> None:
    """Away from the border a constant pair has SSIM (2 a b + C1) / (a^2 + b^2 + C1); check with L1 alone and mean."""
    black, grey = torch.zeros(40, 40, 3), torch.full((40, 40, 3), 0.5)
    assert float(photometric_loss(black, grey, 0.0)) == pytest.approx(0.5)
    assert math.isfinite(float(photometric_loss(black, black, 1.0)))
