"""Checkpoints of nerfstudio's splatfacto (`step-000029999.ckpt`): read only.

    {"step": ..., "pipeline": {"_model.gauss_params.means": ..., ...}, "optimizers": ..., ...}

Early versions leave `gauss_params.` out of the names. Whether it was trained with anti-aliasing is in `config.yml`
in the folder above, and where its frame lies in `dataparser_transforms.json` there.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from leansplat.activation import opacity_of, sh0_of
from leansplat.arrays import GaussianArrays
from leansplat.errors import SceneFileError
from leansplat.formats import torch_file
from leansplat.formats.format import report_nonfinite
from leansplat.formats.trainer_notes import has_line, say_frame_of_nerfstudio

_NAMES = ("means", "quats", "scales", "opacities", "features_dc", "features_rest")
_PREFIXES = ("_model.gauss_params.", "_model.")


def read(path: Path, *, drop_nonfinite: bool = False) -> GaussianArrays:
    """Read the scene of a checkpoint; arguments and errors as for `leansplat.formats.read`."""
    antialiased = has_line(path.resolve().parent.parent / "config.yml", "rasterize_mode", "antialiased")
    try:
        gaussians = _gaussians(torch_file.load(path), antialiased)
    except ValueError as error:
        raise SceneFileError(
            f"{path} is not a checkpoint as nerfstudio's splatfacto saves it ({error}); export the scene with "
            "ns-export instead."
        ) from error
    say_frame_of_nerfstudio(path)
    return report_nonfinite(gaussians, gaussians.finite(), path, drop=drop_nonfinite)


def write(gaussians: GaussianArrays, path: Path, *, overwrite: bool = False) -> NoReturn:
    """Refuse: a scene alone is no checkpoint."""
    raise SceneFileError(f"{path} would be a nerfstudio checkpoint, which leansplat only reads; write a .ply instead.")


def recognises(head: bytes) -> bool:
    """Whether a file that starts with these bytes is by `torch.save` and soon names a pipeline."""
    return torch_file.recognises(head) and torch_file.mentions(head, "pipeline")


def _gaussians(content: Any, antialiased: bool) -> GaussianArrays:
    pipeline = content.get("pipeline") if isinstance(content, Mapping) else None
    if not isinstance(pipeline, Mapping):
        raise ValueError("it has no pipeline")
    prefix = next((prefix for prefix in _PREFIXES if f"{prefix}means" in pipeline), None)
    if prefix is None:
        raise ValueError("its model has no Gaussians")
    missing = [name for name in _NAMES if prefix + name not in pipeline]
    if missing:
        raise ValueError(f"its model has no {', '.join(missing)}")
    values = {name: torch_file.tensor(pipeline[prefix + name], name).numpy() for name in _NAMES}
    rest = values["features_rest"]
    return GaussianArrays(
        means=values["means"],
        quats=values["quats"],
        scales=values["scales"],
        opacities=_flat(values["opacities"]),
        sh0=_sh0(values["features_dc"], has_harmonics=rest.ndim == 3 and rest.shape[1] > 0)[:, None],
        shN=rest,
        antialiased=antialiased,
    )


def _flat(opacities: np.ndarray) -> np.ndarray:
    """(N,) from (N, 1), in which they are."""
    return opacities[..., 0] if opacities.shape[-1:] == (1,) else opacities


def _sh0(features: np.ndarray, *, has_harmonics: bool) -> np.ndarray:
    """(N, 3) coefficients of degree 0. A model without harmonics has the logits of its colours instead."""
    return features if has_harmonics else sh0_of(opacity_of(features)).astype(np.float32)
