"""What commands are tried on: photos, a scene, and a run; and the log is given back after them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.capture_folder import write_nerfstudio
from support.random_cloud import cloud

from leansplat import formats
from leansplat.captures.synthetic import synthetic_capture
from leansplat.cli import main


@contextmanager
def log_given_back() -> Iterator[None]:
    """`main` sends the log to standard error for good; tests after these want to catch it."""
    logger = logging.getLogger("leansplat")
    handlers, propagate = logger.handlers, logger.propagate
    try:
        yield
    finally:
        logger.handlers, logger.propagate = handlers, propagate


@pytest.fixture(autouse=True)
def logger_as_before() -> Iterator[None]:
    with log_given_back():
        yield


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten photos of 32x32 in nerfstudio's layout; two are held out."""
    return write_nerfstudio(synthetic_capture(views=10, size=32), tmp_path_factory.mktemp("capture") / "photos")


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    formats.write(cloud(200), tmp_path / "scene.ply")
    return tmp_path / "scene.ply"


@pytest.fixture(scope="module")
def trained(capture: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "trained"
    with log_given_back():
        assert main(["train", str(capture), "-o", str(folder), "--iterations", "12"]) == 0
    return folder


@pytest.fixture(scope="module")
def made(capture: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what each command makes: trained, of that trimmed and small.sog, direct.ply, shrunk.spz, ladder."""
    folder = tmp_path_factory.mktemp("made")
    photos = ["--capture", str(capture)]
    short = ["--rounds", "3", "--every", "2", "--finetune", "3"]
    quick = ["--steps", "8", "--view-size", "48", "--views", "16"]
    with log_given_back():
        for arguments in (
            ["train", str(capture), "-o", str(folder / "trained"), "--count", "900", "--iterations", "12"],
            ["trim", str(folder / "trained"), *photos, "-o", str(folder / "trimmed"), "--keep", "50%", *short],
            ["compress", str(folder / "trimmed"), *photos, "-o", str(folder / "small.sog"), "--steps", "3"],
            ["train", str(capture), "-o", str(folder / "direct.ply"), "--count", "500", "--iterations", "12"],
            ["convert", str(folder / "trimmed"), str(folder / "alone.ply")],
            ["shrink", str(folder / "alone.ply"), "-o", str(folder / "shrunk.spz"), "--keep", "50%", *quick],
            [
                "shrink",
                str(folder / "trained"),
                *photos,
                "-o",
                str(folder / "ladder"),
                "--ladder",
                "50%,25%,10%",
                *quick,
            ],
        ):
            assert main(arguments) == 0
    return folder
