"""`Engine` and `Model`: all that training, trimming and compressing know of what holds, renders and trains a scene.

A `Model` is a scene with its optimiser. It is spoken to about Gaussians by the names and in the shapes of `Gaussians`;
how its numbers lie in memory, on which device, and what is fused with what, is the engine's own business. A new engine
is a folder with these two and a line in `ENGINES`.

Tensors that a model gives are on its `device`; those that it takes may be anywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from leansplat.cameras import Camera
from leansplat.captures.capture import View
from leansplat.engines.removal_effects import RemovalEffects
from leansplat.engines.sensitivity import Sensitivity
from leansplat.engines.shared import SharedGaussians
from leansplat.engines.statistics import ViewStatistics
from leansplat.gaussians import Gaussians, Origin
from leansplat.progress import Progress

BLACK = (0.0, 0.0, 0.0)

Background = Sequence[float]
"""(r, g, b) in [0, 1] behind a scene."""


Depth = Literal["expected", "median"]
"""What the depth of a pixel is, of all the Gaussians that share it; see `Rendering`."""


class Rendering(NamedTuple):
    """A rendered view.

    The depth of a Gaussian is the z of its centre along the camera's axis, in the scene's units. With z_i those that
    draw at a pixel, nearest first, and w_i = alpha_i T_i their blending weights, a pixel's "expected" depth is
    sum_i w_i z_i / sum_i w_i, 0 where nothing draws. Its "median" depth is z_k of the first that leaves at most half of
    the light behind it, T_k (1 - alpha_k) <= 1/2, 0 where more than half passes through the scene.

    Args:
        image: (H, W, 3) float32, blended with the background, not clamped. It may be a view of planar memory.
        alpha: (H, W) float32 in [0, 1], how much of the background is covered.
        depth: (H, W) float32, where it was asked for; it carries no gradient.
    """

    image: Tensor
    alpha: Tensor
    depth: Tensor | None = None


class Step(NamedTuple):
    """What a training step found.

    Args:
        loss: before the step; where it is not finite, no step was taken.
        gradients: of the loss by the attributes asked for, by name, in the shapes of `Gaussians`.
    """

    loss: float
    gradients: Mapping[str, Tensor]


@dataclass(frozen=True)
class Moments:
    """What Adam remembers of N Gaussians.

    Args:
        first, second: running means of the gradients and of their squares, in the shapes of the scene's tensors.
        steps: updates made so far, one with a batch of views counted as so many; Gaussians that are made later share
            this count, as in 3DGS.
    """

    first: Gaussians
    second: Gaussians
    steps: int


@dataclass(frozen=True)
class Facts:
    """What a checkpoint knows of a model besides its tensors.

    Args:
        count: Gaussians; sh_degree: of the spherical harmonics stored.
        antialiased, origin: see `Gaussians`.
        steps: see `Moments`.
    """

    count: int
    sh_degree: int
    antialiased: bool
    origin: Origin
    steps: int


class Renderer(Protocol):
    """A scene that is ready to be rendered many times, without gradients."""

    def render(
        self,
        camera: Camera,
        background: Background = BLACK,
        *,
        sh_degree: int | None = None,
        depth: Depth | None = None,
    ) -> Rendering:
        """A view of the scene; arguments and errors as for `Engine.render`."""


class Model(Renderer, Protocol):
    """A scene of N Gaussians with its optimiser: Adam with a learning rate for each attribute.

    Attributes are the six tensors of `Gaussians`, by name.
    """

    @property
    def engine(self) -> str:
        """Name of the engine that it belongs to."""

    @property
    def device(self) -> torch.device:
        """Where the tensors are that it gives."""

    @property
    def facts(self) -> Facts:
        """What a checkpoint has to know besides `tensors`."""

    def __len__(self) -> int: ...

    def attribute(self, name: str) -> Tensor:
        """A copy of one attribute, outside autograd."""

    def gaussians(self) -> Gaussians:
        """A copy of the scene, on the CPU (extras and comments are not kept)."""

    def moments(self) -> Moments:
        """A copy of the optimiser's moments, on the CPU."""

    def write(self, name: str, indices: Tensor, values: Tensor) -> None:
        """Set an attribute of the Gaussians at `indices` (M,) int64 to `values` (M, ...)."""

    def select(self, rows: Tensor) -> None:
        """Keep the Gaussians at a mask (N,) bool or at indices (M,) int64, in that order, with their moments."""

    def rebuild(self, sources: Tensor, fresh: Tensor | None = None) -> None:
        """Replace the scene by copies of its Gaussians.

        Args:
            sources: (M,) int64, for each new Gaussian the old one it copies; repeats are clones.
            fresh: (M,) bool, which of them start with zero moments; none by default.
        """

    def clear_moments(self, name: str) -> None:
        """Zero the moments of an attribute of all Gaussians, after its values were replaced."""

    def set_rate(self, name: str, rate: float) -> None:
        """Set the learning rate of an attribute."""

    def step(
        self,
        view: View,
        background: Background,
        sh_degree: int,
        ssim_weight: float,
        statistics: ViewStatistics | None = None,
        gradients_of: Sequence[str] = (),
    ) -> Step:
        """Render a view, compare it with its photo (`metrics.loss.photometric_loss`), update every attribute.

        Args:
            sh_degree: highest degree of spherical harmonics to render, at most what is stored.
            statistics: of this scene, on this device; the view is added.
            gradients_of: attributes whose gradients are wanted, which may cost the engine more time.
        """

    def step_batch(
        self,
        views: Sequence[View],
        background: Background,
        sh_degree: int,
        ssim_weight: float,
        statistics: ViewStatistics | None = None,
        gradients_of: Sequence[str] = (),
    ) -> Step:
        """One update by the mean of what several views say, with Adam's numbers for so many (`engines.adam`).

        The loss and the gradients are means over the views; statistics get each view with its own gradient, as if it
        had been alone. Arguments as for `step`; `engines.batch` does this for an `AddingModel`.
        """

    def gather_statistics(self, views: Sequence[View], background: Background, ssim_weight: float) -> ViewStatistics:
        """Statistics over all `views` of the loss they are trained with; the scene stays as it is."""

    def blending_weights(self, views: Sequence[View]) -> tuple[Tensor, Tensor]:
        """(N,) sum and (N,) maximum of each Gaussian's blending weight alpha T over the pixels no mask hides."""

    def removal_effects(self, views: Sequence[View], background: Background) -> RemovalEffects:
        """What `views` would lose with each Gaussian."""

    def tensors(self) -> dict[str, Tensor]:
        """Parameters and moments on the CPU, as `Engine.load` takes them back; they may share memory with the model."""


@runtime_checkable
class AddingModel(Model, Protocol):
    """A model whose step with several views can be done in parts, so that several processes can share it."""

    def add_gradients(
        self,
        views: Sequence[View],
        background: Background,
        sh_degree: int,
        ssim_weight: float,
        statistics: ViewStatistics | None = None,
    ) -> list[float]:
        """Add the gradients of the views' losses to those added since the last update; returns the losses."""

    def gradient_sums(self) -> list[Tensor]:
        """What was added, in tensors of the engine's own shapes, to be read and changed in place before an update."""

    def update_by_mean(self, views: int, gradients_of: Sequence[str] = ()) -> Mapping[str, Tensor]:
        """Update every attribute by what was added, divided by a number of views, and begin to add anew.

        Returns:
            Those of the mean gradients that were asked for, as in `Step`.
        """

    def forget_gradients(self) -> None:
        """Begin to add anew without an update."""


class Engine(Protocol):
    """A way to hold, render and train scenes."""

    @property
    def name(self) -> str:
        """What it is called in `ENGINES`, and in the settings of runs."""

    def check(self) -> None:
        """Make sure that it can work here.

        Raises:
            InputError: something that it needs is not there; the sentence says what, and what to install.
        """

    def begin(self, gaussians: Gaussians, rates: Mapping[str, float], moments: Moments | None = None) -> Model:
        """A model of a copy of a scene.

        Args:
            rates: learning rates by attribute; those missing are 0 until `Model.set_rate`.
            moments: to go on with; fresh ones by default.
        """

    def layout(self, facts: Facts) -> Mapping[str, tuple[str, Sequence[int]]]:
        """Type, in the words of safetensors, and shape of each of `Model.tensors`, before any of them is read."""

    def load(self, tensors: Mapping[str, Tensor], facts: Facts, rates: Mapping[str, float]) -> Model:
        """The model whose `tensors` and `facts` these are; it may take over the memory of tensors of its `layout`.

        Where this engine cannot work, the model may be one of another engine, which `Model.engine` names.
        """

    def renderer(self, gaussians: Gaussians) -> Renderer:
        """A scene made ready to be rendered many times."""

    def render(
        self,
        scene: Gaussians | SharedGaussians,
        camera: Camera,
        *,
        background: Background = BLACK,
        sh_degree: int | None = None,
        depth: Depth | None = None,
    ) -> Rendering:
        """A view of a scene, differentiable in its tensors and tables.

        Args:
            sh_degree: highest degree of spherical harmonics to render; by default all that are stored.
            depth: which depth to render too; see `Rendering`.

        Raises:
            ValueError: `sh_degree` is above what is stored, or there is no such depth.
        """

    def mean_loss(
        self, scene: Gaussians | SharedGaussians, views: Sequence[View], background: Background, ssim_weight: float
    ) -> tuple[Tensor, list[float]]:
        """What a scene's images of some views, at least one, are off from their photos.

        Returns:
            The mean of the losses (`metrics.loss.photometric_loss`), differentiable in the scene's tensors and tables,
            and the loss of each view.
        """

    def sensitivity(
        self,
        gaussians: Gaussians,
        cameras: Sequence[Camera],
        background: Background,
        masks: Sequence[Tensor | None] | None = None,
        progress: Progress | None = None,
    ) -> Sensitivity:
        """Sensitivity, on the CPU, of the images of at least one camera.

        Args:
            masks: of each camera's photo, (H, W) bool, true where a pixel counts, or None where all do.
            progress: told after each camera, of "gaussians" only.
        """
