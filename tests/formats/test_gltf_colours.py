"""glTF: harmonics turn with their scene, and colours of linear light become sRGB."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from support.plain_gltf import KHR, attributes, document, glb
from support.scene_comparison import read_bytes


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
