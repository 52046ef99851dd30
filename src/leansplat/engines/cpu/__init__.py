"""The CPU engine: kernels that work on sixteen Gaussians at a time, in a layout of memory that is nobody else's."""

from leansplat.engines.cpu.packed import PackedGaussians, pack
from leansplat.engines.cpu.rendering import render
from leansplat.engines.engine import Depth, Rendering
from leansplat.engines.removal_effects import RemovalEffects
from leansplat.engines.statistics import ViewStatistics

__all__ = ["Depth", "PackedGaussians", "RemovalEffects", "Rendering", "ViewStatistics", "pack", "render"]
