"""Checkpoints: nothing is lost, nothing damaged is accepted."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from support.tiny import tiny_capture

from leansplat.errors import RunError
from leansplat.training.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from leansplat.training.config import TrainingConfig
from leansplat.training.state import TrainingState, training_step
from leansplat.training.trainer import begin_training

CONFIG = replace(TrainingConfig().scaled(300), sh_degree=1)
CAPTURE = tiny_capture(views=5)


def advance(state: TrainingState, steps: int) -> None:
    for _ in range(steps):
        view = CAPTURE.train[state.next_view(len(CAPTURE.train))]
        training_step(state, view, CONFIG, CAPTURE.background, statistics=state.statistics)


@pytest.fixture
def state() -> TrainingState:
    state = begin_training(CAPTURE, CONFIG)
    advance(state, 4)
    return state


def tensors(state: TrainingState) -> dict[str, torch.Tensor]:
    return {
        **state.model.tensors(),
        "seen": state.statistics.views_seen,
        "radius": state.statistics.max_radius,
        "gradient": state.statistics.gradient_sum,
        "queue": state.view_queue,
        "generator": state.generator.get_state(),
    }


def assert_same(first: TrainingState, second: TrainingState) -> None:
    for name, values in tensors(first).items():
        assert torch.equal(values, tensors(second)[name]), name
    assert (first.step, first.extent, first.model.facts) == (second.step, second.extent, second.model.facts)


def test_training_goes_on_with_the_same_bits(state: TrainingState, tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "a.safetensors", Checkpoint(state, CONFIG, {"round": 3}))
    checkpoint = read_checkpoint(tmp_path / "a.safetensors")
    assert checkpoint.config == CONFIG
    assert checkpoint.notes == {"round": 3}
    advance(state, 5)  # past the end of the shuffled views, so that random numbers are drawn too
    advance(checkpoint.state, 5)
    assert_same(state, checkpoint.state)


def test_an_empty_scene_survives(state: TrainingState, tmp_path: Path) -> None:
    state.select(torch.zeros(0, dtype=torch.int64))
    write_checkpoint(tmp_path / "a.safetensors", Checkpoint(state, CONFIG))
    assert len(read_checkpoint(tmp_path / "a.safetensors").state.model) == 0


def test_the_file_is_replaced_as_a_whole(state: TrainingState, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    write_checkpoint(path, Checkpoint(state, CONFIG))
    write_checkpoint(path, Checkpoint(state, CONFIG, {"second": True}))
    assert read_checkpoint(path).notes == {"second": True}
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.safetensors"]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"nothing\.safetensors"):
        read_checkpoint(tmp_path / "nothing.safetensors")


@pytest.mark.parametrize("kept", [0, 7, 100, 9000, -1])
def test_a_truncated_file_is_refused(state: TrainingState, tmp_path: Path, kept: int) -> None:
    path = tmp_path / "a.safetensors"
    write_checkpoint(path, Checkpoint(state, CONFIG))
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(RunError, match=r"a\.safetensors is damaged"):
        read_checkpoint(path)


def test_another_safetensors_file_is_refused(tmp_path: Path) -> None:
    save_file({"weights": torch.zeros(3)}, tmp_path / "a.safetensors")
    with pytest.raises(RunError, match="not a checkpoint of a training"):
        read_checkpoint(tmp_path / "a.safetensors")


def tampered(path: Path, change: Any) -> None:
    with safe_open(path, framework="pt") as file:
        metadata = dict(file.metadata())
        values = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    parsed = {name: json.loads(metadata[name]) for name in ("counters", "config", "notes")}
    change(parsed, values)
    metadata |= {name: json.dumps(value) for name, value in parsed.items()}
    save_file(values, path, metadata)


CHANGES = {
    "count": lambda parsed, values: parsed["counters"].update(count=10**12),
    "negative step": lambda parsed, values: parsed["counters"].update(step=-1),
    "fractional step": lambda parsed, values: parsed["counters"].update(step=1.5),
    "nan extent": lambda parsed, values: parsed["counters"].update(extent=float("nan")),
    "no engine of that name": lambda parsed, values: parsed["counters"].update(engine="steam"),
    "no counter": lambda parsed, values: parsed["counters"].pop("adam_steps"),
    "counters a list": lambda parsed, values: parsed.update(counters=[1, 2]),
    "config": lambda parsed, values: parsed["config"].update(iteration=3),
    "notes": lambda parsed, values: parsed.update(notes=[1]),
    "no moments": lambda parsed, values: values.pop("second_moment"),
    "one tensor more": lambda parsed, values: values.update(more=torch.zeros(1)),
    "moments of another size": lambda parsed, values: values.update(first_moment=torch.zeros(1, 23, 16)),
    "data of another type": lambda parsed, values: values.update(data=values["data"].double()),
    "generator": lambda parsed, values: values.update(generator=torch.zeros(12, dtype=torch.uint8)),
    "queue": lambda parsed, values: values.update(view_queue=torch.tensor([-1])),
    "queue shape": lambda parsed, values: values.update(view_queue=torch.zeros(2, 2, dtype=torch.int64)),
}


@pytest.mark.parametrize("name", CHANGES)
def test_parts_that_do_not_fit_are_refused(state: TrainingState, tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.safetensors"
    write_checkpoint(path, Checkpoint(state, CONFIG))
    tampered(path, CHANGES[name])
    with pytest.raises(RunError, match=r"a\.safetensors is damaged"):
        read_checkpoint(path)
