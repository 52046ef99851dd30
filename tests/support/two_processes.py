"""Two processes at one piece of work: what each of them does in a test that looks inside.

`python two_processes.py CAPTURE` runs as both, with torchrun's variables set, and prints what process 0 found as JSON.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any


def found_by_two(capture: Path) -> dict[str, Any]:
    """Run this file as two processes; what process 0 prints."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = []
    for rank in range(2):
        said = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, "MASTER_PORT": port}
        environment = {**os.environ, **{name: str(value) for name, value in said.items()}, "MASTER_ADDR": "127.0.0.1"}
        line = [sys.executable, __file__, str(capture)]
        processes.append(subprocess.Popen(line, env=environment, stdout=subprocess.PIPE, text=True))
    try:
        printed = [process.communicate(timeout=300)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    values = json.loads(printed[0])
    assert isinstance(values, dict)
    return values


def _lead(folder: Path) -> dict[str, Any]:
    import torch

    from leansplat import captures, engines
    from leansplat.captures.reduction import reduced
    from leansplat.distributed.joining import leading as channel_of
    from leansplat.distributed.photos import present
    from leansplat.errors import CaptureError, LeansplatError
    from leansplat.gaussians import Gaussians
    from leansplat.processes.capture import load_shared
    from leansplat.runs import hash_capture

    channel = channel_of()
    assert channel is not None
    found: dict[str, Any] = {}
    try:
        load_shared(channel, folder / "broken", downscale=1, background=(0, 0, 0), points=False)
    except CaptureError as error:
        found["broken"] = str(error)
    capture = load_shared(channel, folder, downscale=1, background=(0, 0, 0), points=False)
    whole = captures.load(folder)
    found["here"] = [not view.photo.is_meta for view in capture.train]
    found["held out here"] = [not view.photo.is_meta for view in capture.test]
    found["same capture"] = hash_capture(capture) == hash_capture(whole)
    small = [reduced(view, 2).photo for view in capture.train]
    found["same small"] = all(
        torch.equal(present(each), reduced(view, 2).photo) for each, view in zip(small, whole.train, strict=True)
    )
    generator = torch.Generator().manual_seed(0)
    scene = Gaussians(
        means=torch.randn(50, 3, generator=generator) / 2,
        quats=torch.tensor([[1.0, 0, 0, 0]]).expand(50, 4),
        scales=torch.full((50, 3), -2.0),
        opacities=torch.ones(50),
        sh0=torch.rand(50, 1, 3, generator=generator),
        shN=torch.zeros(50, 3, 3),
    )
    model = engines.named("cpu").begin(scene, {"means": 1e-3, "sh0": 1e-3})
    with engines.surrounded(lambda engine: engine):
        alone = engines.known("cpu").begin(scene, {"means": 1e-3, "sh0": 1e-3})
    for name in ("statistics", "weights", "effects"):
        values = []
        for each, views in ((model, capture.train), (alone, whole.train)):
            if name == "statistics":
                statistics = each.gather_statistics(views, (0, 0, 0), 0.2)
                values.append([statistics.views_seen, statistics.gradient_sum, statistics.max_radius])
            elif name == "weights":
                values.append(list(each.blending_weights(views)))
            else:
                effects = each.removal_effects(views, (0, 0, 0))
                values.append([effects.change, effects.slope, effects.value_gradient, effects.visibility])
        found[name] = all(
            bool(torch.isclose(ours.double(), theirs.double(), rtol=1e-4, atol=1e-6).all())
            for ours, theirs in zip(*values, strict=True)
        )
    found["losses"] = _same_losses(scene, capture, whole)
    found["sensitivity"] = _same_sensitivity(scene, capture)
    model.step_batch(capture.train[:4], (0, 0, 0), 1, 0.2, None, ())
    model.write("opacities", torch.arange(3), torch.zeros(3))
    model.select(torch.arange(49).flip(0))
    model.step_batch(capture.train[4:8], (0, 0, 0), 1, 0.2, None, ())
    found["alike"] = len(model.tensors()) > 0
    model.step(whole.train[0], (0, 0, 0), 1, 0.2)  # after which process 1 changes a bit
    try:
        model.tensors()
    except LeansplatError as error:
        found["apart"] = str(error)
    return found


def _same_losses(scene: Any, capture: Any, whole: Any) -> bool:
    """Whether both find the losses of a batch, and the gradients of a scene with tables, that one process finds."""
    import torch

    from leansplat import engines
    from leansplat.engines.shared import SharedGaussians
    from leansplat.gaussians import TENSOR_NAMES

    shared = engines.known("cpu")
    with engines.surrounded(lambda engine: engine):
        alone = engines.known("cpu")
    rows = torch.arange(len(scene)) % 7
    values = []
    for engine, views in ((shared, capture.train), (alone, whole.train)):
        own = {name: getattr(scene, name).clone().requires_grad_() for name in TENSOR_NAMES}
        palette = torch.linspace(-0.3, 0.3, 7 * 9).reshape(7, 3, 3).requires_grad_()
        tables = {"shN": (palette, rows)}
        loss, losses = engine.mean_loss(SharedGaussians(replace(scene, **own), tables), views[:5], (0, 0, 0), 0.2)
        (3 * loss).backward()
        by = [own[name].grad for name in TENSOR_NAMES if name != "shN"]
        values.append([loss.detach(), torch.tensor(losses), palette.grad, *by])
        if own["shN"].grad is not None and bool(own["shN"].grad.any()):
            return False
    return all(
        bool(torch.isclose(ours.double(), theirs.double(), rtol=1e-4, atol=1e-6).all())
        for ours, theirs in zip(*values, strict=True)
    )


def _same_sensitivity(scene: Any, capture: Any) -> list[bool]:
    """Whether both find the sensitivity that one process finds: with masks, and with one camera for both of them."""
    import torch

    from leansplat import engines

    with engines.surrounded(lambda engine: engine):
        alone = engines.known("cpu")
    cameras = [view.camera for view in capture.train]
    masks: list[Any] = [None] * len(cameras)
    masks[2] = torch.arange(cameras[2].height)[:, None].expand(-1, cameras[2].width) % 3 > 0
    masks[3] = torch.zeros(cameras[3].height, cameras[3].width, dtype=torch.bool)
    found = []
    for some, hidden in ((cameras, masks), (cameras[:1], None), (cameras[2:4], masks[2:4])):
        ours, theirs = (engine.sensitivity(scene, some, (0, 0, 0), hidden) for engine in (engines.known("cpu"), alone))
        found += [
            bool(torch.isclose(ours.colors, theirs.colors, rtol=1e-4, atol=1e-9).all()),
            bool(torch.isclose(ours.covariances, theirs.covariances, rtol=1e-4, atol=1e-9).all()),
            bool(theirs.colors.any()),
        ]
    return found


def _main(folder: Path) -> None:
    from leansplat.distributed.environment import place
    from leansplat.processes import follower, together

    here = place()
    assert here is not None
    if here.leads:
        with together.leading(here):
            found = _lead(folder)
        print(json.dumps(found))
        return
    step = follower.Follower._step

    def spoilt(self: Any, told: Any, tensors: Any) -> None:
        step(self, told, tensors)
        if told["of"] == 1:
            model = self._models[told["model"]]
            model.write("means", model.attribute("opacities").argmax()[None], model.attribute("means")[:1] + 1e-7)

    follower.Follower._step = spoilt  # type: ignore[method-assign]
    together.follow(here)


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
