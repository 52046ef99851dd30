"""glTF: what attributes, nodes and buffers of files made by hand mean."""

from __future__ import annotations

import base64
import json

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from support.plain_gltf import HALF_TURN, KHR, assert_holds, attributes, document, glb
from support.scene_comparison import read_bytes


@pytest.mark.parametrize("count", [1, 2, 66_000])
def test_attributes_mean_what_the_specification_says(tmp_path, count):
    arrays = attributes(count)
    assert_holds(read_bytes(tmp_path, "scene.glb", glb(*document(arrays))), arrays)


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
