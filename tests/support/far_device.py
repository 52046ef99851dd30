"""`FarDevice`: a device that is not there, whose tensors have values and cannot be mixed with those of the CPU.

To PyTorch they are tensors of the device "meta"; what is done with them is done on the CPU, underneath. As on a card,
an operation on tensors of both devices is an error, but for single numbers and indices, and what comes back to the CPU
is counted.
"""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

_MIXING = {"aten._to_copy", "aten.copy_", "aten.index", "aten.index_put", "aten.index_put_", "aten._index_put_impl_"}
"""What moves, and what takes indices, which PyTorch moves by itself."""
_READING = {"aten._local_scalar_dense", "aten.is_nonzero", "aten.equal"}


class FarTensor(Tensor):
    """A tensor of the device; `near` has its values."""

    near: Tensor

    @staticmethod
    def __new__(cls, near: Tensor) -> FarTensor:
        made: FarTensor = Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls, near.shape, near.stride(), near.storage_offset(), dtype=near.dtype, device="meta"
        )
        made.near = near
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise RuntimeError(f"{func} of tensors of the far device, outside of it")


class FarDevice(TorchDispatchMode):
    """A block in which `device="meta"` has values.

    `back` counts what came to the CPU: the names of operations, each with how often.
    """

    def __init__(self) -> None:
        super().__init__()
        self.back: Counter[str] = Counter()

    def __enter__(self) -> FarDevice:
        self._others = ExitStack()
        self._others.enter_context(_Constants())
        patch = self._others.enter_context(pytest.MonkeyPatch.context())
        generator = torch.Generator
        patch.setattr(torch, "Generator", lambda device="cpu": generator())  # there is none for "meta"
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._others.close()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        name = str(func).rsplit(".", 1)[0]
        given = [value for value in tree_flatten((args, kwargs))[0] if isinstance(value, Tensor)]
        far = {id(value.near): value for value in given if isinstance(value, FarTensor)}
        here = [value for value in given if not isinstance(value, FarTensor)]
        assert not any(value.is_meta for value in here), f"{name} of values that were lost"
        if far and any(value.dim() > 0 for value in here) and name not in _MIXING:
            raise RuntimeError(f"{name} of tensors of two devices, {[tuple(value.shape) for value in given]}")
        asked = kwargs.get("device")
        if asked is not None:
            kwargs["device"] = torch.device("cpu")
        there = bool(far) if asked is None else torch.device(asked).type == "meta"
        if name == "aten.copy_":
            there = isinstance(args[0], FarTensor)
        if far and (name in _READING or not there):
            self.back[name] += 1
        args, kwargs = tree_map(_near, (args, kwargs))
        found = func(*args, **kwargs)
        if not there:
            return found
        return tree_map(lambda value: _far(value, far), found)


class _Constants(TorchFunctionMode):
    """Numbers are made a tensor on the CPU, and then moved; on "meta" they would be lost before anything is seen."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in (Tensor.__getitem__, Tensor.__setitem__):
            tensor, places, *values = args
            args = (tensor, tuple(map(_indices, places)) if isinstance(places, tuple) else _indices(places), *values)
        device = kwargs.pop("device", None) if func in (torch.tensor, torch.as_tensor) else None
        found = func(*args, **kwargs)
        return found if device is None else found.to(device)


def _indices(place: Any) -> Any:
    return torch.tensor(place) if isinstance(place, (list, tuple)) else place


def _near(value: Any) -> Any:
    return value.near if isinstance(value, FarTensor) else value


def _far(value: Any, known: dict[int, FarTensor]) -> Any:
    """What was written in place is the tensor that it was."""
    if not isinstance(value, Tensor):
        return value
    return known[id(value)] if id(value) in known else FarTensor(value)
