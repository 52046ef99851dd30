"""`SharedEngine`: an engine whose models are held by all processes, and whose views are shared out among them.

A model is told to the others when there is first something to share; from then on whatever changes it is told, too. A
scene that is no model's, such as one that a file is fine-tuned by, is told each time.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from leansplat.cameras import Camera
from leansplat.captures.capture import View
from leansplat.distributed.channel import Channel, LostError
from leansplat.engines.engine import (
    BLACK,
    AddingModel,
    Background,
    Depth,
    Engine,
    Facts,
    Moments,
    Rendering,
    Step,
)
from leansplat.engines.removal_effects import RemovalEffects
from leansplat.engines.sensitivity import Sensitivity
from leansplat.engines.shared import SharedGaussians
from leansplat.engines.statistics import ViewStatistics
from leansplat.errors import LeansplatError
from leansplat.gaussians import Gaussians
from leansplat.processes import scenes, sharing, telling
from leansplat.progress import Progress

_numbers = itertools.count()


class SharedEngine:
    """See `engines.engine.Engine`.

    Args:
        inner: what each process works with.
        channel: to the others.
    """

    def __init__(self, inner: Engine, channel: Channel) -> None:
        self._inner, self._channel = inner, channel

    @property
    def name(self) -> str:
        return self._inner.name

    def check(self) -> None:
        self._inner.check()

    def begin(self, gaussians: Gaussians, rates: Mapping[str, float], moments: Moments | None = None) -> SharedModel:
        return SharedModel(sharing.adding(self._inner.begin(gaussians, rates, moments)), rates, self._channel)

    def layout(self, facts: Facts) -> Mapping[str, tuple[str, Sequence[int]]]:
        return self._inner.layout(facts)

    def load(self, tensors: Mapping[str, Tensor], facts: Facts, rates: Mapping[str, float]) -> SharedModel:
        return SharedModel(sharing.adding(self._inner.load(tensors, facts, rates)), rates, self._channel)

    def renderer(self, gaussians: Gaussians) -> Any:
        return self._inner.renderer(gaussians)

    def render(
        self,
        scene: Gaussians | SharedGaussians,
        camera: Camera,
        *,
        background: Background = BLACK,
        sh_degree: int | None = None,
        depth: Depth | None = None,
    ) -> Rendering:
        return self._inner.render(scene, camera, background=background, sh_degree=sh_degree, depth=depth)

    def mean_loss(
        self, scene: Gaussians | SharedGaussians, views: Sequence[View], background: Background, ssim_weight: float
    ) -> tuple[Tensor, list[float]]:
        shared = scene if isinstance(scene, SharedGaussians) else SharedGaussians(scene)
        message, tensors = scenes.as_message(shared)
        told, mine = telling.shared_out(self._channel, views)
        how = {"of": len(views), "background": list(background), "ssim_weight": ssim_weight}
        self._tell({"op": "loss", **message, **how, "views": told}, tensors)
        own = [views[place] for place in mine]
        losses, gradients = scenes.shared_loss(
            self._channel, self._inner, message, tensors, own, mine, len(views), background, ssim_weight
        )
        mean = torch.tensor(math.fsum(losses) / len(views) if all(map(math.isfinite, losses)) else math.nan)
        return scenes.KnownGradients.apply(mean, gradients, *tensors[: len(gradients)]), losses

    def sensitivity(
        self,
        gaussians: Gaussians,
        cameras: Sequence[Camera],
        background: Background,
        masks: Sequence[Tensor | None] | None = None,
        progress: Progress | None = None,
    ) -> Sensitivity:
        masks = [None] * len(cameras) if masks is None else masks
        message, tensors = scenes.as_message(SharedGaussians(gaussians.detach()))
        looked = {"cameras": [telling.camera_as_json(camera) for camera in cameras], "background": list(background)}
        hidden = [place for place, mask in enumerate(masks) if mask is not None]
        self._tell(
            {"op": "sensitivity", **message, **looked, "masks": hidden},
            [*tensors, *(mask for mask in masks if mask is not None)],
        )
        return scenes.shared_sensitivity(self._channel, self._inner, gaussians, cameras, masks, background, progress)

    def _tell(self, header: dict[str, Any], tensors: Sequence[Tensor]) -> None:
        telling.tell(self._channel, {"engine": self.name, **header}, tensors)


class SharedModel:
    """See `engines.engine.Model`.

    Args:
        inner: this process's.
        rates: learning rates it has begun with.
        channel: to the others.
    """

    def __init__(self, inner: AddingModel, rates: Mapping[str, float], channel: Channel) -> None:
        self._inner, self._channel = inner, channel
        self._rates = dict(rates)
        self._number: int | None = None

    @property
    def engine(self) -> str:
        return self._inner.engine

    @property
    def device(self) -> torch.device:
        return self._inner.device

    @property
    def facts(self) -> Facts:
        return self._inner.facts

    def __len__(self) -> int:
        return len(self._inner)

    def attribute(self, name: str) -> Tensor:
        return self._inner.attribute(name)

    def gaussians(self) -> Gaussians:
        return self._inner.gaussians()

    def moments(self) -> Moments:
        return self._inner.moments()

    def render(
        self,
        camera: Camera,
        background: Background = BLACK,
        *,
        sh_degree: int | None = None,
        depth: Depth | None = None,
    ) -> Rendering:
        return self._inner.render(camera, background, sh_degree=sh_degree, depth=depth)

    def write(self, name: str, indices: Tensor, values: Tensor) -> None:
        self._tell_change({"op": "write", "name": name}, [indices, values])
        self._inner.write(name, indices, values)

    def select(self, rows: Tensor) -> None:
        self.rebuild(rows.nonzero()[:, 0] if rows.dtype == torch.bool else rows)

    def rebuild(self, sources: Tensor, fresh: Tensor | None = None) -> None:
        self._tell_change({"op": "rebuild"}, [sources] if fresh is None else [sources, fresh])
        self._inner.rebuild(sources, fresh)

    def clear_moments(self, name: str) -> None:
        self._tell_change({"op": "clear", "name": name})
        self._inner.clear_moments(name)

    def set_rate(self, name: str, rate: float) -> None:
        self._rates[name] = rate  # told with the next step
        self._inner.set_rate(name, rate)

    def step(
        self,
        view: View,
        background: Background,
        sh_degree: int,
        ssim_weight: float,
        statistics: ViewStatistics | None = None,
        gradients_of: Sequence[str] = (),
    ) -> Step:
        return self.step_batch([view], background, sh_degree, ssim_weight, statistics, gradients_of)

    def step_batch(
        self,
        views: Sequence[View],
        background: Background,
        sh_degree: int,
        ssim_weight: float,
        statistics: ViewStatistics | None = None,
        gradients_of: Sequence[str] = (),
    ) -> Step:
        told, mine = self._shared_out(views)
        how = {"of": len(views), "background": list(background), "sh_degree": sh_degree, "ssim_weight": ssim_weight}
        self._tell({"op": "step", **told, **how, "rates": self._rates, "statistics": statistics is not None})
        return sharing.shared_step(
            self._channel,
            self._inner,
            [views[place] for place in mine],
            mine,
            len(views),
            background,
            sh_degree,
            ssim_weight,
            statistics,
            gradients_of,
        )

    def gather_statistics(self, views: Sequence[View], background: Background, ssim_weight: float) -> ViewStatistics:
        mine = self._ask("statistics", views, background=list(background), ssim_weight=ssim_weight)
        return sharing.shared_statistics(self._channel, self._inner, mine, background, ssim_weight)

    def blending_weights(self, views: Sequence[View]) -> tuple[Tensor, Tensor]:
        return sharing.shared_weights(self._channel, self._inner, self._ask("weights", views))

    def removal_effects(self, views: Sequence[View], background: Background) -> RemovalEffects:
        mine = self._ask("effects", views, background=list(background))
        effects = self._inner.removal_effects(mine, background)
        if type(effects) is RemovalEffects:
            self._tell({"op": "sum effects", "pairs": [0, 1]})
            return RemovalEffects(*(
                each for names in sharing.PAIRS for each in sharing.shared_effects(self._channel, effects, names)
            ))  # fmt: skip
        return _LazyEffects(self, effects)

    def tensors(self) -> dict[str, Tensor]:
        """See `engines.engine.Model`.

        Raises:
            LeansplatError: another process holds other numbers, so that none of them is to be kept.
        """
        held = self._inner.tensors()
        if self._number is not None and not self._channel.broken:
            self._tell({"op": "digest"})
            digests = self._channel.gather(digest_of(held))
            apart = [rank for rank, each in enumerate(digests) if each != digests[0]]
            if apart:
                raise LeansplatError(
                    f"process {apart[0]} holds other parameters than process 0 after {self.facts.steps:,} updates, so "
                    "none is kept; go on from the last checkpoint with --resume, on machines of one kind"
                )
        return held

    def _shared_out(self, views: Sequence[View]) -> tuple[dict[str, Any], list[int]]:
        """What to tell of views, and the places among them of those that this process looks at."""
        self._publish()
        told, mine = telling.shared_out(self._channel, views)
        return {"views": told}, mine

    def _ask(self, what: str, views: Sequence[View], **how: Any) -> list[View]:
        """Let all do something with their share of views; returns that of this process."""
        told, mine = self._shared_out(views)
        self._tell({"op": what, **told, **how})
        return [views[place] for place in mine]

    def _publish(self) -> None:
        """Let all hold this model."""
        if self._number is not None:
            return
        self._number = next(_numbers)
        weakref.finalize(self, telling.ended.append, self._number).atexit = False
        tensors, facts = self._inner.tensors(), self.facts
        told = {"engine": self.engine, "names": list(tensors), "facts": vars(facts), "rates": self._rates}
        self._tell({"op": "begin", **told}, list(tensors.values()))

    def _tell_change(self, header: dict[str, Any], tensors: Sequence[Tensor] = ()) -> None:
        """Tell those who hold this model what is done to it.

        If one of them is gone, what is being done here is still brought to its end, so that there is something to keep;
        the next step will not begin.
        """
        if self._number is not None:
            with suppress(LostError):
                self._tell(header, tensors)

    def _tell(self, header: dict[str, Any], tensors: Sequence[Tensor] = ()) -> None:
        telling.tell(self._channel, {"model": self._number, **header}, tensors)


class _LazyEffects(RemovalEffects):
    """Effects of removal that every process finds, and that are added up, when they are first read."""

    def __init__(self, model: SharedModel, effects: RemovalEffects) -> None:
        vars(self).update(_model=model, _effects=effects)

    def _sums(self, pair: int) -> list[Tensor]:
        model: SharedModel = vars(self)["_model"]
        model._tell({"op": "sum effects", "pairs": [pair]})
        return sharing.shared_effects(model._channel, vars(self)["_effects"], sharing.PAIRS[pair])

    @cached_property
    def _probed(self) -> list[Tensor]:
        return self._sums(0)

    @cached_property
    def _summed(self) -> list[Tensor]:
        return self._sums(1)

    @property
    def change(self) -> Tensor:
        return self._probed[0]

    @property
    def slope(self) -> Tensor:
        return self._probed[1]

    @property
    def value_gradient(self) -> Tensor:
        return self._summed[0]

    @property
    def visibility(self) -> Tensor:
        return self._summed[1]

    @property
    def drawn(self) -> Tensor:
        return self.change > 0


def digest_of(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of some tensors on the CPU."""
    digest = hashlib.sha256()
    for name, tensor in tensors.items():
        digest.update(f"{name} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().numpy().data)
    return digest.hexdigest()
