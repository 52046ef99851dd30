"""The way of a scene through `compress`: which modules it passes, and how often it goes back up to a higher layer.

A module is passed when one of its functions is called with the scene, its file, or what holds it among the arguments.
In the order in which modules are first reached, a step from a part of the package to one that may import it goes back
up; the layers are those of `tests/test_package.py`. To compare two versions of leansplat, run each one's own copy.

    python benchmarks/passage.py [--save NAME]

It takes seconds, prints the modules in order and both counts, and with --save writes them to results/passage.json.
"""

from __future__ import annotations

import argparse
import ast
import itertools
import json
import sys
import tempfile
from dataclasses import is_dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import leansplat

RESULT = Path(__file__).parent / "results" / "passage.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--save", help="Name to write the counts under.")
    save = parser.parse_args().save
    passed, back = way_through_compress()
    print("\n".join(passed))
    print(f"{len(passed)} modules; {back} times back up to a higher layer")
    if save:
        results = json.loads(RESULT.read_text()) if RESULT.exists() else {}
        results[save] = {"modules": passed, "back": back}
        RESULT.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def way_through_compress() -> tuple[list[str], int]:
    """Modules in the order in which the scene first reaches them, and how often the way goes back up."""
    from leansplat.captures.synthetic import synthetic_capture
    from leansplat.compression.config import FineTuningConfig

    capture = synthetic_capture(4, 48)
    scene = leansplat.train(capture, leansplat.TrainingConfig(iterations=5, sh_degree_every=1)).gaussians[:500]
    config = leansplat.CompressionConfig(fine_tuning=FineTuningConfig(steps=3))
    height = layers()
    passed: dict[str, None] = {}
    files: set[str] = set()

    def watch(frame: FrameType, event: str, _: Any) -> None:
        if event != "call":
            return
        module = frame.f_globals.get("__name__", "")
        if not module.startswith("leansplat."):
            return
        code = frame.f_code
        arguments = [frame.f_locals.get(name) for name in code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]]
        if not any(
            str(value) in files if isinstance(value, (str, Path)) else holds_a_scene(value) for value in arguments
        ):
            return
        passed.setdefault(module)

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "scene.ply"
        leansplat.write(scene, file)
        files.add(str(file))
        for suffix in (".npz", ".sog", ".spz", ".compressed.ply"):
            sys.setprofile(watch)
            try:
                leansplat.compress(
                    file, capture, Path(folder) / f"small{suffix}", config, Path(folder) / f"run{suffix}"
                )
            finally:
                sys.setprofile(None)
    heights = [height[part(module)] for module in passed]
    return list(passed), sum(after > before for before, after in itertools.pairwise(heights))


def holds_a_scene(value: Any, depth: int = 2) -> bool:
    """Whether a value is a scene, or a dataclass of leansplat that holds one."""
    kind = type(value)
    if kind.__name__ in {"Gaussians", "PackedGaussians", "SharedGaussians", "CpuModel"}:
        return True
    if depth == 0 or not is_dataclass(value) or not kind.__module__.startswith("leansplat."):
        return False
    return any(holds_a_scene(inner, depth - 1) for inner in vars(value).values())


def layers() -> dict[str, int]:
    """Height of each part of the package by name, from the top of the imports downwards."""
    tests = Path(__file__).parents[1] / "tests" / "test_package.py"
    for node in ast.parse(tests.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "LAYERS":
            found = ast.literal_eval(node.value)
            return {name: height for height, names in enumerate(found) for name in names}
    raise SystemExit(f"{tests} has no LAYERS")


def part(module: str) -> str:
    return module.split(".")[1]


if __name__ == "__main__":
    main()
