"""What a codec prepares from, and what it makes of it: a scene and the photos, then what fine-tuning begins with.

One pass over the training views finds how much the images depend on each Gaussian. It is made when a codec first asks
for it, since not every one does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from torch import Tensor

from leansplat import engines
from leansplat.captures.capture import Capture
from leansplat.compression.config import CompressionConfig, FineTuningConfig
from leansplat.compression.format_quantiser import FileQuantiser
from leansplat.compression.harmonics import Loss, loss_on_photos
from leansplat.engines.sensitivity import Sensitivity
from leansplat.errors import InputError
from leansplat.gaussians import Gaussians
from leansplat.progress import Progress


@dataclass(frozen=True)
class Subject:
    """A scene that is to be compressed, and what there is to decide by.

    Args:
        gaussians: the scene.
        capture: has training views.
        fine_tuning: how it is going to be trained; its seed is that of all that is drawn before, too.
        progress: to be told of what takes long.
        engine: what renders, a name in `leansplat.engines.ENGINES`.
        part_of: the whole and which rows of it these are, where it is part of another.
    """

    gaussians: Gaussians
    capture: Capture
    fine_tuning: FineTuningConfig
    progress: Progress | None = None
    engine: str = "cpu"
    part_of: tuple[Subject, Tensor] | None = None

    @cached_property
    def sensitivity(self) -> Sensitivity:
        """Of the images of the training views to each Gaussian; of a part, as while the others were there."""
        if self.part_of is not None:
            whole, rows = self.part_of
            return whole.sensitivity[rows]
        return engines.named(self.engine).sensitivity(
            self.gaussians,
            [view.camera for view in self.capture.train],
            self.capture.background,
            [view.mask for view in self.capture.train],
            self.progress,
        )

    def loss_on_photos(self) -> Loss:
        """What another scene loses against this one, on some of the training photos."""
        return loss_on_photos(self.gaussians, self.capture, self.engine)

    def __getitem__(self, rows: Tensor) -> Subject:
        """The Gaussians at a mask (N,) or at indices (M,); the images depend on each as before."""
        return replace(self, gaussians=self.gaussians[rows], part_of=(self, rows))


@dataclass(frozen=True)
class Prepared:
    """What fine-tuning begins with.

    Args:
        gaussians: what is left of the scene.
        quantiser: which knows what was decided, and begins with these Gaussians.
        told: what the log of the run says of it, values of JSON by name.
    """

    gaussians: Gaussians
    quantiser: FileQuantiser
    told: Mapping[str, Any] = field(default_factory=dict)


def subject(
    gaussians: Gaussians, capture: Capture, config: CompressionConfig, progress: Progress | None, engine: str = "cpu"
) -> Subject:
    """A scene without what `config` leaves out, for a codec to prepare.

    Raises:
        InputError: no training view shows any of the scene, and what is not seen was to be dropped.
    """
    found = Subject(kept_degrees(gaussians, config), capture, config.fine_tuning, progress, engine)
    if not config.drop_unseen:
        return found
    seen = found.sensitivity.of_color > 0
    if not seen.any():
        raise InputError("no training view shows any of the scene; check that it belongs to the capture")
    return found[seen]


def kept_degrees(gaussians: Gaussians, config: CompressionConfig) -> Gaussians:
    """The scene without the spherical harmonics that `config` leaves out."""
    if config.sh_degree is None:
        return gaussians
    return gaussians.with_sh_degree(min(config.sh_degree, gaussians.sh_degree))
