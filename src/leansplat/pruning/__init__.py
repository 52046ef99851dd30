"""Pruning: what a Gaussian is worth, which ones go, and the iterative trimmer that removes them.

The names below are imported on first use, so that reading settings does not wait for PyTorch and the kernels.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from leansplat.pruning.config import TrimmingConfig
    from leansplat.pruning.criteria import CRITERIA, criterion
    from leansplat.pruning.evidence import Evidence
    from leansplat.pruning.trimmer import TrimmingResult, trim

__all__ = ["CRITERIA", "Evidence", "TrimmingConfig", "TrimmingResult", "criterion", "trim"]

_WHERE = {
    "CRITERIA": "criteria",
    "Evidence": "evidence",
    "TrimmingConfig": "config",
    "TrimmingResult": "trimmer",
    "criterion": "criteria",
    "trim": "trimmer",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'leansplat.pruning' has no attribute {name!r}")
    return getattr(import_module(f"leansplat.pruning.{_WHERE[name]}"), name)
