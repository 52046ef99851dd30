"""Levels of detail as they are written: read back here and by splat-transform, and the tree by what it promises."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree
from support import splat_transform
from support.patience import PATIENCE
from support.scene_comparison import angles, random_scene

from leansplat import formats
from leansplat.errors import InputError, SceneFileError
from leansplat.formats import LevelOptions, sog, streamed_sog
from leansplat.gaussians import Gaussians

OPTIONS = LevelOptions(chunk_gaussians=600, chunk_extent=4.0, chunk_min_gaussians=150)


def nested() -> list[Gaussians]:
    """Three levels; each coarser one is a part of the finer, a little moved, as after a tuning of its own."""
    levels = [replace(random_scene(2500, 1, seed=1), antialiased=True)]
    for seed, count in ((2, 700), (3, 90)):
        random = torch.Generator().manual_seed(seed)
        kept = levels[-1][torch.randperm(len(levels[-1]), generator=random)[:count]]
        levels.append(replace(kept, means=kept.means + 0.05 * torch.randn(count, 3, generator=random)))
    return levels


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return formats.write_levels(nested(), tmp_path_factory.mktemp("levels") / "web", options=OPTIONS)


def content(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def nodes(tree: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield tree
    for child in tree.get("children", []):
        yield from nodes(child)


def leaves(path: Path) -> list[dict[str, Any]]:
    return [node for node in nodes(content(path)["tree"]) if "lods" in node]


def parts(path: Path) -> list[Gaussians]:
    """The SOG scenes, in the order in which leaves number them."""
    return [formats.read(path.parent / name) for name in content(path)["filenames"]]


def assert_same_gaussians(found: Gaussians, expected: Gaussians) -> None:
    """As near as SOG's 8 and 16 bits are, whatever their order."""
    assert len(found) == len(expected)
    distances, rows = cKDTree(expected.means.numpy()).query(found.means.numpy())
    assert len(set(rows.tolist())) == len(found)
    assert distances.max() < 2e-3
    expected = expected[torch.from_numpy(rows)]
    assert angles(found.quats, expected.quats).max() < 2
    assert (found.scales - expected.scales).abs().max() < 0.15
    assert (found.opacities.sigmoid() - expected.opacities.sigmoid()).abs().max() < 1 / 255
    assert (found.sh0 - expected.sh0).abs().max() < 0.08
    assert (found.shN - expected.shN).square().mean().sqrt() < 0.1  # of 0.3; the palette is finer where more shows
    assert found.antialiased == expected.antialiased


@pytest.mark.parametrize("level", range(3))
def test_each_level_is_read_back_as_it_was_given(written: Path, level: int) -> None:
    assert_same_gaussians(formats.read(written, level=level), nested()[level])


@pytest.mark.parametrize("level", range(3))
def test_splat_transform_reads_each_level_as_leansplat_does(written: Path, tmp_path: Path, level: int) -> None:
    splat_transform.run("--select-lod", str(level), str(written), str(tmp_path / "level.ply"))
    theirs, ours = formats.read(tmp_path / "level.ply"), formats.read(written, level=level)
    theirs = replace(theirs, antialiased=ours.antialiased)  # which their .ply cannot say
    assert len(theirs) == len(nested()[level])
    _, rows = cKDTree(ours.means.numpy()).query(theirs.means.numpy())
    ours = ours[torch.from_numpy(rows)]
    for name in ("means", "scales", "sh0", "shN"):
        assert torch.allclose(getattr(theirs, name), getattr(ours, name), atol=1e-5), name
    assert torch.allclose(theirs.opacities.sigmoid(), ours.opacities.sigmoid(), atol=1e-5)
    assert angles(theirs.quats, ours.quats).max() < 0.05


def test_playcanvas_finds_every_leaf_and_file_of_each_level(written: Path) -> None:
    """By the engine's own class for such a manifest; what it draws needs a browser, see benchmarks/viewers.py."""
    folder = splat_transform.COMMAND.parents[3] / "playcanvas/build/playcanvas/src/scene/gsplat-unified"
    if shutil.which("node") is None or not folder.exists():
        pytest.skip("node or PlayCanvas's engine is not installed: run make node")
    script = """
        import { readFileSync } from "fs";
        const [engine, manifest] = process.argv.slice(1);
        const { GSplatOctree } = await import(engine);
        const octree = new GSplatOctree(manifest, JSON.parse(readFileSync(manifest)));
        const counts = Array(octree.lodLevels).fill(0);
        octree.nodes.forEach(node => node.lods.forEach((lod, level) => counts[level] += lod.count));
        console.log(JSON.stringify({ leaves: octree.nodes.length, counts, files: octree.files }));
    """
    command = ["node", "--input-type=module", "-e", script, str(folder / "gsplat-octree.js"), str(written)]
    found = json.loads(subprocess.run(command, capture_output=True, check=True, timeout=PATIENCE).stdout)
    assert found["leaves"] == len(leaves(written))
    assert found["counts"] == [2500, 700, 90]
    assert all(Path(file["url"]).exists() for file in found["files"])
    assert sorted({file["lodLevel"] for file in found["files"]}) == [0, 1, 2]


def test_leaves_share_out_the_rows_of_every_file(written: Path) -> None:
    described = content(written)
    assert described["counts"] == [2500, 700, 90]
    assert described["count"] == 3290
    assert described["lodLevels"] == 3
    rows: dict[int, list[tuple[int, int]]] = {}
    for leaf in leaves(written):
        for level, lod in leaf["lods"].items():
            assert described["filenames"][lod["file"]].startswith(f"{level}_")
            rows.setdefault(lod["file"], []).append((lod["offset"], lod["offset"] + lod["count"]))
    assert len(rows) == len(described["filenames"]) > 3
    for file, scene in enumerate(parts(written)):
        edges = sorted(rows[file])
        assert [start for start, _ in edges] == [0, *(end for _, end in edges[:-1])]
        assert edges[-1][1] == len(scene) <= OPTIONS.chunk_gaussians


def test_a_leaf_is_short_or_has_few_gaussians(written: Path) -> None:
    scenes = parts(written)
    found = leaves(written)
    assert len(found) > 8
    sides, counts = [], []
    for leaf in found:
        centres = torch.cat([scenes[lod["file"]][rows_of(lod)].means for lod in leaf["lods"].values()])
        sides.append(float((centres.max(dim=0).values - centres.min(dim=0).values).max()))
        counts.append(len(centres))
    assert all(side <= 4.01 or count <= 150 for side, count in zip(sides, counts, strict=True))
    assert max(counts) <= OPTIONS.chunk_gaussians
    assert min(counts) > 150 // 2 - 1  # it was worth cutting


def rows_of(lod: dict[str, int]) -> slice:
    return slice(lod["offset"], lod["offset"] + lod["count"])


def test_bounds_hold_all_that_is_drawn_of_their_splats(written: Path) -> None:
    """Of points on the ellipsoid where alpha falls to 1/255, none lies outside; and the box is no larger than that."""
    directions = torch.nn.functional.normalize(torch.randn(400, 3, generator=torch.Generator().manual_seed(4)), dim=1)
    scenes = parts(written)
    for leaf in leaves(written):
        lowest, highest = (torch.tensor(leaf["bound"][end], dtype=torch.float64) for end in ("min", "max"))
        points = []
        for lod in leaf["lods"].values():
            shown = scenes[lod["file"]][rows_of(lod)].activated()
            reach = (2 * (255 * shown.opacities.double()).clamp(min=1).log()).sqrt()
            local = reach[:, None, None] * shown.scales.double()[:, None] * directions.double()
            points.append((shown.means.double()[:, None] + turned(shown.quats.double(), local)).reshape(-1, 3))
        drawn = torch.cat(points)
        assert (drawn >= lowest - 1e-9).all()
        assert (drawn <= highest + 1e-9).all()
        size = highest - lowest
        assert (drawn.min(dim=0).values - lowest < 0.02 * size).all()
        assert (highest - drawn.max(dim=0).values < 0.02 * size).all()


def turned(quats: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """Points (N, M, 3) turned by quaternions (N, 4): p + 2 w (v x p) + 2 v x (v x p)."""
    real, vector = quats[:, None, :1], quats[:, None, 1:].expand_as(points)
    across = torch.linalg.cross(vector, points)
    return points + 2 * real * across + 2 * torch.linalg.cross(vector, across)


def test_the_bound_of_a_node_is_that_of_its_children(written: Path) -> None:
    inner = [node for node in nodes(content(written)["tree"]) if "children" in node]
    assert inner
    for node in inner:
        for end, function in (("min", np.min), ("max", np.max)):
            assert node["bound"][end] == function([child["bound"][end] for child in node["children"]], axis=0).tolist()


def test_a_level_that_has_nothing_in_a_leaf_is_not_listed_there(tmp_path: Path) -> None:
    fine = random_scene(400, 1, seed=5)
    coarse = fine[fine.means[:, 0] > 1.0]
    path = formats.write_levels([fine, coarse], tmp_path / "web", options=replace(OPTIONS, chunk_min_gaussians=20))
    listed = [len(leaf["lods"]) for leaf in leaves(path)]
    assert {1, 2} == set(listed)
    assert_same_gaussians(formats.read(path, level=1), coarse)


def test_leaves_are_cut_to_the_scene_whatever_its_units_are(tmp_path: Path) -> None:
    options = LevelOptions(chunk_min_gaussians=50)
    scene = random_scene(1000, 0, seed=6)
    found = []
    for name, factor in (("small", 1.0), ("large", 1024.0)):
        scaled = replace(scene, means=factor * scene.means, scales=scene.scales + np.log(factor))
        path = formats.write_levels([scaled], tmp_path / name, options=options)
        found.append([leaf["lods"]["0"]["count"] for leaf in leaves(path)])
    assert found[0] == found[1]
    assert len(found[0]) > 4


def test_levels_far_from_zero_share_the_origin_of_the_finest(tmp_path: Path) -> None:
    origin = (552032.0, 4182232.0, 0.0)
    fine, coarse, _ = (replace(level, origin=origin) for level in nested())
    moved = replace(coarse, means=coarse.means - torch.tensor([1.0, 2.0, 3.0]), origin=(552033.0, 4182234.0, 3.0))
    path = formats.write_levels([fine, moved], tmp_path / "web", options=OPTIONS)
    found = formats.read(path, level=1)
    assert found.origin == origin
    assert_same_gaussians(found, coarse)


def test_the_same_levels_give_the_same_bytes(written: Path, tmp_path: Path) -> None:
    again = formats.write_levels(nested(), tmp_path / "web", options=OPTIONS).parent
    names = {file.relative_to(again) for file in again.rglob("*") if file.is_file()}
    assert names == {file.relative_to(written.parent) for file in written.parent.rglob("*") if file.is_file()}
    assert all((again / name).read_bytes() == (written.parent / name).read_bytes() for name in names)


def test_a_folder_of_levels_is_replaced_as_a_whole_where_that_is_asked_for(tmp_path: Path) -> None:
    formats.write_levels(nested(), tmp_path / "web", options=OPTIONS)
    with pytest.raises(InputError, match="already exists; pass --overwrite"):
        formats.write_levels(nested()[2:], tmp_path / "web")
    path = formats.write_levels(nested()[2:], tmp_path / "web", overwrite=True)
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["0_0", "lod-meta.json"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["web"]


def test_nothing_else_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"mine")
    with pytest.raises(InputError, match=r"folder of something else, without a lod-meta\.json"):
        formats.write_levels(nested()[2:], tmp_path / "photos", overwrite=True)
    assert (tmp_path / "photos" / "a.jpg").read_bytes() == b"mine"


def test_a_failure_half_way_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_encoded, calls = sog.write_encoded, []

    def failing(encoded: sog.Encoded, path: Path, *, overwrite: bool = False) -> None:
        calls.append(path)
        if len(calls) == 3:
            raise RuntimeError
        write_encoded(encoded, path, overwrite=overwrite)

    monkeypatch.setattr(sog, "write_encoded", failing)
    with pytest.raises(RuntimeError):
        formats.write_levels(nested(), tmp_path / "web", options=OPTIONS)
    assert len(calls) == 3
    assert list(tmp_path.iterdir()) == []


def test_what_the_layout_has_no_place_for_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    scene = random_scene(50, 0, seed=7)
    path = formats.write_levels([replace(scene, extras={"label": torch.zeros(50)})], tmp_path / "web")
    assert f"{path}: SOG in levels cannot hold 1 extra property; this is lost" in caplog.text


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        ([], "a level of detail without Gaussians"),
        ([random_scene(9, 0), random_scene(0, 0)], "a level of detail without Gaussians"),
        ([random_scene(9, 0), random_scene(9, 0)], "9 Gaussians at level 1 and 9 at the finer one before it"),
        ([random_scene(9, 0), random_scene(20, 0)], "give the finest level first"),
    ],
    ids=["none", "an empty one", "as many", "the coarse first"],
)
def test_levels_that_are_none_are_refused_in_one_sentence(
    tmp_path: Path, levels: list[Gaussians], expected: str
) -> None:
    with pytest.raises(InputError, match=expected) as caught:
        formats.write_levels(levels, tmp_path / "web")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_what_no_level_can_hold_is_refused(tmp_path: Path) -> None:
    fine, coarse, _ = nested()
    coarse.means[3] = torch.nan
    with pytest.raises(SceneFileError, match="cannot hold the 1 of 700 Gaussians that have NaN"):
        formats.write_levels([fine, coarse], tmp_path / "web")


@pytest.mark.parametrize(
    "settings", [{"chunk_gaussians": 0}, {"chunk_min_gaussians": -1}, {"chunk_extent": 0.0}, {"chunk_extent": -1.0}]
)
def test_options_out_of_range_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=f"setting {next(iter(settings))} is"):
        LevelOptions(**settings)


def test_one_gaussian_is_a_level(tmp_path: Path) -> None:
    path = formats.write_levels([random_scene(1, 3)], tmp_path / "web")
    assert len(formats.read(path)) == 1
    assert streamed_sog.files(path)[0] == path
