"""How much memory there is, also in a container that has taken some of its own already."""

from __future__ import annotations

from pathlib import Path

import pytest

from leansplat import memory

FIRST = {"limit": "memory.limit_in_bytes", "usage": "memory.usage_in_bytes", "files": "total_inactive_file"}
SECOND = {"limit": "memory.max", "usage": "memory.current", "files": "inactive_file"}


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in place of the control groups' own, on a machine that has a terabyte left."""
    (_, *second), (_, *first) = memory._CONTAINER
    (tmp_path / "memory").mkdir()
    monkeypatch.setattr(memory, "_CONTAINER", ((tmp_path, *second), (tmp_path / "memory", *first)))
    monkeypatch.setattr(memory, "_linux_available", lambda: 10**12)
    return tmp_path


def write(folder: Path, names: dict[str, str], **values: str) -> None:
    for name, value in values.items():
        (folder / names[name]).write_text(f"{value}\n")


@pytest.mark.parametrize(("below", "names"), [("", SECOND), ("memory", FIRST)])
def test_what_a_container_has_taken_is_not_there_any_more_but_for_files_it_has_read(
    groups: Path, below: str, names: dict[str, str]
) -> None:
    folder = groups / below
    write(folder, names, limit="8000", usage="5000")
    assert memory.available_memory() == 3000
    (folder / "memory.stat").write_text(f"anon 4000\n{names['files']} 700\n")
    assert memory.available_memory() == 3700
    write(folder, names, usage="9000")
    assert memory.available_memory() == 0


def test_a_limit_alone_counts_and_none_does_not(groups: Path) -> None:
    assert memory.available_memory() == 10**12
    write(groups, SECOND, limit="max", usage="5000")
    assert memory.available_memory() == 10**12
    write(groups, SECOND, limit="8000", usage="?")
    assert memory.available_memory() == 8000


def test_here_there_is_some() -> None:
    available = memory.available_memory()
    assert available is None or available > 10**6
