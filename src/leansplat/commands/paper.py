"""`leansplat paper run` and `leansplat paper report`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg, subcommand

from leansplat.commands.answer import Answer, Command
from leansplat.commands.options import Json, Overwrite, Threads
from leansplat.errors import InputError, LeansplatError

if TYPE_CHECKING:
    from leansplat.paper.jobs import Plan
    from leansplat.paper.sweep import Standing
    from leansplat.progress import Progress


@dataclass(frozen=True, kw_only=True)
class PaperRun:
    """Run the paper's experiments on your captures: baselines, trimming by every rule, and ablations. It takes hours.

    Every experiment is a list of jobs, each of which is a training, trimming or compression in a run folder of its own.
    A job that several tables and figures share is run once, and a finished job is never run again. You can therefore
    stop whenever you like, and give the same command to go on; asking for more later adds to the folder.

    Without --tables, --figures and --also, every experiment is run. Without --captures, the captures of the folder are
    used. With -o alone, only what was asked for before is run.

    Example: leansplat paper run --captures fox=photos/fox@4 --iterations-scale 0.1 -o paper
    """

    captures: Annotated[
        tuple[str, ...],
        arg(
            metavar="[NAME=]FOLDER[@N]",
            help="Captures to run on. FOLDER is as for train; NAME= gives it a name, @N takes photos at 1/N of their "
            "size, and @white puts white behind transparency, as in chair=photos/chair@2@white. The built-in capture "
            'is called "synthetic".',
            help_behavior_hint="",
        ),
    ] = ()
    output: Annotated[Path, arg(aliases=["-o"], metavar="DIR")]
    """Folder of the sweep: its plan, its results, and one run folder per job."""
    tables: Annotated[
        str | None,
        arg(
            metavar="1,2",
            help="Tables of the paper to fill, separated by commas. 1: quality and size by gamma. 2: the baseline and "
            "trimmed scenes, compressed as in the paper, and the trimmed ones also as .sog and .spz, merely encoded "
            "and fine-tuned.",
            help_behavior_hint="",
        ),
    ] = None
    figures: Annotated[
        str | None,
        arg(
            metavar="3,7a,8",
            help="Figures of the paper to draw, separated by commas. 3: quality over size. 4, 5, 6: crops. 7a: rounds "
            "against one shot and against no prior. 7b: frames per second. 7c: opacities. 8: a learned mask.",
            help_behavior_hint="",
        ),
    ] = None
    also: Annotated[
        str | None,
        arg(
            metavar="criteria,lottery",
            help="Experiments of which the paper has no figure, separated by commas. criteria: every criterion at 25, "
            "10 and 5 % kept. stale: gradients as in the authors' code. finetuning: 5,000 and 20,000 steps of "
            "fine-tuning. lottery: the lottery ticket.",
            help_behavior_hint="",
        ),
    ] = None
    iterations_scale: Annotated[float | None, arg(metavar="X", help_behavior_hint="(default: 1)")] = None
    """Length of all schedules as a multiple of the paper's: 0.1 trains for 3,000 steps. Every result says so."""
    seeds: Annotated[
        str | None,
        arg(
            metavar="1,2,3",
            help="Seeds, separated by commas. The first runs everything; each other repeats the baseline, the control "
            "and two rows of every rule, from a baseline of its own.",
            help_behavior_hint="(default: 1)",
        ),
    ] = None
    workers: Annotated[
        int | None, arg(metavar="N", help_behavior_hint="(default: one job after the other, in this process)")
    ] = None
    """Jobs to run at once, each in a process of its own with its share of the cores, or with --threads of them."""
    threads: Threads = None
    json: Json = False

    def run(self) -> Answer:
        from leansplat.paper.gathering import results_path
        from leansplat.paper.jobs import read_plan
        from leansplat.paper.plan import EXPERIMENTS, make_plan
        from leansplat.paper.sources import parse_source
        from leansplat.paper.sweep import run_sweep

        before = read_plan(self.output)
        wanted = None
        options = (self.tables, self.figures, self.also, self.iterations_scale, self.seeds)
        if self.captures or any(option is not None for option in options):
            scale = self.iterations_scale
            wanted = make_plan(
                tuple(parse_source(text) for text in self.captures) or (before.sources if before else ()),
                self._experiments() or tuple(EXPERIMENTS),
                scale=scale if scale is not None else before.scale if before else 1.0,
                seeds=_numbers("1" if self.seeds is None else self.seeds),
            )
        try:
            if self.workers is None:
                with _Display() as display:
                    results = run_sweep(self.output, wanted, begin=display.begin)
            else:
                results = self._at_once(wanted, self.workers)
        except KeyboardInterrupt as error:
            raise LeansplatError("stopped; the same command goes on from here") from error
        return _describe(self.output, results_path(self.output), results)

    def _at_once(self, wanted: Plan | None, workers: int) -> dict[str, Any]:
        """Run the sweep in processes."""
        from leansplat.batch import executor_for
        from leansplat.batch.sizing import workers_for
        from leansplat.paper.parallel import run_sweep_at_once
        from leansplat.progress_bar import ProgressBar

        sized = workers_for(0, tasks=workers, workers=workers, threads=self.threads)
        executor = executor_for(workers=sized.count, threads=sized.threads)
        with ProgressBar("paper") as progress:
            return run_sweep_at_once(self.output, wanted, executor, threads=sized.threads, progress=progress)

    def _experiments(self) -> list[str]:
        names = []
        for option, kind in (("tables", "table "), ("figures", "figure "), ("also", "")):
            text = getattr(self, option)
            if text is not None and not _words(text):
                raise InputError(f"--{option} names nothing; leave it out to run everything")
            names += [f"{kind}{name}" for name in _words(text)]
        return names


@dataclass(frozen=True, kw_only=True)
class PaperJob:
    """Run one job of a folder's plan, in this process. `paper run --workers` does so for each, and so can you.

    The jobs that it needs must be finished. results.json is gathered by `paper run`, which finds this one finished.

    Example: leansplat paper job fox/base-s1 -o paper
    """

    name: Annotated[Positional[str], arg(metavar="NAME")]
    """Name of the job, as plan.json has it."""
    output: Annotated[Path, arg(aliases=["-o"], metavar="DIR")]
    """Folder of the sweep."""
    threads: Threads = None
    json: Json = False

    def run(self) -> Answer:
        from leansplat.paper.gathering import failure_of, job_folder
        from leansplat.paper.jobs import open_plan
        from leansplat.paper.sweep import run_job

        ran = run_job(self.output, self.name)
        job = next(job for job in open_plan(self.output).jobs if job.name == self.name)
        reason = failure_of(self.output, job)
        if reason is not None:
            raise LeansplatError(reason)
        done = "finished" if ran else "was finished before"
        folder = job_folder(self.output, self.name)
        return Answer(f"{self.name} {done}: {folder}", {"job": self.name, "folder": str(folder), "ran": ran})


@dataclass(frozen=True, kw_only=True)
class PaperReport:
    """Show what `paper run` has found so far beside the paper's numbers: report.html, report.md, plots and crops.

    It reads results.json, and for crops the folders of the jobs. What has not been run is shown as not run. It needs
    matplotlib, which the extra "report" installs.

    Example: leansplat paper report paper
    """

    folder: Annotated[Positional[Path], arg(metavar="DIR")]
    """Folder of a sweep, or any folder with its results.json."""
    output: Annotated[
        Path | None, arg(aliases=["-o"], metavar="FOLDER", help_behavior_hint="(default: DIR/report)")
    ] = None
    """Folder to write the report to."""
    overwrite: Overwrite = False
    json: Json = False

    def run(self) -> Answer:
        from leansplat.paper.sections import write_report

        files = write_report(self.folder, self.output or self.folder / "report", overwrite=self.overwrite)
        text = f"{files[0]}\n{files[1]}\nand {len(files) - 2} plots and pictures beside them"
        return Answer(text, {"files": [str(path) for path in files]})


def paper(
    action: Annotated[
        Annotated[PaperRun, subcommand(name="run")]
        | Annotated[PaperJob, subcommand(name="job")]
        | Annotated[PaperReport, subcommand(name="report")],
        arg(name=""),
    ],
) -> Command:
    """Run the experiments of Trimming the Fat on your captures, and report what they show.

    Args:
        action: What to do.
    """
    return action


class _Display:
    """Shows each job of a sweep as it runs: its bar, what is left and for how long."""

    def __init__(self) -> None:
        from leansplat.progress_bar import ProgressBar

        self._new = ProgressBar
        self._bar: ProgressBar | None = None

    def __enter__(self) -> _Display:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.__exit__()

    def begin(self, standing: Standing) -> Progress:
        self.__exit__()
        self._bar = self._new(_label(standing)).__enter__()
        return self._bar


def _label(standing: Standing) -> str:
    time = "" if standing.seconds_left is None else f", about {_duration(standing.seconds_left)}"
    return f"{standing.number}/{standing.total} {standing.job.name} ({standing.left} more{time})"


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.0f} h"


def _words(text: str | None) -> list[str]:
    return [word.strip() for word in (text or "").split(",") if word.strip()]


def _numbers(text: str) -> list[int]:
    try:
        return [int(word) for word in _words(text)]
    except ValueError as error:
        raise InputError(f"--seeds is {text!r}; give whole numbers with commas, such as 1,2,3") from error


def _describe(folder: Path, path: Path, results: dict[str, Any]) -> Answer:
    """The answer of a sweep.

    Raises:
        LeansplatError: jobs failed.
    """
    by_status: dict[str, list[str]] = {"finished": [], "waiting": []}
    for entry in results["jobs"]:
        by_status.setdefault(entry["status"], []).append(entry["name"])
    counts = ", ".join(f"{len(names)} {status}" for status, names in by_status.items())
    failed = [entry for entry in results["jobs"] if entry["status"] == "failed"]
    if failed:
        raise LeansplatError(
            f"{counts}; the first is {failed[0]['name']}: {failed[0]['reason']}; {path} lists all of them, and the "
            "same command tries them again"
        )
    text = f"{path}: {counts}\nLook at them with: leansplat paper report {folder}"
    return Answer(text, {"results": str(path), **by_status})
