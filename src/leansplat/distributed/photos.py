"""Which process holds which photo, as process 0 knows it.

A photo that another process holds is a tensor on PyTorch's device "meta": it has a shape and a type and takes no
memory, and whoever tries to read it is told so by PyTorch. Photos are known by the tensor, whose end is the end of what
is held elsewhere, too. `present` fetches one for the few who look at photos only once.
"""

from __future__ import annotations

import itertools
import weakref
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from leansplat.distributed.joining import leading


@dataclass(frozen=True)
class Held:
    """A photo that one process holds.

    Args:
        key: what it is called among the processes; owner: who holds it.
    """

    key: int
    owner: int


_keys = itertools.count()
_held: dict[int, Held] = {}
_dropped: list[int] = []


def held(photo: Tensor) -> Held | None:
    """Who holds a photo; None where nobody else was told of it."""
    return _held.get(id(photo))


def new_key() -> int:
    """A name for a photo that no other has had."""
    return next(_keys)


def remember(photo: Tensor, key: int, owner: int) -> None:
    """Know from now on who holds a photo, until this tensor ends."""
    _held[id(photo)] = Held(key, owner)
    weakref.finalize(photo, _forget, id(photo), key).atexit = False


def remember_as(photo: Tensor, other: Tensor) -> None:
    """Know `other`, which was made of a photo here, to be held by the same process."""
    found = held(photo)
    if found is not None:
        remember(other, new_key(), found.owner)


def dropped() -> list[int]:
    """The photos whose tensors have ended since this was last asked, for those who hold them."""
    found = list(_dropped)
    _dropped.clear()
    return found


def elsewhere(height: int, width: int, key: int, owner: int) -> Tensor:
    """What stands here for a photo (H, W, 3) uint8 that another process holds."""
    photo = torch.empty(height, width, 3, dtype=torch.uint8, device="meta")
    remember(photo, key, owner)
    return photo


def reduced_elsewhere(photo: Tensor, factor: int, size: tuple[int, int]) -> Tensor:
    """What stands here for a photo, held elsewhere, at 1/factor of its size, which is `size` (width, height)."""
    found, leader = held(photo), leading()
    assert found is not None
    assert leader is not None
    key = new_key()
    leader.tell({"op": "reduce", "photo": found.key, "factor": factor, "as": key})
    return elsewhere(size[1], size[0], key, found.owner)


def present(photo: Tensor) -> Tensor:
    """The photo itself, fetched where another process holds it; nobody keeps it."""
    if not photo.is_meta:
        return photo
    found, leader = held(photo), leading()
    assert found is not None
    assert leader is not None
    leader.tell({"op": "fetch", "photo": found.key, "owner": found.owner, "shape": list(photo.shape)})
    here = torch.empty(photo.shape, dtype=photo.dtype)
    leader.pass_on(here, found.owner)
    return here


def _forget(number: int, key: int) -> None:
    found: Any = _held.get(number)
    if found is not None and found.key == key:
        del _held[number]
    _dropped.append(key)
