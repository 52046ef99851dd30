"""`sized`: a codec whose files have a given size, for `compress` to train through like any other.

Before training it takes as many Gaussians as the size has room for, and a little more; what is written afterwards goes
without the least worthy of them, until it is within the size (`fitting`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, make_dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from leansplat.compression.codecs import Codec
from leansplat.compression.format_quantiser import FileQuantiser
from leansplat.compression.preparation import Prepared, Subject
from leansplat.engines.shared import SharedGaussians
from leansplat.gaussians import Gaussians
from leansplat.shrinking.coded import ranks
from leansplat.shrinking.fitting import LEAST_SHARE, Choice, prepare
from leansplat.shrinking.within import few_views, worth_of, write_within
from leansplat.training.config import TrainingConfig

Made = TypeVar("Made")

_WORTH = "worth"

_REFILLED = 1.01
"""Of the bytes that training took away, what a second try begins with besides."""


class WithinSize:
    """A quantiser whose files are within a size; see `FileQuantiser` for its methods.

    Args:
        quantiser: of the kind of file.
        size: bytes; 0 for whatever it takes.
        worth: (N,) of the Gaussians that it begins with, the higher the more one matters.
    """

    def __init__(self, quantiser: FileQuantiser, size: int, worth: Tensor | None = None) -> None:
        self._quantiser, self._size = quantiser, size
        self._given = worth
        self._worth: Tensor = torch.zeros(0)

    @property
    def order(self) -> np.ndarray:
        return self._quantiser.order

    def begin(self, gaussians: Gaussians) -> dict[str, Tensor]:
        latents = self._quantiser.begin(gaussians)
        if self._given is not None:
            order = torch.from_numpy(self.order)
            real = order < len(gaussians)
            self._worth = torch.full((len(order),), torch.inf)  # invisible ones, which a format needs, stay
            self._worth[real] = self._given[order[real]]
        return latents

    def render_parameters(self, latents: Mapping[str, Tensor]) -> SharedGaussians:
        return self._quantiser.render_parameters(latents)

    def rates(self, recipe: TrainingConfig) -> Mapping[str, float]:
        return self._quantiser.rates(recipe)

    def step(self, latents: Mapping[str, Tensor], step: int) -> None:
        self._quantiser.step(latents, step)

    def tensors(self) -> dict[str, Tensor]:
        return {**self._quantiser.tensors(), _WORTH: self._worth}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        self._worth = tensors[_WORTH]
        self._quantiser.load({name: values for name, values in tensors.items() if name != _WORTH})

    def select(self, latents: Mapping[str, Tensor], rows: Tensor) -> tuple[WithinSize, dict[str, Tensor]]:
        part, kept = self._quantiser.select(latents, rows)
        found = WithinSize(part, self._size)
        found._worth = self._worth[rows] if len(self._worth) else self._worth
        return found, kept

    def write(self, latents: Mapping[str, Tensor], path: Path, *, overwrite: bool = False) -> None:
        if len(self._worth):
            write_within(self._quantiser, latents, path, self._size, self._worth, overwrite=overwrite)
        else:
            self._quantiser.write(latents, path, overwrite=overwrite)


@dataclass(frozen=True)
class _Sized(Codec):
    """What `sized` adds to a codec."""

    size: int = 1
    aim: int = 1
    count: int = 1
    degree: int = 0

    def quantiser(self, steps: int) -> FileQuantiser:
        return WithinSize(super().quantiser(steps), self.size)  # type: ignore[safe-super]

    def prepare(self, subject: Subject) -> Prepared:
        kind = type(self).__mro__[2]  # the codec as it was
        options = {entry.name: getattr(self, entry.name) for entry in fields(kind)}
        choice = Choice(self.count, self.degree, kind(**options), self.aim, self.aim)
        capture, engine = few_views(subject.capture), subject.engine
        worth = worth_of(subject.gaussians, capture, engine)
        ready = prepare(
            subject.gaussians,
            worth,
            capture,
            choice,
            steps=subject.fine_tuning.steps,
            seed=subject.fine_tuning.seed,
            engine=engine,
            progress=subject.progress,
        )
        kept = torch.from_numpy(ranks(worth) < len(ready.gaussians))  # which `prepare` keeps, in their order
        return Prepared(ready.gaussians, WithinSize(ready.quantiser, self.size, worth[kept]), ready.told)


def sized(choice: Choice, aim: int | None = None) -> Codec:
    """The chosen codec, whose files have at most the size that it was chosen for.

    Args:
        aim: bytes to begin training with; that size by default, since training makes most files a little larger.
    """
    kind = type(choice.codec)
    made: Any = make_dataclass(f"Sized{kind.__name__}", [], bases=(_Sized, kind), frozen=True)
    options = {entry.name: getattr(choice.codec, entry.name) for entry in fields(kind)}
    codec: Codec = made(
        **options, size=choice.size, aim=aim or choice.size, count=choice.count, degree=choice.sh_degree
    )
    return codec


def filled(
    choice: Choice,
    steps: int,
    write: Callable[[Codec, int, bool], tuple[Made, bool, int]],
    choose_again: Callable[[], Choice],
) -> Made:
    """What `write` makes of a choice, a second time where the file did not fill the size that it was chosen for.

    Args:
        steps: of training through the rounding.
        write: from a codec, steps, and whether it is the second time, to what was made, whether that is what was
            trained, and the bytes of its file.
        choose_again: a choice for a file that is not trained.
    """
    made, tuned, taken = write(sized(choice), steps, False)
    if taken >= LEAST_SHARE * choice.size or not choice.fills or not steps:
        return made
    if tuned:  # some files become smaller by training
        return write(sized(choice, aim=round(_REFILLED * choice.size * choice.size / taken)), steps, True)[0]
    return write(sized(choose_again()), 0, True)[0]  # a coarser grade was to be trained than is best without
