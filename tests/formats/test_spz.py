"""SPZ: files made by hand, by other tools and by us, and what rounding may cost."""

from __future__ import annotations

import dataclasses
import gzip
import io
import math
import struct
import zlib
from pathlib import Path

import gsply.spz
import numpy as np
import pytest
import torch
from gsply import GSData
from support import plain_spz, splat_transform
from support.scene_comparison import angles, assert_same_bits, read_bytes, shared_scene

from leansplat import formats
from leansplat.errors import InputError, SceneFileError
from leansplat.formats import SpzOptions, spz
from leansplat.formats.spz import streams
from leansplat.gaussians import TENSOR_NAMES, Gaussians, empty

VERSIONS = (3, 4)
OTHER_SCENES = ("plant.splat", "academic_tarot_cards.splat")
COORDINATES_ARE_RDF = struct.pack("<III", 0xADBE0003, 4, 6)
"""An extension."""


def random_scene(count: int = 500, degree: int = 3, **settings) -> Gaussians:
    """Everything within the format's ranges."""
    random = torch.Generator().manual_seed(3)
    uniform = lambda low, high, *shape: torch.rand(*shape, generator=random) * (high - low) + low  # noqa: E731
    return Gaussians(
        means=uniform(-3, 4, count, 3),
        quats=torch.randn(count, 4, generator=random),
        scales=uniform(-10, 5.9, count, 3),
        opacities=uniform(-9, 9, count),
        sh0=uniform(-3.3, 3.3, count, 1, 3),
        shN=uniform(-1, 0.99, count, (degree + 1) ** 2 - 1, 3),
        **settings,
    )


def assert_near(found: Gaussians, expected: Gaussians, bits: int, *, sh_slack: float = 1e-5) -> None:
    """Within what the format's bits allow, row by row; values out of range count as the nearest in range."""
    slack = 1e-5
    assert (found.means - expected.means).abs().max() <= 2.0**-bits / 2 + 1e-6 * expected.means.abs().max()
    assert (found.scales - expected.scales.clamp(-10, 5.9375)).abs().max() <= 1 / 32 + slack
    assert (found.opacities.sigmoid() - expected.opacities.sigmoid()).abs().max() <= 0.5 / 255 + slack
    assert (found.sh0 - expected.sh0.clamp(-1 / 0.3, 1 / 0.3)).abs().max() <= 0.5 / 255 / 0.15 + slack
    shN = expected.shN.clamp(-1, 127 / 128)
    assert found.shN.shape == shN.shape
    if shN.numel():
        assert (found.shN[:, :3] - shN[:, :3]).abs().max() <= 4 / 128 + sh_slack
        assert found.shN.shape[1] <= 3 or (found.shN[:, 3:] - shN[:, 3:]).abs().max() <= 8 / 128 + sh_slack
    # Three components are off by half a step each, the fourth (at least 1/2) by what keeps the length: below 0.28°.
    assert angles(found.quats, expected.quats).max() <= 0.28


# reading


@pytest.mark.parametrize("version", [2, 3, 4])
@pytest.mark.parametrize("degree", range(5))
def test_every_number_of_a_file_lands_in_its_place(tmp_path, version, degree):
    gaussians = read_bytes(tmp_path, "scene.spz", plain_spz.scene(version, count=9, degree=degree))
    assert gaussians.sh_degree == min(degree, 3)
    for name in TENSOR_NAMES:
        values = getattr(gaussians, name)
        assert values.dtype == torch.float32
        assert values.is_contiguous()
        for row in range(9):
            expected = plain_spz.value(name, row, version)
            expected = expected[: gaussians.shN.shape[1]] if name == "shN" else expected
            assert np.allclose(values[row], np.reshape(expected, values[row].shape), rtol=1e-6, atol=1e-7), name


@pytest.mark.parametrize("bits", [0, 7, 12, 24])
@pytest.mark.parametrize("version", [2, 3, 4])
def test_positions_have_as_many_fractional_bits_as_the_header_says(tmp_path, version, bits):
    gaussians = read_bytes(tmp_path, "scene.spz", plain_spz.scene(version, bits=bits))
    assert gaussians.means.tolist() == [plain_spz.value("means", row, bits=bits) for row in range(5)]


def test_opacities_of_0_and_1_are_finite_and_nearly_so(tmp_path):
    ends = dataclasses.replace(random_scene(2), opacities=torch.tensor([-100.0, 100.0]))
    formats.write(ends, tmp_path / "scene.spz")
    opacities = formats.read(tmp_path / "scene.spz").opacities
    assert sorted(opacities.sigmoid().tolist()) == pytest.approx([0, 1], abs=2e-6)
    assert opacities.isfinite().all()


@pytest.mark.parametrize("version", [2, 3, 4])
def test_extensions_are_left_out_with_a_warning(tmp_path, caplog, version):
    extended = read_bytes(tmp_path, "scene.spz", plain_spz.scene(version, flags=2, extensions=COORDINATES_ARE_RDF))
    assert "extensions of SPZ were left out" in caplog.text
    assert_same_bits(extended, read_bytes(tmp_path, "scene.spz", plain_spz.scene(version)))


def test_harmonics_of_degree_4_are_dropped_with_a_warning(tmp_path, caplog):
    read_bytes(tmp_path, "scene.spz", plain_spz.scene(4, degree=4))
    assert "spherical harmonics of degree 4 were dropped" in caplog.text


@pytest.mark.parametrize("version", [2, 3, 4])
def test_a_file_is_known_by_its_content_whatever_it_is_called(tmp_path, version):
    for name in ("scene.ply", "scene", "scene.gz"):
        (tmp_path / name).write_bytes(plain_spz.scene(version))
        assert len(formats.read(tmp_path / name)) == 5


# writing


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("degree", range(4))
@pytest.mark.parametrize("antialiased", [False, True])
def test_a_file_holds_what_was_encoded(tmp_path, version, degree, antialiased):
    scene = random_scene(degree=degree, antialiased=antialiased)
    formats.write(scene, tmp_path / "scene.spz", options=SpzOptions(version=version))
    assert_same_bits(formats.read(tmp_path / "scene.spz"), Gaussians.from_arrays(spz.decode(spz.encode(scene))))


@pytest.mark.parametrize("degree", range(4))
def test_rounding_costs_no_more_than_the_bits_allow(degree):
    scene = random_scene(20_000, degree)
    encoded = spz.encode(scene)
    assert_near(Gaussians.from_arrays(spz.decode(encoded)), scene[encoded.order], encoded.fractional_bits)


@pytest.mark.parametrize("bits", [(1, 1), (8, 8), (6, 3)])
def test_harmonics_are_rounded_to_as_many_bits_as_asked_for(tmp_path, bits):
    scene = random_scene(2000)
    encoded = spz.encode(scene, sh_bits=bits)
    spz.write_encoded(encoded, tmp_path / "scene.spz")
    found, expected = formats.read(tmp_path / "scene.spz").shN, scene.shN[encoded.order]
    for part, count in ((slice(0, 3), bits[0]), (slice(3, 15), bits[1])):
        step = 2.0 ** (8 - count) / 128
        values = set(found[:, part].unique().tolist())
        assert values <= {min(k * step, 127 / 128) for k in range(-(2 ** (count - 1)), 2 ** (count - 1) + 1)}
        assert (found[:, part] - expected[:, part]).abs().max() <= step / 2 + 1e-6


def test_bits_out_of_range_are_refused(tmp_path: Path) -> None:
    for bits in ((0, 4), (5, 9)):
        with pytest.raises(InputError, match=f"1 to 8 bits .* not {bits[0]} and {bits[1]}"):
            formats.write(random_scene(), tmp_path / "scene.spz", options=SpzOptions(sh_bits=bits))
    assert not any(tmp_path.iterdir())


def test_each_gaussian_can_have_steps_of_its_own() -> None:
    scene = random_scene(900)
    steps = (2.0 ** (np.arange(900) % 9)).astype(np.float32)[:, None, None]
    encoded = spz.encode(scene, sh_steps=steps)
    inside = (encoded.shN > 0) & (encoded.shN < 255)
    assert not ((encoded.shN.astype(int) - 128) % steps[encoded.order] * inside).any()
    found = Gaussians.from_arrays(spz.decode(encoded)).shN.numpy()
    errors = np.abs(found - scene.shN.numpy()[encoded.order])
    assert (errors <= np.minimum(steps[encoded.order] / 2, 128) / 128 + 1 / 128).all()
    assert errors[steps[encoded.order, 0, 0] == 1].max() <= 1 / 256 + 1e-6


def test_what_was_decoded_encodes_to_the_same_integers():
    encoded = spz.encode(random_scene(5000))
    again = spz.encode(Gaussians.from_arrays(spz.decode(encoded)))
    back = np.argsort(again.order)
    assert again.fractional_bits == encoded.fractional_bits
    for name in ("positions", "alphas", "colors", "scales", "shN"):
        assert np.array_equal(getattr(again, name)[back], getattr(encoded, name)), name


def test_values_out_of_range_become_the_nearest_in_range():
    scene = random_scene(4)
    scene.scales[:] = torch.tensor([-30.0, 2.0, 30.0])
    scene.sh0[:] = torch.tensor([-9.0, 0.0, 9.0])
    scene.shN[:] = torch.tensor([-9.0, 0.0, 9.0])
    found = Gaussians.from_arrays(spz.decode(spz.encode(scene)))
    assert found.scales[0].tolist() == [-10, 2, 5.9375]
    assert found.sh0[0, 0].tolist() == pytest.approx([-1 / 0.3, 0, 1 / 0.3], abs=0.51 / 255 / 0.15)
    assert found.shN[0, 9].tolist() == [-1, 0, 127 / 128]


def test_quaternions_of_any_length_and_sign_are_the_same_rotation():
    scene = random_scene(100)
    expected = Gaussians.from_arrays(spz.decode(spz.encode(scene))).quats
    assert torch.allclose(expected.norm(dim=1), torch.ones(100), atol=1e-6)
    for factor in (-1.0, 1e-30, 1e30, -37.0):
        found = Gaussians.from_arrays(
            spz.decode(spz.encode(dataclasses.replace(scene, quats=scene.quats * factor)))
        ).quats
        assert angles(found, expected).max() < 1e-4


@pytest.mark.parametrize("version", VERSIONS)
def test_bytes_do_not_depend_on_the_number_of_threads(tmp_path, monkeypatch, version):
    scene = random_scene(80_000, degree=2)  # several pieces to share
    for threads in (1, 2, 3):
        monkeypatch.setattr(streams, "_THREADS", threads)
        formats.write(scene, tmp_path / f"{threads}.spz", options=SpzOptions(version=version))
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1
    assert_same_bits(formats.read(tmp_path / "3.spz"), Gaussians.from_arrays(spz.decode(spz.encode(scene))))


@pytest.mark.parametrize("version", VERSIONS)
def test_the_same_scene_gives_the_same_bytes(tmp_path, version):
    for name in ("a.spz", "b.spz"):
        formats.write(random_scene(), tmp_path / name, options=SpzOptions(version=version))
    assert (tmp_path / "a.spz").read_bytes() == (tmp_path / "b.spz").read_bytes()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("degree", [0, 3])
def test_a_scene_of_no_gaussians_stays_one(tmp_path, version, degree):
    formats.write(empty(degree), tmp_path / "scene.spz", options=SpzOptions(version=version))
    found = formats.read(tmp_path / "scene.spz")
    assert (len(found), found.sh_degree) == (0, degree)


@pytest.mark.parametrize("version", VERSIONS)
def test_many_equal_gaussians_are_read_again(tmp_path, version):
    """Nothing compresses better; a limit that keeps bombs out must let them in."""
    scene = random_scene(1)[torch.zeros(300_000, dtype=torch.int64)]
    formats.write(scene, tmp_path / "scene.spz", options=SpzOptions(version=version))
    assert len(formats.read(tmp_path / "scene.spz")) == 300_000


@pytest.mark.parametrize(
    ("furthest", "size", "bits"),
    [
        (0.9, 1.0, 12),
        (100.0, 1.1 * 2.0**-8, 12),
        (100.0, 1.1 * 2.0**-9, 13),
        (100.0, 1.1 * 2.0**-12, 16),
        (100.0, 1.1 * 2.0**-13, 16),
        (0.9, 1e-30, 23),
        (3.9, 1e-30, 21),
        (2047.0, 1.0, 12),
        (2049.0, 1.0, 11),
        (1e6, 1.0, 3),
        (8388607.0, 1.0, 0),
    ],
)
@pytest.mark.parametrize("sign", [-1, 1])
def test_positions_are_as_fine_as_gaussians_are_small_and_as_their_extent_allows(furthest, size, bits, sign):
    scene = random_scene(3)
    scene.means[:] = 0
    scene.opacities[:] = 0  # so that the furthest matters as much as the others
    scene.means[1, 2] = sign * furthest
    scene.scales[:] = math.log(size) + torch.tensor([-1.0, 0, 1])
    encoded = spz.encode(scene)
    assert encoded.fractional_bits == bits
    assert (Gaussians.from_arrays(spz.decode(encoded)).means - scene.means[encoded.order]).abs().max() <= 2.0**-bits / 2


def test_a_position_out_of_reach_is_refused(tmp_path):
    scene = random_scene(3)
    scene.opacities[:] = 0
    scene.means[1, 2] = -1e7
    with pytest.raises(SceneFileError, match=r"-1e\+07 .* do not fit into 24 bits"):
        formats.write(scene, tmp_path / "scene.spz")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", TENSOR_NAMES)
def test_gaussians_that_are_not_finite_are_refused(tmp_path, name):
    scene = random_scene(10)
    getattr(scene, name)[3:5] = float("nan" if name == "opacities" else "inf")
    with pytest.raises(SceneFileError, match=r"the 2 of 10 Gaussians that have NaN .* --drop-nonfinite"):
        formats.write(scene, tmp_path / "scene.spz")
    assert list(tmp_path.iterdir()) == []


def test_what_is_lost_is_said(tmp_path, caplog):
    scene = random_scene(2, extras={"object": torch.zeros(2), "time": torch.zeros(2)}, comments=("by hand",))
    formats.write(scene, tmp_path / "scene.spz")
    said = "SPZ cannot hold 2 extra properties or 1 comment; this is lost"
    assert caplog.messages == [f"{tmp_path / 'scene.spz'}: {said}"]


def test_nothing_is_overwritten_unless_asked(tmp_path):
    (tmp_path / "scene.spz").write_text("precious")
    with pytest.raises(InputError, match="--overwrite"):
        formats.write(random_scene(2), tmp_path / "scene.spz")
    assert (tmp_path / "scene.spz").read_text() == "precious"
    formats.write(random_scene(2), tmp_path / "scene.spz", overwrite=True)
    assert len(formats.read(tmp_path / "scene.spz")) == 2


# other tools


def of_gsply(data: GSData) -> Gaussians:
    count = len(data.means)
    tensors = {name: torch.from_numpy(np.array(getattr(data, name), np.float32)) for name in TENSOR_NAMES[:-2]}
    shN = np.zeros((count, 0, 3), np.float32) if data.shN is None or data.shN.size == 0 else data.shN
    return Gaussians(
        **tensors, sh0=torch.from_numpy(np.array(data.sh0).reshape(count, 1, 3)), shN=torch.from_numpy(np.array(shN))
    )


def assert_reads_alike(theirs: Gaussians, ours: Gaussians) -> None:
    """They compute in single precision, and opacities near 0 and 1 have logits that differ."""
    for name in ("means", "quats", "scales", "sh0", "shN"):
        assert torch.allclose(getattr(theirs, name), getattr(ours, name), rtol=1e-5, atol=2e-6), name
    assert torch.allclose(theirs.opacities.sigmoid(), ours.opacities.sigmoid(), atol=1e-6)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("degree", range(4))
def test_gsply_reads_our_files(tmp_path, version, degree):
    scene = random_scene(degree=degree)
    formats.write(scene, tmp_path / "ours.spz", options=SpzOptions(version=version))
    assert_reads_alike(
        of_gsply(gsply.spz.read_spz(tmp_path / "ours.spz")), Gaussians.from_arrays(spz.decode(spz.encode(scene)))
    )


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("degree", range(4))
def test_we_read_files_of_gsply(tmp_path, version, degree):
    scene = random_scene(degree=degree)
    arrays = {name: getattr(scene, name).numpy() for name in TENSOR_NAMES}
    arrays["sh0"] = arrays["sh0"][:, 0]
    arrays["shN"] = arrays["shN"] if degree else None
    gsply.spz.write_spz(tmp_path / "theirs.spz", GSData.from_arrays(**arrays), version=version)
    found = formats.read(tmp_path / "theirs.spz")
    assert_near(found, scene, bits=12)  # they keep all eight bits of spherical harmonics
    assert_reads_alike(of_gsply(gsply.spz.read_spz(tmp_path / "theirs.spz")), found)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_splat_transform_reads_our_files(tmp_path, version, degree):
    scene = random_scene(degree=degree, antialiased=True)
    formats.write(scene, tmp_path / "ours.spz", options=SpzOptions(version=version))
    splat_transform.convert(tmp_path / "ours.spz", tmp_path / "theirs.ply")
    theirs = formats.read(tmp_path / "theirs.ply")
    assert_reads_alike(theirs, Gaussians.from_arrays(spz.decode(spz.encode(scene))))
    assert theirs.antialiased


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("degree", [0, *(pytest.param(degree, marks=pytest.mark.long) for degree in (1, 2)), 3])
def test_we_read_files_of_splat_transform(tmp_path, version, degree):
    scene = random_scene(degree=degree, antialiased=True)
    formats.write(scene, tmp_path / "scene.ply")
    splat_transform.convert(tmp_path / "scene.ply", tmp_path / "theirs.spz", f"--spz-version={version}")
    found = formats.read(tmp_path / "theirs.spz")
    assert_near(found, scene, bits=12, sh_slack=0.5 / 128 + 1e-5)  # they round to eight bits, then to five or four
    assert found.antialiased
    splat_transform.convert(tmp_path / "theirs.spz", tmp_path / "theirs.ply")
    assert_reads_alike(formats.read(tmp_path / "theirs.ply"), found)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "name", ["fox_opensplat.ply", *(pytest.param(name, marks=pytest.mark.long) for name in OTHER_SCENES)]
)
def test_real_scenes_arrive_in_splat_transform_as_they_were(tmp_path, version, name):
    scene = formats.read(shared_scene(name))
    formats.write(scene, tmp_path / "ours.spz", options=SpzOptions(version=version))
    splat_transform.convert(tmp_path / "ours.spz", tmp_path / "theirs.ply")
    encoded = spz.encode(scene)
    theirs = formats.read(tmp_path / "theirs.ply")
    assert_reads_alike(theirs, Gaussians.from_arrays(spz.decode(encoded)))
    assert_near(theirs, scene[encoded.order], encoded.fractional_bits)


@pytest.mark.parametrize(("scale", "searched"), [(0.0, True), (0.06, False), (0.2, False)])
def test_harmonics_are_searched_for_matches_where_that_saves_bytes(tmp_path, scale, searched):
    """Neighbours that are alike against noise; either way gzip reads it."""
    scene = random_scene(3_000)
    near = torch.sin(torch.linspace(0, 40, 3_000))[:, None, None] * torch.linspace(0.1, 1, 45).reshape(15, 3)
    noise = torch.distributions.Laplace(0.0, max(scale, 1e-9)).sample((3_000, 15, 3))
    encoded = spz.encode(dataclasses.replace(scene, shN=noise if scale else near), order=np.arange(3_000))
    content = encoded.shN.tobytes()
    assert (streams.gzip_strategy(content) == zlib.Z_DEFAULT_STRATEGY) is searched
    sizes = {}
    for strategy in (zlib.Z_DEFAULT_STRATEGY, streams.gzip_strategy(content)):
        packed = io.BytesIO()
        streams.write_gzip([(content, strategy)], packed)
        assert gzip.decompress(packed.getvalue()) == content
        sizes[strategy] = len(packed.getvalue())
    assert min(sizes.values()) == sizes[streams.gzip_strategy(content)]
