"""The part of a picture that is farthest off, wherever it lies."""

from __future__ import annotations

import math

import pytest
import torch

from leansplat.metrics.parts import part_psnr, part_ssim
from leansplat.metrics.ssim import ssim

PHOTO = torch.full((40, 100, 3), 0.5)


def spotted(row: int, column: int, side: int, by: float = 0.1) -> torch.Tensor:
    image = PHOTO.clone()
    image[row : row + side, column : column + side] += by
    return image


@pytest.mark.parametrize(("row", "column"), [(0, 0), (25, 85), (7, 43)])
def test_a_spot_of_the_size_of_a_part_counts_whole_wherever_it_is(row: int, column: int) -> None:
    assert part_psnr(spotted(row, column, 15), PHOTO) == pytest.approx(20.0, abs=1e-4)


def test_a_smaller_spot_counts_by_its_share_of_a_part() -> None:
    assert part_psnr(spotted(10, 10, 5), PHOTO) == pytest.approx(20 + 10 * math.log10(9), abs=1e-4)


def test_it_is_never_above_what_all_of_the_picture_has() -> None:
    noisy = (PHOTO + 0.1 * torch.randn(PHOTO.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    whole = -10 * math.log10(float((noisy - PHOTO).square().mean()))
    assert whole - 3 < part_psnr(noisy, PHOTO) < whole


def test_what_a_mask_hides_is_no_error() -> None:
    mask = torch.ones(40, 100, dtype=torch.bool)
    mask[:, :50] = False
    assert part_psnr(spotted(10, 10, 15), PHOTO, mask) == math.inf
    assert part_psnr(spotted(10, 70, 15), PHOTO, mask) == pytest.approx(20.0, abs=1e-4)


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (3, 200)])
def test_narrow_pictures_have_parts_too(shape: tuple[int, int]) -> None:
    photo = torch.zeros(*shape, 3)
    assert part_psnr(photo, photo) == math.inf
    assert part_psnr(photo + 0.1, photo) == pytest.approx(20.0, abs=1e-4)


def test_pictures_of_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="one shape"):
        part_psnr(PHOTO, PHOTO[:10])


def grained() -> torch.Tensor:
    """A fine and faint grain in a corner of the picture, and nothing anywhere else."""
    photo = PHOTO.clone()
    photo[:15, 85:] += 0.05 * torch.randn(15, 15, 1, generator=torch.Generator().manual_seed(0))
    return photo


def test_a_grain_that_is_gone_is_found_though_its_errors_are_small() -> None:
    assert part_psnr(PHOTO, grained()) > 25
    assert part_ssim(PHOTO, grained()) < 0.85 < 0.95 < ssim(PHOTO, grained())
    assert part_ssim(grained(), grained()) == pytest.approx(1.0)


def test_structure_that_a_mask_hides_is_not_missed() -> None:
    mask = torch.ones(40, 100, dtype=torch.bool)
    mask[:20, 80:] = False
    assert part_ssim(PHOTO, grained(), mask) == pytest.approx(1.0)
    mask[7, 92] = True
    assert part_ssim(PHOTO, grained(), mask) > 0.99, "one pixel is no part"
    with pytest.raises(ValueError, match="hides"):
        part_ssim(PHOTO, grained(), torch.zeros(40, 100, dtype=torch.bool))


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (3, 200), (97, 64)])
def test_structure_is_compared_up_to_every_edge(shape: tuple[int, int]) -> None:
    photo = torch.rand(*shape, 3, generator=torch.Generator().manual_seed(0))
    for place in ((0, 0), (-1, -1)):
        image = photo.clone()
        image[place] = 1 - image[place]
        assert part_ssim(image, photo) < part_ssim(photo, photo) - 1e-3


def test_structure_of_different_shapes_is_refused() -> None:
    with pytest.raises(ValueError, match="one shape"):
        part_ssim(PHOTO, PHOTO[:10])
