"""`SharedModel` by itself: with nobody to tell, it is the model that it shares out."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import pytest
import torch
from support.tiny import blobs, tiny_capture
from torch import Tensor

from leansplat import engines
from leansplat.distributed.channel import Channel, LostError
from leansplat.distributed.environment import Place
from leansplat.engines.torch.engine import TorchEngine
from leansplat.engines.torch.rasterizer import rasterise
from leansplat.gaussians import TENSOR_NAMES
from leansplat.processes.leader import SharedEngine

CAPTURE = tiny_capture()
RATES = {"means": 3e-3, "opacities": 0.05, "sh0": 2.5e-3}
BLACK = (0.0, 0.0, 0.0)


class Nobody:
    """A channel to no other process, which remembers what was told."""

    def __init__(self) -> None:
        self.place = Place(0, 1, 0, 1)
        self.broken = False
        self.told: list[str] = []

    def tell(self, header: dict[str, Any], tensors: Sequence[Tensor] = ()) -> None:
        if self.broken:
            raise LostError("one of the 2 processes was lost")
        self.told.append(header["op"])

    def add_up(self, tensors: Sequence[Tensor], *, largest: bool = False) -> None:
        pass

    def gather(self, value: Any) -> list[Any]:
        return [value]


def shared(name: str) -> tuple[SharedEngine, Nobody]:
    nobody = Nobody()
    return SharedEngine(engines.named(name), cast(Channel, nobody)), nobody


@pytest.mark.parametrize("name", ["cpu", "torch"])
def test_it_is_the_engines_own_model_where_nobody_else_is(name: str) -> None:
    engine, nobody = shared(name)
    ours, alone = engine.begin(blobs(), RATES), engines.named(name).begin(blobs(), RATES)
    for model in (ours, alone):
        model.step_batch(CAPTURE.train[:3], BLACK, 0, 0.2)
        model.write("opacities", torch.arange(2), torch.zeros(2))
        model.select(torch.arange(50))
        model.clear_moments("opacities")
        model.set_rate("sh0", 1e-2)
        model.step_batch(CAPTURE.train[3:5], BLACK, 0, 0.2)
    for tensor in TENSOR_NAMES:
        assert torch.equal(ours.attribute(tensor), alone.attribute(tensor))
    assert ours.facts == alone.facts
    assert nobody.told == ["begin", "step", "write", "rebuild", "clear", "step"]


def test_what_is_done_before_there_is_anything_to_share_is_told_to_nobody() -> None:
    engine, nobody = shared("cpu")
    model = engine.begin(blobs(), RATES)
    model.select(torch.arange(20))
    assert len(model.tensors()) > 0
    assert nobody.told == []


def test_probed_effects_are_added_up_when_they_are_first_read() -> None:
    nobody = Nobody()
    probing = TorchEngine("probing", rasterise, probing=True)
    model = SharedEngine(probing, cast(Channel, nobody)).begin(blobs(), RATES)
    effects, alone = (each.removal_effects(CAPTURE.train[:2], BLACK) for each in (model, probing.begin(blobs(), RATES)))
    assert nobody.told == ["begin", "effects"]
    assert torch.equal(effects.change, alone.change)
    assert torch.equal(effects.slope, alone.slope)
    assert torch.equal(effects.drawn, alone.drawn)
    assert nobody.told == ["begin", "effects", "sum effects"]
    assert torch.equal(effects.visibility, alone.visibility)
    assert nobody.told == ["begin", "effects", "sum effects", "sum effects"]


def test_a_change_is_brought_to_its_end_though_a_process_is_lost_and_a_step_is_not_begun() -> None:
    engine, nobody = shared("cpu")
    model = engine.begin(blobs(), RATES)
    model.step_batch(CAPTURE.train[:2], BLACK, 0, 0.2)
    nobody.broken = True
    model.select(torch.arange(10))
    assert len(model) == 10
    before = model.attribute("means")
    with pytest.raises(LostError):
        model.step_batch(CAPTURE.train[:2], BLACK, 0, 0.2)
    assert torch.equal(model.attribute("means"), before)
    assert len(model.tensors()) > 0  # a checkpoint of it can be written


def test_a_photo_that_only_the_leader_has_is_given_away_once() -> None:
    engine, nobody = shared("cpu")
    nobody.place = Place(0, 2, 0, 2)
    views = [replace(view, photo=view.photo.clone()) for view in CAPTURE.train[:4]]
    model = engine.begin(blobs(), {})
    for _ in range(2):
        model.blending_weights(views)
    assert nobody.told == ["begin", "photo", "photo", "weights", "weights"]


def test_a_word_to_end_is_heard_between_steps() -> None:
    """The handler of a channel, without the connections of one."""
    channel = Channel.__new__(Channel)
    channel.place, channel.broken, channel._told_to_end, channel._deferring = Place(1, 2, 1, 2), False, False, 0
    with channel.told_to_end_later():
        channel._terminated(signal.SIGTERM, None)
        with pytest.raises(LostError, match="one of the 2 processes was lost, or all were told to end"):
            channel.check()
    channel.broken = channel._told_to_end = False
    with pytest.raises(LostError):
        channel._terminated(signal.SIGTERM, None)


@pytest.mark.parametrize("name", ["cpu", "torch"])
def test_losses_and_sensitivities_are_the_engines_own_where_nobody_else_is(name: str) -> None:
    engine, nobody = shared(name)
    alone, scene = engines.named(name), blobs()
    values = []
    for each in (engine, alone):
        own = {tensor: getattr(scene, tensor).clone().requires_grad_() for tensor in TENSOR_NAMES}
        loss, losses = each.mean_loss(replace(scene, **own), CAPTURE.train[:3], BLACK, 0.2)
        loss.backward()
        values.append((loss.detach(), torch.tensor(losses), *(own[tensor].grad for tensor in TENSOR_NAMES)))
    for ours, theirs in zip(*values, strict=True):
        torch.testing.assert_close(ours, theirs)
    cameras = [view.camera for view in CAPTURE.train[:2]]
    ours, theirs = (each.sensitivity(scene, cameras, BLACK) for each in (engine, alone))
    assert torch.equal(ours.colors, theirs.colors)
    assert torch.equal(ours.covariances, theirs.covariances)
    assert nobody.told == ["loss", "sensitivity"]
