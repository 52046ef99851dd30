"""`leansplat paper`: what it asks for, what it prints, how it fails."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.patience import PATIENCE
from support.tiny import tiny_capture

from leansplat.cli import main
from leansplat.paper.jobs import Plan
from leansplat.paper.plan import EXPERIMENTS, make_plan


@pytest.fixture
def asked(monkeypatch) -> list[Plan | None]:
    """What the command asks sweeps for; none is run, and all of it counts as finished."""
    asked: list[Plan | None] = []

    def run_sweep(folder: Path, wanted: Plan | None, **_: object) -> dict[str, Any]:
        asked.append(wanted)
        jobs = wanted.jobs if wanted else ()
        return {"jobs": [{"name": job.name, "status": "finished", "reason": None} for job in jobs]}

    monkeypatch.setattr("leansplat.paper.sweep.run_sweep", run_sweep)
    return asked


def names(plan: Plan | None) -> list[str]:
    assert plan is not None
    return [job.name for job in plan.jobs]


def run(*arguments: str | Path) -> int:
    return main(["paper", "run", *map(str, arguments)])


def test_a_capture_alone_asks_for_everything(asked, tmp_path: Path) -> None:
    assert run("--captures", "one=synthetic", "two=synthetic", "-o", tmp_path) == 0
    plan = asked[0]
    assert names(plan) == names(make_plan(plan.sources, tuple(EXPERIMENTS)))
    assert [source.name for source in plan.sources] == ["one", "two"]
    assert plan.scale == 1


def test_tables_figures_and_extras_narrow_it_to_what_they_name(asked, tmp_path: Path) -> None:
    options = [
        "--tables",
        "1,2",
        "--figures",
        "7a,8",
        "--also",
        "lottery",
        "--iterations-scale",
        "0.1",
        "--seeds",
        "3,4",
    ]
    assert run("--captures", "synthetic", "-o", tmp_path, *options) == 0
    plan = asked[0]
    chosen = ["table 1", "table 2", "figure 7a", "figure 8", "lottery"]
    assert names(plan) == names(make_plan(plan.sources, chosen, scale=0.1, seeds=[3, 4]))
    assert plan.scale == 0.1


def test_an_output_alone_goes_on_with_what_the_folder_has(asked, tmp_path: Path) -> None:
    assert run("-o", tmp_path) == 0
    assert asked == [None]


def test_more_figures_use_the_captures_and_the_scale_of_the_folder(asked, tmp_path: Path) -> None:
    from leansplat.paper.jobs import write_plan
    from leansplat.paper.sources import Source

    before = make_plan([Source("fox", "photos/fox", 4)], ["table 1"], scale=0.1)
    write_plan(before, tmp_path)
    assert run("-o", tmp_path, "--figures", "7b") == 0
    assert (asked[0].sources, asked[0].scale) == (before.sources, before.scale)
    assert "fox/gradient-keep-5-s1" in names(asked[0])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--captures", "synthetic", "--figures", "9"], "figure 9"),
        (["--captures", "synthetic", "--also", "magic"], "magic"),
        (["--captures", "synthetic", "--seeds", "one"], "--seeds"),
        (["--captures", "synthetic", "--seeds", ","], "no seed is given"),
        (["--captures", "synthetic", "--iterations-scale", "-1"], "scaled"),
        (["--captures", "synthetic", "--iterations-scale", "0"], "scaled"),
        (["--captures", "x=nowhere"], "nowhere"),
        (["--captures", "synthetic", "synthetic"], "NAME=FOLDER"),
        (["--figures", "3"], "--captures"),
        ([], "--captures"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_sentence(options, words, tmp_path: Path, capsys) -> None:
    assert run("-o", tmp_path / "out", *options) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert words in shown.err
    assert shown.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_failed_job_makes_the_command_fail_and_is_named(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr("leansplat.captures.synthetic_capture", lambda: 1 / 0)
    assert run("--captures", "synthetic", "--figures", "7c", "-o", tmp_path) == 1
    shown = capsys.readouterr().err
    assert "synthetic/base-s1: ZeroDivisionError" in shown
    assert "1 failed, 1 skipped" in shown


def test_an_interrupted_sweep_says_how_to_go_on(tmp_path: Path, monkeypatch, capsys) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("leansplat.paper.sweep.run_sweep", interrupted)
    assert run("-o", tmp_path) == 1
    assert "the same command goes on" in capsys.readouterr().err


def test_progress_says_which_job_runs_how_many_are_left_and_for_how_long(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr("leansplat.captures.synthetic_capture", tiny_capture)
    monkeypatch.setattr("leansplat.metrics.lpips_weights.folders", list)
    options = ["--figures", "7c", "--iterations-scale", "0.001", "--json"]
    assert run("--captures", "tiny=synthetic", "-o", tmp_path, *options) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["finished"] == ["tiny/base-s1", "tiny/gradient-0.45-s1"]
    assert "1/2 tiny/base-s1 (1 more): 30 of 30" in shown.err
    assert "2/2 tiny/gradient-0.45-s1 (0 more, about 0 min): 20 of 20" in shown.err


def test_report_names_the_files_it_wrote(tmp_path: Path, capsys) -> None:
    from support.made_up_results import made_up_results, write

    write(made_up_results(experiments=["figure 7c"]), tmp_path)
    assert main(["paper", "report", str(tmp_path), "--json"]) == 0
    files = [Path(file) for file in json.loads(capsys.readouterr().out)["files"]]
    assert files[:2] == [tmp_path / "report/report.html", tmp_path / "report/report.md"]
    assert all(path.is_file() for path in files)
    assert main(["paper", "report", str(tmp_path)]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert main(["paper", "report", str(tmp_path), "--overwrite"]) == 0


def test_report_of_a_folder_without_a_sweep_is_refused(tmp_path: Path, capsys) -> None:
    assert main(["paper", "report", str(tmp_path)]) == 2
    assert "leansplat paper run" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["paper"], ["paper", "run"], ["paper", "report"]])
def test_help_loads_no_heavy_package(arguments: list[str]) -> None:
    code = f"""
import sys
from leansplat.cli import main
try:
    main({[*arguments, "--help"]!r})
except SystemExit as stop:
    assert stop.code == 0
print({{"torch", "numba", "numpy", "scipy", "cv2", "PIL", "matplotlib"}} & set(sys.modules))
"""
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert shown.stdout.splitlines()[-1] == "set()"
