"""`trim`: what it removes, what it keeps aligned, what it tells, and that an interrupted run ends the same."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from support.tiny import tiny_capture

from leansplat import engines, formats
from leansplat.engines.cpu.model import CpuModel
from leansplat.engines.cpu.packed import OPACITIES
from leansplat.engines.statistics import ViewStatistics
from leansplat.errors import InputError, RunError
from leansplat.evaluation import evaluate
from leansplat.gaussians import TENSOR_NAMES, Gaussians, concatenate
from leansplat.pruning import TrimmingConfig, trim, trimmer
from leansplat.pruning.criteria import CRITERIA
from leansplat.pruning.evidence import Evidence
from leansplat.pruning.schedule import EASED, PAPERS
from leansplat.runs import open_run
from leansplat.training import TrainingConfig, lean, train
from leansplat.training.checkpoint import read_checkpoint
from leansplat.training.start import start_from
from leansplat.training.state import TrainingState, training_step
from leansplat.training.strategies import Densification

CAPTURE = tiny_capture()
TRAINING = replace(TrainingConfig().scaled(120), sh_degree=1).adjusted(Densification, every=5)
SHORT = {"rounds": 3, "every": 4, "finetune": 8, "checkpoint_every": 5}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder of a short training."""
    folder = tmp_path_factory.mktemp("runs") / "trained"
    train(CAPTURE, TRAINING, folder)
    return folder


def assert_same(first: Gaussians, second: Gaussians) -> None:
    for name in TENSOR_NAMES:
        assert torch.equal(getattr(first, name), getattr(second, name)), name


def rounds_of(folder: Path) -> list[dict]:
    return [event for event in open_run(folder).events() if event["event"] == "round"]


@pytest.mark.parametrize("criterion", sorted(CRITERIA))
def test_keep_and_count_are_hit_exactly(trained: Path, criterion: str) -> None:
    before = len(formats.read(trained))
    result = trim(trained, CAPTURE, TrimmingConfig(keep=0.25, criterion=criterion, **SHORT))
    assert len(result.gaussians) == round(0.25 * before)
    assert len(trim(trained, CAPTURE, TrimmingConfig(count=17, criterion=criterion, **SHORT)).gaussians) == 17


def test_gamma_removes_by_the_papers_rule_in_the_first_round(trained: Path, tmp_path: Path) -> None:
    """The first round judged here by the formula, from statistics gathered apart."""
    config = TrimmingConfig(gamma=0.45, **SHORT)
    trim(trained, CAPTURE, config, tmp_path / "run")
    start = start_from(trained, CAPTURE.extent, 0)
    model = start.state().model
    statistics = model.gather_statistics(CAPTURE.train, CAPTURE.background, 0.2)
    opacity = model.attribute("opacities")
    gradient = statistics.mean_gradient()
    kept = (opacity >= opacity.quantile(0.45)) | (gradient >= gradient.quantile(0.45))
    first = rounds_of(tmp_path / "run")[0]
    assert first["asked"] == {"gamma": 0.45}
    assert first["before"] == len(model)
    # Ties at a gradient of zero may be decided the other way by the strict comparison of values.
    assert first["kept"] == pytest.approx(int(kept.sum()), abs=int((gradient == 0).sum()))


@pytest.mark.parametrize("criterion", ["opacity", "gradient"])
def test_eq_6_predicts_the_sparsity_of_opacity_alone_and_overstates_that_of_the_papers_rule(
    trained: Path, tmp_path: Path, criterion: str
) -> None:
    config = TrimmingConfig(target_sparsity=0.5, criterion=criterion, **SHORT)
    assert config.quantile == pytest.approx(1 - 0.5 ** (1 / 3))
    trim(trained, CAPTURE, config, tmp_path / "run")
    rounds = rounds_of(tmp_path / "run")
    assert [event["sparsity_predicted"] for event in rounds] == pytest.approx([1 - 0.5 ** (i / 3) for i in (1, 2, 3)])
    start = rounds[0]["before"]
    assert [event["sparsity"] for event in rounds] == pytest.approx([1 - event["kept"] / start for event in rounds])
    if criterion == "opacity":
        assert rounds[-1]["sparsity"] == pytest.approx(0.5, abs=3 / start)
    else:
        assert rounds[-1]["sparsity"] < 0.5 - 5 / start


def test_what_low_opacity_and_gradient_share_goes_first(trained: Path) -> None:
    """One round and no training: every survivor outranks every removed one in opacity or in gradient."""
    scene = formats.read(trained)
    start = start_from(scene, CAPTURE.extent, 0)
    statistics = start.state().model.gather_statistics(CAPTURE.train, CAPTURE.background, 0.2)
    ordered = start.state().gaussians()
    config = TrimmingConfig(keep=0.5, criterion="gradient", rounds=1, every=1, finetune=0)
    left = trim(scene, CAPTURE, config).gaussians
    assert len(left) == round(0.5 * len(scene))
    gone = torch.ones(len(ordered), dtype=torch.bool)
    for opacity in left.opacities:  # one step moved them a little: match by nearest value
        gone[(ordered.opacities - opacity).abs().argmin()] = False
    gradient = statistics.mean_gradient()
    assert ordered.opacities[gone].mean() < ordered.opacities[~gone].mean()
    assert gradient[gone].mean() < gradient[~gone].mean()


def test_pruning_keeps_parameters_moments_and_statistics_aligned(trained: Path) -> None:
    state = start_from(trained, CAPTURE.extent, 0).state()
    rows = torch.arange(len(state.model)) % 3 == 1
    before, moments = state.gaussians(), state.model.moments()
    seen = state.statistics.views_seen.clone()
    state.select(rows)
    assert_same(state.gaussians(), before[rows])
    assert_same(state.model.moments().first, moments.first[rows])
    assert torch.equal(state.statistics.views_seen, seen[rows])


def test_the_control_trains_as_long_and_removes_nothing(trained: Path, tmp_path: Path) -> None:
    config = TrimmingConfig(control=True, **SHORT)
    result = trim(trained, CAPTURE, config, tmp_path / "control")
    assert len(result.gaussians) == len(formats.read(trained))
    assert rounds_of(tmp_path / "control") == []
    last = open_run(tmp_path / "control").checkpoints()[-1]
    start = open_run(trained).checkpoints()[-1]
    assert last - start == config.iterations == 3 * 4 + 8


def test_positions_never_move_faster_than_training_began() -> None:
    """The lean recipe's rate falls to a tenth, the published one's to a hundredth."""
    assert EASED.position_factor(0.0, TrainingConfig()) == 100
    assert EASED.position_factor(0.0, lean(100)) == pytest.approx(10)
    assert EASED.position_factor(0.5, lean(100)) == pytest.approx(10**0.5)
    assert EASED.position_factor(1.0, lean(100)) == 1
    assert PAPERS.position_factor(0.0, lean(100)) == 1


def test_the_papers_fine_tuning_leaves_the_position_rate_at_its_final_value(trained: Path) -> None:
    """From a scene file: positions move by at most the final rate a step (Adam's step is bounded by it)."""
    scene = formats.read(trained)
    config = TrimmingConfig(control=True, criterion="gradient", rounds=1, every=5, finetune=0)
    moved = (
        trim(scene, CAPTURE, config).gaussians.means - start_from(scene, CAPTURE.extent, 0).state().gaussians().means
    )
    final = TrainingConfig().position_rate_final * CAPTURE.extent
    assert 0 < float(moved.abs().max()) <= 5 * final * 3.2  # with cold moments one step can reach sqrt(10) rates


def test_positions_start_faster_and_all_rates_fall_by_default(trained: Path, monkeypatch) -> None:
    """The rates that each step is made with, against the two formulas."""
    seen: list[dict[str, float]] = []

    def recording(state: TrainingState, *arguments: Any, **options: Any) -> float:
        loss = training_step(state, *arguments, **options)
        rates = cast(CpuModel, state.model).learning_rates
        seen.append({"means": float(rates[0]), "opacities": float(rates[OPACITIES][0])})
        return loss

    monkeypatch.setattr(trimmer, "training_step", recording)
    config = TrimmingConfig(keep=0.5, position_rate=8.0, rate=2.0, final_rate=0.25, rounds=2, every=2, finetune=4)
    trim(formats.read(trained), CAPTURE, config)
    recipe, done = TrainingConfig(), [step / 8 for step in range(8)]
    final = recipe.position_rate_final * CAPTURE.extent
    assert [each["means"] for each in seen] == pytest.approx([final * 8 ** (1 - share) for share in done], rel=1e-5)
    falling = [0.25 + 1.75 * (0.5 + 0.5 * math.cos(math.pi * share)) for share in done]
    assert [each["opacities"] for each in seen] == pytest.approx([recipe.opacity_rate * each for each in falling])


def test_opacities_of_what_a_view_sees_are_pressed_down_between_rounds(trained: Path, monkeypatch) -> None:
    """Steps that learn nothing and see every third Gaussian: 2 logits for each of two halvings, in 6 steps."""

    def idle(state: TrainingState, *_: Any, statistics: ViewStatistics | None, **__: Any) -> float:
        state.step += 1
        if statistics is not None:
            statistics.views_seen[::3] += 1
        return 0.0

    monkeypatch.setattr(trimmer, "training_step", idle)
    scene = formats.read(trained)
    protected = torch.arange(len(scene)) < 50
    settings = {"keep": 0.25, "criterion": "weight-sum", "rate": 100.0, "rounds": 4, "every": 2, "finetune": 20}
    config = TrimmingConfig(pressure=2.0, spacing=1e-6, **settings)  # all that goes goes in the first round
    result = trim(scene, CAPTURE, config, protected=protected)
    assert result.rows is not None
    fallen = scene.opacities[result.rows] - result.gaussians.opacities
    seen = torch.arange(len(fallen)) % 3 == 0
    free = ~protected[result.rows]
    expected = torch.where(seen & free, 2.0 * math.log2(len(scene) / len(fallen)), 0.0)
    torch.testing.assert_close(fallen, expected, rtol=0, atol=1e-5)
    assert int((seen & ~free).sum()) > 3


def test_pressure_is_by_halvings_and_never_more_than_a_step_could_hold_against() -> None:
    schedule = EASED._replace(pressure=2.0)
    assert schedule.force(0.25, 400, 0.15) == pytest.approx(4 / 400)
    assert schedule.force(0.125, 400, 0.15) == pytest.approx(6 / 400)
    assert schedule.force(1.0, 400, 0.15) == 0
    assert schedule.force(0.25, 4, 0.15) == pytest.approx(0.2 * 0.15)


def test_only_a_share_or_a_count_to_go_down_to_makes_pressure() -> None:
    assert TrimmingConfig(keep=0.5).pressure == TrimmingConfig(count=5).pressure == EASED.pressure
    for other in ({"control": True}, {"gamma": 0.4}, {"gamma": 0.4, "criterion": "gaussianpop"}):
        assert TrimmingConfig(**other).pressure == 0
        with pytest.raises(InputError, match="give keep or count"):
            TrimmingConfig(**other, pressure=1.0)


def test_spacing_removes_more_in_the_first_rounds_and_ends_at_the_same_count(trained: Path, tmp_path: Path) -> None:
    kept = {}
    for spacing in (1.0, 0.5):
        folder = tmp_path / str(spacing)
        trim(trained, CAPTURE, TrimmingConfig(keep=0.2, spacing=spacing, **SHORT), folder)
        kept[spacing] = [event["kept"] for event in rounds_of(folder)]
    start = len(formats.read(trained))
    assert kept[0.5] == pytest.approx([start * 0.2 ** math.sqrt(number / 3) for number in (1, 2, 3)], abs=0.51)
    assert kept[0.5][0] < kept[1.0][0]
    assert kept[0.5][-1] == kept[1.0][-1] == round(0.2 * start)


def test_protected_gaussians_stay_and_frozen_ones_stay_as_they_are(trained: Path, tmp_path: Path) -> None:
    """Of a scene in any order, over two trimmings, of which the second goes on from the first."""
    scene = formats.read(trained)
    scene = scene[torch.randperm(len(scene), generator=torch.Generator().manual_seed(1))]
    model = start_from(scene, CAPTURE.extent, 0).state().model
    scores = CRITERIA["gaussianpop"](Evidence(model, CAPTURE.train, CAPTURE.background))[0]
    worst = start_from(scene, CAPTURE.extent, 0).rows[scores.argsort()[:20]]  # what would go first
    protected, frozen = (torch.zeros(len(scene), dtype=torch.bool) for _ in range(2))
    protected[worst], frozen[worst[:10]] = True, True
    config = TrimmingConfig(keep=0.6, rounds=2, every=2, finetune=2)
    first = trim(scene, CAPTURE, config, tmp_path / "first", protected=protected, frozen=frozen)
    rows = first.rows
    assert rows is not None
    assert len(rows) == len(first.gaussians) == round(0.6 * len(scene))
    second = trim(tmp_path / "first", CAPTURE, config, protected=protected[rows], frozen=frozen[rows])
    assert second.rows is not None
    rows = rows[second.rows]
    assert int(protected[rows].sum()) == 20
    assert_same(second.gaussians[frozen[rows]], scene[rows[frozen[rows]]])
    assert not torch.equal(second.gaussians.sh0[~frozen[rows]], scene[rows[~frozen[rows]]].sh0)


def test_fewer_than_are_protected_cannot_be_left(trained: Path) -> None:
    protected = torch.ones(len(formats.read(trained)), dtype=torch.bool)
    with pytest.raises(InputError, match="protected"):
        trim(trained, CAPTURE, TrimmingConfig(keep=0.5, **SHORT), protected=protected)


def test_a_trimming_that_was_killed_and_resumed_ends_with_the_same_bits(trained: Path, tmp_path: Path) -> None:
    class KilledError(Exception):
        pass

    def kill(step: int, total: int, values: dict) -> None:
        if step == 10:
            raise KilledError

    config = TrimmingConfig(keep=0.3, **SHORT)
    whole = trim(trained, CAPTURE, config, tmp_path / "whole")
    with pytest.raises(KilledError):
        trim(trained, CAPTURE, config, tmp_path / "killed", progress=kill)
    resumed = trim(trained, CAPTURE, config, tmp_path / "killed", resume=True)
    assert_same(whole.gaussians, resumed.gaussians)
    assert rounds_of(tmp_path / "killed") == rounds_of(tmp_path / "whole")
    with pytest.raises(RunError, match="other settings"):
        trim(trained, CAPTURE, replace(config, keep=0.4), tmp_path / "killed", resume=True)


def test_stale_gradients_are_those_of_training_and_are_not_refreshed(trained: Path, tmp_path: Path) -> None:
    checkpoint = read_checkpoint(open_run(trained).checkpoint_path(open_run(trained).checkpoints()[-1]))
    assert bool((checkpoint.state.statistics.views_seen > 0).any())
    config = TrimmingConfig(keep=0.5, gradient_source="stale", **SHORT)
    trim(trained, CAPTURE, config, tmp_path / "stale")
    run = open_run(tmp_path / "stale")
    end = read_checkpoint(run.checkpoint_path(run.checkpoints()[-1])).state.statistics
    # Index-pruned only: every statistic at the end is one of those at the start.
    start = {tuple(pair) for pair in _pairs(checkpoint.state.statistics)}
    assert {tuple(pair) for pair in _pairs(end)} <= start
    assert not [event for event in run.events() if event["event"] == "stale_gradients_emulated"]


def test_stale_gradients_of_a_scene_without_training_are_emulated_and_the_log_says_so(
    trained: Path, tmp_path: Path
) -> None:
    config = TrimmingConfig(keep=0.5, gradient_source="stale", **SHORT)
    trim(formats.read(trained), CAPTURE, config, tmp_path / "stale")
    events = [event["event"] for event in open_run(tmp_path / "stale").events()]
    assert events.count("stale_gradients_emulated") == 1


def test_the_log_tells_each_round(trained: Path, tmp_path: Path) -> None:
    trim(trained, CAPTURE, TrimmingConfig(keep=0.2, **SHORT), tmp_path / "run")
    rounds = rounds_of(tmp_path / "run")
    assert [event["round"] for event in rounds] == [1, 2, 3]
    for event in rounds:
        assert event["before"] - event["removed"] == event["kept"] == event["asked"]["count"]
        assert event["unseen_removed"] <= event["unseen"]
        for when in ("held_out_before", "held_out_after"):
            assert 0 < event[when]["psnr"] < 100
            assert 0 < event[when]["ssim"] <= 1
    expected = evaluate(formats.read(trained), CAPTURE, lpips=None, fps=False)
    assert rounds[0]["held_out_before"] == pytest.approx({"psnr": expected.psnr, "ssim": expected.ssim}, rel=1e-6)
    assert rounds[0]["held_out_after"] != rounds[0]["held_out_before"]
    assert [b["before"] for b in rounds[1:]] == [a["kept"] for a in rounds[:-1]]


def test_a_gaussian_that_no_view_sees_is_counted(trained: Path, tmp_path: Path) -> None:
    scene = formats.read(trained)
    behind = scene[:5]
    hidden = replace(behind, means=behind.means + torch.tensor([0.0, 0.0, 500.0]))
    config = TrimmingConfig(keep=0.9, unseen="prune", **SHORT)
    trim(concatenate([scene, hidden]), CAPTURE, config, tmp_path / "run")
    first = rounds_of(tmp_path / "run")[0]
    assert first["unseen"] >= 5
    assert first["unseen_removed"] == min(first["unseen"], first["removed"])


def test_trimming_starts_from_a_ply_of_any_degree(trained: Path, tmp_path: Path) -> None:
    for degree in (0, 2):
        path = tmp_path / f"{degree}.ply"
        formats.write(formats.read(trained).with_sh_degree(degree), path)
        content = path.read_bytes()
        result = trim(path, CAPTURE, TrimmingConfig(count=20, **SHORT))
        assert result.gaussians.sh_degree == degree
        assert path.read_bytes() == content


def test_what_cannot_be_trimmed_is_refused_in_a_sentence(trained: Path, tmp_path: Path) -> None:
    scene = formats.read(trained)
    broken = replace(scene, opacities=scene.opacities.clone())
    broken.opacities[3] = float("nan")
    with pytest.raises(InputError, match="1 Gaussians that are not finite"):
        trim(broken, CAPTURE, TrimmingConfig(count=5, **SHORT))
    with pytest.raises(InputError, match="no Gaussians"):
        trim(scene[:0], CAPTURE, TrimmingConfig(count=5, **SHORT))
    with pytest.raises(RunError, match="not empty"):
        trim(scene, CAPTURE, TrimmingConfig(count=5, **SHORT), trained)


@pytest.mark.parametrize("where", [".", "scene.ply"])
def test_a_run_never_replaces_the_scene_it_starts_from(trained: Path, where: str) -> None:
    content = (trained / "scene.ply").read_bytes()
    with pytest.raises(InputError, match="would be lost"):
        trim(trained / where, CAPTURE, TrimmingConfig(count=5, **SHORT), trained, overwrite=True)
    assert (trained / "scene.ply").read_bytes() == content
    assert open_run(trained).checkpoints()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "exactly one"),
        ({"keep": 0.5, "gamma": 0.4}, "exactly one"),
        ({"keep": 1.5}, "keep"),
        ({"gamma": 0.0}, "gamma"),
        ({"count": 0}, "count"),
        ({"keep": 0.5, "rounds": 0}, "rounds"),
        ({"keep": 0.5, "criterion": "size"}, "criterion"),
        ({"target_sparsity": 1.0}, "target_sparsity"),
        ({"keep": 0.5, "spacing": 0.0}, "spacing"),
        ({"keep": 0.5, "position_rate": -1.0}, "position_rate"),
        ({"keep": 0.5, "rate": 0.0}, "rate"),
        ({"keep": 0.5, "final_rate": -0.1}, "final_rate"),
        ({"keep": 0.5, "pressure": -0.1}, "pressure"),
    ],
)
def test_settings_out_of_range_are_refused_by_name(settings: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        TrimmingConfig(**settings)


def test_settings_survive_json() -> None:
    config = TrimmingConfig(keep=0.25, criterion="opacity", seed=3)
    assert TrimmingConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


def test_the_papers_rule_goes_at_the_papers_pace_and_is_what_its_own_aims_mean() -> None:
    for paper in ({"keep": 0.5, "criterion": "gradient"}, {"gamma": 0.4}, {"target_sparsity": 0.5}):
        config = TrimmingConfig(**paper)
        assert (config.criterion, config.schedule, config.rounds) == ("gradient", PAPERS, 10)
    assert TrimmingConfig(keep=0.5, gradient_source="stale").criterion == "gradient"
    assert TrimmingConfig(keep=0.5, criterion="gradient", spacing=0.5).schedule == PAPERS._replace(spacing=0.5)
    default = TrimmingConfig(keep=0.5)
    assert (default.criterion, default.schedule) == ("gaussianpop", EASED)


def test_a_run_of_an_older_version_goes_on_at_the_pace_it_began_with() -> None:
    settings = TrimmingConfig(keep=0.25).to_json()
    del settings["pressure"]
    assert TrimmingConfig.from_json(settings) == TrimmingConfig(keep=0.25, pressure=0.0)
    for name in set(PAPERS._fields) - {"pressure"}:
        del settings[name]
    assert TrimmingConfig.from_json(settings) == TrimmingConfig(keep=0.25, **PAPERS._asdict())


def test_settings_of_an_older_version_mean_what_they_did_then() -> None:
    settings = TrimmingConfig(keep=0.25).to_json()
    del settings["target_sparsity"]
    assert TrimmingConfig.from_json(settings) == TrimmingConfig(keep=0.25)
    with pytest.raises(InputError, match="colour"):
        TrimmingConfig.from_json({**settings, "colour": 1})


def test_gathering_sees_every_view_once_and_changes_nothing(trained: Path) -> None:
    model = engines.named("cpu").begin(formats.read(trained), {})
    before = model.gaussians()
    statistics = model.gather_statistics(CAPTURE.train, CAPTURE.background, 0.2)
    again = model.gather_statistics(CAPTURE.train * 2, CAPTURE.background, 0.2)
    assert int(statistics.views_seen.max()) == len(CAPTURE.train)
    assert torch.equal(again.views_seen, 2 * statistics.views_seen)
    torch.testing.assert_close(again.mean_gradient(), statistics.mean_gradient())
    assert_same(model.gaussians(), before)


def _pairs(statistics: ViewStatistics) -> list[list[float]]:
    return torch.stack([statistics.views_seen.float(), statistics.gradient_sum], dim=1).tolist()
