"""How jobs are run: a function for each kind, which makes the run folder of a job, or goes on with it, to a scene file.

A kind turns the settings of a job into a config and calls the library; it has no loop of its own. A new kind is a
function here and a line in `KINDS`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leansplat.captures import Capture
from leansplat.compression import CompressionConfig, FineTuningConfig, compress
from leansplat.errors import RunError
from leansplat.paper.jobs import Job
from leansplat.paper.lottery import lottery_config, lottery_ticket
from leansplat.progress import Progress
from leansplat.pruning import TrimmingConfig, TrimmingResult, trim
from leansplat.runs import Run, create_run, has_begun, hash_capture, open_run
from leansplat.training import TrainingConfig, TrainingResult, read_checkpoint, train


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

    def options(self) -> dict[str, Any]:
        """How the library is to work at the job: go on where it has begun, and replace what a kill has left else.

        Raises:
            RunError: the folder holds a run of other settings.
        """
        begun = has_begun(self.folder)
        if begun and open_run(self.folder).config["settings"].get("job") != self.job.to_json():
            raise RunError(f"{self.folder} was made with other settings; delete it or choose another folder")
        return {"settings": self.settings, "resume": begun, "overwrite": not begun, "progress": self.progress}

    def scene_of(self, result: TrainingResult | TrimmingResult) -> Path:
        """The scene file of what the library has made of the job."""
        assert result.run is not None
        return result.run.scene_path


def training_config(job: Job) -> TrainingConfig:
    """The recipe of a training: the published one at the length of the schedule, then the job's own settings."""
    settings = {name: value for name, value in job.settings.items() if name not in ("schedule", "ticket")}
    return TrainingConfig(seed=job.seed).scaled(job.settings["schedule"]).with_settings(settings)


_PAPERS_TRIMMING = {
    "criterion": "gradient",
    "spacing": 1.0,
    "position_rate": 1.0,
    "rate": 1.0,
    "final_rate": 1.0,
    "pressure": 0.0,
}
"""The paper's rule, and its pace for whatever else is compared: equal shares in all rounds and rates that stay."""


def trimming_config(job: Job, count: int | None = None) -> TrimmingConfig:
    """The settings of a trimming, of which the job has only those that are not the paper's own.

    Args:
        count: how far to go, where the job takes that from another one.
    """
    return TrimmingConfig(seed=job.seed, count=count, **{**_PAPERS_TRIMMING, **job.settings})


def compression_config(job: Job) -> CompressionConfig:
    """The settings of a compression: what `leansplat compress` has by itself, and the fine-tuning of the job."""
    settings = {name: value for name, value in job.settings.items() if name != "suffix"}
    return CompressionConfig(fine_tuning=FineTuningConfig(seed=job.seed, **settings))


def _train(task: Task) -> Path:
    config = training_config(task.job)
    return task.scene_of(train(task.capture, config, task.folder, **task.options()))


def _trim(task: Task) -> Path:
    count = None
    if task.job.count_of is not None:
        metrics = open_run(task.jobs / task.job.count_of).metrics_path
        count = int(json.loads(metrics.read_text(encoding="utf-8"))["gaussians"])
    config = trimming_config(task.job, count)
    return task.scene_of(trim(task.base().folder, task.capture, config, task.folder, **task.options()))


def _lottery(task: Task) -> Path:
    ticket = task.job.settings["ticket"]
    config = lottery_config(training_config(task.job), ticket)
    base = task.base()
    if not base.checkpoints():
        raise RunError(f"{base.folder} has no checkpoint to draw the ticket from; delete the folder to run it again")
    trimmed = read_checkpoint(base.checkpoint_path(base.checkpoints()[-1])).state
    start = lottery_ticket(trimmed, config, ticket)
    return task.scene_of(train(task.capture, config, task.folder, start=start, **task.options()))


def _compress(task: Task) -> Path:
    config = compression_config(task.job)
    base = task.base().folder
    path = task.folder / f"scene{task.job.settings['suffix']}"
    options = {**task.options(), "overwrite": True}
    if config.fine_tuning.steps > 0:
        compress(base, task.capture, path, config, task.folder, **options)
        return path
    if not options["resume"]:
        settings = {**task.settings, "scene": str(base), "compression": config.to_json()}
        inputs = {"capture": hash_capture(task.capture)}
        create_run(task.folder, "compress", settings, inputs, seed=task.job.seed, overwrite=True)
    compress(base, None, path, config, overwrite=True)
    return path


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
