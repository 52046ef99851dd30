"""Strategies as such: one of one's own, what the state keeps for them, and settings from before there were any."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from support.tiny import blobs, tiny_capture
from torch import Tensor

from leansplat.errors import InputError, RunError
from leansplat.gaussians import TENSOR_NAMES, Gaussians
from leansplat.pruning import TrimmingConfig, trim
from leansplat.runs import open_run
from leansplat.training import TrainingConfig, TrainingState, train
from leansplat.training.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from leansplat.training.strategies import (
    STRATEGIES,
    AfterStep,
    Densification,
    FaintPruning,
    LearnedMask,
    Strategy,
    strategy,
)
from leansplat.training.strategies.flat import core_and_strategies

CAPTURE = tiny_capture()


@strategy("quiet-pruning")
@dataclass(frozen=True)
class QuietPruning(Strategy):
    """Remove, now and then, what the colours of have moved least of all."""

    every: int = 6
    """Steps from one removal to the next."""

    share: float = 0.1
    """Of the Gaussians that goes."""

    gradients: ClassVar[tuple[str, ...]] = ("sh0",)
    without_rows: ClassVar[tuple[str, ...]] = ("steps",)

    def memory(self, count: int) -> dict[str, Tensor]:
        return {"moved": torch.zeros(count), "steps": torch.zeros(1, dtype=torch.int64)}

    def learn(self, state: TrainingState, gradients: Mapping[str, Tensor]) -> None:
        memory = state.memory[self.name]
        memory["moved"] += gradients["sh0"].flatten(1).norm(dim=1)
        memory["steps"] += 1

    def after_step(self, after: AfterStep) -> None:
        if after.state.step % self.every == 0:
            moved = after.state.memory[self.name]["moved"]
            # At random among equals, which needs the generator.
            moved = moved + 1e-12 * torch.rand(len(moved), generator=after.state.generator)
            after.keep(moved > moved.quantile(self.share), "quiet_removed")


CONFIG = replace(TrainingConfig().scaled(60), sh_degree=1, checkpoint_every=20).adjusted(
    Densification, every=4, reset_every=12, gradient=2e-5
)
OWN = CONFIG.adjusted(QuietPruning)


class KilledError(Exception):
    pass


def assert_same(first: Gaussians, second: Gaussians) -> None:
    for name in TENSOR_NAMES:
        assert torch.equal(getattr(first, name), getattr(second, name)), name


@pytest.fixture
def forgotten() -> Iterator[None]:
    """As in a script that does not have the class."""
    kept = STRATEGIES.pop("quiet-pruning")
    yield
    STRATEGIES["quiet-pruning"] = kept


def test_a_strategy_of_ones_own_trains_beside_the_published_one(tmp_path: Path) -> None:
    result = train(CAPTURE, OWN, tmp_path / "run")
    run = open_run(tmp_path / "run")
    recorded = run.config["settings"]["training"]["strategies"]
    assert list(recorded) == ["densification", "quiet-pruning"]
    assert recorded["quiet-pruning"] == {"every": 6, "share": 0.1}
    removed = [event for event in run.events() if event["event"] == "quiet_removed"]
    assert [event["step"] for event in removed] == list(range(6, 61, 6))
    assert {"densified", "opacities_reset"} <= {event["event"] for event in run.events()}
    memory = result.state.memory["quiet-pruning"]
    assert memory["moved"].shape == (len(result.gaussians),)
    assert memory["steps"].tolist() == [60]
    assert len(result.gaussians) < len(train(CAPTURE, CONFIG).gaussians)


@pytest.mark.parametrize("step", [13, 20, 47])
def test_what_it_remembers_is_in_checkpoints_and_a_resumed_run_ends_with_the_same_bits(
    tmp_path: Path, step: int
) -> None:
    def kill(state: TrainingState) -> None:
        if state.step == step:
            raise KilledError

    whole = train(CAPTURE, OWN, tmp_path / "whole")
    with pytest.raises(KilledError):
        train(CAPTURE, OWN, tmp_path / "killed", after_step=kill)
    resumed = train(CAPTURE, OWN, run=tmp_path / "killed", resume=True)
    assert_same(whole.gaussians, resumed.gaussians)
    for name, values in whole.state.memory["quiet-pruning"].items():
        assert torch.equal(values, resumed.state.memory["quiet-pruning"][name])
    with safe_open(open_run(tmp_path / "whole").checkpoint_path(60), framework="pt") as file:
        stored = file.get_tensor("strategy.quiet-pruning.moved")
    assert torch.equal(stored, whole.state.memory["quiet-pruning"]["moved"])


def test_it_goes_on_learning_while_a_scene_is_trimmed(tmp_path: Path) -> None:
    train(CAPTURE, OWN, tmp_path / "run")
    trim(tmp_path / "run", CAPTURE, TrimmingConfig(keep=0.5, rounds=2, every=3, finetune=2), tmp_path / "trimmed")
    run = open_run(tmp_path / "trimmed")
    state = read_checkpoint(run.checkpoint_path(run.checkpoints()[-1])).state
    assert state.memory["quiet-pruning"]["steps"].tolist() == [68]
    assert len(state.memory["quiet-pruning"]["moved"]) == state.count
    assert not [event for event in run.events() if event["event"] == "quiet_removed"]


@pytest.mark.parametrize("page", ["docs/training.md", "CONTRIBUTING.md"])
def test_the_strategy_of_the_documentation_is_one(page: str, tmp_path: Path) -> None:
    text = (Path(__file__).parents[3] / page).read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n((?:(?!```).)*@strategy\(\"budget\"\).*?)```", text, re.DOTALL)
    names = {"dataclass": dataclass, "AfterStep": AfterStep, "Strategy": Strategy, "strategy": strategy, "torch": torch}
    exec(compile(f"from __future__ import annotations\n{example}", page, "exec", dont_inherit=True), names)
    counts: list[int] = []
    try:
        config = CONFIG.adjusted(names["Budget"], most=33)  # type: ignore[arg-type]
        result = train(CAPTURE, config, tmp_path / "run", after_step=lambda state: counts.append(state.count))
    finally:
        STRATEGIES.pop("budget", None)
    assert max(counts) == len(result.gaussians) == 33


def test_removing_every_gaussian_ends_the_run_in_a_sentence_that_names_the_strategy() -> None:
    with pytest.raises(RunError, match="no Gaussian is left after step 6, when quiet-pruning removed the last ones"):
        train(CAPTURE, replace(CONFIG, strategies=(QuietPruning(share=1.0),)))


def test_other_settings_of_a_strategy_are_refused_by_name_when_resuming(tmp_path: Path) -> None:
    train(CAPTURE, CONFIG, tmp_path / "run")
    with pytest.raises(RunError, match=r"other settings \(strategies.densification.every\)"):
        train(CAPTURE, CONFIG.adjusted(Densification, every=5), tmp_path / "run", resume=True)
    with pytest.raises(RunError, match=r"other settings \(strategies.quiet-pruning\)"):
        train(CAPTURE, OWN, tmp_path / "run", resume=True)


def test_a_run_of_a_strategy_that_is_not_there_asks_for_its_module(tmp_path: Path, forgotten: None) -> None:
    STRATEGIES["quiet-pruning"] = QuietPruning
    train(CAPTURE, OWN, tmp_path / "run")
    checkpoint = open_run(tmp_path / "run").checkpoint_path(60)
    del STRATEGIES["quiet-pruning"]
    for attempt in (
        lambda: train(CAPTURE, run=tmp_path / "run", resume=True),
        lambda: read_checkpoint(checkpoint),
    ):
        with pytest.raises(RunError, match=r"^there is no strategy 'quiet-pruning' .* import the module that has it"):
            attempt()


def test_a_tensor_of_a_strategy_that_has_another_shape_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    write_checkpoint(path, Checkpoint(TrainingState.begin(blobs(), OWN, 1.0), replace(OWN, sh_degree=0)))
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    for name, values in (("moved", torch.zeros(61)), ("steps", torch.zeros(2, dtype=torch.int64))):
        save_file({**tensors, f"strategy.quiet-pruning.{name}": values}, path, metadata)
        with pytest.raises(RunError, match=f"damaged .*strategy.quiet-pruning.{name}"):
            read_checkpoint(path)


def test_a_start_of_another_recipe_gets_what_a_strategy_begins_with() -> None:
    start = TrainingState.begin(blobs(), CONFIG, CAPTURE.extent)
    assert "learned-mask" not in start.memory
    trained = train(CAPTURE, CONFIG.adjusted(LearnedMask), start=start)
    assert len(trained.state.memory["learned-mask"]["mask"]) == len(trained.gaussians)


def test_copies_and_survivors_keep_what_is_remembered_of_them_and_nothing_else_moves() -> None:
    state = TrainingState.begin(blobs(), OWN, 1.0)
    memory = state.memory["quiet-pruning"]
    memory["moved"] += torch.arange(60)
    state.rebuild(torch.tensor([7, 7, 59]), torch.tensor([False, True, False]))
    assert state.memory["quiet-pruning"]["moved"].tolist() == [7, 7, 59]
    assert state.memory["quiet-pruning"]["steps"].shape == (1,)


def test_recipes_are_adjusted_by_the_kind_of_their_strategies() -> None:
    config = TrainingConfig()
    assert config.strategy(LearnedMask) is None
    masked = config.adjusted(LearnedMask, weight=0.5)
    assert masked.strategies == (Densification(), LearnedMask(weight=0.5))
    assert masked.adjusted(Densification, every=7).strategies == (Densification(every=7), LearnedMask(weight=0.5))
    assert masked.without(Densification).strategies == (LearnedMask(weight=0.5),)
    with pytest.raises(InputError, match="densification, densification; give each at most once"):
        TrainingConfig(strategies=(Densification(), Densification(every=7)))


def test_every_strategy_is_made_shorter_and_longer_with_the_schedule() -> None:
    config = TrainingConfig(strategies=(Densification(), LearnedMask(), FaintPruning()))
    third, double = config.scaled(10_000), config.scaled(60_000)
    assert third.strategies == (
        Densification(after=167, until=5_000, reset_every=1_000),
        LearnedMask(every=100),
        FaintPruning(start=5_000, until=8_333, every=83),
    )
    assert double.strategies[2] == FaintPruning(start=30_000, until=50_000, every=200)
    assert config.scaled(30_000) == config


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        (Densification, {"every": 0}),
        (Densification, {"prune_large_after": -1}),
        (Densification, {"reset_every": 0}),
        (Densification, {"reset_opacity": 1.0}),
        (Densification, {"gradient": -1.0}),
        (Densification, {"every": 2.5}),
        (FaintPruning, {"every": 0}),
        (FaintPruning, {"opacity": -0.1}),
        (LearnedMask, {"threshold": 0.0}),
        (LearnedMask, {"weight": -1.0}),
    ],
)
def test_settings_of_strategies_out_of_range_are_refused_by_name(kind: type[Strategy], change: dict) -> None:
    with pytest.raises(InputError, match=f"setting {next(iter(change))} is"):
        kind(**change)


@pytest.mark.parametrize("found", [[], {"densification": 3}, "densification"])
def test_strategies_that_are_not_settings_by_name_are_refused(found: object) -> None:
    with pytest.raises(InputError, match=r"setting strategies is .* by its name"):
        TrainingConfig.from_json({"strategies": found})


FLAT = {
    "iterations": 1234,
    "densify_from": 7,
    "densify_until": 800,
    "densify_every": 40,
    "densify_gradient": 1e-4,
    "reset_opacities_every": 300,
    "prune_radius": 20.0,
    "opacity_pruning_until": 1000,
    "opacity_pruning_threshold": 0.02,
    "mask_weight": 5e-4,
    "mask_threshold": 0.1,
}


ALL_FLAT = {
    "iterations": 30_000,
    "densify_from": 500,
    "densify_until": 15_000,
    "densify_every": 100,
    "densify_gradient": 2e-4,
    "densify_size": 0.01,
    "prune_opacity": 0.005,
    "prune_size": 0.1,
    "prune_large_after": 25,
    "prune_radius": 0.0,
    "reset_opacities_every": 3000,
    "reset_opacity": 0.01,
    "opacity_pruning_until": 0,
    "opacity_pruning_threshold": 0.005,
    "mask_weight": 0.0,
    "mask_rate": 0.01,
    "mask_threshold": 0.01,
}
"""What runs by the published recipe have in their config.json."""


def test_settings_from_before_there_were_strategies_mean_what_they_did() -> None:
    config = TrainingConfig.from_json(FLAT)
    assert config.iterations == 1234
    assert config.strategies == (
        Densification(after=7, until=800, every=40, gradient=1e-4, reset_every=300, prune_radius=20.0),
        LearnedMask(weight=5e-4, threshold=0.1, every=40),
        FaintPruning(start=800, until=1000, every=40, opacity=0.02),
    )
    off = {"densify_until": 0, "opacity_pruning_until": 0, "opacity_pruning_threshold": 0.5, "mask_weight": 0.0}
    assert TrainingConfig.from_json(off).strategies == ()
    assert TrainingConfig.from_json({}) == TrainingConfig()
    assert TrainingConfig.from_json(ALL_FLAT) == TrainingConfig()
    for change in ({"mask_weight": "much"}, {"densify_every": 0}, {"opacity_pruning_until": -1}, {"densify_evry": 5}):
        with pytest.raises(InputError):
            TrainingConfig.from_json(change)


def test_old_names_change_a_recipe_as_it_is() -> None:
    recipe = TrainingConfig().scaled(300)
    core, strategies = core_and_strategies({"random_points": 9, "mask_weight": 1.0}, recipe.strategies)
    assert core == {"random_points": 9}
    assert strategies == (*recipe.strategies, LearnedMask(weight=1.0, every=36))


def test_a_run_from_before_there_were_strategies_is_resumed_to_the_bits_it_would_have_had(tmp_path: Path) -> None:
    """Settings in config.json and in the checkpoint by their old names, and the tensor of the mask by its own."""
    config = TrainingConfig.from_json({**FLAT, "iterations": 40, "densify_until": 35, "densify_every": 5})
    config = replace(config, sh_degree=1, checkpoint_every=20)

    def kill(state: TrainingState) -> None:
        if state.step == 25:
            raise KilledError

    whole = train(CAPTURE, config)
    with pytest.raises(KilledError):
        train(CAPTURE, config, tmp_path / "run", after_step=kill)
    flat = {**FLAT, "iterations": 40, "densify_until": 35, "densify_every": 5, "sh_degree": 1, "checkpoint_every": 20}
    path = tmp_path / "run" / "config.json"
    recorded = json.loads(path.read_text())
    recorded["settings"]["training"] = flat
    path.write_text(json.dumps(recorded))
    checkpoint = open_run(tmp_path / "run").checkpoint_path(20)
    with safe_open(checkpoint, framework="pt") as file:
        metadata = file.metadata() | {"config": json.dumps(flat)}
        tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    counters = json.loads(metadata["counters"])
    del counters["engine"]
    metadata["counters"] = json.dumps(counters)
    tensors["mask"] = tensors.pop("strategy.learned-mask.mask")
    save_file(tensors, checkpoint, metadata)
    assert_same(train(CAPTURE, run=tmp_path / "run", resume=True).gaussians, whole.gaussians)
