"""`Row`: what a table of many scenes tells of each, from what its command answered."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from leansplat.batch.tasks import FINISHED, Outcome


@dataclass(frozen=True, slots=True)
class Row:
    """A scene of a batch.

    Args:
        name: of its output.
        source, output: where the scene is and where what was made of it; the latter None where nothing is.
        status: "finished", "failed", "skipped", or "waiting".
        sentence: why it is not finished.
        gaussians_before, bytes_before: of the scene as given; None where nobody says.
        gaussians, bytes: of what was made.
        psnr, ssim, lpips: on views held out, against photos or against the scene as given; None where nobody measured.
        seconds: from the start to the end of its last try.
        memory: bytes that its process took at most.
        threads: that it worked with.
        where: name of the machine.
    """

    name: str
    source: str
    output: str | None
    status: str
    sentence: str = ""
    gaussians_before: int | None = None
    bytes_before: int | None = None
    gaussians: int | None = None
    bytes: int | None = None
    psnr: float | None = None
    ssim: float | None = None
    lpips: float | None = None
    seconds: float | None = None
    memory: int | None = None
    threads: int | None = None
    where: str = ""

    @property
    def ratio(self) -> float | None:
        """How many times smaller the output is."""
        return self.bytes_before / self.bytes if self.bytes_before and self.bytes else None

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "ratio": self.ratio}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Row:
        return cls(**{entry.name: values[entry.name] for entry in fields(cls) if entry.name in values})


def row_of(
    name: str,
    source: str,
    output: str | None,
    outcome: Outcome,
    *,
    quality: Sequence[Sequence[str]] = (),
    bytes_before: int | None = None,
    threads: int | None = None,
) -> Row:
    """The row of a scene.

    Args:
        quality: see `commands.Batchable`.
    """
    answer = outcome.answer or {}
    original = _part(answer, "original")
    metrics = _part(answer, "metrics")
    levels = answer.get("levels")
    smallest = levels[-1] if isinstance(levels, list) and levels and isinstance(levels[-1], dict) else {}
    before = _whole(original.get("bytes"))
    scores = next((found for place in quality if (found := _at(answer, place))), {})
    return Row(
        name=name,
        source=source,
        output=output if outcome.status == FINISHED or outcome.answer is not None else None,
        status=outcome.status,
        sentence=outcome.sentence,
        gaussians_before=_whole(original.get("gaussians")),
        bytes_before=bytes_before if before is None else before,
        gaussians=_first(answer.get("gaussians"), metrics.get("gaussians"), smallest.get("gaussians")),
        bytes=_first(answer.get("bytes"), smallest.get("bytes")),
        psnr=_number(scores.get("psnr")),
        ssim=_number(scores.get("ssim")),
        lpips=_number(scores.get("lpips")),
        seconds=outcome.seconds,
        memory=outcome.memory,
        threads=threads,
        where=outcome.where,
    )


def as_csv(rows: Sequence[Row]) -> str:
    """Rows as comma-separated values under a head, for spreadsheets; a number that there is not is empty."""
    file = io.StringIO()
    columns = [entry.name for entry in fields(Row)]
    columns.insert(columns.index("bytes") + 1, "ratio")
    writer = csv.DictWriter(file, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(row.to_json() for row in rows)
    return file.getvalue()


def _part(answer: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = answer.get(name)
    return part if isinstance(part, Mapping) else {}


def _at(answer: Mapping[str, Any], place: Sequence[str]) -> Mapping[str, Any]:
    for name in place:
        answer = _part(answer, name)
    return answer


def _first(*values: Any) -> int | None:
    return next((number for value in values if (number := _whole(value)) is not None), None)


def _whole(value: Any) -> int | None:
    return value if type(value) is int else None


def _number(value: Any) -> float | None:
    return float(value) if type(value) in (int, float) else None
