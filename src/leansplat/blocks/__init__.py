"""Scenes that are too large to shrink whole: cut into blocks, shrunk one by one, joined again (`shrink --blocks`).

The names below are imported on first use, so that reading an option does not wait for PyTorch and the kernels.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from leansplat.blocks.number import Blocks, parse_blocks
    from leansplat.blocks.result import BlocksResult
    from leansplat.blocks.shrinker import shrink_in_blocks
    from leansplat.blocks.work import shrink_block

__all__ = ["Blocks", "BlocksResult", "parse_blocks", "shrink_block", "shrink_in_blocks"]

_WHERE = {
    "Blocks": "number",
    "BlocksResult": "result",
    "parse_blocks": "number",
    "shrink_block": "work",
    "shrink_in_blocks": "shrinker",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'leansplat.blocks' has no attribute {name!r}")
    return getattr(import_module(f"leansplat.blocks.{_WHERE[name]}"), name)
