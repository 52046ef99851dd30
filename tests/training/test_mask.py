"""The learned mask: its gradient against autograd through a masked scene, and what it does to a training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support.tiny import blobs, tiny_capture

from leansplat import engines
from leansplat.engines.cpu import render
from leansplat.engines.engine import Moments
from leansplat.gaussians import TENSOR_NAMES
from leansplat.runs import open_run
from leansplat.training import TrainingConfig, TrainingState, train
from leansplat.training.checkpoint import read_checkpoint
from leansplat.training.mask import FIRST_MOMENT, LOGIT, drawn, fresh_mask, update_mask
from leansplat.training.schedule import rates

CAPTURE = tiny_capture()
CONFIG = replace(
    TrainingConfig().scaled(90),
    sh_degree=1,
    densify_every=3,
    reset_opacities_every=9,
    prune_large_after=3,
    checkpoint_every=20,
)
MASKED = replace(CONFIG, mask_weight=5e-3, mask_rate=0.3, mask_threshold=0.1)


def test_the_masks_gradient_is_that_of_a_masked_scene_by_autograd() -> None:
    """Compact-3DGS, Eqs. 3 and 4, written out: opacity M sigma and scale M s, M straight through sigmoid(m)."""
    gaussians, view = replace(blobs(), opacities=torch.linspace(-2, 2, 60)), CAPTURE.train[0]
    logits = torch.linspace(-3, 3, 60).requires_grad_()
    soft = logits.sigmoid()
    mask = 1 + soft - soft.detach()
    masked = replace(
        gaussians,
        opacities=(mask * gaussians.opacities.sigmoid()).logit(),
        scales=(mask[:, None] * gaussians.scales.exp()).log(),
    )
    weight = 0.02
    loss = (render(masked, view.camera).image - view.photo / 255).abs().mean() + weight * soft.mean()
    (expected,) = torch.autograd.grad(loss, logits)

    model = engines.named("cpu").begin(gaussians, rates(CONFIG))
    # Without SSIM the loss of a step is the mean absolute difference.
    gradients = model.step(view, (0.0, 0.0, 0.0), 0, 0.0, None, ("opacities", "scales")).gradients
    model.write("opacities", torch.arange(60), gaussians.opacities)
    state = fresh_mask(60)
    state[:, LOGIT] = logits.detach()
    update_mask(state, model, gradients, replace(CONFIG, mask_weight=weight))
    torch.testing.assert_close(state[:, FIRST_MOMENT], 0.1 * expected, atol=1e-8, rtol=1e-4)
    # Adam's first step is one learning rate against the gradient's sign.
    torch.testing.assert_close(state[:, LOGIT], logits.detach() - CONFIG.mask_rate * expected.sign())


def first_step() -> Moments:
    """What Adam remembers after a step in which nothing had a gradient."""
    zeros = replace(blobs(), **{name: torch.zeros_like(getattr(blobs(), name)) for name in TENSOR_NAMES})
    return Moments(zeros, zeros, 1)


def test_a_gaussian_below_the_threshold_is_hidden_at_once_and_stays_so() -> None:
    config = replace(CONFIG, mask_weight=0.1)
    model = engines.named("cpu").begin(blobs(), rates(config), first_step())
    mask = fresh_mask(60)
    mask[7, LOGIT] = torch.tensor(config.mask_threshold).logit() + 1e-4
    none = {"opacities": torch.zeros(60), "scales": torch.zeros(60, 3)}
    update_mask(mask, model, none, config)
    assert (~drawn(mask, config)).nonzero().tolist() == [[7]]
    opacity = model.attribute("opacities").sigmoid()
    assert float(opacity[7]) < 1 / 255
    assert float(opacity.sort().values[1]) > 0.9
    update_mask(mask, model, {name: torch.randn(values.shape) for name, values in none.items()}, config)
    assert not bool(drawn(mask, config)[7])


def test_a_masked_training_ends_with_fewer_gaussians_and_none_that_is_hidden() -> None:
    plain, masked = train(CAPTURE, CONFIG), train(CAPTURE, MASKED)
    assert 0 < len(masked.gaussians) < 0.9 * len(plain.gaussians)
    assert masked.state.mask is not None
    assert bool(drawn(masked.state.mask, MASKED).all())
    assert float(masked.gaussians.opacities.min()) > -29


def test_a_masked_training_resumes_to_the_same_bits(tmp_path: Path) -> None:
    class KilledError(Exception):
        pass

    def kill(state: TrainingState) -> None:
        if state.step == 53:
            raise KilledError

    whole = train(CAPTURE, MASKED, tmp_path / "whole")
    with pytest.raises(KilledError):
        train(CAPTURE, MASKED, tmp_path / "killed", after_step=kill)
    kept = read_checkpoint(open_run(tmp_path / "killed").checkpoint_path(40)).state
    assert kept.mask is not None
    assert kept.mask.shape == (len(kept.model), 3)
    resumed = train(CAPTURE, run=tmp_path / "killed", resume=True)
    for name in TENSOR_NAMES:
        assert torch.equal(getattr(whole.gaussians, name), getattr(resumed.gaussians, name)), name


def test_mask_and_scene_stay_aligned_when_gaussians_go() -> None:
    state = TrainingState.begin(blobs(), MASKED, 1.0)
    assert state.mask is not None
    state.mask[:, LOGIT] = state.gaussians().sh0[:, 0, 0]
    state.select(torch.arange(60) % 3 == 1)
    assert torch.equal(state.mask[:, LOGIT], state.gaussians().sh0[:, 0, 0])
