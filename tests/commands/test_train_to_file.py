"""`leansplat train CAPTURE -o FILE`: photos in, a small file out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.command_line import fails, run_json

from leansplat import formats
from leansplat.captures import load
from leansplat.captures.synthetic import synthetic_capture
from leansplat.compression.codecs import CODECS
from leansplat.errors import InputError
from leansplat.shrinking import from_photos, train_to_file
from leansplat.shrinking.plain import PLAIN
from leansplat.training import TrainingConfig, count_for
from leansplat.training.deadline import Costs, Deadline
from leansplat.training.recipes import stretched


@pytest.mark.parametrize("suffix", [".sog", ".spz", ".compressed.ply", ".ply"])
def test_photos_become_a_file_of_exactly_as_many_gaussians(suffix: str, capture: Path, tmp_path: Path, capsys) -> None:
    path = tmp_path / f"scene{suffix}"
    found = run_json(capsys, "train", capture, "-o", path, "--count", "60", "--iterations", "60")
    scene = formats.read(path)
    visible = int((scene.opacities > -10).sum())  # a compressed PLY fills chunks with invisible ones
    assert visible == 60
    assert found["bytes"] == path.stat().st_size
    assert found["steps"] == 60
    assert found["metrics"]["psnr"] > 10


def test_every_kind_of_file_has_a_usual_size_of_a_gaussian() -> None:
    assert set(from_photos._USUAL_BYTES) == {*CODECS, *PLAIN}


def test_without_a_number_the_photos_say_how_many_gaussians_there_are(capture: Path, tmp_path: Path, capsys) -> None:
    found = run_json(capsys, "train", capture, "-o", tmp_path / "scene.spz", "--iterations", "40")
    wanted = count_for(load(capture))
    assert found["gaussians"] == wanted
    assert found["told"][0].startswith(f"{wanted:,} Gaussians are as many as the photos call for")


def test_a_file_is_within_the_size_that_was_asked_for(capture: Path, tmp_path: Path, capsys) -> None:
    path = tmp_path / "scene.spz"
    found = run_json(capsys, "train", capture, "-o", path, "--size", "4kB", "--iterations", "80")
    assert path.stat().st_size <= 4000
    assert path.stat().st_size >= 0.97 * 4000 or found["told"]


def test_an_interrupted_training_to_a_file_ends_with_the_same_bytes(tmp_path: Path) -> None:
    capture = synthetic_capture(views=10, size=32)

    class InterruptionError(Exception):
        pass

    class Interrupting:
        """Stops the work once training through the file has begun."""

        def __init__(self) -> None:
            self.through = False

        def stage(self, name: str) -> None:
            self.through = name == "training through .sog"

        def __call__(self, done: int, total: int, values) -> None:
            if self.through and done > 3 and "loss" in values:
                raise InterruptionError

    once = train_to_file(capture, tmp_path / "once.sog", count=50, iterations=60, run=tmp_path / "whole")
    with pytest.raises(InterruptionError):
        train_to_file(
            capture, tmp_path / "again.sog", count=50, iterations=60, run=tmp_path / "run", progress=Interrupting()
        )
    assert not (tmp_path / "again.sog").exists()
    again = train_to_file(capture, tmp_path / "again.sog", count=50, iterations=60, run=tmp_path / "run", resume=True)
    assert again.path.read_bytes() == once.path.read_bytes()
    config = json.loads((tmp_path / "run" / "trained" / "config.json").read_text())
    assert config["settings"]["training"]["iterations"] == 48


def test_a_file_that_exists_is_refused_before_any_training(tmp_path: Path) -> None:
    path = tmp_path / "scene.sog"
    path.write_bytes(b"kept")
    with pytest.raises(InputError, match="already exists"):
        train_to_file(synthetic_capture(views=10, size=32), path, count=50, iterations=10**6)
    assert path.read_bytes() == b"kept"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["scene.sog", "--recipe", "3dgs"], "--recipe 3dgs trains to no file"),
        (["scene.sog", "--size", "0MB"], "0MB"),
        (["scene.sog", "--size", "10"], "has no unit"),
        (["scene.sog", "--count", "0"], "count is 0; give 1 or more"),
        (["scene.sog", "--iterations", "0"], "iterations is 0"),
        (["scene.sog", "--resume"], "there is no run folder to resume"),
        (["scene.sog", "--minutes", "0"], "minutes is 0.0; give a finite number above 0"),
        (["scene.sog", "--minutes", "1", "--iterations", "9"], "give one of them"),
        (["scene.sog", "--minutes", "1", "--resume", "--run", "run"], "leave the minutes out"),
        (["run", "--minutes", "1", "--recipe", "3dgs"], "--recipe 3dgs has a length of its own"),
        (["run", "--size", "1MB"], "--size belongs to a file"),
        (["run", "--run", "other"], "--run belongs to a file"),
    ],
)
def test_what_does_not_fit_is_one_sentence(
    words: list[str], said: str, capture: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    assert said in fails(capsys, "train", capture, "-o", *words)
    assert not any(tmp_path.iterdir())


class Unhurried(Deadline):
    """Has time left for 20 more steps."""

    def __init__(self) -> None:
        super().__init__(100.0, Costs((1.0,) * 7, (0.0,) * 7))

    def adapted(self, config: TrainingConfig, step: int) -> TrainingConfig:
        self._passed += 1
        return config if self._passed != 2 else stretched(config, step, config.iterations + 20)


def test_minutes_become_steps_and_the_answer_says_how_many(capture: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    asked = []

    def planned(seconds: float, *_, further: float = 0.0, **__) -> tuple[int, Deadline]:
        asked.append((seconds, further))
        return 60, Unhurried()

    monkeypatch.setattr("leansplat.shrinking.from_photos.lean_within", planned)
    monkeypatch.setattr("leansplat.training.lean_within", planned, raising=False)
    words = ["train", capture, "--count", "50", "--minutes", "2", "-o"]
    found = run_json(capsys, *words, tmp_path / "scene.sog")
    assert run_json(capsys, *words, tmp_path / "run")["steps"] == 80
    assert [further for _, further in asked] == [0.25, 0.0]
    assert all(60 < seconds < 117 for seconds, _ in asked)  # reading and measuring take some of the 120
    assert found["steps"] == 80 + 20
    assert found["told"][0] == "100 training steps were made, to end on time"


def test_what_minutes_came_to_is_gone_on_with(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("leansplat.shrinking.from_photos.lean_within", lambda *_, **__: (60, Unhurried()))
    capture = synthetic_capture(views=10, size=32)
    once = train_to_file(capture, tmp_path / "once.sog", count=50, minutes=1, run=tmp_path / "run")
    again = train_to_file(capture, tmp_path / "again.sog", count=50, run=tmp_path / "run", resume=True)
    assert again.steps == once.steps == 100
    assert again.path.read_bytes() == once.path.read_bytes()
