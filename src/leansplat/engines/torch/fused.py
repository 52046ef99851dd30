"""`Fused`: a function of tensors as few kernels on a card, by `torch.compile`, and as it is written everywhere else.

Written in PyTorch, a comparison of two images is a row of small operations, for each of which a card reads and writes
whole images. PyTorch's compiler makes a few kernels of them, but it needs Triton and a C compiler, which are not
everywhere where a card is. So it is first tried on something small, both ways, and held against the function as it is
written. Where it fails, or differs, the function stays as it is, and the log says so once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import torch
from torch import Tensor

_log = logging.getLogger("leansplat")


class Fused:
    """A function of tensors of one shape, differentiable in the first of them.

    Args:
        function: what is fused; it does the same for any size.
        trial: shape of the tensors on which the compiler is tried; any other of as many dimensions may follow.
        devices: kinds of device on which it is fused.
        backend: of `torch.compile`.
    """

    def __init__(
        self,
        function: Callable[[Tensor, Tensor], Tensor],
        trial: tuple[int, ...],
        *,
        devices: tuple[str, ...] = ("cuda",),
        backend: str | Callable[..., object] = "inductor",
    ) -> None:
        self._function = function
        self._trial = trial
        self._devices = devices
        self._backend = backend
        self._chosen: Callable[[Tensor, Tensor], Tensor] | None = None

    def __call__(self, first: Tensor, second: Tensor, /) -> Tensor:
        if first.device.type not in self._devices:
            return self._function(first, second)
        if self._chosen is None:
            self._chosen = self._choose(first.device)
        return self._chosen(first, second)

    def _choose(self, device: torch.device) -> Callable[[Tensor, Tensor], Tensor]:
        """What to call on a device.

        Raises:
            torch.OutOfMemoryError: there is no room, which is none of the compiler's failures.
        """
        try:
            compiled = torch.compile(self._function, dynamic=True, fullgraph=True, backend=self._backend)
            for found, expected in zip(self._tried(compiled, device), self._tried(self._function, device), strict=True):
                torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # of a compiler, of what it calls, or of what it does not find
            error = getattr(error, "inner_exception", error)  # what went wrong in the backend
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            _log.warning("torch.compile does not work here (%s); steps take longer without it", reason)
            return self._function
        called: Callable[[Tensor, Tensor], Tensor] = compiled
        return called

    def _tried(self, function: Callable[[Tensor, Tensor], Tensor], device: torch.device) -> tuple[Tensor, Tensor]:
        """Values, and the gradient of their sum by the first tensor."""
        count = torch.Size(self._trial).numel()
        rising = torch.linspace(0, 1, count, device=device).reshape(self._trial)
        first, second = rising.clone().requires_grad_(), (7 * rising).sin().square()
        with torch.enable_grad():
            values = function(first, second)
            (gradient,) = torch.autograd.grad(values.sum(), first)
        return values.detach(), gradient
