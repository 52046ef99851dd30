"""glTF with KHR_gaussian_splatting, uncompressed: the ratified way to have Gaussians beside meshes; `.glb` and `.gltf`.

Each parameter is an array of its own, an attribute of a point primitive: centres, standard deviations, unit quaternions
with w last, opacities in [0, 1], and a vector of red, green and blue for every coefficient of the spherical harmonics.
240 bytes per Gaussian of degree 3, float32 throughout, so hardly anything is lost.

glTF has y up, scenes of 3DGS have y down. As PlayCanvas's splat-transform does, `write` turns a scene by 180 degrees
about z and `read` turns it back: signs change and nothing is rounded, since the spherical harmonics of odd order change
their sign (Y_lm(-x, -y, z) = (-1)^m Y_lm(x, y, z)) and the others stay. COLOR_0 is for viewers that know points only. A
scene's origin is the translation of its node.

The specification is github.com/KhronosGroup/glTF, extensions/2.0/Khronos/KHR_gaussian_splatting. Drafts of it, until
April 2026, had logarithms instead of standard deviations; a negative one, which it forbids, tells such a file.
splat-transform 3.7 writes what it says, but for sRGB instead of linear light in COLOR_0.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from leansplat.activation import color_of, log_of, logit_of, opacity_of, scale_of, unit
from leansplat.arrays import WORLD, AnyScene, GaussianArrays, blocks, concatenate, unfilled
from leansplat.errors import SceneFileError
from leansplat.files import replacing
from leansplat.formats.format import refuse_nonfinite, report_nonfinite
from leansplat.formats.gltf_document import (
    BINARY_CHUNK,
    CHUNK_HEADER,
    COMPONENT_COUNTS,
    FLOAT,
    GLB_HEADER,
    GLB_MAGIC,
    JSON_CHUNK,
    UNSIGNED_BYTE,
    Accessor,
    Document,
    field,
    opened_document,
)
from leansplat.formats.linear_light import to_srgb
from leansplat.origin import origin_of_scene

_EXTENSION = "KHR_gaussian_splatting"
_UNDERSTOOD = {_EXTENSION, "KHR_mesh_quantization"}
_BESIDE = ("KHR_materials_", "KHR_texture_", "EXT_texture_", "KHR_lights_")
"""How extensions start that say something about materials, textures and lights, which Gaussians have none of."""
_SRGB, _LINEAR = "srgb_rec709_display", "lin_rec709_display"
_LARGEST_FILE = 2**32 - 1
_ARRAY_BUFFER = 34962
_BYTE_FRACTIONS = {"componentType": UNSIGNED_BYTE, "normalized": True}

_REST = [(degree, order) for degree in (1, 2, 3) for order in range(-degree, degree + 1)]
"""Degree and order of the coefficients in shN."""
_REST_NAMES = [f"{_EXTENSION}:SH_DEGREE_{degree}_COEF_{degree + order}" for degree, order in _REST]
_REST_SIGNS = np.array([(-1.0) ** order for _, order in _REST])
"""What a turn by 180 degrees about z does to them."""

_TURN = np.array([-1.0, -1.0, 1.0])
"""What it does to x, y and z."""

_KINDS = {
    "POSITION": "VEC3",
    f"{_EXTENSION}:ROTATION": "VEC4",
    f"{_EXTENSION}:SCALE": "VEC3",
    f"{_EXTENSION}:OPACITY": "SCALAR",
    f"{_EXTENSION}:SH_DEGREE_0_COEF_0": "VEC3",
    **dict.fromkeys(_REST_NAMES, "VEC3"),
}
_NEEDED = list(_KINDS)[:5]

_LEAST_BYTES = 12
"""Bytes a Gaussian takes at least: its coefficients of degree 0 are three floats."""

_log = logging.getLogger("leansplat")


def read(path: Path, *, drop_nonfinite: bool = False) -> GaussianArrays:
    """Read all Gaussians in the scene of a glTF file; arguments and errors as for `leansplat.formats.read`.

    Nodes may move, turn and scale them; not turn those with spherical harmonics above degree 0, nor stretch or mirror
    any. Meshes and point clouds are passed over.
    """
    with opened_document(path) as document:
        for name in field(document.json, "extensionsRequired", list, []):
            if not isinstance(name, str) or not (name in _UNDERSTOOD or name.startswith(_BESIDE)):
                raise ValueError(f"it needs the extension {ascii(name)[:80]}, which is not known here")
        placed = [
            _Placed.of(document, primitive, transform)
            for mesh, transform in document.placed_meshes()
            for primitive in field(mesh, "primitives", list)
            if _EXTENSION in field(primitive, "extensions", dict, {})
        ]
        if not placed:
            raise ValueError(f"it has no Gaussians (no primitive with {_EXTENSION} in its scene)")
        count = sum(each.count for each in placed)
        if count * _LEAST_BYTES > document.size:
            raise ValueError(f"it names {count:,} Gaussians, which its {document.size:,} bytes cannot hold")
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is reported
            logarithms = any(each.has_negative_scales() for each in placed)
            scenes = [each.read(logarithms=logarithms) for each in placed]
        if logarithms:
            _log.warning(
                "%s: scales are taken as logarithms, which drafts of the format had, since some are negative", path
            )
        if any(each.linear for each in placed):
            _log.warning(
                "%s: its colours, of linear light, were turned into sRGB, one Gaussian at a time; where many overlap, "
                "a viewer that blends light may draw them a little differently",
                path,
            )
        notes = document.json["asset"].get("extras")
    gaussians = scenes[0] if len(scenes) == 1 else concatenate(scenes)
    if isinstance(notes, dict):
        comments = notes.get("comments")
        gaussians = replace(
            gaussians,
            antialiased=notes.get("antialiased") is True,
            comments=tuple(line for line in comments if isinstance(line, str)) if isinstance(comments, list) else (),
        )
    return report_nonfinite(gaussians, gaussians.finite(), path, drop=drop_nonfinite)


def write(gaussians: AnyScene, path: Path, *, overwrite: bool = False) -> None:
    """Write a .glb file; arguments and errors as for `leansplat.formats.write`.

    Quaternions are normalised. Comments and anti-aliasing are noted in the file's `asset.extras`.
    """
    if path.suffix.lower() != ".glb":
        raise SceneFileError(f"{path} would be glTF as text, which leansplat only reads; write a .glb instead.")
    if len(gaussians) == 0:
        raise SceneFileError(
            f"{path} cannot hold a scene without Gaussians, as glTF has no empty arrays; write a .ply."
        )
    gaussians = gaussians.arrays()
    refuse_nonfinite(gaussians, path)
    count = len(gaussians)
    attributes = _attributes(gaussians)
    text = json.dumps(_content(gaussians, attributes), separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    binary_size = count * sum(attribute.size for attribute in attributes)
    size = GLB_HEADER.size + CHUNK_HEADER.size + len(text) + CHUNK_HEADER.size + binary_size
    if size > _LARGEST_FILE:
        raise SceneFileError(f"{path} cannot hold {size:,} bytes, as a .glb ends at 4 GiB; write another format.")
    with replacing(path, overwrite=overwrite) as handle:
        handle.write(GLB_HEADER.pack(GLB_MAGIC, 2, size))
        handle.write(CHUNK_HEADER.pack(len(text), JSON_CHUNK) + text)
        handle.write(CHUNK_HEADER.pack(binary_size, BINARY_CHUNK))
        for attribute in attributes:
            for part in blocks(count):
                handle.write(attribute.values(part).astype(attribute.type).tobytes())


def recognises(head: bytes) -> bool:
    """Whether a file that starts with these bytes is a .glb file."""
    return head.startswith(GLB_MAGIC)


def files(path: Path) -> tuple[Path, ...]:
    """The file and its buffers."""
    with opened_document(path) as document:
        return document.files


@dataclass(frozen=True)
class _Placed:
    """A primitive of Gaussians in the scene, checked but not read.

    Args:
        accessors: its attributes by name.
        rotation: (3, 3), from the primitive to the world of glTF.
        scale: likewise.
        translation: (3,), likewise.
        linear: whether colours are of linear light.
    """

    accessors: dict[str, Accessor]
    rotation: np.ndarray
    scale: float
    translation: np.ndarray
    linear: bool

    @property
    def count(self) -> int:
        return self.accessors["POSITION"].count

    @classmethod
    def of(cls, document: Document, primitive: Any, transform: np.ndarray) -> _Placed:
        extension = field(primitive["extensions"], _EXTENSION, dict)
        for name, known in {"kernel": ("ellipse",), "colorSpace": (_SRGB, _LINEAR)}.items():
            if field(extension, name, str, known[0]) not in known:
                expected = " or ".join(map(repr, known))
                raise ValueError(f"its Gaussians have the {name} {ascii(extension[name])[:60]} instead of {expected}")
        attributes = field(primitive, "attributes", dict)
        degree = max(
            (k for k in (1, 2, 3) for name in attributes if name.startswith(f"{_EXTENSION}:SH_DEGREE_{k}_")), default=0
        )
        names = [*_NEEDED, *_REST_NAMES[: (degree + 1) ** 2 - 1]]
        missing = [name for name in names if name not in attributes]
        if missing:
            raise ValueError(f"its Gaussians lack the attribute {missing[0]}")
        accessors = {name: document.accessor(attributes[name], _KINDS[name]) for name in names}
        if len({accessor.count for accessor in accessors.values()}) > 1:
            raise ValueError("the attributes of its Gaussians are of different lengths")
        matrix = transform[:3, :3]
        scale = float(np.cbrt(np.linalg.det(matrix)))
        if not scale > 0 or not np.allclose(matrix @ matrix.T / scale**2, np.eye(3), atol=1e-4):
            raise ValueError("a node stretches, mirrors or flattens its Gaussians")
        if degree and not np.allclose(matrix / scale, np.eye(3), atol=1e-4):
            raise ValueError(
                "a node turns its Gaussians, which is not done here for spherical harmonics above degree 0"
            )
        return cls(accessors, matrix / scale, scale, transform[:3, 3], extension.get("colorSpace") == _LINEAR)

    def has_negative_scales(self) -> bool:
        return any(bool((values < 0).any()) for _, values in self.accessors[f"{_EXTENSION}:SCALE"].blocks())

    def read(self, *, logarithms: bool) -> GaussianArrays:
        """The Gaussians, turned to y down and in sRGB; `logarithms` says what their scales are."""
        rest = _REST_NAMES[: len(self.accessors) - len(_NEEDED)]
        centres = np.empty((self.count, 3), np.float64)
        scene = unfilled(self.count, len(rest))
        position, rotation, scale, opacity, color = (self.accessors[name] for name in _NEEDED)
        turn = _TURN[:, None] * self.rotation
        for part, values in position.blocks():
            centres[part] = values @ (turn * self.scale).T + _TURN * self.translation
        product = _left_product(turn)
        for part, values in rotation.blocks():
            scene.quats[part] = unit(values[:, [3, 0, 1, 2]]) @ product.T
        for part, values in scale.blocks():
            values = values.astype(np.float32)
            scene.scales[part] = (values if logarithms else log_of(values)) + np.log(self.scale)
        for part, values in opacity.blocks():
            scene.opacities[part] = logit_of(values[:, 0])
        for part, values in color.blocks():
            scene.sh0[part, 0] = values
        for k, name in enumerate(rest):
            for part, values in self.accessors[name].blocks():
                scene.shN[part, k] = values * _REST_SIGNS[k]
        if self.linear:
            sh0, shN = to_srgb(scene.sh0, scene.shN)
            scene = replace(scene, sh0=sh0, shN=shN)
        origin = origin_of_scene(centres, scene.scales)
        scene.means[:] = centres - origin
        return replace(scene, origin=origin)


@dataclass(frozen=True)
class _Attribute:
    """An array to write: its name, how glTF calls its type, and some of its rows at a time."""

    name: str
    kind: str
    type: np.dtype
    values: Callable[[slice], np.ndarray]

    @property
    def size(self) -> int:
        """Bytes of an entry."""
        return COMPONENT_COUNTS[self.kind] * self.type.itemsize


def _attributes(gaussians: GaussianArrays) -> list[_Attribute]:
    """What a file holds of a scene."""

    def rotation(part: slice) -> np.ndarray:
        w, x, y, z = unit(gaussians.quats[part]).T
        return np.column_stack([y, -x, -w, z])  # w, x, y, z of the turned one are z, y, -x, -w

    def light(part: slice) -> np.ndarray:
        color = color_of(gaussians.sh0[part, 0]).clip(0, 1)
        linear = np.where(color <= 0.04045, color / 12.92, ((color + 0.055) / 1.055) ** 2.4)  # IEC 61966-2-1
        return np.rint(np.column_stack([linear, opacity_of(gaussians.opacities[part])]) * 255)

    def harmonics(k: int) -> Callable[[slice], np.ndarray]:
        return lambda part: gaussians.shN[part, k] * _REST_SIGNS[k]

    values: dict[str, Callable[[slice], np.ndarray]] = {
        "POSITION": lambda part: gaussians.means[part] * _TURN,
        f"{_EXTENSION}:ROTATION": rotation,
        f"{_EXTENSION}:SCALE": lambda part: scale_of(gaussians.scales[part]),
        f"{_EXTENSION}:OPACITY": lambda part: opacity_of(gaussians.opacities[part]),
        f"{_EXTENSION}:SH_DEGREE_0_COEF_0": lambda part: gaussians.sh0[part, 0],
        **{name: harmonics(k) for k, name in enumerate(_REST_NAMES[: gaussians.shN.shape[1]])},
    }
    floats = [_Attribute(name, _KINDS[name], np.dtype("<f4"), function) for name, function in values.items()]
    return [*floats, _Attribute("COLOR_0", "VEC4", np.dtype("u1"), light)]


def _content(gaussians: GaussianArrays, attributes: list[_Attribute]) -> dict[str, Any]:
    """The JSON of a file."""
    count = len(gaussians)
    views, accessors = [], []
    offset = 0
    for index, attribute in enumerate(attributes):
        size = count * attribute.size
        views.append({"buffer": 0, "byteOffset": offset, "byteLength": size, "target": _ARRAY_BUFFER})
        accessor = {"bufferView": index, "count": count, "type": attribute.kind}
        accessors.append(accessor | ({"componentType": FLOAT} if attribute.type.kind == "f" else _BYTE_FRACTIONS))
        offset += size
    low, high = (corner.astype(np.float32) * _TURN for corner in gaussians.bounds())
    accessors[0] |= {"min": np.minimum(low, high).tolist(), "max": np.maximum(low, high).tolist()}
    origin = _TURN * gaussians.origin
    notes = {"antialiased": gaussians.antialiased, "comments": list(gaussians.comments)}
    return {
        "asset": {"version": "2.0", "generator": "leansplat", "extras": notes},
        "extensionsUsed": [_EXTENSION],
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, **({} if gaussians.origin == WORLD else {"translation": origin.tolist()})}],
        "meshes": [
            {
                "primitives": [
                    {
                        "mode": 0,
                        "attributes": {attribute.name: index for index, attribute in enumerate(attributes)},
                        "extensions": {_EXTENSION: {"kernel": "ellipse", "colorSpace": _SRGB}},
                    }
                ]
            }
        ],
        "accessors": accessors,
        "bufferViews": views,
        "buffers": [{"byteLength": offset}],
    }


def _left_product(rotation: np.ndarray) -> np.ndarray:
    """(4, 4): the product of the quaternion of a rotation (3, 3) and another quaternion, all w first, as a matrix."""
    if np.array_equal(rotation, np.diag(_TURN)):
        w, x, y, z = 0.0, 0.0, 0.0, 1.0
    else:  # by SciPy, which takes as long to import as all else here; few nodes turn their Gaussians
        from scipy.spatial.transform import Rotation

        x, y, z, w = Rotation.from_matrix(rotation).as_quat()
    return np.array([[w, -x, -y, -z], [x, w, -z, y], [y, z, w, -x], [z, -y, x, w]])
