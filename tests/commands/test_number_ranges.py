"""Numbers of the command line: those out of range make nothing, and the last ones within work."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.command_line import fails, run_json

from leansplat.simd.threads import set_thread_count, thread_count


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["train", "--iterations", "0"], "iterations is 0; give 1 or more"),
        (["train", "--iterations", "-5"], "iterations is -5; give 1 or more"),
        (["train", "--iterations", "9" * 400], "iterations is above 1,000,000,000"),
        (["train", "--downscale", "0"], "--downscale is 0; give 1 to 1000"),
        (["train", "--downscale", "9" * 30], "give 1 to 1000"),
        (["train", "--threads", "0"], "--threads is 0"),
        (["trim", "--keep", "50%", "--rounds", "0"], "rounds is 0; give 1 or more"),
        (["trim", "--keep", "50%", "--every", "0"], "every is 0; give 1 or more"),
        (["trim", "--keep", "50%", "--finetune", "-1"], "finetune is -1; give 0 or more"),
        (["trim", "--keep", "50%", "--finetune", "9" * 30], "finetune is above 1,000,000,000"),
        (["trim", "--count", "0"], "count is 0; give 1 or more"),
        (["trim", "--gamma", "nan"], "gamma is nan"),
        (["compress", "--steps", "-1"], "steps is -1; give 0 or more"),
        (["compress", "--steps", "9" * 30], "steps is above 1,000,000,000"),
        (["compress", "--palette-size", "0"], "palette_size is 0"),
        (["compress", "--sh-loss", "inf"], "sh_loss is inf"),
        (["compress", "--downscale", "0"], "--downscale is 0"),
        (["eval", "--downscale", "0"], "--downscale is 0"),
        (["render", "--orbit", "0"], "--orbit is 0; give 1 to 10,000"),
        (["render", "--orbit", "9" * 30], "give 1 to 10,000"),
        (["paper", "--iterations-scale", "0"], "scaled to 0"),
        (["paper", "--iterations-scale", "1e300"], "above 1,000,000,000 steps"),
        (["paper", "--tables", ""], "--tables names nothing"),
        (["paper", "--seeds", ""], "no seed is given"),
    ],
)
def test_nought_is_a_number_and_one_out_of_range_makes_nothing(
    options, words, scene, capture, tmp_path, capsys
) -> None:
    command, *others = options
    assert words in fails(capsys, *_whole_command(command, scene, capture, tmp_path), *others)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scene.ply"]


@pytest.mark.parametrize("seed", ["-1", "18446744073709551616", "9" * 23, "-" + "9" * 23])
@pytest.mark.parametrize("command", ["train", "trim", "compress", "demo", "paper"])
def test_a_seed_out_of_range_is_told_before_anything_is_made(command, seed, scene, capture, tmp_path, capsys) -> None:
    aim = {"trim": ["--keep", "50%"], "paper": ["--seeds", f"1,{seed}"]}.get(command, [])
    option = [] if command == "paper" else ["--seed", seed]
    sentence = fails(capsys, *_whole_command(command, scene, capture, tmp_path), *aim, *option)
    assert f"seed is {seed}; give a whole number from 0 to 18446744073709551615" in sentence
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scene.ply"]


def test_the_largest_seed_works(scene, capture, tmp_path, capsys) -> None:
    options = ["--iterations", "1", "--seed", str(2**64 - 1)]
    run_json(capsys, "train", capture, "-o", tmp_path / "run", *options)
    assert json.loads((tmp_path / "run" / "config.json").read_text())["seed"] == 2**64 - 1


def test_a_number_of_threads_the_machine_does_not_have_is_refused(scene, capture, capsys) -> None:
    assert "--threads" in fails(capsys, "eval", scene, "--capture", capture, "--threads", "100000")


def test_threads_are_those_asked_for(scene, capture, capsys) -> None:
    before = thread_count()
    try:
        run_json(capsys, "eval", scene, "--capture", capture, "--lpips", "none", "--threads", "1")
        assert thread_count() == 1
    finally:
        set_thread_count(before)


def _whole_command(command: str, scene: Path, capture: Path, folder: Path) -> list[str | Path]:
    """A command without a number that can be wrong."""
    commands: dict[str, list[str | Path]] = {
        "train": ["train", capture, "-o", folder / "out"],
        "trim": ["trim", scene, "--capture", capture, "-o", folder / "out"],
        "compress": ["compress", scene, "--capture", capture, "-o", folder / "out.sog", "--run", folder / "out"],
        "eval": ["eval", scene, "--capture", capture],
        "render": ["render", scene, "-o", folder / "out"],
        "demo": ["demo", "-o", folder / "out"],
        "paper": ["paper", "run", "--captures", "built-in=synthetic", "-o", folder / "out"],
    }
    return commands[command]
