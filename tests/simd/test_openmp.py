"""How the kernels' threads wait: as set before OpenMP is loaded, and in an OpenMP of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.patience import PATIENCE

SETTINGS = ("GOMP_SPINCOUNT", "KMP_BLOCKTIME", "OMP_WAIT_POLICY")


def run_python(code: str, **environment: str) -> str:
    others = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env={**others, **environment}, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    return done.stdout


def settings_after_import(**environment: str) -> dict[str, str | None]:
    shown = run_python(f"import os, leansplat; print(*(os.environ.get(name) for name in {SETTINGS}))", **environment)
    values = (None if word == "None" else word for word in shown.split())
    return dict(zip(SETTINGS, values, strict=True))


def test_waiting_threads_sleep_soon() -> None:
    assert settings_after_import() == {"GOMP_SPINCOUNT": "1000", "KMP_BLOCKTIME": "1", "OMP_WAIT_POLICY": None}


@pytest.mark.parametrize("name", SETTINGS)
def test_what_the_user_has_set_stays(name: str) -> None:
    assert settings_after_import(**{name: "7"})[name] == "7"


def test_a_wait_policy_of_the_users_own_decides_alone() -> None:
    """A spin count would win over the policy."""
    assert settings_after_import(OMP_WAIT_POLICY="passive")["GOMP_SPINCOUNT"] is None


def test_kernels_do_not_run_on_the_openmp_of_a_pytorch_that_was_imported_first(tmp_path: Path) -> None:
    """It was loaded before anything could be set. The dynamic linker tells whose functions Numba's pool was given."""
    if not hasattr(os, "RTLD_DEEPBIND"):
        pytest.skip("needs glibc, whose linker can be told which library comes first")
    code = "import torch, numba, leansplat.simd.compilation; numba.get_num_threads(); print(numba.threading_layer())"
    shown = run_python(code, LD_DEBUG="bindings", LD_BIND_NOW="1", LD_DEBUG_OUTPUT=str(tmp_path / "linker"))
    if shown.strip() != "omp":
        pytest.skip(f"Numba's threads run on {shown.strip()} here")
    given = [
        line.split(" to ")[1].split(" ")[0]
        for log in tmp_path.iterdir()
        for line in log.read_text(errors="replace").splitlines()
        if "omppool" in line and "`GOMP_parallel'" in line
    ]
    assert len(given) == 1
    assert "/torch/" not in given[0]
