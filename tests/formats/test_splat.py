"""`.splat`: files made by hand, by other tools and by us, what rounding may cost, and bad files."""

from __future__ import annotations

import dataclasses
import math
import struct

import numpy as np
import pytest
import torch
from support import splat_transform
from support.scene_comparison import angles, assert_same_bits, random_scene, refusal, shared_scene

from leansplat import formats
from leansplat.errors import InputError, SceneFileError
from leansplat.formats.splat import decode, encode
from leansplat.gaussians import Gaussians

ROTATION_ERROR = 0.92
"""Degrees: four components that are off by at most half of 1/128, of a quaternion about 1 long."""

ROWS = [
    ((1.5, -2.0, 0.25), (0.5, 1e-6, 3.0), (255, 0, 51, 255), (0, 128, 128, 128)),
    ((-1e4, 0.0, 7.0), (1.0, 0.0, 2.0), (128, 127, 0, 0), (200, 56, 128, 255)),
]


def row(position, scale, color, rotation):
    return struct.pack("<6f", *position, *scale) + bytes(color) + bytes(rotation)


GOOD = b"".join(row(*numbers) for numbers in ROWS)


def assert_near(found: Gaussians, expected: Gaussians) -> None:
    """As near as bytes allow, row by row."""
    assert torch.equal(found.means, expected.means)
    assert torch.allclose(found.scales, expected.scales, rtol=1e-6, atol=1e-6)
    assert (found.opacities.sigmoid() - expected.opacities.sigmoid()).abs().max() <= 0.5 / 255 + 1e-6
    black = math.sqrt(math.pi)  # colours are 0.5 + sh0 / (2 sqrt(pi)), in [0, 1]
    assert (found.sh0 - expected.sh0.clamp(-black, black)).abs().max() <= black / 255 + 1e-5
    assert angles(found.quats, expected.quats).max() <= ROTATION_ERROR
    assert found.sh_degree == 0


def test_every_byte_means_what_the_layout_says(tmp_path):
    (tmp_path / "scene.splat").write_bytes(GOOD)
    gaussians = formats.read(tmp_path / "scene.splat")
    near = lambda values: pytest.approx(values, rel=1e-6, abs=1e-6)  # noqa: E731
    for index, (position, scale, (*color, opacity), rotation) in enumerate(ROWS):
        assert gaussians.means[index].tolist() == list(position)
        assert gaussians.scales[index].exp().tolist() == near(list(scale))
        shown = 0.5 + gaussians.sh0[index, 0] / (2 * math.sqrt(math.pi))
        assert shown.tolist() == near([value / 255 for value in color])
        assert torch.sigmoid(gaussians.opacities[index]).item() == pytest.approx(opacity / 255, abs=1e-6)
        quat = [(value - 128) / 128 for value in rotation]
        assert gaussians.quats[index].tolist() == near([value / math.hypot(*quat) for value in quat])
    assert gaussians.finite().all()


@pytest.mark.parametrize("count", [0, 1, 700, 66_000])
def test_what_is_read_back_is_what_was_encoded(tmp_path, count):
    gaussians = random_scene(count, 1)
    formats.write(gaussians, tmp_path / "scene.splat")
    assert (tmp_path / "scene.splat").stat().st_size == 32 * count
    again = formats.read(tmp_path / "scene.splat")
    encoded = encode(gaussians)
    assert_same_bits(again, Gaussians.from_arrays(decode(encoded)))
    assert sorted(encoded.order.tolist()) == list(range(count))
    if count:
        assert_near(again, gaussians[torch.from_numpy(encoded.order)])


def test_the_most_important_gaussians_come_first():
    gaussians = random_scene(500, 0)
    importance = gaussians.scales.double().sum(dim=1).exp() * gaussians.opacities.double().sigmoid()
    sorted_importance = importance[torch.from_numpy(encode(gaussians).order)]
    assert (sorted_importance.diff() <= 0).all()


def test_importance_knows_no_overflow():
    gaussians = random_scene(3, 0)
    gaussians.scales[:] = torch.tensor([[-1000.0], [1000.0], [0.0]])
    gaussians.opacities[:] = torch.tensor([0.0, -1e6, 0.0])
    assert encode(gaussians).order.tolist() == [2, 0, 1]


def test_rotations_of_any_length_keep_their_sense():
    gaussians = random_scene(2000, 0)
    gaussians.quats.mul_(100)
    encoded = encode(gaussians)
    assert (
        angles(Gaussians.from_arrays(decode(encoded)).quats, gaussians.quats[torch.from_numpy(encoded.order)]).max()
        <= ROTATION_ERROR
    )


def test_rotations_about_the_axes_are_exact():
    quats = torch.cat([torch.eye(4), -torch.eye(4)])
    gaussians = dataclasses.replace(random_scene(1, 0)[[0] * 8], quats=quats)
    assert torch.equal(Gaussians.from_arrays(decode(encode(gaussians))).quats.abs(), quats.abs())


def test_scales_beyond_float_stay_finite(tmp_path):
    gaussians = random_scene(2, 0)
    gaussians.scales[:] = torch.tensor([[-1000.0], [1000.0]])
    formats.write(gaussians, tmp_path / "scene.splat")
    assert formats.read(tmp_path / "scene.splat").finite().all()


def test_what_is_lost_is_named(tmp_path, caplog):
    extras = {"a": torch.zeros(4), "b": torch.zeros(4)}
    formats.write(random_scene(4, 0), tmp_path / "nothing.splat")
    assert "cannot hold" not in caplog.text
    formats.write(random_scene(4, 1, extras=extras, comments=("a",), antialiased=True), tmp_path / "much.splat")
    for lost in ("spherical harmonics above degree 0", "2 extra properties", "1 comment", "its anti-aliasing"):
        assert lost in caplog.text


def test_a_scene_that_is_not_finite_is_refused(tmp_path):
    gaussians = random_scene(4, 0)
    gaussians.means[2, 1] = float("nan")
    with pytest.raises(SceneFileError, match=r"1 of 4 Gaussians .*--drop-nonfinite"):
        formats.write(gaussians, tmp_path / "scene.splat")
    assert not list(tmp_path.iterdir())


def test_a_file_that_exists_is_only_replaced_on_request(tmp_path):
    path = tmp_path / "scene.splat"
    formats.write(random_scene(3, 0), path)
    with pytest.raises(InputError, match="already exists"):
        formats.write(random_scene(5, 0), path)
    formats.write(random_scene(5, 0), path, overwrite=True)
    assert len(formats.read(path)) == 5


@pytest.mark.parametrize("name", ["plant.splat", "academic_tarot_cards.splat"])
def test_splat_transform_reads_real_scenes_as_we_do(tmp_path, name):
    path = shared_scene(name)
    gaussians = formats.read(path)
    assert len(gaussians) == path.stat().st_size // 32
    assert gaussians.finite().all()
    splat_transform.convert(path, tmp_path / "theirs.ply")
    theirs = formats.read(tmp_path / "theirs.ply")
    assert torch.equal(gaussians.means, theirs.means)
    assert torch.allclose(gaussians.scales, theirs.scales, rtol=1e-6, atol=1e-6)
    assert torch.allclose(gaussians.sh0, theirs.sh0, atol=1e-5)
    assert torch.allclose(gaussians.opacities.sigmoid(), theirs.opacities.sigmoid(), atol=2e-6)
    # They read a byte of a rotation as 2 u / 255 - 1, half a step off.
    assert angles(gaussians.quats, theirs.quats).max() <= ROTATION_ERROR


def test_splat_transform_reads_what_we_write(tmp_path):
    gaussians = random_scene(700, 0)
    formats.write(gaussians, tmp_path / "scene.splat")
    splat_transform.convert(tmp_path / "scene.splat", tmp_path / "theirs.ply")
    theirs = formats.read(tmp_path / "theirs.ply")
    expected = gaussians[torch.from_numpy(encode(gaussians).order)]
    assert angles(theirs.quats, expected.quats).max() <= 2 * ROTATION_ERROR
    assert_near(dataclasses.replace(theirs, quats=expected.quats), expected)


def test_numbers_that_are_not_finite_are_reported(tmp_path, caplog):
    bad = [row((np.nan, 0, 0), (1, 1, 1), (0,) * 4, (0,) * 4), row((0, 0, 0), (-1, 1, 1), (0,) * 4, (0,) * 4)]
    (tmp_path / "scene.splat").write_bytes(GOOD + b"".join(bad))
    assert len(formats.read(tmp_path / "scene.splat", drop_nonfinite=True)) == 2
    assert "2 of 4 Gaussians" in caplog.text


def test_a_file_cut_off_inside_a_gaussian_is_refused(tmp_path):
    for length in range(1, len(GOOD)):
        if length % 32:
            assert "no multiple of the 32" in refusal(tmp_path, "bad.splat", GOOD[:length])
