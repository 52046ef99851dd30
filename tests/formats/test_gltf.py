"""glTF: files made by hand, by splat-transform and by us, and bad files."""

from __future__ import annotations

import base64
import copy
import dataclasses
import json
import math
import struct

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from support import splat_transform
from support.plain_gltf import HALF_TURN, KHR, assert_holds, attributes, document, glb, parts
from support.scene_comparison import (
    angles,
    assert_same_bits,
    random_scene,
    read_bytes,
    read_or_refuse,
    refusal,
    shared_scene,
)

from leansplat import formats
from leansplat.errors import InputError, SceneFileError

# reading


@pytest.mark.parametrize("count", [1, 2, 66_000])
def test_attributes_mean_what_the_specification_says(tmp_path, count):
    arrays = attributes(count)
    assert_holds(read_bytes(tmp_path, "scene.glb", glb(*document(arrays))), arrays)


def color(gaussians, direction):
    """(N, 3) of each Gaussian seen along `direction`, by the functions in the specification, degrees 0 to 3."""
    x, y, z = direction
    basis = [0.28209479177387814, -0.4886025119029199 * y, 0.4886025119029199 * z, -0.4886025119029199 * x]
    basis += [1.092548430592079 * x * y, -1.092548430592079 * y * z, 0.31539156525252 * (2 * z * z - x * x - y * y)]
    basis += [-1.092548430592079 * x * z, 0.5462742152960395 * (x * x - y * y)]
    basis += [-0.5900435899266435 * y * (3 * x * x - y * y), 2.890611442640554 * x * y * z]
    basis += [-0.4570457994644657 * y * (4 * z * z - x * x - y * y)]
    basis += [0.3731763325901154 * z * (2 * z * z - 3 * x * x - 3 * y * y)]
    basis += [-0.4570457994644657 * x * (4 * z * z - x * x - y * y), 1.445305721320277 * z * (x * x - y * y)]
    basis += [-0.5900435899266435 * x * (x * x - 3 * y * y)]
    coefficients = torch.cat([gaussians.sh0, gaussians.shN], dim=1).double()
    return torch.einsum("nkc,k->nc", coefficients, torch.tensor(basis[: coefficients.shape[1]], dtype=torch.float64))


@pytest.mark.parametrize("degree", [1, 2, 3])
def test_colours_turn_with_the_scene(tmp_path, degree):
    arrays = attributes(5, degree)
    found = read_bytes(tmp_path, "scene.glb", glb(*document(arrays)))
    bands = [arrays[name] for name in arrays if ":SH_DEGREE_" in name]
    coefficients = torch.from_numpy(np.stack(bands, axis=1))
    as_stored = dataclasses.replace(found, sh0=coefficients[:, :1], shN=coefficients[:, 1:])
    for direction in torch.nn.functional.normalize(
        torch.randn(20, 3, generator=torch.Generator().manual_seed(0)), dim=1
    ):
        turned = direction * torch.tensor([-1.0, -1.0, 1.0])
        torch.testing.assert_close(color(found, turned), color(as_stored, direction), rtol=1e-6, atol=1e-6)


INTEGERS = [
    ("ROTATION", "i1", True, 127),
    ("ROTATION", "i2", True, 32767),
    ("SCALE", "u1", False, 1),
    ("SCALE", "u2", False, 1),
    ("SCALE", "u1", True, 255),
    ("SCALE", "u2", True, 65535),
    ("OPACITY", "u1", True, 255),
    ("OPACITY", "u2", True, 65535),
]


@pytest.mark.parametrize(("name", "kind", "normalized", "one"), INTEGERS)
def test_integers_are_read_where_the_specification_allows_them(tmp_path, name, kind, normalized, one):
    arrays = attributes(7)
    name = f"{KHR}:{name}"
    integers = np.rint(np.minimum(arrays[name], 1) * one).astype(kind)
    integers = np.maximum(integers, 1) if "SCALE" in name else integers
    found = read_bytes(tmp_path, "scene.glb", glb(*document(arrays | {name: integers}, {name} if normalized else ())))
    expected = (integers / one).astype(np.float32)
    if "ROTATION" in name:
        expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert_holds(found, arrays | {name: expected})


def test_negative_scales_are_logarithms_of_a_draft(tmp_path, caplog):
    arrays = attributes(7)
    scale = f"{KHR}:SCALE"
    found = read_bytes(tmp_path, "scene.glb", glb(*document(arrays | {scale: np.log(arrays[scale])})))
    assert "scales are taken as logarithms" in caplog.text
    assert_holds(found, arrays)


def test_flat_gaussians_and_the_ends_of_opacity_stay_finite(tmp_path, caplog):
    arrays = attributes(2)
    arrays[f"{KHR}:SCALE"][0, 2] = 0
    arrays[f"{KHR}:OPACITY"][:, 0] = 0, 1
    found = read_bytes(tmp_path, "scene.glb", glb(*document(arrays)))
    assert found.finite().all()
    assert_holds(found, arrays)
    assert not caplog.records


def test_logarithms_are_said_once_a_file_and_taken_for_all_of_it(tmp_path, caplog):
    """A primitive whose logarithms are all positive is of the same draft as the others."""
    arrays = attributes(7)
    scale = f"{KHR}:SCALE"
    content, binary = document(arrays | {scale: np.log(arrays[scale])})
    large = np.full((7, 3), 0.5, "<f4")
    content["bufferViews"].append({"buffer": 0, "byteOffset": len(binary), "byteLength": large.nbytes})
    content["accessors"].append(content["accessors"][2] | {"bufferView": 5})
    content["buffers"][0]["byteLength"] += large.nbytes
    (primitive,) = content["meshes"][0]["primitives"]
    other = primitive | {"attributes": primitive["attributes"] | {scale: 5}}
    content["meshes"][0]["primitives"] = [primitive, other, primitive, primitive]
    found = read_bytes(tmp_path, "scene.glb", glb(content, binary + large.tobytes()))
    assert caplog.text.count("scales are taken as logarithms") == 1
    assert_holds(found[:7], arrays)
    assert found.scales[7:14].tolist() == [[0.5] * 3] * 7


def linear(arrays):
    content, binary = document(arrays)
    content["meshes"][0]["primitives"][0]["extensions"][KHR]["colorSpace"] = "lin_rec709_display"
    return content, binary


def srgb(light):
    """IEC 61966-2-1, number by number."""
    encode = lambda each: 12.92 * each if each <= 0.0031308 else 1.055 * each ** (1 / 2.4) - 0.055  # noqa: E731
    return torch.tensor([[encode(max(0.0, each)) for each in row] for row in light.tolist()], dtype=torch.float64)


def test_colours_of_linear_light_become_srgb(tmp_path, caplog):
    arrays = attributes(9)
    as_stored = read_bytes(tmp_path, "scene.glb", glb(*document(arrays)))
    assert not caplog.records
    found = read_bytes(tmp_path, "scene.glb", glb(*linear(arrays)))
    forward = (0.0, 0.0, 1.0)
    expected = srgb(color(as_stored, forward) + 0.5)
    torch.testing.assert_close(color(found, forward) + 0.5, expected, rtol=1e-5, atol=1e-6)
    assert torch.equal(found.means, as_stored.means)
    assert caplog.text.count("of linear light, were turned into sRGB") == 1


@pytest.mark.parametrize("degree", [1, 2, 3])
def test_colours_of_linear_light_become_srgb_in_every_direction(tmp_path, degree):
    """As near as harmonics of that degree come: much nearer than colours that stay as they are."""
    arrays = attributes(6, degree)
    for name in arrays:
        if ":SH_DEGREE_" in name:
            arrays[name] *= 0.3 if "DEGREE_0" in name else 0.05
    as_stored = read_bytes(tmp_path, "scene.glb", glb(*document(arrays)))
    found = read_bytes(tmp_path, "scene.glb", glb(*linear(arrays)))
    directions = torch.randn(40, 3, generator=torch.Generator().manual_seed(2))
    errors, untouched = [], []
    for direction in torch.nn.functional.normalize(directions, dim=1):
        expected = srgb(color(as_stored, direction) + 0.5)
        errors.append((color(found, direction) + 0.5 - expected).abs().mean())
        untouched.append((color(as_stored, direction) + 0.5 - expected).abs().mean())
    assert torch.stack(errors).mean() < 0.01
    assert torch.stack(untouched).mean() > 0.1


@pytest.mark.parametrize("name", ["KHR_materials_unlit", "KHR_texture_transform", "KHR_lights_punctual"])
def test_extensions_that_say_nothing_about_gaussians_may_be_required(tmp_path, name):
    arrays = attributes(3)
    content, binary = document(arrays)
    content["extensionsRequired"] = [name, KHR]
    content["materials"] = [{"extensions": {name: {}}}]
    content["meshes"][0]["primitives"][0]["material"] = 0
    assert_holds(read_bytes(tmp_path, "scene.glb", glb(content, binary)), arrays)


NODES = {
    "moved": ([{"mesh": 0, "translation": [1, 2, 3]}], Rotation.identity(), 1, (1, 2, 3)),
    "scaled": ([{"mesh": 0, "scale": [0.5, 0.5, 0.5]}], Rotation.identity(), 0.5, (0, 0, 0)),
    "turned": ([{"mesh": 0, "rotation": [0.5, 0.5, 0.5, 0.5]}], Rotation.from_quat([0.5] * 4), 1, (0, 0, 0)),
    "matrix": (
        [{"mesh": 0, "matrix": [0, 0, -2, 0, 0, 2, 0, 0, 2, 0, 0, 0, 1, 2, 3, 1]}],
        Rotation.from_matrix([[0, 0, 1], [0, 1, 0], [-1, 0, 0]]),
        2,
        (1, 2, 3),
    ),
    "nested": (
        [{"children": [1], "translation": [0, 0, 1], "scale": [2, 2, 2]}, {"mesh": 0, "translation": [1, 0, 0]}],
        Rotation.identity(),
        2,
        (2, 0, 1),
    ),
}


@pytest.mark.parametrize("case", NODES)
def test_nodes_place_their_gaussians(tmp_path, case):
    nodes, turn, scale, move = NODES[case]
    arrays = attributes(6)
    content, binary = document(arrays)
    content["nodes"] = nodes
    found = read_bytes(tmp_path, "scene.glb", glb(content, binary))
    assert_holds(found, arrays, HALF_TURN * turn, scale, HALF_TURN.apply(move))


def test_all_primitives_of_the_scene_are_read_and_nothing_else(tmp_path):
    arrays = attributes(3)
    content, binary = document(arrays)
    mesh = {"primitives": [{"attributes": {"POSITION": 0}}, *content["meshes"][0]["primitives"]]}
    content["meshes"] = [mesh, mesh]
    content["nodes"] = [{"mesh": 0}, {"mesh": 1, "translation": [5, 0, 0]}, {"mesh": 1}]
    content["scenes"] = [{"nodes": []}, {"nodes": [0, 1]}]
    content["scene"] = 1
    found = read_bytes(tmp_path, "scene.glb", glb(content, binary))
    assert_holds(found[:3], arrays)
    assert_holds(found[3:], arrays, move=(-5, 0, 0))
    del content["scenes"], content["scene"]
    assert len(read_bytes(tmp_path, "scene.glb", glb(content, binary))) == 9


def test_interleaved_attributes_are_read(tmp_path):
    arrays = attributes(9)
    content, _ = document(arrays)
    binary = np.concatenate(list(arrays.values()), axis=1).tobytes()
    content["buffers"] = [{"byteLength": len(binary)}]
    content["bufferViews"] = [{"buffer": 0, "byteLength": len(binary), "byteStride": 56}]
    for accessor, offset in zip(content["accessors"], (0, 12, 28, 40, 44), strict=True):
        accessor |= {"bufferView": 0, "byteOffset": offset}
    assert_holds(read_bytes(tmp_path, "scene.glb", glb(content, binary)), arrays)


@pytest.mark.parametrize("uri", ["data", "scene data.bin", "parts/scene.bin"])
def test_gltf_as_text_is_read_with_its_buffers(tmp_path, uri):
    arrays = attributes(4)
    content, binary = document(arrays)
    content["buffers"][0]["uri"] = uri.replace(" ", "%20")
    if uri == "data":
        text = base64.b64encode(binary).decode()
        content["buffers"][0]["uri"] = f"data:application/octet-stream;base64,{text}"
    else:
        (tmp_path / "parts").mkdir()
        (tmp_path / uri).write_bytes(binary)
    assert_holds(read_bytes(tmp_path, "scene.gltf", json.dumps(content).encode()), arrays)


# writing


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_a_round_trip_keeps_everything_but_the_last_digits(tmp_path, degree):
    gaussians = random_scene(500, degree, antialiased=degree == 2, comments=("by hand", "ünïcode"))
    formats.write(gaussians, tmp_path / "scene.glb")
    again = formats.read(tmp_path / "scene.glb")
    assert torch.equal(again.means, gaussians.means)
    assert torch.equal(again.sh0, gaussians.sh0)
    assert torch.equal(again.shN, gaussians.shN)
    assert torch.allclose(again.scales, gaussians.scales, rtol=1e-6, atol=1e-6)
    assert torch.allclose(again.opacities.sigmoid(), gaussians.opacities.sigmoid(), atol=1e-7)
    assert torch.allclose(again.quats, torch.nn.functional.normalize(gaussians.quats, dim=1), atol=1e-6)
    assert again.antialiased == gaussians.antialiased
    assert again.comments == gaussians.comments
    formats.write(again, tmp_path / "again.glb")
    assert_same_bits(
        dataclasses.replace(
            formats.read(tmp_path / "again.glb"), quats=again.quats, scales=again.scales, opacities=again.opacities
        ),
        again,
    )


def test_what_is_written_is_what_the_specification_asks_for(tmp_path):
    gaussians = random_scene(300, 3)
    formats.write(gaussians, tmp_path / "scene.glb")
    content, arrays = parts(tmp_path / "scene.glb")
    assert_holds(gaussians, {name: arrays[name] for name in arrays if name != "COLOR_0"})
    assert content["extensionsUsed"] == [KHR]
    primitive = content["meshes"][0]["primitives"][0]
    assert primitive["mode"] == 0
    assert primitive["extensions"] == {KHR: {"kernel": "ellipse", "colorSpace": "srgb_rec709_display"}}
    position = content["accessors"][primitive["attributes"]["POSITION"]]
    assert position["min"] == arrays["POSITION"].min(axis=0).tolist()
    assert position["max"] == arrays["POSITION"].max(axis=0).tolist()
    assert np.abs(np.linalg.norm(arrays[f"{KHR}:ROTATION"], axis=1) - 1).max() < 1e-6
    assert sum(":SH_DEGREE_" in name for name in arrays) == 16
    # The fallback for viewers that show points: linear light, decoded from sRGB.
    shown = (0.5 + gaussians.sh0[:, 0].numpy() / (2 * math.sqrt(math.pi))).clip(0, 1)
    linear = [[c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in row] for row in shown.tolist()]
    np.testing.assert_allclose(arrays["COLOR_0"][:, :3] / 255, linear, atol=0.51 / 255)
    np.testing.assert_allclose(arrays["COLOR_0"][:, 3] / 255, gaussians.opacities.sigmoid(), atol=0.51 / 255)


@pytest.mark.parametrize("scene", ["random", "fox_opensplat.ply"])
def test_splat_transform_writes_the_same_arrays(tmp_path, scene):
    source = tmp_path / "random.ply"
    if scene == "random":
        formats.write(random_scene(500, 2), source)
    else:
        source = shared_scene(scene)
    gaussians = formats.read(source)
    formats.write(gaussians, tmp_path / "ours.glb")
    splat_transform.convert(source, tmp_path / "theirs.glb")
    content, ours = parts(tmp_path / "ours.glb")
    theirs_content, theirs = parts(tmp_path / "theirs.glb")
    primitives = [each["meshes"][0]["primitives"][0] for each in (content, theirs_content)]
    assert primitives[0]["extensions"][KHR].items() <= primitives[1]["extensions"][KHR].items()
    assert ours.keys() == theirs.keys()
    for name in ours.keys() - {"COLOR_0", f"{KHR}:ROTATION"}:
        np.testing.assert_allclose(ours[name], theirs[name], rtol=2e-6, atol=2e-6, err_msg=name)
    rotations = [torch.from_numpy(each[f"{KHR}:ROTATION"].copy()) for each in (ours, theirs)]
    assert angles(*rotations).max() < 1e-3
    again = formats.read(tmp_path / "theirs.glb")
    assert torch.allclose(again.means, gaussians.means, rtol=1e-6, atol=1e-6)
    assert torch.allclose(again.shN, gaussians.shN, rtol=1e-5, atol=1e-5)
    assert torch.allclose(again.scales, gaussians.scales, rtol=1e-5, atol=1e-5)
    assert angles(again.quats, gaussians.quats).max() < 1e-3


def test_tensors_that_need_gradients_are_written(tmp_path):
    gaussians = random_scene(5)
    gaussians.means.requires_grad_()
    formats.write(gaussians, tmp_path / "scene.glb")
    assert torch.equal(formats.read(tmp_path / "scene.glb").means, gaussians.means)


def test_what_is_lost_is_named(tmp_path, caplog):
    formats.write(random_scene(4, extras={"a": torch.zeros(4)}), tmp_path / "scene.glb")
    assert "glTF cannot hold 1 extra property; this is lost" in caplog.text


def test_what_glTF_cannot_hold_is_refused(tmp_path):  # noqa: N802
    gaussians = random_scene(4)
    gaussians.scales[1, 1] = float("nan")
    with pytest.raises(SceneFileError, match=r"1 of 4 Gaussians .*--drop-nonfinite"):
        formats.write(gaussians, tmp_path / "scene.glb")
    with pytest.raises(SceneFileError, match="empty arrays"):
        formats.write(random_scene(0), tmp_path / "scene.glb")
    with pytest.raises(SceneFileError, match="only reads"):
        formats.write(random_scene(4), tmp_path / "scene.gltf")
    assert not list(tmp_path.iterdir())


def test_a_file_that_exists_is_only_replaced_on_request(tmp_path):
    path = tmp_path / "scene.glb"
    formats.write(random_scene(3), path)
    with pytest.raises(InputError, match="already exists"):
        formats.write(random_scene(5), path)
    formats.write(random_scene(5), path, overwrite=True)
    assert len(formats.read(path)) == 5


# bad files

ARRAYS = attributes(2, 1)
CONTENT, BINARY = document(ARRAYS)
GOOD = glb(CONTENT, BINARY)


def changed(*steps, value):
    """The file with one entry of its JSON replaced: `steps` lead to it."""
    content = json.loads(json.dumps(CONTENT))
    owner = content
    for step in steps[:-1]:
        owner = owner[step]
    if value is None:
        del owner[steps[-1]]
    else:
        owner[steps[-1]] = value
    return glb(content, BINARY)


PRIMITIVE = ("meshes", 0, "primitives", 0)
EXTENSION = (*PRIMITIVE, "extensions", KHR)
TWO_NODES = [{"mesh": 0, "children": [1]}, {"mesh": 0, "children": [0]}]
JSON_SIZE = struct.unpack_from("<I", GOOD, 12)[0]
REFUSED = {
    "version 1": (GOOD[:4] + struct.pack("<I", 1) + GOOD[8:], "of version 1"),
    "a length that is wrong": (GOOD[:8] + struct.pack("<I", 99) + GOOD[12:], "where its header says 99"),
    "bytes at the end": (GOOD + b"\0", "where its header says"),
    "JSON that is longer than the file": (GOOD[:12] + struct.pack("<I", 2**32 - 1) + GOOD[16:], "cut off"),
    "no JSON": (GOOD[:16] + b"NSOJ" + GOOD[20:], "does not start with its JSON"),
    "a binary part that is longer than the file": (
        GOOD[: 20 + JSON_SIZE] + struct.pack("<I", 2**32 - 1) + GOOD[24 + JSON_SIZE :],
        "binary part of 4,294,967,295 bytes is cut off",
    ),
    "no binary part": (GOOD[: 24 + JSON_SIZE] + b"NIB\0" + GOOD[28 + JSON_SIZE :], "a buffer without bytes"),
    "damaged JSON": (GOOD[:40] + b"}" + GOOD[41:], "JSON is cut off or damaged"),
    "deep JSON": (b"[" * 100_000, "JSON is cut off or damaged"),
    "a list instead of an object": (b"[1, 2]", "'asset'"),
    "another version of glTF": (changed("asset", value={"version": "1.0"}), "'1.0'"),
    "no version": (changed("asset", value={}), "'version'"),
    "an unknown extension": (changed("extensionsRequired", value=["KHR_x_spz"]), "needs the extension 'KHR_x_spz'"),
    "extensions of another kind": (changed("extensionsRequired", value=[{}]), "needs the extension"),
    "no Gaussians": (changed(*PRIMITIVE, "extensions", value={}), "no Gaussians"),
    "an empty scene": (changed("scenes", 0, "nodes", value=[]), "no Gaussians"),
    "a scene that is missing": (changed("scene", value=7), "no entry 7 in a list of 1"),
    "another kernel": (changed(*EXTENSION, "kernel", value="box"), "the kernel 'box'"),
    "colours of another kind": (changed(*EXTENSION, "colorSpace", value="lin_p3_display"), "'lin_p3_display'"),
    "a number for the kernel": (changed(*EXTENSION, "kernel", value=3), "'kernel'"),
    "no rotation": (changed(*PRIMITIVE, "attributes", f"{KHR}:ROTATION", value=None), "lack the attribute"),
    "half a degree": (changed(*PRIMITIVE, "attributes", f"{KHR}:SH_DEGREE_1_COEF_2", value=None), "COEF_2"),
    "an accessor that is missing": (changed(*PRIMITIVE, "attributes", "POSITION", value=99), "no entry 99"),
    "an accessor with a negative index": (changed(*PRIMITIVE, "attributes", "POSITION", value=-1), "no entry -1"),
    "an accessor called true": (changed(*PRIMITIVE, "attributes", "POSITION", value=True), "no entry True"),
    "an accessor of another kind": (changed(*PRIMITIVE, "attributes", "POSITION", value=1), "is not a VEC3"),
    "a sparse accessor": (changed("accessors", 0, "sparse", value={}), "sparse or compressed"),
    "an accessor without bytes": (changed("accessors", 0, "bufferView", value=None), "sparse or compressed"),
    "unsigned integers": (changed("accessors", 0, "componentType", value=5125), "type 5125"),
    "different lengths": (changed("accessors", 0, "count", value=1), "different lengths"),
    "a count of 10^15": (changed("accessors", 0, "count", value=10**15), "1,000,000,000,000,000 entries goes past"),
    "a count of 10^100": (changed("accessors", 0, "count", value=10**100), "'count' is negative or too large"),
    "a negative count": (changed("accessors", 0, "count", value=-1), "'count' is negative"),
    "a count in words": (changed("accessors", 0, "count", value="two"), "'count'"),
    "an offset past the end": (changed("accessors", 0, "byteOffset", value=4), "goes past"),
    "a stride past the end": (changed("bufferViews", 0, "byteStride", value=16), "goes past"),
    "a stride that is too small": (changed("bufferViews", 0, "byteStride", value=4), "goes past"),
    "a view past the end": (changed("bufferViews", 0, "byteOffset", value=len(BINARY)), "goes past"),
    "a buffer that is missing": (changed("bufferViews", 0, "buffer", value=1), "no entry 1"),
    "a buffer longer than its bytes": (changed("buffers", 0, "byteLength", value=10**9), "of its 1,000,000,000 bytes"),
    "a buffer shorter than its views": (changed("buffers", 0, "byteLength", value=8), "goes past the 8 bytes"),
    "a buffer on the web": (changed("buffers", 0, "uri", value="https://example.com/a.bin"), "outside its folder"),
    "a buffer in the root": (changed("buffers", 0, "uri", value="/etc/passwd"), "outside its folder"),
    "a buffer above the folder": (changed("buffers", 0, "uri", value="a/../../b.bin"), "outside its folder"),
    "a buffer above the folder, encoded": (changed("buffers", 0, "uri", value="%2e%2e/b.bin"), "outside its folder"),
    "a buffer that is damaged": (changed("buffers", 0, "uri", value="data:;base64,AAA"), "padding"),
    "a buffer that is not base64": (changed("buffers", 0, "uri", value="data:,AAAA"), "not base64"),
    "a buffer with a name of zero bytes": (changed("buffers", 0, "uri", value="\0"), "a buffer called"),
    "a node in itself": (changed("nodes", value=TWO_NODES), "node 0 has two parents"),
    "a node that is missing": (changed("scenes", 0, "nodes", value=["0"]), "no entry '0'"),
    "a node stretched": (changed("nodes", 0, "scale", value=[1, 2, 1]), "stretches, mirrors or flattens"),
    "a node mirrored": (changed("nodes", 0, "scale", value=[-1, -1, -1]), "stretches, mirrors or flattens"),
    "a node of no size": (changed("nodes", 0, "scale", value=[0, 0, 0]), "stretches, mirrors or flattens"),
    "a node with harmonics turned": (changed("nodes", 0, "rotation", value=[0, 1, 0, 0]), "turns its Gaussians"),
    "a node far away": (changed("nodes", 0, "translation", value=[1e300, 0, 0]), "not a list of 3 numbers"),
    "a node nowhere": (changed("nodes", 0, "translation", value=[float("nan"), 0, 0]), "not a list of 3 numbers"),
    "a matrix of three": (changed("nodes", 0, "matrix", value=[1, 2, 3]), "not a list of 16 numbers"),
    "a mesh that is missing": (changed("nodes", 0, "mesh", value=1), "no entry 1"),
    "too many Gaussians": (changed(*PRIMITIVE[:3], value=CONTENT["meshes"][0]["primitives"] * 99), "cannot hold"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_bad_files_are_refused_in_one_sentence(tmp_path, case):
    content, expected = REFUSED[case]
    assert expected in refusal(tmp_path, "bad.gltf", content)


def test_a_buffer_that_a_link_leads_out_of_the_folder_is_refused(tmp_path):
    (tmp_path / "secret.bin").write_bytes(BINARY)
    (tmp_path / "scene").mkdir()
    (tmp_path / "scene" / "link.bin").symlink_to(tmp_path / "secret.bin")
    assert "outside its folder" in refusal(
        tmp_path / "scene", "bad.gltf", changed("buffers", 0, "uri", value="link.bin")
    )


def test_a_buffer_that_is_missing_is_named(tmp_path):
    (tmp_path / "bad.gltf").write_bytes(changed("buffers", 0, "uri", value="lost.bin"))
    with pytest.raises(SceneFileError, match=r"lost\.bin does not exist"):
        formats.read(tmp_path / "bad.gltf")


def test_a_file_cut_off_anywhere_is_refused(tmp_path):
    for length in range(0, len(GOOD), 7):
        refusal(tmp_path, "bad.glb", GOOD[:length])


FUZZED = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@FUZZED
@given(data=st.data())
def test_flipped_bytes_never_raise_anything_else(tmp_path, data):
    content = bytearray(GOOD)
    flips = st.lists(st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255)), min_size=1, max_size=4)
    for position, byte in data.draw(flips):
        content[position] = byte
    (tmp_path / "fuzzed.glb").write_bytes(content)
    read_or_refuse(tmp_path / "fuzzed.glb")


VALUES = st.sampled_from([None, True, -1, 0, 1, 2**40, 1.5, "x", "", [], [0], {}, {"x": []}, [[]], 5126, "VEC3"])


@FUZZED
@given(data=st.data())
def test_entries_of_other_kinds_never_raise_anything_else(tmp_path, data):
    content = json.loads(json.dumps(CONTENT))
    for _ in range(data.draw(st.integers(1, 3))):
        owner = content
        while owner:
            key = data.draw(st.sampled_from(sorted(owner) if isinstance(owner, dict) else range(len(owner))))
            if not isinstance(owner[key], dict | list) or data.draw(st.booleans()):
                owner[key] = copy.deepcopy(data.draw(VALUES))
                break
            owner = owner[key]
    (tmp_path / "fuzzed.glb").write_bytes(glb(content, BINARY))
    read_or_refuse(tmp_path / "fuzzed.glb")
