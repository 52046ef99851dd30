"""All of the paper's experiments on a tiny built-in capture: every job runs, and the report shows its numbers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from leansplat.captures.synthetic import synthetic_capture
from leansplat.cli import main
from leansplat.metrics import lpips_weights
from leansplat.paper.jobs import read_plan
from leansplat.paper.plan import EXPERIMENTS, make_plan
from leansplat.simd.threads import set_thread_count, thread_count


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 views of 48x48, a base of 60 steps; without LPIPS, which takes longer than the training."""
    folder = tmp_path_factory.mktemp("paper")
    capture = synthetic_capture(12, 48)
    threads = thread_count()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("leansplat.captures.synthetic_capture", lambda: capture)
        patch.setattr(lpips_weights, "folders", list)
        options = ["--iterations-scale", "0.002", "--seeds", "1", "--threads", "1"]
        assert main(["paper", "run", "--captures", "still-life=synthetic", "-o", str(folder), *options]) == 0
    set_thread_count(threads)
    return folder


def test_every_job_of_every_experiment_is_finished(sweep: Path) -> None:
    plan = read_plan(sweep)
    assert plan is not None
    jobs = json.loads((sweep / "results.json").read_text())["jobs"]
    wanted = make_plan(plan.sources, tuple(EXPERIMENTS), scale=0.002, seeds=[1])
    assert [job["name"] for job in jobs] == [job.name for job in wanted.jobs]
    assert {job["status"] for job in jobs} == {"finished"}


def test_rounds_remove_what_eq_6_predicts_for_opacity_and_less_for_the_joint_rule(sweep: Path) -> None:
    jobs = {job["variant"]: job for job in json.loads((sweep / "results.json").read_text())["jobs"] if job["seed"] == 1}
    base = jobs["base"]["metrics"]["gaussians"]
    for gamma in (0.05, 0.1, 0.2):
        kept = jobs[f"opacity-{gamma:g}"]["metrics"]["gaussians"] / base
        assert kept == pytest.approx((1 - gamma) ** 10, rel=0.02)
    for variant in ("gradient-0.45", "stale-0.45"):
        assert jobs[variant]["metrics"]["gaussians"] / base > 2 * (1 - 0.45) ** 10


def test_the_report_shows_the_numbers_of_the_results(sweep: Path) -> None:
    assert main(["paper", "report", str(sweep), "--overwrite"]) == 0
    markdown, page = ((sweep / "report" / name).read_text() for name in ("report.md", "report.html"))
    assert "All schedules are 0.002 times as long as the paper's." in markdown
    assert "not run" not in markdown.split("## Table 1")[1].split("## Fig. 3")[0]
    jobs = [job for job in json.loads((sweep / "results.json").read_text())["jobs"] if job["seed"] == 1]
    shown = [job for job in jobs if job["variant"].startswith(("opacity-0", "gradient-0", "stale-0", "7k", "base"))]
    assert len(shown) > 25
    for job in shown:
        metrics = job["metrics"]
        cells = [f"{metrics['ssim']:.3f}", f"{metrics['psnr']:.2f}"]
        assert " / ".join(cells) in markdown or "finetune" in job["variant"]
        assert f">{cells[1]}</td>" in page
    pictures = {path.name for path in (sweep / "report/crops").iterdir()}
    assert pictures >= {"still-life-photo.webp", "still-life-base.webp", "still-life-gradient-0.6.webp"}


def test_checkpoints_are_left_for_the_base_and_the_ticket_alone(sweep: Path) -> None:
    owners = {path.parts[-3] for path in (sweep / "jobs").rglob("*.safetensors")}
    assert owners == {"base-s1", "gradient-0.45-s1"}
