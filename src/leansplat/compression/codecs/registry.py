"""`Codec`: a kind of file that a scene is compressed to, and all that `compress` has to know of it.

A codec is a frozen dataclass whose fields are its options. It says what of a scene its bytes go to, what fine-tuning
trains through, and what the bytes of a file are spent on. `compress` takes the one whose suffix the file has from
`CODECS`, where the decorator `@codec` lists them, or any other that it is handed.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from leansplat.compression.format_quantiser import FileQuantiser
from leansplat.compression.preparation import Prepared, Subject
from leansplat.configs import Config
from leansplat.errors import InputError
from leansplat.gaussians import Gaussians

Options = TypeVar("Options", bound="Codec")


@dataclass(frozen=True)
class Codec(Config, ABC):
    """A kind of file to compress to, with its options.

    A subclass is a frozen dataclass, whose fields have defaults and say what they mean. What it writes is read by
    `leansplat.formats.read`, so a format of its own comes first.
    """

    suffix: ClassVar[str]
    """What names of its files end in, in lower case."""

    parts_are_estimates: ClassVar[bool] = False
    """Whether `bytes_by_part` only comes close."""

    @abstractmethod
    def quantiser(self, steps: int) -> FileQuantiser:
        """What fine-tuning trains through, before it has begun with a scene or taken its state from a checkpoint.

        Args:
            steps: how long fine-tuning takes.
        """

    def prepare(self, subject: Subject) -> Prepared:
        """What fine-tuning begins with: by default the scene as it is."""
        return Prepared(subject.gaussians, self.quantiser(subject.fine_tuning.steps))

    def grades(self, count: int) -> tuple[Codec, ...]:
        """This kind of file from coarse to fine, for scenes of about `count` Gaussians: what there is to choose from
        when a file shall have a certain size. By default this codec alone."""
        return (self,)

    def write(self, gaussians: Gaussians, path: Path, *, overwrite: bool = False) -> None:
        """Write a scene without training: by default as training would see it before its first step.

        Raises:
            ValueError: the file cannot hold the scene; says why.
            InputError: likewise, or as `leansplat.files.replacing` does.
        """
        quantiser = self.quantiser(0)
        quantiser.write(quantiser.begin(gaussians), path, overwrite=overwrite)

    def bytes_by_part(self, path: Path) -> dict[str, int]:
        """What a file spends its bytes on, attribute by attribute in its order; by default one part, "file".

        Raises:
            SceneFileError: the file is damaged.
        """
        return {"file": path.stat().st_size}

    def to_json(self) -> dict[str, Any]:
        """The suffix and the options, as a dict that JSON can hold."""
        return {"suffix": self.suffix, **super().to_json()}

    @classmethod
    def from_json(cls: type[Options], settings: Mapping[str, Any]) -> Options:
        """The codec that `to_json` made `settings` of, as `Config.from_json`.

        Raises:
            InputError: the settings are of another suffix, or as for any config.
        """
        suffix = settings.get("suffix", cls.suffix)
        if suffix != cls.suffix:
            raise InputError(f"settings for {suffix} do not fit {cls.suffix}; give those for {cls.suffix}")
        return super().from_json({name: value for name, value in settings.items() if name != "suffix"})


CODECS: dict[str, type[Codec]] = {}
"""Every codec by its suffix."""

Kind = TypeVar("Kind", bound=type[Codec])


def codec(kind: Kind) -> Kind:
    """Decorator that lists a subclass of `Codec` in `CODECS`."""
    CODECS[kind.suffix] = kind
    return kind


def codec_of(path: str | os.PathLike[str]) -> type[Codec]:
    """The codec that the suffix of `path` names, the longest such suffix.

    Raises:
        InputError: no codec has this suffix; names those there are.
    """
    name = Path(path).name.lower()
    fitting = [suffix for suffix in CODECS if name.endswith(suffix)]
    if not fitting:
        raise InputError(
            f"{path} ends in none of the suffixes that compression writes; give one of {', '.join(CODECS)}"
        )
    return CODECS[max(fitting, key=len)]
