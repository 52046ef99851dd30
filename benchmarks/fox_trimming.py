"""The fox capture, whole: trained for 30,000 iterations, then trimmed to 50 / 25 / 10 / 5 % by the paper's rule and by
opacity alone, 15,000 iterations each, beside a control that prunes nothing.

    python benchmarks/fox_trimming.py --capture data/fox --runs runs/fox30k

Every run is a run folder under --runs; a finished one is not run again, an interrupted one is resumed. The table and
benchmarks/results/fox_trimming.json are made from the runs that are finished.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import sys
from pathlib import Path
from typing import Any

from leansplat.captures import load
from leansplat.captures.capture import Capture
from leansplat.evaluation import evaluate_run
from leansplat.files import write_json
from leansplat.formats import read
from leansplat.pruning import TrimmingConfig, trim
from leansplat.runs import Run, open_run
from leansplat.simd.threads import set_thread_count
from leansplat.training import TrainingConfig, train

KEPT = (0.5, 0.25, 0.1, 0.05)
RESULT = Path(__file__).parent / "results" / "fox_trimming.json"

TO_MATCH = {
    "trained": {"psnr": 31.2, "ssim": 0.908},
    "control": {"psnr": 31.17},
    "gradient 25%": {"psnr": 31.03},
    "gradient 10%": {"psnr": 30.16},
    "gradient 5%": {"psnr": 28.83},
    "opacity 25%": {"psnr": 30.72},
    "opacity 10%": {"psnr": 29.51},
    "opacity 5%": {"psnr": 28.07},
}
"""What a throwaway trainer reached with a schedule of 10,000 + 1,500 iterations, to be matched at every point."""


def jobs() -> dict[str, TrimmingConfig]:
    """Name of each trimming and its settings; the most telling ones first."""
    named = {}
    for keep in (0.25, 0.1, 0.05, 0.5):
        for criterion in ("gradient", "opacity"):
            named[f"{criterion} {keep:.0%}"] = TrimmingConfig(keep=keep, criterion=criterion)
    return {**named, "control": TrimmingConfig(control=True, criterion="gradient")}


def folder_of(runs: Path, name: str) -> Path:
    """Run folder of a job: "gradient 25%" is in gradient_25."""
    return runs / name.replace(" ", "_").replace("%", "")


def finished(folder: Path) -> bool:
    return (
        (folder / "config.json").exists()
        and open_run(folder).events()[-1:] != []
        and (open_run(folder).events()[-1]["event"] == "finished")
    )


def report(step: int, total: int, values: dict[str, float]) -> None:
    if step % 1000 == 0:
        print(
            f"  {step}/{total} loss {values['loss']:.4f}, {values['gaussians']:.0f} Gaussians",
            file=sys.stderr,
            flush=True,
        )


def note_peak_memory(runs: Path) -> None:
    """Keep the largest resident size of this process so far beside the runs."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    write_json(runs / "peak_memory.json", max(peak, peak_memory(runs) or 0), overwrite=True)


def peak_memory(runs: Path) -> int | None:
    path = runs / "peak_memory.json"
    return int(json.loads(path.read_text())) if path.exists() else None


def processor() -> str:
    """Name of the processor, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def row(name: str, run: Run, capture: Capture) -> dict[str, Any]:
    """What the table says of a run; measured once and kept as the run's metrics.json."""
    if not run.metrics_path.exists():
        evaluate_run(run, read(run.scene_path), capture)
    evaluation = json.loads(run.metrics_path.read_text(encoding="utf-8"))
    end = next(event for event in reversed(run.events()) if event["event"] == "finished")
    rounds = [event for event in run.events() if event["event"] == "round"]
    return {
        "name": name,
        "seconds": end["seconds"],
        "threads": run.config["threads"],
        **evaluation,
        "to_match": TO_MATCH.get(name),
        "rounds": rounds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--capture", type=Path, default=Path("data/fox"), help="`leansplat download fox -o data`")
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--downscale", type=int, default=4)
    parser.add_argument("--only", nargs="*", metavar="RUN", help="Only these runs, such as 'gradient 25%%' or control.")
    parser.add_argument("--threads", type=int, help="Threads of this process; two processes of one thread do most.")
    parser.add_argument("--report-only", action="store_true", help="Only make the table from the finished runs.")
    arguments = parser.parse_args()
    if arguments.threads is not None:
        set_thread_count(arguments.threads)
    capture = load(arguments.capture, downscale=arguments.downscale)

    base = arguments.runs / "trained"
    if not finished(base) and not arguments.report_only:
        print("training", file=sys.stderr, flush=True)
        train(capture, TrainingConfig(), base, resume=base.exists(), progress=report)
        note_peak_memory(arguments.runs)
    for name, config in jobs().items():
        folder = folder_of(arguments.runs, name)
        if arguments.only is not None and name not in arguments.only:
            continue
        if not finished(folder) and not arguments.report_only:
            print(name, file=sys.stderr, flush=True)
            trim(base, capture, config, folder, resume=folder.exists(), progress=report)
            note_peak_memory(arguments.runs)

    if arguments.only is not None:
        return
    rows = []
    for name in ("trained", *jobs()):
        folder = folder_of(arguments.runs, name)
        if finished(folder):
            rows.append(row(name, open_run(folder), capture))
    heads = ("run", "Gaussians", "MB", "PSNR", "SSIM", "LPIPS", "fps", "seconds")
    print(("{:<14}" + "{:>11}" * 7).format(*heads))
    for entry in rows:
        lpips = "-" if entry["lpips"] is None else f"{entry['lpips']:.4f}"
        print(
            f"{entry['name']:<14}{entry['gaussians']:>11,}{entry['bytes'] / 1e6:>11.2f}{entry['psnr']:>11.2f}"
            f"{entry['ssim']:>11.4f}{lpips:>11}{entry['fps']:>11.1f}{entry['seconds']:>11.0f}"
        )
    write_json(
        RESULT,
        {
            "command": "python benchmarks/fox_trimming.py --capture data/fox --runs runs/fox30k",
            "capture": "fox at 270x480, every 8th photo held out",
            "processor": processor(),
            "peak_memory_bytes": peak_memory(arguments.runs),
            "not_run": [name for name in jobs() if name not in {entry["name"] for entry in rows}],
            "rows": rows,
        },
        overwrite=True,
    )


if __name__ == "__main__":
    main()
