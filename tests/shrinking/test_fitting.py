"""Files of a given size, on scenes small enough to encode in milliseconds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
from support.tiny import blobs, ring_of_cameras

from leansplat import formats
from leansplat.captures.capture import Capture
from leansplat.compression import FineTuningConfig, SogCodec, SpzCodec, fine_tune
from leansplat.compression.preparation import Prepared
from leansplat.errors import InputError
from leansplat.gaussians import Gaussians
from leansplat.shrinking import fitting
from leansplat.shrinking.coded import decoded, interpolated
from leansplat.shrinking.fitting import LEAST_SHARE, Shares, choose, prepare
from leansplat.shrinking.plain import codec_for
from leansplat.shrinking.teacher import teacher_capture
from leansplat.shrinking.within import worth_of, write_within


def scene_of(count: int, *, harmonics: float = 0.3, sh_degree: int = 2) -> Gaussians:
    """Round Gaussians of different sizes with random harmonics."""
    random = torch.Generator().manual_seed(count)
    scales = -3.5 + 0.5 * torch.randn(count, 1, generator=random) + 0.2 * torch.randn(count, 3, generator=random)
    shN = harmonics * torch.randn(count, (sh_degree + 1) ** 2 - 1, 3, generator=random)
    return replace(blobs(count), scales=scales, shN=shN, quats=torch.randn(count, 4, generator=random))


def renders_of(scene: Gaussians, views: int = 4) -> Capture:
    return teacher_capture(scene, {f"{k}.png": camera for k, camera in enumerate(ring_of_cameras(views, 32))})


SCENE = scene_of(3000)
CAPTURE = renders_of(SCENE)
WORTH = worth_of(SCENE, CAPTURE)


def whole_size(suffix: str, folder: Path) -> int:
    formats.write(SCENE, folder / f"whole{suffix}")
    return (folder / f"whole{suffix}").stat().st_size


def written(suffix: str, size: int, folder: Path, scene: Gaussians = SCENE, steps: int = 0) -> Path:
    """A file of a scene made as `shrink` does it."""
    capture = CAPTURE if scene is SCENE else renders_of(scene)
    worth = worth_of(scene, capture)
    choice = choose(scene, worth, capture, codec_for(f"a{suffix}"), size, steps=steps)
    ready = prepare(scene, worth, capture, choice, steps=steps)
    latents = fine_tune(ready.gaussians, capture, ready.quantiser, FineTuningConfig(steps=steps)).latents
    worth = worth_of(decoded(ready.quantiser, latents), capture)
    path = folder / f"out{suffix}"
    assert write_within(ready.quantiser, latents, path, size, worth) == path.stat().st_size
    return path


@pytest.mark.parametrize("suffix", [".sog", ".spz", ".compressed.ply", ".npz", ".ply", ".splat", ".glb"])
def test_a_file_takes_97_to_100_percent_of_what_was_asked(suffix: str, tmp_path: Path) -> None:
    for number, share in enumerate((0.8, 0.35)):
        folder = tmp_path / str(number)
        folder.mkdir()
        size = int(share * whole_size(suffix, folder))
        path = written(suffix, size, folder)
        assert LEAST_SHARE * size <= path.stat().st_size <= size
        assert 1 < len(formats.read(path)) < len(SCENE)


@pytest.mark.parametrize("suffix", [".sog", ".spz"])
def test_a_file_that_was_trained_takes_97_to_100_percent_too(suffix: str, tmp_path: Path) -> None:
    size = int(0.5 * whole_size(suffix, tmp_path))
    assert LEAST_SHARE * size <= written(suffix, size, tmp_path, steps=40).stat().st_size <= size


@pytest.mark.parametrize("sh_degree", [0, 1, 3])
def test_scenes_of_every_degree_of_harmonics_fit(sh_degree: int, tmp_path: Path) -> None:
    scene = scene_of(2000, sh_degree=sh_degree)
    formats.write(scene, tmp_path / "whole.sog")
    size = int(0.6 * (tmp_path / "whole.sog").stat().st_size)
    assert LEAST_SHARE * size <= written(".sog", size, tmp_path, scene).stat().st_size <= size


def test_the_least_worthy_are_left_out_of_a_file_that_is_too_large(tmp_path: Path) -> None:
    quantiser = codec_for("a.ply").quantiser(0)
    latents = quantiser.begin(SCENE)
    size = 100 * 1000
    write_within(quantiser, latents, tmp_path / "out.ply", size, WORTH)
    left = formats.read(tmp_path / "out.ply")
    assert LEAST_SHARE * size <= (tmp_path / "out.ply").stat().st_size <= size
    best = torch.zeros(len(SCENE), dtype=torch.bool)
    best[WORTH.argsort(descending=True, stable=True)[: len(left)]] = True
    assert torch.equal(left.means, SCENE.means[best])


def test_a_file_that_fits_keeps_every_gaussian(tmp_path: Path) -> None:
    quantiser = SogCodec(palette_size=100).quantiser(0)
    latents = quantiser.begin(SCENE)
    write_within(quantiser, latents, tmp_path / "out.sog", 10**6, WORTH)
    assert len(formats.read(tmp_path / "out.sog")) == len(SCENE)


@pytest.mark.parametrize(
    ("known", "count"),
    [
        ([(100, 1000)], 120),
        ([(100, 1000), (200, 1800)], 125),
        ([(100, 1000), (200, 1000)], 120),
        ([(100, 1100), (100, 1150)], 104),
        ([(100, 1300), (200, 1100)], 92),
    ],
    ids=["one", "line", "same bytes", "same count", "falling"],
)
def test_a_count_is_guessed_from_any_two_files(known: list[tuple[int, float]], count: int) -> None:
    assert interpolated(known, 1200) == count


def test_a_size_below_one_gaussian_is_refused(tmp_path: Path) -> None:
    for suffix in (".sog", ".spz", ".ply"):
        with pytest.raises(InputError, match="one of a single Gaussian takes about"):
            choose(SCENE, WORTH, CAPTURE, codec_for(f"a{suffix}"), 30)
    quantiser = codec_for("a.ply").quantiser(0)
    with pytest.raises(InputError, match=r"out\.ply cannot be as small as 30 B"):
        write_within(quantiser, quantiser.begin(SCENE), tmp_path / "out.ply", 30, WORTH)
    assert not (tmp_path / "out.ply").exists()


def test_a_size_above_the_finest_encoding_gets_all_there_is(tmp_path: Path) -> None:
    for suffix in (".sog", ".spz", ".compressed.ply", ".ply"):
        size = 3 * whole_size(suffix, tmp_path)
        choice = choose(SCENE, WORTH, CAPTURE, codec_for(f"a{suffix}"), size)
        assert not choice.fills
        assert (choice.count, choice.sh_degree) == (len(SCENE), 2)
        formats_best = written(suffix, size, tmp_path)
        assert len(formats.read(formats_best)) == len(SCENE)
        assert abs(formats_best.stat().st_size / choice.bytes - 1) < 0.01


def test_harmonics_get_bytes_where_they_show() -> None:
    palettes = []
    for harmonics in (0.01, 0.1, 0.5):
        scene = scene_of(3000, harmonics=harmonics)
        capture = renders_of(scene)
        choice = choose(scene, worth_of(scene, capture), capture, SogCodec(), 35_000)
        assert isinstance(choice.codec, SogCodec)
        palettes.append((choice.sh_degree and choice.codec.palette_size, -choice.count))
    assert palettes == sorted(palettes)
    assert palettes[0] != palettes[2]


def test_what_fine_tuning_wins_back_is_not_paid_for() -> None:
    """Where nothing is left of one kind of loss, all bytes go against the other."""
    kinds = {"pruning": Shares(pruning=0, coarseness=1), "coarseness": Shares(pruning=1, coarseness=0)}
    found = {name: choose(SCENE, WORTH, CAPTURE, SogCodec(), 25_000, shares=shares) for name, shares in kinds.items()}
    assert found["pruning"].count < found["coarseness"].count
    assert found["pruning"].codec.palette_size > found["coarseness"].codec.palette_size


def test_the_choice_is_the_least_error_of_all_that_were_tried() -> None:
    choice, shares = choose(SCENE, WORTH, CAPTURE, SogCodec(), 25_000), Shares.after(0)
    filled = [each for each in choice.tried if LEAST_SHARE * choice.size <= each.bytes <= 1.01 * choice.size]
    best = min(filled, key=lambda each: each.error(shares))
    assert (best.count, best.codec, best.sh_degree) == (choice.count, choice.codec, choice.sh_degree)


def test_from_a_grade_that_was_chosen_before_few_others_are_tried() -> None:
    codec = codec_for("a.spz")
    first = choose(SCENE, WORTH, CAPTURE, codec, 12_000)
    again = choose(SCENE, WORTH, CAPTURE, codec, 12_000, near=first)
    assert (again.codec, again.sh_degree) == (first.codec, first.sh_degree)
    assert again.count == pytest.approx(first.count, rel=0.01)
    assert len(again.tried) < len(first.tried)
    other = choose(SCENE, WORTH, CAPTURE, codec, 30_000, near=first)
    assert (other.codec, other.sh_degree) != (first.codec, first.sh_degree)


def test_a_sample_tells_how_many_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = scene_of(12_000, sh_degree=1)
    capture = renders_of(scene)
    worth = worth_of(scene, capture)
    monkeypatch.setattr(fitting, "SAMPLE", 2048)
    for codec, size in ((SogCodec(palette_size=256), 100_000), (SpzCodec(sh_octaves=0.0), 150_000)):
        choice = choose(scene, worth, capture, codec, size)
        ready = prepare(scene, worth, capture, choice)
        assert len(ready.gaussians) > 2 * 2048
        assert choice.count == pytest.approx(len(ready.gaussians), rel=0.05)
        assert file_size(ready, codec.suffix) == pytest.approx(size, rel=0.02)


def test_a_sample_tells_it_of_every_grade(monkeypatch: pytest.MonkeyPatch) -> None:
    """A palette that a sample hardly fills takes a smaller share of the whole."""
    scene = scene_of(12_000, sh_degree=1)
    capture = renders_of(scene)
    worth = worth_of(scene, capture)
    monkeypatch.setattr(fitting, "SAMPLE", 2048)
    choice = choose(scene, worth, capture, SogCodec(), 140_000)
    assert len({each.codec for each in choice.tried if len(scene) > each.count > 2 * 2048}) > 3
    for each in choice.tried:
        grade = replace(choice, count=each.count, codec=each.codec, sh_degree=each.sh_degree)
        exact = len(prepare(scene, worth, capture, grade).gaussians)
        assert each.count == pytest.approx(exact, rel=0.03), each.codec


def file_size(ready: Prepared, suffix: str) -> int:
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"out{suffix}"
        ready.quantiser.write(ready.quantiser.begin(ready.gaussians), path)
        return path.stat().st_size


def test_extra_properties_and_comments_survive_in_a_ply(tmp_path: Path) -> None:
    scene = replace(SCENE, extras={"label": torch.arange(3000.0)}, comments=("by hand",))
    path = tmp_path / "out.ply"
    quantiser = codec_for(path).quantiser(0)
    write_within(quantiser, quantiser.begin(scene), path, 200_000, WORTH)
    left = formats.read(path)
    rows = left.extras["label"].long()
    assert torch.equal(left.means, scene.means[rows])
    assert "by hand" in left.comments


def test_the_suffix_names_the_kind_of_file() -> None:
    kinds = {".sog": "Sog", ".compressed.ply": "CompressedPly", ".PLY": "Ply", ".splat": "Splat", ".glb": "Glb"}
    for suffix, kind in kinds.items():
        assert type(codec_for(f"a{suffix}")).__name__ == f"{kind}Codec"
    with pytest.raises(InputError, match=r"out\.obj has no suffix that can be written; give one of .*\.sog.*\.ply"):
        codec_for("out.obj")
