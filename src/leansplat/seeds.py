"""`check_seed`: the seeds that everything random takes, PyTorch's generators and NumPy's alike."""

from __future__ import annotations

from leansplat.errors import InputError

LARGEST_SEED = 2**64 - 1
"""PyTorch takes no larger one, NumPy no negative one."""


def check_seed(seed: int) -> None:
    """Refuse a seed that cannot be used.

    Raises:
        InputError: it is not a whole number from 0 to `LARGEST_SEED`.
    """
    if type(seed) is not int or not 0 <= seed <= LARGEST_SEED:
        raise InputError(f"seed is {seed}; give a whole number from 0 to {LARGEST_SEED}")
