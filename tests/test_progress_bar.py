"""The progress display in a log file, where it is lines now and then."""

from __future__ import annotations

import io
from types import SimpleNamespace

import pytest

from leansplat import progress_bar as module
from leansplat.progress import at_stage
from leansplat.progress_bar import ProgressBar


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, in seconds, as its one entry."""
    now = [100.0]
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


def test_a_log_file_gets_a_line_now_and_then_and_one_at_the_end(clock: list[float]) -> None:
    log = io.StringIO()
    with ProgressBar("train", log) as progress:
        for step in range(1, 11):
            clock[0] += 1
            progress(step, 10, {"loss": 0.25, "psnr": 21.5})
    assert log.getvalue().splitlines() == [
        "train: 4 of 10, 1 a second, 6 s left, loss 0.25, psnr 21.5",
        "train: 8 of 10, 1 a second, 2 s left, loss 0.25, psnr 21.5",
        "train: 10 of 10, 1 a second, loss 0.25, psnr 21.5",
    ]


def test_bytes_are_shown_as_megabytes_with_the_rate_of_those_fetched_now(clock: list[float]) -> None:
    log = io.StringIO()
    with ProgressBar("download", log, of_bytes=True) as progress:
        progress(40_000_000, 100_000_000, {})  # were there before
        clock[0] += 30
        progress(100_000_000, 100_000_000, {})
    assert log.getvalue() == "download: 100.0 of 100.0 MB, 2.0 MB/s\n"


def test_on_a_terminal_bytes_are_a_bar_with_a_rate() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    with ProgressBar("download", terminal, of_bytes=True) as progress:
        progress(0, 2_000_000, {})
        progress(1_000_000, 2_000_000, {})
        assert "2.00M" in terminal.getvalue()
        assert "B/s" in terminal.getvalue()
    assert terminal.getvalue().endswith("\r")


def test_a_stage_is_named_on_its_lines_and_counts_from_its_beginning() -> None:
    stream = io.StringIO()
    with ProgressBar("shrink", stream) as progress:
        assert at_stage(progress, "looking around") is progress
        progress(2, 2, {})
        at_stage(progress, "trimming")
        progress(5, 5, {})
        progress.stage("")
        progress(1, 1, {})
    assert stream.getvalue().splitlines() == [
        "shrink, looking around: 2 of 2",
        "shrink, trimming: 5 of 5",
        "shrink: 1 of 1",
    ]


def test_a_function_that_knows_of_no_stages_is_left_alone() -> None:
    calls = []
    progress = at_stage(lambda done, total, values: calls.append(done), "trimming")
    assert progress is not None
    progress(1, 2, {})
    assert calls == [1]
    assert at_stage(None, "trimming") is None


def test_what_counts_nothing_is_named_and_never_silent_for_five_seconds(clock: list[float]) -> None:
    log = io.StringIO()
    told = []
    with ProgressBar("train", log) as progress:
        progress.stage("loading the photos")
        for _ in range(12):
            clock[0] += 1
            before = log.getvalue()
            progress.tick()
            told.append(log.getvalue() != before)
    lines = log.getvalue().splitlines()
    assert lines == ["train, loading the photos", *(f"train, loading the photos: {s} s so far" for s in (6, 10))]
    assert "".join(".x"[each] for each in told) == ".x...x...x.."


def test_what_is_over_in_a_moment_is_not_worth_a_line(clock: list[float]) -> None:
    log = io.StringIO()
    with ProgressBar("train", log) as progress:
        for name in ("loading the photos", "", "measuring"):
            progress.stage(name)
            clock[0] += 0.4
            progress.tick()
    assert log.getvalue() == ""


def test_work_that_stalls_says_that_it_goes_on(clock: list[float]) -> None:
    log = io.StringIO()
    with ProgressBar("train", log) as progress:
        progress.stage("")
        clock[0] += 4
        progress(10, 50, {})
        clock[0] += 5
        progress.tick()
    assert log.getvalue().splitlines() == ["train: 10 of 50", "train: 9 s so far"]


def test_a_line_for_slow_work_says_how_far_it_was_when_it_was_last_heard_of(clock: list[float]) -> None:
    log = io.StringIO()
    with ProgressBar("train", log) as progress:
        progress.stage("trimming")
        for second in range(1, 9):
            clock[0] += 1
            progress.tick()
            progress(10 * second, 1000, {"loss": 0.5})
    assert log.getvalue().splitlines() == [
        "train, trimming: 10 of 1000, loss 0.5",
        "train, trimming: 50 of 1000, 10 a second, 95 s left, loss 0.5",
    ]


def test_a_quiet_one_says_nothing(clock: list[float]) -> None:
    log = io.StringIO()
    with ProgressBar("train", log, quiet=True) as progress:
        progress.stage("loading the photos")
        clock[0] += 60
        progress(50, 50, {"loss": 0.25})
    assert log.getvalue() == ""


def test_a_terminal_shows_what_goes_on_without_counting() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    with ProgressBar("train", terminal) as progress:
        progress.stage("loading the photos")
        progress.tick()
        assert "train, loading the photos: 00:0" in terminal.getvalue()
        progress.stage("")
        progress(10, 20, {"loss": 0.5, "psnr": 20.25})
        progress.tick()
        assert "loss=0.5, psnr=20.25" in terminal.getvalue()
