"""`meta.json` of a SOG scene: entries that are checked when they are asked for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from leansplat.errors import SceneFileError
from leansplat.formats.sog.files import Files

_LARGEST = 1 << 22
_SECTIONS = ("means", "scales", "quats", "sh0", "shN")


class Meta:
    """A scene's meta.json.

    Entries are named by the keys on the way to them, in lists by their index. One that is missing or of another kind
    than asked for raises a SceneFileError.
    """

    def __init__(self, content: Mapping[str, Any], path: Path) -> None:
        self.path = path
        self._content = content

    @classmethod
    def read(cls, files: Files, name: str, path: Path) -> Meta:
        """Read the file `name`.

        Raises:
            SceneFileError: it is missing, too large, or not a JSON object.
        """
        try:
            content = json.loads(files(name, _LARGEST))
        except (ValueError, RecursionError):
            content = None
        if not isinstance(content, dict):
            raise SceneFileError(f"{path} is not a SOG scene: {name} is not a JSON object; check which file it is.")
        return cls(content, path)

    def get(self, *keys: str | int) -> Any:
        """The entry, whatever it is; None where there is none."""
        value: Any = self._content
        for key in keys:
            match value, key:
                case dict(), str():
                    value = value.get(key)
                case list(), int() if key < len(value):
                    value = value[key]
                case _:
                    return None
        return value

    def count(self, *keys: str | int, least: int, most: int) -> int:
        value = self.get(*keys)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise self._wrong(keys, f"a whole number from {least} to {most:,}")
        return value

    def numbers(self, *keys: str | int, size: int) -> np.ndarray:
        """(size,) float64, finite as float32; a single number counts as a list of one."""
        value = self.get(*keys)
        if size == 1 and not isinstance(value, list):
            value = [value]
        if isinstance(value, list) and len(value) == size and all(type(each) in (int, float) for each in value):
            try:
                numbers = np.array(value, np.float64)
            except OverflowError:
                numbers = np.full(size, np.nan)
            if (np.abs(numbers) <= np.finfo(np.float32).max).all():
                return numbers
        raise self._wrong(keys, f"a list of {size} numbers")

    def names(self, *keys: str | int, size: int) -> list[str]:
        value = self.get(*keys)
        if isinstance(value, list) and len(value) == size and all(isinstance(each, str) for each in value):
            return value
        raise self._wrong(keys, f"a list of {size} file names")

    def images(self) -> list[str]:
        """Names of all images, each once; entries that name none are passed over."""
        named = [self.get(section, "files") for section in _SECTIONS]
        lists = [names for names in named if isinstance(names, list)]
        return list(dict.fromkeys(name for names in lists for name in names if isinstance(name, str)))

    def _wrong(self, keys: tuple[str | int, ...], expected: str) -> SceneFileError:
        return SceneFileError(
            f"{self.path} has a meta.json in which {'.'.join(map(str, keys))} is not {expected}; export it again."
        )
