"""How many threads the kernels use.

The count is Numba's (environment variable NUMBA_NUM_THREADS, by default one a core). Results are the same bits for the
same count: every thread owns a fixed part of the work and partial sums are added in a fixed order. Another count groups
the sums of gradients differently, which changes their last bits.
"""

import numba

from leansplat.errors import InputError


def thread_count() -> int:
    """Threads the kernels use now."""
    return int(numba.get_num_threads())


def set_thread_count(count: int) -> None:
    """Use `count` threads from now on.

    Raises:
        InputError: the count is below 1 or above what Numba was started with.
    """
    most = int(numba.config.NUMBA_NUM_THREADS)
    if not 1 <= count <= most:
        raise InputError(f"--threads is {count}; it must be between 1 and {most}, the number of cores here")
    numba.set_num_threads(count)
