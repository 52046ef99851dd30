"""`paper run --workers`: jobs in processes side by side leave what they leave one after the other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.capture_folder import write_nerfstudio
from support.tiny import tiny_capture

from leansplat.cli import main


def metrics(folder: Path) -> dict[str, Any]:
    """What a sweep found of each job, without what a clock says."""
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    found = {}
    for job in results["jobs"]:
        values = dict(job["metrics"])
        del values["fps"]
        found[job["name"]] = values
    return found


@pytest.mark.long
def test_jobs_side_by_side_find_what_they_find_one_after_the_other(tmp_path: Path, capsys) -> None:
    capture = write_nerfstudio(tiny_capture(), tmp_path / "photos")
    asked = ["--captures", f"tiny={capture}", "--figures", "7c", "--iterations-scale", "0.001", "--threads", "1"]
    assert main(["paper", "run", *asked, "-o", str(tmp_path / "alone"), "--json"]) == 0
    alone = json.loads(capsys.readouterr().out)
    both = tmp_path / "both"
    assert main(["paper", "run", *asked, "-o", str(both), "--workers", "2", "--json"]) == 0
    shown = capsys.readouterr()
    found = json.loads(shown.out)
    assert found["finished"] == alone["finished"] == ["tiny/base-s1", "tiny/gradient-0.45-s1"]
    assert metrics(both) == metrics(tmp_path / "alone")
    logs = {name: (both / "logs" / f"{name}.log").read_text() for name in found["finished"]}
    assert all(log.startswith("$ leansplat paper job tiny/") for log in logs.values())
    scene = both / "jobs" / "tiny" / "base-s1" / "scene.ply"
    assert scene.read_bytes() == (tmp_path / "alone" / "jobs" / "tiny" / "base-s1" / "scene.ply").read_bytes()
    made = scene.stat().st_mtime_ns
    assert main(["paper", "run", "-o", str(both), "--workers", "2", "--json"]) == 0
    assert scene.stat().st_mtime_ns == made
    capsys.readouterr()
    assert main(["paper", "job", "tiny/base-s1", "-o", str(both), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ran"] is False


def test_a_job_that_fails_takes_those_that_need_it_and_no_others(tmp_path: Path, capsys) -> None:
    missing, out = tmp_path / "missing", tmp_path / "sweep"
    missing.mkdir()
    asked = ["--captures", f"gone={missing}", "--figures", "7c", "--iterations-scale", "0.001"]
    assert main(["paper", "run", *asked, "-o", str(out), "--workers", "2"]) == 1
    said = capsys.readouterr().err
    assert "1 failed, 1 skipped; the first is gone/base-s1: " in said
    assert f"{missing} is not a capture" in said
    assert main(["paper", "job", "gone/gradient-0.45-s1", "-o", str(out)]) == 2
    assert "gone/gradient-0.45-s1 needs gone/base-s1, which is not finished" in capsys.readouterr().err
    assert main(["paper", "job", "gone/nothing-s1", "-o", str(out)]) == 2
    assert "has no job gone/nothing-s1" in capsys.readouterr().err


@pytest.mark.parametrize("workers", ["0", "-3"])
def test_no_workers_at_all_is_refused(tmp_path: Path, capsys, workers: str) -> None:
    assert main(["paper", "run", "--captures", "a=synthetic", "-o", str(tmp_path / "x"), "--workers", workers]) == 2
    assert f"--workers is {workers}; give 1 to" in capsys.readouterr().err
