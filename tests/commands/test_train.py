"""`leansplat train`: the run that it makes, and going on with one."""

from __future__ import annotations

import json
from pathlib import Path

from support.command_line import fails, run_json

from leansplat.captures import load
from leansplat.cli import main
from leansplat.formats import read
from leansplat.training import count_for


def test_train_makes_a_run_with_a_scene_a_log_and_metrics(trained: Path, capture: Path) -> None:
    config = json.loads((trained / "config.json").read_text())
    assert config["settings"]["capture"] == str(capture)
    assert config["settings"]["training"]["iterations"] == 12
    assert len(read(trained)) == json.loads((trained / "metrics.json").read_text())["gaussians"]
    assert (trained / "log.jsonl").is_file()
    assert (trained / "checkpoints" / "step_12.safetensors").is_file()


def test_train_scales_the_schedule_with_the_iterations(trained: Path) -> None:
    training = json.loads((trained / "config.json").read_text())["settings"]["training"]
    assert training["strategies"]["densification"]["until"] / training["iterations"] == 15_000 / 30_000


def test_train_with_the_same_seed_gives_the_same_bytes(trained, capture, tmp_path, capsys) -> None:
    run_json(capsys, "train", capture, "-o", tmp_path / "again", "--iterations", "12", "--seed", "0")
    assert (tmp_path / "again" / "scene.ply").read_bytes() == (trained / "scene.ply").read_bytes()
    run_json(capsys, "train", capture, "-o", tmp_path / "other", "--iterations", "12", "--seed", "1")
    assert (tmp_path / "other" / "scene.ply").read_bytes() != (trained / "scene.ply").read_bytes()


def test_resuming_a_finished_training_changes_nothing(trained, capture, capsys) -> None:
    before = (trained / "scene.ply").read_bytes()
    run_json(capsys, "train", capture, "-o", trained, "--resume")
    assert (trained / "scene.ply").read_bytes() == before


def test_resuming_with_another_number_of_iterations_is_refused(trained, capture, capsys) -> None:
    assert "iterations" in fails(capsys, "train", capture, "-o", trained, "--resume", "--iterations", "20")


def test_train_with_a_count_ends_with_exactly_so_many(capture: Path, tmp_path: Path, capsys) -> None:
    found = run_json(capsys, "train", capture, "-o", tmp_path / "run", "--count", "37", "--iterations", "100")
    assert len(read(tmp_path / "run")) == 37
    assert found["metrics"]["gaussians"] == 37


def test_train_by_the_lean_recipe_says_how_many_gaussians_there_will_be(capture: Path, tmp_path: Path, capsys) -> None:
    assert main(["train", str(capture), "-o", str(tmp_path / "run"), "--recipe", "lean", "--iterations", "1"]) == 0
    wanted = count_for(load(capture))
    assert f"training to {wanted:,} Gaussians" in capsys.readouterr().err
    training = json.loads((tmp_path / "run" / "config.json").read_text())["settings"]["training"]
    assert training["strategies"]["budget-training"]["count"] == wanted


def test_the_published_recipe_trains_to_no_count(capture: Path, tmp_path: Path, capsys) -> None:
    said = fails(capsys, "train", capture, "-o", tmp_path / "run", "--recipe", "3dgs", "--count", "9")
    assert "--recipe 3dgs trains to no --count" in said
