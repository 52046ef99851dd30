"""Batches of views, and several processes that share them.

    python benchmarks/processes.py --data data

quality    the lean recipe to 15,000 Gaussians on fox (photos of 135x240) in 2,000 views, one a step and several
same       that scene fine-tuned for 48 views with none removed, by one process and by two and four: how far parameters
           are apart, in units of how far they went
pace       the same for 240 views: seconds and processor seconds a view, of one process with all threads and of several
           that share them, side by side; and bytes a step that a process adds up with others
limits     computed, not measured: what that many bytes take on a ring of machines. With G bytes of sums, K machines and
           a network of W bytes a second, adding up takes 2 (K - 1) / K * G / W seconds, and a machine that renders n
           views of t seconds each in a step is busy for n t of n t + that; no overlap of the two, no latency, and no
           time for what process 0 does alone. t is the processor time of a view in one process over its threads.

It prints tables and writes benchmarks/results/processes.json; without --data it computes the limits of what is there
anew. Where other programs want the processor, times on the clock say little, since several processes get more of it
than one: compare processor times.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from leansplat import formats
from leansplat.captures import load
from leansplat.captures.capture import Capture
from leansplat.distributed.environment import place, threads_of
from leansplat.evaluation import evaluate
from leansplat.files import write_json
from leansplat.gaussians import TENSOR_NAMES
from leansplat.ordering import morton_order
from leansplat.simd.threads import set_thread_count, thread_count

RESULT = Path(__file__).parent / "results" / "processes.json"
COMMAND = "python benchmarks/processes.py --data data"
COUNT, VIEWS, DOWNSCALE = 15_000, 2000, 8
BATCHES = (1, 2, 4, 8)
SAME, PACED, REPEATS = 48, 240, 2
NETWORKS = {"10 Gbit/s": 1.25e9, "100 Gbit/s": 12.5e9}
MACHINES = (8, 64)


def photos(data: Path) -> Capture:
    return load(data / "captures" / "fox", downscale=DOWNSCALE)


def quality(data: Path, batch: int, path: Path) -> dict[str, Any]:
    from leansplat.training import lean, train

    capture = photos(data)
    began, cpu = time.perf_counter(), time.process_time()
    scene = train(capture, replace(lean(COUNT, VIEWS, points=capture.has_points), batch=batch)).gaussians
    seconds, processor = time.perf_counter() - began, time.process_time() - cpu
    formats.write(scene, path, overwrite=True)
    found = evaluate(scene, capture, lpips=None, fps=False)
    return {
        "batch": batch,
        "psnr": found.psnr,
        "ssim": found.ssim,
        "seconds": seconds,
        "processor_seconds": processor,
    }


def tuned(scene: Path, data: Path, batch: int, views: int, output: Path) -> dict[str, Any]:
    """Fine-tune a scene in this process, or lead others in it."""
    from leansplat.distributed.joining import leading
    from leansplat.processes.capture import load_shared
    from leansplat.pruning import TrimmingConfig, trim

    channel = leading()
    folder = data / "captures" / "fox"
    if channel is None:
        capture = load(folder, downscale=DOWNSCALE)
    else:
        capture = load_shared(channel, folder, downscale=DOWNSCALE, background=(0.0, 0.0, 0.0), points=True)
    config = TrimmingConfig(keep=1.0, criterion="opacity", rounds=1, every=views - 1, finetune=1, batch=batch)
    start = formats.read(scene)
    trim(start, capture, replace(config, every=batch, finetune=batch))  # compiles, fills caches, hands photos out
    summed, used = 0 if channel is None else channel.bytes_summed, processor_seconds(shared=channel is not None)
    result = trim(start, capture, config)
    used = processor_seconds(shared=channel is not None) - used
    formats.write(result.gaussians, output, overwrite=True)
    steps = -(-views // batch)
    return {
        "batch": batch,
        "threads": thread_count(),
        "seconds_a_view": result.seconds / views,
        "processor_seconds_a_view": used / views,
        "gaussians": len(result.gaussians),
        "bytes_summed_a_step": 0 if channel is None else (channel.bytes_summed - summed) // steps,
    }


def processor_seconds(*, shared: bool) -> float:
    """Of this process, and of those that torchrun started with it, as Linux counts them."""
    if not shared:
        return time.process_time()
    launcher = os.getppid()
    children = Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()
    fields = [Path(f"/proc/{child}/stat").read_text().rsplit(")", 1)[1].split() for child in children]
    return sum(int(each[11]) + int(each[12]) for each in fields) / os.sysconf("SC_CLK_TCK")


def in_processes(count: int, work: dict[str, Any]) -> dict[str, Any]:
    """What a piece of work finds in so many processes with their share of the threads."""
    launcher = [sys.executable]
    if count > 1:
        launcher += ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
    line = [*launcher, __file__, "--work", json.dumps(work)]
    printed = subprocess.run(line, check=True, capture_output=True, text=True).stdout
    found: dict[str, Any] = json.loads(printed)
    return {"processes": count, **found}


def work_on(work: dict[str, Any]) -> None:
    from leansplat.processes.together import follow, leading

    here = place()
    paths = {name: Path(work[name]) for name in ("scene", "data", "output")}
    if here is None:
        print(json.dumps(tuned(paths["scene"], paths["data"], work["batch"], work["views"], paths["output"])))
        return
    set_thread_count(threads_of(here))
    if not here.leads:
        follow(here)
        return
    with leading(here):
        found = tuned(paths["scene"], paths["data"], work["batch"], work["views"], paths["output"])
    print(json.dumps(found))


def apart(first: Path, second: Path, start: Path) -> dict[str, float]:
    """How far two scenes are apart: the mean distance of their parameters over how far these went from the start."""
    scenes = [formats.read(path) for path in (first, second, start)]
    scenes[2] = scenes[2][morton_order(scenes[2].means)]  # in which trimming begins
    found = {}
    for name in TENSOR_NAMES:
        one, two, before = (getattr(scene, name).double() for scene in scenes)
        found[name] = float((one - two).abs().mean() / (one - before).abs().mean())
    return found


def limits(pace: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the network allows, from the pace of one process alone and the bytes of a step."""
    alone = next(each for each in pace if each["processes"] == 1 and each["batch"] > 1)
    view = alone["processor_seconds_a_view"] / alone["threads"]
    summed = next(each for each in pace if each["processes"] > 1)
    found = []
    for network, speed in NETWORKS.items():
        for machines in MACHINES:
            sending = 2 * (machines - 1) / machines * summed["bytes_summed_a_step"] / speed
            for views in (1, 4):
                busy = views * view / (views * view + sending)
                each = {"network": network, "machines": machines, "views_a_machine": views}
                found.append({**each, "sending_seconds": sending, "times_one_machine": machines * busy})
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path)
    parser.add_argument("--work")
    options = parser.parse_args()
    if options.work is not None:
        work_on(json.loads(options.work))
        return
    if options.data is None:
        finish(json.loads(RESULT.read_text()))
        return
    found: dict[str, Any] = {"command": COMMAND, "cores": os.cpu_count(), "capture": "fox", "views": VIEWS}
    with TemporaryDirectory() as folder:
        start = Path(folder) / "batch-1.ply"
        found["quality"] = [quality(options.data, each, Path(folder) / f"batch-{each}.ply") for each in BATCHES]
        for each in found["quality"]:
            print(f"batch {each['batch']}: {each['psnr']:.2f} dB, SSIM {each['ssim']:.4f}")
        work = {"scene": str(start), "data": str(options.data.resolve()), "batch": 4}
        outputs = {count: Path(folder) / f"of-{count}.ply" for count in (1, 2, 4)}
        for count, output in outputs.items():
            in_processes(count, {**work, "views": SAME, "output": str(output)})
        found["same"] = [{"processes": n, "apart": apart(outputs[1], outputs[n], start)} for n in (2, 4)]
        for each in found["same"]:
            print(f"{each['processes']} processes: {max(each['apart'].values()):.2g} apart at most")
        tried: list[list[dict[str, Any]]] = []
        for _ in range(REPEATS):
            tried.append([])
            for count, batch in ((1, 1), (1, 4), (2, 4), (4, 4)):
                tried[-1].append(
                    in_processes(count, {**work, "batch": batch, "views": PACED, "output": str(Path(folder) / "x.ply")})
                )
        found["pace"] = [min(each, key=lambda one: one["seconds_a_view"]) for each in zip(*tried, strict=True)]
        for each in found["pace"]:
            print(
                f"{each['processes']} processes, batch {each['batch']}: {1000 * each['seconds_a_view']:.1f} ms a view, "
                f"{1000 * each['processor_seconds_a_view']:.1f} of the processor, "
                f"{each['bytes_summed_a_step'] / 1e6:.2f} MB added up a step"
            )
    finish(found)


def finish(found: dict[str, Any]) -> None:
    """Add the limits, print them, and write everything."""
    found["limits"] = limits(found["pace"])
    for each in found["limits"]:
        print(
            f"{each['machines']} machines on {each['network']}, {each['views_a_machine']} views each (computed): "
            f"{each['times_one_machine']:.1f} times one"
        )
    write_json(RESULT, found, overwrite=True)


if __name__ == "__main__":
    main()
