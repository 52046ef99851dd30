"""What every command has in common: a `run` that returns an `Answer`, and how an answer is laid out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from leansplat.captures.capture import Capture
    from leansplat.pruning import TrimmingResult
    from leansplat.training import TrainingResult


@dataclass(frozen=True)
class Answer:
    """What a command found.

    Args:
        text: for people; printed without `--json`.
        values: for programs; printed as one JSON object with `--json`.
        failed: a sentence on what was asked for and could not be had, though there is an answer; the exit code is 1.
        closing: lines that say for people what was made of what, and how to look at it; left out with `--quiet`.
        said: whether the command has printed it already, because it goes on for as long as people like.
    """

    text: str
    values: dict[str, Any]
    failed: str = ""
    closing: tuple[str, ...] = ()
    said: bool = False


class Command(Protocol):
    """A dataclass made from the command line. Those that run kernels have `threads: int | None` too, and those with
    options that may be wrong whatever they are given for have `check()`, which raises an `InputError` then."""

    @property
    def json(self) -> bool: ...

    def run(self) -> Answer:
        """Do it.

        Raises:
            InputError: something the user gave is wrong.
        """
        ...


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows under a head in aligned columns: the first to the left, the others to the right."""
    widths = [max(len(line[column]) for line in (head, *rows)) for column in range(len(head))]
    lines = []
    for line in (head, *rows):
        cells = [
            line[0].ljust(widths[0]),
            *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)),
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def number(value: float | None, digits: int) -> str:
    """A number for a table, "-" where there is none."""
    return "-" if value is None else f"{value:,.{digits}f}"


def megabytes(size: int | None) -> str:
    """Bytes as MB of 10^6, "-" where there is no file."""
    return "-" if size is None else f"{size / 1e6:.2f} MB"


def describe_run(result: TrainingResult | TrimmingResult, capture: Capture) -> Answer:
    """The answer of a command that made a run: where it is, how long it took, how good the scene is.

    How good, on the views that the capture holds out, is measured here and kept in the run.
    """
    from leansplat.evaluation import evaluate_run
    from leansplat.formats import scene_bytes

    run, seconds = result.run, result.seconds
    assert run is not None
    evaluation = evaluate_run(run, result.gaussians, capture) if capture.test else None
    size = scene_bytes(run.scene_path)
    values: dict[str, Any] = {"run": str(run.folder), "scene": str(run.scene_path), "seconds": seconds, "bytes": size}
    lines = [f"{run.scene_path}: {megabytes(size)}, made in {seconds:,.0f} s"]
    if evaluation is None:
        lines.append("The capture holds no photo out, so there is nothing to measure the scene on.")
    else:
        values["metrics"] = evaluation.to_json()
        quality = f"PSNR {evaluation.psnr:.2f} dB, SSIM {evaluation.ssim:.4f}, LPIPS {number(evaluation.lpips, 4)}"
        lines.append(f"{evaluation.gaussians:,} Gaussians; on {len(evaluation.views)} held-out views: {quality}")
    return Answer("\n".join(lines), values)
