"""glTF: files that we write hold what the specification asks for and what splat-transform writes."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from support import splat_transform
from support.plain_gltf import KHR, assert_holds, parts
from support.scene_comparison import angles, assert_same_bits, random_scene, shared_scene

from leansplat import formats
from leansplat.errors import InputError, SceneFileError


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
