"""Losses and metrics with a mask: against PyTorch in float64, and that what is under a mask is never looked at."""

from __future__ import annotations

import math

import pytest
import torch
from support.reference_lpips import image_pair, random_arrays, reference_stages
from support.reference_ssim import SIZES, pair, reference_ssim_map
from torch import nn

from leansplat.metrics import Lpips, lpips_weights, psnr, ssim
from leansplat.metrics.loss import photometric_loss
from leansplat.metrics.lpips import SCALE, SHIFT


def blotches(height: int, width: int, share: float = 0.6) -> torch.Tensor:
    """(H, W) bool with holes of several pixels; at least one pixel counts."""
    coarse = (
        torch.rand(-(-height // 3), -(-width // 3), generator=torch.Generator().manual_seed(height + width)) < share
    )
    mask = coarse.repeat_interleave(3, 0).repeat_interleave(3, 1)[:height, :width].clone()
    mask[0, 0] = True
    return mask


def noise_under(mask: torch.Tensor, image: torch.Tensor, seed: int) -> torch.Tensor:
    noise = torch.rand(image.shape, generator=torch.Generator().manual_seed(seed))
    noise = (255 * noise).to(torch.uint8) if image.dtype == torch.uint8 else 3 * noise - 1
    return torch.where(mask[..., None], image, noise)


def masked_loss(image: torch.Tensor, photo: torch.Tensor, weight: float, mask: torch.Tensor) -> torch.Tensor:
    """The definition, in float64: zero what is hidden in both, and add up what is left as a share of all pixels."""
    kept = mask[..., None]
    x, y = torch.where(kept, image, 0), torch.where(kept, photo, 0)
    values = (1 - weight) * (x - y).abs() + weight * (1 - reference_ssim_map(x, y))
    return torch.where(kept, values, 0).mean()


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("weight", [0.0, 0.2, 1.0])
def test_the_loss_and_its_gradient_are_those_of_autograd(height: int, width: int, weight: float) -> None:
    (image, photo), mask = pair(height, width), blotches(height, width)
    wide = image.double().requires_grad_()
    expected = masked_loss(wide, photo.double() / 255, weight, mask)
    expected.backward()
    image.requires_grad_()
    loss = photometric_loss(image, photo, weight, mask)
    (3 * loss).backward()
    assert float(loss.detach()) == pytest.approx(float(expected.detach()), rel=1e-5, abs=1e-7)
    assert float((image.grad.double() / 3 - wide.grad).norm() / wide.grad.norm()) < 1e-5
    assert (image.grad[~mask] == 0).all()
    assert (image.grad[mask] != 0).any()


def test_nothing_under_a_mask_changes_a_bit_of_loss_gradient_or_metric(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lpips_weights, "load", lambda net: random_arrays(net))
    (image, photo), mask = pair(37, 52), blotches(37, 52)
    found = []
    for seed in range(2):
        ours, theirs = noise_under(mask, image, seed), noise_under(mask, photo, 10 + seed)
        if seed:
            ours[~mask] = math.nan
        ours.requires_grad_()
        loss = photometric_loss(ours, theirs, 0.2, mask)
        loss.backward()
        values = theirs / 255
        numbers = [float(loss.detach()), psnr(ours, values, mask), ssim(ours, values, mask)]
        found.append((numbers, Lpips("alex")(ours, values, mask), ours.grad))
    assert found[0][:2] == found[1][:2]
    assert torch.equal(found[0][2], found[1][2])
    # Without the mask, none of it holds.
    assert psnr(noise_under(mask, image, 0), photo / 255) != psnr(noise_under(mask, image, 1), photo / 255)


def test_a_mask_that_hides_nothing_gives_the_bits_of_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lpips_weights, "load", lambda net: random_arrays(net))
    (image, photo), everything = pair(64, 33), torch.ones(64, 33, dtype=torch.bool)
    gradients = []
    for mask in (None, everything):
        leaf = image.clone().requires_grad_()
        loss = photometric_loss(leaf, photo, 0.2, mask)
        loss.backward()
        gradients.append((float(loss.detach()), leaf.grad))
    assert gradients[0][0] == gradients[1][0]
    assert torch.equal(gradients[0][1], gradients[1][1])
    values = photo / 255
    for metric in (psnr, ssim, Lpips("alex")):
        assert metric(image, values, everything) == metric(image, values)


def test_psnr_is_that_of_the_pixels_that_count() -> None:
    photo = torch.zeros(4, 5, 3)
    image = torch.full((4, 5, 3), 0.9)
    image[:2] = 0.1
    mask = torch.zeros(4, 5, dtype=torch.bool)
    mask[:2] = True
    assert psnr(image, photo, mask) == pytest.approx(20, abs=1e-5)
    assert psnr(image, photo, ~mask) == pytest.approx(-20 * math.log10(0.9), abs=1e-5)


@pytest.mark.parametrize("net", ["vgg", "alex"])
def test_lpips_is_the_mean_over_places_by_their_share_of_pixels_that_count(
    net: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrays = random_arrays(net)
    monkeypatch.setattr(lpips_weights, "load", lambda _: arrays)
    image, photo = image_pair(48, 64)
    mask = torch.ones(48, 64, dtype=torch.bool)
    mask[5:30, 11:40] = False
    features = torch.stack([image * mask[..., None], photo * mask[..., None]]).permute(0, 3, 1, 2)
    features = (features - torch.tensor(SHIFT).view(1, 3, 1, 1)) / torch.tensor(SCALE).view(1, 3, 1, 1)
    torch.manual_seed(7)  # as random_arrays does, so these layers are its
    total = 0.0
    for depth, stage in enumerate(reference_stages(net)):
        with torch.no_grad():
            features = stage(features)
        unit = features / features.norm(dim=1, keepdim=True)
        head = torch.from_numpy(arrays[f"NetLinLayer_{depth}/Conv_0/kernel"]).view(1, -1, 1, 1)
        difference = nn.functional.conv2d((unit[:1] - unit[1:]) ** 2, head)[0, 0].double()
        share = nn.functional.adaptive_avg_pool2d(mask[None].double(), difference.shape)[0]
        total += float((difference * share).sum() / share.sum())
    assert Lpips(net)(image, photo, mask) == pytest.approx(total, rel=2e-4)


@pytest.mark.parametrize(
    ("mask", "complaint"),
    [
        (torch.zeros(37, 52, dtype=torch.bool), "hides every pixel"),
        (torch.ones(52, 37, dtype=torch.bool), r"shape \(52, 37\)"),
        (torch.ones(37, 52), "torch.bool"),
    ],
)
def test_a_mask_of_nothing_or_of_another_shape_or_type_is_refused(mask: torch.Tensor, complaint: str) -> None:
    image, photo = pair(37, 52)
    for call in (psnr, ssim):
        with pytest.raises(ValueError, match=complaint):
            call(image, photo / 255, mask)
    with pytest.raises(ValueError, match=complaint):
        photometric_loss(image, photo, 0.2, mask)
