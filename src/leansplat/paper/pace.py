"""`seconds_left`: how long the rest of a sweep takes, from how fast its finished jobs went.

A step costs less the fewer Gaussians a scene has, so a job is expected to go as fast as finished ones of its kind on
its capture; where there are none, as others on its capture; else as any. A job without steps counts as nothing.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from leansplat.paper.jobs import Job
from leansplat.paper.kinds import KINDS


def seconds_left(waiting: Sequence[Job], finished: Sequence[tuple[Job, float]]) -> float | None:
    """Seconds that the `waiting` jobs take, None where nothing is known yet.

    Args:
        finished: jobs, each with the seconds it took.
    """
    paces = [(job, seconds / steps) for job, seconds in finished if (steps := KINDS[job.kind].steps(job))]
    if not paces:
        return None
    total = 0.0
    for job in waiting:
        alike = [
            [pace for other, pace in paces if (other.capture, other.kind) == (job.capture, job.kind)],
            [pace for other, pace in paces if other.capture == job.capture],
            [pace for _, pace in paces],
        ]
        total += KINDS[job.kind].steps(job) * statistics.median(next(found for found in alike if found))
    return total
