"""A capture whose training photos are loaded by the processes that will look at them, each a share."""

from __future__ import annotations

import os

from leansplat import captures
from leansplat.captures.capture import Capture
from leansplat.distributed import photos
from leansplat.distributed.channel import Channel
from leansplat.errors import CaptureError


def load_shared(
    channel: Channel,
    path: str | os.PathLike[str],
    *,
    downscale: int,
    background: tuple[float, float, float],
    points: bool,
) -> Capture:
    """`captures.load` by all processes: this one, which leads, gets the photos held out and its share of the others.

    Raises:
        CaptureError: see there; whichever process met it.
    """
    told = {"path": str(os.path.abspath(path)), "downscale": downscale, "background": list(background)}
    channel.tell({"op": "capture", **told})
    capture, failed = None, None
    try:
        share = (0, channel.place.count)
        capture = captures.load(path, downscale=downscale, background=background, points=points, share=share)
    except CaptureError as error:
        failed = str(error)
    said = channel.gather({"names": [], "failed": failed})
    for rank, each in enumerate(said):
        if each["failed"] is not None:
            raise CaptureError(each["failed"] if rank == 0 else f"process {rank}: {each['failed']}")
    assert capture is not None
    owners = {name: rank for rank, each in enumerate(said) for name in each["names"]}
    keys = {view.name: photos.new_key() for view in capture.train}
    channel.tell({"op": "hold", "photos": keys})
    for view in capture.train:
        if view.photo.is_meta and view.name not in owners:
            raise CaptureError(f"{path} holds other photos for other processes (first: {view.name}); give all the same")
        photos.remember(view.photo, keys[view.name], owners[view.name] if view.photo.is_meta else 0)
    return capture
