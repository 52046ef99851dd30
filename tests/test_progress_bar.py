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
        for step in range(1, 51):
            clock[0] += 1
            progress(step, 50, {"loss": 0.25})
    assert log.getvalue().splitlines() == [f"train: {step} of 50, loss 0.25" for step in (20, 40, 50)]


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
    assert stream.getvalue().splitlines() == ["shrink, looking around: 2 of 2", "shrink, trimming: 5 of 5"]


def test_a_function_that_knows_of_no_stages_is_left_alone() -> None:
    calls = []
    progress = at_stage(lambda done, total, values: calls.append(done), "trimming")
    assert progress is not None
    progress(1, 2, {})
    assert calls == [1]
    assert at_stage(None, "trimming") is None


def test_a_lively_one_names_each_stage_at_once_and_is_never_silent_for_five_seconds(clock: list[float]) -> None:
    log = io.StringIO()
    with ProgressBar("report", log, lively=True) as progress:
        progress.stage("looking")
        assert log.getvalue() == "report, looking\n"
        for view in range(1, 11):
            clock[0] += 1
            progress(view, 10, {})
    assert log.getvalue().splitlines()[1:] == [f"report, looking: {view} of 10" for view in (4, 8, 10)]
