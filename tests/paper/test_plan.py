"""The plan: what each experiment wants, what they share, and that every job is one the library can run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from leansplat.compression import CompressionConfig, FineTuningConfig
from leansplat.errors import InputError
from leansplat.paper.jobs import Plan, read_plan, write_plan
from leansplat.paper.kinds import KINDS, compression_config, training_config, trimming_config
from leansplat.paper.lottery import lottery_config
from leansplat.paper.plan import (
    BASE,
    COMPRESSED_GAMMAS,
    CONTROL,
    EXPERIMENTS,
    GAMMAS,
    REPEATED,
    make_plan,
)
from leansplat.paper.sources import Source
from leansplat.pruning.config import TrimmingConfig
from leansplat.pruning.criteria import CRITERIA
from leansplat.pruning.schedule import PAPERS
from leansplat.training.config import TrainingConfig
from leansplat.training.strategies import Densification, FaintPruning, LearnedMask

FOX, CHAIR = Source("fox", "photos/fox", 4), Source("chair", "photos/chair", 1, "white")


def variants(plan: Plan) -> list[str]:
    return [job.variant for job in plan.jobs]


def test_every_job_is_there_once_and_after_those_it_needs() -> None:
    plan = make_plan([FOX, CHAIR], seeds=[1, 2])
    before: set[str] = set()
    for job in plan.jobs:
        assert job.name not in before
        assert set(job.needs) <= before
        before.add(job.name)


def test_table_1_has_both_baselines_the_control_and_sixteen_rows() -> None:
    found = variants(make_plan([FOX], ["table 1"]))
    rows = [f"{rule}-{gamma:g}" for rule, gammas in GAMMAS.items() for gamma in gammas]
    assert sorted(found) == sorted([BASE, "7k", CONTROL, *rows])


def test_experiments_share_the_jobs_they_have_in_common() -> None:
    table, figure = ({job.name for job in make_plan([FOX], [name]).jobs} for name in ("table 1", "figure 7a"))
    both = make_plan([FOX], ["table 1", "figure 7a"])
    assert table & figure >= {"fox/base-s1", "fox/gradient-0.6-s1"}
    assert {job.name for job in both.jobs} == table | figure
    assert len(both.jobs) == len(table | figure)


def test_jobs_of_one_name_are_one_job_whichever_experiment_wants_them() -> None:
    found = {}
    for experiment in EXPERIMENTS:
        for job in make_plan([FOX], [experiment]).jobs:
            assert found.setdefault(job.name, job) == job


def test_later_seeds_repeat_a_few_rows_each_from_its_own_baseline() -> None:
    plan = make_plan([FOX], seeds=[1, 2, 3])
    for seed in (2, 3):
        repeated = [job for job in plan.jobs if job.seed == seed]
        assert {job.variant for job in repeated} == set(REPEATED)
        assert {job.base for job in repeated if job.variant != BASE} == {f"fox/base-s{seed}"}


def test_every_criterion_is_compared_at_three_counts() -> None:
    found = variants(make_plan([FOX], ["criteria"]))
    assert {f"{name}-keep-{kept}" for name in CRITERIA for kept in (25, 10, 5)} == set(found) - {BASE}


def test_every_trimming_of_the_paper_goes_at_the_papers_pace() -> None:
    jobs = [job for job in make_plan([FOX]).jobs if job.kind == "trim"]
    assert {trimming_config(job, 7 if job.count_of else None).schedule for job in jobs} == {PAPERS}
    criteria = make_plan([FOX], ["criteria"]).jobs
    assert {trimming_config(job).schedule for job in criteria if job.kind == "trim"} == {PAPERS}


@pytest.mark.parametrize("scale", [1.0, 0.1, 0.001])
def test_every_job_makes_a_config_of_as_many_steps_as_it_says(scale: float) -> None:
    for job in make_plan([FOX], scale=scale).jobs:
        if job.kind == "trim":
            steps = trimming_config(job, 100 if job.count_of else None).iterations
        elif job.kind == "lottery":
            steps = lottery_config(training_config(job), job.settings["ticket"]).iterations
        elif job.kind == "compress":
            steps = compression_config(job).fine_tuning.steps
        else:
            steps = training_config(job).iterations
        assert steps == KINDS[job.kind].steps(job)


def test_unscaled_jobs_are_the_papers() -> None:
    jobs = {job.variant: job for job in make_plan([FOX]).jobs}
    published = TrainingConfig(seed=1)
    assert training_config(jobs[BASE]) == published
    assert training_config(jobs["7k"]) == replace(published, iterations=7_000)
    assert trimming_config(jobs["gradient-0.45"]) == TrimmingConfig(gamma=0.45, seed=1)
    assert trimming_config(jobs["opacity-0.1"]) == TrimmingConfig(gamma=0.1, criterion="opacity", seed=1)
    assert trimming_config(jobs["stale-0.45"]) == TrimmingConfig(gamma=0.45, gradient_source="stale", seed=1)
    assert trimming_config(jobs[CONTROL]) == TrimmingConfig(control=True, criterion="gradient", seed=1)
    once = TrimmingConfig(count=7, criterion="gradient", rounds=1, every=1, finetune=30_000, seed=1)
    assert trimming_config(jobs["one-shot-gradient-0.6"], 7) == once
    faint = FaintPruning(start=15_000, until=25_000, every=100, opacity=0.05)
    assert training_config(jobs["no-prior-0.05"]) == replace(published, strategies=(Densification(), faint))
    masked = replace(published, strategies=(Densification(), LearnedMask(weight=5e-4)))
    assert training_config(jobs["mask-0.0005"]) == masked


def test_a_scaled_baseline_is_the_scaled_recipe_and_7k_the_same_cut_off() -> None:
    jobs = {job.variant: job for job in make_plan([FOX], scale=0.1).jobs}
    assert training_config(jobs[BASE]) == TrainingConfig(seed=1).scaled(3_000)
    assert training_config(jobs["7k"]) == replace(TrainingConfig(seed=1).scaled(3_000), iterations=700)


def test_table_2_compresses_the_base_as_the_paper_does_and_trimmed_scenes_to_every_file() -> None:
    jobs = [job for job in make_plan([FOX], ["table 2"]).jobs if job.kind == "compress"]
    found = {(job.base, job.settings["suffix"], job.settings["steps"]) for job in jobs}
    trimmed = [f"fox/gradient-{gamma:g}-s1" for gamma in COMPRESSED_GAMMAS]
    files = [(".npz", 5_000), (".sog", 0), (".sog", 5_000), (".spz", 0), (".spz", 5_000)]
    assert found == {("fox/base-s1", ".npz", 5_000), *((base, *file) for base in trimmed for file in files)}
    assert len(jobs) == len(found)


def test_trimmed_scenes_that_table_2_compresses_are_rows_of_table_1() -> None:
    table_1, table_2 = (make_plan([FOX], [name]).jobs for name in ("table 1", "table 2"))
    assert all(job in table_1 for job in table_2 if job.kind != "compress")


def test_a_scale_shortens_the_fine_tuning_of_files_but_not_their_clustering() -> None:
    jobs = {job.variant: job for job in make_plan([FOX], ["table 2"], scale=0.1).jobs}
    assert compression_config(jobs["base-npz"]) == CompressionConfig(fine_tuning=FineTuningConfig(steps=500, seed=1))
    assert compression_config(jobs["gradient-0.45-sog-plain"]).fine_tuning.steps == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"experiments": ["figure 9"]}, "figure 9"),
        ({"scale": 0.0}, "scaled to 0"),
        ({"scale": float("inf")}, "scaled to inf"),
        ({"seeds": []}, "no seed is given"),
        ({"seeds": [-1]}, "seed is -1"),
        ({"sources": []}, "--captures"),
        ({"sources": [FOX, replace(CHAIR, name="fox")]}, "fox"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(arguments: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        make_plan(**{"sources": [FOX], **arguments})


def test_a_plan_comes_back_from_its_file_as_it_was(tmp_path: Path) -> None:
    plan = make_plan([FOX, CHAIR], scale=0.1, seeds=[1, 2])
    write_plan(plan, tmp_path)
    assert read_plan(tmp_path) == plan


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": "leansplat-paper-plan-1"}', '{"format": 3}'])
def test_a_damaged_plan_is_refused_in_a_sentence(text: str, tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text(text)
    with pytest.raises(InputError, match=r"plan\.json is damaged"):
        read_plan(tmp_path)


def test_extending_a_plan_keeps_what_it_had_and_adds_the_rest_once(tmp_path: Path) -> None:
    first = make_plan([FOX], ["table 1"], scale=0.1)
    second = make_plan([FOX, CHAIR], ["figure 7a"], scale=0.1)
    both = first.extended(second, tmp_path)
    assert both.jobs[: len(first.jobs)] == first.jobs
    assert {job.name for job in both.jobs} == {job.name for job in (*first.jobs, *second.jobs)}
    assert both.sources == (FOX, CHAIR)


@pytest.mark.parametrize(
    "other",
    [make_plan([FOX], ["table 1"], scale=0.2), make_plan([replace(FOX, downscale=2)], ["table 1"], scale=0.1)],
)
def test_a_folder_holds_one_scale_and_one_capture_of_a_name(other: Plan, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=str(tmp_path)):
        make_plan([FOX], ["table 1"], scale=0.1).extended(other, tmp_path)


def test_the_learned_mask_goes_as_far_in_a_shorter_schedule() -> None:
    jobs = [job for job in make_plan([FOX], ["figure 8"], scale=0.1).jobs if job.variant.startswith("mask-")]
    full = TrainingConfig()
    for config in map(training_config, jobs):
        mask = config.strategy(LearnedMask)
        assert mask is not None
        assert mask.rate * config.iterations == pytest.approx(LearnedMask().rate * full.iterations)
