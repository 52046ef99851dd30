"""The kernel cache: found again by the same sources, and never by others."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import leansplat
from leansplat.simd.compilation import digest_of_sources

PACKAGE = Path(leansplat.__file__).parent


def test_the_cache_is_another_once_any_piece_of_a_kernel_changes(tmp_path: Path) -> None:
    copy = tmp_path / "leansplat"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    assert digest_of_sources(copy) == digest_of_sources(PACKAGE)
    for piece in ("simd/math.py", "engines/cpu/splat.py", "metrics/ssim_kernel.py"):
        before = digest_of_sources(copy)
        path = copy / piece
        stamps = path.stat()
        path.write_text(path.read_text() + "# changed\n")
        os.utime(path, ns=(stamps.st_atime_ns, stamps.st_mtime_ns))
        assert digest_of_sources(copy) != before, piece
    before = digest_of_sources(copy)
    (copy / "errors.py").write_text("")
    assert digest_of_sources(copy) == before


SMALL_KERNEL = """
import sys, torch
from numba.core import event
from leansplat.metrics import ssim
with event.install_recorder("numba:compile") as recorder:
    ssim(torch.zeros(4, 4, 3), torch.ones(4, 4, 3))
print(len([e for _, e in recorder.buffer if e.is_start]))
"""


def test_a_second_process_compiles_nothing(tmp_path: Path) -> None:
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(PACKAGE.parent)}
    counts = [
        int(
            subprocess.run(
                [sys.executable, "-c", SMALL_KERNEL], env=environment, capture_output=True, check=True
            ).stdout
        )
        for _ in range(2)
    ]
    assert counts[0] > 0
    assert counts[1] == 0
