"""`TorchModel`: a scene as six tensors on a device, and `torch.optim.Adam` over them, a group for each."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, get_args

import torch
from torch import Tensor

from leansplat.cameras import Camera
from leansplat.captures.capture import View
from leansplat.engines.adam import BETA1, BETA2, EPSILON
from leansplat.engines.batch import step_with
from leansplat.engines.batched_adam import adam_of_batch
from leansplat.engines.engine import BLACK, Background, Depth, Facts, Moments, Rendering, Step
from leansplat.engines.removal_effects import RemovalEffects
from leansplat.engines.statistics import ViewStatistics
from leansplat.engines.torch.depth import depth_image
from leansplat.engines.torch.effects import add_blending_weights, add_removal_effects
from leansplat.engines.torch.loss import photometric_loss
from leansplat.engines.torch.memory import memory_of
from leansplat.engines.torch.probes import ProbedEffects, add_probed
from leansplat.engines.torch.rasterizer import Rasterised, Rasteriser
from leansplat.engines.torch.targets import Targets
from leansplat.gaussians import TENSOR_NAMES, Gaussians

Result = TypeVar("Result")

_FIRST, _SECOND = "exp_avg", "exp_avg_sq"


@dataclass(frozen=True)
class TorchRenderer:
    """See `engines.engine.Renderer`.

    Args:
        scene: on the device where it is rendered.
        rasterise: what draws it.
    """

    scene: Gaussians
    rasterise: Rasteriser

    def render(
        self,
        camera: Camera,
        background: Background = BLACK,
        *,
        sh_degree: int | None = None,
        depth: Depth | None = None,
    ) -> Rendering:
        with torch.no_grad(), memory_of(len(self.scene), camera):
            return rendering(self.rasterise, self.scene, camera, background, sh_degree, depth)


class TorchModel:
    """See `engines.engine.Model`.

    Args:
        engine: name of the engine.
        rasterise: what draws the scene.
        moments: of the scene, on its device.
        rates: learning rates by attribute; those missing are 0.
        targets: photos and masks on its device.
        probing: whether the effects of removal are estimated through the rasteriser (`ProbedEffects`).
    """

    def __init__(
        self,
        engine: str,
        rasterise: Rasteriser,
        scene: Gaussians,
        moments: Moments,
        rates: Mapping[str, float],
        targets: Targets,
        *,
        probing: bool = False,
    ) -> None:
        self.engine = engine
        self._rasterise = rasterise
        self._targets = targets
        self._probing = probing
        self._hold(scene, moments, {name: rates.get(name, 0.0) for name in TENSOR_NAMES})

    def _hold(self, scene: Gaussians, moments: Moments, rates: Mapping[str, float]) -> None:
        """Take a scene, moments and rates instead of those held so far; tensors are taken over."""
        leaves: dict[str, Any] = {name: getattr(scene, name).detach().requires_grad_() for name in TENSOR_NAMES}
        self._scene = Gaussians(**leaves, antialiased=scene.antialiased, origin=scene.origin)
        groups = [{"params": [leaf], "lr": rates[name], "name": name} for name, leaf in leaves.items()]
        self._optimizer = torch.optim.Adam(groups, betas=(BETA1, BETA2), eps=EPSILON)
        self._sums: dict[str, Tensor] | None = None  # of the gradients of a batch
        self._steps = moments.steps
        for name, leaf in leaves.items():
            self._optimizer.state[leaf] = {
                "step": torch.tensor(float(moments.steps)),
                _FIRST: getattr(moments.first, name),
                _SECOND: getattr(moments.second, name),
            }

    @property
    def device(self) -> torch.device:
        return self._scene.device

    @property
    def facts(self) -> Facts:
        scene = self._scene
        return Facts(len(scene), scene.sh_degree, scene.antialiased, scene.origin, self._steps)

    def __len__(self) -> int:
        return len(self._scene)

    def attribute(self, name: str) -> Tensor:
        return self._leaf(name).detach().clone()

    def gaussians(self) -> Gaussians:
        return _copied(self._scene)

    def moments(self) -> Moments:
        held = self._moments()
        return Moments(_copied(held.first), _copied(held.second), held.steps)

    def write(self, name: str, indices: Tensor, values: Tensor) -> None:
        self._leaf(name).detach()[indices.to(self.device)] = values.to(self.device)

    def select(self, rows: Tensor) -> None:
        self.rebuild(rows.nonzero()[:, 0] if rows.dtype == torch.bool else rows)

    def rebuild(self, sources: Tensor, fresh: Tensor | None = None) -> None:
        sources = sources.to(self.device)
        held = self._moments()
        first, second = held.first[sources], held.second[sources]
        if fresh is not None:
            for name in TENSOR_NAMES:
                for moment in (first, second):
                    getattr(moment, name)[fresh.to(self.device)] = 0
        rates = {group["name"]: group["lr"] for group in self._optimizer.param_groups}
        self._hold(self._scene.detach()[sources], Moments(first, second, held.steps), rates)

    def clear_moments(self, name: str) -> None:
        state = self._optimizer.state[self._leaf(name)]
        state[_FIRST].zero_()
        state[_SECOND].zero_()

    def set_rate(self, name: str, rate: float) -> None:
        for group in self._optimizer.param_groups:
            if group["name"] == name:
                group["lr"] = rate

    def step(
        self,
        view: View,
        background: Background,
        sh_degree: int,
        ssim_weight: float,
        statistics: ViewStatistics | None = None,
        gradients_of: Sequence[str] = (),
    ) -> Step:
        with memory_of(len(self), view.camera, trained=True):
            loss, gradients = self._gradients(view, background, sh_degree, ssim_weight, statistics)
            if not math.isfinite(loss):
                return Step(loss, {})
            for name, gradient in gradients.items():
                self._leaf(name).grad = gradient
            self._optimizer.step()
            self._optimizer.zero_grad()
        self._steps += 1
        return Step(loss, {name: gradients[name] for name in gradients_of})

    def step_batch(
        self,
        views: Sequence[View],
        background: Background,
        sh_degree: int,
        ssim_weight: float,
        statistics: ViewStatistics | None = None,
        gradients_of: Sequence[str] = (),
    ) -> Step:
        return step_with(self, views, background, sh_degree, ssim_weight, statistics, gradients_of)

    def add_gradients(
        self,
        views: Sequence[View],
        background: Background,
        sh_degree: int,
        ssim_weight: float,
        statistics: ViewStatistics | None = None,
    ) -> list[float]:
        """See `engines.engine.Model`. One view after the other, in the memory that one view takes."""
        losses = []
        for view in views:
            with memory_of(len(self), view.camera, trained=True):
                loss, gradients = self._gradients(view, background, sh_degree, ssim_weight, statistics)
                losses.append(loss)
                for total, gradient in zip(self.gradient_sums(), gradients.values(), strict=False):
                    total += gradient
        return losses

    def gradient_sums(self) -> list[Tensor]:
        if self._sums is None:
            self._sums = {name: torch.zeros_like(self._leaf(name)) for name in TENSOR_NAMES}
        return list(self._sums.values())

    def update_by_mean(self, views: int, gradients_of: Sequence[str] = ()) -> Mapping[str, Tensor]:
        sums = dict(zip(TENSOR_NAMES, self.gradient_sums(), strict=True))
        for name, total in sums.items():
            self._leaf(name).grad = total.div_(views)
        with adam_of_batch(self._optimizer, self._steps, views):
            self._optimizer.step()
        self._optimizer.zero_grad()
        self._steps += views
        self._sums = None
        return {name: sums[name] for name in gradients_of}

    def forget_gradients(self) -> None:
        self._sums = None

    def gather_statistics(self, views: Sequence[View], background: Background, ssim_weight: float) -> ViewStatistics:
        statistics = ViewStatistics.zeros(len(self), device=self.device)
        for view in views:
            with memory_of(len(self), view.camera, trained=True):
                self._gradients(view, background, self._scene.sh_degree, ssim_weight, statistics)
        return statistics

    def blending_weights(self, views: Sequence[View]) -> tuple[Tensor, Tensor]:
        total, largest = (torch.zeros(len(self), device=self.device) for _ in range(2))
        for view in views:
            camera = view.camera.relative_to(self._scene.origin)
            with memory_of(len(self), camera):
                add_blending_weights(self._scene, camera, self._targets.mask(view), total, largest)
        return total, largest

    def removal_effects(self, views: Sequence[View], background: Background) -> RemovalEffects:
        if not self._probing:
            return self._summed_effects(views, background)
        scene, steps = self._scene, self._steps

        def unchanged(work: Callable[[Sequence[View], Background], Result]) -> Callable[[], Result]:
            def worked() -> Result:
                if self._scene is not scene or self._steps != steps:
                    raise RuntimeError("effects of removal are read after the scene has changed")
                return work(views, background)

            return worked

        return ProbedEffects(unchanged(self._probed_effects), unchanged(self._summed_effects))

    def _probed_effects(self, views: Sequence[View], background: Background) -> tuple[Tensor, Tensor]:
        change, slope = (torch.zeros(len(self), device=self.device) for _ in range(2))
        behind = torch.tensor(background, dtype=torch.float32, device=self.device)
        for number, view in enumerate(views):
            camera, photo, mask = (
                view.camera.relative_to(self._scene.origin),
                self._photo(view),
                self._targets.mask(view),
            )
            with memory_of(len(self), camera):
                add_probed(self._rasterise, self._scene, camera, photo, behind, mask, number, change, slope)
        return change, slope

    def _photo(self, view: View) -> Tensor:
        """(H, W, 3) float32 in [0, 1], on the device."""
        photo = self._targets.photo(view).to(torch.float32)
        return photo / 255 if view.photo.dtype == torch.uint8 else photo

    def _summed_effects(self, views: Sequence[View], background: Background) -> RemovalEffects:
        effects = RemovalEffects(*(torch.zeros(len(self), device=self.device) for _ in range(4)))
        behind = torch.tensor(background, dtype=torch.float32, device=self.device)
        for view in views:
            camera = view.camera.relative_to(self._scene.origin)
            with memory_of(len(self), camera):
                add_removal_effects(self._scene, camera, self._photo(view), behind, self._targets.mask(view), effects)
        return effects

    def render(
        self,
        camera: Camera,
        background: Background = BLACK,
        *,
        sh_degree: int | None = None,
        depth: Depth | None = None,
    ) -> Rendering:
        return TorchRenderer(self._scene, self._rasterise).render(camera, background, sh_degree=sh_degree, depth=depth)

    def tensors(self) -> dict[str, Tensor]:
        held = self._moments()
        parts = {"": self._scene, "first_moment.": held.first, "second_moment.": held.second}
        return {f"{part}{name}": getattr(s, name).detach().cpu() for part, s in parts.items() for name in TENSOR_NAMES}

    def _leaf(self, name: str) -> Tensor:
        leaf: Tensor = getattr(self._scene, name)
        return leaf

    def _moments(self) -> Moments:
        """The moments themselves."""
        parts: list[dict[str, Any]] = [
            {name: self._optimizer.state[self._leaf(name)][part] for name in TENSOR_NAMES} for part in (_FIRST, _SECOND)
        ]
        first, second = (
            Gaussians(**part, antialiased=self._scene.antialiased, origin=self._scene.origin) for part in parts
        )
        return Moments(first, second, self._steps)

    def _gradients(
        self,
        view: View,
        background: Background,
        sh_degree: int,
        ssim_weight: float,
        statistics: ViewStatistics | None,
    ) -> tuple[float, dict[str, Tensor]]:
        """The loss of a view, and its gradient by every attribute; `statistics` get the view where it is finite.

        The loss is the one number that comes back from the device, when the backward pass is under way.
        """
        drawn = draw(self._rasterise, self._scene, view.camera, background, sh_degree)
        loss = photometric_loss(drawn.image, self._targets.photo(view), ssim_weight, self._targets.mask(view))
        leaves = {name: self._leaf(name) for name in TENSOR_NAMES}
        found = torch.autograd.grad(loss, [*leaves.values(), drawn.means], materialize_grads=True)
        value = _read_back(loss)
        if not math.isfinite(value):
            return value, {}
        if statistics is not None:
            _add_view(statistics, drawn, found[-1], view.camera)
        return value, dict(zip(leaves, found[:-1], strict=True))


def rendering(
    rasterise: Rasteriser,
    scene: Gaussians,
    camera: Camera,
    background: Background,
    sh_degree: int | None,
    depth: Depth | None,
) -> Rendering:
    """A view of a scene by a camera of the world, and its depth; as `engines.engine.Engine.render`."""
    degree = scene.sh_degree if sh_degree is None else sh_degree
    if not 0 <= degree <= scene.sh_degree:
        raise ValueError(f"sh_degree is {degree}; the scene has degrees 0 to {scene.sh_degree}")
    if depth is not None and depth not in get_args(Depth):
        raise ValueError(f"depth is {depth!r}; it is 'expected' or 'median'")
    drawn = draw(rasterise, scene, camera, background, degree)
    deep = None if depth is None else depth_image(scene, camera.relative_to(scene.origin), degree, depth)
    return Rendering(drawn.image, drawn.alpha, deep)


def draw(rasterise: Rasteriser, scene: Gaussians, camera: Camera, background: Background, sh_degree: int) -> Rasterised:
    """A view of a scene by a camera of the world."""
    behind = torch.as_tensor(background, dtype=scene.means.dtype, device=scene.device)
    return rasterise(scene, camera.relative_to(scene.origin), behind, sh_degree)


def _add_view(statistics: ViewStatistics, drawn: Rasterised, by_means: Tensor, camera: Camera) -> None:
    """Add a view to statistics; `by_means` is the gradient of the loss by `drawn.means`."""
    by_means = by_means if drawn.places is None else by_means.reshape(-1, 2)[drawn.places]
    half = torch.tensor([0.5 * camera.width, 0.5 * camera.height]).to(by_means)
    statistics.views_seen[drawn.rows] += 1
    statistics.max_radius[drawn.rows] = torch.maximum(statistics.max_radius[drawn.rows], drawn.radii)
    statistics.gradient_sum[drawn.rows] += (by_means * half).norm(dim=1)


def _read_back(loss: Tensor) -> float:
    """The number that a step waits for."""
    return float(loss.detach())


def _copied(scene: Gaussians) -> Gaussians:
    copies: dict[str, Any] = {name: getattr(scene, name).detach().to("cpu", copy=True) for name in TENSOR_NAMES}
    return Gaussians(**copies, antialiased=scene.antialiased, origin=scene.origin)
