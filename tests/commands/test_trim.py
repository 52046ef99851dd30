"""`leansplat trim`: how much it keeps, of a run and of a file, and the ways to say so."""

from __future__ import annotations

import pytest
import torch
from support.command_line import fails, run_json
from support.file_digests import digests
from support.random_cloud import cloud

from leansplat.commands.options import parse_share
from leansplat.formats import read


def test_trim_keeps_exactly_the_share_asked_for_and_leaves_its_input_alone(trained, capture, tmp_path, capsys) -> None:
    before = digests(trained)
    count = len(read(trained))
    options = ["--keep", "25%", "--rounds", "2", "--every", "3", "--finetune", "2"]
    values = run_json(capsys, "trim", trained, "--capture", capture, "-o", tmp_path / "out", *options)
    assert len(read(tmp_path / "out")) == round(count * 0.25) == values["metrics"]["gaussians"]
    assert values["original"] == {"gaussians": count, "bytes": (trained / "scene.ply").stat().st_size}
    assert digests(trained) == before


def test_trim_takes_a_scene_file_without_a_run(scene, capture, tmp_path, capsys) -> None:
    options = ["--count", "60", "--rounds", "1", "--every", "2", "--finetune", "0", "--criterion", "opacity"]
    run_json(capsys, "trim", scene, "--capture", capture, "-o", tmp_path / "out", *options)
    assert len(read(tmp_path / "out")) == 60


def test_trim_as_control_trains_but_prunes_nothing(scene, capture, tmp_path, capsys) -> None:
    options = ["--control", "--rounds", "2", "--every", "2", "--finetune", "1"]
    run_json(capsys, "trim", scene, "--capture", capture, "-o", tmp_path / "out", *options)
    assert len(read(tmp_path / "out")) == 200
    assert not torch.equal(read(tmp_path / "out").means, cloud(200).means)


@pytest.mark.parametrize("options", [[], ["--keep", "25%", "--count", "9"], ["--control", "--gamma", "0.4"]])
def test_trim_wants_exactly_one_aim(options, scene, capture, tmp_path, capsys) -> None:
    sentence = fails(capsys, "trim", scene, "--capture", capture, "-o", tmp_path / "out", *options)
    assert "exactly one of keep, count, gamma, target_sparsity and control" in sentence
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("text", "share"), [("25%", 0.25), ("0.25", 0.25), ("100%", 1.0), ("0.5%", 0.005), ("1", 1.0)])
def test_a_share_may_be_percent_or_fraction(text: str, share: float) -> None:
    assert parse_share(text) == pytest.approx(share)


@pytest.mark.parametrize("text", ["0", "0%", "-3%", "101%", "25", "nan", "inf%", "%", "a lot"])
def test_a_share_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_share(text)
