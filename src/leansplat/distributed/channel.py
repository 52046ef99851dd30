"""`Channel`: how the processes of one piece of work speak, and notice when one of them is lost.

Process 0 tells: a message is a line of JSON with tensors, and all others wait for it. Then all may add tensors up, in
an order that is the same on each of them, so that all end with the same bits. Nothing is pickled.

A process that ends closes its connections, at which whatever waits for it fails at once, as `LostError`. torchrun tells
all others to end when one has; that is only taken note of (`told_to_end`), so that process 0 can still write a
checkpoint. A process that hangs is noticed when nothing was added up for ten minutes.
"""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from types import FrameType
from typing import Any

import torch
from torch import Tensor

from leansplat.distributed.environment import Place
from leansplat.errors import LeansplatError

_PATIENCE = timedelta(minutes=10)
"""For adding up, and until all processes have come."""
_BETWEEN = timedelta(days=14)
"""From one message to the next: process 0 may have to do what cannot be shared."""
_FIRST = 4096
"""Bytes of a message that are sent at once; a longer header follows."""
_REASON, _SAID = "leansplat/reason", "leansplat/said"
_TURN = 2.0
"""Seconds that others leave process 0 to say what happened."""

_TYPES = {
    each: str(each).removeprefix("torch.")
    for each in (torch.float32, torch.float64, torch.int32, torch.int64, torch.uint8, torch.bool)
}
_NAMED = {name: each for each, name in _TYPES.items()}


class LostError(LeansplatError):
    """A process is gone, or all were told to end.

    `untouched` says whether what is worked on is as it was after the last whole step.
    """

    untouched = False
    _said = False

    def saying(self, what_now: str) -> LostError:
        """The same with what to do now, unless that is said already."""
        if self._said:
            return self
        found = LostError(f"{self}, so all ended; {what_now}")
        found.untouched, found._said = self.untouched, True
        return found


class Channel:
    """One process's end of what connects all of them.

    Args:
        place: of this process.
    """

    def __init__(self, place: Place) -> None:
        import torch.distributed as dist

        self.place = place
        self.broken = False
        self.bytes_summed = 0
        """By this process, since it began."""
        self.messages = 0
        self._told_to_end = False
        self._deferring = 0
        self._dist = dist
        on_cards = torch.cuda.is_available() and dist.is_nccl_available()
        if on_cards:
            torch.cuda.set_device(place.local_rank % torch.cuda.device_count())
        backend = "cpu:gloo,cuda:nccl" if on_cards else "gloo"
        with self._noticing("did not all come together"):
            dist.init_process_group(backend, timeout=_PATIENCE)
            self._store = dist.distributed_c10d._get_default_store()
            self._telling = dist.new_group(backend="gloo", timeout=_BETWEEN)
        signal.signal(signal.SIGTERM, self._terminated)

    def close(self) -> None:
        """Leave; nothing can be told any more."""
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if not self.broken:
            with suppress(RuntimeError):
                self._dist.destroy_process_group()
        self.broken = True

    def tell(self, header: dict[str, Any], tensors: Sequence[Tensor] = ()) -> None:
        """Send a message from process 0 to all others; tensors may be anywhere, and arrive on the CPU."""
        self.check()
        sent = [tensor.detach().cpu().contiguous() for tensor in tensors]
        parts = [[_TYPES[tensor.dtype], list(tensor.shape)] for tensor in sent]
        text = json.dumps({**header, "tensors": parts}).encode()
        first = bytearray(_FIRST)
        first[:8] = len(text).to_bytes(8, "little")
        first[8 : 8 + len(text)] = text[: _FIRST - 8]
        self.messages += 1
        with self._noticing():
            self._broadcast(torch.frombuffer(first[:_FIRST], dtype=torch.uint8))
            if len(text) > _FIRST - 8:
                self._broadcast(torch.frombuffer(bytearray(text[_FIRST - 8 :]), dtype=torch.uint8))
            for tensor in sent:
                if tensor.numel():
                    self._broadcast(tensor.reshape(-1).view(torch.uint8))

    def listen(self) -> tuple[dict[str, Any], list[Tensor]]:
        """The next message of process 0."""
        with self._noticing():
            first = torch.empty(_FIRST, dtype=torch.uint8)
            self._broadcast(first)
            held = first.numpy().tobytes()
            length = int.from_bytes(held[:8], "little")
            text = held[8 : 8 + length]
            if length > len(text):
                rest = torch.empty(length - len(text), dtype=torch.uint8)
                self._broadcast(rest)
                text += rest.numpy().tobytes()
            header = json.loads(text)
            tensors = []
            for name, shape in header.pop("tensors"):
                tensor = torch.empty(shape, dtype=_NAMED[name])
                if tensor.numel():
                    self._broadcast(tensor.reshape(-1).view(torch.uint8))
                tensors.append(tensor)
        return header, tensors

    def add_up(self, tensors: Sequence[Tensor], *, largest: bool = False) -> None:
        """Replace tensors, contiguous and of the same shapes everywhere, by their sums over all processes, or by their
        largest values; with the same bits on each."""
        self.check()
        how = self._dist.ReduceOp.MAX if largest else self._dist.ReduceOp.SUM
        with self._noticing():
            for tensor in tensors:
                if tensor.numel():
                    self.bytes_summed += tensor.numel() * tensor.element_size()
                    self._dist.all_reduce(tensor, how)
        if torch.cuda.is_available() and any(tensor.is_cuda for tensor in tensors):
            torch.cuda.synchronize()

    def gather(self, value: Any) -> list[Any]:
        """What each process has to say, as JSON: a short value of each, known to all."""
        text = json.dumps(value).encode()
        lengths = torch.zeros(self.place.count, dtype=torch.int64)
        lengths[self.place.rank] = len(text)
        self.add_up([lengths])
        found = torch.zeros(self.place.count, int(lengths.max()), dtype=torch.uint8)
        found[self.place.rank, : len(text)] = torch.frombuffer(bytearray(text), dtype=torch.uint8)
        self.add_up([found])
        return [json.loads(row[:length].numpy().tobytes()) for row, length in zip(found, lengths, strict=True)]

    def pass_on(self, tensor: Tensor, source: int) -> None:
        """Let all have a tensor of one process; the others give one of the same shape to be filled."""
        self.check()
        with self._noticing():
            self._dist.broadcast(tensor.reshape(-1).view(torch.uint8), source, group=self._telling)

    def check(self) -> None:
        """Stop here where all were told to end, or one is known to be gone.

        Raises:
            LostError: so it is.
        """
        if self.broken or self._told_to_end:
            raise self._lost("was lost, or all were told to end")

    @contextmanager
    def told_to_end_later(self) -> Iterator[None]:
        """A word that all are to end is only heard at `check` during this block, and at what is told and added up."""
        self._deferring += 1
        try:
            yield
        finally:
            self._deferring -= 1

    def give_reason(self, sentence: str) -> None:
        """Let process 0 know why this one will end."""
        with suppress(Exception):
            self._store.set(_REASON, f"process {self.place.rank} of {self.place.count} had to stop: {sentence}")

    def speaks_for_all(self) -> bool:
        """Whether this process is the one to say that work ended: process 0, or another where that says nothing."""
        if self.place.leads:
            with suppress(Exception):
                self._store.set(_SAID, "0")
            return True
        time.sleep(_TURN)
        try:
            return not self._store.check([_SAID]) and self._store.add(f"{_SAID}/others", 1) == 1
        except Exception:  # it was kept by process 0, which is gone
            return self.place.rank == 1

    def _broadcast(self, tensor: Tensor) -> None:
        self._dist.broadcast(tensor, 0, group=self._telling)

    def _terminated(self, number: int, frame: FrameType | None) -> None:
        self._told_to_end = True
        if not self._deferring:
            raise self._lost("was lost, or all were told to end")

    @contextmanager
    def _noticing(self, what: str = "") -> Iterator[None]:
        """Turn what PyTorch raises for a lost connection into `LostError`."""
        try:
            with self.told_to_end_later():
                yield
        except (RuntimeError, ValueError) as error:
            late = "timed out" in str(error).lower() or "timeout" in str(error).lower()
            raise self._lost(what or (f"did not answer for {_PATIENCE}" if late else "was lost")) from error

    def _lost(self, what: str) -> LostError:
        if self.place.leads and not self.broken:
            with suppress(Exception):
                self._store.set(_SAID, "0")
        self.broken = True
        with suppress(Exception):
            if self._store.check([_REASON]):
                return LostError(self._store.get(_REASON).decode())
        return LostError(f"one of the {self.place.count} processes {what}")
