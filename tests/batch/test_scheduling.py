"""How tasks reach an executor and what becomes of them: order, room, tries, and what others need."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import TracebackType

from leansplat.batch import DIED, FAILED, FINISHED, Outcome, Task, outcomes
from leansplat.batch.scheduling import TRIES


class Recording:
    """An executor that ends what it was given first, in the way that it is told."""

    def __init__(self, slots: int, end: Callable[[Task], Outcome] = lambda task: Outcome(FINISHED)) -> None:
        self.slots, self.told = slots, ""
        self.begun: list[Task] = []
        self.held: list[Task] = []
        self.most = 0
        self._end = end

    def start(self, task: Task) -> None:
        self.begun.append(task)
        self.held.append(task)
        self.most = max(self.most, len(self.held))

    def finished(self) -> tuple[Task, Outcome]:
        task = self.held.pop(0)
        return task, self._end(task)

    def __enter__(self) -> Recording:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        return None


def task(name: str, *needs: str) -> Task:
    return Task(name, ("info", name), f"{name}.log", needs=needs)


def test_every_task_ends_once_and_no_more_are_begun_than_there_is_room_for() -> None:
    asked: list[int] = []

    def many() -> Iterator[Task]:
        for number in range(1000):
            asked.append(number)
            yield task(str(number))

    executor = Recording(3)
    ended = []
    for each, outcome in outcomes(many(), executor):
        assert outcome.status == FINISHED
        ended.append(each.name)
        assert len(asked) <= len(ended) + 2 * 3
    assert sorted(ended, key=int) == [str(number) for number in range(1000)]
    assert executor.most == 2 * 3


def test_a_task_waits_for_those_it_needs_and_others_pass_it() -> None:
    executor = Recording(1)
    order = [each.name for each, _ in outcomes([task("a"), task("b", "a"), task("c")], executor)]
    assert sorted(order) == ["a", "b", "c"]
    assert order.index("a") < order.index("b")
    assert [each.name for each in executor.begun] == ["a", "c", "b"]


def test_what_a_failed_task_was_needed_for_is_skipped_with_a_sentence() -> None:
    executor = Recording(2, lambda each: Outcome(FAILED if each.name == "a" else FINISHED, sentence="no"))
    found = {each.name: outcome for each, outcome in outcomes([task("a"), task("b", "a"), task("c", "b")], executor)}
    assert [found[name].status for name in "abc"] == ["failed", "skipped", "skipped"]
    assert "needs a" in found["b"].sentence
    assert "needs b" in found["c"].sentence
    assert [each.name for each in executor.begun] == ["a"]


def test_a_need_that_nobody_makes_is_told_and_nothing_waits_for_ever() -> None:
    found = {each.name: outcome for each, outcome in outcomes([task("a", "elsewhere")], Recording(1))}
    assert found["a"].status == "skipped"
    assert "elsewhere" in found["a"].sentence


def test_a_task_whose_process_dies_is_begun_again_and_goes_on_with_what_is_there() -> None:
    executor = Recording(1, lambda each: Outcome(FINISHED) if each.resume else Outcome(DIED, sentence="killed"))
    ((ended, outcome),) = outcomes([task("a")], executor)
    assert outcome.status == FINISHED
    assert [each.resume for each in executor.begun] == [False, True]
    assert ended.name == "a"


def test_a_task_that_dies_every_time_has_failed_at_the_third() -> None:
    executor = Recording(2, lambda each: Outcome(DIED, sentence="its process was ended by SIGKILL"))
    ((_, outcome),) = outcomes([task("a")], executor)
    assert (outcome.status, len(executor.begun)) == (FAILED, TRIES)
    assert outcome.sentence == "3 times, its process was ended by SIGKILL"


def test_a_task_that_fails_is_not_begun_again() -> None:
    executor = Recording(2, lambda each: Outcome(FAILED, sentence="it is broken"))
    ((_, outcome),) = outcomes([task("a")], executor)
    assert (outcome.sentence, len(executor.begun)) == ("it is broken", 1)
