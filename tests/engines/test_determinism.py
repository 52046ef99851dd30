"""The same scene, camera and thread count give the same bits; another thread count gives the same to rounding."""

from __future__ import annotations

from collections.abc import Iterator

import numba
import pytest
import torch
from support.rendered_scenes import camera, surfaces
from support.rendering_comparison import relative_error
from torch import Tensor

from leansplat.engines.cpu import ViewStatistics, pack, render
from leansplat.simd.threads import set_thread_count, thread_count


@pytest.fixture
def restored_threads() -> Iterator[None]:
    before = thread_count()
    yield
    set_thread_count(before)


def rendered(seed: int = 60) -> dict[str, Tensor]:
    """Everything a step computes, of a scene large enough that several threads share each stage."""
    packed = pack(surfaces(5000, seed=seed))
    packed.data.requires_grad_()
    statistics = ViewStatistics.zeros(len(packed), weights=True)
    rendering = render(packed, camera(160, 120), statistics=statistics)
    (rendering.image.square().mean() + rendering.alpha.mean()).backward()
    assert packed.data.grad is not None
    assert statistics.weight_sum is not None
    assert statistics.weight_max is not None
    return {
        "image": rendering.image.detach().clone(),
        "alpha": rendering.alpha.detach().clone(),
        "gradient": packed.data.grad,
        "views_seen": statistics.views_seen,
        "max_radius": statistics.max_radius,
        "gradient_sum": statistics.gradient_sum,
        "weight_sum": statistics.weight_sum,
        "weight_max": statistics.weight_max,
    }


def test_repeated_steps_give_the_same_bits() -> None:
    first = rendered()
    for _ in range(10):
        again = rendered()
        for name in first:
            assert torch.equal(first[name], again[name]), name


def test_other_work_in_between_does_not_change_the_bits() -> None:
    first = rendered()
    rendered(seed=61)
    with torch.no_grad():
        render(surfaces(77), camera(31, 9))
    again = rendered()
    for name in first:
        assert torch.equal(first[name], again[name]), name


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="Numba was started with one thread")
@pytest.mark.usefixtures("restored_threads")
def test_thread_count_changes_no_more_than_rounding() -> None:
    set_thread_count(1)
    one = rendered()
    set_thread_count(2)
    two = rendered()
    for name in ("image", "alpha", "views_seen", "max_radius", "weight_max"):
        assert torch.equal(one[name], two[name]), name
    for name in ("gradient", "gradient_sum", "weight_sum"):
        assert relative_error(two[name], one[name].double()) < 1e-6, name
