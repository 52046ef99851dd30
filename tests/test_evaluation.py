"""Evaluation: what is measured, on which views, and what the JSON holds."""

from __future__ import annotations

import json
import logging
import math
from dataclasses import replace

import pytest
import torch

from leansplat.cameras import look_at
from leansplat.captures.capture import Capture, View
from leansplat.errors import CaptureError
from leansplat.evaluation import evaluate, evaluate_run
from leansplat.gaussians import Gaussians, empty
from leansplat.metrics import lpips_weights
from leansplat.runs import create_run


def view(name: str, photo: torch.Tensor) -> View:
    height, width = photo.shape[:2]
    return View(name, look_at((0, 0, -4), (0, 0, 0), (0, -1, 0), 0.9, width, height), photo)


def flat(level: int, size: int = 32) -> torch.Tensor:
    return torch.full((size, size, 3), level, dtype=torch.uint8)


def capture(*test: View, background: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Capture:
    return Capture("flat", (view("train.png", flat(10)),), test, None, background)


def wall(level: float) -> Gaussians:
    """One opaque grey Gaussian, so large that its middle covers the image evenly."""
    return Gaussians(
        means=torch.zeros(1, 3),
        quats=torch.tensor([[1.0, 0, 0, 0]]),
        scales=torch.tensor([[9.0, 9.0, -9.0]]),
        opacities=torch.tensor([20.0]),
        sh0=torch.full((1, 1, 3), (level - 0.5) / 0.28209479177387814),
        shN=torch.zeros(1, 0, 3),
    )


def test_psnr_of_a_flat_error_is_its_closed_form_and_the_mean_is_over_views() -> None:
    # Without Gaussians the render is the background, 0.2 = 51 / 255: off by 51 and by 102 levels of 255.
    evaluation = evaluate(
        empty(), capture(view("a.png", flat(102)), view("b.png", flat(153)), background=(0.2, 0.2, 0.2)), lpips=None
    )
    first, second = -20 * math.log10(51 / 255), -20 * math.log10(102 / 255)
    assert [score.psnr for score in evaluation.views] == pytest.approx([first, second], abs=1e-4)
    assert evaluation.psnr == pytest.approx((first + second) / 2, abs=1e-4)


def test_ssim_of_flat_images_is_its_closed_form() -> None:
    # Zero padding lowers both means near the border alike; away from it SSIM is (2 a b + C1) / (a^2 + b^2 + C1).
    size = 200
    evaluation = evaluate(empty(), capture(view("a.png", flat(51, size)), background=(0.4, 0.4, 0.4)), lpips=None)
    a, b, c1 = 0.2, 0.4, 0.01**2
    assert evaluation.ssim == pytest.approx((2 * a * b + c1) / (a * a + b * b + c1), abs=0.02)


def test_a_render_brighter_than_white_counts_as_white() -> None:
    evaluation = evaluate(wall(3.0), capture(view("a.png", flat(255))), lpips=None)
    # Alpha is at most 0.99, so one wall of level 3 renders as 2.97, and clamped as exactly 1.
    assert math.isinf(evaluation.psnr)
    assert evaluation.ssim == pytest.approx(1.0, abs=1e-5)


def test_an_infinite_psnr_is_null_in_json() -> None:
    values = evaluate(empty(), capture(view("a.png", flat(0))), lpips=None).to_json()
    assert values["psnr"] is None
    assert values["views"][0]["psnr"] is None
    json.dumps(values, allow_nan=False)


def test_json_has_exactly_the_keys_programs_rely_on() -> None:
    values = evaluate(wall(0.5), capture(view("a.png", flat(100))), lpips=None, file_size=1234).to_json()
    values = json.loads(json.dumps(values))
    assert set(values) == {
        "psnr", "ssim", "lpips", "lpips_net", "lpips_reason", "gaussians", "bytes", "fps", "views",
    }  # fmt: skip
    assert [set(score) for score in values["views"]] == [{"name", "psnr", "ssim", "lpips"}]
    assert values["views"][0]["name"] == "a.png"
    assert (values["gaussians"], values["bytes"]) == (1, 1234)
    assert values["fps"] > 0


def test_only_the_views_held_out_count_unless_asked() -> None:
    held_out = capture(view("a.png", flat(255)))
    assert [score.name for score in evaluate(empty(), held_out, lpips=None, fps=False).views] == ["a.png"]
    assert [score.name for score in evaluate(empty(), held_out, lpips=None, fps=False, split="train").views] == [
        "train.png"
    ]


def test_speed_is_null_when_it_is_not_measured() -> None:
    assert evaluate(empty(), capture(view("a.png", flat(9))), lpips=None, fps=False).fps is None


def test_a_capture_without_held_out_photos_is_refused_in_one_sentence() -> None:
    with pytest.raises(CaptureError, match=r"^capture 'flat' has no test views") as caught:
        evaluate(empty(), capture())
    assert "\n" not in str(caught.value)


def test_lpips_is_null_with_a_reason_when_it_is_not_asked_for() -> None:
    evaluation = evaluate(empty(), capture(view("a.png", flat(9))), lpips=None, fps=False)
    assert (evaluation.lpips, evaluation.lpips_net, evaluation.views[0].lpips) == (None, None, None)
    assert evaluation.lpips_reason == "LPIPS was not asked for"


def test_lpips_is_null_with_a_reason_when_its_weights_are_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lpips_weights, "find", lambda net: None)
    evaluation = evaluate(empty(), capture(view("a.png", flat(9))), fps=False)
    assert evaluation.lpips is None
    assert evaluation.lpips_reason is not None
    assert "leansplat download lpips" in evaluation.lpips_reason
    assert "\n" not in evaluation.lpips_reason
    assert evaluation.psnr > 0


def test_lpips_is_null_with_a_reason_for_views_too_small_for_the_network() -> None:
    evaluation = evaluate(empty(), capture(view("a.png", flat(9, size=8))), lpips="alex", fps=False)
    assert evaluation.lpips is None
    assert evaluation.lpips_reason == "LPIPS with alex needs views of 31x31 pixels or more"


@pytest.mark.skipif(lpips_weights.find("vgg") is None, reason="LPIPS weights are not here; `make lpips` fetches them")
def test_lpips_names_its_network_and_range_and_is_zero_for_a_perfect_render() -> None:
    evaluation = evaluate(empty(), capture(view("a.png", flat(0))), fps=False)
    assert evaluation.lpips_net == "vgg, [0,1]"
    assert evaluation.lpips_reason is None
    assert evaluation.lpips == pytest.approx(0.0, abs=1e-6)


def test_evaluating_changes_neither_scene_nor_capture() -> None:
    scene, held_out = wall(0.5), capture(view("a.png", flat(100)))
    before, photo = replace(scene, means=scene.means.clone()), held_out.test[0].photo.clone()
    evaluate(scene, held_out, lpips=None)
    assert torch.equal(scene.means, before.means)
    assert torch.equal(held_out.test[0].photo, photo)


def test_a_run_keeps_its_evaluation_as_metrics_json(tmp_path) -> None:
    run = create_run(tmp_path / "run", "train", {}, {}, seed=0)
    run.write_scene(wall(0.5))
    evaluation = evaluate_run(run, wall(0.5), capture(view("a.png", flat(100))), lpips=None)
    assert evaluation is not None
    assert json.loads(run.metrics_path.read_text()) == json.loads(json.dumps(evaluation.to_json()))
    assert evaluation.bytes == run.scene_path.stat().st_size


def test_a_run_on_a_capture_without_held_out_photos_gets_no_metrics(tmp_path) -> None:
    run = create_run(tmp_path / "run", "train", {}, {}, seed=0)
    run.write_scene(wall(0.5))
    with pytest.raises(CaptureError):
        evaluate_run(run, wall(0.5), capture(), lpips=None)
    assert not run.metrics_path.exists()


def test_views_that_show_nothing_of_the_scene_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    photo, black = view("a.png", flat(102)), view("b.png", flat(0))
    behind = replace(wall(0.4), means=torch.tensor([[0.0, 0.0, -4000.0]]), scales=torch.zeros(1, 3))
    with caplog.at_level(logging.WARNING, "leansplat"):
        evaluate(behind, capture(photo, black), lpips=None, fps=False)
    assert "1 of 2 test views show nothing of the scene (first: a.png)" in caplog.text
    caplog.clear()
    mask = torch.zeros(32, 32, dtype=torch.bool)
    mask[0, 0] = True
    black_where_it_counts = replace(photo, photo=photo.photo * ~mask[..., None], mask=mask)
    evaluate(behind, capture(black_where_it_counts, black), lpips=None, fps=False)
    evaluate(wall(0.4), capture(photo, black), lpips=None, fps=False)
    assert not caplog.text
