"""The .npz of Niedermayr et al.: read by its published description, written by hand, and both ways bit for bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support.clustered_scene import clustered
from support.scene_comparison import angles, assert_same_bits, random_scene, shared_scene

from leansplat import formats
from leansplat.errors import InputError, SceneFileError
from leansplat.formats import c3dgs_npz
from leansplat.formats.c3dgs_coding import QUANTISED, ClusteredGaussians, decode, encode
from leansplat.gaussians import Gaussians, empty


def as_published(path: Path) -> Gaussians:
    """A reader written from the description alone, in float64."""
    arrays = dict(np.load(path, allow_pickle=False))
    values = {
        name: (arrays[name].astype(np.float64) - arrays[f"{name}_zero_point"]) * arrays[f"{name}_scale"]
        for name in QUANTISED
        if name in arrays
    }
    count = len(arrays["xyz"])
    by_feature = arrays.get("feature_indices", np.arange(count))
    by_shape = arrays.get("gaussian_indices", np.arange(count))
    scaling = np.maximum(values["scaling"], 1e-6)
    scaling = scaling / np.linalg.norm(scaling, axis=1, keepdims=True)
    rotation = values["rotation"] / np.linalg.norm(values["rotation"], axis=1, keepdims=True)
    opacity = np.clip(values["opacity"][:, 0], 2.0**-24, 1 - 2.0**-24)
    tensor = lambda array: torch.from_numpy(array.astype(np.float32))  # noqa: E731
    return Gaussians(
        means=tensor(arrays["xyz"]),
        quats=tensor(rotation[by_shape]),
        scales=tensor(np.log(scaling[by_shape]) + values["scaling_factor"]),
        opacities=tensor(np.log(opacity / (1 - opacity))),
        sh0=tensor(values["features_dc"][by_feature]),
        shN=tensor(values["features_rest"][by_feature]),
    )


def assert_close(found: Gaussians, expected: Gaussians) -> None:
    for name in ("means", "scales", "sh0", "shN"):
        torch.testing.assert_close(getattr(found, name), getattr(expected, name), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found.opacities.sigmoid(), expected.opacities.sigmoid(), rtol=0, atol=1e-6)
    assert float(angles(found.quats, expected.quats).max()) < 0.01


@pytest.mark.parametrize("antialiased", [False, True])
@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_what_is_read_is_what_decoding_gives_bit_for_bit(tmp_path: Path, degree: int, antialiased: bool) -> None:
    scene = random_scene(degree=degree, antialiased=antialiased)
    formats.write(scene, tmp_path / "scene.npz")
    found = formats.read(tmp_path / "scene.npz")
    assert_same_bits(found, decode(encode(scene)))
    assert found.antialiased == antialiased
    assert found.sh_degree == degree


def test_a_clustered_scene_is_read_as_decoding_gives_it(tmp_path: Path) -> None:
    scene = clustered()
    c3dgs_npz.pack(scene, tmp_path / "scene.npz")
    assert_same_bits(formats.read(tmp_path / "scene.npz"), decode(encode(scene)))


@pytest.mark.parametrize("shared", [False, True])
def test_files_say_what_their_description_says(tmp_path: Path, shared: bool) -> None:
    path = tmp_path / "scene.npz"
    c3dgs_npz.pack(clustered() if shared else random_scene(), path)
    assert_close(formats.read(path), as_published(path))


def test_arrays_have_the_published_names_types_and_shapes(tmp_path: Path) -> None:
    c3dgs_npz.pack(clustered(500), tmp_path / "scene.npz")
    found = np.load(tmp_path / "scene.npz", allow_pickle=False)
    colors, shapes = len(found["features_dc"]), len(found["scaling"])
    expected = {
        "xyz": ("float16", (500, 3)),
        "features_dc": ("int8", (colors, 1, 3)),
        "features_rest": ("int8", (colors, 15, 3)),
        "opacity": ("int8", (500, 1)),
        "scaling": ("int8", (shapes, 3)),
        "rotation": ("int8", (shapes, 4)),
        "scaling_factor": ("int8", (500, 1)),
        "feature_indices": ("int32", (500,)),
        "gaussian_indices": ("int32", (500,)),
        "quantization": ("bool", ()),
    }
    for name in QUANTISED:
        expected |= {f"{name}_scale": ("float32", (1,)), f"{name}_zero_point": ("int32", (1,))}
    assert {name: (values.dtype.name, values.shape) for name, values in found.items()} == expected


@pytest.mark.parametrize("shared", [False, True])
def test_every_attribute_is_as_near_as_its_bits_allow(shared: bool) -> None:
    """Relative to the file's own steps; the scene before rounding is the one that `ClusteredGaussians` says."""
    floats = clustered() if shared else ClusteredGaussians.of(random_scene())
    encoded = encode(floats)
    found, expected = decode(encoded), floats.gaussians()
    expected = expected[encoded.order]
    step = {name: affine.scale for name, affine in encoded.ranges.items()}
    assert ((found.means - expected.means).abs() <= expected.means.abs() * 2**-11 + 1e-7).all()
    for ours, name in (("sh0", "features_dc"), ("shN", "features_rest")):
        assert float((getattr(found, ours) - getattr(expected, ours)).abs().max()) <= step[name]
    assert float((found.opacities.sigmoid() - expected.opacities.sigmoid()).abs().max()) <= step["opacity"]
    size = lambda scene: 0.5 * (2 * scene.scales).logsumexp(dim=1)  # noqa: E731
    assert float((size(found) - size(expected)).abs().max()) <= step["scaling_factor"]
    shape = lambda scene: (scene.scales - size(scene)[:, None]).exp()  # noqa: E731
    assert float((shape(found) - shape(expected)).norm(dim=1).max()) <= 2 * np.sqrt(3) * step["scaling"]
    # A quaternion off by d turns by 2 d, here of four roundings of half a step, and once more for ends of the range.
    assert float(angles(found.quats, expected.quats).max()) <= 2 * np.rad2deg(2 * step["rotation"])


def test_an_unrounded_scene_is_the_scene_it_was_made_of() -> None:
    scene = random_scene()
    found = ClusteredGaussians.of(scene).gaussians()
    for name in ("means", "sh0", "shN"):
        assert torch.equal(getattr(found, name), getattr(scene, name))
    torch.testing.assert_close(found.scales, scene.scales, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found.opacities.sigmoid(), scene.opacities.sigmoid(), rtol=1e-6, atol=1e-6)
    assert float(angles(found.quats, scene.quats).max()) < 0.01


def test_rows_that_nothing_uses_are_dropped_and_shared_ones_come_first() -> None:
    encoded = encode(clustered())
    for indices, table in (
        (encoded.feature_indices, encoded.codes["features_dc"]),
        (encoded.gaussian_indices, encoded.codes["rotation"]),
    ):
        assert indices is not None
        users = torch.bincount(indices.long())
        assert len(users) == len(table)
        assert users.min() >= 1
        assert (users[1:] == 1)[(users == 1)[:-1]].all()


def test_the_order_says_where_each_gaussian_went() -> None:
    scene = random_scene()
    encoded = encode(scene)
    assert torch.equal(encoded.order.sort().values, torch.arange(len(scene)))
    assert torch.equal(decode(encoded).means, scene.means[encoded.order].half().float())


@pytest.mark.parametrize("by_columns", [False, True])
def test_another_writers_file_without_sizes_apart_is_read(tmp_path: Path, by_columns: bool) -> None:
    """Plain `np.savez`, not deflated, scales as logarithms, opacities without a second dimension, any array order."""
    random = np.random.default_rng(0)
    codes = lambda *shape: random.integers(-128, 128, shape).astype(np.int8)  # noqa: E731
    arrays = {
        "opacity": codes(9),
        "features_rest": codes(9, 8, 3),
        "features_dc": codes(9, 1, 3),
        "rotation": codes(9, 4),
        "scaling": np.asarray(codes(9, 3), order="F" if by_columns else "C"),
        "xyz": random.normal(size=(9, 3)).astype(np.float16),
    }
    for name in (*QUANTISED[:3], "scaling", "rotation"):
        arrays |= {f"{name}_scale": np.float32(1 / 255), f"{name}_zero_point": np.array([-128], np.int32)}
    np.savez(tmp_path / "scene.npz", **arrays)
    found = formats.read(tmp_path / "scene.npz")
    assert found.sh_degree == 2
    np.testing.assert_array_equal(found.means.numpy(), arrays["xyz"].astype(np.float32))
    np.testing.assert_allclose(found.scales.numpy(), (arrays["scaling"].astype(float) + 128) / 255, rtol=1e-6)
    expected = (arrays["opacity"].astype(float) + 128) / 255
    np.testing.assert_allclose(found.opacities.sigmoid().numpy(), expected, atol=1e-6)


def test_a_thickness_rounded_to_nothing_stays_drawable() -> None:
    scene = random_scene(50)
    scene.scales[:, 2] = scene.scales[:, 0] - 20
    found = decode(encode(scene))
    assert found.finite().all()
    assert float((found.scales[:, 2] - found.scales[:, 0]).max()) < -5


def test_opacities_of_0_and_1_stay_finite() -> None:
    scene = replace(random_scene(3), opacities=torch.tensor([-200.0, 0.0, 200.0]))
    encoded = encode(scene)
    found = decode(encoded).opacities[encoded.order.argsort()]
    assert found.isfinite().all()
    torch.testing.assert_close(found.sigmoid(), torch.tensor([0.0, 0.5, 1.0]), atol=1 / 255, rtol=0)


@pytest.mark.parametrize("degree", [0, 3])
def test_a_scene_of_no_gaussians_survives(tmp_path: Path, degree: int) -> None:
    formats.write(empty(degree), tmp_path / "scene.npz")
    found = formats.read(tmp_path / "scene.npz")
    assert len(found) == 0
    assert found.sh_degree == degree


def test_the_same_scene_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.npz", "b.npz"):
        formats.write(random_scene(), tmp_path / name)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_a_file_is_recognised_whatever_it_is_called(tmp_path: Path) -> None:
    formats.write(random_scene(10), tmp_path / "scene.npz")
    (tmp_path / "scene.npz").rename(tmp_path / "scene.dat")
    assert len(formats.read(tmp_path / "scene.dat")) == 10


def test_what_a_file_cannot_hold_is_refused_in_a_sentence(tmp_path: Path) -> None:
    broken = random_scene(10)
    broken.shN[3, 2, 1] = float("inf")
    with pytest.raises(SceneFileError, match="1 of 10 Gaussians"):
        formats.write(broken, tmp_path / "scene.npz")
    far = random_scene(10)
    far.means[0, 0] = -70_000
    with pytest.raises(SceneFileError, match="65504"):
        formats.write(far, tmp_path / "scene.npz")
    formats.write(random_scene(10), tmp_path / "there.npz")
    with pytest.raises(InputError, match="already exists"):
        formats.write(random_scene(10), tmp_path / "there.npz")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["there.npz"]


def test_what_is_lost_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    scene = random_scene(10, extras={"label": torch.zeros(10)}, comments=("made by hand",))
    formats.write(scene, tmp_path / "scene.npz")
    assert "cannot hold 1 extra property or 1 comment; this is lost" in caplog.text


@pytest.mark.parametrize("name", ["fox_opensplat.ply", "plant.splat"])
def test_a_real_scene_is_deflated_to_less_than_its_arrays(tmp_path: Path, name: str) -> None:
    """A byte a number, two a coordinate, and one for the size apart from the scales."""
    scene = formats.read(shared_scene(name), drop_nonfinite=True)
    formats.write(scene, tmp_path / "scene.npz")
    assert (tmp_path / "scene.npz").stat().st_size < 0.95 * len(scene) * (scene.parameters_per_gaussian + 3 + 1)
    found = formats.read(tmp_path / "scene.npz")
    assert len(found) == len(scene)
    assert found.finite().all()
