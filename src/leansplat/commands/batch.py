"""`leansplat batch`."""

from __future__ import annotations

import io
import re
import shlex
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Fixed, Positional, Suppress, arg

from leansplat.commands.answer import Answer, megabytes, number, table
from leansplat.commands.options import Json, Quiet, Ray
from leansplat.errors import InputError

if TYPE_CHECKING:
    from leansplat.batch.executor import Executor
    from leansplat.batch.rows import Row
    from leansplat.batch.sitting import BatchResult
    from leansplat.batch.sizing import Workers

_MOST_ROWS = 60
_MOST_FAILED = 20


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Run one command on many scenes: one result a scene, a table of all, and a page that shows it.

    What comes after -- is a command with its options, without scene and output, which are put in for each scene:
    shrink, compress, convert, train, trim, eval, info, render or report. Each scene is worked on by a process of its
    own; one that fails is listed with its sentence and stops no other. The same command again goes on where the last
    was stopped, skips what is finished, and tries again what failed.

    Examples: leansplat batch scenes/ -o small/ -- shrink --size 10MB
              leansplat batch 'scans/*/scene.ply' -o web/ --format spz -- convert
              leansplat batch photos/ -o runs/ -- train --count 300000
              leansplat batch s3://bucket/scans -o s3://bucket/small --ray -- shrink --size 10MB
              leansplat batch scenes.jsonl -o small/ --workers 4 -- shrink --minutes 10
    """

    inputs: Annotated[Positional[tuple[str, ...]], arg(metavar="INPUT [INPUT ...]", help_behavior_hint="")]
    """Folders, which are searched for scenes (for train, captures; for report, runs), patterns in quotes, scenes, or
    manifests: a .jsonl with an object a line of "input", "capture", "target", "output" and "options"."""
    output: Annotated[str, arg(aliases=["-o"], metavar="OUT")]
    """Folder to write to, or an address such as s3://bucket/small: an output for each scene, by its name, and
    batch.jsonl, results.json, results.csv and report.html."""
    command: Annotated[tuple[str, ...], Fixed, Suppress] = ()
    form: Annotated[str | None, arg(name="format", metavar="SUFFIX", help_behavior_hint="(default: sog)")] = None
    """Format of the outputs, such as sog, spz or compressed.ply. convert must have one; with it, train makes files."""
    workers: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: by cores and memory)")] = None
    """Scenes to work on at once. Each gets its share of the cores, or as many as --threads of its command says."""
    ray: Ray = None
    gpus: Annotated[float | None, arg(metavar="N", help_behavior_hint="(default: 1)")] = None
    """With --ray, graphics cards that each scene with --device cuda gets: with 0.5, two scenes share one."""
    overwrite: Annotated[bool, arg(help_behavior_hint="")] = False
    """Make again what was made with other options or has changed since, instead of refusing."""
    quiet: Quiet = False
    json: Json = False

    def run(self) -> Answer:
        from leansplat.batch.planning import Batch as Asked
        from leansplat.batch.sitting import run_batch
        from leansplat.batch.stored_desk import desk_folder
        from leansplat.progress_bar import ProgressBar
        from leansplat.storage import checked, is_address

        if not self.command:
            raise InputError("say after -- what to do with each scene, such as: -- shrink --size 10MB")
        if not self.inputs:
            raise InputError("there is no input; give a folder of scenes, scenes, or a manifest (.jsonl)")
        if self.ray is None and self.gpus is not None:
            raise InputError("--gpus is for a Ray cluster, which shares cards out; give --ray, too, or leave it out")
        if self.gpus is not None and not 0 < self.gpus <= 64:
            raise InputError(f"--gpus is {self.gpus:g}; give a number of cards above 0, such as 1 or 0.5")
        if self.ray is not None and self.workers is not None:
            raise InputError("--ray works on as many scenes as the cluster has room for; leave --workers out")
        name, *options = self.command
        store = checked(self.output) if is_address(self.output) else ""
        folder = desk_folder(store) if store else Path(self.output)
        asked = Asked(self.inputs, folder, name, tuple(options), self.form, self.overwrite, store)
        with ProgressBar(name, quiet=self.quiet) as progress:
            result = run_batch(
                asked,
                understood,
                workers=self.workers,
                executor=self._executor,
                cluster=self.ray is not None,
                gpus=1.0 if self.gpus is None else self.gpus,
                say=self._say,
                progress=progress,
            )
        failed = ""
        if result.failed:
            first = result.failed[0]
            several = f"{len(result.failed)} of {len(result.rows)} scenes failed; the first is {first.name}"
            failed = f"{several}: {first.sentence.rstrip('.')}; the same command tries again"
        return Answer(_described(result), result.to_json(), failed, self._closing(result))

    def _executor(self, workers: Workers) -> Executor:
        from leansplat.batch.executor import executor_for
        from leansplat.batch.tasks import Cost

        usual = Cost(workers.threads, workers.memory, workers.gpus)
        return executor_for(workers=workers.count, threads=workers.threads, told=workers.told, ray=self.ray, cost=usual)

    def _say(self, line: str) -> None:
        if not self.quiet:
            print(f"leansplat: {line}", file=sys.stderr)

    def _closing(self, result: BatchResult) -> tuple[str, ...]:
        from leansplat.batch.planning import PAGE

        return (f"Look at it: {shlex.quote(result.place(PAGE))} in any browser.",)


def understood(words: Sequence[str]) -> Any:
    """The command that words describe.

    Raises:
        InputError: they describe none, or one that no scene could make right.
    """
    import tyro

    from leansplat.commands import command_makers

    name, *rest = words
    said = io.StringIO()
    try:
        with redirect_stderr(said), redirect_stdout(said):
            command = tyro.cli(
                command_makers(list(words))[name],
                prog=f"leansplat {name}",
                args=rest,
                config=(tyro.conf.FlagCreatePairsOff,),
            )
    except SystemExit as error:
        if not error.code:
            print(said.getvalue(), end="")
            raise
        raise InputError(f"{name} cannot be run so: {_gist(said.getvalue())}; see leansplat {name} --help") from error
    if hasattr(command, "check"):
        command.check()
    return command


def _gist(said: str) -> str:
    """What a parser complains of, out of the box that it draws around it."""
    parts = re.split(r"^.*[-─]{5}.*$", said, flags=re.MULTILINE)
    words = [line.strip(" │|") for line in (parts[1] if len(parts) > 1 else "").splitlines()]
    return " ".join(" ".join(words).split()).rstrip(".") or "its options are not understood"


def _described(result: BatchResult) -> str:
    from leansplat.batch.planning import RESULTS, TABLE
    from leansplat.batch.tasks import FINISHED

    shown = result.rows if len(result.rows) <= _MOST_ROWS else result.failed[:_MOST_FAILED]
    lines = [_table(shown), ""] if shown else []
    for row in result.failed[:_MOST_FAILED]:
        lines.append(f"{row.name}: {row.sentence}")
    if len(result.failed) > _MOST_FAILED:
        lines.append(f"and {len(result.failed) - _MOST_FAILED} more that failed")
    finished = sum(row.status == FINISHED for row in result.rows)
    before = f", {result.kept} of them before" if result.kept else ""
    lines.append(f"{finished} of {len(result.rows)} scenes finished{before}; {result.seconds:,.0f} s")
    lines.append(f"{result.place(RESULTS)}, {result.place(TABLE)}: every scene with its numbers")
    return "\n".join(lines)


def _table(rows: Sequence[Row]) -> str:
    columns = {
        "scene": [row.name for row in rows],
        "Gaussians": ["-" if row.gaussians is None else f"{row.gaussians:,}" for row in rows],
        "before": [megabytes(row.bytes_before) for row in rows],
        "after": [megabytes(row.bytes) for row in rows],
        "smaller": ["-" if row.ratio is None else f"{row.ratio:.1f}x" for row in rows],
        "PSNR": [number(row.psnr, 2) for row in rows],
        "SSIM": [number(row.ssim, 4) for row in rows],
        "LPIPS": [number(row.lpips, 4) for row in rows],
        "seconds": [number(row.seconds, 1) for row in rows],
        "status": [row.status for row in rows],
    }
    kept = {head: cells for head, cells in columns.items() if set(cells) - {"-"}}
    return table(list(kept), list(zip(*kept.values(), strict=True)))
