"""Does a run on the CPU pay anything for the engine of graphics cards? Two source trees, side by side.

    git worktree add --detach BEFORE 1893da0
    python benchmarks/engine_cost.py BEFORE/src src

1893da0 is the last commit before that engine came in. Compared are the processor time of processes that start (the
help, a command that reads a scene, and what a training imports), the modules that they import, the processor time of a
training step, and the packages that an installation needs. Processes of the two trees take turns, so that whatever else
the machine does meets both alike; of each the least counts, and the ratio of the medians stands beside it. Written to
benchmarks/results/engine_cost.json.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from engine_seam import SIZES, block

from leansplat.files import write_json

RESULT = Path(__file__).parent / "results" / "engine_cost.json"
_MAIN = """
import sys
from leansplat.cli import main
try:
    main(sys.argv[1:])
except SystemExit:  # with which the help ends
    pass
"""
_TRAINING = """
from leansplat import engines
from leansplat.captures.synthetic import synthetic_capture
from leansplat.training import TrainingConfig, train
engines.named("cpu")
"""
_MODULES = "\nimport json, sys; print(json.dumps(sorted(sys.modules)))"


def environment(source: Path, bytecode: str) -> dict[str, str]:
    variables = {**os.environ, "PYTHONPATH": str(source.resolve()), "PYTHONPYCACHEPREFIX": bytecode}
    variables.pop("PYTHONDONTWRITEBYTECODE", None)
    return variables


def seconds(command: list[str], variables: dict[str, str]) -> float:
    """Processor time of a process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, env=variables, stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def modules(code: str, words: list[str], variables: dict[str, str]) -> set[str]:
    """What a process has imported in the end."""
    command = [sys.executable, "-c", code + _MODULES, *words]
    told = subprocess.run(command, env=variables, stdout=subprocess.PIPE, text=True, check=True).stdout
    return set(json.loads(told.splitlines()[-1]))


def required(source: Path) -> list[str]:
    """The packages that every installation gets, with their versions."""
    lines = (source.parent / "pyproject.toml").read_text(encoding="utf-8").splitlines()
    first = lines.index("dependencies = [") + 1
    return [line.split('"')[1] for line in lines[first : lines.index("]", first)]]


def compared(found: dict[str, list[float]]) -> dict[str, float]:
    return {
        "before_ms": round(1000 * min(found["before"]), 3),
        "after_ms": round(1000 * min(found["after"]), 3),
        "ratio": round(min(found["after"]) / min(found["before"]), 4),
        "ratio_of_medians": round(statistics.median(found["after"]) / statistics.median(found["before"]), 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--starts", type=int, default=15, help="Processes of each kind and tree.")
    parser.add_argument("--blocks", type=int, default=5, help="Of training steps, of each size and tree.")
    parser.add_argument("--sizes", nargs="+", choices=list(SIZES), default=list(SIZES), help="Of the steps.")
    arguments = parser.parse_args()
    trees = {"before": arguments.before, "after": arguments.after}
    rows: list[dict[str, Any]] = []

    def add(row: dict[str, Any]) -> None:
        rows.append(row)
        print(
            f"{row['what']:50} {row['before_ms']:10.2f} ms {row['after_ms']:10.2f} ms {row['ratio']:7.3f}", flush=True
        )

    with tempfile.TemporaryDirectory() as folder:
        variables = {tree: environment(source, f"{folder}/{tree}") for tree, source in trees.items()}
        scene = f"{folder}/scene.ply"
        made = (
            "import sys; from leansplat.doctor.scene import made_up_scene; from leansplat import formats; "
            "formats.write(made_up_scene(1000), sys.argv[1])"
        )
        subprocess.run([sys.executable, "-c", made, scene], env=variables["after"], check=True)
        processes = {
            "leansplat --help": (_MAIN, ["--help"]),
            "leansplat info of 1,000 Gaussians": (_MAIN, ["info", scene]),
            "imports of a training": (_TRAINING, []),
        }
        for what, (code, words) in processes.items():
            found: dict[str, list[float]] = {"before": [], "after": []}
            imported = {tree: modules(code, words, variables[tree]) for tree in trees}
            for index in range(arguments.starts):
                for tree in ("before", "after") if index % 2 == 0 else ("after", "before"):
                    found[tree].append(seconds([sys.executable, "-c", code, *words], variables[tree]))
            more = sorted(imported["after"] - imported["before"])
            counts = {f"modules_{tree}": len(names) for tree, names in imported.items()}
            add({"what": what, **compared(found), **counts, "modules_more": more})
            forbidden = [name for name in more if name.split(".")[0] == "gsplat" or ".engines.torch" in name]
            assert not forbidden, f"{what} imports {forbidden}"
    for name in arguments.sizes:
        sizes = SIZES[name]
        blocks: dict[str, list[dict[str, float]]] = {"before": [], "after": []}
        for index in range(arguments.blocks):
            for tree in ("before", "after") if index % 2 == 0 else ("after", "before"):
                blocks[tree].append(block(trees[tree], **sizes, threads=1))
        for kind in blocks["before"][0]:
            found = {tree: [each[kind] for each in told] for tree, told in blocks.items()}
            add({"what": f"step, {name}, {sizes['points']:,} Gaussians, {kind}", **compared(found)})
    packages = {tree: required(source) for tree, source in trees.items()}
    more = sorted(set(packages["after"]) - set(packages["before"]))
    print(f"packages that every installation needs: {len(packages['before'])} before, {len(packages['after'])} after")
    result = {
        "command": "python benchmarks/engine_cost.py BEFORE/src src",
        "before": "1893da0",
        "unit": "processor time",
        "starts": arguments.starts,
        "blocks": arguments.blocks,
        "packages": {"before": len(packages["before"]), "after": len(packages["after"]), "more": more},
        "rows": rows,
    }
    write_json(RESULT, result, overwrite=True)


if __name__ == "__main__":
    main()
