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
from leansplat.training.schedule import rates
from leansplat.training.strategies import Densification, LearnedMask
from leansplat.training.strategies.learned_mask import FIRST_MOMENT, LOGIT

CAPTURE = tiny_capture()
CONFIG = replace(TrainingConfig().scaled(90), sh_degree=1, checkpoint_every=20).adjusted(
    Densification, every=3, reset_every=9, prune_large_after=3
)
MASK = LearnedMask(weight=5e-3, rate=0.3, threshold=0.1, every=3)
MASKED = replace(CONFIG, strategies=(*CONFIG.strategies, MASK))


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
    strategy = LearnedMask(weight=weight)
    state = strategy.memory(60)["mask"]
    state[:, LOGIT] = logits.detach()
    strategy.update(state, model, gradients)
    torch.testing.assert_close(state[:, FIRST_MOMENT], 0.1 * expected, atol=1e-8, rtol=1e-4)
    # Adam's first step is one learning rate against the gradient's sign.
    torch.testing.assert_close(state[:, LOGIT], logits.detach() - strategy.rate * expected.sign())


def first_step() -> Moments:
    """What Adam remembers after a step in which nothing had a gradient."""
    zeros = replace(blobs(), **{name: torch.zeros_like(getattr(blobs(), name)) for name in TENSOR_NAMES})
    return Moments(zeros, zeros, 1)


def test_a_gaussian_below_the_threshold_is_hidden_at_once_and_stays_so() -> None:
    strategy = LearnedMask(weight=0.1)
    model = engines.named("cpu").begin(blobs(), rates(CONFIG), first_step())
    mask = strategy.memory(60)["mask"]
    mask[7, LOGIT] = torch.tensor(strategy.threshold).logit() + 1e-4
    none = {"opacities": torch.zeros(60), "scales": torch.zeros(60, 3)}
    strategy.update(mask, model, none)
    assert (~strategy.drawn(mask)).nonzero().tolist() == [[7]]
    opacity = model.attribute("opacities").sigmoid()
    assert float(opacity[7]) < 1 / 255
    assert float(opacity.sort().values[1]) > 0.9
    strategy.update(mask, model, {name: torch.randn(values.shape) for name, values in none.items()})
    assert not bool(strategy.drawn(mask)[7])


def test_a_masked_training_ends_with_fewer_gaussians_and_none_that_is_hidden() -> None:
    plain, masked = train(CAPTURE, CONFIG), train(CAPTURE, MASKED)
    assert 0 < len(masked.gaussians) < 0.9 * len(plain.gaussians)
    assert bool(MASK.drawn(masked.state.memory["learned-mask"]["mask"]).all())
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
    assert kept.memory["learned-mask"]["mask"].shape == (len(kept.model), 3)
    resumed = train(CAPTURE, run=tmp_path / "killed", resume=True)
    for name in TENSOR_NAMES:
        assert torch.equal(getattr(whole.gaussians, name), getattr(resumed.gaussians, name)), name


def test_mask_and_scene_stay_aligned_when_gaussians_go() -> None:
    state = TrainingState.begin(blobs(), MASKED, 1.0)
    state.memory["learned-mask"]["mask"][:, LOGIT] = state.gaussians().sh0[:, 0, 0]
    state.select(torch.arange(60) % 3 == 1)
    assert torch.equal(state.memory["learned-mask"]["mask"][:, LOGIT], state.gaussians().sh0[:, 0, 0])
