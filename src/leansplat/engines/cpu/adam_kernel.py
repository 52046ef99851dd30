"""One step of Adam (Kingma and Ba 2015, Algorithm 1) over packed parameters, in place, with a learning rate per row.

Adam is bound by memory: seven arrays pass through the processor for a few operations each. So `step_backward` takes the
step where the gradient is made: the backward pass of the projection leaves a block's gradient in a buffer that fits the
nearest cache, and the block's parameters, read for that anyway, are updated at once. The gradient of the whole scene
never exists. `adam_step` is the same step for a gradient that does.

With several views a step, the gradient of the whole scene has to exist: `add_backward` adds a view's to it, block by
block and only where the view shows anything, and `mean_step` updates by the mean and leaves zeros for the next step.
"""

from __future__ import annotations

import numba
import numpy as np
from torch import Tensor

from leansplat.engines.adam import BETA1, BETA2, EPSILON, BatchedAdam, bias_corrections
from leansplat.engines.cpu.projection_backward import (
    add_screen_gradient,
    block_backward,
    clear_rows,
    evaluated_rows,
    touched_by_any,
)
from leansplat.simd.compilation import inlined, kernel
from leansplat.simd.threads import thread_count
from leansplat.simd.vector import LANES, broadcast, fma, load, square_root, store

_CHUNKS_PER_THREAD = 8


@inlined
def _update_block(data, first, second, at, gradient, gradient_at, rates, rows, second_correction):
    """Update the block at offset `at`; its gradient starts at `gradient_at`."""
    for row in range(rows):
        here = at + row * LANES
        g = load(gradient, gradient_at + row * LANES)
        m = fma(np.float32(BETA1), load(first, here), np.float32(1 - BETA1) * g)
        v = fma(np.float32(BETA2), load(second, here), np.float32(1 - BETA2) * g * g)
        store(first, here, m)
        store(second, here, v)
        update = rates[row] * m / (square_root(v * second_correction) + EPSILON)
        store(data, here, load(data, here) - update)


@kernel
def _step(data, gradient, first, second, rates, rows, second_correction, threads):
    blocks = data.size // (rows * LANES)
    chunks = _CHUNKS_PER_THREAD * threads
    for chunk in numba.prange(chunks):
        for block in range(blocks * chunk // chunks, blocks * (chunk + 1) // chunks):
            at = block * rows * LANES
            _update_block(data, first, second, at, gradient, at, rates, rows, second_correction)


@kernel
def step_backward(
    data, rows, camera, degree, antialiased, splats, visible, sums, touched, threads, statistics, gradient_sum, first,
    second, rates, second_correction,
):  # fmt: skip
    """`projection_backward.project_backward` and `_step` in one pass over the blocks; arguments as there."""
    blocks = visible.size
    chunks = _CHUNKS_PER_THREAD * threads
    for chunk in numba.prange(chunks):
        scratch = np.empty(LANES, np.float32)
        gradient = np.zeros(rows * LANES, np.float32)
        for index in range(blocks * chunk // chunks, blocks * (chunk + 1) // chunks):
            bits = np.uint32(visible[index])
            if touched_by_any(touched, index, blocks, threads):
                mean_x, mean_y = block_backward(
                    data, index, rows, camera, degree, antialiased, splats, bits, sums, touched, blocks, threads,
                    gradient, 0,
                )  # fmt: skip
                if statistics:
                    add_screen_gradient(mean_x, mean_y, camera, bits, index, scratch, gradient_sum)
            else:
                clear_rows(gradient, 0, 0, evaluated_rows(degree))
            _update_block(data, first, second, index * rows * LANES, gradient, 0, rates, rows, second_correction)


@kernel
def add_backward(
    data, rows, camera, degree, antialiased, splats, visible, sums, touched, threads, total, statistics, gradient_sum
):  # fmt: skip
    """`projection_backward.project_backward` that adds to the gradient of the whole scene; other arguments as there.

    Args:
        total: (blocks * rows * 16,) added to.
    """
    blocks = visible.size
    chunks = _CHUNKS_PER_THREAD * threads
    for chunk in numba.prange(chunks):
        scratch = np.empty(LANES, np.float32)
        gradient = np.zeros(rows * LANES, np.float32)
        for index in range(blocks * chunk // chunks, blocks * (chunk + 1) // chunks):
            if not touched_by_any(touched, index, blocks, threads):
                continue
            bits = np.uint32(visible[index])
            mean_x, mean_y = block_backward(
                data, index, rows, camera, degree, antialiased, splats, bits, sums, touched, blocks, threads, gradient,
                0,
            )  # fmt: skip
            if statistics:
                add_screen_gradient(mean_x, mean_y, camera, bits, index, scratch, gradient_sum)
            for row in range(evaluated_rows(degree)):
                here = index * rows * LANES + row * LANES
                store(total, here, load(total, here) + load(gradient, row * LANES))


@kernel
def _mean_step(
    data, total, first, second, rates, rows, share, beta1, rest1, beta2, rest2, correction, epsilon, threads
):  # fmt: skip
    blocks = data.size // (rows * LANES)
    chunks = _CHUNKS_PER_THREAD * threads
    for chunk in numba.prange(chunks):
        for block in range(blocks * chunk // chunks, blocks * (chunk + 1) // chunks):
            for row in range(rows):
                here = (block * rows + row) * LANES
                g = share * load(total, here)
                m = fma(beta1, load(first, here), rest1 * g)
                v = fma(beta2, load(second, here), rest2 * g * g)
                store(first, here, m)
                store(second, here, v)
                store(data, here, load(data, here) - rates[row] * m / (square_root(v * correction) + epsilon))
                store(total, here, broadcast(0.0))


def mean_step(
    data: Tensor,
    total: Tensor,
    first_moment: Tensor,
    second_moment: Tensor,
    learning_rates: Tensor,
    step: int,
    views: int,
) -> None:
    """Update `data` and its moments in place by the mean of the gradients of some views, and clear their sum.

    Args:
        data, first_moment, second_moment, learning_rates: as for `adam_step`.
        total: the sum, of the same shape; zero on return.
        step: views seen by all updates so far, these included.
        views: how many the sum is of.
    """
    first_correction, second_correction = bias_corrections(step)
    adam = BatchedAdam.of(views)
    numbers = (1 / views, adam.beta1, 1 - adam.beta1, adam.beta2, 1 - adam.beta2, second_correction, adam.epsilon)
    _mean_step(
        data.detach().numpy().reshape(-1),
        total.numpy().reshape(-1),
        first_moment.numpy().reshape(-1),
        second_moment.numpy().reshape(-1),
        (learning_rates * (adam.rate * first_correction)).numpy(),
        data.shape[1],
        *map(np.float32, numbers),
        thread_count(),
    )


def adam_step(
    data: Tensor, gradient: Tensor, first_moment: Tensor, second_moment: Tensor, learning_rates: Tensor, step: int
) -> None:
    """Update `data` and its moments in place.

    Args:
        data, gradient, first_moment, second_moment: (blocks, rows, 16) float32, contiguous, on the CPU.
        learning_rates: (rows,) float32.
        step: how many updates there have been, this one included; corrects the bias of the moments.
    """
    first_correction, second_correction = bias_corrections(step)
    _step(
        data.detach().numpy().reshape(-1),
        gradient.numpy().reshape(-1),
        first_moment.numpy().reshape(-1),
        second_moment.numpy().reshape(-1),
        (learning_rates * first_correction).numpy(),
        data.shape[1],
        np.float32(second_correction),
        thread_count(),
    )
