"""The page in the package is what its sources make, small, with the licences of what is in it, and inside a wheel."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from support.patience import PATIENCE

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "viewer"
PAGE = ROOT / "src/leansplat/viewing/page"
LARGEST = 2_000_000
ADVICE = "the page in the package is not that of viewer/; run `npm ci && npm run build` there and commit what it writes"


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def manifest() -> dict[str, dict[str, str]]:
    return json.loads((PAGE / "manifest.json").read_text(encoding="utf-8"))


def test_the_manifest_has_the_hashes_of_all_sources_and_of_all_that_was_built() -> None:
    written = {path.relative_to(SOURCES).as_posix() for path in (SOURCES / "src").iterdir()}
    assert set(manifest()["sources"]) == written | {"build.js", "package.json", "package-lock.json"}
    assert set(manifest()["built"]) | {"manifest.json"} == {path.name for path in PAGE.iterdir()}
    for folder, kind in ((SOURCES, "sources"), (PAGE, "built")):
        for name, expected in manifest()[kind].items():
            assert sha256(folder / name) == expected, f"{name}: {ADVICE}"


def test_a_fresh_build_has_the_same_bits(tmp_path: Path) -> None:
    if shutil.which("node") is None:
        pytest.skip("node is not installed, so the page cannot be built afresh")
    if not (SOURCES / "node_modules").is_dir():
        pytest.skip("what the page is built of is not here: make node fetches it")
    subprocess.run(["node", "build.js", str(tmp_path)], cwd=SOURCES, check=True, timeout=PATIENCE)
    for name, expected in manifest()["built"].items():
        assert sha256(tmp_path / name) == expected, f"{name}: {ADVICE}"


def test_versions_are_pinned_exactly() -> None:
    package = json.loads((SOURCES / "package.json").read_text(encoding="utf-8"))
    for name, version in {**package["dependencies"], **package["devDependencies"]}.items():
        assert all(part.isdigit() for part in version.split(".")), name
    locked = json.loads((SOURCES / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    assert all("integrity" in entry for name, entry in locked.items() if name)


def test_it_is_small_and_says_whose_work_is_in_it() -> None:
    assert sum(path.stat().st_size for path in PAGE.iterdir()) < LARGEST
    licences = (PAGE / "LICENSES.txt").read_text(encoding="utf-8")
    for name in json.loads((SOURCES / "package.json").read_text(encoding="utf-8"))["dependencies"]:
        assert f"\n{name} " in licences
    assert "Permission is hereby granted" in licences


def test_it_has_no_path_of_the_machine_that_built_it() -> None:
    for path in PAGE.iterdir():
        assert str(ROOT) not in path.read_text(encoding="utf-8")
        assert "sourceMappingURL" not in path.read_text(encoding="utf-8")


def test_a_wheel_has_the_page_and_nothing_of_what_it_is_built_from(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "src", source / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "-q", "-w", str(tmp_path), str(source)]
    built = subprocess.run(command, capture_output=True, text=True)
    if built.returncode:
        pytest.skip(f"pip could not build a wheel here: {built.stderr.strip()[-200:]}")
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {f"leansplat/viewing/page/{path.name}" for path in PAGE.iterdir()} <= set(names)
    assert not [name for name in names if "node_modules" in name or name.startswith("viewer/")]
