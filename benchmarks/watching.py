r"""What it costs a run to be watched: processor time of the same training steps, with and without a watcher.

    python benchmarks/watching.py --bases FOLDER

FOLDER has run folders of `leansplat train`, made by
    leansplat train CAPTURES/NAME -o FOLDER/NAME --downscale N --iterations 10000
by the name of their capture; those named with --names are gone on with, without pruning. Trials with and without a
watcher alternate, since a machine has moods. The watcher is the process that `--view` starts, asked once a second by
itself in place of a browser, with every scene fetched. Counted is the processor time of the run's own process, all its
threads together, and in it what showing takes by itself, which the machine's moods do not move. What the watcher's
process takes is counted apart: it is niced, and is not the run's.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from leansplat.captures import load
from leansplat.files import write_json
from leansplat.live import Live
from leansplat.pruning import TrimmingConfig, trim
from leansplat.runs import open_run

ROOT = Path(__file__).parents[1]
REPEATS = 2


def ask(folder: Path) -> None:
    """Watch a run as a browser does, until that is over; prints the watcher's processor time and its scenes."""
    from leansplat.watching import Watching

    os.nice(10)
    seen: list[str] = []
    charts = None
    ready = time.process_time()
    with Watching(folder) as watching:
        while not (folder.parent / "over").exists():
            with urllib.request.urlopen(f"{watching.address}state.json") as answer:
                state = json.loads(answer.read())
            wanted = []
            if state["charts"] != charts:
                charts = state["charts"]
                wanted.append("charts.html")
            if state["scene"] and state["scene"]["url"] not in seen:
                seen.append(state["scene"]["url"])
                wanted.append(f"viewer/{seen[-1]}")
            for name in wanted:
                with urllib.request.urlopen(f"{watching.address}{name}") as answer:
                    while answer.read(1 << 20):
                        pass
            time.sleep(1)
    print(json.dumps({"seconds": time.process_time() - ready, "scenes": len(seen)}))


def counted() -> dict[str, float]:
    """The processor seconds that showing takes from now on: between steps, and in the thread that writes."""
    own = {"between_steps": 0.0, "writing": 0.0, "scenes": 0.0}
    tell, start = Live.tell, Live._start

    def telling(self: Live, *arguments: Any) -> bool:
        began = time.thread_time()
        try:
            return tell(self, *arguments)
        finally:
            own["between_steps"] += time.thread_time() - began

    def starting(self: Live, work: Callable[[], None]) -> None:
        def timed() -> None:
            work()
            own["writing"] += time.thread_time()  # a thread begins at zero
            own["scenes"] += 1

        start(self, timed)

    Live.tell, Live._start = telling, starting  # type: ignore[method-assign]
    return own


def trial(base: Path, steps: int, *, watched: bool, place: Path) -> dict[str, Any]:
    """Processor seconds of `steps` steps, in this process."""
    run = open_run(base)
    capture = load(run.config["settings"]["capture"], downscale=run.config["settings"].get("downscale") or 1)
    folder = place / "run"
    folder.mkdir(parents=True)
    watcher = None
    if watched:
        command = [sys.executable, __file__, "--ask", str(folder)]
        watcher = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        time.sleep(6)  # until it is there
    marks: list[float] = []
    own = counted()

    def mark(done: int, total: int, values: Any) -> None:
        marks.append(time.process_time())

    wall = time.perf_counter()
    config = TrimmingConfig(control=True, criterion="gradient", rounds=1, every=1, finetune=steps - 1)
    trim(base, capture, config, folder, progress=mark)
    wall = time.perf_counter() - wall
    found = {"watched": watched, "processor_seconds": marks[-1] - marks[0], "wall_seconds": wall}
    found |= own
    if watcher is not None:
        (place / "over").touch()
        out, _ = watcher.communicate()
        found["watcher"] = json.loads(out)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bases", type=Path)
    parser.add_argument("--names", nargs="+", default=["fox"])
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--ask", type=Path)
    parser.add_argument("--trial", nargs=2, metavar=("BASE", "WATCHED"))
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "watching.json")
    given = parser.parse_args()
    if given.ask is not None:
        ask(given.ask)
        return
    if given.trial is not None:
        with tempfile.TemporaryDirectory() as place:
            base, watched = given.trial
            print(json.dumps(trial(Path(base), given.steps, watched=watched == "1", place=Path(place))))
        return
    results = []
    for name in given.names:
        base = given.bases / name
        gaussians = json.loads((base / "metrics.json").read_text())["gaussians"]
        trials = []
        for number in range(2 * REPEATS):
            command = [sys.executable, __file__, "--steps", str(given.steps), "--trial", str(base), str(number % 2)]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            trials.append(json.loads(done.stdout.splitlines()[-1]))
            print(name, trials[-1], flush=True)
        without, with_one = (
            statistics.fmean(each["processor_seconds"] for each in trials if each["watched"] == watched)
            for watched in (False, True)
        )
        more = with_one / without - 1
        watched = [each for each in trials if each["watched"]]
        own = sum(each["between_steps"] + each["writing"] for each in watched)
        share = own / sum(each["processor_seconds"] for each in watched)
        results.append(
            {
                "name": name,
                "gaussians": gaussians,
                "steps": given.steps,
                "more": more,
                "showing": share,
                "trials": trials,
            }
        )
        print(
            f"{name}: {gaussians:,} Gaussians, {without:.1f} s without and {with_one:.1f} s with: {more:+.1%}; "
            f"showing itself {share:.2%}"
        )
        command = (
            f"python benchmarks/watching.py --bases FOLDER --names {shlex.join(given.names)} --steps {given.steps}"
        )
        write_json(given.output, {"command": command, "results": results}, overwrite=True)


if __name__ == "__main__":
    main()
