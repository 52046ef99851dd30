"""Compressed PLY: files made by hand, by other tools and by us, what rounding may cost, and bad files."""

from __future__ import annotations

import dataclasses
import itertools
import math

import gsply
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import plain_compressed_ply as plain
from support import splat_transform
from support.scene_comparison import angles, assert_same_bits, random_scene, read_or_refuse, refusal, shared_scene

from leansplat import formats
from leansplat.errors import InputError, SceneFileError
from leansplat.formats import compressed_ply, ply
from leansplat.formats.compressed_ply import decode, encode
from leansplat.gaussians import Gaussians, empty

ROTATION_ERROR = 0.28
"""Degrees. Three components are off by half a step of 10 bits, the fourth, at least 1/2, by what keeps the length."""


def assert_near(found: Gaussians, expected: Gaussians, order: np.ndarray) -> None:
    """Every number of `found`, row i of which is Gaussian `order[i]`, is as near as the bits in its chunk allow."""
    expected = expected[torch.from_numpy(order)]
    for start in range(0, len(expected), 256):
        ours, theirs = found[start : start + 256], expected[start : start + 256]
        for name, bits in (("means", (11, 10, 11)), ("scales", (11, 10, 11)), ("sh0", (8, 8, 8))):
            values = getattr(theirs, name).view(-1, 3)
            step = (values.amax(dim=0) - values.amin(dim=0)) / (2.0 ** torch.tensor(bits) - 1)
            error = (getattr(ours, name).view(-1, 3) - values).abs()
            assert bool((error <= step / 2 + 1e-5 * (1 + values.abs())).all()), name
    assert (found.opacities.sigmoid() - expected.opacities.sigmoid()).abs().max() <= 0.5 / 255 + 1e-6
    assert angles(found.quats, expected.quats).max() <= ROTATION_ERROR
    assert found.shN.shape == expected.shN.shape
    if found.shN.numel():
        # A bin is 1/32 wide and read as its middle; the outermost are read as their ends.
        assert (found.shN - expected.shN.clamp(-4, 4)).abs().max() <= 1 / 32 + 1e-6


# reading


@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize("rest", [0, 9, 24, 45])
@pytest.mark.parametrize("ranges", [18, 12])
def test_every_integer_means_what_the_layout_says(tmp_path, order, rest, ranges):
    (tmp_path / "scene.compressed.ply").write_bytes(plain.scene(order=order, rest=rest, ranges=ranges))
    gaussians = formats.read(tmp_path / "scene.compressed.ply")

    def between(low, high, value, bits):
        return low + (high - low) * value / (2**bits - 1)

    near = lambda values: pytest.approx(values, rel=1e-6, abs=1e-6)  # noqa: E731
    chunk, axes = plain.CHUNK, (11, 10, 11)
    for row, (position, (largest, *others), scale, (*color, opacity), sh) in enumerate(plain.GAUSSIANS):
        expected = [between(chunk[k], chunk[k + 3], position[k], axes[k]) for k in range(3)]
        assert gaussians.means[row].tolist() == near(expected)
        expected = [between(chunk[k + 6], chunk[k + 9], scale[k], axes[k]) for k in range(3)]
        assert gaussians.scales[row].tolist() == near(expected)
        low, high = (chunk[12:15], chunk[15:18]) if ranges == 18 else ([0] * 3, [1] * 3)
        expected = [between(low[k], high[k], color[k], 8) for k in range(3)]
        assert (0.5 + gaussians.sh0[row, 0] / (2 * math.sqrt(math.pi))).tolist() == near(expected)
        assert torch.sigmoid(gaussians.opacities[row]).item() == pytest.approx(opacity / 255, abs=1e-6)
        quat = [(value / 1023 - 0.5) * math.sqrt(2) for value in others]
        quat.insert(largest, math.sqrt(max(0, 1 - sum(value**2 for value in quat))))
        assert gaussians.quats[row].tolist() == near(quat)
        expected = [-4 if value == 0 else (value + 0.5) / 32 - 4 for value in list(sh)[:rest]]
        assert gaussians.shN[row].T.reshape(-1).tolist() == near(expected)  # all of red, of green, of blue


def test_what_a_file_rounded_to_opaque_or_invisible_stays_finite(tmp_path):
    (tmp_path / "scene.compressed.ply").write_bytes(plain.scene())
    opacities = formats.read(tmp_path / "scene.compressed.ply").opacities
    assert opacities.isfinite().all()
    assert torch.sigmoid(opacities).tolist() == [1, pytest.approx(2.0**-24)]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_ranges_that_are_not_finite_are_reported(tmp_path, caplog, value):
    chunk = [value, *plain.CHUNK[1:]]
    (tmp_path / "scene.compressed.ply").write_bytes(plain.header() + plain.body([chunk], plain.GAUSSIANS))
    assert len(formats.read(tmp_path / "scene.compressed.ply", drop_nonfinite=True)) < 2
    assert "of 2 Gaussians have NaN or infinite parameters; they were dropped" in caplog.text


def test_a_plain_ply_suffix_does_not_hide_the_layout(tmp_path):
    gaussians = random_scene(300)
    for layout, suffix in ((compressed_ply, ".ply"), (ply, ".compressed.ply"), (compressed_ply, ".backup")):
        path = tmp_path / f"scene{suffix}"
        layout.write(gaussians, path, overwrite=True)
        compressed = layout is compressed_ply
        assert (path.read_bytes().find(b"packed_position") > 0) == compressed
        assert len(formats.read(path)) == 300
        assert torch.equal(formats.read(path).means, gaussians.means) == (not compressed)


def test_comments_do_not_push_the_layout_out_of_sight(tmp_path):
    gaussians = random_scene(10, comments=("a long story. " * 50,) * 30)
    formats.write(gaussians, tmp_path / "scene.compressed.ply")
    assert formats.read(tmp_path / "scene.compressed.ply").comments == gaussians.comments


# writing


@pytest.mark.parametrize(("count", "degree"), [*itertools.product((0, 1, 255, 256, 257), range(4)), (66_000, 2)])
def test_what_is_read_back_is_what_was_encoded(tmp_path, count, degree):
    gaussians = random_scene(count, degree, antialiased=degree > 1, comments=("by hand",))
    formats.write(gaussians, tmp_path / "scene.compressed.ply")
    again = formats.read(tmp_path / "scene.compressed.ply")
    if degree > 1:
        gaussians = dataclasses.replace(gaussians, comments=("by hand", "SplatRenderMode: mip"))
    encoded = encode(gaussians)
    assert_same_bits(again, Gaussians.from_arrays(decode(encoded)))
    assert sorted(encoded.order.tolist()) == list(range(count))
    if count:
        assert_near(again, gaussians, encoded.order)


def test_a_gaussian_takes_sixteen_bytes_and_one_a_coefficient(tmp_path):
    for degree, more in enumerate((0, 9, 24, 45)):
        formats.write(random_scene(2560, degree), tmp_path / f"{degree}.compressed.ply")
        content = (tmp_path / f"{degree}.compressed.ply").read_bytes()
        assert len(content) - content.index(b"end_header\n") - 11 == 10 * 72 + 2560 * (16 + more)


@pytest.mark.parametrize("largest", range(4))
@pytest.mark.parametrize("sign", [-1, 1])
def test_rotations_keep_their_sense_whichever_component_is_largest(largest, sign):
    quats = torch.tensor([0.3, -0.4, 0.1, -0.2])
    quats[largest] = sign * 0.8
    gaussians = dataclasses.replace(random_scene(1), quats=7 * quats[None])
    assert angles(Gaussians.from_arrays(decode(encode(gaussians))).quats, gaussians.quats).item() <= ROTATION_ERROR


def test_a_quaternion_without_length_becomes_the_identity():
    gaussians = dataclasses.replace(random_scene(1), quats=torch.zeros(1, 4))
    assert (
        angles(Gaussians.from_arrays(decode(encode(gaussians))).quats, torch.tensor([[1.0, 0, 0, 0]])).item()
        <= ROTATION_ERROR
    )


def test_equal_gaussians_are_kept_exactly():
    gaussians = random_scene(1, 0)[[0] * 300]
    decoded = Gaussians.from_arrays(decode(encode(gaussians)))
    assert torch.equal(decoded.means, gaussians.means)
    assert torch.equal(decoded.scales, gaussians.scales)
    assert torch.allclose(decoded.sh0, gaussians.sh0, atol=1e-6)


def test_a_point_of_no_size_leaves_its_neighbours_their_precision():
    gaussians = random_scene(256)
    gaussians.scales[7] = -1e30
    decoded = Gaussians.from_arrays(decode(encoded := encode(gaussians)))
    others = encoded.order != 7
    assert (decoded.scales[others] - gaussians.scales[encoded.order[others]]).abs().max() <= 40 / 1023
    assert decoded.scales[~others].tolist() == [[-20] * 3]


def test_coefficients_beyond_four_become_four():
    gaussians = dataclasses.replace(random_scene(2, 1), shN=torch.tensor([9.0, -9.0])[:, None, None].expand(2, 3, 3))
    decoded = Gaussians.from_arrays(decode(encoded := encode(gaussians)))
    assert decoded.shN[:, 0, 0].tolist() == [4 if row == 0 else -4 for row in encoded.order]


def test_tensors_that_need_gradients_are_written(tmp_path):
    gaussians = random_scene(5)
    gaussians.means.requires_grad_()
    formats.write(gaussians, tmp_path / "scene.compressed.ply")
    assert len(formats.read(tmp_path / "scene.compressed.ply")) == 5


def test_what_is_lost_is_named(tmp_path, caplog):
    extra = {"confidence": torch.zeros(4)}
    formats.write(random_scene(4, antialiased=True, comments=("a",)), tmp_path / "all.compressed.ply")
    assert "cannot hold" not in caplog.text
    formats.write(random_scene(4, extras=extra), tmp_path / "less.compressed.ply")
    assert "compressed PLY cannot hold 1 extra property; this is lost" in caplog.text


def test_a_scene_that_is_not_finite_is_refused(tmp_path):
    gaussians = random_scene(4)
    gaussians.opacities[2] = float("nan")
    with pytest.raises(SceneFileError, match=r"1 of 4 Gaussians .*--drop-nonfinite"):
        formats.write(gaussians, tmp_path / "scene.compressed.ply")
    assert not list(tmp_path.iterdir())


def test_a_file_that_exists_is_only_replaced_on_request(tmp_path):
    path = tmp_path / "scene.compressed.ply"
    formats.write(random_scene(3), path)
    with pytest.raises(InputError, match="already exists"):
        formats.write(random_scene(5), path)
    formats.write(random_scene(5), path, overwrite=True)
    assert len(formats.read(path)) == 5


# other tools


def assert_read_alike(found: Gaussians, theirs: Gaussians) -> None:
    """Row by row, but for the rounding of floats, and for the outermost bins of spherical harmonics."""
    assert torch.allclose(found.means, theirs.means, rtol=1e-6, atol=1e-6)
    assert torch.allclose(found.scales, theirs.scales, rtol=1e-6, atol=1e-6)
    # What stands for 0 and 1 differs: gsply takes logits of -10 and 10, splat-transform infinite ones.
    assert torch.allclose(found.opacities.sigmoid(), theirs.opacities.sigmoid(), atol=5e-5)
    assert torch.allclose(found.sh0, theirs.sh0, rtol=1e-5, atol=1e-5)
    assert torch.allclose(found.quats, theirs.quats, atol=1e-6)
    assert torch.allclose(found.shN, theirs.shN, atol=0.5 / 32 + 1e-6)
    inner = found.shN.abs() < 3.98
    assert torch.allclose(found.shN[inner], theirs.shN[inner], atol=1e-6)


def by_gsply(path) -> Gaussians:
    read = gsply.plyread(path)
    values = [torch.from_numpy(np.ascontiguousarray(getattr(read, name))) for name in ("means", "quats", "scales")]
    shN = read.shN if read.shN is not None else np.zeros((len(read.means), 0, 3), np.float32)
    opacities, sh0, shN = (torch.from_numpy(np.ascontiguousarray(each)) for each in (read.opacities, read.sh0, shN))
    return Gaussians(*values, opacities.view(-1), sh0.view(-1, 1, 3), shN.view(len(read.means), -1, 3))


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_gsply_and_we_read_each_other(tmp_path, degree):
    gaussians = random_scene(700, degree, seed=5)
    ours, theirs = tmp_path / "ours.compressed.ply", tmp_path / "theirs.compressed.ply"
    formats.write(gaussians, ours)
    assert_read_alike(formats.read(ours), by_gsply(ours))
    quats = torch.nn.functional.normalize(gaussians.quats, dim=1)
    values = [each.numpy() for each in (gaussians.means, gaussians.scales, quats, gaussians.opacities)]
    shN = gaussians.shN.numpy() if degree else None
    gsply.writer.write_compressed(theirs, *values, gaussians.sh0[:, 0].numpy(), shN)
    assert_read_alike(formats.read(theirs), by_gsply(theirs))
    assert_near(formats.read(theirs), gaussians, np.arange(700))


@pytest.mark.parametrize("scene", ["random", "fox_opensplat.ply", "plant.splat"])
def test_splat_transform_and_we_read_each_other(tmp_path, scene):
    source = tmp_path / "random.ply"
    if scene == "random":
        formats.write(random_scene(700, 2), source)
    else:
        source = shared_scene(scene)
    gaussians = formats.read(source)
    ours, theirs = tmp_path / "ours.compressed.ply", tmp_path / "theirs.compressed.ply"
    formats.write(gaussians, ours)
    splat_transform.convert(ours, tmp_path / "ours_by_them.ply")
    assert_read_alike(formats.read(ours), formats.read(tmp_path / "ours_by_them.ply"))
    splat_transform.convert(source, theirs)
    splat_transform.convert(theirs, tmp_path / "theirs_by_them.ply")
    assert_read_alike(formats.read(theirs), formats.read(tmp_path / "theirs_by_them.ply"))
    assert_near(formats.read(ours), gaussians, encode(gaussians).order)


# bad files

GOOD = plain.scene()
START = plain.header()
BODY = GOOD[len(START) :]
REFUSED = {
    "nothing after the header": (START, "cut off"),
    "cut off in a chunk": (GOOD[: len(START) + 40], "cut off"),
    "cut off between elements": (GOOD[: len(START) + 72], "cut off"),
    "cut off in a Gaussian": (GOOD[: len(START) + 72 + 20], "cut off"),
    "cut off before the harmonics": (GOOD[: len(START) + 72 + 32], "cut off"),
    "cut off in the harmonics": (GOOD[:-1], "cut off"),
    "bytes at the end": (GOOD + b"\0", "goes on"),
    "cut off in the header": (START[:-20] + b"\n", "end_header"),
    "more Gaussians than there are": (plain.header(count=200) + BODY, "cut off"),
    "more chunks than Gaussians need": (plain.header(chunks=2) + BODY, "2 chunks for 2 Gaussians"),
    "no chunks": (plain.header(chunks=0) + BODY, "0 chunks for 2 Gaussians"),
    "fewer rows of harmonics": (plain.header(sh_rows=1) + BODY, "1 rows of spherical harmonics for 2"),
    "a count of 10^12": (
        plain.header(count=10**12, chunks=10**12 // 256) + BODY,
        "need at least 281,250,000,000 bytes",
    ),
    "a count of 10^18": (plain.header(count=10**17, chunks=-(-(10**17) // 256)) + BODY, "cut off"),
    "harmonics of no degree": (plain.header(rest=20) + BODY, "20 properties"),
    "harmonics without a name": (START.replace(b"f_rest_7\n", b"f_rest_99\n") + BODY, "f_rest_7"),
    "a range is missing": (START.replace(b"max_scale_y", b"max_scale_q") + BODY, "max_scale_y"),
    "a range of colours is missing": (START.replace(b" max_b", b" max_q") + BODY, "max_b"),
    "another range of colours is missing": (START.replace(b" min_r", b" min_q") + BODY, "min_r"),
    "no rotations": (START.replace(b"packed_rotation", b"rotation") + BODY, "packed_rotation"),
    "short integers": (START.replace(b"uint packed_scale", b"ushort packed_scale") + BODY, "packed_scale of type uint"),
    "a list": (START.replace(b"uint packed_scale", b"list uchar uint packed_scale") + BODY, "lists"),
    "text": (START.replace(b"binary_little_endian", b"ascii") + BODY, "it is text"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_files_are_refused_in_one_sentence(tmp_path, case):
    content, expected = REFUSED[case]
    assert expected in refusal(tmp_path, "bad.compressed.ply", content)


def test_a_file_cut_off_anywhere_is_refused(tmp_path):
    for length in range(0, len(GOOD), 7):
        refusal(tmp_path, "bad.compressed.ply", GOOD[:length])


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_flipped_bytes_never_raise_anything_else(tmp_path, data):
    content = bytearray(GOOD)
    flips = st.lists(st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255)), min_size=1, max_size=4)
    for position, byte in data.draw(flips):
        content[position] = byte
    (tmp_path / "fuzzed.compressed.ply").write_bytes(content)
    read_or_refuse(tmp_path / "fuzzed.compressed.ply")


def test_an_empty_scene_keeps_its_degree(tmp_path):
    for degree in range(4):
        formats.write(empty(degree), tmp_path / f"{degree}.compressed.ply")
        again = formats.read(tmp_path / f"{degree}.compressed.ply")
        assert (len(again), again.sh_degree) == (0, degree)
