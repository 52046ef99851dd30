"""The channel of this process, where it has joined others: known to whatever has to tell them something."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from leansplat.distributed.channel import Channel
    from leansplat.distributed.environment import Place

_channel: Channel | None = None


def channel() -> Channel | None:
    """That of this process; None where it works alone, or has not joined the others yet."""
    return _channel


def leading() -> Channel | None:
    """The channel of process 0 in process 0, while there are others to tell."""
    return _channel if _channel is not None and _channel.place.leads else None


def join(place: Place) -> Channel:
    """Come together with the other processes; imports PyTorch.

    Raises:
        LostError: they do not all come.
    """
    from leansplat.distributed.channel import Channel

    global _channel
    _channel = Channel(place)
    return _channel


def leave() -> None:
    """Work alone from now on."""
    global _channel
    if _channel is not None:
        _channel.close()
    _channel = None
