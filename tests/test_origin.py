"""Scenes and captures far from zero are as good as near it, and nothing changes for those that are near."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support.far_captures import ECEF, UTM, moved, write_colmap_binary, write_colmap_text, write_transforms
from support.inria_files import Training, camera_entry, random_scene
from support.tiny import blobs, ring_of_cameras, tiny_capture

from leansplat import captures, engines, formats
from leansplat.camera_paths import orbit
from leansplat.cameras import Camera
from leansplat.captures.capture import View
from leansplat.captures.inria_cameras import read_cameras
from leansplat.cli import main
from leansplat.compression import CompressionConfig, FineTuningConfig, compress
from leansplat.engines.cpu import render
from leansplat.evaluation import evaluate
from leansplat.formats import inria_checkpoint
from leansplat.gaussians import WORLD, Origin, concatenate
from leansplat.origin import origin_of_capture, origin_of_scene
from leansplat.paper.lottery import lottery_config, lottery_ticket
from leansplat.runs import hash_capture
from leansplat.training import TrainingConfig, train
from leansplat.training.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from leansplat.training.start import start_from
from leansplat.training.strategies import Densification
from leansplat.training.trainer import begin_training

CONFIG = replace(TrainingConfig().scaled(300), sh_degree=0, random_points=200)
FAR = [UTM, ECEF, (0.0, 0.0, 1e7), (1e9, -1e9, 1e9)]


def scaled(cameras: list[Camera], scale: float, offset: Origin) -> list[Camera]:
    """Cameras of a world `scale` times as large, moved by `offset`."""
    poses = [camera.world_to_camera.clone() for camera in cameras]
    for pose in poses:
        pose[:3, 3] = scale * pose[:3, 3] - pose[:3, :3] @ torch.tensor(offset, dtype=torch.float64)
    return [replace(camera, world_to_camera=pose) for camera, pose in zip(cameras, poses, strict=True)]


@pytest.mark.parametrize(
    ("scale", "offset"),
    [
        (1.0, (0.0, 0.0, 0.0)),
        (1.0, (40.0, -30.0, 5.0)),
        (1e6, (0.0, 0.0, 0.0)),
        (1e6, (4e6, 0.0, 4e6)),  # wide as far: float32 is as fine there as anywhere
        (1e-6, (0.0, 0.0, 1e-5)),
    ],
)
def test_an_ordinary_capture_keeps_its_own_zero(scale: float, offset: Origin) -> None:
    assert origin_of_capture(scaled(ring_of_cameras(10), scale, offset)) == WORLD


@pytest.mark.parametrize(
    ("scale", "offset"), [*((1.0, offset) for offset in FAR), (1e-6, (1.0, 2.0, 3.0)), (1e3, (6e8, 0.0, 0.0))]
)
def test_the_zero_of_a_far_capture_is_near_its_cameras(scale: float, offset: Origin) -> None:
    origin = origin_of_capture(scaled(ring_of_cameras(10), scale, offset))
    assert (torch.tensor(origin) - torch.tensor(offset)).abs().max() <= 4 * scale


def test_one_camera_that_is_far_off_does_not_decide_where_the_zero_is() -> None:
    near = ring_of_cameras(10)
    assert origin_of_capture([*near, *scaled(near[:1], 1.0, UTM)]) == WORLD
    far = scaled(near, 1.0, UTM)
    assert (torch.tensor(origin_of_capture([*far, near[0]])) - torch.tensor(UTM)).abs().max() <= 4


def test_cameras_at_one_spot_have_a_scene_as_large_as_its_points_are_away() -> None:
    """A panorama 300 units from zero in a landscape is nothing that float32 could not hold."""
    spot = scaled(ring_of_cameras(6), 1e-4, (300.0, 0.0, 0.0))
    landscape = torch.randn(50, 3, generator=torch.Generator().manual_seed(1)) * 100
    assert origin_of_capture(spot, landscape) == WORLD
    assert origin_of_capture(spot) != WORLD


def origin_of(positions: torch.Tensor, scales: torch.Tensor) -> Origin:
    return origin_of_scene(positions.numpy(), scales.numpy())


def test_a_scene_keeps_its_zero_unless_float32_is_coarse_for_its_gaussians() -> None:
    scene = blobs()
    assert origin_of(scene.means, scene.scales) == WORLD
    assert origin_of(scene.means[:1] + 100, scene.scales[:1]) == WORLD
    assert origin_of(1e6 * scene.means, scene.scales) == WORLD
    assert origin_of(scene.means[:0], scene.scales[:0]) == WORLD
    assert origin_of(torch.full((3, 3), float("nan")), scene.scales[:3]) == WORLD
    strays = torch.cat([scene.means, torch.full((20, 3), 5e8)])
    assert origin_of(strays, torch.cat([scene.scales, scene.scales[:20]])) == WORLD
    far = scene.means.double() + torch.tensor(UTM, dtype=torch.float64)
    origin = origin_of(far, scene.scales)
    assert (torch.tensor(origin) - torch.tensor(UTM)).abs().max() < 2
    flat = torch.cat([scene.scales[:, :2], torch.full((len(scene), 1), -torch.inf)], dim=1)
    assert origin_of(far, flat) == origin
    assert origin_of(torch.full((1, 3), 1e30), torch.full((1, 3), -740.0))[0] == pytest.approx(1e30)


@pytest.mark.parametrize("offset", FAR)
def test_a_far_scene_is_drawn_as_a_near_one(offset: Origin) -> None:
    """In images, gradients, effects of removal and sensitivity."""
    near, camera = blobs(), ring_of_cameras(3)[1]
    far, there = replace(near, origin=offset), scaled([camera], 1.0, offset)[0]
    photo = torch.zeros(camera.height, camera.width, 3)
    results = []
    for scene, view in ((near, camera), (far, there)):
        means = scene.means.clone().requires_grad_()
        image = render(replace(scene, means=means), view).image
        image.square().sum().backward()
        black = (0.0, 0.0, 0.0)
        model = engines.named("cpu").begin(scene, {})
        effects = model.removal_effects([View("view", view, photo)], black)
        found = engines.named("cpu").sensitivity(scene, [view], black)
        results.append([image.detach(), means.grad, *vars(effects).values(), found.colors, found.covariances])
    for first, second in zip(*results, strict=True):
        assert first.abs().max() > 0
        torch.testing.assert_close(second, first, rtol=1e-2, atol=1e-4 * float(first.abs().max()))


def test_an_orbit_is_around_the_scene_where_it_is() -> None:
    near = orbit(blobs(), 3)
    far = orbit(replace(blobs(), origin=UTM), 3)
    for first, second in zip(near, far, strict=True):
        assert torch.allclose(second.position - torch.tensor(UTM, dtype=torch.float64), first.position, atol=1e-6)


LAYOUTS = [write_colmap_binary, write_colmap_text, write_transforms]


@pytest.mark.parametrize("write", LAYOUTS)
def test_a_far_capture_is_read_and_trained_on_as_a_near_one(write: Callable[..., Path], tmp_path: Path, caplog) -> None:
    """Positions go through float64 in every layout, so that training starts, and ends, in the same places."""
    near = captures.load(write(tiny_capture(), tmp_path / "near"))
    far = captures.load(write(moved(tiny_capture(), UTM), tmp_path / "far"))
    caplog.set_level(logging.WARNING, "leansplat")
    first = begin_training(near, CONFIG).gaussians()
    assert not caplog.records
    second = begin_training(far, CONFIG).gaussians()
    assert "too far from zero for float32" in caplog.text
    assert torch.allclose(_sorted(second.world_means() - torch.tensor(UTM)), _sorted(first.means.double()), atol=1e-6)
    trained = [train(capture, CONFIG).gaussians for capture in (near, far)]
    quality = [evaluate(scene, capture, lpips=None, fps=False).psnr for scene, capture in zip(trained, (near, far))]  # noqa: B905
    assert quality[0] > 18
    assert quality[1] == pytest.approx(quality[0], abs=1.0)  # a chaotic system: bits differ, and quality does not


def _sorted(means: torch.Tensor) -> torch.Tensor:
    return means[means[:, 0].argsort()]


def test_as_many_gaussians_are_too_large_far_out_as_near() -> None:
    """What is large is removed by its distance to the cameras, which are in the world, as positions are not."""
    densification = Densification(after=10, until=31, every=10, prune_large_after=0, reset_every=15)
    config = replace(CONFIG, iterations=40, strategies=(densification,))

    def left(capture: captures.Capture, prune_size: float) -> int:
        return len(train(capture, config.adjusted(Densification, prune_size=prune_size)).gaussians)

    near = left(tiny_capture(), 0.06)
    assert near < 0.7 * left(tiny_capture(), 1.0)
    assert left(moved(tiny_capture(), UTM), 0.06) == pytest.approx(near, rel=0.1)


def test_random_points_of_a_far_capture_are_those_of_a_near_one() -> None:
    near = replace(tiny_capture(4), points=None)
    first, second = (begin_training(capture, CONFIG).gaussians() for capture in (near, moved(near, UTM)))
    there = second.world_means() - torch.tensor(UTM, dtype=torch.float64)
    assert torch.allclose(_sorted(there), _sorted(first.means.double()), atol=1e-5)


def test_points_that_are_read_in_float64_leave_the_hash_of_a_capture_as_it_was() -> None:
    """Runs begun before points were float64 can be resumed."""
    capture = tiny_capture(3)
    wide = replace(capture, points=replace(capture.points, positions=capture.points.positions.double()))
    assert hash_capture(wide) == hash_capture(capture)


def test_checkpoints_keep_the_origin_and_older_ones_have_none(tmp_path: Path) -> None:
    from safetensors import safe_open
    from safetensors.torch import save_file

    path = tmp_path / "a.safetensors"
    state = begin_training(moved(tiny_capture(3), UTM), CONFIG)
    assert state.model.facts.origin != WORLD
    write_checkpoint(path, Checkpoint(state, CONFIG))
    again = read_checkpoint(path).state
    assert again.model.facts.origin == state.model.facts.origin
    again.select(torch.arange(5))
    assert again.gaussians().origin == state.model.facts.origin
    with safe_open(path, framework="pt") as file:
        tensors, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
    counters = json.loads(metadata["counters"])
    del counters["origin"]
    save_file(tensors, path, {**metadata, "counters": json.dumps(counters)})
    assert read_checkpoint(path).state.model.facts.origin == WORLD


@pytest.mark.parametrize("ticket", ["authors", "fair"])
def test_a_lottery_ticket_lies_where_its_scene_does(ticket) -> None:
    state = begin_training(moved(tiny_capture(3), UTM), CONFIG)
    drawn = lottery_ticket(state, lottery_config(CONFIG, ticket), ticket).gaussians()
    expected = state.gaussians()
    assert drawn.origin == expected.origin
    assert torch.allclose(_sorted(drawn.means), _sorted(expected.means))


def test_a_scene_that_lies_elsewhere_than_the_capture_is_told(caplog) -> None:
    near, far = tiny_capture(3), moved(tiny_capture(3), UTM)
    scene = blobs()
    evaluate(scene, near, lpips=None, fps=False)
    evaluate(replace(scene, origin=UTM), far, lpips=None, fps=False)
    assert not caplog.records
    evaluate(replace(scene, origin=(552_000.0, 4_182_200.0, 0.0)).relative_to(UTM), far, lpips=None, fps=False)
    assert "the scene lies around (" not in caplog.text
    evaluate(scene, far, lpips=None, fps=False)
    assert "the scene lies around (" in caplog.text
    caplog.clear()
    evaluate(replace(scene, origin=ECEF), near, lpips=None, fps=False)
    assert "units away" in caplog.text


def test_a_checkpoint_of_3dgs_that_lies_far_out_is_a_start_where_it_is(tmp_path: Path, caplog) -> None:
    """Its float32 positions become exact differences; moments and statistics stay with their Gaussians."""
    scene = random_scene(count=60)
    world = (scene.means.double() + torch.tensor(UTM, dtype=torch.float64)).float()
    path = Training(replace(scene, means=world)).save(tmp_path / "chkpnt30000.pth")
    state = start_from(path, 1.0, 0).state()
    assert "positions are float32" in caplog.text
    assert state.model.facts.origin != WORLD
    found, expected = state.gaussians().world_means(), inria_checkpoint.load(path).gaussians.means.double()
    assert torch.equal(found[found[:, 2].argsort()], expected[expected[:, 2].argsort()])  # no two have the same height


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same capture near zero and far, each trained on, trimmed and evaluated by the commands."""
    folder = tmp_path_factory.mktemp("runs")
    for name, offset in (("near", WORLD), ("far", UTM)):
        photos = write_colmap_binary(moved(tiny_capture(8), offset), folder / name)
        run, trimmed = folder / f"{name}-run", folder / f"{name}-trimmed"
        assert main(["train", str(photos), "-o", str(run), "--iterations", "300", "--json"]) == 0
        trim = ["trim", str(run), "--capture", str(photos), "--keep", "60%", "--rounds", "2", "--every", "10"]
        assert main([*trim, "--finetune", "60", "-o", str(trimmed), "--json"]) == 0
    return folder


def held_out(folder: Path) -> float:
    return json.loads((folder / "metrics.json").read_text())["psnr"]


def test_run_folders_of_a_far_capture_are_as_good_as_of_a_near_one(runs: Path) -> None:
    for kind in ("run", "trimmed"):
        assert held_out(runs / f"far-{kind}") == pytest.approx(held_out(runs / f"near-{kind}"), abs=1.5)
    scene = formats.read(runs / "far-trimmed")
    assert (scene.world_means().median(dim=0).values - torch.tensor(UTM)).abs().max() < 2


@pytest.mark.parametrize("suffix", [".ply", ".sog", ".compressed.ply", ".npz", ".glb"])
def test_every_file_that_says_where_a_scene_is_fits_its_far_capture(runs: Path, suffix: str, tmp_path: Path, capsys):
    """Encoded by convert, or trained through by compress: eval finds what the run itself is worth."""
    made = tmp_path / f"scene{suffix}"
    capture = str(runs / "far")
    if suffix in (".ply", ".glb"):
        assert main(["convert", str(runs / "far-run"), str(made)]) == 0
    else:
        options = ["--capture", capture, "--steps", "20", "--no-lpips"]
        assert main(["compress", str(runs / "far-run"), "-o", str(made), *options]) == 0
    capsys.readouterr()
    assert main(["eval", str(made), "--capture", capture, "--lpips", "none", "--json"]) == 0
    answer = capsys.readouterr()
    assert "units away" not in answer.err
    assert json.loads(answer.out)["psnr"] > held_out(runs / "far-run") - 1


def test_an_spz_is_measured_in_place_and_later_said_to_be_elsewhere(runs: Path, tmp_path: Path, capsys) -> None:
    made, capture = tmp_path / "scene.spz", str(runs / "far")
    options = ["--capture", capture, "--steps", "20", "--no-lpips", "--json"]
    assert main(["compress", str(runs / "far-run"), "-o", str(made), *options]) == 0
    answer = capsys.readouterr()
    assert "SPZ cannot hold its origin (55203" in answer.err  # what to add to its positions
    assert json.loads(answer.out)["compressed"]["psnr"] > held_out(runs / "far-run") - 1
    assert main(["eval", str(made), "--capture", capture, "--lpips", "none"]) == 0
    assert "units away" in capsys.readouterr().err


def test_a_far_run_that_was_stopped_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    """Checkpoints of training and of compression know where the scene lies, SPZ's too, whose files do not."""
    capture = moved(tiny_capture(5), UTM)
    config = replace(CONFIG, checkpoint_every=150)
    run = tmp_path / "run"
    train(capture, config, run)
    whole = (run / "scene.ply").read_bytes()
    (run / "checkpoints" / "step_300.safetensors").unlink()
    train(capture, config, run, resume=True)
    assert (run / "scene.ply").read_bytes() == whole
    settings = CompressionConfig(fine_tuning=FineTuningConfig(steps=6, checkpoint_every=3))
    for suffix in (".spz", ".npz", ".sog"):
        made, log = tmp_path / f"scene{suffix}", tmp_path / f"compress{suffix}"
        compress(run, capture, made, settings, log)
        whole = made.read_bytes()
        (log / "checkpoints" / "step_6.safetensors").unlink()
        compress(run, capture, made, settings, log, resume=True, overwrite=True)
        assert made.read_bytes() == whole


def test_cameras_of_3dgs_are_read_in_float64(tmp_path: Path) -> None:
    near = ring_of_cameras(3)
    for name, cameras in (("near", near), ("far", scaled(near, 1.0, UTM))):
        entries = [camera_entry(camera, f"{index}.png") for index, camera in enumerate(cameras)]
        (tmp_path / f"{name}.json").write_text(json.dumps(entries))
    first, second = (read_cameras(tmp_path / f"{name}.json") for name in ("near", "far"))
    for name, camera in first.items():
        there = second[name].relative_to(UTM).world_to_camera
        assert torch.allclose(there, camera.world_to_camera, atol=1e-8)


def test_info_prints_the_extents_that_a_scene_has_in_the_world(runs: Path, capsys) -> None:
    assert main(["info", str(runs / "far-run")]) == 0
    text = capsys.readouterr().out
    line = next(line for line in text.splitlines() if line.startswith("centres"))
    low, high = (float(word.rstrip(",")) for word in (line.split()[1], line.split()[3]))
    assert UTM[0] - 20 < low < UTM[0] < high < UTM[0] + 20
    assert main(["info", str(runs / "far-run"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["bounds_min"][1] == pytest.approx(UTM[1], abs=20)


def test_pieces_of_a_scene_stay_where_they_are() -> None:
    scene = replace(blobs(), origin=UTM)
    other = scene.relative_to((552_000.0, 4_182_200.0, 0.0))
    assert torch.allclose(other.world_means(), scene.world_means(), atol=1e-5)
    assert scene[:3].origin == scene.detach().origin == scene.with_sh_degree(1).origin == scene.to("cpu").origin == UTM
    for engine in ("cpu", "torch"):
        assert engines.named(engine).begin(scene, {}).gaussians().origin == UTM
    both = concatenate([scene, other])
    assert both.origin == UTM
    assert torch.allclose(both.means[: len(scene)], both.means[len(scene) :], atol=1e-5)
    assert concatenate([blobs(), scene]).origin == UTM  # the one that needs it
    assert replace(scene, origin=(552_031, 4_182_230, 12)).origin == UTM
    with pytest.raises(ValueError, match="three finite numbers"):
        replace(scene, origin=(float("nan"), 0.0, 0.0))
