"""One step of Adam (Kingma and Ba 2015, Algorithm 1) over packed parameters, in place, with a learning rate per row.

Adam is bound by memory: seven arrays pass through the processor for a few operations each. So `step_backward` takes the
step where the gradient is made: the backward pass of the projection leaves a block's gradient in a buffer that fits the
nearest cache, and the block's parameters, read for that anyway, are updated at once. The gradient of the whole scene
never exists. `adam_step` is the same step for a gradient that does.
"""

from __future__ import annotations

import numba
import numpy as np
from torch import Tensor

from leansplat.engines.adam import BETA1, BETA2, EPSILON, bias_corrections
from leansplat.engines.cpu.projection_backward import (
    add_screen_gradient,
    block_backward,
    clear_rows,
    evaluated_rows,
    touched_by_any,
)
from leansplat.simd.compilation import inlined, kernel
from leansplat.simd.threads import thread_count
from leansplat.simd.vector import LANES, fma, load, square_root, store

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
