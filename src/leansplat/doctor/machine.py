"""What leansplat runs on here: versions, processor, memory and card."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path

import torch
from llvmlite.binding import get_host_cpu_features, get_host_cpu_name

from leansplat.engines.requirements import compiler, installed_version
from leansplat.memory import available_memory
from leansplat.simd.threads import thread_count

PACKAGES = ("leansplat", "torch", "numpy", "numba", "llvmlite", "gsplat", "ninja", "packaging")
_FEATURES = ("avx512f", "avx2", "fma", "neon")
_PATIENCE = 20
"""Seconds that nvcc may take to say its version."""


def machine() -> dict[str, str]:
    """Facts by what they are called, in the order to print them; "none" for what is not there."""
    found = {"Python": platform.python_version(), "system": platform.platform()}
    found |= {package: installed_version(package) or "none" for package in PACKAGES}
    features = get_host_cpu_features()
    kernels = " ".join(name for name in _FEATURES if features.get(name)) or "none"
    found["processor"] = f"{_processor()} ({get_host_cpu_name()}; {kernels})"
    found["threads"] = str(thread_count())
    memory = available_memory()
    found["memory free"] = "unknown" if memory is None else f"{memory / 2**30:.1f} GiB"
    found["CUDA of PyTorch"] = str(torch.version.cuda or "none")
    found["nvcc"] = _nvcc()
    found["card"] = _card()
    return found


def _processor() -> str:
    """As the system calls it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


def _nvcc() -> str:
    path = compiler()
    if path is None:
        return "none"
    try:
        told = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=_PATIENCE, check=True).stdout
    except (OSError, subprocess.SubprocessError) as error:
        return f"{path} ({error})"
    releases = [line.strip() for line in told.splitlines() if "release" in line]
    return f"{path} ({releases[0] if releases else 'of no release'})"


def _card() -> str:
    if not torch.cuda.is_available():
        return "none"
    card = torch.cuda.get_device_properties(0)
    return f"{card.name}, {card.total_memory / 2**30:.1f} GiB, compute capability {card.major}.{card.minor}"
