"""How jobs are run: a function for each kind, which makes the run folder of a job, or goes on with it, to a scene file.

A kind turns the settings of a job into a config and calls the library; it has no loop of its own. A new kind is a
function here and a line in `KINDS`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from leansplat.captures import Capture
from leansplat.compression import CompressionConfig, FineTuningConfig, codec_of, compress, create_compression_run
from leansplat.errors import RunError
from leansplat.paper.jobs import Job
from leansplat.paper.lottery import lottery_config, lottery_ticket
from leansplat.progress import Progress
from leansplat.pruning import TrimmingConfig, create_trimming_run, trim
from leansplat.runs import Run, has_begun, open_run
from leansplat.training import TrainingConfig, create_training_run, read_checkpoint, train


@dataclass(frozen=True)
class Task:
    """A job with all that running it takes.

    Args:
        job: what to run.
        jobs: folder of all jobs' folders.
        capture: the job's capture.
        settings: what to record in the run's config.json besides the config.
        progress: what is told about the steps.
    """

    job: Job
    jobs: Path
    capture: Capture
    settings: Mapping[str, Any]
    progress: Progress | None

    @property
    def folder(self) -> Path:
        """The job's run folder."""
        return self.jobs / self.job.name

    def base(self) -> Run:
        """The run this job starts from."""
        return open_run(self.jobs / str(self.job.base))

    def run(self, create: Callable[[], Run]) -> Run:
        """The job's run, made by `create` unless it has begun.

        Raises:
            RunError: the folder holds a run of other settings.
        """
        if not has_begun(self.folder):
            return create()
        run = open_run(self.folder)
        if run.config["settings"].get("job") != self.job.to_json():
            raise RunError(f"{self.folder} was made with other settings; delete it or choose another folder")
        return run


def training_config(job: Job) -> TrainingConfig:
    """The recipe of a training: the published one at the length of the schedule, then the job's own settings."""
    settings = {name: value for name, value in job.settings.items() if name not in ("schedule", "ticket")}
    return replace(TrainingConfig(seed=job.seed).scaled(job.settings["schedule"]), **settings)


def trimming_config(job: Job, count: int | None = None) -> TrimmingConfig:
    """The settings of a trimming; `count` says how far to go where the job takes that from another one."""
    return TrimmingConfig(seed=job.seed, count=count, **job.settings)


def compression_config(job: Job) -> CompressionConfig:
    """The settings of a compression: what `leansplat compress` has by itself, and the fine-tuning of the job."""
    settings = {name: value for name, value in job.settings.items() if name != "suffix"}
    return CompressionConfig(fine_tuning=FineTuningConfig(seed=job.seed, **settings))


def _train(task: Task) -> Path:
    config = training_config(task.job)
    run = task.run(lambda: _new_training(task, config))
    train(task.capture, config, run, resume=True, progress=task.progress)
    return run.scene_path


def _trim(task: Task) -> Path:
    count = None
    if task.job.count_of is not None:
        metrics = open_run(task.jobs / task.job.count_of).metrics_path
        count = int(json.loads(metrics.read_text(encoding="utf-8"))["gaussians"])
    config = trimming_config(task.job, count)
    base = task.base().folder
    run = task.run(
        lambda: create_trimming_run(task.folder, base, task.capture, config, settings=task.settings, overwrite=True)
    )
    trim(base, task.capture, config, run, resume=True, progress=task.progress)
    return run.scene_path


def _lottery(task: Task) -> Path:
    ticket = task.job.settings["ticket"]
    config = lottery_config(training_config(task.job), ticket)
    run = task.run(lambda: _new_training(task, config))
    base = task.base()
    if not base.checkpoints():
        raise RunError(f"{base.folder} has no checkpoint to draw the ticket from; delete the folder to run it again")
    trimmed = read_checkpoint(base.checkpoint_path(base.checkpoints()[-1])).state
    start = lottery_ticket(trimmed, config, ticket)
    train(task.capture, config, run, resume=True, start=start, progress=task.progress)
    return run.scene_path


def _compress(task: Task) -> Path:
    config = compression_config(task.job)
    base = task.base().folder
    path = task.folder / f"scene{task.job.settings['suffix']}"
    codec = codec_of(path)()
    run = task.run(
        lambda: create_compression_run(
            task.folder, base, task.capture, config, codec, settings=task.settings, overwrite=True
        )
    )
    if config.fine_tuning.steps == 0:
        compress(base, None, path, config, overwrite=True)
    else:
        compress(base, task.capture, path, config, run, resume=True, overwrite=True, progress=task.progress)
    return path


def _new_training(task: Task, config: TrainingConfig) -> Run:
    # A kill while the folder was being made leaves one without a config, which may be replaced.
    return create_training_run(task.folder, task.capture, config, settings=task.settings, overwrite=True)


def _training_steps(job: Job) -> int:
    return int(job.settings["iterations"])


def _trimming_steps(job: Job) -> int:
    return int(job.settings["rounds"] * job.settings["every"] + job.settings["finetune"])


def _compression_steps(job: Job) -> int:
    return int(job.settings["steps"])


@dataclass(frozen=True)
class Kind:
    """A way to run a job.

    Args:
        run: runs a job to its end, from wherever it stands, and returns the scene file, which is in the run folder.
        steps: tells how many training steps a job takes.
    """

    run: Callable[[Task], Path]
    steps: Callable[[Job], int]


KINDS: dict[str, Kind] = {
    "train": Kind(_train, _training_steps),
    "trim": Kind(_trim, _trimming_steps),
    "lottery": Kind(_lottery, _training_steps),
    "compress": Kind(_compress, _compression_steps),
}
"""Kinds by name. Training without a prior and with a mask are "train" with further settings.

Settings of "compress" are the file's "suffix" and those of `FineTuningConfig`; 0 "steps" write what `leansplat convert`
does.
"""
