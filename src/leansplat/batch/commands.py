"""Which commands can be run on many scenes, and how the files of one scene stand in their command lines.

All that differs from command to command is in `COMMANDS`: a line for each. A further command is a further line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from leansplat.batch.tasks import CHECKPOINTS, INPUT, OUTPUT, RUN, Place
from leansplat.errors import InputError

_OWN = {"run_folder": "run"} | {name: name for name in ("resume", "overwrite", "view", "show_cameras")}
"""Options that the batch decides for each scene, or that make no sense for many, by the name of their field."""

_READ = ("--capture", "--cameras")
"""Options that name what is read."""

_ANYWHERE = "anywhere"
"""In place of every file of a scene while options are looked at."""


@dataclass(frozen=True)
class Batchable:
    """How a command is run on many scenes.

    Args:
        takes: what its first word is.
        makes: what comes of it: a file that is a scene, a run folder, a folder of pictures, a page; or nothing but what
            it prints, which then becomes the file.
        suffix: of the file that it makes, where nobody says another; None where somebody must.
        files: whether it makes a file rather than a run folder where a format is asked for.
        output: the option before its output; "" where that is its second word.
        keeps: the option before a run folder for what is gone on from, where it makes a file; "" without one.
        keeps_with_capture: whether it keeps anything only where it is given photos.
        quality: where in its answer PSNR, SSIM and LPIPS are: the first of these places that is there.
        memory: bytes that it takes besides its scene, and for each Gaussian of it; see `sizing`.
    """

    takes: Literal["scene", "capture", "run"]
    makes: Literal["file", "run", "folder", "page", "answer"]
    suffix: str | None = ""
    files: bool = False
    output: str = "-o"
    keeps: str = ""
    keeps_with_capture: bool = False
    quality: tuple[tuple[str, ...], ...] = ()
    memory: tuple[int, int] = (700_000_000, 4_500)


_READING = (150_000_000, 1_000)

COMMANDS = {
    "train": Batchable("capture", "run", files=True, keeps="--run", quality=(("metrics",),)),
    "trim": Batchable("scene", "run", quality=(("metrics",),)),
    "shrink": Batchable("scene", "file", ".sog", keeps="--run", quality=(("loss", "photos"), ("loss", "own"))),
    "compress": Batchable(
        "scene", "file", ".sog", keeps="--run", keeps_with_capture=True, quality=(("compressed",), ("plain",))
    ),
    "convert": Batchable("scene", "file", None, output="", memory=_READING),
    "eval": Batchable("scene", "answer", ".json", output="", quality=((),), memory=(700_000_000, 1_500)),
    "info": Batchable("scene", "answer", ".json", output="", memory=_READING),
    "render": Batchable("scene", "folder", memory=(500_000_000, 1_500)),
    "report": Batchable("run", "page", ".html", memory=(700_000_000, 2_500)),
}
"""The commands by name."""


def batchable(command: str) -> Batchable:
    """How a command is run on many scenes.

    Raises:
        InputError: it cannot be.
    """
    if command not in COMMANDS:
        raise InputError(f"{command} is not a command for many scenes; those are {', '.join(COMMANDS)}")
    return COMMANDS[command]


def suffix_of(command: str, form: str | None) -> str:
    """What the names of a command's outputs end in: "" for folders.

    Args:
        form: the format that was asked for, with or without its dot.

    Raises:
        InputError: the command needs a format, or cannot have one, or there is no such format.
    """
    known = batchable(command)
    if form is None:
        if known.suffix is None:
            raise InputError(f"{command} writes whichever format is asked for; say which, such as --format spz")
        return known.suffix
    if known.makes != "file" and not known.files:
        raise InputError(f"{command} writes no scene file, so leave --format out")
    suffix = f".{form.lstrip('.').lower()}"
    from leansplat.formats import format_of

    if not suffix[1:] or "/" in suffix:
        raise InputError(f"--format {form} is not a format; give one such as sog or compressed.ply")
    format_of(f"scene{suffix}")
    return suffix


def trial_words(command: str, options: Sequence[str], *, capture: bool, suffix: str) -> list[str]:
    """The command line for no scene in particular, to see whether its options are understood."""
    known = batchable(command)
    words = [command, _ANYWHERE]
    if known.makes != "answer":
        words += [*([known.output] if known.output else []), _ANYWHERE + suffix]
    return [*words, *(["--capture", _ANYWHERE] if capture else []), *options]


def check_options(parsed: Any, command: str, *, capture: bool, suffix: str) -> None:
    """Refuse options that are not for many scenes.

    Args:
        parsed: what `trial_words` were understood as.
        capture: whether the scene has photos of its own.

    Raises:
        InputError: one of them is the batch's own.
    """
    for name, option in _OWN.items():
        if getattr(parsed, name, None) not in (None, False):
            raise InputError(
                f"--{option.replace('_', '-')} is not for many scenes at once; leave it out of what {command} is to do"
            )
    if getattr(parsed, "output", None) not in (None, Path(_ANYWHERE + suffix)):
        raise InputError("every scene gets an output of its own; give -o before -- only, for the folder of all of them")
    if capture and parsed.capture != Path(_ANYWHERE):
        raise InputError("a scene that names its own capture is given another with --capture; leave one of them out")
    if len(getattr(parsed, "runs", "1")) != 1:
        raise InputError(f"{command} is run on one input at a time; leave others out of what it is to do")


def words_of(
    command: str,
    *,
    source: str,
    capture: str | None,
    options: Sequence[str],
    output: str,
    is_file: bool,
    checkpoints: str,
    parsed: Any,
) -> tuple[str | Place, ...]:
    """The command line for one scene.

    Args:
        source: address of the scene or capture.
        capture: address of its own photos; None without.
        options: whatever else was asked for.
        output: address to write to, of a file or of a folder.
        checkpoints: address of a folder for what is gone on from, where the output is none.
        parsed: what the options were understood as.
    """
    known = batchable(command)
    made = Place(output, RUN if known.makes == "run" and not is_file else OUTPUT)
    words: list[str | Place] = [command, Place(source, INPUT)]
    if not known.output and known.makes != "answer":
        words.append(made)
    if capture is not None:
        words += ["--capture", Place(capture, INPUT)]
    words += _with_places(options)
    if known.output and known.makes != "answer":
        words += [known.output, made]
    if known.keeps and made.use != RUN and (parsed.capture is not None or not known.keeps_with_capture):
        words += [known.keeps, Place(checkpoints, CHECKPOINTS)]
    return tuple(words)


def _with_places(options: Sequence[str]) -> list[str | Place]:
    """The options, with a place for those words that are files to read."""
    words: list[str | Place] = []
    for word in options:
        option, equals, value = word.partition("=")
        if words and words[-1] in _READ:
            words.append(Place(word, INPUT))
        elif equals and option in _READ:
            words += [option, Place(value, INPUT)]
        else:
            words.append(word)
    return words
