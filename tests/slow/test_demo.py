"""The demo, shortened: the whole pipeline on the built-in capture, and what it leaves behind."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from leansplat.captures.synthetic import synthetic_capture
from leansplat.cli import main
from leansplat.demo import DemoConfig, DemoResult, demo
from leansplat.errors import InputError
from leansplat.evaluation import evaluate
from leansplat.formats import read
from leansplat.gaussians import empty

SHORT = DemoConfig(views=24, size=96, count=6000, iterations=600, finetune=200, through=100)
TINY = DemoConfig(views=9, size=32, count=40, iterations=30, rounds=1, every=1, finetune=0, through=2)


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> DemoResult:
    return demo(tmp_path_factory.mktemp("demo") / "demo", SHORT)


def test_training_learns_views_it_never_saw(result: DemoResult) -> None:
    nothing = evaluate(empty(), synthetic_capture(SHORT.views, SHORT.size), lpips=None, fps=False)
    assert len(result.trained.views) == SHORT.views // 8
    assert result.trained.psnr > nothing.psnr + 10


def test_trimming_leaves_exactly_a_quarter_and_costs_little_quality(result: DemoResult) -> None:
    assert result.trimmed.gaussians == round(result.trained.gaussians * 0.25)
    assert result.trimmed.psnr > result.trained.psnr - 1.5
    assert result.trimmed.bytes is not None
    assert result.trained.bytes is not None
    assert result.trimmed.bytes < 0.26 * result.trained.bytes


def test_the_numbers_are_those_of_the_files_it_points_to(result: DemoResult) -> None:
    capture = synthetic_capture(SHORT.views, SHORT.size)
    for run, evaluation in ((result.trained_run, result.trained), (result.trimmed_run, result.trimmed)):
        assert run.scene_path.stat().st_size == evaluation.bytes
        again = evaluate(read(run.scene_path), capture, lpips=None, fps=False)
        assert again.psnr == pytest.approx(evaluation.psnr, abs=1e-6)
        assert json.loads(run.metrics_path.read_text())["psnr"] == pytest.approx(evaluation.psnr)


def test_the_small_file_is_a_fraction_of_the_trimmed_scene_and_looks_like_it(result: DemoResult) -> None:
    assert result.small.bytes == result.file.stat().st_size
    assert result.trimmed.bytes is not None
    assert result.file.stat().st_size < 0.2 * result.trimmed.bytes
    assert result.small.gaussians == result.trimmed.gaussians
    assert result.small.psnr > result.trimmed.psnr - 0.5


def test_the_picture_shows_photo_trained_trimmed_and_small_side_by_side(result: DemoResult) -> None:
    pixels = np.asarray(Image.open(result.picture))
    size, gap = SHORT.size, 4
    assert pixels.shape == (3 * size + 2 * gap, 4 * size + 3 * gap, 3)
    first = synthetic_capture(SHORT.views, SHORT.size).test[0]
    assert np.array_equal(pixels[:size, :size], first.photo.numpy())
    photo, trained = pixels[:size, :size].astype(float), pixels[:size, size + gap : 2 * size + gap].astype(float)
    assert np.abs(photo - trained).mean() < 20
    assert (pixels[:, size : size + gap] == 255).all()


def test_an_earlier_demo_is_replaced_only_when_asked(tmp_path: Path) -> None:
    demo(tmp_path / "demo", TINY)
    before = (tmp_path / "demo" / "trained" / "log.jsonl").read_bytes()
    with pytest.raises(InputError, match="--overwrite"):
        demo(tmp_path / "demo", TINY)
    assert (tmp_path / "demo" / "trained" / "log.jsonl").read_bytes() == before
    demo(tmp_path / "demo", TINY, overwrite=True)


def test_the_command_prints_a_table_and_where_to_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("leansplat.demo.DemoConfig", lambda seed: TINY)
    assert main(["demo", "-o", str(tmp_path / "demo")]) == 0
    text = capsys.readouterr().out
    assert text.splitlines()[0].split() == ["Gaussians", "file", "PSNR", "SSIM", "frames/s"]
    for name in ("comparison.png", "trained/scene.ply", "trimmed/scene.ply", "small.sog"):
        assert str(tmp_path / "demo" / name) in text
        assert (tmp_path / "demo" / name).is_file()
