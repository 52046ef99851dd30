"""A file of a given size: how many Gaussians it holds, and how finely it says each of them.

A byte can go to one more Gaussian or to finer harmonics. Every grade of fineness that a kind of file has gets as many
Gaussians as fit, and is judged on the scene itself: training views are rendered of the most worthy Gaussians as they
are, which shows what is lost with the others, and of the same as the file says them, which shows what coarseness costs.
Fine-tuning wins most of the first back and less of the second, so the two squared errors are weighed by what is left of
each after so many steps (`Shares`); the grade with the least sum is chosen.

Sizes are found by encoding (`coded`), but more than `SAMPLE` Gaussians only once for each grade. Training then makes a
file larger by a percent or two, for `within` to make exact.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from leansplat import engines
from leansplat.captures.capture import Capture, View
from leansplat.compression.codecs import Codec
from leansplat.compression.config import FineTuningConfig
from leansplat.compression.preparation import Prepared, Subject
from leansplat.errors import InputError
from leansplat.gaussians import TENSOR_NAMES, Gaussians
from leansplat.progress import Progress
from leansplat.shrinking.coded import CLOSE, Coded, interpolated, ranks, sampled
from leansplat.shrinking.sizes import format_bytes

LEAST_SHARE = 0.97
"""Of the size that was asked for, that a file has at least."""

SAMPLE = 2**17
"""Gaussians that are encoded at a time while sizes are compared."""

_BYTES_A_GAUSSIAN = 12
"""A first guess of what one takes; in most files it is more."""

_FAR = 0.05
"""Of the size, by which a grade may miss it and still be one that fits, since the count is corrected in the end."""

_CORRECTIONS = 6
_VIEWS = 8
_STRIDES = (4, 2, 1)
"""Grades from one that is tried to the next, coarse first."""


@dataclass(frozen=True)
class Shares:
    """What fine-tuning leaves of a squared error.

    Args:
        pruning: of what is lost with Gaussians that are left out at once.
        coarseness: of what coarse numbers cost.
    """

    pruning: float
    coarseness: float

    @classmethod
    def after(cls, steps: int) -> Shares:
        """After so many steps: curves through what benchmarks/rate_choice.py measured."""
        return cls((1 + steps / 12) ** -0.68, (1 + steps / 30) ** -0.4)


@dataclass(frozen=True)
class Tried:
    """A grade that was tried.

    Args:
        codec, sh_degree: the grade.
        count: how many Gaussians fit.
        bytes: what a file of them takes, about.
        pruning, coarseness: squared errors, of colours in [0, 1], by the Gaussians left out and by coarse numbers.
    """

    codec: Codec
    sh_degree: int
    count: int
    bytes: int
    pruning: float
    coarseness: float

    def error(self, shares: Shares) -> float:
        """What is left of both after fine-tuning."""
        return shares.pruning * self.pruning + shares.coarseness * self.coarseness


@dataclass(frozen=True)
class Choice:
    """How a file of a given size is made.

    Args:
        count: how many Gaussians, the most worthy.
        sh_degree: of their harmonics.
        codec: with its options.
        bytes: what the file takes before fine-tuning, about. Less than 97 % of the size where the finest encoding of
            all Gaussians takes less.
        size: what was asked for.
        tried: all grades that were tried.
    """

    count: int
    sh_degree: int
    codec: Codec
    bytes: int
    size: int
    tried: tuple[Tried, ...] = ()

    @property
    def fills(self) -> bool:
        """Whether the scene has enough to fill the size."""
        return self.bytes >= LEAST_SHARE * self.size


def choose(
    gaussians: Gaussians,
    worth: Tensor,
    capture: Capture,
    codec: Codec,
    size: int,
    *,
    steps: int = 0,
    shares: Shares | None = None,
    near: Choice | None = None,
    engine: str = "cpu",
    progress: Progress | None = None,
) -> Choice:
    """The count and the grade of a kind of file with which a file of a given size looks best.

    Args:
        gaussians: the scene. The nearer its count is to what will fit, the truer the choice: choose once to know how
            far to trim, and again when that is done but for a little.
        worth: (N,) the higher the more a Gaussian matters.
        capture: has training views; their photos are not looked at.
        codec: the kind of file; its options, as `Codec.grades` varies them.
        size: bytes, at least 1.
        steps: of fine-tuning that will follow.
        shares: what fine-tuning leaves; `Shares.after(steps)` by default.
        near: a choice for much the same scene, from whose grade on grades are compared.
        progress: told of finding what the views show.

    Raises:
        InputError: not even a file of one Gaussian is as small.
    """
    if size < 1:
        raise InputError(f"a file of {size} bytes was asked for; give a size above zero")
    search = _Search(gaussians, worth, capture, size, steps, engine, progress)
    shares = shares or Shares.after(steps)
    grades = grades_of(codec, gaussians)
    tried: dict[int, Tried] = {}

    guess = size // _BYTES_A_GAUSSIAN if near is None else near.count

    def rank(at: int) -> tuple[int, float]:
        """Grades that leave room come after those that fill the size, finer first; last those too large for it."""
        if at not in tried:
            next_to = min(tried, key=lambda other: abs(other - at), default=None)
            tried[at] = search.tried(*grades[at], guess if next_to is None else tried[next_to].count)
        found = tried[at]
        if found.bytes > size * (1 + _FAR):
            return 2, at
        if found.count == len(gaussians) and found.bytes < LEAST_SHARE * size and at < len(grades) - 1:
            return 1, -at
        return 0, found.error(shares)

    near_grade = None if near is None else (near.codec, near.sh_degree)
    known = near_grade in grades
    at = grades.index(near_grade) if near_grade is not None and known else len(grades) // 2
    for stride in _STRIDES[-1:] if known else _STRIDES:
        while True:
            around = (other for other in (at, at - stride, at + stride) if 0 <= other < len(grades))
            best = min(around, key=rank)
            if best == at:
                break
            at = best
    best_one = tried[at]
    if rank(at)[0] == 2:
        least = min(each.bytes for each in tried.values())
        raise InputError(
            f"a {codec.suffix} of {format_bytes(size)} was asked for, but one of a single Gaussian takes about "
            f"{format_bytes(least)}; give a larger size"
        )
    return Choice(
        best_one.count,
        best_one.sh_degree,
        best_one.codec,
        best_one.bytes,
        size,
        tuple(tried[key] for key in sorted(tried)),
    )


def prepare(
    gaussians: Gaussians,
    worth: Tensor,
    capture: Capture,
    choice: Choice,
    *,
    steps: int = 0,
    seed: int = 0,
    engine: str = "cpu",
    progress: Progress | None = None,
) -> Prepared:
    """The Gaussians that a file of the chosen grade and size holds, and what they are fine-tuned and written through.

    The count is the one chosen, corrected by what the scene's own encoding takes: the size, to half a percent.

    Args:
        gaussians: those that were chosen from, or what training made of them since; worth: (N,) of them.
        choice: as `choose` made it.
    """
    search = _Search(gaussians, worth, capture, choice.size, steps, engine, progress, sample=len(gaussians), seed=seed)
    count, _, begun = search.fitting(choice.codec, choice.sh_degree, choice.count, choice.size)
    if count == begun.count:
        return begun.prepared
    del begun  # as large as the scene
    return search.begin(choice.codec, choice.sh_degree, count).prepared


def grades_of(codec: Codec, gaussians: Gaussians) -> list[tuple[Codec, int]]:
    """Grades from coarse to fine, with the degree of their harmonics: the codec's own below which there are none, or
    degrees alone where it has no other choice."""
    degree, grades = gaussians.sh_degree, codec.grades(len(gaussians))
    if degree == 0 or len(grades) == 1:
        return [(grades[-1], each) for each in range(degree + 1)]
    return [(grades[0], 0), *((grade, degree) for grade in grades)]


def _replaced(scene: Gaussians, rows: Tensor, others: Gaussians) -> Gaussians:
    """The scene with other Gaussians in some rows."""
    others = others.with_sh_degree(scene.sh_degree)
    changed = {name: getattr(scene, name).clone() for name in TENSOR_NAMES}
    for name, values in changed.items():
        values[rows] = getattr(others, name)
    return replace(scene, **changed)


class _Search:
    """What is known of a scene while grades are compared."""

    def __init__(
        self,
        gaussians: Gaussians,
        worth: Tensor,
        capture: Capture,
        size: int,
        steps: int,
        engine: str,
        progress: Progress | None,
        *,
        sample: int | None = None,
        seed: int = 0,
    ) -> None:
        self._subject = Subject(gaussians, capture, FineTuningConfig(steps=steps, seed=seed), progress, engine)
        self._ranks = ranks(worth)
        self._size, self._sample, self._engine = size, sample or SAMPLE, engines.named(engine)
        self._bias: dict[tuple[Codec, int], float] = {}
        count = min(_VIEWS, len(capture.train))
        self._views = [capture.train[number * len(capture.train) // count] for number in range(count)]

    @cached_property
    def _images(self) -> list[Tensor]:
        return self._rendered(self._subject.gaussians)

    def tried(self, codec: Codec, sh_degree: int, near: int) -> Tried:
        """A grade with as many Gaussians as fit."""
        count, taken, begun = self.fitting(codec, sh_degree, near, self._size)
        kept = np.flatnonzero(self._ranks < count)
        scene = self._subject.gaussians[torch.from_numpy(kept)]
        before = self._rendered(scene)
        rows, coded = begun.decoded()
        inside = self._ranks[rows] < count
        place = torch.from_numpy(np.searchsorted(kept, rows[inside]))
        after = self._rendered(_replaced(scene, place, coded[torch.from_numpy(inside)]))
        share = max(len(place), 1) / count
        return Tried(
            codec,
            sh_degree,
            count,
            round(taken),
            _error(before, self._images, self._views),
            _error(after, before, self._views) / share,
        )

    def fitting(self, codec: Codec, sh_degree: int, near: int, target: float) -> tuple[int, float, Coded]:
        """How many Gaussians a file of `target` bytes has, at most, what one of so many takes, and their coding."""
        count = min(max(near, 1), len(self._ranks))
        begun = self.begin(codec, sh_degree, count)
        known: list[tuple[int, float]] = [(count, self._taken(begun, codec, sh_degree, count))]
        for _ in range(_CORRECTIONS):
            taken = known[-1][1]
            if abs(taken - target) <= CLOSE * target or (taken < target and count == len(self._ranks)):
                break
            if taken > target and count == 1:
                break
            guess = interpolated(known, target) if len(known) > 1 else round(count * target / taken)
            guess = min(max(guess, count // 8, 1), len(self._ranks))
            if guess == count and taken < target and len(known) == 1:
                guess = min(max(8 * count, 64), len(self._ranks))  # what all files take hides what a Gaussian does
            if guess == count:
                break
            count = guess
            if count > begun.count or count < begun.count // 2 or len(begun.rows) < begun.count:
                del begun  # as large as the scene
                begun = self.begin(codec, sh_degree, count)
            known.append((count, self._taken(begun, codec, sh_degree, count)))
        return count, known[-1][1], begun

    def _taken(self, begun: Coded, codec: Codec, sh_degree: int, count: int) -> float:
        """What a file of so many takes. A sample takes more than its share, since its runs are strangers to each other,
        and since a palette that the whole fills, it does not: by how much is found once for each grade, by coding the
        whole."""
        taken = begun.bytes(count)
        if len(begun.rows) == begun.count:
            return taken
        if (codec, sh_degree) not in self._bias:
            whole = self.begin(codec, sh_degree, count, whole=True)
            self._bias[codec, sh_degree] = whole.bytes(count) / taken
        return taken * self._bias[codec, sh_degree]

    def begin(self, codec: Codec, sh_degree: int, count: int, *, whole: bool = False) -> Coded:
        rows = np.flatnonzero(self._ranks < count)
        if count > self._sample and not whole:
            rows = sampled(self._subject.gaussians.means[torch.from_numpy(rows)].numpy(), rows, self._sample)
        part = self._subject[torch.from_numpy(rows)]
        prepared = codec.prepare(replace(part, gaussians=part.gaussians.with_sh_degree(sh_degree)))
        latents = prepared.quantiser.begin(prepared.gaussians)
        return Coded(count, rows, self._ranks[rows], prepared, latents, codec.suffix)

    def _rendered(self, gaussians: Gaussians) -> list[Tensor]:
        scene, background = self._engine.renderer(gaussians), self._subject.capture.background
        return [scene.render(view.camera, background).image.detach().cpu().clamp(0, 1) for view in self._views]


def _error(images: Sequence[Tensor], others: Sequence[Tensor], views: Sequence[View]) -> float:
    """Mean squared difference of two renders of views, where no mask hides them."""
    each = [(image - other).square() for image, other in zip(images, others, strict=True)]
    seen = [square if view.mask is None else square[view.mask] for square, view in zip(each, views, strict=True)]
    means = [float(square.mean()) for square in seen if square.numel()]
    return statistics.fmean(means) if means else 0.0
