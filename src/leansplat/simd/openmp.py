"""The OpenMP under Numba's threads: one of the kernels' own, whose waiting threads soon sleep.

On Linux, PyTorch brings a copy of GNU's OpenMP and makes its functions visible to every library that is loaded later,
Numba's thread pool among them. How long waiting threads spin is read from the environment when that copy is loaded, so
after `import torch` it is too late to say. Loading Numba's pool with a preference for what it was linked with gives it
the system's OpenMP instead, which reads what `leansplat` has set (see `leansplat/__init__.py`).
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress


def load_own_openmp() -> None:
    """Load Numba's OpenMP pool apart from PyTorch's OpenMP; nothing where the system or the installation cannot.

    It must come before the first kernel runs. A process that has used Numba's threads already keeps what it has.
    """
    own_first = getattr(os, "RTLD_DEEPBIND", None)  # glibc only
    if own_first is None:
        return
    flags = sys.getdlopenflags()
    sys.setdlopenflags(flags | own_first)
    try:
        with suppress(ImportError):  # no OpenMP on this system: Numba takes another threading layer
            import numba.np.ufunc.omppool  # noqa: F401
    finally:
        sys.setdlopenflags(flags)
