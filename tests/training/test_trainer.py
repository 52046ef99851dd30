"""`train`: what it learns, what it writes, and that an interrupted run ends as if it had not been."""

from __future__ import annotations

import json
import logging
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support.tiny import blobs, distant_capture, tiny_capture

from leansplat.cameras import look_at
from leansplat.engines.cpu import model as model_module
from leansplat.engines.cpu import render
from leansplat.engines.cpu.model import CpuModel
from leansplat.errors import CaptureError, RunError
from leansplat.gaussians import TENSOR_NAMES, Gaussians
from leansplat.metrics.loss import photometric_loss
from leansplat.runs import open_run
from leansplat.training import TrainingConfig, TrainingState, schedule, train, training_step
from leansplat.training import trainer as trainer_module
from leansplat.training.checkpoint import read_checkpoint
from leansplat.training.strategies import Densification, FaintPruning
from leansplat.training.trainer import begin_training

CAPTURE = tiny_capture()
CONFIG = replace(TrainingConfig().scaled(90), sh_degree=1, checkpoint_every=20).adjusted(
    Densification, every=3, reset_every=9, prune_large_after=3
)


def assert_same(first: Gaussians, second: Gaussians) -> None:
    for name in TENSOR_NAMES:
        assert torch.equal(getattr(first, name), getattr(second, name)), name


class KilledError(Exception):
    pass


def kill_at(step: int):  # type: ignore[no-untyped-def]
    def after_step(state: TrainingState) -> None:
        if state.step == step:
            raise KilledError

    return after_step


def events_without_times(folder: Path) -> list[dict]:
    kept = [event for event in open_run(folder).events() if event["event"] != "resumed"]
    return [{name: value for name, value in event.items() if name != "seconds"} for event in kept]


def test_the_loss_falls() -> None:
    losses: list[float] = []
    train(CAPTURE, CONFIG, progress=lambda step, total, values: losses.append(values["loss"]))
    assert len(losses) == 9
    assert losses[-1] < 0.7 * losses[0]


def test_progress_counts_to_the_end() -> None:
    steps: list[tuple[int, int]] = []
    train(CAPTURE, CONFIG.scaled(25), progress=lambda step, total, values: steps.append((step, total)))
    assert steps == [(10, 25), (20, 25), (25, 25)]


def test_the_same_seed_gives_the_same_bits_and_another_does_not() -> None:
    first, again = train(CAPTURE, CONFIG).gaussians, train(CAPTURE, CONFIG).gaussians
    assert_same(first, again)
    other = train(CAPTURE, replace(CONFIG, seed=1)).gaussians
    assert first.means.shape != other.means.shape or not torch.equal(first.means, other.means)


@pytest.mark.parametrize("step", [7, 20, 33, 59, 90])
def test_a_run_that_was_killed_and_resumed_ends_with_the_same_bits(tmp_path: Path, step: int) -> None:
    whole = train(CAPTURE, CONFIG, tmp_path / "whole")
    with pytest.raises(KilledError):
        train(CAPTURE, CONFIG, tmp_path / "killed", after_step=kill_at(step))
    resumed = train(CAPTURE, run=tmp_path / "killed", resume=True)
    assert_same(whole.gaussians, resumed.gaussians)
    assert_same(whole.state.model.moments().second, resumed.state.model.moments().second)
    assert events_without_times(tmp_path / "killed") == events_without_times(tmp_path / "whole")
    assert (tmp_path / "killed" / "scene.ply").read_bytes() == (tmp_path / "whole" / "scene.ply").read_bytes()


def test_a_run_folder_holds_settings_log_checkpoints_and_scene(tmp_path: Path) -> None:
    result = train(CAPTURE, CONFIG, tmp_path / "run")
    run = open_run(tmp_path / "run")
    assert TrainingConfig.from_json(run.config["settings"]["training"]) == CONFIG
    assert run.checkpoints() == [80, 90]
    assert run.scene_path.is_file()
    events = run.events()
    assert events[-1]["event"] == "finished"
    assert events[-1]["gaussians"] == len(result.gaussians)
    assert {"progress", "densified", "opacities_reset"} <= {event["event"] for event in events}
    assert_same(read_checkpoint(run.checkpoint_path(90)).state.gaussians(), result.gaussians)


def test_logged_counts_add_up(tmp_path: Path) -> None:
    train(CAPTURE, CONFIG, tmp_path / "run")
    count = 30  # points of the capture
    for event in open_run(tmp_path / "run").events():
        if event["event"] == "densified":
            count += event["cloned"] + 2 * event["split"] - event["split"] - event["pruned"]
            assert event["gaussians"] == count


def test_without_a_run_folder_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    train(CAPTURE, CONFIG.scaled(10))
    assert list(tmp_path.iterdir()) == []


def test_an_earlier_run_is_not_overwritten_unless_asked(tmp_path: Path) -> None:
    short = CONFIG.scaled(5)
    train(CAPTURE, short, tmp_path / "run")
    with pytest.raises(RunError, match="not empty"):
        train(CAPTURE, short, tmp_path / "run")
    train(CAPTURE, CONFIG.scaled(6), tmp_path / "run", overwrite=True)
    assert open_run(tmp_path / "run").checkpoints() == [6]


def test_resuming_with_other_settings_names_them(tmp_path: Path) -> None:
    train(CAPTURE, CONFIG.scaled(5), tmp_path / "run")
    with pytest.raises(RunError, match=r"other settings.*seed"):
        train(CAPTURE, replace(CONFIG.scaled(5), seed=3), tmp_path / "run", resume=True)


def test_resuming_with_another_capture_is_refused(tmp_path: Path) -> None:
    train(CAPTURE, CONFIG.scaled(5), tmp_path / "run")
    with pytest.raises(RunError, match="another capture"):
        train(tiny_capture(views=9), run=tmp_path / "run", resume=True)


def test_resuming_a_run_of_another_command_is_refused(tmp_path: Path) -> None:
    train(CAPTURE, CONFIG.scaled(5), tmp_path / "run")
    path = tmp_path / "run" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"command": "trim"}))
    with pytest.raises(RunError, match="trim"):
        train(CAPTURE, run=tmp_path / "run", resume=True)


def test_resuming_with_damaged_settings_names_the_file(tmp_path: Path) -> None:
    train(CAPTURE, CONFIG.scaled(5), tmp_path / "run")
    path = tmp_path / "run" / "config.json"
    path.write_text(path.read_text().replace('"sh_degree"', '"sh_degre"'))
    with pytest.raises(RunError, match=r"config\.json is damaged .*sh_degre"):
        train(CAPTURE, run=tmp_path / "run", resume=True)


def test_resuming_needs_a_run_folder(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no run folder"):
        train(CAPTURE, CONFIG, resume=True)
    (tmp_path / "notes.txt").touch()
    with pytest.raises(RunError, match="not a run folder"):
        train(CAPTURE, CONFIG, tmp_path, resume=True)


def test_a_capture_without_training_views_is_refused() -> None:
    with pytest.raises(CaptureError, match="no training views"):
        train(replace(CAPTURE, train=()), CONFIG)


def test_losing_every_gaussian_ends_the_run_with_a_sentence_that_says_why() -> None:
    with pytest.raises(RunError, match=r"no Gaussian is left after step 3: 0 .* too large .* and 30 .* transparent"):
        train(CAPTURE, CONFIG.adjusted(Densification, prune_opacity=1.0, gradient=1.0))
    tiny = CONFIG.adjusted(Densification, prune_size=1e-6, prune_large_after=0, reset_every=1, gradient=1.0)
    with pytest.raises(RunError, match=r"no Gaussian is left after step 3: 30 .* too large .* and 0 .* transparent"):
        train(CAPTURE, tiny)


def test_losing_most_gaussians_for_their_size_warns(caplog: pytest.LogCaptureFixture) -> None:
    start = begin_training(CAPTURE, CONFIG)
    size = start.gaussians().scales.amax(dim=1).exp().sort().values
    limit = float(size[5]) / CAPTURE.extent
    settings = {"prune_size": limit, "prune_large_after": 0, "reset_every": 2, "gradient": 1.0, "until": 4}
    with caplog.at_level(logging.WARNING, "leansplat"):
        train(CAPTURE, CONFIG.adjusted(Densification, **settings), start=start)
    assert len(caplog.messages) == 1
    assert re.match(r"step 3 removed 2\d Gaussians for their size and left \d; ", caplog.messages[0])
    caplog.clear()
    train(CAPTURE, CONFIG)
    assert caplog.messages == []


@pytest.mark.parametrize("iterations", [300, 1000])
def test_short_trainings_learn_a_sparse_distant_scene(iterations: int, tmp_path: Path) -> None:
    capture = distant_capture()
    config = TrainingConfig(sh_degree=0).scaled(iterations)
    size = begin_training(capture, config).gaussians().scales.amax(dim=1).exp()
    assert float(size.min()) > Densification().prune_size * capture.extent
    scene = train(capture, config, tmp_path / "run").gaussians
    assert len(scene) > len(size)
    assert all(event.get("large", 0) == 0 for event in open_run(tmp_path / "run").events())
    for view in capture.test:
        photo = view.photo / 255
        image = render(scene, view.camera).image.detach().clamp(0, 1)
        # The mean colour is what is left to guess where a scene was deleted.
        guess = ((photo - photo.mean(dim=(0, 1))) ** 2).mean()
        assert ((photo - image) ** 2).mean() < 0.25 * guess


def test_a_loss_that_is_not_finite_ends_the_run_with_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_module, "loss_and_gradient", lambda image, photo, weight, mask: (float("nan"), None))
    with pytest.raises(RunError, match="loss is nan at step 1"):
        train(CAPTURE, CONFIG)


def test_every_view_is_used_once_before_any_comes_again() -> None:
    state = TrainingState.begin(train(CAPTURE, CONFIG.scaled(1)).gaussians, CONFIG, CAPTURE.extent)
    rounds = [[state.next_view(8) for _ in range(8)] for _ in range(3)]
    assert all(sorted(each) == list(range(8)) for each in rounds)
    assert rounds[0] != rounds[1]


def test_a_random_background_is_a_new_colour_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    backgrounds = []

    def recording(state, view, config, background, **options):  # type: ignore[no-untyped-def]
        backgrounds.append(background)
        return training_step(state, view, config, background, **options)

    monkeypatch.setattr(trainer_module, "training_step", recording)
    train(CAPTURE, CONFIG.scaled(5))
    assert set(backgrounds) == {(0.0, 0.0, 0.0)}
    backgrounds.clear()
    train(CAPTURE, replace(CONFIG.scaled(5), random_background=True))
    assert len(set(backgrounds)) == 5


@pytest.mark.parametrize("antialiased", [False, True])
def test_a_step_is_render_loss_gradient_and_adam(antialiased: bool) -> None:
    config = replace(CONFIG, sh_degree_every=2, ssim_weight=0.3, antialiased=antialiased)
    # Elongated and rotated, so that no parameter has a gradient of rounding errors only, which Adam would blow up.
    start = replace(
        begin_training(CAPTURE, config).gaussians(),
        scales=torch.tensor([0.3, 0.15, 0.08]).log().repeat(30, 1),
        quats=torch.randn(30, 4, generator=torch.Generator().manual_seed(0)),
    )
    state, expected = (TrainingState.begin(start, config, CAPTURE.extent) for _ in range(2))
    background = (0.2, 0.4, 0.6)
    for step, view in enumerate(CAPTURE.train[:4], start=1):
        loss = training_step(state, view, config, background, statistics=state.statistics)

        adam = expected.model
        assert isinstance(adam, CpuModel)
        adam.packed.data.requires_grad_()
        degree, rate = schedule.sh_degree(config, step), schedule.position_rate(config, step, CAPTURE.extent)
        adam.set_rate("means", rate)
        rendering = render(
            adam.packed, view.camera, background=background, sh_degree=degree, statistics=expected.statistics
        )
        expected_loss = photometric_loss(rendering.image, view.photo, 0.3)
        (gradient,) = torch.autograd.grad(expected_loss, adam.packed.data)
        adam.packed.data.requires_grad_(False)
        adam.update(gradient)
        assert loss == pytest.approx(float(expected_loss.detach()), rel=1e-6)
    assert state.step == state.model.facts.steps == 4
    for name, wanted in adam.tensors().items():
        found = state.model.tensors()[name]
        scale = wanted.abs().amax(dim=(0, 2))
        assert bool(((found - wanted).abs().amax(dim=(0, 2)) <= 1e-4 * scale).all()), name
    assert bool(adam.first_moment[0].any(dim=1).all())
    for name in ("views_seen", "max_radius", "gradient_sum"):
        torch.testing.assert_close(getattr(state.statistics, name), getattr(expected.statistics, name))


def test_selecting_keeps_statistics_and_moments_with_their_gaussians() -> None:
    state = train(CAPTURE, CONFIG.scaled(10)).state
    state.statistics.gradient_sum.copy_(torch.arange(len(state.model), dtype=torch.float32))
    before = state.gaussians()
    rows = torch.tensor([3, 1, 2])
    state.select(rows)
    assert state.statistics.gradient_sum.tolist() == [3, 1, 2]
    assert_same(state.gaussians(), before[rows])


def test_an_antialiased_scene_stays_one() -> None:
    assert train(CAPTURE, replace(CONFIG.scaled(3), antialiased=True)).gaussians.antialiased


def test_pruning_by_opacity_goes_on_after_densification_where_asked(tmp_path: Path) -> None:
    config = CONFIG.adjusted(FaintPruning, start=45, until=75, every=3, opacity=0.01)
    train(CAPTURE, config, tmp_path / "run")
    events = [event for event in open_run(tmp_path / "run").events() if event["event"] == "faint_removed"]
    assert events
    assert all(45 <= event["step"] < 75 for event in events)
    assert all(event["step"] % 3 == 0 for event in events)
    plain = train(CAPTURE, CONFIG)
    assert events[-1]["gaussians"] < len(plain.gaussians)


def test_views_that_show_nothing_are_counted_after_training(caplog: pytest.LogCaptureFixture) -> None:
    away = look_at((4, 0, 0), (9, 0, 0), (0, 0, 1), 0.7, 40, 40)
    black = torch.zeros_like(CAPTURE.train[0].photo)
    views = list(CAPTURE.train)
    views[2] = replace(views[2], camera=away)
    views[5] = replace(views[5], camera=away, photo=black)  # which is right to show nothing
    scene = replace(CAPTURE, train=tuple(views))
    start = TrainingState.begin(blobs(), CONFIG, CAPTURE.extent)
    with caplog.at_level(logging.WARNING, "leansplat"):
        train(scene, CONFIG.scaled(2), start=start)
    assert f"1 of 8 training views show nothing of the scene (first: {views[2].name})" in caplog.text
    caplog.clear()
    train(CAPTURE, CONFIG.scaled(2))
    assert "show nothing" not in caplog.text


def test_one_camera_far_away_moves_no_rates_and_sizes() -> None:
    """It used to multiply every rate and size by hundreds, all of which go by the extent."""
    far = replace(CAPTURE.train[0], camera=look_at((3000, 0, 0), (0, 0, 0), (0, 0, 1), 0.7, 40, 40))
    others = CAPTURE.train[1:]
    assert replace(CAPTURE, train=(far, *others)).extent == pytest.approx(replace(CAPTURE, train=others).extent)
