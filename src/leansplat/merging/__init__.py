"""Fewer Gaussians without training: those that are hardly missed go, those that stand for the same become one."""
