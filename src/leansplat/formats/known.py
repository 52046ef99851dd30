"""What every format is known by. The module that reads and writes it is imported when a file of its kind is met.

So nobody who converts a .ply waits for glTF, and nobody but a reader of checkpoints for PyTorch, without which a pickle
of tensors, or the `.npz` of Niedermayr et al., cannot be read.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from leansplat.arrays import GaussianArrays
from leansplat.errors import SceneFileError
from leansplat.formats.format import Format, losses
from leansplat.formats.options import SogOptions, SpzOptions


def _later(module: str, function: str) -> Any:
    """A function of a module of `leansplat.formats`, which is imported when it is first called."""

    def call(*arguments: Any, **named: Any) -> Any:
        return getattr(import_module(f"leansplat.formats.{module}"), function)(*arguments, **named)

    return call


def _of(module: str, *functions: str) -> dict[str, Any]:
    """`Format.recognises`, `read` and `write`, and further fields, as the functions of these names in a module."""
    return {name: _later(module, name) for name in ("recognises", "read", "write", *functions)}


def _is_3dgs_checkpoint(head: bytes) -> bool:
    """Whether a file that starts with these bytes is by `torch.save` and of no other trainer that is known here."""
    return _later("torch_file", "recognises")(head) and not any(
        other.recognises(head) for other in (GSPLAT_CHECKPOINT, NERFSTUDIO_CHECKPOINT)
    )


def _refuse_checkpoint(gaussians: GaussianArrays, path: Path, *, overwrite: bool) -> None:
    """Refuse: a scene alone is no checkpoint."""
    raise SceneFileError(f"{path} would be a 3DGS checkpoint, which leansplat only reads; write a .ply instead.")


COMPRESSED_PLY = Format(
    name="compressed PLY",
    suffixes=(".compressed.ply",),
    recognises=_later("ply_header", "is_compressed"),
    read=_later("compressed_ply", "read"),
    write=_later("compressed_ply", "write"),
    loses=losses,
    notes_origin=True,
)

PLY = Format(name="PLY", suffixes=(".ply",), **_of("ply", "stream"))

SPZ = Format(name="SPZ", suffixes=(".spz",), options=SpzOptions, **_of("spz", "loses"))

SPLAT = Format(
    name="splat",
    suffixes=(".splat",),
    recognises=lambda head: False,
    read=_later("splat", "read"),
    write=_later("splat", "write"),
    loses=lambda gaussians: losses(gaussians, sh_degree=0, antialiasing=False, comments=False, origin=False),
)

GLTF = Format(name="glTF", suffixes=(".glb", ".gltf"), loses=losses, **_of("gltf", "files"))

GSPLAT_CHECKPOINT = Format(name="gsplat checkpoint", suffixes=(".pt",), **_of("gsplat_checkpoint", "files"))

NERFSTUDIO_CHECKPOINT = Format(name="nerfstudio checkpoint", suffixes=(".ckpt",), **_of("nerfstudio_checkpoint"))

INRIA_CHECKPOINT = Format(
    name="3DGS checkpoint",
    suffixes=(".pth",),
    recognises=_is_3dgs_checkpoint,
    read=_later("inria_checkpoint", "read"),
    write=_refuse_checkpoint,
)

STREAMED_SOG = Format(
    name="SOG in levels",
    suffixes=("lod-meta.json",),
    loses=losses,
    notes_origin=True,
    **_of("streamed_sog", "files"),
)

SOG = Format(
    name="SOG",
    suffixes=(".sog", "meta.json"),
    options=SogOptions,
    notes_origin=True,
    loses=losses,
    **_of("sog", "files"),
)

C3DGS_NPZ = Format(
    name="c3dgs .npz",
    suffixes=(".npz",),
    recognises=_later("npz", "recognises"),
    read=_later("c3dgs_npz", "read"),
    write=_later("c3dgs_npz", "write"),
    loses=lambda gaussians: losses(gaussians, comments=False),
    notes_origin=True,
)
