"""Rendering: Gaussians and a camera to an image, its gradients, and statistics of each Gaussian."""

from leansplat.render.packed import PackedGaussians, pack
from leansplat.render.removal import RemovalEffects
from leansplat.render.rendering import Rendering, render
from leansplat.render.statistics import ViewStatistics

__all__ = ["PackedGaussians", "RemovalEffects", "Rendering", "ViewStatistics", "pack", "render"]
