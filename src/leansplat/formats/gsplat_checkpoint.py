"""Checkpoints of gsplat's example trainer (`ckpt_29999_rank0.pt`): read only.

    {"step": ..., "splats": {"means": ..., "quats": ..., "scales": ..., "opacities": ..., "sh0": ..., "shN": ...}}

Training on several GPUs leaves a part of the scene in a file for each, `ckpt_29999_rank1.pt` and so on; any of them
stands for all. Whether it was trained with anti-aliasing is in `cfg.yml` in the folder above.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from leansplat.arrays import TENSOR_NAMES, GaussianArrays, concatenate
from leansplat.errors import SceneFileError
from leansplat.formats import torch_file
from leansplat.formats.format import report_nonfinite
from leansplat.formats.trainer_notes import has_line, say_frame_of_gsplat

_RANK = re.compile(r"(.*_rank)(\d{1,6})(\.[^.]*)?")


def read(path: Path, *, drop_nonfinite: bool = False) -> GaussianArrays:
    """Read the scene of a checkpoint, all parts of it; arguments and errors as for `leansplat.formats.read`."""
    antialiased = has_line(path.resolve().parent.parent / "cfg.yml", "antialiased", "true")
    parts = []
    for file in files(path):
        try:
            parts.append(_gaussians(torch_file.load(file), antialiased))
        except ValueError as error:
            raise SceneFileError(
                f"{file} is not a checkpoint as gsplat's trainer saves it ({error}); use its .ply instead."
            ) from error
    gaussians = concatenate(parts) if len(parts) > 1 else parts[0]
    say_frame_of_gsplat(path)
    return report_nonfinite(gaussians, gaussians.finite(), path, drop=drop_nonfinite)


def write(gaussians: GaussianArrays, path: Path, *, overwrite: bool = False) -> NoReturn:
    """Refuse: a scene alone is no checkpoint."""
    raise SceneFileError(f"{path} would be a gsplat checkpoint, which leansplat only reads; write a .ply instead.")


def files(path: Path) -> tuple[Path, ...]:
    """The parts of the checkpoint that a file is one of: itself first, then the others by rank.

    Raises:
        SceneFileError: one of them is missing.
    """
    found = _RANK.fullmatch(path.name)
    if found is None:
        return (path,)
    ranks = {}
    for entry in path.parent.iterdir():
        other = _RANK.fullmatch(entry.name)
        if other and (other[1], other[3]) == (found[1], found[3]):
            ranks[int(other[2])] = entry
    for rank in range(max(ranks) + 1):
        if rank not in ranks:
            raise SceneFileError(
                f"{path} is one part of a checkpoint, of which {found[1]}{rank}{found[3] or ''} is missing; put all of "
                "them in one folder."
            )
    return (path, *(ranks[rank] for rank in sorted(ranks) if ranks[rank] != path))


def recognises(head: bytes) -> bool:
    """Whether a file that starts with these bytes is by `torch.save` and soon names splats."""
    return torch_file.recognises(head) and torch_file.mentions(head, "splats")


def _gaussians(content: Any, antialiased: bool) -> GaussianArrays:
    splats = content.get("splats") if isinstance(content, Mapping) else None
    if not isinstance(splats, Mapping):
        raise ValueError("it has no splats")
    missing = [name for name in TENSOR_NAMES if name not in splats]
    if missing:
        features = "; it was trained with appearance features, which are no colours" if "features" in splats else ""
        raise ValueError(f"its splats have no {', '.join(missing)}{features}")
    arrays: dict[str, Any] = {name: torch_file.tensor(splats[name], name).numpy() for name in TENSOR_NAMES}
    return GaussianArrays(**arrays, antialiased=antialiased)
