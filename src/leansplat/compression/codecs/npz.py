"""`NpzCodec`: the format of Niedermayr et al. 2024, whose tables of colours and shapes are clustered by sensitivity."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

from leansplat import formats
from leansplat.compression.clustered import ClusteredQuantiser
from leansplat.compression.codecs.registry import Codec, codec
from leansplat.compression.config import TableConfig
from leansplat.compression.covariance import normalised_covariance
from leansplat.compression.format_quantiser import FileQuantiser
from leansplat.compression.parts import bytes_of_members
from leansplat.compression.preparation import Prepared, Subject
from leansplat.compression.vector_quantisation import vector_quantise
from leansplat.formats import c3dgs_coding
from leansplat.formats.fidelity import report_rows
from leansplat.formats.known import C3DGS_NPZ
from leansplat.gaussians import Gaussians

_TABLES = ("colors", "shapes")


@codec
@dataclass(frozen=True)
class NpzCodec(Codec):
    """See `Codec`. The defaults are the values of Niedermayr et al. 2024."""

    suffix: ClassVar[str] = ".npz"

    colors: TableConfig = field(default_factory=lambda: TableConfig(steps=100, batch=2**18, keep_above=6e-7))
    """Clustering of colours: all spherical harmonics coefficients of a Gaussian."""

    shapes: TableConfig = field(default_factory=lambda: TableConfig(steps=800, batch=2**20, keep_above=3e-6))
    """Clustering of shapes: covariances normalised by their trace."""

    def quantiser(self, steps: int) -> FileQuantiser:
        return ClusteredQuantiser()

    def prepare(self, subject: Subject) -> Prepared:
        order = c3dgs_coding.arranged(subject.gaussians)[1]
        if len(order) < len(subject.gaussians):
            report_rows(subject.gaussians, order, C3DGS_NPZ.name)
            subject = subject[torch.from_numpy(np.sort(order))]
        gaussians, found, progress = subject.gaussians, subject.sensitivity, subject.progress
        generator = torch.Generator().manual_seed(subject.fine_tuning.seed)
        flat = torch.cat([gaussians.sh0, gaussians.shN], dim=1).flatten(1)
        colors = vector_quantise(flat, found.of_color, self.colors, generator, progress)
        covariances = normalised_covariance(gaussians.quats, gaussians.scales)
        shapes = vector_quantise(covariances, found.of_shape, self.shapes, generator, progress)
        told = {
            name: {"shared": len(table.centres), "own": len(table.own)}
            for name, table in zip(_TABLES, (colors, shapes), strict=True)
        }
        return Prepared(gaussians, ClusteredQuantiser(colors, shapes), told)

    def write(self, gaussians: Gaussians, path: Path, *, overwrite: bool = False) -> None:
        formats.write(gaussians, path, overwrite=overwrite)

    def bytes_by_part(self, path: Path) -> dict[str, int]:
        return bytes_of_members(path)
