"""Places to store in: one of each kind that can be had here."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.s3_server import S3Server


@pytest.fixture(params=["s3", "file", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty folder."""
    if request.param == "s3":
        server: S3Server = request.getfixturevalue("s3")
        return f"{server.bucket()}/below"
    return f"file://{tmp_path}/store" if request.param == "file" else f"memory://{os.urandom(6).hex()}/below"


@pytest.fixture(autouse=True)
def _scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEANSPLAT_SCRATCH", str(tmp_path / "scratch"))
