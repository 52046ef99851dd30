"""`fine_tune`: it trains what a decoder gives, changes nothing else, and an interrupted run ends the same."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from support.tiny import blobs, tiny_capture
from support.toy_quantiser import ToyQuantiser
from torch import Tensor

from leansplat.captures.capture import Capture
from leansplat.compression import FineTuningConfig, fine_tune
from leansplat.compression.state import FineTuningState, read_state, write_state
from leansplat.engines.cpu import engine as cpu_engine
from leansplat.errors import CaptureError, InputError, RunError
from leansplat.evaluation import evaluate
from leansplat.gaussians import Gaussians
from leansplat.runs import Run, create_run, hash_capture
from leansplat.training import TrainingConfig
from leansplat.training.config import TrainingConfig as Recipe
from leansplat.training.schedule import rates

CAPTURE = tiny_capture()
SHORT = FineTuningConfig(steps=20, checkpoint_every=7)


def new_run(folder: Path, capture: Capture = CAPTURE) -> Run:
    return create_run(folder, "compress", {}, {"capture": hash_capture(capture)}, seed=0)


def last(run: Run) -> Path:
    return run.checkpoint_path(run.checkpoints()[-1])


def psnr_of(gaussians: Gaussians) -> float:
    return evaluate(gaussians, CAPTURE, lpips=None, fps=False, split="train").psnr


def test_what_rounding_costs_is_recovered() -> None:
    """The photos were taken of the very scene, so that all loss is that of the grid."""
    quantiser = ToyQuantiser()
    rounded = quantiser.render_parameters(quantiser.begin(blobs())).copied()
    before = psnr_of(rounded)
    tuned = fine_tune(blobs(), CAPTURE, quantiser, FineTuningConfig(steps=300))
    after = psnr_of(quantiser.render_parameters(tuned.latents).copied())
    assert psnr_of(blobs()) > 40
    assert after > before + 2


def test_a_fine_tuning_that_was_killed_and_resumed_ends_with_the_same_bits(tmp_path: Path) -> None:
    class KilledError(Exception):
        pass

    def kill(step: int, total: int, values: dict) -> None:
        if step == 10:
            raise KilledError

    whole_quantiser, quantiser = ToyQuantiser(), ToyQuantiser()
    whole = fine_tune(blobs(), CAPTURE, whole_quantiser, SHORT, new_run(tmp_path / "whole"))
    run = new_run(tmp_path / "killed")
    with pytest.raises(KilledError):
        fine_tune(blobs(), CAPTURE, ToyQuantiser(), SHORT, run, progress=kill)
    assert run.checkpoints() == [7]
    resumed = fine_tune(None, CAPTURE, quantiser, SHORT, run, checkpoint=last(run))
    assert torch.equal(quantiser.offset, whole_quantiser.offset)
    for name, latent in whole.latents.items():
        assert torch.equal(resumed.latents[name], latent), name
    assert run.checkpoints() == [14, 20]
    assert [event["step"] for event in run.events() if event["event"] == "resumed"] == [7]


def test_without_a_checkpoint_there_must_be_a_scene(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no scene"):
        fine_tune(None, CAPTURE, ToyQuantiser(), SHORT, new_run(tmp_path / "run"))


def test_every_latent_moves_at_its_own_rate_and_centres_at_the_configs() -> None:
    """Adam's first step is as long as the rate, wherever there is a gradient."""
    recipe = TrainingConfig(opacity_rate=0.0, quat_rate=0.0, scale_rate=0.003)
    before = blobs()
    config = FineTuningConfig(steps=1, position_rate=1e-3)
    after = fine_tune(before, CAPTURE, ToyQuantiser(), config, recipe=recipe).latents
    moved = {name: (after[name] - getattr(before, name)).abs() for name in after if after[name].numel()}
    assert moved["opacities"].max() == moved["quats"].max() == 0
    assert float(moved["scales"].max()) == pytest.approx(0.003, rel=1e-3)
    assert float(moved["sh0"].max()) == pytest.approx(recipe.sh0_rate, rel=1e-3)
    assert float(moved["means"].max()) == pytest.approx(1e-3 * CAPTURE.extent, rel=1e-3)


def test_rates_fall_to_their_final_share() -> None:
    """Adam's first step is as long as the rate, and no later one is much longer."""

    class Recording(ToyQuantiser):
        def step(self, latents: Mapping[str, Tensor], step: int) -> None:
            seen.append(latents["sh0"].detach().clone())

    def lengths(final_rate: float) -> list[float]:
        seen[:] = [blobs().sh0]
        fine_tune(blobs(), CAPTURE, Recording(), FineTuningConfig(steps=40, final_rate=final_rate))
        return [float((after - before).abs().max()) / TrainingConfig().sh0_rate for before, after in pairwise(seen)]

    seen: list[Tensor] = []
    constant, resting = lengths(1.0), lengths(0.0)
    assert constant[0] == pytest.approx(resting[0], rel=1e-3) == pytest.approx(1, rel=1e-3)
    assert constant[-1] > 0.1
    assert resting[-1] < 0.01


def test_adam_is_that_of_training() -> None:
    """The same gradients through both optimisers."""
    from leansplat.engines.cpu import pack
    from leansplat.engines.cpu.engine import CpuEngine

    scene, recipe = blobs(10), Recipe()
    model = CpuEngine().begin(scene, rates(recipe))
    state = FineTuningState.begin({"sh0": scene.sh0.clone(), "scales": scene.scales.clone()}, len(scene), 0)
    state.set_rates({"sh0": recipe.sh0_rate, "scales": recipe.scale_rate})
    random = torch.Generator().manual_seed(0)
    for _ in range(5):
        gradients = {name: torch.randn(getattr(scene, name).shape, generator=random) for name in ("sh0", "scales")}
        zeros = replace(scene, **{n: torch.zeros_like(getattr(scene, n)) for n in ("means", "quats", "opacities")})
        model.update(pack(replace(zeros, **gradients)).data)
        state.update(sum((state.latents[name] * gradients[name]).sum() for name in gradients))
    expected = model.gaussians()
    for name, latent in state.latents.items():
        torch.testing.assert_close(latent.detach(), getattr(expected, name), rtol=1e-5, atol=1e-6)


def test_the_scene_given_stays_as_it_is() -> None:
    scene = blobs()
    copies = [scene.means.clone(), scene.sh0.clone()]
    fine_tune(scene, CAPTURE, ToyQuantiser(), SHORT)
    assert torch.equal(scene.means, copies[0])
    assert torch.equal(scene.sh0, copies[1])


def test_no_steps_leave_the_latents_as_they_are() -> None:
    latents = fine_tune(blobs(), CAPTURE, ToyQuantiser(), FineTuningConfig(steps=0)).latents
    assert torch.equal(latents["sh0"], blobs().sh0)
    assert not latents["sh0"].requires_grad


def test_checkpoints_that_do_not_fit_are_refused_in_a_sentence(tmp_path: Path) -> None:
    run = new_run(tmp_path / "run")
    fine_tune(blobs(), CAPTURE, ToyQuantiser(), SHORT, run)
    path = run.checkpoint_path(20)

    class Other(ToyQuantiser):
        def load(self, tensors: dict) -> None:
            raise KeyError("labels")

    with pytest.raises(RunError, match="another file format"):
        fine_tune(None, CAPTURE, Other(), SHORT, run, checkpoint=last(run))
    state, tensors = read_state(path)
    state.optimizer.state[state.latents["sh0"]]["exp_avg"] = torch.zeros(3)
    write_state(path, state, tensors)
    for damage, words in (
        (path.read_bytes(), "do not have its shape"),
        (path.read_bytes()[:-50], "damaged"),
        (b"", "damaged"),
    ):
        path.write_bytes(damage)
        with pytest.raises(RunError, match=words):
            read_state(path)
    path.unlink()
    with pytest.raises(RunError, match="does not exist"):
        read_state(path)


def test_what_cannot_be_trained_is_refused_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CaptureError, match="no training views"):
        fine_tune(blobs(), replace(CAPTURE, train=()), ToyQuantiser(), SHORT)
    with monkeypatch.context() as patch:
        patch.setattr(cpu_engine, "photometric_loss", lambda image, *_: image.sum() * math.nan)
        with pytest.raises(RunError, match="loss is nan at step 1"):
            fine_tune(blobs(), CAPTURE, ToyQuantiser(), SHORT)
    for settings in ({"steps": -1}, {"checkpoint_every": 0}, {"position_rate": float("nan")}, {"final_rate": 2.0}):
        with pytest.raises(InputError, match=next(iter(settings))):
            FineTuningConfig(**settings)
