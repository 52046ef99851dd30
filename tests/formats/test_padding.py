"""Rows that exporters add to fill up a file: counted, said, and dropped on request."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from support import plain_ply
from support.inria_files import Training
from support.scene_comparison import assert_same_bits, random_scene

from leansplat import formats
from leansplat.cli import main
from leansplat.formats import inria_checkpoint
from leansplat.gaussians import TENSOR_NAMES, Gaussians, concatenate
from leansplat.summary import summarize


@pytest.fixture(autouse=True)
def logger_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """`main` sends the log to standard error for good; tests after these want to catch it."""
    logger = logging.getLogger("leansplat")
    monkeypatch.setattr(logger, "handlers", logger.handlers)
    monkeypatch.setattr(logger, "propagate", logger.propagate)


def zeros(count: int, degree: int = 3) -> Gaussians:
    scene = random_scene(1, degree)
    return Gaussians(*(torch.zeros(count, *getattr(scene, name).shape[1:]) for name in TENSOR_NAMES))


@pytest.fixture
def padded(tmp_path: Path) -> Path:
    formats.write(concatenate([random_scene(10), zeros(990)]), tmp_path / "padded.ply")
    return tmp_path / "padded.ply"


def test_rows_of_zeros_are_said_and_dropped_on_request(padded: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert len(formats.read(padded)) == 1000
    assert f"{padded}: 990 of 1000 rows hold no Gaussian" in caplog.text
    assert "--drop-empty" in caplog.text
    assert len(caplog.records) == 1
    caplog.clear()
    assert_same_bits(formats.read(padded, drop_empty=True), random_scene(10))
    assert "990 of 1000 rows hold no Gaussian" in caplog.text
    assert "they were dropped" in caplog.text


def test_the_command_line_counts_and_drops_them(padded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(padded)]) == 0
    shown = capsys.readouterr()
    assert "990 rows hold no Gaussian" in shown.out
    assert main(["convert", str(padded), str(padded.parent / "lean.ply"), "--drop-empty"]) == 0
    assert_same_bits(formats.read(padded.parent / "lean.ply"), random_scene(10))


@pytest.mark.parametrize("suffix", [".ply", ".compressed.ply", ".spz", ".sog", ".splat", ".glb", ".npz"])
def test_padding_shows_in_every_format(tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture) -> None:
    """Formats that round cannot tell zeros from a Gaussian, but that hundreds of rows are the same."""
    formats.write(concatenate([random_scene(40, 0), zeros(200, 0)]), tmp_path / f"padded{suffix}")
    caplog.clear()
    left = formats.read(tmp_path / f"padded{suffix}", drop_empty=True)
    assert "of 240 rows hold no Gaussian" in caplog.text
    assert 40 <= len(left) <= 41


def test_zero_bytes_of_a_splat_file_are_padding(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    formats.write(random_scene(20, 0), tmp_path / "scene.splat")
    with open(tmp_path / "scene.splat", "ab") as file:
        file.write(bytes(32 * 100))
    caplog.clear()
    assert 20 <= len(formats.read(tmp_path / "scene.splat", drop_empty=True)) <= 21
    assert "of 120 rows hold no Gaussian" in caplog.text


def test_a_checkpoint_that_is_padded_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = Training(concatenate([random_scene(5), zeros(32)]), steps=0).save(
        tmp_path / "chkpnt1.pth", optimizer=Training(steps=1).optimizer.state_dict()
    )
    for read in (formats.read, inria_checkpoint.load):
        caplog.clear()
        read(path)
        assert "32 of 37 rows hold no Gaussian" in caplog.text


def test_padding_is_found_and_spoils_nothing_far_from_the_origin(tmp_path: Path) -> None:
    """990 of 1,000 rows are zero, and the others lie where float32 has steps of half a unit."""
    properties = [(name, "double") for name in plain_ply.names(0)]
    far = lambda name, row: {"x": 5e6 + row / 8, "y": 4e6 + row / 16}.get(name, -3.0)  # noqa: E731
    content = plain_ply.header(properties, 1000) + plain_ply.body(properties, 10, values=far)
    row = 8 * len(properties)
    (tmp_path / "far.ply").write_bytes(content + bytes(990 * row))
    found = formats.read(tmp_path / "far.ply", drop_empty=True)
    assert len(found) == 10
    expected = torch.tensor([[5e6 + row / 8, 4e6 + row / 16] for row in range(10)], dtype=torch.float64)
    assert torch.allclose(found.world_means()[:, :2], expected, atol=1e-4, rtol=0)
    assert int(formats.read(tmp_path / "far.ply").padding().sum()) == 990


def test_good_rows_without_a_rotation_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    scene = random_scene(30)
    scene.quats[[3, 8]] = 0
    formats.write(scene, tmp_path / "scene.ply")
    found = formats.read(tmp_path / "scene.ply", drop_empty=True)
    assert len(found) == 30
    assert "2 of 30 Gaussians have a rotation of zeros, which counts as no rotation" in caplog.text
    assert summarize(found).without_rotation == 2


def test_an_ordinary_scene_is_read_without_a_word(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    scene = random_scene(300)
    scene.means[:, 0] = torch.from_numpy(np.repeat(np.arange(30.0, dtype=np.float32), 10))
    formats.write(scene, tmp_path / "scene.ply")
    formats.read(tmp_path / "scene.ply", drop_empty=True)
    assert not caplog.records
    summary = summarize(scene)
    assert (summary.padding, summary.without_rotation) == (0, 0)
