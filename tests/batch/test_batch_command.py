"""`leansplat batch`, with real commands on real scenes: what comes out, what is kept, what is refused."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.command_line import fails
from support.patience import PATIENCE
from support.random_cloud import cloud

from leansplat import formats
from leansplat.cli import main
from leansplat.locks import alone_in


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    """Three scenes, and between them a file that is none."""
    folder = tmp_path / "scenes"
    (folder / "hall").mkdir(parents=True)
    for seed, name in enumerate(("a.ply", "c.ply", "hall/d.ply")):
        formats.write(cloud(60 + seed), folder / name)
    (folder / "b.ply").write_bytes(b"ply\nformat binary_little_endian 1.0\nelement vertex 5\n")
    return folder


def batch(capsys: pytest.CaptureFixture[str], *words: str | Path) -> tuple[int, dict[str, Any], str]:
    """Run a batch with --json before its command; returns its code, its answer and what it said."""
    before, behind = words[: words.index("--")], words[words.index("--") :]
    code = main(["batch", *map(str, before), "--json", *map(str, behind)])
    shown = capsys.readouterr()
    return code, json.loads(shown.out) if shown.out else {}, shown.err


def by_name(answer: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in answer["scenes"]}


def times(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*.spz")}


def test_every_scene_becomes_what_the_command_by_hand_makes_and_one_that_is_broken_stops_no_other(
    scenes: Path, tmp_path: Path, capsys
) -> None:
    before = {path: path.read_bytes() for path in scenes.rglob("*.ply")}
    out = tmp_path / "out"
    code, answer, said = batch(capsys, scenes, "-o", out, "--format", "spz", "--workers", 2, "--", "convert")
    assert code == 1
    assert "1 of 4 scenes failed; the first is b: " in said
    assert "its header is cut off or damaged" in said
    rows = by_name(answer)
    assert [rows[name]["status"] for name in ("a", "b", "c", "hall/d")] == ["finished", "failed"] + 2 * ["finished"]
    assert rows["b"]["output"] is None
    assert "b.ply has no line 'end_header'" in rows["b"]["sentence"]
    for name in ("a", "c", "hall/d"):
        by_hand = tmp_path / "by-hand.spz"
        assert main(["convert", str(scenes / f"{name}.ply"), str(by_hand), "--overwrite"]) == 0
        assert (out / f"{name}.spz").read_bytes() == by_hand.read_bytes()
        assert rows[name]["bytes"] == by_hand.stat().st_size
        assert rows[name]["bytes_before"] == (scenes / f"{name}.ply").stat().st_size
        assert rows[name]["ratio"] == pytest.approx(rows[name]["bytes_before"] / rows[name]["bytes"])
    assert rows["hall/d"]["gaussians"] == 62
    assert {path: path.read_bytes() for path in scenes.rglob("*.ply")} == before
    assert "$ leansplat convert" in (out / "a.log").read_text()
    assert json.loads((out / "results.json").read_text())["scenes"] == answer["scenes"]
    with open(out / "results.csv", newline="") as file:
        table = {row["name"]: row for row in csv.DictReader(file)}
    assert table["a"]["bytes"] == str(rows["a"]["bytes"])
    assert table["b"]["status"] == "failed"
    page = (out / "report.html").read_text()
    assert "hall/d" in page
    assert "its header is cut off or damaged" in page
    assert "3 of 4" in page


def test_the_same_command_again_does_what_is_not_done_and_nothing_else(scenes: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    asked = [scenes, "-o", out, "--format", "spz", "--", "convert"]
    assert batch(capsys, *asked)[0] == 1
    made = times(out)
    formats.write(cloud(9), scenes / "b.ply", overwrite=True)  # mended
    formats.write(cloud(30), scenes / "c.ply", overwrite=True)  # another one by now
    formats.write(cloud(31), scenes / "e.ply")  # come since
    (out / "hall" / "d.spz").unlink()  # lost
    code, answer, _ = batch(capsys, *asked)
    rows = by_name(answer)
    assert (code, answer["kept"], answer["finished"]) == (0, 1, 5)
    assert times(out)["a.spz"] == made["a.spz"]
    assert {name: rows[name]["gaussians"] for name in rows} == {"a": 60, "b": 9, "c": 30, "e": 31, "hall/d": 62}
    made = times(out)
    code, answer, said = batch(capsys, *asked)
    assert (code, answer["kept"], times(out)) == (0, 5, made)
    assert "worker" not in said
    assert by_name(answer) == rows


def test_what_was_made_with_other_options_or_by_others_is_refused_and_made_again_when_asked(
    scenes: Path, tmp_path: Path, capsys
) -> None:
    (scenes / "b.ply").unlink()
    out = tmp_path / "out"
    plain = ["batch", scenes, "-o", out, "--format", "spz", "--", "convert"]
    (out / "hall").mkdir(parents=True)
    (out / "hall" / "d.spz").write_bytes(b"somebody's")
    said = fails(capsys, *plain)
    assert "hall/d.spz is there already and was not made by this batch; choose another folder" in said
    assert not list(out.glob("*.spz"))
    assert (out / "hall" / "d.spz").read_bytes() == b"somebody's"
    (out / "hall" / "d.spz").unlink()
    assert main(list(map(str, plain))) == 0
    capsys.readouterr()
    made = times(out)
    said = fails(capsys, *plain, "--spz-version", "4")
    assert "a.spz was made with other options, and likewise 2 more; choose another folder, or pass --overwrite" in said
    assert "holds a batch of convert, not of info" in fails(capsys, "batch", scenes, "-o", out, "--", "info")
    (out / "a.spz").write_bytes(b"edited")
    assert "a.spz has changed since it was made" in fails(capsys, *plain)
    os.utime(scenes / "c.ply", ns=(1, 1))
    code, answer, _ = batch(capsys, *plain[1:4], "--overwrite", "--format", "spz", "--", "convert")
    assert (code, answer["kept"]) == (0, 1)
    assert times(out)["hall/d.spz"] == made["hall/d.spz"]
    assert len(formats.read_arrays(out / "a.spz")) == 60


def test_commands_that_answer_leave_their_answer_for_each_scene(scenes: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    code, answer, _ = batch(capsys, scenes / "a.ply", scenes / "hall", "-o", out, "--", "info")
    assert code == 0
    assert main(["info", str(scenes / "a.ply"), "--json"]) == 0
    assert json.loads((out / "a.json").read_text()) == json.loads(capsys.readouterr().out)
    assert {row["name"]: row["gaussians"] for row in answer["scenes"]} == {"a": 60, "d": 62}
    assert by_name(answer)["a"]["ratio"] is None


def test_a_manifest_gives_each_scene_its_own_options_and_output(scenes: Path, tmp_path: Path, capsys) -> None:
    path = tmp_path / "scenes.jsonl"
    lines: list[dict[str, Any]] = [
        {"input": "scenes/a.ply", "output": "web/first.spz", "options": {"spz-version": 4}},
        {"input": "scenes/c.ply"},
        {"input": "scenes/gone.ply"},
    ]
    path.write_text("\n".join(map(json.dumps, lines)))
    out = tmp_path / "out"
    code, answer, _ = batch(capsys, path, "-o", out, "--format", "ply", "--", "convert")
    assert code == 1
    assert "gone.ply" in by_name(answer)["gone"]["sentence"]
    assert len(formats.read_arrays(out / "web" / "first.spz")) == 60
    assert np.array_equal(formats.read_arrays(out / "c.ply").means, formats.read_arrays(scenes / "c.ply").means)
    path.write_text(json.dumps({"input": "scenes/a.ply", "otput": "x"}))
    assert "scenes.jsonl:1 has the key 'otput'" in fails(capsys, "batch", path, "-o", out, "--", "info")


def test_one_batch_at_a_time_in_a_folder(scenes: Path, tmp_path: Path, capsys) -> None:
    with alone_in(tmp_path / "out"):
        code = "import sys; from leansplat.cli import main; sys.exit(main(sys.argv[1:]))"
        words = ["batch", str(scenes), "-o", str(tmp_path / "out"), "--", "info"]
        done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 2
    assert "is in use: process" in done.stderr


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda text: text.replace("leansplat-batch-1", "leansplat-batch-9"), "is not of this version"),
        (lambda text: text.replace('"asked"', '"asekd"', 1), "batch.jsonl:2 is damaged"),
        (lambda text: f"{text}nonsense\n", "is damaged"),
    ],
)
def test_a_journal_that_is_damaged_is_told_of_and_one_that_was_cut_off_goes_on(
    scenes: Path, tmp_path: Path, capsys, damage, complaint: str
) -> None:
    out = tmp_path / "out"
    asked = ["batch", scenes / "a.ply", "-o", out, "--", "info"]
    assert main(list(map(str, asked))) == 0
    capsys.readouterr()
    whole = (out / "batch.jsonl").read_text()
    (out / "batch.jsonl").write_text(damage(whole))
    assert complaint in fails(capsys, *asked)
    cut = whole.rstrip("\n").rpartition("\n")
    (out / "batch.jsonl").write_text(f"{cut[0]}\n{cut[2][:40]}")  # a kill in the middle of the last line
    code, answer, _ = batch(capsys, *asked[1:])
    assert (code, answer["kept"]) == (0, 0)
    assert (out / "batch.jsonl").read_text().count('"started"') == 2
    assert batch(capsys, *asked[1:])[1]["kept"] == 1


def test_quiet_says_only_results(scenes: Path, tmp_path: Path, capsys) -> None:
    assert main(["batch", str(scenes / "a.ply"), "-o", str(tmp_path / "out"), "--quiet", "--", "info"]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    assert "1 of 1 scenes finished" in shown.out


def test_what_is_missing_is_said_in_a_sentence(scenes: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    assert "say after -- what to do" in fails(capsys, "batch", scenes, "-o", out)
    assert "--workers is 0; give 1 to" in fails(capsys, "batch", scenes, "-o", out, "--workers", 0, "--", "info")
    assert "a.ply is a file; give a folder" in fails(capsys, "batch", scenes, "-o", scenes / "a.ply", "--", "info")
    (tmp_path / "empty").mkdir()
    assert "holds no scene" in fails(capsys, "batch", tmp_path / "empty", "-o", out, "--", "info")
    assert not out.exists()
