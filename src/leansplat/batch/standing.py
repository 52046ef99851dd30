"""`standing_of`: what has to be done for a scene, by the journal of its folder and by the files that are there.

A scene that is finished stays as it is only if it is what the same command would make of the same files. Anything else
is made again or refused with a sentence; nothing is kept that was not asked for, and nothing replaced that is not ours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from leansplat.batch.fingerprints import fingerprint
from leansplat.batch.journal import Entry
from leansplat.batch.planning import Batch, Scene, digest
from leansplat.batch.tasks import FINISHED, INPUT, Cost, Task
from leansplat.errors import RunError


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a scene stands before a sitting.

    Args:
        scene: which.
        entry: what is going to be in the journal.
        done: whether there is nothing left to do.
        resume: whether what its run folder holds is gone on with.
        refusal: why nothing can be done for it, without --overwrite; "" where something can.
    """

    scene: Scene
    entry: Entry
    done: bool
    resume: bool
    refusal: str = ""


Fingerprints = Callable[[str], str]


def standing_of(scene: Scene, batch: Batch, before: Entry | None, of_input: Fingerprints) -> Standing:
    """Where a scene stands.

    Args:
        before: what the journal has of it.
        of_input: `fingerprint`, or one that remembers.
    """
    task, output = scene.task(batch, Cost()), scene.output(batch)
    asked, inputs = digest(task, scene.suffix), _of_inputs(task, of_input)
    begun = Entry(asked, inputs)
    made = fingerprint(output)
    if before is None:
        refusal = f"{output} is there already and was not made by this batch" if made else ""
        return Standing(scene, begun, False, False, refusal)
    same = (before.asked, before.inputs) == (asked, inputs)
    refusal = f"{output} was made with other options" if before.asked != asked and made else ""
    if before.row is None or before.row.status != FINISHED:
        return Standing(scene, begun, False, same and not batch.overwrite, refusal)
    if not made or (same and made == before.output):
        return Standing(scene, before if made else begun, bool(made), False, refusal)
    if not refusal and made != before.output:
        refusal = f"{output} has changed since it was made"
    return Standing(scene, begun, False, False, refusal)


def refuse(standings: Sequence[Standing], batch: Batch) -> None:
    """Refuse a batch some of whose scenes cannot be done.

    Raises:
        RunError: with the first of them.
    """
    refused = [standing for standing in standings if standing.refusal]
    if refused and not batch.overwrite:
        others = f" (and so with {len(refused) - 1} more)" if len(refused) > 1 else ""
        raise RunError(f"{refused[0].refusal}{others}; choose another folder, or pass --overwrite to make it again")


def _of_inputs(task: Task, of_input: Fingerprints) -> str:
    return "-".join(of_input(place.address) for place in task.places(INPUT))
