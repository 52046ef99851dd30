"""Formats that only PyTorch can read: described here without it, so that nobody else waits for it.

A checkpoint is a pickle of tensors, which takes PyTorch's restricted unpickler. The `.npz` of Niedermayr et al. is
decoded by the very steps that fine-tuning differentiates. Their modules are imported when such a file is met.
"""

from __future__ import annotations

from pathlib import Path

from leansplat.arrays import GaussianArrays
from leansplat.errors import SceneFileError
from leansplat.formats import gsplat_checkpoint, nerfstudio_checkpoint, torch_file
from leansplat.formats.format import Format, Written, losses
from leansplat.formats.npz import recognises as is_npz


def _read_npz(path: Path, *, drop_nonfinite: bool) -> GaussianArrays:
    from leansplat.formats import c3dgs_npz

    return c3dgs_npz.read(path, drop_nonfinite=drop_nonfinite)


def _write_npz(gaussians: GaussianArrays, path: Path, *, overwrite: bool) -> Written:
    from leansplat.formats import c3dgs_npz

    return c3dgs_npz.write(gaussians, path, overwrite=overwrite)


def _read_checkpoint(path: Path, *, drop_nonfinite: bool) -> GaussianArrays:
    from leansplat.formats import inria_checkpoint

    return inria_checkpoint.read(path, drop_nonfinite=drop_nonfinite)


def _refuse_checkpoint(gaussians: GaussianArrays, path: Path, *, overwrite: bool) -> None:
    """Refuse: a scene alone is no checkpoint."""
    raise SceneFileError(f"{path} would be a 3DGS checkpoint, which leansplat only reads; write a .ply instead.")


def _is_checkpoint(head: bytes) -> bool:
    """Whether a file that starts with these bytes is by `torch.save` and of no other trainer that is known here."""
    others = (gsplat_checkpoint.recognises, nerfstudio_checkpoint.recognises)
    return torch_file.recognises(head) and not any(recognised(head) for recognised in others)


C3DGS_NPZ = Format(
    name="c3dgs .npz",
    suffixes=(".npz",),
    recognises=is_npz,
    read=_read_npz,
    write=_write_npz,
    loses=lambda gaussians: losses(gaussians, comments=False),
    notes_origin=True,
)

INRIA_CHECKPOINT = Format(
    name="3DGS checkpoint",
    suffixes=(".pth",),
    recognises=_is_checkpoint,
    read=_read_checkpoint,
    write=_refuse_checkpoint,
)
