"""Half of the threads work while others want the processor, and the results stay the same bits."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numba
import pytest
import torch
from support.tiny import tiny_capture

from leansplat.gaussians import TENSOR_NAMES
from leansplat.simd.sharing import FairShare
from leansplat.simd.threads import set_thread_count, thread_count, working_threads
from leansplat.training import TrainingConfig, train, training_step
from leansplat.training.strategies import Densification
from leansplat.training.trainer import begin_training

if numba.config.NUMBA_NUM_THREADS < 2:
    pytest.skip("one core has one thread", allow_module_level=True)


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = thread_count()
    set_thread_count(2)
    yield
    set_thread_count(before)


def steps_of(share: FairShare, count: int, machine: Callable[[int], tuple[float, float]]) -> list[int]:
    """How many of 2 threads worked on each step, on a machine that says what a step takes: wall, processor time."""
    worked = []
    for _ in range(count):
        working = 1 if share.fewer else 2
        worked.append(working)
        share.learn(*machine(working), working, 2)
    return worked


def to_itself(working: int) -> tuple[float, float]:
    return (0.01, 0.0175) if working == 2 else (0.0175, 0.0175)


def shared(working: int) -> tuple[float, float]:
    """Two threads wait for each other; one has a core of its own."""
    return (0.025, 0.025) if working == 2 else (0.0175, 0.0175)


def slow_alone(working: int) -> tuple[float, float]:
    """Little is done by several threads at once, but they are still quicker than one."""
    return (0.01, 0.011) if working == 2 else (0.011, 0.011)


def test_all_threads_work_on_a_machine_to_itself() -> None:
    assert set(steps_of(FairShare(), 500, to_itself)) == {2}


def test_half_of_the_threads_work_while_the_machine_is_shared_and_all_do_afterwards() -> None:
    share = FairShare()
    worked = steps_of(share, 1000, shared)
    assert worked.count(2) < 100
    later = steps_of(share, 1000, to_itself)
    assert later[300:].count(1) == 0


def test_a_first_step_that_compiles_decides_nothing() -> None:
    share = FairShare()
    share.learn(20.0, 20.0, 2, 2)
    assert set(steps_of(share, 500, to_itself)) == {2}


def test_what_turns_out_slower_is_seldom_tried() -> None:
    worked = steps_of(FairShare(), 2000, slow_alone)
    assert 0 < worked.count(1) < 200


def trained() -> dict[str, torch.Tensor]:
    scene = train(tiny_capture(), TrainingConfig(iterations=30).adjusted(Densification, after=5, every=5)).gaussians
    return {name: getattr(scene, name) for name in TENSOR_NAMES}


def test_one_thread_that_does_the_work_of_two_gives_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = trained()
    alone = FairShare()
    alone.fewer = True
    monkeypatch.setattr(FairShare, "learn", lambda *_: None)
    monkeypatch.setattr("leansplat.training.loop.FairShare", lambda: alone)
    for name, values in trained().items():
        assert torch.equal(values, expected[name]), name


def test_the_count_of_threads_is_as_before_after_a_step_even_one_that_fails() -> None:
    capture, config = tiny_capture(), TrainingConfig()
    state = begin_training(capture, config)
    with working_threads(1):
        assert (thread_count(), numba.get_num_threads()) == (2, 1)
        training_step(state, capture.train[0], config, capture.background)
    assert (thread_count(), numba.get_num_threads()) == (2, 2)
    with pytest.raises(RuntimeError), working_threads(1):
        raise RuntimeError
    assert (thread_count(), numba.get_num_threads()) == (2, 2)
