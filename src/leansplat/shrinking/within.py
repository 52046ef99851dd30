"""Files of at most a given size: without the least worthy Gaussians where what was fine-tuned takes more.

Training makes numbers less alike, and mostly a file larger by a percent or two than what it began with, of the size
(`fitting.prepare`). So a few Gaussians go once it is done.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from leansplat import engines
from leansplat.captures.capture import Capture
from leansplat.compression.format_quantiser import FileQuantiser
from leansplat.errors import InputError
from leansplat.gaussians import Gaussians
from leansplat.shrinking.coded import CLOSE, interpolated, ranks
from leansplat.shrinking.sizes import format_bytes

_TRIALS = 24
"""Files that are written at most until one fits closely."""


_FEW = 32
"""Views that tell how bytes are best spent; more take longer and say the same."""


def few_views(capture: Capture) -> Capture:
    """The capture with some of its training views, spread evenly, for what need not look at all of them."""
    count = min(_FEW, len(capture.train))
    return replace(capture, train=tuple(capture.train[number * len(capture.train) // count] for number in range(count)))


def worth_of(gaussians: Gaussians, capture: Capture, engine: str = "cpu") -> Tensor:
    """(N,) float32: how much the training views change without each Gaussian (criterion "gaussianpop")."""
    model = engines.named(engine).begin(gaussians, {})
    return model.removal_effects(capture.train, capture.background).change.cpu()


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
    places = ranks(worth)
    with TemporaryDirectory() as folder:
        trial = Path(folder) / path.name

        def file_of(count: int) -> int:
            part, kept = quantiser.select(latents, torch.from_numpy(places < count))
            part.write(kept, trial, overwrite=True)
            return trial.stat().st_size

        quantiser.write(latents, trial, overwrite=True)
        fits, count = 0, len(places)
        known: list[tuple[int, float]] = [(count, trial.stat().st_size)]
        if known[0][1] > size:
            low, high = 0, count  # `low` Gaussians fit, `high` do not
            for _ in range(_TRIALS):
                if high - low <= 1 or (fits and fits >= size * (1 - CLOSE)):
                    break
                count = min(max(interpolated(known, size * (1 - CLOSE / 2)), low + 1), high - 1)
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
            quantiser, latents = quantiser.select(latents, torch.from_numpy(places < low))
    quantiser.write(latents, path, overwrite=overwrite)
    return path.stat().st_size
