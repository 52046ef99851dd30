"""`FineTuningState`: all that the next step of fine-tuning depends on besides the quantiser, and its checkpoints.

Latents of any shapes, with Adam's moments, by name. A checkpoint is a safetensors file, as in training: nothing is
unpickled, and a resumed run ends with the same bits as one that was not interrupted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from leansplat.engines.adam import BETA1, BETA2, EPSILON
from leansplat.engines.batched_adam import adam_of_batch
from leansplat.errors import RunError
from leansplat.files import replacing
from leansplat.gaussians import WORLD, Origin
from leansplat.training.state import next_view

FORMAT = "leansplat-fine-tuning-1"
"""Name and version of what the metadata and the tensors mean."""

_LATENT, _FIRST, _SECOND, _QUANTISER = "latent.", "first_moment.", "second_moment.", "quantiser."


@dataclass
class FineTuningState:
    """A fine-tuning between two steps.

    Args:
        latents: float32 leaves that are trained, by name.
        optimizer: Adam over the latents that are not empty, a group each.
        generator: of the order of the views.
        view_queue: (Q,) int64, training views still to come before all are shuffled again.
        count: Gaussians in the scene.
        step: steps made so far; one with a batch of views counts as so many.
        seconds: time spent so far, over all sittings.
    """

    latents: dict[str, Tensor]
    optimizer: torch.optim.Adam
    generator: torch.Generator
    view_queue: Tensor
    count: int
    step: int = 0
    seconds: float = 0.0

    @classmethod
    def begin(cls, latents: Mapping[str, Tensor], count: int, seed: int) -> FineTuningState:
        """Before the first step; the tensors are changed in place from then on."""
        leaves = {name: latent.detach().contiguous().requires_grad_() for name, latent in latents.items()}
        groups = [{"params": [leaf], "name": name} for name, leaf in leaves.items() if leaf.numel()]
        optimizer = torch.optim.Adam(groups, lr=0.0, betas=(BETA1, BETA2), eps=EPSILON, fused=True)
        generator = torch.Generator().manual_seed(seed)
        return cls(leaves, optimizer, generator, torch.zeros(0, dtype=torch.int64), count)

    def set_rates(self, rates: Mapping[str, float]) -> None:
        """Set the learning rate of every latent."""
        for group in self.optimizer.param_groups:
            group["lr"] = rates[group["name"]]

    def next_view(self, views: int) -> int:
        """Index of the next training view, as in training."""
        index, self.view_queue = next_view(self.view_queue, views, self.generator)
        return index

    def update(self, loss: Tensor, views: int = 1) -> None:
        """One step of Adam (Kingma and Ba 2015, epsilon 1e-15 as in 3DGS) down the gradient of `loss`.

        Args:
            views: those that the loss is the mean of.
        """
        self.optimizer.zero_grad()
        loss.backward()
        if views == 1:
            self.optimizer.step()
        else:
            with adam_of_batch(self.optimizer, self.step, views):
                self.optimizer.step()
        self.step += views


def write_state(path: Path, state: FineTuningState, quantiser: Mapping[str, Tensor]) -> None:
    """Write a checkpoint; the file appears whole or not at all and replaces one of the same name."""
    tensors = {f"{_LATENT}{name}": latent.detach() for name, latent in state.latents.items()}
    for group in state.optimizer.param_groups:
        (leaf,) = group["params"]
        moments = state.optimizer.state[leaf]
        tensors[f"{_FIRST}{group['name']}"] = moments["exp_avg"]
        tensors[f"{_SECOND}{group['name']}"] = moments["exp_avg_sq"]
    tensors |= {f"{_QUANTISER}{name}": values for name, values in quantiser.items()}
    tensors |= {"generator": state.generator.get_state(), "view_queue": state.view_queue.clone()}
    counters = {"step": state.step, "count": state.count, "seconds": state.seconds}
    with replacing(path, overwrite=True) as handle:
        handle.write(save(tensors, {"format": FORMAT, "counters": json.dumps(counters)}))


def read_state(path: Path) -> tuple[FineTuningState, dict[str, Tensor]]:
    """Read what `write_state` wrote: the state, whose learning rates are still to be set, and the quantiser's tensors.

    Raises:
        RunError: the file is missing, damaged, of another kind, or its parts do not fit each other.
    """
    if not path.is_file():
        raise RunError(f"{path} does not exist; there is no checkpoint to resume from")
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise RunError(
                    f"{path} is not a checkpoint of a fine-tuning by this version of leansplat; start the run again"
                )
            counters = json.loads(metadata["counters"])
            # Cloned, because safetensors maps the file and training changes it.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118 - not a mapping
        return _state(tensors, int(counters["step"]), int(counters["count"]), float(counters["seconds"]))
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise RunError(f"{path} is damaged ({error}); delete it to resume from the checkpoint before it") from error


def said_origin(tensors: Mapping[str, Tensor]) -> Origin:
    """The origin of a scene among a quantiser's tensors; older checkpoints have none.

    Raises:
        ValueError: it is no point.
    """
    if "origin" not in tensors:
        return WORLD
    x, y, z = tensors["origin"].tolist()
    return x, y, z


def _state(
    tensors: dict[str, Tensor], step: int, count: int, seconds: float
) -> tuple[FineTuningState, dict[str, Tensor]]:
    state = FineTuningState.begin(_part(tensors, _LATENT), count, 0)
    state.generator.set_state(tensors["generator"])
    state.view_queue, state.step, state.seconds = tensors["view_queue"], step, seconds
    for group in state.optimizer.param_groups:
        (leaf,) = group["params"]
        moments = tensors[f"{_FIRST}{group['name']}"], tensors[f"{_SECOND}{group['name']}"]
        if any(moment.shape != leaf.shape or moment.dtype != leaf.dtype for moment in moments):
            raise ValueError(f"moments of {group['name']} do not have its shape")
        state.optimizer.state[leaf] = {
            "step": torch.tensor(float(step)),
            "exp_avg": moments[0],
            "exp_avg_sq": moments[1],
        }
    return state, _part(tensors, _QUANTISER)


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): values for name, values in tensors.items() if name.startswith(prefix)}
