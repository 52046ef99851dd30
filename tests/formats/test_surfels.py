"""Scenes of 2DGS, which have two scales a Gaussian."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support import plain_ply
from support.inria_files import Training
from support.rendered_scenes import camera, surfaces
from support.scene_comparison import angles
from torch import Tensor

from leansplat import formats
from leansplat.engines.cpu import render
from leansplat.formats import inria_checkpoint
from leansplat.gaussians import TENSOR_NAMES, Gaussians


def file_of_2dgs(scene: Gaussians, path: Path, encoding: str = "binary_little_endian", kind: str = "float") -> Path:
    """Without its third scales, by a writer that shares nothing with the package."""
    columns = {name: scene.means[:, k] for k, name in enumerate("xyz")}
    columns |= {f"f_dc_{k}": scene.sh0[:, 0, k] for k in range(3)}
    rest = scene.shN.transpose(1, 2).reshape(len(scene), -1)
    columns |= {f"f_rest_{k}": rest[:, k] for k in range(rest.shape[1])}
    columns |= {"opacity": scene.opacities} | {f"scale_{k}": scene.scales[:, k] for k in range(2)}
    columns |= {f"rot_{k}": scene.quats[:, k] for k in range(4)}
    properties = [(name, kind) for name in columns]
    rows = plain_ply.body(properties, len(scene), encoding, lambda name, row: float(columns[name][row]))
    path.write_bytes(plain_ply.header(properties, len(scene), encoding) + rows)
    return path


@pytest.mark.parametrize(("encoding", "kind"), [("ascii", "float"), ("binary_little_endian", "double")])
@pytest.mark.parametrize("degree", [0, 3])
def test_a_scene_of_2dgs_is_read_as_flat_gaussians_and_drawn_like_ones_of_no_thickness(
    tmp_path: Path, encoding: str, kind: str, degree: int, caplog: pytest.LogCaptureFixture
) -> None:
    scene = surfaces(80, seed=61, sh_degree=degree)
    found = formats.read(file_of_2dgs(scene, tmp_path / "scene.ply", encoding, kind))
    assert "two scales, as 2DGS writes them" in caplog.text
    assert len(caplog.records) == 1
    for name in set(TENSOR_NAMES) - {"scales"}:
        assert torch.allclose(getattr(found, name), getattr(scene, name), rtol=1e-6), name
    assert torch.allclose(found.scales[:, :2], scene.scales[:, :2], rtol=1e-6)
    ratio = found.scales[:, 2] - scene.scales[:, :2].amin(dim=1)
    assert torch.allclose(ratio, torch.full((80,), math.log(1e-4)), atol=1e-4)
    flat = replace(scene, scales=torch.cat([scene.scales[:, :2], torch.full((80, 1), -math.inf)], dim=1))
    assert torch.allclose(render(found, camera()).image, render(flat, camera()).image, atol=1e-5)


@pytest.mark.parametrize("suffix", [".compressed.ply", ".sog", ".splat", ".glb", ".npz", ".spz"])
def test_every_format_takes_a_scene_of_2dgs(tmp_path: Path, suffix: str) -> None:
    scene = formats.read(file_of_2dgs(surfaces(60, seed=62, sh_degree=0), tmp_path / "scene.ply"))
    formats.write(scene, tmp_path / f"scene{suffix}")
    found = formats.read(tmp_path / f"scene{suffix}")
    assert found.finite().all()
    assert (found.scales[:, 2] < found.scales[:, :2].amin(dim=1) - 1).all()


def test_flat_gaussians_of_2dgs_lie_across_the_third_axis_of_their_rotation(tmp_path: Path) -> None:
    scene = surfaces(40, seed=63, sh_degree=0)
    found = formats.read(file_of_2dgs(scene, tmp_path / "scene.ply"))
    assert (found.scales.argmin(dim=1) == 2).all()
    assert angles(found.quats, scene.quats).max() < 1e-3


def two_scales(training: Training) -> dict[str, object]:
    """A training's state as 2DGS saves it: scales and their moments have two columns."""
    state = training.optimizer.state_dict()
    index = next(each["params"][0] for each in state["param_groups"] if each["name"] == "scaling")

    def narrow(value: object) -> object:
        return value[:, :2].clone() if isinstance(value, Tensor) and value.dim() == 2 else value

    state["state"][index] = {name: narrow(value) for name, value in state["state"][index].items()}
    return {"scaling": training.parameters["scaling"].detach()[:, :2].clone(), "optimizer": state}


def test_a_checkpoint_of_2dgs_is_read_with_its_optimizer(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    training = Training()
    expected = training.gaussians()
    path = training.save(tmp_path / "chkpnt30000.pth", **two_scales(training))
    scene, checkpoint = formats.read(path), inria_checkpoint.load(path)
    assert caplog.text.count("two scales, as 2DGS writes them") == 2
    for found in (scene, checkpoint.gaussians):
        assert torch.equal(found.scales[:, :2], expected.scales[:, :2])
        assert torch.allclose(found.scales[:, 2], expected.scales[:, :2].amin(dim=1) + math.log(1e-4))
    for moment in (checkpoint.first_moment, checkpoint.second_moment):
        assert moment.scales[:, :2].any()
        assert not moment.scales[:, 2].any()
