"""What a scene needs before it is trained through a format: what to keep of it, and the quantiser with its tables.

One pass over the training views finds how much the images depend on each Gaussian. Every format spends its bytes by
that: an .npz clusters colours and shapes, a .sog has a palette as small and an .spz steps as wide as the photos allow.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from leansplat.captures.capture import Capture
from leansplat.compression.clustered import ClusteredQuantiser
from leansplat.compression.config import CompressionConfig
from leansplat.compression.covariance import normalised_covariance
from leansplat.compression.format_quantiser import FileQuantiser, format_quantiser
from leansplat.compression.harmonics import coarsest_steps, color_weights, loss_on_photos, smallest_palette
from leansplat.compression.sensitivity import Sensitivity, sensitivity
from leansplat.compression.vector_quantisation import vector_quantise
from leansplat.engines.cpu.packed import pack
from leansplat.errors import InputError
from leansplat.formats import c3dgs_coding, c3dgs_npz
from leansplat.formats.fidelity import report_rows
from leansplat.gaussians import Gaussians
from leansplat.progress import Progress
from leansplat.pruning.start import Start
from leansplat.runs import Run


def prepared(
    start: Start,
    capture: Capture,
    config: CompressionConfig,
    run: Run | None,
    suffix: str,
    progress: Progress | None,
    *,
    begins: bool,
) -> tuple[Gaussians | None, FileQuantiser]:
    """The scene to begin with, and its quantiser, which the log of `run` tells of.

    Args:
        suffix: of the file, one of `SUFFIXES` or .npz.
        begins: whether training starts; a run that is resumed has scene and quantiser in its checkpoint.

    Raises:
        InputError: no training view shows any of the scene, and what is not seen was to be dropped.
    """
    shares = suffix in c3dgs_npz.FORMAT.suffixes
    steps = config.fine_tuning.steps
    quantiser: FileQuantiser = ClusteredQuantiser() if shares else format_quantiser(suffix, steps=steps)
    if not begins:
        return None, quantiser
    gaussians = kept_degrees(start.state.gaussians(), config)
    before = len(gaussians)
    said: dict[str, Any] = {}
    found = sensitivity(
        pack(gaussians),
        [view.camera for view in capture.train],
        capture.background,
        progress,
        masks=[view.mask for view in capture.train],
    )
    if config.drop_unseen:
        seen = found.of_color > 0
        gaussians, found = gaussians[seen], found[seen]
        if len(gaussians) == 0:
            raise InputError("no training view shows any of the scene; check that it belongs to the capture")
    if shares:
        order = c3dgs_coding.arranged(gaussians)[1]
        if len(order) < len(gaussians):
            report_rows(gaussians, order, c3dgs_npz.FORMAT.name)
            kept = torch.from_numpy(np.sort(order))
            gaussians, found = gaussians[kept], found[kept]
        quantiser, said = _clustered(gaussians, found, config, progress)
    elif suffix == ".sog":
        quantiser, said = _with_palette(gaussians, found, capture, config)
    elif suffix == ".spz":
        quantiser, said = _with_steps(gaussians, found, capture, config)
    if run is not None:
        event = "clustered" if shares else "prepared"
        run.log(event, 0, gaussians=len(gaussians), dropped=before - len(gaussians), **said)
    return gaussians, quantiser


def _with_palette(
    gaussians: Gaussians, found: Sensitivity, capture: Capture, config: CompressionConfig
) -> tuple[FileQuantiser, dict[str, Any]]:
    """The quantiser of a .sog whose palette is as small as `sh_loss` allows, and what the log says of it."""
    seed, weights, size = config.fine_tuning.seed, color_weights(found), config.palette_size
    if size is None:
        loss = loss_on_photos(gaussians, capture)
        size = smallest_palette(gaussians, weights, loss, config.sh_loss, seed=seed)
    steps = config.fine_tuning.steps
    quantiser = format_quantiser(".sog", steps=steps, sh_weights=weights, palette_size=size, seed=seed)
    return quantiser, {"palette_size": size}


def _with_steps(
    gaussians: Gaussians, found: Sensitivity, capture: Capture, config: CompressionConfig
) -> tuple[FileQuantiser, dict[str, Any]]:
    """The quantiser of an .spz whose harmonics are as coarse as `sh_loss` allows, and what the log says of them."""
    loss = loss_on_photos(gaussians, capture)
    steps = coarsest_steps(gaussians, color_weights(found), loss, config.sh_loss)
    quantiser = format_quantiser(".spz", steps=config.fine_tuning.steps, sh_steps=steps)
    return quantiser, {"sh_steps": {f"{step:g}": int((steps == step).sum()) for step in np.unique(steps)}}


def _clustered(
    gaussians: Gaussians, found: Sensitivity, config: CompressionConfig, progress: Progress | None
) -> tuple[ClusteredQuantiser, dict[str, Any]]:
    """The quantiser with tables of colours and shapes, and what the log says of them."""
    generator = torch.Generator().manual_seed(config.fine_tuning.seed)
    flat = torch.cat([gaussians.sh0, gaussians.shN], dim=1).flatten(1)
    colors = vector_quantise(flat, found.of_color, config.colors, generator, progress)
    covariances = normalised_covariance(gaussians.quats, gaussians.scales)
    shapes = vector_quantise(covariances, found.of_shape, config.shapes, generator, progress)
    said = {
        name: {"shared": len(table.centres), "own": len(table.own)}
        for name, table in (("colors", colors), ("shapes", shapes))
    }
    return ClusteredQuantiser(colors, shapes), said


def kept_degrees(gaussians: Gaussians, config: CompressionConfig) -> Gaussians:
    """The scene without the spherical harmonics that `config` leaves out."""
    if config.sh_degree is None:
        return gaussians
    return gaussians.with_sh_degree(min(config.sh_degree, gaussians.sh_degree))
