r"""How many bytes reports have: of one run, of several, and with the scene and its viewer inside.

    leansplat demo -o DEMO
    python benchmarks/report_sizes.py --demo DEMO

Reports are made of the demo's runs, which anybody can make, and of any others that are given with --runs. They are
written to a temporary folder.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from leansplat.files import write_json
from leansplat.run_report import write_report


def measure(runs: list[Path], folder: Path, *, embed: bool) -> dict[str, Any]:
    output = folder / "report.html"
    began = time.process_time()
    missing = write_report(runs, output, embed=embed, overwrite=True)
    row = {
        "runs": [run.name for run in runs],
        "embed": embed,
        "bytes": output.stat().st_size,
        "processor_seconds": round(time.process_time() - began, 1),
        "missing": missing,
    }
    print(json.dumps(row), flush=True)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--demo", type=Path, required=True)
    parser.add_argument("--runs", type=Path, nargs="*", default=[])
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "report_sizes.json")
    options = parser.parse_args()
    demo = [options.demo / name for name in ("trained", "trimmed", "small.sog")]
    sets = [[demo[0]], [demo[1]], [demo[2]], demo, *([run] for run in options.runs)]
    with tempfile.TemporaryDirectory() as temporary:
        rows = [measure(runs, Path(temporary), embed=embed) for runs in sets for embed in (False, True)]
    write_json(
        options.output,
        {"command": "python benchmarks/report_sizes.py --demo DEMO --runs RUNS", "reports": rows},
        overwrite=True,
    )


if __name__ == "__main__":
    main()
