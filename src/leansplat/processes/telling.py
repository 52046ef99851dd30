"""What process 0 tells the others besides what to do: which views each of them looks at, and what they may forget.

Views are looked at by the process that holds their photo. A photo that only process 0 has, such as a render to learn
from, is given to the process that its place in a batch falls to, and stays there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from leansplat.cameras import Camera
from leansplat.captures.capture import View
from leansplat.distributed import photos
from leansplat.distributed.channel import Channel

ended: list[int] = []
"""Models that are gone in process 0, and that the others may forget."""


def tell(channel: Channel, header: dict[str, Any], tensors: Sequence[Tensor] = ()) -> None:
    """`Channel.tell`, and what the others may forget."""
    gone = {"models": list(ended), "photos": photos.dropped()}
    ended.clear()
    channel.tell({"gone": gone, **header}, tensors)


def shared_out(channel: Channel, views: Sequence[View]) -> tuple[list[dict[str, Any]], list[int]]:
    """What to tell of views, and the places among them of those that process 0 looks at itself."""
    count, mine, told = channel.place.count, [], []
    for place, view in enumerate(views):
        found = photos.held(view.photo)
        if found is None and place % count:
            found = _give(channel, view, place % count)
        if found is None or found.owner == 0:
            mine.append(place)
        else:
            told.append({"photo": found.key, "owner": found.owner, "place": place, **camera_as_json(view.camera)})
    return told, mine


def _give(channel: Channel, view: View, owner: int) -> photos.Held | None:
    """Let another process hold a photo that only this one has."""
    key = photos.new_key()
    masks = [] if view.mask is None else [view.mask]
    channel.tell({"op": "photo", "photo": key, "owner": owner, "name": view.name}, [view.photo, *masks])
    photos.remember(view.photo, key, owner)
    return photos.held(view.photo)


def camera_as_json(camera: Camera) -> dict[str, Any]:
    """A camera in exact numbers."""
    return {
        "world_to_camera": camera.world_to_camera.tolist(),
        "K": camera.K.tolist(),
        "width": camera.width,
        "height": camera.height,
        "near": camera.near,
    }


def camera_of(told: Mapping[str, Any]) -> Camera:
    """The camera that `camera_as_json` has told."""
    pose, matrix = (torch.tensor(told[name], dtype=torch.float64) for name in ("world_to_camera", "K"))
    return Camera(pose, matrix, told["width"], told["height"], told["near"])
