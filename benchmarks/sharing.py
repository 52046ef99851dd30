"""What a training step costs when leansplat is not alone on the machine, beside its fair share of it.

Three situations, each tried several times with as many threads as there are cores: one training alone, two trainings at
once, and one beside a process that keeps one core busy. With two programs on the machine, half of it is fair: a step
takes twice as long as alone. (Counted by busy threads, one training beside one busy thread would have two thirds of two
cores, and 1.5 times would be fair; the table has the times, so that anyone can count so.)

A small scene, whose steps are so short that threads wait for each other most often, is tried with leansplat imported
first, with PyTorch imported first, whose own OpenMP then has started before leansplat can set anything, and with the
spins that OpenMP takes by itself; a scene of usual size with the last two.

    python benchmarks/sharing.py

It needs the machine to itself, takes about ten minutes, prints a table and writes benchmarks/results/sharing.json.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from fox_trimming import processor

RESULT = Path(__file__).parent / "results" / "sharing.json"

SCENES = {"small": (18_600, 224, 300), "usual": (100_000, 384, 60)}
"""Gaussians, width and height of a photo, and steps after which one takes about as long as the next."""

PLAN = (
    ("small", "leansplat", "leansplat"),
    ("small", "torch", "leansplat"),
    ("small", "torch", "default"),
    ("usual", "torch", "leansplat"),
    ("usual", "torch", "default"),
)
"""Scene, what is imported first, and who says how long threads spin."""

DEFAULT_SPINS = "300000"
"""What GNU's OpenMP takes where nothing is set."""

BUSY = "while True: pass"
"""Another program, as Python: one thread that never waits."""


def main() -> None:
    if sys.argv[1:2] == ["--worker"]:
        work(sys.argv[2], sys.argv[3], float(sys.argv[4]))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tries", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0, help="How long each try steps.")
    parser.add_argument("--scene", choices=SCENES, help="Measure this one again and keep the other rows.")
    parser.add_argument("--spins", choices=("leansplat", "default"), help="Likewise.")
    arguments = parser.parse_args()
    again = {plan for plan in PLAN if arguments.scene in (None, plan[0]) and arguments.spins in (None, plan[2])}
    before = json.loads(RESULT.read_text(encoding="utf-8"))["rows"] if len(again) < len(PLAN) else []
    cores = len(os.sched_getaffinity(0))
    result: dict[str, Any] = {
        "command": "python benchmarks/sharing.py",
        "processor": processor(),
        "cores": cores,
        "scenes": {name: {"gaussians": count, "size": size} for name, (count, size, _) in SCENES.items()},
        "rows": [row for row in before if (row["scene"], row["first"], row["spins"]) not in again],
    }
    fair = {"alone": 1, "two at once": 2, "beside a busy process": 2}
    print(f"{'scene':6} {'imported first':16} {'spins':10} {'situation':22} {'ms a step':>34}  worst / fair")
    for scene, first, spins in PLAN:
        if (scene, first, spins) not in again:
            continue
        alone = 0.0
        for situation in fair:
            tries = [attempt(situation, scene, first, spins, arguments.seconds) for _ in range(arguments.tries)]
            if situation == "alone":
                alone = statistics.median(tries)
            worst = max(tries) / (alone * fair[situation])
            row = {"scene": scene, "first": first, "spins": spins, "situation": situation, "ms": tries}
            result["rows"].append({**row, "worst_over_fair": worst})
            shown = " ".join(f"{value:.1f}" for value in tries)
            print(f"{scene:6} {first:16} {spins:10} {situation:22} {shown:>34}  {worst:.2f}", flush=True)
    RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def attempt(situation: str, scene: str, first: str, spins: str, seconds: float) -> float:
    """Milliseconds a step in one situation; of two trainings the slower one."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("GOMP_", "OMP_", "KMP_"))}
    if spins == "default":
        environment["GOMP_SPINCOUNT"] = DEFAULT_SPINS
    command = [sys.executable, __file__, "--worker", scene, first, str(seconds)]
    workers = [
        subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2 if situation == "two at once" else 1)
    ]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n", "a worker did not start"
    busy = subprocess.Popen([sys.executable, "-c", BUSY]) if situation == "beside a busy process" else None
    try:
        start = time.monotonic() + 0.5
        for worker in workers:
            assert worker.stdin is not None
            worker.stdin.write(f"{start}\n")
            worker.stdin.flush()
        return max(float(worker.communicate()[0]) for worker in workers)
    finally:
        if busy is not None:
            busy.kill()
            busy.wait()


def work(scene: str, first: str, seconds: float) -> None:
    """Train, say "ready", wait for a time on standard input, then train for `seconds` and print milliseconds a step."""
    if first == "torch":
        import torch  # noqa: F401 - its OpenMP starts here
    from leansplat.captures.synthetic import synthetic_capture
    from leansplat.simd.sharing import FairShare
    from leansplat.training import TrainingConfig, training_step
    from leansplat.training.trainer import begin_training

    count, size, warm_up = SCENES[scene]
    capture = replace(synthetic_capture(8, size), points=None)
    config = TrainingConfig(random_points=count, sh_degree_every=1)
    state = begin_training(capture, config)

    share = FairShare()  # as the loop of every command has it

    def step() -> None:
        with share.step():
            training_step(state, capture.train[state.next_view(len(capture.train))], config, capture.background)

    for _ in range(warm_up):
        step()
    print("ready", flush=True)
    begin = float(sys.stdin.readline())
    time.sleep(max(0.0, begin - time.monotonic()))
    steps = 0
    while time.monotonic() < begin + seconds:
        step()
        steps += 1
    print(1000 * (time.monotonic() - begin) / steps)


if __name__ == "__main__":
    main()
