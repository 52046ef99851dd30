"""Formats that only PyTorch can read: described here without it, so that nobody else waits for it.

A checkpoint is a pickle of tensors, which takes PyTorch's restricted unpickler. The `.npz` of Niedermayr et al. is
decoded by the very steps that fine-tuning differentiates. Their modules are imported when such a file is met.
"""

from __future__ import annotations

import struct
from importlib import import_module
from pathlib import Path
from typing import NoReturn

from leansplat.arrays import GaussianArrays
from leansplat.errors import SceneFileError
from leansplat.formats.format import Format, Lister, Recogniser, Written, losses
from leansplat.formats.npz import recognises as is_npz

_ZIP_MAGIC = b"PK\x03\x04"


def _read_npz(path: Path, *, drop_nonfinite: bool) -> GaussianArrays:
    from leansplat.formats import c3dgs_npz

    return c3dgs_npz.read(path, drop_nonfinite=drop_nonfinite)


def _write_npz(gaussians: GaussianArrays, path: Path, *, overwrite: bool) -> Written:
    from leansplat.formats import c3dgs_npz

    return c3dgs_npz.write(gaussians, path, overwrite=overwrite)


def is_torch_file(head: bytes) -> bool:
    """Whether a file that starts with these bytes is a zip by `torch.save`, whose first file is the pickle."""
    return head.startswith(_ZIP_MAGIC) and b"/data.pkl" in head


def mentions(head: bytes, text: str) -> bool:
    """Whether the pickle of a file that starts with these bytes soon has this string, as protocol 2 or 4 writes it.

    The name of the file itself, which is all over a zip by `torch.save`, does not count.
    """
    word = text.encode()
    return any(prefix + word in head for prefix in (b"X" + struct.pack("<I", len(word)), b"\x8c" + bytes([len(word)])))


def _is_gsplat(head: bytes) -> bool:
    return is_torch_file(head) and mentions(head, "splats")


def _is_nerfstudio(head: bytes) -> bool:
    return is_torch_file(head) and mentions(head, "pipeline")


def _is_inria(head: bytes) -> bool:
    """Of no other trainer that is known here."""
    return is_torch_file(head) and not _is_gsplat(head) and not _is_nerfstudio(head)


def _files_of_gsplat(path: Path) -> tuple[Path, ...]:
    from leansplat.formats import gsplat_checkpoint

    return gsplat_checkpoint.files(path)


def _checkpoint(
    trainer: str, suffix: str, module: str, recognises: Recogniser, files: Lister = lambda path: (path,)
) -> Format:
    """A format that is only read, by the `read` of a module beside this one."""

    def read(path: Path, *, drop_nonfinite: bool) -> GaussianArrays:
        found: GaussianArrays = import_module(f"leansplat.formats.{module}").read(path, drop_nonfinite=drop_nonfinite)
        return found

    def write(gaussians: GaussianArrays, path: Path, *, overwrite: bool) -> NoReturn:
        """Refuse: a scene alone is no checkpoint."""
        raise SceneFileError(
            f"{path} would be a {trainer} checkpoint, which leansplat only reads; write a .ply instead."
        )

    return Format(f"{trainer} checkpoint", (suffix,), recognises, read, write, files=files)


C3DGS_NPZ = Format(
    name="c3dgs .npz",
    suffixes=(".npz",),
    recognises=is_npz,
    read=_read_npz,
    write=_write_npz,
    loses=lambda gaussians: losses(gaussians, comments=False),
    notes_origin=True,
)

INRIA_CHECKPOINT = _checkpoint("3DGS", ".pth", "inria_checkpoint", _is_inria)
NERFSTUDIO_CHECKPOINT = _checkpoint("nerfstudio", ".ckpt", "nerfstudio_checkpoint", _is_nerfstudio)
GSPLAT_CHECKPOINT = _checkpoint("gsplat", ".pt", "gsplat_checkpoint", _is_gsplat, _files_of_gsplat)
