"""Training checkpoints of 3DGS (`chkpnt30000.pth`), where the authors' code of Trimming the Fat starts: read only.

`torch_file` reads them without running anything that is in them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from leansplat.arrays import GaussianArrays
from leansplat.errors import SceneFileError
from leansplat.formats import torch_file
from leansplat.formats.format import report_nonfinite, report_padding
from leansplat.formats.surfels import log_thickness, report_flat
from leansplat.gaussians import TENSOR_NAMES, Gaussians

_PARAMETERS = {
    "xyz": "means",
    "f_dc": "sh0",
    "f_rest": "shN",
    "scaling": "scales",
    "rotation": "quats",
    "opacity": "opacities",
}
"""The optimiser's name of each parameter, in the order the file has them, and ours."""

_ENTRIES = (
    "active_sh_degree",
    *_PARAMETERS,
    *("max_radii2D", "xyz_gradient_accum", "denom", "optimizer", "spatial_lr_scale"),
)
"""What `GaussianModel.capture` of 3DGS (Kerbl et al. 2023) returns, in its order."""

__all__ = ["InriaCheckpoint", "load", "read"]

_MANY = 2**31  # no count or size in a real file comes near


@dataclass(frozen=True)
class InriaCheckpoint:
    """A 3DGS scene with the state of its training.

    Args:
        gaussians: the scene, N Gaussians.
        iteration: training steps made, at least 1.
        extent: scene extent, the unit of the position learning rate.
        first_moment, second_moment: Adam's running means of each parameter's gradient and of its square, in the
            tensors of the same names; all finite.
        steps: Adam's updates so far; opacity resets skip one of the opacities', the largest count is given.
        rates: learning rate by tensor name, finite and not negative.
        gradient_sum: (N,) float32, sum over views of the norm of the screen-space position gradient, since the last
            densification, in normalised device units.
        views_seen: (N,) int32, the views that saw a Gaussian since then.
        max_radius: (N,) float32, its largest screen radius since then, in pixels.
    """

    gaussians: Gaussians
    iteration: int
    extent: float
    first_moment: Gaussians
    second_moment: Gaussians
    steps: int
    rates: Mapping[str, float]
    gradient_sum: Tensor
    views_seen: Tensor
    max_radius: Tensor


def load(path: Path) -> InriaCheckpoint:
    """Read a checkpoint with its optimiser and gradient statistics.

    Raises:
        SceneFileError: the file is missing, damaged, not a 3DGS checkpoint, or its parts do not fit each other.
    """
    with _explained(path):
        entries, iteration = _entries(path)
        if not 1 <= iteration < _MANY:
            raise ValueError(f"it was saved at iteration {iteration}")
        gaussians = _gaussians(entries).finite_equivalent()
        report_padding(gaussians.arrays(), path, drop=False)
        _report_flat(entries, path)
        states, rates = _optimizer(entries["optimizer"])
        first, second = (
            _gaussians({name: state.get(key) for name, state in states.items()}, f"{key} of ", _zeros)
            for key in ("exp_avg", "exp_avg_sq")
        )
        if len({(len(each), each.sh_degree) for each in (gaussians, first, second)}) > 1:
            raise ValueError("its optimiser belongs to another scene")
        negative = any(bool((getattr(second, name) < 0).any()) for name in TENSOR_NAMES)
        if negative or not bool(first.finite().all() and second.finite().all()):
            raise ValueError("its optimiser has moments that are negative or not finite")
        extent = entries["spatial_lr_scale"]
        if not isinstance(extent, float | int) or not 0 < extent < _MANY:
            raise ValueError("its spatial_lr_scale is not a positive number")
        return InriaCheckpoint(
            gaussians=gaussians,
            iteration=iteration,
            extent=float(extent),
            first_moment=first,
            second_moment=second,
            # 3DGS's sparse Adam leaves the count at 0 and corrects no bias, like an Adam after very many steps.
            steps=max(_count(state.get("step", 0)) for state in states.values()) or iteration,
            rates={_PARAMETERS[name]: rate for name, rate in rates.items()},
            gradient_sum=_statistic(entries, "xyz_gradient_accum", len(gaussians)),
            views_seen=_statistic(entries, "denom", len(gaussians)).round().to(torch.int32),
            max_radius=_statistic(entries, "max_radii2D", len(gaussians)),
        )


def read(path: Path, *, drop_nonfinite: bool = False) -> GaussianArrays:
    """Read the scene of a checkpoint; arguments and errors as for `leansplat.formats.read`."""
    with _explained(path):
        entries, _ = _entries(path)
        gaussians = _gaussians(entries).arrays()
        _report_flat(entries, path)
    return report_nonfinite(gaussians, gaussians.finite(), path, drop=drop_nonfinite)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turns a ValueError that says what is wrong into the sentence for the user."""
    try:
        yield
    except ValueError as error:
        raise SceneFileError(
            f"{path} is not a checkpoint as 3DGS saves it ({error}); use the point_cloud.ply of that training."
        ) from error


def _entries(path: Path) -> tuple[dict[str, Any], int]:
    """The file's entries by name, tensors mapped, and the iteration it was saved at."""
    content = torch_file.load(path)
    match content:
        case ((int(), *_) as model, int(iteration)) if len(model) == len(_ENTRIES):
            return dict(zip(_ENTRIES, model, strict=True)), iteration
    raise ValueError(f"it does not hold a model of {len(_ENTRIES)} entries and an iteration")


def _gaussians(
    values: Mapping[str, Any], what: str = "", third: Callable[[np.ndarray], np.ndarray] = log_thickness
) -> Gaussians:
    """A copy of one mapped tensor for each of `_PARAMETERS`; `what` goes before its name in the error.

    `third` makes the third column (N,) of scales that have two (N, 2), as in checkpoints of 2DGS.

    Raises:
        ValueError: one is not a tensor, or has the wrong type or shape.
    """
    tensors = {ours: torch_file.tensor(values[theirs], f"{what}{theirs}") for theirs, ours in _PARAMETERS.items()}
    if tensors["means"].dim() == 0:
        raise ValueError(f"{what}xyz is a number")
    scales = tensors["scales"]
    return Gaussians(
        means=tensors["means"],
        quats=tensors["quats"],
        scales=_with_third(scales, third) if scales.shape[1:] == (2,) else scales,
        opacities=tensors["opacities"].squeeze(-1),
        sh0=tensors["sh0"],
        shN=tensors["shN"],
    )


def _with_third(scales: Tensor, third: Callable[[np.ndarray], np.ndarray]) -> Tensor:
    return torch.cat([scales, torch.from_numpy(third(scales.numpy()))[:, None]], dim=1)


def _zeros(scales: np.ndarray) -> np.ndarray:
    """What an optimiser knows of a thickness that it never moved."""
    return np.zeros(len(scales), np.float32)


def _report_flat(entries: Mapping[str, Any], path: Path) -> None:
    if entries["scaling"].shape[1:] == (2,):
        report_flat(path)


def _statistic(entries: Mapping[str, Any], name: str, count: int) -> Tensor:
    values = torch_file.tensor(entries[name], name).squeeze(-1)
    if values.shape != (count,):
        raise ValueError(f"{name} has shape {tuple(values.shape)} where {(count,)} is expected")
    if not bool(((values >= 0) & (values < _MANY)).all()):
        raise ValueError(f"{name} has a value that is negative, too large or not finite")
    return values


def _optimizer(value: Any) -> tuple[dict[str, Mapping[str, Any]], dict[str, float]]:
    """Adam's state of each of `_PARAMETERS` and its learning rate, from the optimiser's state dict."""
    states, rates = {}, {}
    match value:
        case {"state": dict(state), "param_groups": list(groups)}:
            for group in groups:
                match group:
                    case {"name": str(name), "params": [int(index)], "lr": float(rate)} if name in _PARAMETERS:
                        if isinstance(state.get(index), dict) and 0 <= rate < math.inf:
                            states[name], rates[name] = state[index], rate
    missing = [name for name in _PARAMETERS if name not in states]
    if missing:
        raise ValueError(f"its optimiser has no moments or learning rate of {', '.join(missing)}")
    return states, rates


def _count(step: Any) -> int:
    """Updates made: a tensor since PyTorch 1.12, a number before."""
    if isinstance(step, Tensor) and step.numel() == 1:
        step = torch_file.tensor(step, "step").item()
    if not isinstance(step, float | int) or not 0 <= step < _MANY:
        raise ValueError("its optimiser has a step that is not a number of steps")
    return int(step)
