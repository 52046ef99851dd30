"""`Journal`: what has happened in the folder of a batch, a line at a time, so that a kill loses at most the last one.

    {"event": "batch", "format": "leansplat-batch-1", "command": "shrink"}
    {"event": "started", "name": "garden", "asked": "...", "inputs": "..."}
    {"event": "ended", "name": "garden", "asked": "...", "inputs": "...", "output": "...", "row": {...}}

A scene is done when its last line says that it is finished, what was asked for then is asked for now, and its files are
those of then. A line without its end is as if it had not been written.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from leansplat.batch.rows import Row
from leansplat.errors import RunError

FORMAT = "leansplat-batch-1"
"""Name and version of what the lines mean."""

NAME = "batch.jsonl"


@dataclass(frozen=True, slots=True)
class Entry:
    """The last that is known of a scene.

    Args:
        asked: a digest of what was asked for.
        inputs, output: fingerprints of what was read and of what was made, see `fingerprints`.
        row: None while it goes on.
    """

    asked: str
    inputs: str
    output: str = ""
    row: Row | None = None


class Journal:
    """The journal of a folder, in a `with` block for as long as it is written to.

    Args:
        folder: of the batch, which exists and which nobody else is at work in.
        command: that is run on the scenes.

    Raises:
        RunError: the journal that is there is damaged or of another command.
    """

    def __init__(self, folder: Path, command: str) -> None:
        self.path = folder / NAME
        self.entries: dict[str, Entry] = {}
        """What is known of each scene, by name."""
        self._command = command
        self._whole = self._read()
        self._file: BinaryIO | None = None

    def started(self, name: str, entry: Entry) -> None:
        """Tell that a scene has been begun."""
        self.entries[name] = entry
        self._write({"event": "started", "name": name, "asked": entry.asked, "inputs": entry.inputs})

    def ended(self, name: str, entry: Entry) -> None:
        """Tell what became of a scene."""
        assert entry.row is not None
        self.entries[name] = entry
        told = {"asked": entry.asked, "inputs": entry.inputs, "output": entry.output, "row": entry.row.to_json()}
        self._write({"event": "ended", "name": name, **told})

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def _read(self) -> int:
        """Take in what is there; returns how many bytes of it are whole lines."""
        whole = 0
        try:
            with open(self.path, "rb") as file:
                for number, line in enumerate(file, start=1):
                    if not line.endswith(b"\n"):
                        break
                    self._take(line, number)
                    whole += len(line)
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise RunError(f"{self.path} cannot be read ({error.strerror}); check its rights") from error
        return whole

    def _take(self, line: bytes, number: int) -> None:
        try:
            event: Mapping[str, Any] = json.loads(line)
            if number == 1:
                self._check_head(event)
            elif event["event"] == "started":
                self.entries[event["name"]] = Entry(event["asked"], event["inputs"])
            elif event["event"] == "ended":
                row = Row.from_json(event["row"])
                self.entries[event["name"]] = Entry(event["asked"], event["inputs"], event["output"], row)
        except RunError:
            raise
        except (ValueError, KeyError, TypeError) as error:
            raise RunError(
                f"{self.path}:{number} is damaged ({error}); restore the file or choose another folder"
            ) from error

    def _check_head(self, event: Mapping[str, Any]) -> None:
        if event["event"] != "batch" or event["format"] != FORMAT:
            raise RunError(f"{self.path} is not of this version of leansplat; choose another folder")
        if event["command"] != self._command:
            raise RunError(
                f"{self.path.parent} holds a batch of {event['command']}, not of {self._command}; choose another folder"
            )

    def _write(self, event: Mapping[str, Any]) -> None:
        """Append a line; the first one of all tells what the file is."""
        try:
            if self._file is None:
                self._file = open(self.path, "ab")  # noqa: SIM115 - closed at the end of the block
                self._file.truncate(self._whole)
                if not self._whole:
                    self._append({"event": "batch", "format": FORMAT, "command": self._command})
            self._append(event)
            if event["event"] == "ended":
                os.fsync(self._file.fileno())  # others outlive a kill, though not a power cut, which costs a scene
        except OSError as error:
            raise RunError(
                f"{self.path} cannot be written ({error.strerror}); check its folder and disk, then give the same "
                "command"
            ) from error

    def _append(self, event: Mapping[str, Any]) -> None:
        assert self._file is not None
        self._file.write(json.dumps(event, allow_nan=False).encode() + b"\n")
        self._file.flush()
