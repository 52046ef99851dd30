"""How kernels are compiled: once, by Numba, into a cache on disk; and a word to the user the first time it happens.

`kernel` marks an entry point that Python calls; `inlined` marks the pieces it is made of. The first call of an entry
point on a machine takes seconds, later processes load it from the cache in milliseconds.
"""

import logging

import numba
from numba.core import event

_log = logging.getLogger("leansplat")

_SLOW_TO_COMPILE = ("leansplat.render.", "leansplat.training.")

inlined = numba.njit(error_model="numpy")
"""A function called from kernels."""


def kernel(function=None, *, fast_math=False):
    """An entry point: compiled with threads, without the interpreter lock, and cached on disk.

    Args:
        fast_math: let LLVM reorder sums and assume finite numbers, for plain loops it can then vectorise.
    """

    def compile_lazily(function):
        flags = {"nnan", "ninf", "nsz", "arcp", "contract", "afn", "reassoc"} if fast_math else False
        return numba.njit(parallel=True, cache=True, nogil=True, error_model="numpy", fastmath=flags)(function)

    return compile_lazily if function is None else compile_lazily(function)


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
