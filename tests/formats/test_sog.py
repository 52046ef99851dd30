"""SOG files: what they hold of a scene, what others read in ours and we in theirs."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support import splat_transform
from support.scene_comparison import angles, assert_same_bits, random_scene, shared_scene

from leansplat import formats
from leansplat.errors import InputError, SceneFileError
from leansplat.formats import SogOptions, sog
from leansplat.gaussians import Gaussians, empty
from leansplat.simd.threads import set_thread_count, thread_count

STEP = 1 / 255


def in_file_order(scene: Gaussians) -> Gaussians:
    return scene[torch.from_numpy(sog.encode(scene).order)]


def webp(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(buffer, "WEBP", lossless=True, exact=True)
    return buffer.getvalue()


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.mark.parametrize("name", ["scene.sog", "meta.json", "room.meta.json"])
@pytest.mark.parametrize("degree", range(4))
def test_a_file_holds_what_decoding_the_encoded_scene_gives(tmp_path: Path, degree: int, name: str) -> None:
    scene = random_scene(300, degree, antialiased=degree % 2 == 1, comments=("made up", "twice"))
    path = tmp_path / name
    formats.write(scene, path)
    assert_same_bits(formats.read(path), Gaussians.from_arrays(sog.decode(sog.encode(scene))))


def test_every_number_is_as_near_as_its_bits_allow() -> None:
    scene = random_scene(3000)
    encoded = sog.encode(scene)
    found, scene = Gaussians.from_arrays(sog.decode(encoded)), scene[torch.from_numpy(encoded.order)]

    logarithm = lambda x: x.sign() * x.abs().log1p()  # noqa: E731
    means = logarithm(scene.means.double())
    half_step = (means.amax(dim=0) - means.amin(dim=0)) / 65535 / 2
    assert ((logarithm(found.means.double()) - means).abs() <= 1.001 * half_step + 1e-6).all()
    assert angles(found.quats, scene.quats).max() < 1.2  # half a step of each of three components of up to 0.5
    assert (found.opacities.sigmoid() - scene.opacities.sigmoid()).abs().max() <= STEP / 2 + 1e-6
    for name, codebook in (("scales", encoded.codebooks.scales), ("sh0", encoded.codebooks.sh0)):
        values = getattr(scene, name).numpy()
        distances = np.abs(values[..., None] - codebook).min(axis=-1)
        np.testing.assert_allclose(np.abs(getattr(found, name).numpy() - values), distances, atol=1e-6)


def test_a_palette_with_room_for_all_loses_a_thousandth_of_the_harmonics() -> None:
    scene = random_scene(1000, comments=())
    scene = replace(scene, shN=scene.shN[torch.arange(1000) % 200])
    found, scene = Gaussians.from_arrays(sog.decode(sog.encode(scene))), in_file_order(scene)
    error = (found.shN - scene.shN).square().mean() / scene.shN.square().mean()
    assert error < 1.2e-3


def test_what_was_read_is_written_again_unchanged(tmp_path: Path) -> None:
    first = Gaussians.from_arrays(sog.decode(sog.encode(random_scene(800))))
    sog.write(first, tmp_path / "again.sog", options=SogOptions(palette_size=800))
    again = Gaussians.from_arrays(sog.read(tmp_path / "again.sog"))
    first = in_file_order(first)  # of neighbours in space some change places
    for name in ("means", "scales", "opacities", "sh0", "shN"):
        torch.testing.assert_close(getattr(again, name), getattr(first, name), rtol=1e-5, atol=1e-6)
    assert angles(again.quats, first.quats).max() < 0.6  # where two components are equally large, the other may go


@pytest.mark.parametrize("degree", range(4))
def test_splat_transform_reads_our_files(tmp_path: Path, degree: int) -> None:
    scene = random_scene(500, degree, seed=degree, antialiased=degree == 2)
    expected = Gaussians.from_arrays(sog.decode(sog.encode(scene)))
    for name in ("scene.sog", "meta.json"):
        formats.write(scene, tmp_path / name)
        splat_transform.convert(tmp_path / name, tmp_path / "theirs.ply")
        assert_near(formats.read(tmp_path / "theirs.ply"), expected)


@pytest.mark.parametrize("degree", [0, *(pytest.param(degree, marks=pytest.mark.long) for degree in (1, 2)), 3])
def test_we_read_the_files_of_splat_transform(tmp_path: Path, degree: int) -> None:
    scene = random_scene(200, degree, antialiased=degree in (0, 1))
    formats.write(scene, tmp_path / "scene.ply")
    for name in ("theirs.sog", "meta.json"):
        splat_transform.convert(tmp_path / "scene.ply", tmp_path / name, "-g", "cpu")
        splat_transform.convert(tmp_path / name, tmp_path / "decoded.ply")
        found = formats.read(tmp_path / name)
        assert_near(found, formats.read(tmp_path / "decoded.ply"))
        nearest = torch.cdist(found.means, scene.means).argmin(dim=1)
        assert angles(found.quats, scene.quats[nearest]).max() < 2.4  # they cut components off instead of rounding
        assert (found.scales - scene.scales[nearest]).abs().max() < 0.1


def assert_near(found: Gaussians, expected: Gaussians) -> None:
    """The same file by two readers: equal but for the last bits of an exponential and the logits of 0 and 1."""
    assert found.antialiased == expected.antialiased
    for name in ("means", "quats", "scales", "sh0", "shN"):
        torch.testing.assert_close(getattr(found, name), getattr(expected, name), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(found.opacities.sigmoid(), expected.opacities.sigmoid(), rtol=0, atol=2e-6)


@pytest.mark.parametrize("name", ["fox_opensplat.ply", "plant.splat", "academic_tarot_cards.splat"])
def test_real_scenes_go_through(tmp_path: Path, name: str) -> None:
    scene = formats.read(shared_scene(name))[:2000]
    scene = scene[scene.finite()]
    path = tmp_path / "scene.sog"
    formats.write(scene, path)
    encoded = sog.encode(scene)
    found = formats.read(path)
    assert_same_bits(replace(found, comments=()), replace(Gaussians.from_arrays(sog.decode(encoded)), comments=()))
    splat_transform.convert(path, tmp_path / "theirs.ply")
    assert_near(formats.read(tmp_path / "theirs.ply"), found)
    assert angles(found.quats, scene.quats[torch.from_numpy(encoded.order)]).max() < 1.2


def test_gaussians_that_are_seen_keep_their_harmonics_better(tmp_path: Path) -> None:
    scene = random_scene(2000)
    even = sog.fit(scene, palette_size=128, weights=np.ones(2000, np.float32))
    seen = sog.fit(scene, palette_size=128)
    weights = torch.from_numpy(sog.importance(scene))

    def error(codebooks: sog.Codebooks) -> float:
        found = torch.from_numpy(codebooks.palette_values()[sog.palette_labels(scene.shN.numpy(), codebooks)])
        return float((weights * (found - scene.shN).square().sum(dim=(1, 2))).sum())

    assert error(seen) < 0.97 * error(even)


def test_importance_is_opacity_times_the_two_largest_deviations() -> None:
    scene = random_scene(1000)
    sizes = scene.scales.exp().sort(dim=1).values
    expected = scene.opacities.sigmoid() * sizes[:, 1] * sizes[:, 2]
    expected = expected.clamp(max=float(expected.quantile(0.99)))
    expected = 0.1 + expected / expected.mean()
    torch.testing.assert_close(torch.from_numpy(sog.importance(scene)), expected, rtol=1e-4, atol=1e-5)


def test_codebooks_of_an_earlier_state_can_be_kept_or_refined() -> None:
    scene = random_scene(1500)
    before = sog.fit(scene, palette_size=64)
    moved = replace(scene, shN=scene.shN + 0.3)
    kept = sog.encode(moved, before)
    assert kept.codebooks is before
    refined = sog.encode(moved, sog.fit(moved, start=before))
    assert len(refined.codebooks.palette) <= 64
    truth = moved.shN[torch.from_numpy(kept.order)]
    errors = [float((Gaussians.from_arrays(sog.decode(each)).shN - truth).square().sum()) for each in (kept, refined)]
    assert errors[1] < 0.95 * errors[0]


def test_rotations_can_be_coarser() -> None:
    scene = random_scene(500)
    found = {step: sog.encode(scene, palette_size=64, rotation_step=step) for step in (1, 4)}
    assert not (found[4].rotations % 4).any()
    truth = scene.quats[torch.from_numpy(found[1].order)]
    fine, coarse = (angles(Gaussians.from_arrays(sog.decode(found[step])).quats, truth).max() for step in (1, 4))
    assert 2 * fine < coarse < 4.5


@pytest.mark.parametrize(
    ("count", "size"), [(0, 64), (10, 64), (100, 72), (1030, 1030), (23_276, 18_432), (60_000, 36_864), (10**6, 65_536)]
)
def test_the_palette_has_about_an_entry_a_gaussian(count: int, size: int) -> None:
    assert sog.usual_palette_size(count) == size


def test_labels_are_those_of_the_nearest_entries() -> None:
    scene = random_scene(1000)
    codebooks = sog.fit(scene, palette_size=256)
    labels = sog.palette_labels(scene.shN.numpy(), codebooks)
    entries = torch.from_numpy(codebooks.palette_values()).flatten(1)
    distances = torch.cdist(scene.shN.flatten(1).double(), entries.double())
    found = distances[torch.arange(1000), torch.from_numpy(labels.astype(np.int64))]
    assert float(found.square().sum()) < 1.01 * float(distances.amin(dim=1).square().sum())


@pytest.mark.parametrize("name", ["scene.sog", "meta.json"])
@pytest.mark.parametrize("degree", [0, 2])
def test_no_gaussians_at_all(tmp_path: Path, degree: int, name: str) -> None:
    formats.write(empty(degree), tmp_path / name)
    found = formats.read(tmp_path / name)
    assert len(found) == 0
    assert found.sh_degree == degree


def test_scenes_without_extent_or_variety_survive(tmp_path: Path) -> None:
    one = random_scene(1)
    for scene in (one, one[[0] * 40], replace(random_scene(40), means=torch.zeros(40, 3))):
        formats.write(scene, tmp_path / "scene.sog", overwrite=True)
        found = formats.read(tmp_path / "scene.sog")
        torch.testing.assert_close(found.means, in_file_order(scene).means, rtol=1e-5, atol=1e-6)
        assert found.finite().all()


def test_the_same_scene_gives_the_same_bytes_on_any_number_of_threads(tmp_path: Path) -> None:
    scene = random_scene(1500)
    before = thread_count()
    contents = []
    try:
        for count in {1, before}:
            set_thread_count(count)
            sog.write(scene, tmp_path / f"{count}.sog", options=SogOptions(seed=3))
            contents.append((tmp_path / f"{count}.sog").read_bytes())
    finally:
        set_thread_count(before)
    assert contents[0] == contents[-1]
    sog.write(scene, tmp_path / "other.sog", options=SogOptions(seed=4))
    assert (tmp_path / "other.sog").read_bytes() != contents[0]


def test_a_bundle_is_a_zip_of_stored_files_as_the_specification_names_them(tmp_path: Path) -> None:
    scene = random_scene(200, antialiased=True)
    formats.write(scene, tmp_path / "scene.sog")
    with zipfile.ZipFile(tmp_path / "scene.sog") as archive:
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}
    found = members(tmp_path / "scene.sog")
    meta = json.loads(found.pop("meta.json"))
    assert meta["version"] == 2
    assert meta["count"] == 200
    assert meta["antialias"] is True
    assert {name for entry in meta.values() if isinstance(entry, dict) for name in entry.get("files", [])} == set(found)
    sizes = {name: Image.open(io.BytesIO(content)).size for name, content in found.items()}
    assert sizes.pop("shN_centroids.webp") == (960, -(-meta["shN"]["count"] // 64))
    assert set(sizes.values()) == {(16, 16)}


def test_palette_entries_are_numbered_as_gaussians_come_to_need_them(tmp_path: Path) -> None:
    formats.write(random_scene(400), tmp_path / "scene.sog")
    pixels = np.asarray(Image.open(io.BytesIO(members(tmp_path / "scene.sog")["shN_labels.webp"])))
    labels = (pixels[..., 0] + 256 * pixels[..., 1].astype(np.int64)).reshape(-1)[:400]
    highest = np.maximum.accumulate(labels)
    assert labels[0] == 0
    assert np.diff(highest).max() == 1


def test_labels_and_order_can_be_given() -> None:
    scene = random_scene(300)
    codebooks = sog.fit(scene, palette_size=64)
    labels = (np.arange(300) % len(codebooks.palette)).astype(np.uint16)
    order = np.arange(300)[::-1]
    found = Gaussians.from_arrays(sog.decode(sog.encode(scene, codebooks, labels=labels, order=order)))
    np.testing.assert_array_equal(found.shN.numpy(), codebooks.palette_values()[labels[order]])
    torch.testing.assert_close(found.means, scene.means.flip(0), rtol=1e-3, atol=1e-3)


def test_files_beside_meta_json_are_replaced_only_when_asked(tmp_path: Path) -> None:
    (tmp_path / "sh0.webp").write_bytes(b"mine")
    with pytest.raises(InputError, match=r"sh0\.webp already exists"):
        formats.write(random_scene(50), tmp_path / "meta.json")
    assert [path.name for path in tmp_path.iterdir()] == ["sh0.webp"]
    formats.write(random_scene(50), tmp_path / "meta.json", overwrite=True)
    assert len(formats.read(tmp_path / "meta.json")) == 50


def test_nan_and_infinity_are_refused(tmp_path: Path) -> None:
    scene = random_scene(20)
    scene.scales[3, 1] = float("inf")
    with pytest.raises(SceneFileError, match=r"1 .*20 Gaussians .*NaN or infinite.*drop-nonfinite"):
        formats.write(scene, tmp_path / "scene.sog")
    assert list(tmp_path.iterdir()) == []


def test_extras_are_said_to_be_lost() -> None:
    scene = replace(random_scene(5, comments=("kept",)), extras={"label": torch.zeros(5)})
    assert sog.FORMAT.loses(scene) == ("1 extra property",)


@pytest.mark.parametrize("said", [{"antialias": True}, {"model": "antialiased"}])
def test_both_words_for_antialiasing_are_understood(tmp_path: Path, said: dict[str, object]) -> None:
    formats.write(random_scene(30, 0), tmp_path / "meta.json")
    meta = json.loads((tmp_path / "meta.json").read_text())
    assert not formats.read(tmp_path / "meta.json").antialiased
    (tmp_path / "meta.json").write_text(json.dumps({**meta, **said}))
    assert formats.read(tmp_path / "meta.json").antialiased


def test_version_1_stands_for_even_steps_between_ends(tmp_path: Path) -> None:
    """Every byte is chosen here, and what it stands for worked out by hand or by splat-transform."""
    codes = np.random.default_rng(0).integers(256, size=(5, 8, 8, 4))
    low, high, scales, quats, sh0 = codes
    quats[..., 3] = 252 + quats[..., 3] % 4
    labels = np.zeros((8, 8, 4))
    labels[..., 0] = np.arange(64).reshape(8, 8)
    centroids = np.random.default_rng(1).integers(256, size=(1, 192, 4))
    images = {"means_l": low, "means_u": high, "scales": scales, "quats": quats, "sh0": sh0, "labels": labels}
    for name, pixels in {**images, "centroids": centroids}.items():
        (tmp_path / f"{name}.webp").write_bytes(webp(pixels if name in ("quats", "sh0") else pixels[..., :3]))
    meta = {
        "means": {"shape": [60, 3], "mins": [-1, -2, 0], "maxs": [1, 2, 3], "files": ["means_l.webp", "means_u.webp"]},
        "scales": {"mins": [-9, -8, -7], "maxs": [1, 2, 3], "files": ["scales.webp"]},
        "quats": {"encoding": "quaternion_packed", "files": ["quats.webp"]},
        "sh0": {"mins": [-1, -2, -3, -5], "maxs": [1, 2, 3, 7], "files": ["sh0.webp"]},
        "shN": {"mins": -0.5, "maxs": 1.5, "files": ["centroids.webp", "labels.webp"]},
    }
    (tmp_path / "meta.json").write_text(json.dumps(meta))
    found = formats.read(tmp_path / "meta.json")
    rows = lambda pixels: torch.from_numpy(pixels.reshape(-1, 4)[:60]).double()  # noqa: E731
    assert len(found) == 60
    expected = torch.tensor([-9.0, -8, -7]) + rows(scales)[:, :3] / 255 * 10
    torch.testing.assert_close(found.scales.double(), expected)
    torch.testing.assert_close(found.opacities.double(), -5 + rows(sh0)[:, 3] / 255 * 12)
    torch.testing.assert_close(found.shN[7, 2].double(), -0.5 + rows(centroids)[23, :3] / 255 * 2)
    splat_transform.convert(tmp_path / "meta.json", tmp_path / "theirs.ply")
    assert_near(found, formats.read(tmp_path / "theirs.ply"))
