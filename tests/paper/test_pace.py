"""How long a sweep is expected to take."""

from __future__ import annotations

import pytest

from leansplat.paper.jobs import Job
from leansplat.paper.pace import seconds_left


def training(capture: str, steps: int) -> Job:
    return Job(capture, f"of-{steps}", "train", {"schedule": steps, "iterations": steps}, None, 1)


def trimming(capture: str, steps: int) -> Job:
    return Job(capture, f"to-{steps}", "trim", {"rounds": 1, "every": 1, "finetune": steps - 1}, None, 1)


def test_nothing_is_known_before_the_first_job_is_finished() -> None:
    assert seconds_left([training("fox", 100)], []) is None


def test_jobs_without_steps_take_no_time_and_say_nothing_of_the_pace_of_others() -> None:
    encoding = Job("fox", "base-sog-plain", "compress", {"suffix": ".sog", "steps": 0}, "fox/base-s1", 1)
    assert seconds_left([training("fox", 100)], [(encoding, 3.0)]) is None
    assert seconds_left([encoding], [(training("fox", 100), 10.0), (encoding, 3.0)]) == 0


def test_a_finished_sweep_takes_no_more_time() -> None:
    assert seconds_left([], [(training("fox", 100), 5.0)]) == 0


def test_jobs_go_as_fast_as_those_of_their_kind_on_their_capture() -> None:
    finished = [(training("fox", 100), 10.0), (trimming("fox", 100), 2.0), (training("chair", 100), 1.0)]
    assert seconds_left([training("fox", 50)], finished) == pytest.approx(5.0)
    assert seconds_left([trimming("fox", 50), training("chair", 50)], finished) == pytest.approx(1.0 + 0.5)


def test_jobs_without_their_like_go_as_fast_as_others_on_their_capture_or_as_any() -> None:
    finished = [(training("fox", 100), 10.0), (training("chair", 100), 1.0)]
    assert seconds_left([trimming("chair", 50)], finished) == pytest.approx(0.5)
    assert seconds_left([trimming("garden", 50)], finished) == pytest.approx(50 * (0.1 + 0.01) / 2)
