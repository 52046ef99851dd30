"""Fewer Gaussians without training: those that are hardly missed go, those that stand for the same become one."""

from leansplat.merging.simplifier import Simplified, simplify

__all__ = ["Simplified", "simplify"]
