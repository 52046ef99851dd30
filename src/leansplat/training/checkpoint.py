"""Checkpoints: a `TrainingState` as one safetensors file, complete enough that a resumed run gives the same bits.

Tensors are stored as they lie in memory; counters and settings are JSON in the file's metadata. Nothing is unpickled,
and types, shapes and the settings are checked against each other before any tensor is read.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from leansplat import engines
from leansplat.engines.engine import Facts
from leansplat.engines.statistics import ViewStatistics
from leansplat.errors import InputError, RunError
from leansplat.files import replacing
from leansplat.gaussians import WORLD
from leansplat.training import schedule
from leansplat.training.config import TrainingConfig
from leansplat.training.state import TrainingState
from leansplat.training.strategies.flat import MASK
from leansplat.training.strategies.strategy import Memory, Strategy

FORMAT = "leansplat-checkpoint-1"
"""Name and version of what the metadata and the tensors mean."""

_STRATEGY = "strategy."
"""What the names of tensors begin with that strategies remember; their own names follow."""

_TYPES = {
    torch.float32: "F32",
    torch.float64: "F64",
    torch.int32: "I32",
    torch.int64: "I64",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
"""What safetensors calls the types of tensors that a strategy may remember."""

_GENERATOR_BYTES = len(torch.Generator().get_state())
_COUNTERS = {"step": int, "adam_steps": int, "count": int, "antialiased": bool, "extent": float, "seconds": float}


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint file holds.

    Args:
        state: where training stood.
        config: the settings it was trained with.
        notes: further JSON values that whoever wrote the checkpoint needs to go on (the trimmer's rounds).
    """

    state: TrainingState
    config: TrainingConfig
    notes: Mapping[str, Any] = field(default_factory=dict)


def write_checkpoint(path: str | os.PathLike[str], checkpoint: Checkpoint) -> None:
    """Write a checkpoint; the file appears whole or not at all and replaces one of the same name."""
    state = checkpoint.state
    facts, statistics = state.model.facts, state.statistics.to("cpu")
    tensors = {
        **state.model.tensors(),
        "views_seen": statistics.views_seen,
        "max_radius": statistics.max_radius,
        "gradient_sum": statistics.gradient_sum,
        "generator": state.generator.get_state(),
        "view_queue": state.view_queue.clone(),
    }
    for name, memory in state.memory.items():
        tensors |= {f"{_STRATEGY}{name}.{tensor}": values.cpu() for tensor, values in memory.items()}
    counters = {
        "engine": state.model.engine,
        "step": state.step,
        "adam_steps": facts.steps,
        "count": facts.count,
        "antialiased": facts.antialiased,
        "extent": state.extent,
        "seconds": state.seconds,
        "origin": facts.origin,
    }
    metadata = {
        "format": FORMAT,
        "counters": json.dumps(counters),
        "config": json.dumps(checkpoint.config.to_json()),
        "notes": json.dumps(checkpoint.notes),
    }
    with replacing(path, overwrite=True) as handle:
        handle.write(save(tensors, metadata))


def read_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Read what `write_checkpoint` wrote.

    Raises:
        RunError: the file is missing, damaged, of another kind, or its parts do not fit each other.
    """
    if not Path(path).is_file():
        raise RunError(f"{path} does not exist; there is no checkpoint to resume from")
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise RunError(
                    f"{path} is not a checkpoint of a training by this version of leansplat; start the run again"
                )
            counters = _counters(json.loads(metadata["counters"]))
            config = TrainingConfig.from_json(json.loads(metadata["config"]))
            notes = json.loads(metadata["notes"])
            facts = _facts(counters, config)
            _check_tensors(file, facts, counters["engine"], config)
            # Cloned, because safetensors maps the file: kernels want aligned memory, and training changes it.
            tensors = {MASK.get(name, name): file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        if not isinstance(notes, dict):
            raise ValueError("notes are not an object")
        return Checkpoint(_state(tensors, facts, counters, config), config, notes)
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, RuntimeError, InputError) as error:
        if isinstance(error, RunError):
            raise
        raise RunError(f"{path} is damaged ({error}); delete it to resume from the checkpoint before it") from error


def _counters(values: Mapping[str, Any]) -> dict[str, Any]:
    for name, wanted in _COUNTERS.items():
        if type(values[name]) is not wanted:
            raise ValueError(f"{name} is {values[name]!r}")
        if wanted is not bool and not 0 <= values[name] < float("inf"):
            raise ValueError(f"{name} is {values[name]!r}")
    origin = values.get("origin", WORLD)  # older checkpoints have none
    if len(origin) != 3 or not all(type(value) is float and math.isfinite(value) for value in origin):
        raise ValueError(f"origin is {origin!r}")
    return {"engine": "cpu", **values, "origin": tuple(origin)}  # nor do they name the engine, of which there was one


def _facts(counters: Mapping[str, Any], config: TrainingConfig) -> Facts:
    return Facts(
        count=counters["count"],
        sh_degree=config.sh_degree,
        antialiased=counters["antialiased"],
        origin=counters["origin"],
        steps=counters["adam_steps"],
    )


def _check_tensors(file: Any, facts: Facts, engine: str, config: TrainingConfig) -> None:
    """Types and shapes from the header alone, so that nothing large is allocated for a file that does not fit."""
    count = facts.count
    expected: dict[str, tuple[str, Sequence[int] | None]] = {
        **engines.known(engine).layout(facts),
        "views_seen": ("I32", [count]),
        "max_radius": ("F32", [count]),
        "gradient_sum": ("F32", [count]),
        "generator": ("U8", [_GENERATOR_BYTES]),
        "view_queue": ("I64", None),
    }
    for each in config.strategies:
        for name, values in each.memory(0).items():
            shape = list(values.shape) if name in each.without_rows else [count, *values.shape[1:]]
            expected[f"{_STRATEGY}{each.name}.{name}"] = (_TYPES[values.dtype], shape)
    names = {MASK.get(name, name): name for name in file.keys()}  # noqa: SIM118 - not a mapping
    if set(names) != set(expected):
        raise ValueError(f"it holds the tensors {', '.join(sorted(file.keys()))}")
    for name, (wanted_type, wanted_shape) in expected.items():
        header = file.get_slice(names[name])
        shape = list(header.get_shape())
        if header.get_dtype() != wanted_type or (wanted_shape is not None and shape != list(wanted_shape)):
            raise ValueError(f"tensor {name} is {header.get_dtype()} {shape}")
        if wanted_shape is None and len(shape) != 1:
            raise ValueError(f"tensor {name} has shape {shape}")


def _state(
    tensors: Mapping[str, Tensor], facts: Facts, counters: Mapping[str, Any], config: TrainingConfig
) -> TrainingState:
    generator = torch.Generator()
    generator.set_state(tensors["generator"])
    if bool((tensors["view_queue"] < 0).any()):
        raise ValueError("a queued view is negative")
    model = engines.known(counters["engine"]).load(tensors, facts, schedule.rates(config))
    statistics = ViewStatistics(tensors["views_seen"], tensors["max_radius"], tensors["gradient_sum"])
    return TrainingState(
        model=model,
        statistics=statistics.to(model.device),
        generator=generator,
        view_queue=tensors["view_queue"],
        step=counters["step"],
        extent=counters["extent"],
        seconds=counters["seconds"],
        memory={each.name: _memory(tensors, each, model.device) for each in config.strategies},
    )


def _memory(tensors: Mapping[str, Tensor], strategy: Strategy, device: torch.device) -> Memory:
    return {name: tensors[f"{_STRATEGY}{strategy.name}.{name}"].to(device) for name in strategy.memory(0)}
