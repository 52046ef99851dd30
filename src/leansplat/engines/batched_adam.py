"""PyTorch's Adam for steps with several views, by the rule of `engines.adam`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from leansplat.engines.adam import BETA1, BETA2, EPSILON, BatchedAdam


@contextmanager
def adam_of_batch(optimizer: torch.optim.Adam, seen: int, views: int) -> Iterator[None]:
    """Let the step of this block be one with the mean gradient of some views.

    PyTorch corrects the bias of moments by beta to the power of its own count of steps. With beta taken to the power of
    the batch, that count is one of batches: the views that were seen, divided by those of the batch, even where this is
    no whole number.

    Args:
        optimizer: with the numbers of a step with one view, which it has again after the block.
        seen: views of all steps so far.
        views: those of this step.
    """
    adam = BatchedAdam.of(views)
    rates = [group["lr"] for group in optimizer.param_groups]
    for group in optimizer.param_groups:
        group.update(lr=group["lr"] * adam.rate, betas=(adam.beta1, adam.beta2), eps=adam.epsilon)
    _count(optimizer, (seen + views) / views - 1)
    try:
        yield
    finally:
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group.update(lr=rate, betas=(BETA1, BETA2), eps=EPSILON)
        _count(optimizer, seen + views)


def _count(optimizer: torch.optim.Adam, steps: float) -> None:
    for state in optimizer.state.values():
        state["step"].fill_(steps)
