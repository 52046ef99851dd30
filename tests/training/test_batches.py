"""Steps with several views: what a batch holds, Adam's numbers for it, and that all lengths go on counting views."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support.tiny import blobs, tiny_capture

from leansplat import engines
from leansplat.captures.capture import View
from leansplat.compression import CompressionConfig, FineTuningConfig, compress
from leansplat.engines.adam import BETA1, BETA2, EPSILON, BatchedAdam
from leansplat.engines.batched_adam import adam_of_batch
from leansplat.engines.cpu import render
from leansplat.engines.statistics import ViewStatistics
from leansplat.errors import InputError, RunError
from leansplat.gaussians import TENSOR_NAMES, Gaussians
from leansplat.pruning import TrimmingConfig, trim
from leansplat.runs import open_run
from leansplat.training import TrainingConfig, TrainingState, train
from leansplat.training.batches import views_of_batch
from leansplat.training.strategies import Densification, LearnedMask

CAPTURE = tiny_capture()
BATCHED = replace(TrainingConfig().scaled(90), sh_degree=1, checkpoint_every=20, batch=4).adjusted(
    Densification, every=6, reset_every=30, prune_large_after=3, gradient=2e-5
)
RATES = {"means": 3e-3, "quats": 1e-3, "scales": 5e-3, "opacities": 0.05, "sh0": 2.5e-3, "shN": 1.25e-4}
BLACK = (0.0, 0.0, 0.0)


def assert_same(first: Gaussians, second: Gaussians) -> None:
    for name in TENSOR_NAMES:
        assert torch.equal(getattr(first, name), getattr(second, name)), name


def scene() -> Gaussians:
    return replace(blobs(), shN=0.1 * torch.randn(60, 15, 3, generator=torch.Generator().manual_seed(1)))


def views(count: int = 3) -> list[View]:
    return list(CAPTURE.train[:count])


@pytest.mark.parametrize(("batch", "number"), [(2, 8), (3, 8), (4, 11), (8, 8)])
def test_every_slot_goes_through_its_part_of_the_views_in_ever_new_orders(batch: int, number: int) -> None:
    drawn = [views_of_batch(5, each, batch, number) for each in range(60)]
    for slot in range(batch):
        seen = [each[slot] for each in drawn]
        part = list(range(slot, number, batch))
        turns = [seen[first : first + len(part)] for first in range(0, 60 - len(part), len(part))]
        assert all(sorted(turn) == part for turn in turns)
        assert len(part) < 3 or len({tuple(turn) for turn in turns}) > 1
    assert drawn == [views_of_batch(5, each, batch, number) for each in range(60)]
    assert batch == number or drawn != [views_of_batch(6, each, batch, number) for each in range(60)]


def test_a_batch_of_one_has_adams_own_numbers_and_larger_ones_follow_grendel() -> None:
    assert BatchedAdam.of(1) == (1.0, BETA1, BETA2, EPSILON)
    assert BatchedAdam.of(4) == pytest.approx((2.0, 0.9**4, 0.999**4, EPSILON / 2))


@pytest.mark.parametrize("name", ["cpu", "torch"])
def test_a_step_with_several_views_is_adam_with_the_mean_of_their_gradients(name: str) -> None:
    """The reference: gradients by autograd through the CPU renderer, and Adam written out in float64."""
    start, chosen = scene(), views()
    model = engines.named(name).begin(start, RATES)
    values = {tensor: getattr(start, tensor).double() for tensor in TENSOR_NAMES}
    first = {tensor: torch.zeros_like(each) for tensor, each in values.items()}
    second = {tensor: torch.zeros_like(each) for tensor, each in values.items()}
    seen = 0
    for batch in (chosen, chosen[:1], chosen[1:]):
        before = model.gaussians()
        means = {tensor: torch.zeros_like(each) for tensor, each in values.items()}
        for view in batch:  # a step of no rate that gives the gradients of one view
            found = engines.named(name).begin(before, {}).step(view, BLACK, 3, 0.2, None, TENSOR_NAMES).gradients
            for tensor in TENSOR_NAMES:
                means[tensor] += found[tensor].double() / len(batch)
        n = len(batch)
        seen += n
        step = model.step_batch(batch, BLACK, 3, 0.2, None, ("scales",))
        torch.testing.assert_close(step.gradients["scales"].double(), means["scales"], rtol=1e-4, atol=1e-9)
        for tensor in TENSOR_NAMES:
            first[tensor] = 0.9**n * first[tensor] + (1 - 0.9**n) * means[tensor]
            second[tensor] = 0.999**n * second[tensor] + (1 - 0.999**n) * means[tensor] ** 2
            corrected = first[tensor] / (1 - 0.9**seen)
            size = (second[tensor] / (1 - 0.999**seen)).sqrt() + 1e-15 / math.sqrt(n)
            moved = math.sqrt(n) * RATES[tensor] * corrected / size
            certain = second[tensor].sqrt() > 1e-3 * second[tensor].sqrt().max()
            went = getattr(before, tensor).double() - model.attribute(tensor).double()
            torch.testing.assert_close(went[certain], moved[certain], rtol=2e-2, atol=2e-2 * RATES[tensor])
    assert model.facts.steps == seen == 6


@pytest.mark.parametrize("name", ["cpu", "torch"])
def test_statistics_get_every_view_of_a_batch_as_if_it_had_been_alone(name: str) -> None:
    model = engines.named(name).begin(scene(), {})
    together = ViewStatistics.zeros(60)
    model.step_batch(views(), BLACK, 3, 0.2, together)
    alone = model.gather_statistics(views(), BLACK, 0.2)
    assert torch.equal(together.views_seen, alone.views_seen)
    assert torch.equal(together.max_radius, alone.max_radius)
    torch.testing.assert_close(together.gradient_sum, alone.gradient_sum, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("name", ["cpu", "torch"])
def test_a_batch_with_a_loss_that_is_not_finite_changes_nothing_and_leaves_nothing(name: str) -> None:
    model = engines.named(name).begin(scene(), RATES)
    broken = replace(views()[1], photo=torch.full((40, 40, 3), math.nan))
    assert math.isnan(model.step_batch([views()[0], broken], BLACK, 3, 0.2).loss)
    assert_same(model.gaussians(), engines.named(name).begin(scene(), {}).gaussians())
    assert all(bool((each == 0).all()) for each in model.gradient_sums())


def test_batches_of_pytorchs_adam_correct_the_bias_of_the_views_seen() -> None:
    """Where all gradients are one, every step goes as far as its rate, whatever the order of batches."""
    leaf = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    optimizer, seen = torch.optim.Adam([leaf], lr=0.5, betas=(BETA1, BETA2), eps=EPSILON), 0
    for views_of_step in (3, 1, 4):
        before = leaf.item()
        leaf.grad = torch.ones_like(leaf)
        with adam_of_batch(optimizer, seen, views_of_step):
            optimizer.step()
        seen += views_of_step
        assert before - leaf.item() == pytest.approx(0.5 * math.sqrt(views_of_step), rel=1e-5)
    assert optimizer.param_groups[0]["lr"] == 0.5
    assert optimizer.param_groups[0]["betas"] == (BETA1, BETA2)


def test_training_with_a_batch_counts_views_and_does_everything_after_as_many(tmp_path: Path) -> None:
    steps: list[int] = []
    result = train(CAPTURE, BATCHED, tmp_path / "run", after_step=lambda state: steps.append(state.step))
    assert steps == [*range(4, 90, 4), 90]  # the last batch holds what is left
    run = open_run(tmp_path / "run")
    assert run.checkpoints() == [80, 90]
    densified = [event["step"] for event in run.events() if event["event"] == "densified"]
    strategy = BATCHED.strategy(Densification)
    assert strategy is not None
    assert densified == [step for step in range(1, 91) if strategy.densifies(step)]
    resets = [event["step"] for event in run.events() if event["event"] == "opacities_reset"]
    assert resets == [step for step in range(1, 91) if strategy.resets_opacities(step)]
    assert result.state.model.facts.steps == 90
    assert run.config["settings"]["training"]["batch"] == 4


def test_a_batched_training_that_was_stopped_ends_with_the_same_bits(tmp_path: Path) -> None:
    config = replace(BATCHED, strategies=(*BATCHED.strategies, LearnedMask(rate=0.2, every=10)), random_background=True)
    whole = train(CAPTURE, config)

    def stop(state: TrainingState) -> None:
        if state.step >= 48:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(CAPTURE, config, tmp_path / "run", after_step=stop)
    assert open_run(tmp_path / "run").checkpoints() == [20, 40]
    resumed = train(CAPTURE, config, tmp_path / "run", resume=True)
    assert_same(whole.gaussians, resumed.gaussians)
    with pytest.raises(RunError, match=r"other settings \(batch\)"):
        train(CAPTURE, replace(config, batch=2), tmp_path / "run", resume=True)


def test_batches_learn_as_much_from_as_many_views() -> None:
    """The PSNR of photos held out after 400 views by four a step is near that of one a step."""
    found = []
    for batch in (1, 4):
        config = replace(TrainingConfig().scaled(400), sh_degree=0, batch=batch, strategies=())
        trained = train(CAPTURE, config).gaussians
        errors = [
            (render(trained, view.camera).image.clamp(0, 1) - view.photo / 255).square().mean() for view in CAPTURE.test
        ]
        found.append(-10 * math.log10(float(torch.stack(errors).mean())))
    assert found[0] > 17
    assert abs(found[0] - found[1]) < 1.5


def test_trimming_with_a_batch_makes_its_rounds_after_as_many_views(tmp_path: Path) -> None:
    config = TrimmingConfig(keep=0.5, rounds=3, every=10, finetune=15, batch=4)
    steps: list[int] = []
    result = trim(blobs(), CAPTURE, config, tmp_path / "run", progress=lambda done, *_: steps.append(done))
    assert len(result.gaussians) == 30
    run = open_run(tmp_path / "run")
    rounds = [event for event in run.events() if event["event"] == "round"]
    assert [event["round"] for event in rounds] == [1, 2, 3]
    first = rounds[0]["step"]
    assert [event["step"] - first for event in rounds] == [0, 12, 20]  # after the batch that the tenth view is in
    assert steps[-1] == 45
    assert run.config["settings"]["trimming"]["batch"] == 4


def test_compression_with_a_batch_trains_as_many_views(tmp_path: Path) -> None:
    config = CompressionConfig(fine_tuning=FineTuningConfig(steps=42, batch=4, checkpoint_every=20))
    result = compress(blobs(), CAPTURE, tmp_path / "small.sog", config, tmp_path / "run")
    events = [event for event in open_run(tmp_path / "run").events() if event["event"] == "progress"]
    assert [event["step"] for event in events] == [20, 40, 42]
    assert len(result.gaussians) == 60


def test_a_batch_larger_than_the_training_views_is_refused() -> None:
    with pytest.raises(InputError, match="a batch of 9 views was asked for, but the capture has 8"):
        train(CAPTURE, replace(BATCHED, batch=9))
    with pytest.raises(InputError, match="a batch of 9 views"):
        trim(blobs(), CAPTURE, TrimmingConfig(keep=0.5, batch=9))
    with pytest.raises(InputError, match="setting batch is 0"):
        replace(BATCHED, batch=0)


def test_the_largest_batch_is_all_views() -> None:
    config = replace(BATCHED, batch=8, iterations=24)
    assert len(train(CAPTURE, config).gaussians) > 0
