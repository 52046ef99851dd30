"""Tests here talk to a server on this machine, whatever proxy the environment has, and do not wait between tries."""

from __future__ import annotations

import pytest

from leansplat.datasets import range_file


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that were asked for, none of which was made."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    asked: list[float] = []
    monkeypatch.setattr(range_file, "sleep", asked.append)
    return asked
