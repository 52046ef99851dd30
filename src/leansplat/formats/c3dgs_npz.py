"""`.npz` files of Niedermayr et al. (`point_cloud.npz`): vector-clustered, 8-bit scenes in a deflated NumPy archive.

    xyz                  (N, 3) float16     centres, in Morton order
    opacity              (N, 1) int8        after the sigmoid
    scaling_factor       (N, 1) int8        log of the root of the covariance's trace
    scaling              (G, 3) int8        standard deviations over that root; a reader clips at 0 and normalises
    rotation             (G, 4) int8        w, x, y, z; a reader normalises
    features_dc          (C, 1, 3) int8     spherical harmonics of degree 0
    features_rest        (C, K - 1, 3) int8 and above, coefficient by coefficient
    feature_indices      (N,) int32         row of features_*; absent where C = N and row i is Gaussian i's
    gaussian_indices     (N,) int32         row of scaling and rotation; likewise with G
    *_scale, *_zero_point (1,) float32, int32 for each int8 array: value = (code - zero_point) * scale
    quantization         () bool            true: the arrays above are codes
    origin               (3,) float64       ours, where xyz are relative to a point of the world

Without `scaling_factor`, `scaling` holds logs of standard deviations. `mip_splatting` (bool) and `kernel_size` (float)
say that a scene was trained with opacity compensation and which dilation; they come from the authors' web viewer, and
`quantization` from what their loader asks for. Before deflate a Gaussian takes 8 bytes, 4 more for each index, and
rows of the tables: 48 and 7 at degree 3. Memory in reading is at most 240 MB, or 240 times the size of the file.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch

from leansplat.arrays import AnyScene, GaussianArrays
from leansplat.errors import SceneFileError
from leansplat.files import replacing
from leansplat.formats.affine import HIGHEST, LOWEST, Affine
from leansplat.formats.c3dgs_coding import (
    BY_FEATURE,
    BY_SHAPE,
    LARGEST_POSITION,
    QUANTISED,
    ClusteredGaussians,
    Encoded,
    decode,
    encode,
)
from leansplat.formats.format import Written, opened, refuse_nonfinite, report_nonfinite
from leansplat.formats.npz import Archive, opened_archive, write_arrays
from leansplat.gaussians import WORLD, Gaussians, Origin

__all__ = ["pack", "read", "unpack", "write"]

_KERNEL_SIZE = 0.3
_COEFFICIENTS = ((0,), (3,), (8,), (15,))
_WIDTHS = {
    "xyz": (3,),
    "opacity": (1,),
    "scaling_factor": (1,),
    "features_dc": (1, 3),
    "scaling": (3,),
    "rotation": (4,),
}
_TABLES = {"feature_indices": BY_FEATURE, "gaussian_indices": BY_SHAPE}

# What a file may hold for its size. Real ones have 3 bytes per Gaussian or more; tables have at most a row for each
# Gaussian and those of a codebook that nothing uses.
_ALWAYS_ALLOWED = 1_000_000
_LARGEST_CODEBOOK = 1 << 16


def read(path: Path, *, drop_nonfinite: bool = False) -> GaussianArrays:
    """Read a file; arguments and errors as for `leansplat.formats.read`."""
    gaussians = decode(unpack(path)).arrays()
    return report_nonfinite(gaussians, gaussians.finite(), path, drop=drop_nonfinite)


def write(gaussians: AnyScene, path: Path, *, overwrite: bool = False) -> Written:
    """Write a scene at 8 bits with nothing shared; for less, see `leansplat.compression`."""
    gaussians = gaussians.arrays()
    refuse_nonfinite(gaussians, path)
    encoded = encode(Gaussians.from_arrays(gaussians))
    pack(encoded, path, overwrite=overwrite)
    return Written(encoded.order.numpy(), lambda rows: decode(encoded, torch.from_numpy(rows)).arrays())


def pack(scene: Gaussians | ClusteredGaussians | Encoded, path: Path, *, overwrite: bool = False) -> None:
    """Write a finite scene, or one that is already encoded.

    Raises:
        SceneFileError: a centre is too far out for half precision.
        InputError: as `leansplat.files.replacing`.
    """
    encoded = scene if isinstance(scene, Encoded) else encode(scene)
    if not bool(encoded.xyz.isfinite().all()):
        raise SceneFileError(
            f"{path} cannot hold centres further than {LARGEST_POSITION:.0f} from the origin; move the scene, or write "
            "a .ply."
        )
    with replacing(path, overwrite=overwrite) as handle:
        write_arrays(handle, _arrays(encoded))


def unpack(path: Path) -> Encoded:
    """Read a file as it is, without making floats of it.

    Raises:
        SceneFileError: the file is missing, damaged, of another kind, or its parts do not fit each other.
    """
    with opened(path) as handle:
        try:
            with opened_archive(handle) as archive:
                return _encoded(archive, path.stat().st_size)
        except ValueError as error:
            raise SceneFileError(
                f"{path} is not a compressed scene of Niedermayr et al. ({error}); write it again."
            ) from error


def _arrays(encoded: Encoded) -> dict[str, np.ndarray[Any, Any]]:
    arrays: dict[str, np.ndarray[Any, Any]] = {"quantization": np.array(True), "xyz": encoded.xyz.numpy()}
    for name, codes in encoded.codes.items():
        arrays[name] = codes.numpy()
        arrays[f"{name}_scale"] = np.array([encoded.ranges[name].scale], "<f4")
        arrays[f"{name}_zero_point"] = np.array([encoded.ranges[name].zero_point], "<i4")
    for name in _TABLES:
        indices = getattr(encoded, name)
        if indices is not None:
            arrays[name] = indices.numpy()
    if encoded.antialiased:
        arrays["mip_splatting"] = np.array([True])
        arrays["kernel_size"] = np.array([_KERNEL_SIZE], "<f4")
    if encoded.origin != WORLD:
        arrays["origin"] = np.array(encoded.origin, "<f8")
    return arrays


def _encoded(archive: Archive, file_size: int) -> Encoded:
    if "quantization" in archive and not _number(archive, "quantization", "|b1"):
        raise ValueError("it was written without quantisation")
    count = _rows(archive, "xyz")
    if count > max(_ALWAYS_ALLOWED, file_size):
        raise ValueError(f"it claims {count} Gaussians in {file_size} bytes")
    rows = {"xyz": count, "opacity": count, "scaling_factor": count}
    for name, table in _TABLES.items():
        length = _rows(archive, table[0]) if name in archive else count
        if length > count + _LARGEST_CODEBOOK:
            raise ValueError(f"{table[0]} has {length} rows for {count} Gaussians")
        rows |= dict.fromkeys(table, length)
    coefficients = archive.shape("features_rest")[1:2]
    if coefficients not in _COEFFICIENTS:
        raise ValueError(f"features_rest has shape {archive.shape('features_rest')}")
    widths = {**_WIDTHS, "features_rest": (*coefficients, 3)}

    names = [name for name in QUANTISED if name != "scaling_factor" or name in archive]
    for name in ("xyz", *names):
        found, wanted = archive.shape(name), (rows[name], *widths[name])
        if found[:1] != wanted[:1] or math.prod(found) != math.prod(wanted):
            raise ValueError(f"{name} has shape {found} where {wanted} is expected")
    codes = {name: torch.from_numpy(archive.read(name, "|i1").reshape(rows[name], *widths[name])) for name in names}
    indices = {name: _table_rows(archive, name, count, rows[table[0]]) for name, table in _TABLES.items()}
    return Encoded(
        xyz=torch.from_numpy(archive.read("xyz", "<f2").reshape(count, 3)),
        codes=codes,
        ranges={name: _range(archive, name) for name in names},
        antialiased="mip_splatting" in archive and bool(_number(archive, "mip_splatting", "|b1")),
        order=torch.arange(count),
        origin=_origin(archive),
        **indices,
    )


def _origin(archive: Archive) -> Origin:
    if "origin" not in archive:
        return WORLD
    if archive.shape("origin") != (3,):
        raise ValueError(f"origin has shape {archive.shape('origin')} where (3,) is expected")
    x, y, z = archive.read("origin", "<f8").tolist()
    if not math.isfinite(x + y + z):
        raise ValueError("its origin is not finite")
    return x, y, z


def _rows(archive: Archive, name: str) -> int:
    shape = archive.shape(name)
    if not shape:
        raise ValueError(f"{name} is a single number")
    return shape[0]


def _range(archive: Archive, name: str) -> Affine:
    scale = _number(archive, f"{name}_scale", "<f4")
    zero_point = _number(archive, f"{name}_zero_point", "<i4")
    if not 0 < scale < math.inf or not LOWEST <= zero_point <= HIGHEST:
        raise ValueError(f"{name} has the scale {scale} and the zero point {zero_point}")
    return Affine(scale, int(zero_point))


def _number(archive: Archive, name: str, kind: str) -> float:
    """The only entry of an array."""
    if math.prod(archive.shape(name)) != 1:
        raise ValueError(f"{name} is not one number")
    return float(archive.read(name, kind).item())


def _table_rows(archive: Archive, name: str, count: int, table: int) -> torch.Tensor | None:
    """The indices (N,) into a table, or None where the file has none."""
    if name not in archive:
        return None
    if archive.shape(name) != (count,):
        raise ValueError(f"{name} has shape {archive.shape(name)} where {(count,)} is expected")
    indices = archive.read(name, "<i4")
    if count and not (indices.min() >= 0 and indices.max() < table):
        raise ValueError(f"{name} points outside of its table")
    return torch.from_numpy(indices)
