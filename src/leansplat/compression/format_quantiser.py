"""Quantisers of open formats: what `fine_tune` needs to train a scene through SPZ, compressed PLY or SOG.

They call the formats' own `encode` and `decode`, so that training sees the floats a reader of the file computes, to the
bit, and no arithmetic is written twice. Gaussians are put into the order of the file once, which stays that of latents;
centres hardly move. The gradient goes straight through the rounding (Bengio et al. 2013).
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from leansplat.arrays import AnyScene
from leansplat.clustering import nearest_codes
from leansplat.compression.fake_quantisation import straight_through
from leansplat.compression.fine_tuning import Quantiser
from leansplat.compression.state import said_origin
from leansplat.engines.shared import SharedGaussians
from leansplat.formats import sog, spz
from leansplat.formats.fidelity import report_rows
from leansplat.formats.format import Format
from leansplat.formats.options import SpzOptions
from leansplat.gaussians import TENSOR_NAMES, WORLD, Gaussians, Origin
from leansplat.training.config import TrainingConfig

_REFIT_EVERY = 100
"""Steps from one refit of codebooks to the next."""

_BOOKS = ("scales", "sh0", "shN")
"""Codebooks of a SOG file, and the latents that they are for."""

_EMPTY = np.zeros(256, np.float32)
_NO_CODEBOOKS = sog.Codebooks(_EMPTY, _EMPTY, _EMPTY, palette=np.zeros((0, 0, 3), np.uint8))

_PALETTE_RATE = 4
"""Learning rate of a palette's entries in that of harmonics: an entry hears many Gaussians, so it errs less."""

_ROTATION_STEP = 4
"""Of a SOG file's rotations, in steps of its bytes: coarser ones compress better, and training makes up for them. They
are as fine as can be where there is none."""

_SHARE_OF_REFITS = 0.8
"""Of fine-tuning, after which codebooks rest, so that what is written was trained with."""


class FileQuantiser(Quantiser, Protocol):
    """A quantiser that can write the file it trains for."""

    @property
    def order(self) -> np.ndarray:
        """(M,) int64: of which Gaussian of the scene that `begin` was given each row of the latents is. A number beyond
        the scene stands for an invisible one. Not part of a checkpoint."""

    def select(self, latents: Mapping[str, Tensor], rows: Tensor) -> tuple[FileQuantiser, dict[str, Tensor]]:
        """A quantiser for a file of only some Gaussians, and its latents; this one stays as it is.

        Args:
            rows: (M,) bool, which of those that `render_parameters` gives.
        """

    def write(self, latents: Mapping[str, Tensor], path: Path, *, overwrite: bool = False) -> None:
        """Write a file whose reader gets what `render_parameters` gives for these latents.

        Raises:
            InputError: as `leansplat.files.replacing` does.
        """


class Coding(Protocol):
    """A format that codes each Gaussian by itself: a module of `leansplat.formats`, or an object with its functions."""

    FORMAT: Format

    def arranged(self, gaussians: AnyScene) -> tuple[AnyScene, np.ndarray]:
        """A scene, with invisible Gaussians where the format needs some, and (M,) the rows in the order of the file."""

    def encode(self, gaussians: AnyScene, *, order: np.ndarray) -> Any:
        """What the file says of a scene."""

    def decode(self, encoded: Any) -> AnyScene:
        """The scene that a reader of the file gets."""

    def write_encoded(self, encoded: Any, path: Path, *, overwrite: bool) -> None:
        """Write the file."""


class RowQuantiser:
    """A format that codes each Gaussian by itself; latents are the scene's tensors, in the order of the file.

    Args:
        coding: the format.
    """

    def __init__(self, coding: Coding) -> None:
        self._coding = coding
        self.order: np.ndarray = np.zeros(0, np.int64)
        self._antialiased = False
        self._origin: Origin = WORLD
        # Named so that another format's checkpoint is not taken for this one's.
        self._tag = f"{coding.FORMAT.name}.antialiased"

    def begin(self, gaussians: Gaussians) -> dict[str, Tensor]:
        filled, order = self._coding.arranged(gaussians)
        report_rows(gaussians, order, self._coding.FORMAT.name)
        return self._begin(Gaussians.from_arrays(filled.arrays()), torch.from_numpy(order))

    def _begin(self, gaussians: Gaussians, order: Tensor) -> dict[str, Tensor]:
        self._antialiased, self._origin, self.order = gaussians.antialiased, gaussians.origin, order.numpy()
        ordered = gaussians[order].detach()  # a copy
        return {name: getattr(ordered, name) for name in TENSOR_NAMES}

    def render_parameters(self, latents: Mapping[str, Tensor]) -> SharedGaussians:
        return SharedGaussians(self._straight_through(latents, self._decoded(latents)))

    def rates(self, recipe: TrainingConfig) -> Mapping[str, float]:
        return {
            "quats": recipe.quat_rate,
            "scales": recipe.scale_rate,
            "opacities": recipe.opacity_rate,
            "sh0": recipe.sh0_rate,
            "shN": recipe.shN_rate,
        }

    def step(self, latents: Mapping[str, Tensor], step: int) -> None:
        pass

    def tensors(self) -> dict[str, Tensor]:
        origin = torch.tensor(self._origin, dtype=torch.float64)
        return {self._tag: torch.tensor(self._antialiased), "origin": origin}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        self._antialiased, self._origin = bool(tensors[self._tag]), said_origin(tensors)

    def write(self, latents: Mapping[str, Tensor], path: Path, *, overwrite: bool = False) -> None:
        self._coding.write_encoded(self._encoded(latents), path, overwrite=overwrite)

    def select(self, latents: Mapping[str, Tensor], rows: Tensor) -> tuple[RowQuantiser, dict[str, Tensor]]:
        part = copy(self)
        part.order = self.order[rows.numpy()] if len(self.order) else self.order
        return part, {name: latents[name][rows] for name in TENSOR_NAMES}

    def _decoded(self, latents: Mapping[str, Tensor]) -> Gaussians:
        return Gaussians.from_arrays(self._coding.decode(self._encoded(latents)).arrays())

    def _encoded(self, latents: Mapping[str, Tensor]) -> Any:
        return self._coding.encode(self._gaussians(latents), order=np.arange(len(latents["means"])))

    def _gaussians(self, latents: Mapping[str, Tensor]) -> Gaussians:
        tensors: dict[str, Any] = {name: latents[name].detach() for name in TENSOR_NAMES}
        return Gaussians(**tensors, antialiased=self._antialiased, origin=self._origin)

    def _straight_through(self, latents: Mapping[str, Tensor], decoded: Gaussians) -> Gaussians:
        """`decoded`, with gradients going to the latents."""
        # Rotations are coded without their length and sign, which the gradient has to know.
        quats = torch.nn.functional.normalize(latents["quats"], dim=1)
        sign = torch.where((quats.detach() * decoded.quats).sum(dim=1, keepdim=True) < 0, -1.0, 1.0)
        towards = {**latents, "quats": quats * sign}
        rounded: dict[str, Any] = {
            name: straight_through(towards[name], getattr(decoded, name)) for name in TENSOR_NAMES
        }
        return replace(decoded, **rounded, origin=self._origin)  # which a file may have no place for


class SpzQuantiser(RowQuantiser):
    """SPZ, whose harmonics may be finer where they can be seen.

    Args:
        sh_steps: of the Gaussians that it begins with, as `formats.spz.encode` takes them.
        options: of the file, whose bits count where there are no steps; the usual ones by default.
    """

    def __init__(self, sh_steps: np.ndarray | None = None, options: SpzOptions | None = None) -> None:
        super().__init__(spz)
        self._given_steps, self._options = sh_steps, options or SpzOptions()
        self._sh_steps = sh_steps  # row by row those of the latents, once it has begun

    def _begin(self, gaussians: Gaussians, order: Tensor) -> dict[str, Tensor]:
        if self._given_steps is not None:
            self._sh_steps = self._given_steps[order.numpy()]
        return super()._begin(gaussians, order)

    def tensors(self) -> dict[str, Tensor]:
        steps = {} if self._sh_steps is None else {"sh_steps": torch.from_numpy(self._sh_steps)}
        return {**super().tensors(), **steps}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        super().load(tensors)
        self._sh_steps = tensors["sh_steps"].numpy() if "sh_steps" in tensors else None

    def select(self, latents: Mapping[str, Tensor], rows: Tensor) -> tuple[SpzQuantiser, dict[str, Tensor]]:
        part, kept = super().select(latents, rows)
        assert isinstance(part, SpzQuantiser)
        if self._sh_steps is not None:
            part._sh_steps = self._sh_steps[rows.numpy()]
        return part, kept

    def _encoded(self, latents: Mapping[str, Tensor]) -> spz.Encoded:
        order, bits = np.arange(len(latents["means"])), self._options.sh_bits
        return spz.encode(self._gaussians(latents), sh_bits=bits, sh_steps=self._sh_steps, order=order)

    def write(self, latents: Mapping[str, Tensor], path: Path, *, overwrite: bool = False) -> None:
        spz.write_encoded(self._encoded(latents), path, overwrite=overwrite, version=self._options.version)


class SogQuantiser(RowQuantiser):
    """SOG: latents are those of the rows, but `shN` (P, K - 1, 3) holds the entries of the palette.

    Which entry a Gaussian has stays as it began; the gradient of an entry is the sum over the Gaussians that share it.
    The codebooks follow the latents, refitted now and then.

    Args:
        steps: how long fine-tuning takes; no refits in the last fifth.
        weights, palette_size, seed: as `formats.sog.fit` takes them for the Gaussians that it begins with.
    """

    def __init__(
        self,
        *,
        steps: int,
        weights: np.ndarray | None = None,
        palette_size: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(sog)
        self._last_refit = int(_SHARE_OF_REFITS * steps)
        self._rotation_step = _ROTATION_STEP if steps else 1
        self._weights, self._palette_size, self._seed = weights, palette_size, seed
        self._codebooks = _NO_CODEBOOKS
        self._labels = np.zeros(0, np.uint16)
        self._mass: np.ndarray = np.zeros(0)

    def _begin(self, gaussians: Gaussians, order: Tensor) -> dict[str, Tensor]:
        latents = super()._begin(gaussians, order)
        scene = self._gaussians(latents)
        weights = sog.importance(scene) if self._weights is None else self._weights[order.numpy()]
        fitted = sog.fit(scene, palette_size=self._palette_size, weights=weights, seed=self._seed)
        self._codebooks = fitted
        self._labels = sog.palette_labels(latents["shN"].numpy(), fitted)
        self._mass = np.bincount(self._labels, weights, len(fitted.palette))
        return {**latents, "shN": torch.from_numpy(fitted.palette_values())}

    def render_parameters(self, latents: Mapping[str, Tensor]) -> SharedGaussians:
        entries = latents["shN"] if latents["shN"].numel() else latents["shN"].detach()
        codes = nearest_codes(entries.detach().numpy(), self._codebooks.shN)
        palette = straight_through(entries, torch.from_numpy(self._codebooks.shN[codes]))
        decoded = self._decoded({**latents, "shN": entries[:, :0]})
        rounded = self._straight_through({**latents, "shN": decoded.shN}, decoded)
        return SharedGaussians(rounded, {"shN": (palette, torch.from_numpy(self._labels.astype(np.int64)))})

    def rates(self, recipe: TrainingConfig) -> Mapping[str, float]:
        return {**super().rates(recipe), "shN": _PALETTE_RATE * recipe.shN_rate}

    def step(self, latents: Mapping[str, Tensor], step: int) -> None:
        if step % _REFIT_EVERY == 0 and step <= self._last_refit:
            scales, sh0, palette = (latents[name].numpy() for name in _BOOKS)
            self._codebooks = sog.Codebooks.of(scales, sh0, palette, self._mass, self._codebooks.tolerance)

    def tensors(self) -> dict[str, Tensor]:
        books = {f"book.{name}": torch.from_numpy(getattr(self._codebooks, name)) for name in _BOOKS}
        return {
            **super().tensors(),
            **books,
            "tolerance": torch.tensor(self._codebooks.tolerance, dtype=torch.float64),
            "labels": torch.from_numpy(self._labels.astype(np.int32)),
            "mass": torch.from_numpy(self._mass),
        }

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        super().load(tensors)
        books = {name: tensors[f"book.{name}"].numpy() for name in _BOOKS}
        self._codebooks = replace(_NO_CODEBOOKS, **books, tolerance=float(tensors["tolerance"]))
        self._labels = tensors["labels"].numpy().astype(np.uint16)
        self._mass = tensors["mass"].numpy()

    def select(self, latents: Mapping[str, Tensor], rows: Tensor) -> tuple[SogQuantiser, dict[str, Tensor]]:
        part, kept = super().select({**latents, "shN": latents["means"]}, rows)
        assert isinstance(part, SogQuantiser)
        part._labels = self._labels[rows.numpy()]
        return part, {**kept, "shN": latents["shN"]}

    def _encoded(self, latents: Mapping[str, Tensor]) -> sog.Encoded:
        palette = nearest_codes(latents["shN"].detach().numpy(), self._codebooks.shN)
        count = len(self._labels)
        rows = {**latents, "shN": torch.zeros(count, *palette.shape[1:])}
        return sog.encode(
            self._gaussians(rows),
            replace(self._codebooks, palette=palette),
            labels=self._labels,
            order=np.arange(count),
            rotation_step=self._rotation_step,
        )
