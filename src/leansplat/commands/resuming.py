"""`begun_run`: the run that `--resume` goes on with, on as many threads as it began with."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from leansplat.runs import Run


def begun_run(folder: Path | None, threads: int | None) -> Run | None:
    """The run in `folder`, None where none has begun there; sets the threads, unless they are given.

    Raises:
        RunError: see `leansplat.runs.run_to_resume`.
    """
    from leansplat.distributed.environment import place
    from leansplat.errors import InputError
    from leansplat.runs import run_to_resume
    from leansplat.simd.threads import set_thread_count

    run = run_to_resume(folder)
    if run is not None and threads is None and place() is None:
        with suppress(InputError):  # more than there are here: going on says that the bits will differ
            set_thread_count(run.config["threads"])
    return run
