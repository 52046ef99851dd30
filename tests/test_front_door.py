"""What a script gets from `import leansplat` alone: rendering, and work on files and folders as on values."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support.capture_folder import write_nerfstudio
from support.rendered_scenes import camera, surfaces
from support.tiny import tiny_capture

import leansplat
from leansplat.runs import open_run

SHORT = leansplat.TrimmingConfig(keep=0.5, rounds=2, every=3, finetune=4, checkpoint_every=5)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_nerfstudio(tiny_capture(), tmp_path_factory.mktemp("photos") / "blobs")


@pytest.fixture(scope="module")
def trained(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder of a training on the folder of photos, at half their size."""
    folder = tmp_path_factory.mktemp("runs") / "trained"
    recipe = replace(leansplat.TrainingConfig().scaled(12), random_points=50, sh_degree=0)
    capture = leansplat.load_capture(photos, downscale=2, background=(1.0, 1.0, 1.0))
    settings = {"downscale": 2}
    leansplat.train(capture, recipe, folder, settings=settings)
    return folder


def test_a_scene_is_rendered_as_gaussians_as_a_file_and_prepared(tmp_path: Path) -> None:
    scene = surfaces(80, seed=50)
    leansplat.write(scene, tmp_path / "scene.ply")
    options = {"background": (0.1, 0.2, 0.3), "sh_degree": 2, "depth": "median"}
    views = [
        leansplat.render(given, camera(), **options)  # type: ignore[arg-type]
        for given in (scene, tmp_path / "scene.ply", str(tmp_path / "scene.ply"))
    ]
    views.append(leansplat.render(leansplat.prepare(scene), camera(), **options))
    assert views[0].depth is not None
    assert views[0].depth.max() > 1
    for view in views[1:]:
        assert all(torch.equal(mine, first) for mine, first in zip(view, views[0], strict=True))


def test_gradients_reach_gaussians_that_require_them() -> None:
    scene = surfaces(80, seed=51)
    scene.means.requires_grad_()
    leansplat.render(scene, camera(), depth="expected").image.sum().backward()
    assert scene.means.grad is not None
    assert scene.means.grad.abs().sum() > 0
    assert not leansplat.prepare(scene).render(camera()).image.requires_grad


def test_errors_are_caught_by_the_names_of_the_front_door(tmp_path: Path) -> None:
    with pytest.raises(leansplat.SceneFileError, match=r"nothing\.ply does not exist"):
        leansplat.render(tmp_path / "nothing.ply", camera())
    assert issubclass(leansplat.SceneFileError, leansplat.InputError)
    assert issubclass(leansplat.InputError, leansplat.LeansplatError)


def test_a_scene_is_evaluated_by_paths_alone_as_it_was_trained(
    trained: Path, photos: Path, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[tuple[int, int]] = []
    found = leansplat.evaluate(
        trained, photos, lpips=None, fps=False, progress=lambda done, total, _: told.append((done, total))
    )
    capture = leansplat.load_capture(photos, downscale=2, background=(1.0, 1.0, 1.0))
    expected = leansplat.evaluate(leansplat.read(trained), capture, lpips=None, fps=False)
    assert found.psnr == expected.psnr
    assert found.bytes == (trained / "scene.ply").stat().st_size
    assert expected.bytes is None
    assert "says: background white, downscale 2" in caplog.text
    assert told == [(1, 2), (2, 2)]


def test_another_background_than_that_of_training_is_told(
    trained: Path, photos: Path, caplog: pytest.LogCaptureFixture
) -> None:
    leansplat.evaluate(trained, leansplat.load_capture(photos), lpips=None, fps=False)
    assert "trained on a white background, not on black" in caplog.text


def test_training_on_a_folder_of_photos_is_training_on_its_capture(photos: Path, tmp_path: Path) -> None:
    recipe = replace(leansplat.TrainingConfig().scaled(12), random_points=50, sh_degree=0)
    by_path = leansplat.train(photos, recipe, tmp_path / "run").gaussians
    by_value = leansplat.train(leansplat.load_capture(photos), recipe).gaussians
    assert torch.equal(by_path.means, by_value.means)
    assert open_run(tmp_path / "run").config["settings"]["capture"] == str(photos)
    leansplat.train(photos, run=tmp_path / "run", resume=True)


def test_trimming_by_paths_alone_is_as_the_scene_was_trained_and_is_resumed_without_a_config(
    trained: Path, photos: Path, tmp_path: Path
) -> None:
    whole = leansplat.trim(trained, photos, SHORT, tmp_path / "whole").gaussians
    run = open_run(tmp_path / "whole")
    assert run.config["settings"]["downscale"] == 2
    assert run.config["settings"]["background"] == [1.0, 1.0, 1.0]

    class StoppedError(Exception):
        pass

    def stop(done: int, total: int, values: object) -> None:
        raise StoppedError

    with pytest.raises(StoppedError):
        leansplat.trim(trained, photos, SHORT, tmp_path / "stopped", progress=stop)
    resumed = leansplat.trim(trained, photos, run=tmp_path / "stopped", resume=True).gaussians
    assert torch.equal(resumed.means, whole.means)
    assert len(resumed) == len(whole)


def test_compression_by_paths_alone_is_resumed_without_a_config(trained: Path, photos: Path, tmp_path: Path) -> None:
    short = leansplat.compression.FineTuningConfig(steps=4, checkpoint_every=2)
    config = leansplat.CompressionConfig(fine_tuning=short, sh_degree=0)
    first = leansplat.compress(trained, photos, tmp_path / "a.spz", config, tmp_path / "run")
    again = leansplat.compress(trained, photos, tmp_path / "a.spz", run=tmp_path / "run", resume=True, overwrite=True)
    assert torch.equal(first.gaussians.means, again.gaussians.means)
    assert open_run(tmp_path / "run").config["settings"]["downscale"] == 2


def test_trimming_without_a_config_says_what_it_needs(trained: Path, photos: Path) -> None:
    with pytest.raises(leansplat.InputError, match=r"TrimmingConfig\(keep=0.25\)"):
        leansplat.trim(trained, photos)
