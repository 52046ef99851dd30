"""What the page draws is what `leansplat.render` renders: every format, degree and flag, and cameras of any kind.

The page's pixels are read back from its canvas. Most of what is left between the two are eight bits of colour.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.browser import Opened
from support.rendered_scenes import camera, needles, surfaces
from support.small_worlds import smaller_camera, smaller_scene

from leansplat import formats
from leansplat.cameras import Camera
from leansplat.captures.inria_cameras import read_cameras
from leansplat.gaussians import Gaussians
from leansplat.metrics.psnr import psnr
from leansplat.near_plane import NEAR
from leansplat.rendering import render
from leansplat.viewing import Viewing
from leansplat.viewing.opening import camera_json

ENOUGH = 38.0
SHARED = Path(__file__).parents[2] / "../shared/data/scenes"
OFF_CENTRE = camera(160, 120, off_centre=True)


@pytest.fixture
def viewing() -> Iterator[Viewing]:
    with Viewing() as served:
        yield served


def show(opened: Callable[..., Opened], viewing: Viewing, paths: list[Path], **options: Any) -> Opened:
    viewing.open([viewing.prepare(path) for path in paths], up="minus-y", **options)
    return opened(viewing.address).ready()


def agreement(page: Opened, side: int, path: Path, view: Camera, background: tuple[float, float, float]) -> float:
    """PSNR in dB between a side of the page, seen from a camera, and our own render of the same file."""
    scene = formats.read(path)
    given = camera_json(view, scene.arrays())
    page.do(
        "const [camera, side] = given; it.stage.setMode('one'); it.stage.choose(side); "
        "it.setSize(camera.width, camera.height); it.place(camera)",
        [given, side],
    )
    shown = page.picture()
    ours = render(scene, view, background=background).image.clamp(0, 1)
    assert float(ours.std()) > 0.02, "there is nothing to compare"
    return psnr(shown, ours)


def test_every_degree_and_the_antialiased_flag_agree_in_one_page(
    opened: Callable[..., Opened], viewing: Viewing, tmp_path: Path
) -> None:
    background = (1.0, 0.9, 0.3)
    scenes = {f"degree{degree}": surfaces(seed=degree, sh_degree=degree) for degree in range(4)}
    scenes |= {"antialiased": surfaces(antialiased=True), "needles": needles()}
    paths = [tmp_path / f"{name}.ply" for name in scenes]
    for path, scene in zip(paths, scenes.values(), strict=True):
        formats.write(scene, path)
    page = show(opened, viewing, paths, background=background)
    for side, path in enumerate(paths):
        assert agreement(page, side, path, OFF_CENTRE, background) > ENOUGH, path.name
    assert page.elsewhere() == page.errors == []


def test_the_antialiased_flag_changes_the_picture(
    opened: Callable[..., Opened], viewing: Viewing, tmp_path: Path
) -> None:
    paths = [tmp_path / "plain.ply", tmp_path / "antialiased.ply"]
    for path, flag in zip(paths, (False, True), strict=True):
        formats.write(surfaces(antialiased=flag), path)
    page = show(opened, viewing, paths)
    view = camera(40, 30)
    for side, path in enumerate(paths):
        assert agreement(page, side, path, view, (0.0, 0.0, 0.0)) > ENOUGH
        assert agreement(page, side, paths[1 - side], view, (0.0, 0.0, 0.0)) < ENOUGH


SUFFIXES = (".ply", ".compressed.ply", ".sog", ".spz", ".splat", ".glb", ".npz")


def test_every_format_agrees_with_what_it_holds(
    opened: Callable[..., Opened], viewing: Viewing, tmp_path: Path
) -> None:
    (tmp_path / "unbundled").mkdir()
    paths = [*(tmp_path / f"scene{suffix}" for suffix in SUFFIXES), tmp_path / "unbundled" / "meta.json"]
    for path in paths:
        formats.write(surfaces(2000, seed=5), path)
    page = show(opened, viewing, paths)
    for side, path in enumerate(paths):
        assert agreement(page, side, path, OFF_CENTRE, (0.0, 0.0, 0.0)) > ENOUGH, path.name


def test_a_scene_at_the_coordinates_of_a_map_agrees(
    opened: Callable[..., Opened], viewing: Viewing, tmp_path: Path
) -> None:
    far = (552_032.0, 4_182_232.0, 30.0)
    formats.write(replace(surfaces(), origin=far), tmp_path / "far.ply")
    page = show(opened, viewing, [tmp_path / "far.ply"])
    view = OFF_CENTRE.relative_to((-far[0], -far[1], -far[2]))
    assert agreement(page, 0, tmp_path / "far.ply", view, (0.0, 0.0, 0.0)) > ENOUGH


def test_a_scene_of_a_fraction_of_a_unit_agrees(
    opened: Callable[..., Opened], viewing: Viewing, tmp_path: Path
) -> None:
    small = 2.0**-8
    formats.write(smaller_scene(surfaces(), small), tmp_path / "small.ply")
    page = show(opened, viewing, [tmp_path / "small.ply"])
    view = replace(smaller_camera(OFF_CENTRE, small), near=small * NEAR)
    assert agreement(page, 0, tmp_path / "small.ply", view, (0.0, 0.0, 0.0)) > ENOUGH


def test_levels_of_detail_agree_at_their_finest(
    opened: Callable[..., Opened], viewing: Viewing, tmp_path: Path
) -> None:
    fine = surfaces(2000, seed=5)
    path = formats.write_levels([fine, fine[::4]], tmp_path / "levels")
    page = show(opened, viewing, [path])
    assert agreement(page, 0, path, OFF_CENTRE, (0.0, 0.0, 0.0)) > ENOUGH


def test_gaussians_that_are_not_finite_are_left_out(
    opened: Callable[..., Opened], viewing: Viewing, tmp_path: Path
) -> None:
    scene = surfaces()
    broken = replace(scene, means=scene.means.clone())
    broken.means[::50] = float("nan")
    formats.write(broken, tmp_path / "broken.ply")
    page = show(opened, viewing, [tmp_path / "broken.ply"])
    assert agreement(page, 0, tmp_path / "broken.ply", OFF_CENTRE, (0.0, 0.0, 0.0)) > ENOUGH


def framed(scene: Gaussians) -> Camera:
    """A view of a scene without cameras of its own, with the principal point off the middle."""
    from leansplat.camera_paths import orbit

    (view,) = orbit(scene, 1, width=240, height=180)
    K = view.K.clone()
    K[0, 2] += 31.0
    K[1, 2] -= 17.0
    return replace(view, K=K)


@pytest.mark.parametrize(
    "name",
    [
        "fox_opensplat.ply",
        *(pytest.param(name, marks=pytest.mark.long) for name in ("plant.splat", "academic_tarot_cards.splat")),
    ],
)
def test_real_scenes_of_other_tools_agree_in_every_format(
    opened: Callable[..., Opened], viewing: Viewing, tmp_path: Path, name: str
) -> None:
    given = SHARED / name
    if not given.is_file():
        pytest.skip(f"the real scene {name} is not on this machine")
    scene = formats.read(given)
    suffixes = (".compressed.ply", ".sog", ".spz") if scene.sh_degree else (".sog",)
    paths = [given, *(tmp_path / f"scene{suffix}" for suffix in suffixes)]
    for path in paths[1:]:
        formats.write(scene, path)
    cameras = given.with_suffix(".cameras.json")
    views = [framed(scene)]
    if cameras.is_file():
        views.append(next(iter(read_cameras(cameras, downscale=4).values())))
    page = show(opened, viewing, paths)
    for side, path in enumerate(paths):
        assert agreement(page, side, path, views[0], (0.0, 0.0, 0.0)) > ENOUGH, path.name
    assert agreement(page, 0, given, views[-1], (0.0, 0.0, 0.0)) > ENOUGH
