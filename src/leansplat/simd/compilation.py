"""How kernels are compiled: once, by Numba, into a cache on disk; and a word to the user the first time it happens.

`kernel` marks an entry point that Python calls; `inlined` marks the pieces it is made of. The first call of an entry
point on a machine takes seconds, later processes load it from the cache in milliseconds. Numba would notice a change of
the file an entry point is in, but not of the files its pieces are in; so the cache's folder is named after the content
of all of them.
"""

import functools
import hashlib
import logging
import os
from pathlib import Path

import numba
from numba.core import event

from leansplat.simd.openmp import load_own_openmp

_log = logging.getLogger("leansplat")

_SLOW_TO_COMPILE = "leansplat.engines."

inlined = numba.njit(error_model="numpy", forceinline=True)
"""A function called from kernels."""


def kernel(function):
    """An entry point: compiled with threads, without the interpreter lock, and cached on disk."""
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(_cache_folder())
    try:
        return numba.njit(parallel=True, cache=True, nogil=True, error_model="numpy")(function)
    finally:
        numba.config.CACHE_DIR = before


def digest_of_sources(package):
    """Hexadecimal digest of every file of a package folder that kernels may be made of."""
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        content = path.read_bytes()
        if path.parent.name == "simd" or b"leansplat.simd" in content:
            digest.update(f"{path.relative_to(package)} {len(content)}\n".encode())
            digest.update(content)
    return digest.hexdigest()


@functools.cache
def _cache_folder():
    """Where compiled kernels of this version of the sources go: under NUMBA_CACHE_DIR, else the user's cache."""
    root = os.environ.get("NUMBA_CACHE_DIR")
    if not root:
        root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "leansplat"
    return Path(root) / "kernels" / digest_of_sources(Path(__file__).parents[1])[:16]


class _SayOnce(event.Listener):
    """Logs one line when the first kernel of the renderer has to be compiled; the few others take a second or two."""

    said = False

    def on_start(self, started):
        dispatcher = started.data.get("dispatcher")
        module = getattr(getattr(dispatcher, "py_func", None), "__module__", "") or ""
        if not self.said and module.startswith(_SLOW_TO_COMPILE):
            type(self).said = True
            _log.warning("compiling the CPU kernels for this machine; this takes about a minute, once")

    def on_end(self, ended):
        pass


event.register("numba:compile", _SayOnce())
load_own_openmp()
