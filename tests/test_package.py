"""The package as a whole: what importing it costs, what it exports, and that its parts depend on each other one way."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from support.patience import PATIENCE

import leansplat
from leansplat import formats
from leansplat.arrays import GaussianArrays

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "leansplat"

# A part may import itself and what stands above it. Parts on one line do not know each other.
LAYERS = [
    {"errors"},
    {
        "locks",
        "seeds",
        "configs",
        "progress",
        "activation",
        "invocation",
        "lifeline",
        "memory",
        "distributed",
        "temporary_folders",
        "near_plane",
        "unsaid",
    },
    {"arrays"},
    {"gaussians"},
    {"cameras"},
    {"files", "camera_paths", "ordering", "strays", "origin"},
    {"storage"},
    {"summary"},
    {"datasets"},
    {"simd"},
    {"clustering"},
    {"formats"},
    {"provenance"},
    {"captures"},
    {"metrics"},
    {"engines"},
    {"processes"},
    {"scoring"},
    {"rendering"},
    {"runs"},
    {"records", "live"},
    {"training"},
    {"viewpoints"},
    {"pruning"},
    {"evaluation", "pictures"},
    {"compression"},
    {"merging"},
    {"viewing"},
    {"report"},
    {"shrinking"},
    {"demo", "doctor"},
    {"run_report"},
    {"watching"},
    {"batch"},
    {"blocks"},
    {"paper"},
    {"progress_bar"},
    {"commands"},
    {"streams"},
    {"cli"},
    {"__main__"},
]
HEIGHT = {part: height for height, parts in enumerate(LAYERS) for part in parts}


def part_of(module: str) -> str:
    """ "leansplat.engines.cpu.binning" belongs to "engines"."""
    return module.split(".")[1]


def modules() -> list[tuple[str, Path]]:
    found = []
    for path in sorted(SOURCE.rglob("*.py")):
        names = path.relative_to(SOURCE.parent).with_suffix("").parts
        module = ".".join(names[:-1] if names[-1] == "__init__" else names)
        if module != "leansplat":
            found.append((module, path))
    return found


def imported_modules(path: Path) -> set[str]:
    """Modules of leansplat that a file imports, anywhere in it, as dotted names."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute here"
            module = node.module or ""
            # `from leansplat import formats` names a part; `from leansplat.formats import read` is in one already.
            found.update(f"{module}.{alias.name}" for alias in node.names) if module == "leansplat" else found.add(
                module
            )
    return {name for name in found if name.startswith("leansplat")}


def test_every_part_of_the_package_has_its_place_in_the_layers() -> None:
    assert {part_of(module) for module, _ in modules()} == set(HEIGHT)


@pytest.mark.parametrize(("module", "path"), modules(), ids=lambda value: value if isinstance(value, str) else "")
def test_imports_point_downwards_only(module: str, path: Path) -> None:
    for name in imported_modules(path):
        assert name != "leansplat", f"{path} imports the front door, which stands below everything"
        mine, other = part_of(module), part_of(name)
        assert mine == other or HEIGHT[other] < HEIGHT[mine], f"{module} imports {name}, which stands below it"


@pytest.mark.parametrize(("module", "path"), modules(), ids=lambda value: value if isinstance(value, str) else "")
def test_what_an_engine_is_made_of_is_nobody_elses_business(module: str, path: Path) -> None:
    """Engines are reached through `engines.named`; only they know how a scene lies in memory."""
    mine = module.split(".")[1:3]
    for name in imported_modules(path):
        parts = name.split(".")[1:]
        if parts[:1] == ["engines"] and len(parts) > 1 and (SOURCE / "engines" / parts[1]).is_dir():
            assert mine == parts[:2], f"{module} imports {name}, which is the engine's own"


def test_nothing_but_its_command_knows_of_the_paper() -> None:
    knowing = {
        module
        for module, path in modules()
        if part_of(module) != "paper" and any(part_of(name) == "paper" for name in imported_modules(path))
    }
    assert knowing == {"leansplat.commands.paper"}


def imported_names(path: Path) -> Iterator[tuple[str, str]]:
    """Modules of leansplat that a file imports from, with the name that it takes."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
            assert not any(name.split(".")[0] == "leansplat" for name in names), f"{path} imports a module by itself"
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "leansplat":
            yield from ((str(node.module), alias.name) for alias in node.names)


def is_public(module: str, name: str) -> bool:
    """Whether a name is for users: of the front door, of a part that is one file, or listed by a package."""
    if module == "leansplat":
        return name in leansplat.__all__ or name in HEIGHT
    package, _, last = module.rpartition(".")
    listed = getattr(import_module(module), "__all__", None)
    if listed is not None:
        return name in listed
    return not name.startswith("_") and (package == "leansplat" or last in import_module(package).__all__)


@pytest.mark.parametrize("path", sorted((SOURCE / "paper").glob("*.py")), ids=lambda path: path.stem)
def test_the_paper_uses_only_what_any_user_can(path: Path) -> None:
    for module, name in imported_names(path):
        own = part_of(f"{module}.{name}") == "paper"
        assert own or is_public(module, name), f"{path.name} takes {name} from {module}, which is not for users"


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("leansplat.training.checkpoint", "Checkpoint"),
        ("leansplat.training", "loop"),
        ("leansplat.runs", "_remove_run_files"),
        ("leansplat", "simulate"),
    ],
)
def test_what_a_part_keeps_to_itself_is_not_public(module: str, name: str) -> None:
    assert not is_public(module, name)


PROGRAMS = {"recorded_bits.py", "slow/killing.py"}
"""What is run by itself, by the name of its file."""


def test_what_tests_share_is_in_one_place_and_has_no_name_of_a_part() -> None:
    tests = ROOT / "tests"
    modules = {path.relative_to(tests) for path in tests.rglob("*.py")}
    shared = {path for path in modules if not path.name.startswith("test_") and path.name != "conftest.py"}
    assert {str(path) for path in shared if path.parts[0] != "support"} == PROGRAMS
    assert not {path.stem for path in shared} & set(HEIGHT)
    for path in modules:
        folders = re.findall(r"^ *(?:from|import) (\w+)", (tests / path).read_text(encoding="utf-8"), re.MULTILINE)
        assert not {name for name in folders if (tests / name).is_dir()} - {"support"}, f"{path} imports from a folder"


def run_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    return done.stdout


HEAVY = "{'torch', 'numba', 'numpy', 'scipy', 'cv2', 'PIL', 'ray', 'fsspec', 's3fs'} & set(sys.modules)"


def test_importing_leansplat_loads_no_heavy_package() -> None:
    assert run_python(f"import sys, leansplat; print({HEAVY})").strip() == "set()"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["train"],
        ["trim"],
        ["eval"],
        ["demo"],
        ["render"],
        ["info"],
        ["convert"],
        ["download"],
        ["compress"],
        ["report"],
        ["view"],
        ["page"],
        ["batch"],
    ],
)
def test_help_loads_no_heavy_package(arguments: list[str]) -> None:
    code = f"""
import sys
from leansplat.cli import main
try:
    main({[*arguments, "--help"]!r})
except SystemExit as stop:
    assert stop.code == 0
print({HEAVY})
"""
    shown = run_python(code).splitlines()
    assert shown[0].startswith("usage: leansplat")
    assert shown[-1] == "set()"


SUFFIXES = (".ply", ".compressed.ply", ".spz", ".sog", ".splat", ".glb")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_reading_and_writing_a_format_waits_for_neither_pytorch_nor_numba(tmp_path: Path, suffix: str) -> None:
    """But for the palette of a .sog, which takes Numba to write; it comes last."""
    random = np.random.default_rng(0)
    shapes = ((300, 3), (300, 4), (300, 3), (300,), (300, 1, 3), (300, 3, 3))
    values = [0.3 * random.normal(size=shape).astype(np.float32) for shape in shapes]
    source = tmp_path / f"scene{suffix}"
    formats.write(GaussianArrays(*values), source)
    targets = [str(tmp_path / f"out{each}") for each in sorted(SUFFIXES, key=".sog".__eq__)]
    code = f"""
import sys
from leansplat.cli import main
heavy = {{"torch", "numba", "scipy", "cv2", "typeguard"}}
assert main(["info", {str(source)!r}]) == 0
for target in {targets!r}:
    assert not heavy & set(sys.modules), (heavy & set(sys.modules), target)
    assert main(["convert", {str(source)!r}, target]) == 0
    assert main(["info", target]) == 0
print(sorted({{"torch", "numba"}} & set(sys.modules)))
"""
    assert run_python(code).splitlines()[-1] == "['numba']"


@pytest.mark.skipif(sys.platform != "linux", reason="threads of a process are counted in /proc")
@pytest.mark.parametrize(("given", "threads"), [(None, 1), ("3", 3)])
def test_numpy_starts_no_threads_that_nobody_needs_and_the_environment_stays(
    tmp_path: Path, given: str | None, threads: int
) -> None:
    scene = tmp_path / "scene.ply"
    random = np.random.default_rng(0)
    shapes = ((9, 3), (9, 4), (9, 3), (9,), (9, 1, 3), (9, 0, 3))
    formats.write(GaussianArrays(*(random.normal(size=shape).astype(np.float32) for shape in shapes)), scene)
    code = f"""
import os
from leansplat.cli import main
os.environ.pop("OPENBLAS_NUM_THREADS", None)
if {given!r}:
    os.environ["OPENBLAS_NUM_THREADS"] = {given!r}
main(["info", {str(scene)!r}])
print(len(os.listdir("/proc/self/task")), os.environ.get("OPENBLAS_NUM_THREADS"))
"""
    count, kept = run_python(code).splitlines()[-1].split()
    assert kept == str(given)
    assert int(count) == 1 if given is None else int(count) <= threads


@pytest.mark.parametrize("words", [["info"], ["convert"], ["download"], ["--help"]])
def test_a_parser_is_made_for_the_command_that_was_asked_for_alone(words: list[str]) -> None:
    code = f"""
import sys
from leansplat.cli import main
try:
    main({words!r})
except SystemExit:
    pass
print(sorted(name for name in sys.modules if name.startswith("leansplat.commands.")))
"""
    loaded = run_python(code).splitlines()[-1]
    others = [
        name for name in ("info", "convert", "download", "train", "paper") if f"leansplat.commands.{name}'" in loaded
    ]
    assert others == (words if words != ["--help"] else ["info", "convert", "download", "train", "paper"])


@pytest.mark.parametrize("name", leansplat.__all__)
def test_every_name_of_the_front_door_exists(name: str) -> None:
    assert getattr(leansplat, name) is not None


def test_front_door_has_no_other_names() -> None:
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        leansplat.trian  # noqa: B018


def test_version_is_that_of_pyproject() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'version = "{leansplat.__version__}"\n' in project
