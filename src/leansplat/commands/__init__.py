"""The commands of `leansplat`: one module, and in it one small dataclass, for each.

A dataclass is the command line: tyro makes the options from its fields and the help from its docstrings. `run` calls
the library and returns an `Answer`; the library is imported there, so that `--help` does not wait for PyTorch. Nor does
a command wait for the parsers of the others, which are made only of what their help says.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import make_dataclass
from importlib import import_module
from typing import Any

from leansplat.commands.answer import Command

COMMANDS = {
    "demo": "Demo",
    "shrink": "Shrink",
    "block": "Block",
    "train": "Train",
    "trim": "Trim",
    "compress": "Compress",
    "eval": "Eval",
    "report": "Report",
    "view": "View",
    "watch": "Watch",
    "page": "Page",
    "render": "Render",
    "info": "Info",
    "convert": "Convert",
    "batch": "Batch",
    "download": "Download",
    "doctor": "Doctor",
    "paper": "paper",
}
"""What makes each command, in the module of its name, in the order `leansplat --help` lists them."""

TAKES_COMMANDS = ("batch",)
"""Commands that another one follows, after "--"; their field `command` has its words as they stand."""


def command_makers(words: list[str]) -> dict[str, Callable[..., Any]]:
    """What tyro is to make the parser of some words of a command line from: all that the command in them needs."""
    if words and words[0] in COMMANDS:
        return {name: _maker(name) if name == words[0] else _described("") for name in COMMANDS}
    makers = {name: _maker(name) for name in COMMANDS}
    if words in ([], ["-h"], ["--help"]):
        return {name: _described(maker.__doc__ or "") for name, maker in makers.items()}
    return makers  # to say where an option belongs that came too early


def _maker(name: str) -> Callable[..., Command]:
    maker: Callable[..., Command] = getattr(import_module(f"leansplat.commands.{name}"), COMMANDS[name])
    return maker


def _described(help_text: str) -> Callable[..., Any]:
    """A command without options, which is only told of; a class, as tyro looks at anything else for long."""
    return make_dataclass("Described", [], namespace={"__doc__": help_text})
