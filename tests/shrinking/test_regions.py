"""Regions by their text, and what they leave of a scene to be shrunk."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support.scene_comparison import random_scene
from torch import Tensor

from leansplat import formats
from leansplat.errors import InputError
from leansplat.gaussians import Gaussians
from leansplat.shrinking.regions import Freedom, inside, parse_region

FAR = (552032.0, 4182232.0, 100.0)


def scene() -> Gaussians:
    return random_scene(800, 0, seed=8)


def found(gaussians: Gaussians, *texts: str) -> Tensor:
    return inside(gaussians, [parse_region(text) for text in texts])


def points_file(path: Path, points: np.ndarray) -> str:
    rows = "\n".join(" ".join(map(repr, map(float, point))) for point in points)
    header = f"ply\nformat ascii 1.0\nelement vertex {len(points)}\n"
    path.write_text(header + "".join(f"property double {axis}\n" for axis in "xyz") + f"end_header\n{rows}\n")
    return str(path)


def test_a_box_holds_the_centres_between_its_corners_in_whatever_order_they_are() -> None:
    means = scene().means
    expected = ((means >= torch.tensor([-2.0, -1.0, 0.0])) & (means <= torch.tensor([1.0, 4.0, 9.0]))).all(dim=1)
    assert 0 < expected.sum() < 800
    assert torch.equal(found(scene(), "box:-2,-1,0,1,4,9"), expected)
    assert torch.equal(found(scene(), "box:1,-1,9,-2,4,0"), expected)


def test_a_sphere_holds_the_centres_within_its_radius() -> None:
    expected = (scene().means.double() - torch.tensor([1.0, 0.5, -1.0])).norm(dim=1) <= 2.5
    assert 0 < expected.sum() < 800
    assert torch.equal(found(scene(), "sphere:1,0.5,-1,2.5"), expected)


def test_a_file_of_points_holds_what_is_within_the_radius_of_any(tmp_path: Path) -> None:
    points = np.array([[0.0, 0.0, 0.0], [3.0, 1.0, -2.0], [3.0, 1.0, -2.0], [50.0, 0.0, 0.0]])
    text = points_file(tmp_path / "points.ply", points)
    distances = np.linalg.norm(scene().means.numpy()[:, None].astype(np.float64) - points, axis=2).min(axis=1)
    assert torch.equal(found(scene(), f"{text}:1.5"), torch.from_numpy(distances <= 1.5))


def test_points_reach_as_far_as_a_surface_they_are_strewn_over_needs(tmp_path: Path) -> None:
    """At any scale, nearly all of the surface is inside, and what is farther off than points are apart is not."""
    generator = np.random.default_rng(9)
    for scale in (0.01, 1.0, 1000.0):
        strewn = np.column_stack([scale * generator.random((3000, 2)), np.zeros(3000)])
        text = points_file(tmp_path / f"{scale}.ply", strewn)
        between = np.column_stack([scale * generator.uniform(0.05, 0.95, (800, 2)), np.zeros(800)])
        on = replace(scene(), means=torch.from_numpy(between).float())
        off = replace(on, means=on.means + torch.tensor([0.0, 0.0, 0.06 * scale]))
        assert found(on, text).float().mean() > 0.99
        assert not found(off, text).any()


def test_a_scene_file_is_a_file_of_points_too(tmp_path: Path) -> None:
    formats.write(scene()[:40], tmp_path / "part.ply")
    assert torch.equal(found(scene(), f"{tmp_path / 'part.ply'}:1e-6"), torch.arange(800) < 40)


@pytest.mark.parametrize("kind", ["box", "sphere", "points"])
def test_regions_are_in_the_world_whatever_a_scene_is_relative_to(tmp_path: Path, kind: str) -> None:
    x, y, z = FAR
    corner, points = f"{x - 2},{y - 2},{z - 2}", points_file(tmp_path / "points.ply", np.array([FAR]))
    text = {
        "box": f"box:{corner},{x + 2},{y + 2},{z + 2}",
        "sphere": f"sphere:{x},{y},{z},2",
        "points": f"{points}:2",
    }[kind]
    moved = replace(scene(), origin=FAR)
    here = "box:-2,-2,-2,2,2,2" if kind == "box" else "sphere:0,0,0,2"
    assert torch.equal(found(moved, text), found(scene(), here))
    assert not found(scene(), text).any()


def test_several_regions_hold_what_any_of_them_holds() -> None:
    first, second = "box:-9,-9,-9,0,0,0", "sphere:3,3,3,3"
    assert torch.equal(found(scene(), first, second), found(scene(), first) | found(scene(), second))
    assert not found(scene()).any()


def test_what_is_not_finite_is_nowhere() -> None:
    broken = scene()
    broken.means[0, 1] = torch.nan
    broken.means[1, 2] = torch.inf
    assert found(broken, "sphere:0,0,0,1000", "box:-99,-99,-99,99,99,99").sum() == 798


REFUSED = {
    "cube:0,0,0,1": "is no region; give box:",
    "box:1,2,3": "6 finite numbers are expected",
    "box:1,2,3,4,5,six": "6 finite numbers are expected",
    "box:1,2,3,4,5,nan": "6 finite numbers are expected",
    "box": "6 finite numbers are expected",
    "sphere:0,0,0": "4 finite numbers are expected",
    "sphere:0,0,0,0": "has a radius of 0; give one above 0",
    "sphere:0,0,0,-1": "has a radius of -1; give one above 0",
    "points.ply:near": "a finite number is expected",
    "points.ply:-2": "has a radius of -2",
    "nowhere.ply": "nowhere.ply cannot be read",
    "": "is no region",
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_no_region_is_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_region(text)
    assert REFUSED[text] in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_without_points_to_go_by_are_refused_in_one_sentence(tmp_path: Path) -> None:
    none = points_file(tmp_path / "none.ply", np.empty((0, 3)))
    with pytest.raises(InputError, match="has no points"):
        parse_region(none)
    one = points_file(tmp_path / "one.ply", np.zeros((3, 3)))
    with pytest.raises(InputError, match=r"one\.ply has one point, .* give .*one\.ply:RADIUS"):
        parse_region(one)
    assert found(scene(), f"{one}:2").sum() > 0


def test_without_regions_all_may_be_removed_and_nothing_is_said() -> None:
    freedom = Freedom.of(scene())
    assert freedom.removable.all()
    assert freedom.changeable.all()
    assert (freedom.sentence, freedom.least) == ("", 0)


def test_what_is_protected_may_be_tuned_but_not_removed() -> None:
    region = parse_region("sphere:0,0,0,2")
    freedom = Freedom.of(scene(), protect=[region])
    protected = inside(scene(), [region])
    assert torch.equal(freedom.removable, ~protected)
    assert freedom.changeable.all()
    assert freedom.least == int(protected.sum())
    assert freedom.sentence == f"{freedom.least} of 800 Gaussians are protected: they may be tuned but not removed"


def test_outside_of_the_regions_to_keep_to_nothing_changes() -> None:
    region = parse_region("sphere:0,0,0,4")
    freedom = Freedom.of(scene(), only=[region])
    assert torch.equal(freedom.removable, inside(scene(), [region]))
    assert torch.equal(freedom.changeable, freedom.removable)
    assert f"{freedom.least} of 800 Gaussians are outside" in freedom.sentence


def test_with_both_kinds_of_region_the_sentence_says_how_they_combine() -> None:
    protect, only = parse_region("sphere:0,0,0,2"), parse_region("sphere:0,0,0,4")
    freedom = Freedom.of(scene(), protect=[protect], only=[only])
    assert torch.equal(freedom.changeable, inside(scene(), [only]))
    assert torch.equal(freedom.removable, inside(scene(), [only]) & ~inside(scene(), [protect]))
    outside, protected = int((~freedom.changeable).sum()), int(inside(scene(), [protect]).sum())
    assert freedom.sentence == (
        f"{outside} of 800 Gaussians are outside of the regions to keep to and are left as they are; "
        f"{protected} of the others are protected: they may be tuned but not removed"
    )
    freedom.check_count(outside + protected)
    with pytest.raises(InputError, match=rf"{outside + protected - 1} Gaussians cannot be reached: .* together"):
        freedom.check_count(outside + protected - 1)


def test_a_region_without_gaussians_is_named_with_where_the_scene_is(caplog: pytest.LogCaptureFixture) -> None:
    region = parse_region("sphere:0,0,500,2")
    with pytest.raises(InputError, match=r"sphere:0,0,500,2 has no Gaussian in it; nine tenths of the scene lie"):
        Freedom.of(scene(), only=[parse_region("sphere:0,0,0,2"), region])
    with caplog.at_level(logging.WARNING, "leansplat"):
        freedom = Freedom.of(scene(), protect=[region])
    assert "sphere:0,0,500,2 has no Gaussian in it, so it protects nothing; nine tenths" in caplog.text
    assert freedom.removable.all()


def test_protecting_all_that_may_be_changed_is_refused() -> None:
    region = parse_region("sphere:0,0,0,1000")
    with pytest.raises(InputError, match="All Gaussians that may be changed are protected"):
        Freedom.of(scene(), protect=[region], only=[parse_region("sphere:0,0,0,2")])
