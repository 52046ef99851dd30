"""Rendering: Gaussians and a camera to an image, its gradients, and statistics of each Gaussian."""

from leansplat.engines.cpu.packed import PackedGaussians, pack
from leansplat.engines.cpu.removal_effects import RemovalEffects
from leansplat.engines.cpu.rendering import Depth, Rendering, render
from leansplat.engines.statistics import ViewStatistics

__all__ = ["Depth", "PackedGaussians", "RemovalEffects", "Rendering", "ViewStatistics", "pack", "render"]
