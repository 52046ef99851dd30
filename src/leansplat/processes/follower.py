"""`follow`: what every process but the first does: hold what it is told to hold, and do its share when it is asked to.

A follower decides nothing and writes nothing. It ends when process 0 has ended, or when another process is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from leansplat import captures, engines
from leansplat.cameras import Camera
from leansplat.captures.capture import View
from leansplat.captures.reduction import reduced
from leansplat.distributed.channel import Channel
from leansplat.engines.engine import AddingModel, Facts
from leansplat.engines.removal_effects import RemovalEffects
from leansplat.engines.statistics import ViewStatistics
from leansplat.errors import LeansplatError
from leansplat.gaussians import TENSOR_NAMES
from leansplat.processes import scenes, sharing
from leansplat.processes.leader import digest_of
from leansplat.processes.telling import camera_of

Header = Mapping[str, Any]


class Follower:
    """What one process holds for the others.

    Args:
        channel: to process 0.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._models: dict[int, AddingModel] = {}
        self._views: dict[int, View] = {}
        self._loaded: dict[str, View] = {}
        self._effects: RemovalEffects | None = None
        self._work: dict[str, Callable[[Header, list[Tensor]], None]] = {
            "begin": self._begin,
            "write": lambda told, tensors: self._model(told).write(told["name"], *tensors),
            "rebuild": lambda told, tensors: self._model(told).rebuild(*tensors),
            "clear": lambda told, _: self._model(told).clear_moments(told["name"]),
            "step": self._step,
            "statistics": self._statistics,
            "weights": self._weights,
            "effects": self._find_effects,
            "sum effects": self._sum_effects,
            "digest": self._digest,
            "loss": self._loss,
            "sensitivity": self._sensitivity,
            "capture": self._load,
            "hold": self._hold,
            "photo": self._take,
            "reduce": self._reduce,
            "fetch": self._fetch,
        }

    def follow(self) -> None:
        """Do what is told until process 0 ends.

        Raises:
            LostError: a process is gone.
        """
        with self._channel.told_to_end_later():
            while True:
                told, tensors = self._channel.listen()
                if told["op"] == "end":
                    return
                self._forget(told.get("gone", {}))
                self._work[told["op"]](told, tensors)

    def _forget(self, gone: Mapping[str, list[int]]) -> None:
        for number in gone.get("models", ()):
            self._models.pop(number, None)
        for key in gone.get("photos", ()):
            self._views.pop(key, None)

    def _model(self, told: Header) -> AddingModel:
        return self._models[told["model"]]

    def _mine(self, told: Header) -> dict[int, View]:
        """The views that this process is to look at, by their places among all."""
        found = {}
        for each in told["views"]:
            if each["owner"] == self._channel.place.rank:
                held = self._views[each["photo"]]
                found[each["place"]] = View(held.name, camera_of(each), held.photo, held.mask)
        return found

    def _begin(self, told: Header, tensors: list[Tensor]) -> None:
        facts = Facts(**{**told["facts"], "origin": tuple(told["facts"]["origin"])})
        named = dict(zip(told["names"], tensors, strict=True))
        loaded = engines.named(told["engine"]).load(named, facts, told["rates"])
        self._models[told["model"]] = sharing.adding(loaded)

    def _step(self, told: Header, _: list[Tensor]) -> None:
        model, views = self._model(told), self._mine(told)
        for name, rate in told["rates"].items():
            model.set_rate(name, rate)
        sharing.shared_step(
            self._channel,
            model,
            list(views.values()),
            list(views),
            told["of"],
            told["background"],
            told["sh_degree"],
            told["ssim_weight"],
            ViewStatistics.zeros(len(model), device=model.device) if told["statistics"] else None,
            (),
        )

    def _statistics(self, told: Header, _: list[Tensor]) -> None:
        views = list(self._mine(told).values())
        sharing.shared_statistics(self._channel, self._model(told), views, told["background"], told["ssim_weight"])

    def _weights(self, told: Header, _: list[Tensor]) -> None:
        sharing.shared_weights(self._channel, self._model(told), list(self._mine(told).values()))

    def _find_effects(self, told: Header, _: list[Tensor]) -> None:
        views = list(self._mine(told).values())
        self._effects = self._model(told).removal_effects(views, told["background"])

    def _sum_effects(self, told: Header, _: list[Tensor]) -> None:
        assert self._effects is not None
        for pair in told["pairs"]:
            sharing.shared_effects(self._channel, self._effects, sharing.PAIRS[pair])

    def _loss(self, told: Header, tensors: list[Tensor]) -> None:
        views = self._mine(told)
        scenes.shared_loss(
            self._channel,
            engines.named(told["engine"]),
            told,
            tensors,
            list(views.values()),
            list(views),
            told["of"],
            told["background"],
            told["ssim_weight"],
        )

    def _sensitivity(self, told: Header, tensors: list[Tensor]) -> None:
        cameras = [camera_of(each) for each in told["cameras"]]
        hidden = dict(zip(told["masks"], tensors[len(TENSOR_NAMES) :], strict=True))
        masks = [hidden.get(place) for place in range(len(cameras))]
        scene = scenes.of_message(told, tensors[: len(TENSOR_NAMES)]).gaussians
        engine = engines.named(told["engine"])
        scenes.shared_sensitivity(self._channel, engine, scene, cameras, masks, told["background"])

    def _digest(self, told: Header, _: list[Tensor]) -> None:
        self._channel.gather(digest_of(self._model(told).tensors()))

    def _load(self, told: Header, _: list[Tensor]) -> None:
        """Load this process's share of a capture's photos, and say which these are, or what is wrong with them."""
        place, failed = self._channel.place, None
        self._loaded = {}
        try:
            found = captures.load(
                told["path"],
                downscale=told["downscale"],
                background=tuple(told["background"]),
                points=False,
                share=(place.rank, place.count),
            )
            self._loaded = {view.name: view for view in found.train if not view.photo.is_meta}
        except LeansplatError as error:
            failed = str(error)
        self._channel.gather({"names": list(self._loaded), "failed": failed})

    def _hold(self, told: Header, _: list[Tensor]) -> None:
        """Know the photos just loaded by the names that process 0 gives them."""
        for name, key in told["photos"].items():
            if name in self._loaded:
                self._views[key] = self._loaded[name]
        self._loaded = {}

    def _take(self, told: Header, tensors: list[Tensor]) -> None:
        if told["owner"] == self._channel.place.rank:
            photo, *masks = tensors
            height, width = photo.shape[:2]
            camera = Camera(torch.eye(4), torch.eye(3), width, height)  # told with every look at it
            self._views[told["photo"]] = View(told["name"], camera, photo, masks[0] if masks else None)

    def _reduce(self, told: Header, _: list[Tensor]) -> None:
        if told["photo"] in self._views:
            self._views[told["as"]] = reduced(self._views[told["photo"]], told["factor"])

    def _fetch(self, told: Header, _: list[Tensor]) -> None:
        mine = told["owner"] == self._channel.place.rank
        photo = self._views[told["photo"]].photo if mine else torch.empty(told["shape"], dtype=torch.uint8)
        self._channel.pass_on(photo.contiguous(), told["owner"])
