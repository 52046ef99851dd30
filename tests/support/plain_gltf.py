"""glTF files made by hand for tests: with `struct`, `json`, NumPy and SciPy, sharing nothing with the package.

`attributes` makes a scene's arrays, `document` and `glb` a file of them, and `assert_holds` says what a reader should
make of them; `parts` takes a file apart again.
"""

import json
import struct

import numpy as np
from scipy.spatial.transform import Rotation

KHR = "KHR_gaussian_splatting"
TYPES = {"f4": 5126, "i1": 5120, "u1": 5121, "i2": 5122, "u2": 5123}
KINDS = {1: "SCALAR", 3: "VEC3", 4: "VEC4"}

HALF_TURN = Rotation.from_euler("z", 180, degrees=True)


def attributes(count=2, degree=0):
    """A scene's arrays as the specification has them: y up, linear scales and opacities, w last."""
    random = np.random.default_rng(count)
    values = {
        "POSITION": random.normal(size=(count, 3)),
        f"{KHR}:ROTATION": random.normal(size=(count, 4)),
        f"{KHR}:SCALE": random.uniform(0.1, 2, (count, 3)),
        f"{KHR}:OPACITY": random.uniform(0.1, 0.9, (count, 1)),
        f"{KHR}:SH_DEGREE_0_COEF_0": random.normal(size=(count, 3)),
    }
    values[f"{KHR}:ROTATION"] /= np.linalg.norm(values[f"{KHR}:ROTATION"], axis=1, keepdims=True)
    for band in range(1, degree + 1):
        for k in range(2 * band + 1):
            values[f"{KHR}:SH_DEGREE_{band}_COEF_{k}"] = random.normal(size=(count, 3))
    return {name: array.astype("<f4") for name, array in values.items()}


def document(arrays, normalized=()):
    """The JSON and the binary buffer of a file with one primitive of `arrays`."""
    views, accessors, binary = [], [], b""
    for index, (name, array) in enumerate(arrays.items()):
        padding = -array[:1].nbytes % 4  # entries start at multiples of four bytes
        padded = np.pad(array.view(np.uint8).reshape(len(array), -1), ((0, 0), (0, padding)))
        stride = {"byteStride": padded.shape[1]} if padding else {}
        views.append({"buffer": 0, "byteOffset": len(binary), "byteLength": padded.nbytes, **stride})
        accessor = {"bufferView": index, "componentType": TYPES[array.dtype.str[1:]], "count": len(array)}
        accessors.append({**accessor, "type": KINDS[array.shape[1]], "normalized": name in normalized})
        binary += padded.tobytes()
    primitive = {
        "mode": 0,
        "attributes": {name: index for index, name in enumerate(arrays)},
        "extensions": {KHR: {"kernel": "ellipse", "colorSpace": "srgb_rec709_display"}},
    }
    content = {
        "asset": {"version": "2.0"},
        "extensionsUsed": [KHR],
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [primitive]}],
        "accessors": accessors,
        "bufferViews": views,
        "buffers": [{"byteLength": len(binary)}],
    }
    return content, binary


def glb(content, binary):
    text = json.dumps(content).encode()
    text += b" " * (-len(text) % 4)
    size = 12 + 8 + len(text) + 8 + len(binary)
    start = struct.pack("<4sII", b"glTF", 2, size) + struct.pack("<I4s", len(text), b"JSON") + text
    return start + struct.pack("<I4s", len(binary), b"BIN\0") + binary


def parts(path):
    """The JSON and the arrays of a .glb with one primitive and arrays without gaps, by name."""
    data = path.read_bytes()
    magic, version, size = struct.unpack_from("<4sII", data)
    assert (magic, version, size) == (b"glTF", 2, len(data))
    length, kind = struct.unpack_from("<I4s", data, 12)
    assert kind == b"JSON"
    assert length % 4 == 0
    content = json.loads(data[20 : 20 + length])
    binary_length, kind = struct.unpack_from("<I4s", data, 20 + length)
    assert kind == b"BIN\0"
    binary = data[28 + length :]
    assert len(binary) == binary_length == content["buffers"][0]["byteLength"]
    arrays = {}
    for name, index in content["meshes"][0]["primitives"][0]["attributes"].items():
        accessor = content["accessors"][index]
        view = content["bufferViews"][accessor["bufferView"]]
        kind = next(kind for kind, code in TYPES.items() if code == accessor["componentType"])
        width = next(width for width, kind in KINDS.items() if kind == accessor["type"])
        start = view.get("byteOffset", 0) + accessor.get("byteOffset", 0)
        assert start % 4 == 0
        values = np.frombuffer(binary, f"<{kind}", accessor["count"] * width, start)
        assert values.nbytes == view["byteLength"]
        arrays[name] = values.reshape(-1, width)
    return content, arrays


def assert_holds(gaussians, arrays, turn=HALF_TURN, scale=1.0, move=(0, 0, 0)):
    """`gaussians` are `arrays` turned, in covariances and everything else, without SH above degree 0."""
    assert len(gaussians) == len(arrays["POSITION"])
    expected = turn.apply(scale * arrays["POSITION"]) + np.array(move)
    np.testing.assert_allclose(gaussians.means, expected, rtol=1e-5, atol=1e-6)
    rotation = (turn * Rotation.from_quat(arrays[f"{KHR}:ROTATION"])).as_matrix()
    factor = rotation * (scale * arrays[f"{KHR}:SCALE"])[:, None, :]
    w, x, y, z = gaussians.quats.numpy().T
    found = Rotation.from_quat(np.stack([x, y, z, w], axis=1)).as_matrix() * gaussians.scales.exp().numpy()[:, None, :]
    covariances = [each @ each.transpose(0, 2, 1) for each in (found, factor)]
    np.testing.assert_allclose(*covariances, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(gaussians.opacities.sigmoid(), arrays[f"{KHR}:OPACITY"][:, 0], atol=1e-6)
    np.testing.assert_array_equal(gaussians.sh0[:, 0], arrays[f"{KHR}:SH_DEGREE_0_COEF_0"])
