"""From the moment the processes come together to the end of their work, whoever ends it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from leansplat import engines
from leansplat.distributed.channel import LostError
from leansplat.distributed.environment import Place
from leansplat.distributed.joining import join, leave
from leansplat.errors import LeansplatError
from leansplat.processes.follower import Follower
from leansplat.processes.leader import SharedEngine


@contextmanager
def leading(place: Place) -> Iterator[None]:
    """Lead the others during this block: every engine is one of all processes. They end when it ends."""
    channel = join(place)
    try:
        with engines.surrounded(lambda engine: SharedEngine(engine, channel)):
            yield
    except LostError as lost:
        raise lost.saying("go on with --resume where there is a checkpoint, or start again") from lost
    finally:
        with channel.told_to_end_later(), suppress(LostError):
            channel.speaks_for_all()
            channel.tell({"op": "end"})
        leave()


def follow(place: Place) -> str | None:
    """Do what process 0 tells until it ends.

    Returns:
        The sentence to end with where the work did not come to its end and nobody else says so; None where it did.

    Raises:
        LeansplatError: it did not, and another process says so.
    """
    channel = join(place)
    try:
        Follower(channel).follow()
        return None
    except LostError as lost:
        with channel.told_to_end_later():
            if not channel.speaks_for_all():
                raise
        return str(lost.saying("go on with --resume where there is a checkpoint, or start again"))
    except Exception as error:
        sentence = str(error) if isinstance(error, LeansplatError) else f"{type(error).__name__}: {error}"
        channel.give_reason(sentence)
        raise LeansplatError(sentence) from error
    finally:
        leave()
