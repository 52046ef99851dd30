"""What the commands that render nothing cost, next to splat-transform on the same files: processor time and memory.

`leansplat --help`, `info` of a small scene and of a .ply of 124 MB, and `convert` between .ply, .compressed.ply, .spz
and .sog. The scenes are random, but shaped like trained ones: clusters, log-normal sizes, harmonics that are mostly
small. Processor time is that of the whole process, interpreter included, user and system; of several runs the least
counts, and the two tools take turns. leansplat runs as it does once installed, with its bytecode compiled.
splat-transform (`make node`) has no `info` that sums up; its `--stats` is the nearest. Writing a .sog on the CPU it
compares every Gaussian with every entry of a palette, which takes hours at these sizes: it is stopped after --longest
seconds of processor time, and the table says that it takes more. Run it as

    python benchmarks/start_up.py

It prints the table and writes it to benchmarks/results/start_up.json.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import resource
import shlex
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from leansplat.files import write_json

ROOT = Path(__file__).parents[1]
THEIRS = ["node", str(ROOT / "node_modules/@playcanvas/splat-transform/bin/cli.mjs")]
OURS = [sys.executable, "-c", "import sys; from leansplat.cli import main; sys.exit(main())"]
"""What the installed program `leansplat` runs."""
SUFFIXES = (".ply", ".compressed.ply", ".spz", ".sog")
BARS = {"--help": (0.2, None), "info of a small scene": (0.4, 120.0), "info of 124 MB": (0.6, None)}
"""Seconds and megabytes (10^6 bytes) that a command may take."""


def make(paths: list[Path], count: int) -> None:
    """Write Gaussians of degree 3 in clusters of about five hundred, in a process of its own.

    What a process takes at most counts from before it was started, so the one that starts others stays small.
    """
    maker = multiprocessing.get_context("spawn").Process(target=write_scene, args=(paths, count))
    maker.start()
    maker.join()
    if maker.exitcode:
        raise SystemExit("the scenes could not be written")


def write_scene(paths: list[Path], count: int) -> None:
    import numpy as np

    from leansplat import formats
    from leansplat.arrays import GaussianArrays

    random = np.random.default_rng(0)
    clusters = 3 * random.normal(size=(max(1, count // 500), 3))
    values = (
        clusters[random.integers(len(clusters), size=count)] + 0.1 * random.normal(size=(count, 3)),
        random.normal(size=(count, 4)),
        0.7 * random.normal(size=(count, 3)) - 4.5,
        3 * random.normal(size=count),
        random.normal(size=(count, 1, 3)),
        random.laplace(scale=0.06, size=(count, 15, 3)),
    )
    means, quats, scales, opacities, sh0, shN = (each.astype(np.float32) for each in values)
    scene = GaussianArrays(means, quats, scales, opacities, sh0, shN)
    for path in paths:
        formats.write(scene, path, overwrite=True)


def run(command: list[str], environment: dict[str, str], longest: int) -> tuple[float, float, bool]:
    """Processor seconds and the most megabytes of memory of a process, and whether it came to its end."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (longest, longest))

    process = subprocess.Popen(
        command, env=environment, preexec_fn=limit, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    said = process.stderr.read().decode() if process.stderr else ""
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    unit = 1 if sys.platform == "darwin" else 1024
    if process.returncode > 0:
        raise SystemExit(f"{shlex.join(command)} failed:\n{said}")
    return used.ru_utime + used.ru_stime, used.ru_maxrss * unit / 1e6, process.returncode == 0


def best(runs: list[tuple[float, float, bool]]) -> dict[str, Any]:
    seconds = min(each[0] for each in runs)
    return {
        "processor_seconds": round(seconds, 3),
        "peak_megabytes": round(max(each[1] for each in runs), 1),
        "finished": all(each[2] for each in runs),
        "runs": len(runs),
    }


def told(found: dict[str, Any]) -> str:
    seconds = f"{'' if found['finished'] else '> '}{found['processor_seconds']:.3f}"
    return f"{seconds:>10} {found['peak_megabytes']:6.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", type=int, nargs="+", default=[250_000, 1_000_000], help="Gaussians to convert")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each command and tool")
    parser.add_argument("--longest", type=int, default=60, help="processor seconds after which a run is stopped")
    parser.add_argument("--only", default="", help="measure the rows whose name has this again, and keep the others")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "start_up.json")
    arguments = parser.parse_args()

    rows: list[dict[str, Any]] = []
    before = {row["what"]: row for row in json.loads(arguments.output.read_text())["rows"]} if arguments.only else {}
    print(f"{'':48} {'leansplat':>17} {'splat-transform':>17}")
    print(f"{'':48} {'s':>10} {'MB':>6} {'s':>10} {'MB':>6}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
        environment["PYTHONPYCACHEPREFIX"] = str(folder / "bytecode")

        def compare(what: str, ours: list[str], theirs: list[str], *, rounds: int) -> None:
            if arguments.only not in what:
                rows.append(before[what])
                return
            mine, other = [], []
            if rounds > 1:
                run([*OURS, *ours], environment, 3600)  # compiles, fills the page cache
            for _ in range(rounds):
                mine.append(run([*OURS, *ours], environment, 3600))
                other.append(run([*THEIRS, *theirs], environment, arguments.longest))
            row = {"what": what, "leansplat": best(mine), "splat-transform": best(other)}
            rows.append(row)
            print(f"{what:48} {told(row['leansplat'])} {told(row['splat-transform'])}", flush=True)

        small, large = folder / "small.ply", folder / "large.ply"
        make([small], 1_000)
        make([large], 500_000)
        compare("--help", ["--help"], ["--help"], rounds=arguments.rounds)
        for what, path in (("info of a small scene", small), ("info of 124 MB", large)):
            theirs = [str(path), "--quiet", "--stats", "json", "null"]
            compare(what, ["info", str(path)], theirs, rounds=arguments.rounds)
        large.unlink()
        for count in arguments.counts:
            sources = {suffix: folder / f"scene{suffix}" for suffix in SUFFIXES}
            make(list(sources.values()), count)
            for target in SUFFIXES:
                for source in SUFFIXES:
                    slow = target == ".sog"
                    if slow and source != ".ply":  # the time is that of the palette, wherever the scene comes from
                        continue
                    output, other = folder / f"ours{target}", folder / f"theirs{target}"
                    options = ["--overwrite", "--quiet", *(["-g", "cpu"] if slow else [])]
                    compare(
                        f"convert {source} to {target}, {count:,}",
                        ["convert", str(sources[source]), str(output), "--overwrite"],
                        [*options, str(sources[source]), str(other)],
                        rounds=1 if slow else arguments.rounds,
                    )
                    if not output.exists():
                        continue
                    rows[-1]["bytes"] = {
                        "leansplat": output.stat().st_size,
                        "splat-transform": other.stat().st_size if other.exists() else None,
                    }

    missed = []
    for row in rows:
        ours, theirs = row["leansplat"], row["splat-transform"]
        seconds, megabytes = BARS.get(row["what"], (theirs["processor_seconds"], None))
        row["bar"] = {"processor_seconds": seconds, "peak_megabytes": megabytes}
        row["met"] = ours["processor_seconds"] <= seconds and (not megabytes or ours["peak_megabytes"] <= megabytes)
        if not row["met"] and not theirs["finished"]:
            row["met"] = None  # it was stopped too soon to tell
        elif not row["met"]:
            missed.append(row["what"])
    print("All bars are met." if not missed else f"Missed: {'; '.join(missed)}.")
    node, theirs = (
        subprocess.run([*command, "--version"], capture_output=True, text=True) for command in (["node"], THEIRS)
    )
    result = {
        "command": "python benchmarks/start_up.py",
        "cores": os.cpu_count(),
        "load_average_1_min": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "python": platform.python_version(),
        "numpy": version("numpy"),
        "node": node.stdout.strip(),
        "splat_transform": (theirs.stdout + theirs.stderr).strip(),
        "missed": missed,
        "rows": rows,
    }
    write_json(arguments.output, result, overwrite=True)


if __name__ == "__main__":
    main()
