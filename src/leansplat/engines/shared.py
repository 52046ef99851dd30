"""`SharedGaussians`: a scene some of whose tensors are tables, with the row in them that each Gaussian has.

Files that are small share colours and shapes. Trained through such a file, an entry of a table is one parameter, whose
gradient is the sum over all Gaussians that have it; an engine need not make a copy for each of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from leansplat.gaussians import Gaussians


@dataclass(frozen=True)
class SharedGaussians:
    """A scene of N Gaussians with tables.

    Args:
        gaussians: the scene. Its tensors that have a table are not read, and may have any spherical harmonics.
        tables: by the name of a tensor, all but `means`: values of P Gaussians in the shape that `Gaussians` gives
            them, such as (P, 1, 3) of `sh0`, and the row in them (N,) int64 that each Gaussian has.

    Raises:
        ValueError, IndexError: there is not a row for each Gaussian, or, on the CPU, it is not in the table.
    """

    gaussians: Gaussians
    tables: Mapping[str, tuple[Tensor, Tensor]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, (values, rows) in self.tables.items():
            if tuple(rows.shape) != (len(self.gaussians),):
                raise ValueError(f"{name} has rows of {tuple(rows.shape)} for {len(self.gaussians)} Gaussians")
            if len(rows) and rows.device.type == "cpu" and not 0 <= int(rows.min()) <= int(rows.max()) < len(values):
                raise IndexError(f"{name} is a table of {len(values)} rows, and a Gaussian has none of them")

    def to(self, device: torch.device | str) -> SharedGaussians:
        """The same scene on a device; differentiable in all of its tensors."""
        tables = {name: (values.to(device), rows.to(device)) for name, (values, rows) in self.tables.items()}
        return SharedGaussians(self.gaussians.to(device), tables)

    def copied(self) -> Gaussians:
        """The scene with every Gaussian's own copy of what it shares; differentiable in the tables."""
        if not self.tables:
            return self.gaussians
        copies: dict[str, Any] = {name: values.index_select(0, rows) for name, (values, rows) in self.tables.items()}
        return replace(self.gaussians, **copies)
