"""A file of a given size: how many Gaussians it holds, and how finely it says each of them.

A byte can go to one more Gaussian or to finer harmonics. Every grade of fineness that a kind of file has gets as many
Gaussians as fit, and is judged on the scene itself: training views are rendered of the most worthy Gaussians as they
are, which shows what is lost with the others, and of the same as the file says them, which shows what coarseness costs.
Fine-tuning wins most of the first back and less of the second, so the two squared errors are weighed by what is left of
each after so many steps (`Shares`); the grade with the least sum is chosen.

Sizes are found by encoding, but never more than `SAMPLE` Gaussians at a time: runs of neighbours stand for the others.
What training moves afterwards changes a file by a percent or two, so it begins with a little too much, and
`write_within` leaves the least worthy out.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor

from leansplat import engines, formats
from leansplat.captures.capture import Capture, View
from leansplat.compression.codecs import Codec
from leansplat.compression.config import FineTuningConfig
from leansplat.compression.format_quantiser import FileQuantiser
from leansplat.compression.harmonics import loss_on_photos
from leansplat.compression.preparation import Prepared, Subject
from leansplat.errors import InputError
from leansplat.files import replacing
from leansplat.gaussians import TENSOR_NAMES, WORLD, Gaussians
from leansplat.ordering import morton_order
from leansplat.progress import Progress
from leansplat.shrinking.sizes import format_bytes

_log = logging.getLogger("leansplat")

LEAST_SHARE = 0.97
"""Of the size that was asked for, that a file has at least."""

SAMPLE = 2**17
"""Gaussians that are encoded at a time while sizes are compared."""

_RUNS = 16
"""Runs of neighbours that a sample is made of."""

_HEADROOM = 1.01
"""Of the size, what a file has before fine-tuning."""

_CLOSE = 0.005
"""Of the size, by which an encoding may miss it before the count is corrected."""

_BYTES_A_GAUSSIAN = 12
"""A first guess of what one takes; in most files it is more."""

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


@dataclass(frozen=True)
class Written:
    """A file that was written.

    Args:
        path, bytes: the file.
        gaussians: the scene that a reader of it gets.
        fine_tuned: whether it is what was fine-tuned.
    """

    path: Path
    bytes: int
    gaussians: Gaussians
    fine_tuned: bool


def worth_of(gaussians: Gaussians, capture: Capture, engine: str = "cpu") -> Tensor:
    """(N,) float32: how much the training views change without each Gaussian (criterion "gaussianpop")."""
    model = engines.named(engine).begin(gaussians, {})
    return model.removal_effects(capture.train, capture.background).change.cpu()


def choose(
    gaussians: Gaussians,
    worth: Tensor,
    capture: Capture,
    codec: Codec,
    size: int,
    *,
    steps: int = 0,
    shares: Shares | None = None,
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
        progress: told of finding what the views show.

    Raises:
        InputError: not even a file of one Gaussian is as small.
    """
    if size < 1:
        raise InputError(f"a file of {size} bytes was asked for; give a size above zero")
    search = _Search(gaussians, worth, capture, size, steps, engine, progress)
    shares = shares or Shares.after(steps)
    grades = _grades(codec, gaussians)
    tried: dict[int, Tried] = {}

    def rank(at: int) -> tuple[int, float]:
        """Grades that leave room come after those that fill the size, finer first; last those too large for it."""
        if at not in tried:
            near = min(tried, key=lambda other: abs(other - at), default=None)
            tried[at] = search.tried(*grades[at], size // _BYTES_A_GAUSSIAN if near is None else tried[near].count)
        found = tried[at]
        if found.count == 1 and found.bytes > size:
            return 2, at
        if found.count == len(gaussians) and found.bytes < LEAST_SHARE * size and at < len(grades) - 1:
            return 1, -at
        return 0, found.error(shares)

    at = len(grades) // 2
    for stride in _STRIDES:
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

    The count is the one chosen, corrected by what the scene's own encoding takes: a little more than the size where
    fine-tuning follows, for `write_within` to make exact.

    Args:
        gaussians: those that were chosen from, or what training made of them since; worth: (N,) of them.
        choice: as `choose` made it.
    """
    search = _Search(gaussians, worth, capture, choice.size, steps, engine, progress, sample=len(gaussians), seed=seed)
    target = choice.size * (_HEADROOM if steps else 1 + _CLOSE)
    count, _, begun = search.fitting(choice.codec, choice.sh_degree, choice.count, target)
    if count == begun.count:
        return begun.prepared
    return search.begin(choice.codec, choice.sh_degree, count).prepared


def write_within(
    quantiser: FileQuantiser,
    latents: Mapping[str, Tensor],
    path: Path,
    size: int,
    worth: Tensor,
    *,
    overwrite: bool = False,
) -> int:
    """Write a file of at most `size` bytes, without the least worthy Gaussians where there are too many.

    Args:
        quantiser, latents: as fine-tuning left them.
        worth: (M,) of each row of the latents, the higher the more it matters.

    Returns:
        The bytes of the file.

    Raises:
        InputError: not even one Gaussian fits; or as `leansplat.files.replacing` does.
    """
    ranks = _ranks(worth)
    with TemporaryDirectory() as folder:
        trial = Path(folder) / path.name

        def file_of(count: int) -> int:
            part, kept = quantiser.select(latents, torch.from_numpy(ranks < count))
            part.write(kept, trial, overwrite=True)
            return trial.stat().st_size

        quantiser.write(latents, trial, overwrite=True)
        fits, count = 0, len(ranks)
        known: list[tuple[int, float]] = [(count, trial.stat().st_size)]
        if known[0][1] > size:
            low, high = 0, count  # `low` Gaussians fit, `high` do not
            for _ in range(4 * _CORRECTIONS):
                if high - low <= 1 or (fits and fits >= size * (1 - 2 * _CLOSE)):
                    break
                count = min(max(_interpolated(known, size * (1 - _CLOSE)), low + 1), high - 1)
                taken = file_of(count)
                known.append((count, taken))
                if taken <= size:
                    low, fits = count, taken
                else:
                    high = count
            if low == 0:
                raise InputError(
                    f"{path} cannot be as small as {format_bytes(size)}: a file of a single Gaussian takes "
                    f"{format_bytes(taken)}; give a larger size"
                )
            quantiser, latents = quantiser.select(latents, torch.from_numpy(ranks < low))
    quantiser.write(latents, path, overwrite=overwrite)
    return path.stat().st_size


def write_best(
    ready: Prepared,
    latents: Mapping[str, Tensor],
    path: Path,
    size: int,
    capture: Capture,
    *,
    engine: str = "cpu",
    overwrite: bool = False,
) -> Written:
    """Write a file of at most `size` bytes of what was fine-tuned; or of what it began with, where that is better.

    Judged on training views. A warning of the `leansplat` logger says where fine-tuning lost.

    Args:
        ready: as `prepare` made it; latents: what fine-tuning made of it.

    Raises:
        InputError: as `write_within` does.
    """
    loss = loss_on_photos(ready.gaussians, capture, engine)
    with TemporaryDirectory() as folder:
        lost: dict[bool, float] = {}
        files: dict[bool, tuple[Path, Gaussians]] = {}
        for is_tuned in (True, False):
            latents = latents if is_tuned else ready.quantiser.begin(ready.gaussians)
            worth = worth_of(decoded(ready.quantiser, latents), capture, engine)
            file = Path(folder) / f"{is_tuned}-{path.name}"
            write_within(ready.quantiser, latents, file, size, worth)
            scene = formats.read(file)  # which may have no place for the origin
            files[is_tuned] = file, replace(scene, origin=ready.gaussians.origin) if scene.origin == WORLD else scene
            lost[is_tuned] = loss(files[is_tuned][1])
        tuned = lost[True] <= lost[False]
        if not tuned:
            _log.warning(
                "%s: fine-tuning lost %.2f dB of PSNR on the training views, merely encoding %.2f dB, so the file is "
                "only encoded; give more steps, or none",
                *(path, lost[True], lost[False]),
            )
        file, scene = files[tuned]
        with replacing(path, overwrite=overwrite) as handle, open(file, "rb") as content:
            shutil.copyfileobj(content, handle)
    return Written(path, path.stat().st_size, scene, tuned)


def decoded(quantiser: FileQuantiser, latents: Mapping[str, Tensor]) -> Gaussians:
    """The scene that a reader of the file gets, row by row that of the latents."""
    with torch.no_grad():
        return quantiser.render_parameters(latents).copied().detach()


def _grades(codec: Codec, gaussians: Gaussians) -> list[tuple[Codec, int]]:
    """Grades from coarse to fine, with the degree of their harmonics: the codec's own below which there are none, or
    degrees alone where it has no other choice."""
    degree, grades = gaussians.sh_degree, codec.grades(len(gaussians))
    if degree == 0 or len(grades) == 1:
        return [(grades[-1], each) for each in range(degree + 1)]
    return [(grades[0], 0), *((grade, degree) for grade in grades)]


def _ranks(worth: Tensor) -> np.ndarray:
    """(N,) int64: 0 for the most worthy; of equals, for the first."""
    ranks: np.ndarray = np.empty(len(worth), np.int64)
    ranks[np.argsort(-worth.numpy(), kind="stable")] = np.arange(len(worth))
    return ranks


def _interpolated(known: Sequence[tuple[int, float]], target: float) -> int:
    """The count whose file would take `target` bytes, by a line through the two nearest that are known."""
    known = sorted(known, key=lambda pair: abs(pair[1] - target))[:2]
    count, taken = known[0]
    if len(known) == 1 or known[1][1] == taken:
        return round(count * target / taken)
    slope = (known[1][1] - taken) / (known[1][0] - count)
    return round(count + (target - taken) / slope) if slope > 0 else round(count * target / taken)


def _sampled(means: np.ndarray, rows: np.ndarray, count: int) -> np.ndarray:
    """About `count` of some rows of a scene, whose centres are (N, 3): runs of neighbours from all over it."""
    order = morton_order(means)
    starts = np.linspace(0, len(rows), _RUNS, endpoint=False, dtype=np.int64)
    runs = (starts[:, None] + np.arange(count // _RUNS)).ravel()
    return np.sort(rows[order[runs]])


def _replaced(scene: Gaussians, rows: Tensor, others: Gaussians) -> Gaussians:
    """The scene with other Gaussians in some rows."""
    others = others.with_sh_degree(scene.sh_degree)
    changed = {name: getattr(scene, name).clone() for name in TENSOR_NAMES}
    for name, values in changed.items():
        values[rows] = getattr(others, name)
    return replace(scene, **changed)


@dataclass(frozen=True)
class _Begun:
    """The most worthy of a scene, or a sample of them, as a grade codes them.

    Args:
        count: how many these are.
        rows: (S,) which of the scene are in the sample.
        ranks: (S,) their ranks.
        prepared, latents: their coding.
        suffix: of their file.
    """

    count: int
    rows: np.ndarray
    ranks: np.ndarray
    prepared: Prepared
    latents: Mapping[str, Tensor]
    suffix: str

    def bytes(self, count: int) -> float:
        """What a file of `count` of them takes: of a sample, by the line through two files of it."""
        if len(self.rows) < self.count:
            return self._taken + self._slope * (count - len(self.rows))
        return self._taken if count == self.count else self._file_of(self._ranks < count)

    def decoded(self) -> tuple[np.ndarray, Gaussians]:
        """Rows of the scene, and what a reader of a file gets for them."""
        visible = self._order < len(self.rows)
        scene = decoded(self.prepared.quantiser, self.latents)[torch.from_numpy(visible)]
        return self.rows[self._order[visible]], scene

    @property
    def _order(self) -> np.ndarray:
        return self.prepared.quantiser.order

    @cached_property
    def _ranks(self) -> np.ndarray:
        """(M,) of each row of the latents; invisible ones are there to stay."""
        return np.where(self._order < len(self.ranks), self.ranks[self._order % len(self.ranks)], -1)

    @cached_property
    def _taken(self) -> int:
        return self._file_of(np.ones(len(self._order), bool))

    @cached_property
    def _slope(self) -> float:
        """Bytes that a further Gaussian takes."""
        half = len(self._order) // 2
        return (self._taken - self._file_of(np.arange(len(self._order)) < half)) / (len(self._order) - half)

    def _file_of(self, kept: np.ndarray) -> int:
        quantiser, latents = self.prepared.quantiser, self.latents
        if not kept.all():
            quantiser, latents = quantiser.select(latents, torch.from_numpy(kept))
        with TemporaryDirectory() as folder:
            path = Path(folder) / f"trial{self.suffix}"
            quantiser.write(latents, path, overwrite=True)
            return path.stat().st_size


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
        self._ranks = _ranks(worth)
        self._size, self._sample, self._engine = size, sample or SAMPLE, engines.named(engine)
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

    def fitting(self, codec: Codec, sh_degree: int, near: int, target: float) -> tuple[int, float, _Begun]:
        """How many Gaussians a file of `target` bytes has, at most, what one of so many takes, and their coding."""
        count = min(max(near, 1), len(self._ranks))
        begun = self.begin(codec, sh_degree, count)
        known: list[tuple[int, float]] = [(count, begun.bytes(count))]
        for _ in range(_CORRECTIONS):
            taken = known[-1][1]
            if abs(taken - target) <= _CLOSE * target or (taken < target and count == len(self._ranks)):
                break
            if taken > target and count == 1:
                break
            guess = _interpolated(known, target) if len(known) > 1 else round(count * target / taken)
            guess = min(max(guess, count // 8, 1), len(self._ranks))
            if guess == count:
                break
            count = guess
            if count > begun.count or count < begun.count // 2 or len(begun.rows) < begun.count:
                begun = self.begin(codec, sh_degree, count)
            known.append((count, begun.bytes(count)))
        return count, known[-1][1], begun

    def begin(self, codec: Codec, sh_degree: int, count: int) -> _Begun:
        rows = np.flatnonzero(self._ranks < count)
        if count > self._sample:
            rows = _sampled(self._subject.gaussians.means[torch.from_numpy(rows)].numpy(), rows, self._sample)
        part = self._subject[torch.from_numpy(rows)]
        prepared = codec.prepare(replace(part, gaussians=part.gaussians.with_sh_degree(sh_degree)))
        latents = prepared.quantiser.begin(prepared.gaussians)
        return _Begun(count, rows, self._ranks[rows], prepared, latents, codec.suffix)

    def _rendered(self, gaussians: Gaussians) -> list[Tensor]:
        scene, background = self._engine.renderer(gaussians), self._subject.capture.background
        return [scene.render(view.camera, background).image.detach().cpu().clamp(0, 1) for view in self._views]


def _error(images: Sequence[Tensor], others: Sequence[Tensor], views: Sequence[View]) -> float:
    """Mean squared difference of two renders of views, where no mask hides them."""
    each = [(image - other).square() for image, other in zip(images, others, strict=True)]
    seen = [square if view.mask is None else square[view.mask] for square, view in zip(each, views, strict=True)]
    return float(torch.stack([square.mean() for square in seen if square.numel()]).mean())
