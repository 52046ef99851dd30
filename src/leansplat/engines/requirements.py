"""What is installed for engines that need more than Python: versions of packages, and the compiler for cards."""

from __future__ import annotations

import os
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def installed_version(package: str) -> str | None:
    """Of a package; None where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def compiler() -> str | None:
    """The nvcc that kernels for cards are compiled with, of `CUDA_HOME`, of the usual folder or on the path, if any."""
    home = os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH")
    for folder in (home, "/usr/local/cuda"):
        if folder and (found := shutil.which("nvcc", path=str(Path(folder) / "bin"))):
            return found
    return shutil.which("nvcc")
