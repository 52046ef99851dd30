"""Bad glTF files: each is either read or refused with one sentence that names the file."""

from __future__ import annotations

import copy
import json
import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.plain_gltf import KHR, attributes, document, glb
from support.scene_comparison import read_or_refuse, refusal

from leansplat import formats
from leansplat.errors import SceneFileError

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
