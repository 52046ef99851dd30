"""Forty small scenes on a farm: two Ray nodes on this machine, an S3 server, and what is killed and restarted.

    python benchmarks/farm.py              measures, and writes benchmarks/results/farm.json
    python benchmarks/farm.py --requests   counts what a conversion asks of the storage, and adds that to the file
    python benchmarks/farm.py --cost       computes from committed results what a million scenes would take and cost

38 scenes are converted, which takes about a second each; two are trimmed for 5,500 steps with a checkpoint after 2,500.
They are done one after the other in a loop; from S3 to S3 on the cluster, while the server is restarted in the middle;
and from disk on the cluster, where a worker and then a node are killed by -9. Besides, the memory of the process that
gives out work is compared between a batch of 10 and one of 10,000 scenes.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
RESULT = RESULTS / "farm.json"
sys.path.insert(0, str(ROOT / "tests"))

CONVERTED, TRIMMED = 38, 2

INSTANCES = {
    "c7i.2xlarge": {"cores": 4, "dollars_an_hour": 0.357},
    "c7a.2xlarge": {"cores": 8, "dollars_an_hour": 0.41056},
}
"""Of Amazon EC2, on demand, in us-east-1, by its list of 2024: an assumption to be replaced, see docs/farm.md."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", action="store_true")
    parser.add_argument("--cost", action="store_true")
    arguments = parser.parse_args()
    if arguments.cost:
        print(costs())
    elif arguments.requests:
        from leansplat.files import write_json

        found = {**json.loads(RESULT.read_text()), "requests": requests_of_a_conversion()}
        write_json(RESULT, found, overwrite=True)
        print(found["requests"])
    else:
        measure()


def measure() -> None:
    """Do everything that the head of this file says."""
    from support.ray_cluster import two_nodes
    from support.s3_server import serving_s3

    from leansplat.files import write_json

    rows: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name, serving_s3() as server:
        folder = Path(name)
        os.environ["LEANSPLAT_SCRATCH"] = str(folder / "scratch")
        photographed = inputs(folder)
        run_all(tasks(f"{folder}/in", f"{folder}/warm"), _in_a_loop, only=("scene-0", "trimmed-0"))  # compiles kernels
        rows["loop"] = run_all(tasks(f"{folder}/in", f"{folder}/loop"), _in_a_loop)
        print("loop", rows["loop"], flush=True)
        with two_nodes() as cluster:
            rows["s3"] = on_s3(cluster, server, photographed)
            print("s3", rows["s3"], flush=True)
            rows["driver"] = {str(count): driver_memory(cluster, folder, count) for count in (10, 10_000)}
            print("driver", rows["driver"], flush=True)
            rows["killed"] = killed(cluster, folder)
            print("killed", rows["killed"], flush=True)
    for kind in ("s3", "killed"):
        rows[kind]["times_the_loop"] = rows["loop"]["seconds"] / rows[kind]["seconds"]
    write_json(RESULT, {"command": "python benchmarks/farm.py", "scenes": CONVERTED + TRIMMED, **rows}, overwrite=True)


def inputs(folder: Path) -> Path:
    """The scenes and the photos, in a folder named "in"."""
    from support.random_cloud import cloud
    from support.stored_scenes import write_photographed

    from leansplat import formats

    place = folder / "in"
    place.mkdir()
    write_photographed(place)
    for number in range(CONVERTED):
        formats.write(cloud(2_000), place / f"{number}.ply")
    return place


def tasks(source: str, target: str) -> list[Any]:
    """The forty tasks; those that take long come first."""
    from leansplat.batch.tasks import Place, Task

    made = [
        Task(
            f"trimmed-{number}",
            (
                *("trim", Place(f"{source}/scene.ply", "input"), "--capture", Place(f"{source}/photos", "input")),
                *("--keep", "50%", "--rounds", "2", "--every", "500", "--finetune", "4500", "--seed", str(number)),
                *("-o", Place(f"{target}/trimmed-{number}", "run")),
            ),
            f"{target}/trimmed-{number}.log",
        )
        for number in range(TRIMMED)
    ]
    for number in range(CONVERTED):
        places = Place(f"{source}/{number}.ply", "input"), Place(f"{target}/scene-{number}.spz", "output")
        made.append(Task(f"scene-{number}", ("convert", *places), f"{target}/scene-{number}.log"))
    return made


Ended = Callable[[int], None]


def _in_a_loop(chosen: list[Any], ended: Ended) -> dict[str, Any]:
    from leansplat.batch.piece import run_piece

    return {task.name: run_piece(task) for task in chosen}


def run_all(
    every: list[Any],
    run: Callable[[list[Any], Ended], dict[str, Any]],
    *,
    ended: Ended = lambda count: None,
    only: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Run tasks; how long it took and what became of them.

    Args:
        ended: told how many have ended, whenever one has.
        only: names of some of them.
    """
    began = time.perf_counter()
    outcomes = run([task for task in every if not only or task.name in only], ended)
    seconds = time.perf_counter() - began
    finished = [outcome for outcome in outcomes.values() if outcome.status == "finished"]
    return {
        "seconds": round(seconds, 1),
        "finished": len(finished),
        "of": len(outcomes),
        "nodes": len({outcome.where for outcome in finished}),
        "sentences": sorted({outcome.sentence for outcome in outcomes.values() if outcome.sentence}),
    }


def on_cluster(cluster: Any) -> Callable[[list[Any], Ended], dict[str, Any]]:
    """What runs tasks on a cluster."""
    from leansplat.batch import Cost, outcomes
    from leansplat.batch.ray_executor import RayExecutor

    def run(chosen: list[Any], ended: Ended) -> dict[str, Any]:
        found = {}
        with RayExecutor(cluster.address, Cost()) as executor:
            for task, outcome in outcomes(iter(chosen), executor):
                found[task.name] = outcome
                ended(len(found))
        return found

    return run


def on_s3(cluster: Any, server: Any, place: Path) -> dict[str, Any]:
    """All from S3 to S3, with the server away for two seconds after ten scenes."""
    from support.stored_scenes import names

    from leansplat.storage import put_file

    store = server.bucket()
    for path in place.rglob("*.*"):
        put_file(path, f"{store}/in/{path.relative_to(place).as_posix()}")

    def restart() -> None:
        server.stop()
        time.sleep(2)
        server.start()

    def ended(count: int) -> None:
        if count == 10:
            threading.Thread(target=restart).start()

    row = run_all(tasks(f"{store}/in", f"{store}/out"), on_cluster(cluster), ended=ended)
    outputs = names(f"{store}/out")
    row["outputs_whole"] = sum(f"scene-{number}.spz" in outputs for number in range(CONVERTED)) + sum(
        f"trimmed-{number}/scene.ply" in outputs for number in range(TRIMMED)
    )
    row["staged_left"] = sum("/staged" in name or ".run/" in name for name in names(f"{store}/out", hidden=True))
    return row


def killed(cluster: Any, folder: Path) -> dict[str, Any]:
    """All from disk; the worker of a trimming is killed once there is a checkpoint, and after half of all a node."""
    from support.ray_cluster import until

    target = folder / "killed"
    steps: dict[str, int] = {}

    def kill_worker() -> None:
        run = target / "trimmed-0"
        until(lambda: bool(list(run.glob("checkpoints/*.safetensors"))), seconds=600)
        until(lambda: cluster.kill_worker("trimmed-0"))
        steps["when_killed"] = _steps(run / "log.jsonl", "progress")[-1]

    def ended(count: int) -> None:
        if count == (CONVERTED + TRIMMED) // 2:
            cluster.kill_second_node()

    killing = threading.Thread(target=kill_worker)
    killing.start()
    row = run_all(tasks(f"{folder}/in", str(target)), on_cluster(cluster), ended=ended)
    killing.join()
    resumed = _steps(target / "trimmed-0" / "log.jsonl", "resumed")
    row["trimmed-0"] = {**steps, "gone_on_from": resumed, "redone": steps["when_killed"] - resumed[0]}
    return row


def _steps(log: Path, event: str) -> list[int]:
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines() if line.endswith("}")]
    return [line["step"] for line in lines if line["event"] == event]


def driver_memory(cluster: Any, folder: Path, count: int) -> dict[str, Any]:
    """Memory of `leansplat batch --ray` with so many scenes, when some have ended; it is stopped by Ctrl-C then."""
    place = folder / f"queue-{count}"
    place.mkdir()
    lines = [json.dumps({"input": str(folder / "in/0.ply"), "output": f"{number}.spz"}) for number in range(count)]
    (place / "scenes.jsonl").write_text("\n".join(lines))
    words = ["batch", str(place / "scenes.jsonl"), "-o", str(place / "out"), "--ray", cluster.address, "--quiet"]
    process = subprocess.Popen(
        [sys.executable, "-m", "leansplat", *words, "--format", "spz", "--", "convert"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    journal = place / "out" / "batch.jsonl"
    while process.poll() is None and _ended(journal) < 8:
        time.sleep(0.2)
    status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    return {"peak_megabytes": round(peak / 1e3, 1), "said": said.decode().strip().splitlines()[-1:]}


def _ended(journal: Path) -> int:
    return journal.read_text().count('"event": "ended"') if journal.exists() else 0


def requests_of_a_conversion() -> dict[str, int]:
    """What one conversion from S3 to S3 asks of the storage, by kind."""
    from collections import Counter

    from s3fs import S3FileSystem
    from support.s3_server import serving_s3

    from leansplat.batch.piece import run_piece
    from leansplat.storage import put_file

    counted: Counter[str] = Counter()
    call = S3FileSystem._call_s3

    def counting(self: Any, method: str, *arguments: Any, **options: Any) -> Any:
        counted[method] += 1
        return call(self, method, *arguments, **options)

    with tempfile.TemporaryDirectory() as name, serving_s3() as server:
        os.environ["LEANSPLAT_SCRATCH"] = f"{name}/scratch"
        inputs(Path(name))
        store = server.bucket()
        put_file(Path(name) / "in/0.ply", f"{store}/in/0.ply")
        S3FileSystem._call_s3 = counting
        try:
            outcome = run_piece(tasks(f"{store}/in", f"{store}/out")[TRIMMED])
        finally:
            S3FileSystem._call_s3 = call
    assert outcome.status == "finished", outcome.sentence
    return {**counted, "all": counted.total()}


def costs() -> str:
    """A table of what a million scenes would take and cost, by kind of work and of instance."""
    lines = [
        "| work | scenes an hour a core | instance | instance hours | dollars |",
        "| --- | --- | --- | --- | --- |",
    ]
    for work, core_seconds in core_seconds_a_scene().items():
        for name, instance in INSTANCES.items():
            hours = 1e6 * core_seconds / 3600 / instance["cores"]
            dollars = hours * instance["dollars_an_hour"]
            lines.append(f"| {work} | {3600 / core_seconds:,.0f} | {name} | {hours:,.0f} | {dollars:,.0f} |")
    return "\n".join(lines)


def core_seconds_a_scene() -> dict[str, float]:
    """Seconds of a core that one scene takes, from results that were measured with all of a machine's cores at work."""
    shrunk = {row["scene"]: row for row in _rows("shrink_default")}["plant"]
    photos = {row["capture"]: row for row in _rows("photos_to_file")}["fox"]
    cores = json.loads((RESULTS / "photos_to_file.json").read_text())["cores"]
    timings = json.loads((RESULTS / "fox_time.json").read_text())
    whole = min(timing["total"] for timing in timings["timings"])
    return {
        f"shrink, {shrunk['gaussians']['given']:,} Gaussians": shrunk["seconds"] * cores,
        f"train -o FILE, {photos['steps']:,} steps": photos["seconds"] * cores,
        "train by 3DGS, then trim": whole * timings["threads"],
    }


def _rows(name: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((RESULTS / f"{name}.json").read_text())["rows"]
    return rows


if __name__ == "__main__":
    main()
