"""What commands say where their options are not those that an output folder of 3DGS was trained with."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from leansplat.commands.cfg_args import warn_of_other_settings

Options = tuple[str, int | None]


@pytest.mark.parametrize(
    ("trained_with", "options", "advice"),
    [
        ("white_background=True", ("black", None), ["--background white"]),
        ("white_background=True", ("white", None), []),
        ("white_background=False", ("white", None), ["--background black"]),
        ("sh_degree=3", ("black", 4), []),
        ("images='images_4', resolution=-1", ("black", 1), ["--downscale 4"]),
        ("images='images_4', resolution=-1", ("black", 4), []),
        ("images='images_4', resolution=-1", ("black", None), []),
        ("images='images', resolution=2", ("black", 1), ["--downscale 2"]),
        ("images='images_4', resolution=2", ("black", 4), ["--downscale 8"]),
        ("images='images', resolution=-1", ("black", 7), []),
        ("images='images', resolution=1600", ("black", 7), []),
        ("images='images_2', white_background=True", ("black", 1), ["--background white", "--downscale 2"]),
        ("images=open('x')", ("white", 7), ["restore the file or delete it"]),
    ],
)
@pytest.mark.parametrize("scene", [".", "chkpnt30000.pth"])
def test_advice_is_given_where_options_differ(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, trained_with: str, options: Options, advice: list[str], scene: str
) -> None:
    (tmp_path / "cfg_args").write_text(f"Namespace({trained_with})")
    with caplog.at_level(logging.WARNING, logger="leansplat"):
        warn_of_other_settings(tmp_path / scene, *options)
    assert len(caplog.messages) == len(advice)
    for message, words in zip(caplog.messages, advice, strict=True):
        assert words in message
        assert str(tmp_path / "cfg_args") in message


def test_nothing_is_said_of_scenes_from_elsewhere(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    warn_of_other_settings(tmp_path / "scene.ply", "white", 7)
    assert caplog.messages == []
