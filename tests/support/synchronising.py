"""`Synchronising`: which calls in a block would make Python wait for a card, counted on the CPU."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

_WAITING = {"aten._local_scalar_dense", "aten.nonzero", "aten.is_nonzero", "aten.equal", "aten.masked_select"}
"""Operations that cannot go on without what the card has computed: a number, or how large their result is."""

_COPYING = {Tensor.cpu: "Tensor.cpu", Tensor.numpy: "Tensor.numpy", Tensor.tolist: "Tensor.tolist"}


class Synchronising(TorchDispatchMode):
    """Lists in `calls` what waits, by name: `.item()`, `float`, `bool` and `if` of a tensor, `.cpu()`, `.numpy()`,
    `.tolist()`, and indexing with a mask.

    Args:
        here: tensors that are on the CPU wherever the others are, and are waited for by nobody.
    """

    def __init__(self, here: Sequence[Tensor] = ()) -> None:
        super().__init__()
        self.calls: list[str] = []
        self._here = here
        self._paused = False
        self._functions = _Functions(self)

    def __enter__(self) -> Synchronising:
        self._functions.__enter__()
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._functions.__exit__(*error)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = str(func).rsplit(".", 1)[0]
        masks = (
            name.startswith("aten.index")
            and len(args) > 1
            and isinstance(args[1], (list, tuple))
            and any(isinstance(index, Tensor) and index.dtype == torch.bool for index in args[1])
        )
        here = bool(args) and any(args[0] is tensor for tensor in self._here)
        if (name in _WAITING or masks) and not here:
            self.note(name)
        return func(*args, **(kwargs or {}))

    def note(self, name: str) -> None:
        if not self._paused:
            self.calls.append(name)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """A block that does not count."""
        self._paused = True
        try:
            yield
        finally:
            self._paused = False


class _Functions(TorchFunctionMode):
    """On the CPU these two copy nothing, so that no operation is seen."""

    def __init__(self, told: Synchronising) -> None:
        super().__init__()
        self._told = told

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _COPYING:
            self._told.note(_COPYING[func])
        return func(*args, **(kwargs or {}))
