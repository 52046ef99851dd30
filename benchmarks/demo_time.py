"""How long `leansplat demo` takes where no kernel has been compiled before, alone on the machine.

    python benchmarks/demo_time.py

runs it in a process of its own, with an empty folder for compiled kernels, so that compiling is part of it, as it is
for somebody who has just installed the package. It writes benchmarks/results/demo_time.json.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path

from own_process import measured

from leansplat.files import write_json

RESULT = Path(__file__).parent / "results" / "demo_time.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        command = ["demo", "--output", str(Path(temporary) / "demo")]
        found = measured(command, {"NUMBA_CACHE_DIR": str(Path(temporary) / "kernels")})
    result = {
        "command": "python benchmarks/demo_time.py",
        "cores": os.cpu_count(),
        "load_average_1_min": round(os.getloadavg()[0], 2),
        "seconds": round(found.seconds, 1),
        "seconds_of_demo": round(found.answer["seconds"], 1),
        "peak_megabytes": round(found.peak_megabytes),
        "scenes": {
            name: {key: found.answer[name][key] for key in ("gaussians", "bytes", "psnr", "ssim")}
            for name in ("trained", "trimmed", "small")
        },
    }
    print(json.dumps(result, indent=2))
    write_json(RESULT, result, overwrite=True)


if __name__ == "__main__":
    main()
