"""`Config`: what all settings have in common, whether they come from a script or from a file of JSON.

A config is a frozen dataclass whose annotations say of what type each setting is. They are held to it, so that a wrong
value is one sentence that names the setting and says what to give, and not a TypeError somewhere in the work.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from leansplat.errors import InputError

Settings = TypeVar("Settings", bound="Config")


@dataclass(frozen=True)
class Config:
    """Base of config dataclasses; one with a `__post_init__` of its own calls this one's first.

    Settings may be bool, int, float (which takes whole numbers too), str, a `Literal`, another config, a tuple of one
    of these, a mapping, or any of them or None.

    Raises:
        InputError: a setting is of another type than its annotation says, or is NaN or infinite.
    """

    def __post_init__(self) -> None:
        kinds = get_type_hints(type(self))
        for entry in fields(self):
            _check(entry.name, getattr(self, entry.name), kinds[entry.name])

    def to_json(self) -> dict[str, Any]:
        """The settings as a dict that JSON can hold."""
        return asdict(self)

    @classmethod
    def from_json(cls: type[Settings], settings: Mapping[str, Any]) -> Settings:
        """The config that `to_json` made `settings` of.

        A setting that is missing is newer than what `settings` were written by, and its default is what was done then.

        Raises:
            InputError: a setting is unknown, of another type or out of range, or one without a default is missing.
        """
        return _from_json(cls, settings, "")


def _from_json(cls: type[Settings], settings: Any, prefix: str) -> Settings:
    """`Config.from_json` for the part of the settings whose names all begin with `prefix`."""
    if not isinstance(settings, Mapping):
        raise _refusal(prefix.rstrip("."), settings, f"the settings of {cls.__name__} by name")
    kinds = get_type_hints(cls)
    known = {entry.name: entry for entry in fields(cls)}
    unknown = sorted(str(name) for name in settings if name not in known)
    if unknown:
        raise InputError(f"there is no setting {prefix}{unknown[0]} in {cls.__name__}; check its spelling or remove it")
    for name, entry in known.items():
        if name not in settings and entry.default is MISSING and entry.default_factory is MISSING:
            raise InputError(f"setting {prefix}{name} is missing; give {_wanted(kinds[name])}")
    return cls(**{name: _value(prefix + name, value, kinds[name]) for name, value in settings.items()})


def _value(name: str, value: Any, kind: Any) -> Any:
    """What JSON has for a setting, as its type has it: JSON knows no tuples and no configs, and writes 1 for 1.0."""
    choices = _choices(kind)
    for choice in choices:
        if _is_config(choice) and isinstance(value, Mapping):
            return _from_json(choice, value, f"{name}.")
        if get_origin(choice) is tuple and isinstance(value, list):
            each = get_args(choice)[0]
            return tuple(_value(f"{name}[{index}]", entry, each) for index, entry in enumerate(value))
    _check(name, value, kind)
    return float(value) if float in choices and int not in choices and type(value) is int else value


def _check(name: str, value: Any, kind: Any) -> None:
    if not any(_fits(value, choice) for choice in _choices(kind)):
        raise _refusal(name, value, _wanted(kind))


def _fits(value: Any, kind: Any) -> bool:
    origin = get_origin(kind)
    if kind is Any:
        return True
    if origin is Literal:
        return any(type(value) is type(choice) and value == choice for choice in get_args(kind))
    if origin is tuple:
        kinds = get_args(kind)
        each = kinds[:1] * len(value) if kinds[1:] == (...,) and isinstance(value, tuple) else kinds
        return isinstance(value, tuple) and len(value) == len(each) and all(map(_fits, value, each))
    if kind is float:
        return isinstance(value, float | int) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
    if kind is int:
        return type(value) is int
    return isinstance(value, origin or kind)


def _choices(kind: Any) -> tuple[Any, ...]:
    """The types that a union names, else the type alone."""
    return get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)


def _is_config(kind: Any) -> bool:
    return is_dataclass(kind) and isinstance(kind, type) and issubclass(kind, Config)


def _wanted(kind: Any) -> str:
    """What to give for a setting of this type, in words."""
    return " or ".join(_in_words(choice) for choice in _choices(kind))


def _in_words(kind: Any) -> str:
    origin = get_origin(kind)
    if origin is Literal:
        return f"one of {', '.join(map(str, get_args(kind)))}"
    if origin is tuple:
        return f"a list, each {_in_words(get_args(kind)[0])}"
    if isinstance(origin or kind, type) and issubclass(origin or kind, Mapping):
        return "an object"
    words = {int: "a whole number", float: "a finite number", bool: "true or false", str: "text", NoneType: "nothing"}
    return words.get(kind) or f"the settings of {kind.__name__} by name"


def _refusal(name: str, value: Any, wanted: str) -> InputError:
    shown = repr(value)
    shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
    return InputError(f"setting {name} is {shown}; give {wanted}" if name else f"settings are {shown}; give {wanted}")
