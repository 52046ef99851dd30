"""What commands take from a scene's training where they are not told, and say where they are told otherwise."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from leansplat.commands.photo_options import PhotoOptions, photo_options

BLACK, WHITE, GREY = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (0.5, 0.5, 0.5)


def logged(caplog: pytest.LogCaptureFixture, *arguments: object, **options: bool) -> tuple[PhotoOptions, list[str]]:
    with caplog.at_level(logging.WARNING, logger="leansplat"):
        chosen = photo_options(*arguments, **options)  # type: ignore[arg-type]
    return chosen, caplog.messages


def write_run(folder: Path, **settings: object) -> None:
    (folder / "config.json").write_text(json.dumps({"command": "train", "settings": settings}))


def write_cfg_args(folder: Path, namespace: str) -> None:
    (folder / "cfg_args").write_text(f"Namespace({namespace})")


@pytest.mark.parametrize("scene", [".", "scene.ply"])
@pytest.mark.parametrize(
    ("settings", "options", "chosen", "said"),
    [
        (
            {"background": "white", "downscale": 4},
            (None, None),
            (WHITE, 4),
            "trained with background white and downscale 4",
        ),
        ({"background": "white", "downscale": 1}, (None, None), (WHITE, 1), "trained with background white"),
        ({"background": "black", "downscale": 1}, (None, None), (BLACK, 1), None),
        ({"background": "white", "downscale": 4}, ("white", 4), (WHITE, 4), None),
        ({"background": "white"}, ("black", None), (BLACK, 1), "trained on a white background, not on black"),
        ({"background": "black", "downscale": 4}, (None, 2), (BLACK, 2), "photos at 1/4 of their size, not at 1/2"),
        ({"background": [0.5, 0.5, 0.5]}, (None, None), (GREY, 1), "trained with background (0.5, 0.5, 0.5)"),
        ({"background": [1, 1, 1]}, ("white", None), (WHITE, 1), None),
        ({"background": "mauve"}, (None, 3), (BLACK, 3), "the background 'mauve', which is not understood"),
        ({"downscale": 0}, (None, None), (BLACK, 1), "the downscale 0, which is not understood"),
        ({}, (None, None), (BLACK, 1), None),
    ],
)
def test_a_run_tells_what_is_not_given(tmp_path, caplog, settings, options, chosen, said, scene) -> None:
    write_run(tmp_path, **settings)
    found, messages = logged(caplog, tmp_path / scene, *options)
    assert found == PhotoOptions(*chosen)
    assert len(messages) == (said is not None)
    for message in messages:
        assert str(said) in message
        assert str(tmp_path / "config.json") in message


@pytest.mark.parametrize("scene", [".", "chkpnt30000.pth", "point_cloud/iteration_7/point_cloud.ply"])
@pytest.mark.parametrize(
    ("trained_with", "options", "chosen", "said"),
    [
        ("white_background=True", (None, None), (WHITE, 1), ["trained with background white"]),
        ("white_background=True", ("black", None), (BLACK, 1), ["trained on a white background"]),
        ("white_background=False", ("white", None), (WHITE, 1), ["trained on a black background"]),
        ("images='images_4', resolution=-1", (None, None), (BLACK, 4), ["downscale 4"]),
        ("images='images_4', resolution=-1", (None, 1), (BLACK, 1), ["photos at 1/4"]),
        ("images='images', resolution=2", (None, None), (BLACK, 2), ["downscale 2"]),
        ("images='images_4', resolution=2", (None, 4), (BLACK, 4), ["photos at 1/8"]),
        ("images='images', resolution=-1", ("black", 7), (BLACK, 7), []),
        ("images='images', resolution=1600", ("black", 7), (BLACK, 7), []),
        ("images='images_2', white_background=True", ("black", 1), (BLACK, 1), ["a white background", "at 1/2"]),
        ("images=open('x')", (None, None), (BLACK, 1), ["restore the file or delete it"]),
    ],
)
def test_an_output_folder_of_3dgs_tells_what_is_not_given(
    tmp_path, caplog, trained_with, options, chosen, said, scene
) -> None:
    write_cfg_args(tmp_path, trained_with)
    found, messages = logged(caplog, tmp_path / scene, *options)
    assert found == PhotoOptions(*chosen)
    assert len(messages) == len(said)
    for message, words in zip(messages, said, strict=True):
        assert words in message
        assert str(tmp_path / "cfg_args") in message


def test_without_photos_their_size_does_not_matter(tmp_path, caplog) -> None:
    write_run(tmp_path, background="white", downscale=4)
    assert logged(caplog, tmp_path, None, None, photos=False)[0] == PhotoOptions(WHITE, 1)
    assert "downscale" not in caplog.text


@pytest.mark.parametrize("content", [b'{"model_type": "llama"}', b"[1]", b'{"settings": 3}'])
def test_the_config_of_another_tool_is_not_a_runs(tmp_path, caplog, content: bytes) -> None:
    (tmp_path / "config.json").write_bytes(content)
    assert logged(caplog, tmp_path, None, None) == (PhotoOptions(BLACK, 1), [])


def test_a_config_that_cannot_be_read_is_named(tmp_path, caplog) -> None:
    (tmp_path / "config.json").write_bytes(b"{")
    found, (message,) = logged(caplog, tmp_path, None, None)
    assert found == PhotoOptions(BLACK, 1)
    assert f"{tmp_path / 'config.json'} cannot be read" in message


def test_nothing_is_said_of_scenes_from_elsewhere(tmp_path, caplog) -> None:
    assert logged(caplog, tmp_path / "scene.ply", "white", 7) == (PhotoOptions(WHITE, 7), [])


@pytest.mark.parametrize(("color", "name"), [(WHITE, "white"), (BLACK, "black"), (GREY, [0.5, 0.5, 0.5])])
def test_what_is_recorded_is_what_is_read_again(tmp_path, caplog, color, name) -> None:
    chosen = PhotoOptions(color, 2)
    assert chosen.to_json() == {"downscale": 2, "background": name}
    write_run(tmp_path, **chosen.to_json())
    assert logged(caplog, tmp_path, None, None)[0] == chosen
