"""What a training step costs when leansplat is not alone on the machine, beside its fair share of it.

Three situations, each tried several times with as many threads as there are cores: one training alone, two trainings at
once, and one beside a process that keeps one core busy. With two programs on the machine, half of it is fair: a step
takes twice as long as alone. (Counted by busy threads, one training beside one busy thread would have two thirds of two
cores, and 1.5 times would be fair; the table has the times, so that anyone can count so.)

Every situation is tried with leansplat imported first, and with PyTorch imported first, whose own OpenMP then has
started before leansplat can set anything; and once more with the spins that OpenMP takes by itself.

    python benchmarks/sharing.py

It needs the machine to itself, takes about five minutes, prints a table and writes benchmarks/results/sharing.json.
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

GAUSSIANS = 18_600
SIZE = 224
WARM_UP = 30
DEFAULT_SPINS = "300000"
"""What GNU's OpenMP takes where nothing is set."""

BUSY = "while True: pass"
"""Another program, as Python: one thread that never waits."""


def main() -> None:
    if sys.argv[1:2] == ["--worker"]:
        work(sys.argv[2], float(sys.argv[3]))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tries", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=6.0, help="How long each try steps.")
    arguments = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    result: dict[str, Any] = {
        "command": "python benchmarks/sharing.py",
        "processor": processor(),
        "cores": cores,
        "gaussians": GAUSSIANS,
        "size": [SIZE, SIZE],
        "rows": [],
    }
    fair = {"alone": 1, "two at once": 2, "beside a busy process": 2}
    print(f"{'imported first':16} {'spins':10} {'situation':22} {'ms a step':>34}  worst / fair")
    for first, spins in (("leansplat", "leansplat"), ("torch", "leansplat"), ("leansplat", "default")):
        alone = 0.0
        for situation in fair:
            tries = [attempt(situation, first, spins, arguments.seconds) for _ in range(arguments.tries)]
            if situation == "alone":
                alone = statistics.median(tries)
            worst = max(tries) / (alone * fair[situation])
            row = {"first": first, "spins": spins, "situation": situation, "ms": tries, "worst_over_fair": worst}
            result["rows"].append(row)
            shown = " ".join(f"{value:.1f}" for value in tries)
            print(f"{first:16} {spins:10} {situation:22} {shown:>34}  {worst:.2f}", flush=True)
    RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def attempt(situation: str, first: str, spins: str, seconds: float) -> float:
    """Milliseconds a step in one situation; of two trainings the slower one."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("GOMP_", "OMP_", "KMP_"))}
    if spins == "default":
        environment["GOMP_SPINCOUNT"] = DEFAULT_SPINS
    command = [sys.executable, __file__, "--worker", first, str(seconds)]
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


def work(first: str, seconds: float) -> None:
    """Train, say "ready", wait for a time on standard input, then train for `seconds` and print milliseconds a step."""
    if first == "torch":
        import torch  # noqa: F401 - its OpenMP starts here
    from leansplat.captures.synthetic import synthetic_capture
    from leansplat.training import TrainingConfig, training_step
    from leansplat.training.trainer import begin_training

    capture = replace(synthetic_capture(8, SIZE), points=None)
    config = TrainingConfig(random_points=GAUSSIANS, sh_degree_every=1)
    state = begin_training(capture, config)

    def step() -> None:
        training_step(state, capture.train[state.next_view(len(capture.train))], config, capture.background)

    for _ in range(WARM_UP):
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
