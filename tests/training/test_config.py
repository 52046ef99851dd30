"""The recipe's numbers, how it scales, and how it survives JSON."""

from __future__ import annotations

import inspect
import json
from dataclasses import fields, replace

import pytest

from leansplat.errors import InputError
from leansplat.training.config import TrainingConfig
from leansplat.training.strategies import STRATEGIES, Densification, LearnedMask


def test_defaults_are_the_published_ones() -> None:
    # Kerbl et al. 2023, section 7.1 and appendix B, and the settings of the code that came with it.
    config = TrainingConfig()
    assert (config.iterations, config.ssim_weight, config.sh_degree, config.sh_degree_every) == (30_000, 0.2, 3, 1000)
    assert (config.position_rate, config.position_rate_final, config.position_rate_steps) == (1.6e-4, 1.6e-6, 30_000)
    assert (config.sh0_rate, config.shN_rate, config.opacity_rate) == (2.5e-3, 1.25e-4, 0.05)
    assert (config.scale_rate, config.quat_rate) == (5e-3, 1e-3)
    (growth,) = config.strategies
    assert isinstance(growth, Densification)
    assert (growth.after, growth.until, growth.every) == (500, 15_000, 100)
    assert (growth.gradient, growth.size) == (2e-4, 0.01)
    assert (growth.prune_opacity, growth.prune_size, growth.prune_large_after) == (0.005, 0.1, 25)
    assert (growth.reset_every, growth.reset_opacity) == (3000, 0.01)


def test_scaling_to_the_same_length_changes_nothing() -> None:
    assert TrainingConfig().scaled(30_000) == TrainingConfig()


def test_scaling_keeps_the_schedule_in_proportion() -> None:
    short = TrainingConfig().scaled(10_000)
    assert short.iterations == short.position_rate_steps == 10_000
    growth = densification(short)
    assert (growth.after, growth.until) == (167, 5000)
    assert (growth.reset_every, short.sh_degree_every) == (1000, 333)
    assert (short.position_rate, growth.gradient) == (1.6e-4, 2e-4)


def densification(config: TrainingConfig) -> Densification:
    found = config.strategy(Densification)
    assert found is not None
    return found


def densifications(config: TrainingConfig) -> int:
    return sum(densification(config).densifies(step) for step in range(1, config.iterations + 1))


def resets(config: TrainingConfig) -> int:
    return sum(densification(config).resets_opacities(step) for step in range(1, config.iterations + 1))


@pytest.mark.parametrize("iterations", [8300, 10_000, 29_999])
def test_scaling_leaves_the_interval_of_densification_where_it_gives_enough_of_them(iterations: int) -> None:
    short = TrainingConfig().scaled(iterations)
    assert densification(short).every == 100
    assert densifications(short) >= 40


@pytest.mark.parametrize("iterations", [3000, 5000, 7000])
def test_a_shorter_schedule_densifies_40_times(iterations: int) -> None:
    short = TrainingConfig().scaled(iterations)
    assert 36 <= densification(short).every < 100
    assert densifications(short) in (39, 40, 41)


def test_the_shortest_schedules_still_densify_by_the_mean_over_36_views() -> None:
    assert densification(TrainingConfig().scaled(300)).every == 36
    assert densifications(TrainingConfig().scaled(300)) == 4
    often = TrainingConfig(strategies=(Densification(every=10),))
    assert densification(often.scaled(1000)).every == 10


def test_a_longer_schedule_happens_as_often() -> None:
    long = TrainingConfig().scaled(60_000)
    assert (densification(long).every, densification(long).reset_every) == (200, 6000)
    assert densifications(long) == densifications(TrainingConfig())


@pytest.mark.parametrize(("iterations", "times"), [(150, 0), (300, 1), (1000, 4), (3000, 4), (10_000, 4), (60_000, 4)])
def test_opacities_are_reset_four_times_or_as_often_as_they_can_recover(iterations: int, times: int) -> None:
    assert resets(TrainingConfig().scaled(iterations)) == times


@pytest.mark.parametrize("iterations", [300, 1000, 3000, 7000, 10_000, 20_000, 30_000, 60_000])
def test_large_gaussians_are_removed_only_after_as_many_densifications_as_in_the_published_schedule(
    iterations: int,
) -> None:
    config = TrainingConfig().scaled(iterations)
    growth = densification(config)
    steps = [step for step in range(1, config.iterations + 1) if growth.densifies(step)]
    first = next((index for index, step in enumerate(steps) if growth.prunes_large(step)), None)
    assert first is None or first >= 25
    assert (first is None) == (len(steps) <= 25)


def test_the_shortest_schedule_is_valid() -> None:
    short = TrainingConfig().scaled(1)
    assert short.iterations == densification(short).until == 1
    assert densifications(short) == resets(short) == 0


@pytest.mark.parametrize("kind", [TrainingConfig, *STRATEGIES.values()])
def test_every_field_has_a_sentence(kind: type) -> None:
    source = inspect.getsource(kind)
    for entry in fields(kind):
        after = source.split(f"    {entry.name}: {entry.type} = ")[1].split("\n")[1]
        assert after.startswith('    """')


def test_json_gives_the_config_back() -> None:
    config = replace(TrainingConfig().scaled(777), seed=5, antialiased=True).adjusted(LearnedMask, rate=0.5)
    assert TrainingConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"iterations": "10"}, "iterations"),
        ({"iterations": True}, "iterations"),
        ({"antialiased": 1}, "antialiased"),
        ({"unheard_of": 1}, "unheard_of"),
    ],
)
def test_json_with_wrong_settings_is_refused(change: dict, word: str) -> None:
    with pytest.raises(InputError, match=word):
        TrainingConfig.from_json(TrainingConfig().to_json() | change)


def test_json_of_an_older_version_means_what_it_did_then() -> None:
    settings = TrainingConfig(seed=3).to_json()
    del settings["sh0_rate"]
    assert TrainingConfig.from_json(settings) == TrainingConfig(seed=3)


@pytest.mark.parametrize(
    "change",
    [
        {"iterations": 0},
        {"sh_degree": 4},
        {"ssim_weight": 1.5},
        {"sh0_rate": -1.0},
        {"opacity_rate": float("nan")},
        {"position_rate_final": 0.0},
    ],
)
def test_settings_out_of_range_are_refused_by_name(change: dict) -> None:
    with pytest.raises(InputError, match=next(iter(change))):
        TrainingConfig(**change)
