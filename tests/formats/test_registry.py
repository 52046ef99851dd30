"""What holds for every format in the registry: what is picked, what arrives, and that what is lost is what is said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch
from support.rendered_scenes import surfaces
from support.scene_comparison import shared_scene
from torch import Tensor

from leansplat import formats
from leansplat.camera_paths import orbit
from leansplat.engines.cpu import render
from leansplat.errors import InputError, SceneFileError
from leansplat.formats import FORMATS, SogOptions, SpzOptions
from leansplat.formats.format import Format
from leansplat.gaussians import Gaussians

READ_ONLY = (".pth", ".ckpt", ".pt", ".gltf", "lod-meta.json")
SUFFIXES = [suffix for known in FORMATS for suffix in known.suffixes if suffix not in READ_ONLY]


def with_few_harmonics(gaussians: Gaussians) -> Gaussians:
    """Random harmonics are nothing that a palette can hold; those of real surfaces are alike."""
    return replace(gaussians, shN=gaussians.shN[torch.arange(len(gaussians)) % 40])


SCENES: dict[str, Callable[[], Gaussians]] = {
    "surfaces, degree 3": lambda: with_few_harmonics(surfaces(900, seed=5)),
    # The first of their Gaussians are those that matter most.
    **{
        name: lambda name=name: formats.read(shared_scene(name))[:4_000]  # type: ignore[misc]
        for name in ("fox_opensplat.ply", "plant.splat", "academic_tarot_cards.splat")
    },
}


@cache
def scene_of(name: str) -> Gaussians:
    return replace(SCENES[name](), antialiased=False, comments=(), extras={})


@cache
def seen(name: str, sh_degree: int) -> list[Tensor]:
    """What a scene looks like from two sides, without the spherical harmonics above a degree."""
    return look(name, scene_of(name).with_sh_degree(min(sh_degree, scene_of(name).sh_degree)))


def look(name: str, gaussians: Gaussians) -> list[Tensor]:
    return [render(gaussians, camera).image.clamp(0, 1) for camera in orbit(scene_of(name), 2, width=160, height=120)]


@cache
def once(name: str, suffix: str, folder: Path) -> Gaussians:
    """A scene after a file of one format."""
    return through(scene_of(name), folder / f"once{suffix}")


def through(gaussians: Gaussians, path: Path) -> Gaussians:
    formats.write(gaussians, path, overwrite=True)
    return formats.read(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("registry")


@pytest.mark.parametrize("second", SUFFIXES)
@pytest.mark.parametrize("first", SUFFIXES)
@pytest.mark.parametrize("name", SCENES)
def test_a_scene_looks_the_same_after_any_two_formats(folder: Path, name: str, first: str, second: str) -> None:
    """Axes, colours, sizes and rotations agree; a turned axis or swapped colour leaves less than 25 dB."""
    found = through(once(name, first, folder), folder / f"twice{second}")
    assert len(found) == len(scene_of(name))
    expected = seen(name, found.sh_degree)
    errors = [float((a - b).square().mean()) for a, b in zip(look(name, found), expected, strict=True)]
    assert max(errors) < 1e-3  # 30 dB


def everything() -> Gaussians:
    scene = surfaces(50, antialiased=True)
    return replace(scene, extras={"object": torch.arange(50.0)}, comments=("by hand",))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_is_lost_is_exactly_what_is_said(tmp_path: Path, suffix: str) -> None:
    scene = everything()
    said = " ".join(formats.format_of(f"scene{suffix}").loses(scene))
    found = through(scene, tmp_path / f"scene{suffix}")
    assert (found.sh_degree == 3) is ("spherical harmonics" not in said)
    assert found.antialiased is ("anti-aliasing" not in said)
    assert ("object" in found.extras) is ("extra property" not in said)
    assert ("by hand" in found.comments) is ("comment" not in said)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_nothing_is_lost_of_a_scene_that_has_nothing_special(suffix: str) -> None:
    assert formats.format_of(f"scene{suffix}").loses(surfaces(3, sh_degree=0)) == ()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_is_read_by_the_format_that_wrote_it_whatever_it_is_called(tmp_path: Path, suffix: str) -> None:
    if suffix in (".splat", "meta.json"):
        pytest.skip(
            "it has no magic bytes" if suffix == ".splat" else "its images lie beside it under names of its own"
        )
    scene = surfaces(50)
    through(scene, tmp_path / f"scene{suffix}")
    (tmp_path / f"scene{suffix}").rename(tmp_path / "disguised")
    assert len(formats.read(tmp_path / "disguised")) == 50


@pytest.mark.parametrize("suffix", READ_ONLY)
def test_formats_that_are_only_read_say_so(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(SceneFileError, match=r"only reads|made of several scenes"):
        formats.write(surfaces(3), tmp_path / f"scene{suffix}")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_options_of_another_format_are_refused_and_nothing_is_written(tmp_path: Path, suffix: str) -> None:
    own = formats.format_of(f"scene{suffix}").options
    for options in {SogOptions, SpzOptions} - {own}:
        with pytest.raises(InputError, match="leave the options of S"):
            formats.write(surfaces(3), tmp_path / f"scene{suffix}", options=options())
    assert not any(tmp_path.iterdir())


def test_a_palette_has_as_many_entries_as_asked_for(tmp_path: Path) -> None:
    formats.write(surfaces(300), tmp_path / "scene.sog", options=SogOptions(palette_size=4))
    assert len(formats.read(tmp_path / "scene.sog").shN.flatten(1).unique(dim=0)) <= 4
    for size in (0, 65_537):
        with pytest.raises(InputError, match=f"palette_size is {size}"):
            SogOptions(palette_size=size)


def test_suffixes_pick_the_longest_that_fits() -> None:
    picked: Callable[[str], Format] = formats.format_of
    assert picked("a.compressed.ply").name == "compressed PLY"
    assert picked("a.ply").name == "PLY"
    assert picked("A.SPZ").name == "SPZ"
    assert picked("folder/meta.json").name == "SOG"
