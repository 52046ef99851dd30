"""Scenes whose harmonics are what photos from known cameras leave behind, without any training."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch

from leansplat.gaussians import Gaussians
from leansplat.viewpoints.bearing_kernel import harmonics


def harmonics_of(directions: np.ndarray, count: int = 15) -> np.ndarray:
    """(N, count) harmonics of degree 1 and up in unit directions (N, 3)."""
    values = np.zeros((len(directions), 15))
    for row, (x, y, z) in zip(values, directions, strict=True):
        harmonics(x, y, z, count, row)
    return values[:, :count]


def ring(count: int = 24, radius: float = 4.0, height: float = 1.5) -> np.ndarray:
    """(count, 3) places on a circle around the y axis, `height` above the zero (y points down)."""
    angles = 2 * math.pi * np.arange(count) / count
    return np.stack([radius * np.cos(angles), np.full(count, -height), radius * np.sin(angles)], axis=1)


def photographed_table(places: np.ndarray, count: int = 4000, seed: int = 0) -> Gaussians:
    """A box on a round table, flat Gaussians of random colours, as if photographed from `places` (P, 3)."""
    random = np.random.default_rng(seed)
    top = random.uniform(-2.5, 2.5, (count // 2, 3)) * (1, 0, 1)
    faces = random.uniform(-0.8, 0.8, (count - count // 2, 3))
    axis = random.integers(3, size=len(faces))
    faces[np.arange(len(faces)), axis] = np.sign(faces[np.arange(len(faces)), axis]) * 0.8
    means = np.concatenate([top, faces - (0, 0.8, 0)])
    thin = np.concatenate([np.ones(len(top), int), axis])
    scales = np.full((count, 3), math.log(0.07))
    scales[np.arange(count), thin] = math.log(0.005)
    coefficients = np.zeros((count, 15, 3))
    for place in places:
        offsets = means - place
        values = harmonics_of(offsets / np.linalg.norm(offsets, axis=1, keepdims=True))
        coefficients += 0.03 * values[:, :, None] * random.normal(size=(count, 1, 3))
    return Gaussians(
        means=torch.from_numpy(means).float(),
        quats=torch.tensor([1.0, 0, 0, 0]).repeat(count, 1),
        scales=torch.from_numpy(scales).float(),
        opacities=torch.full((count,), 3.0),
        sh0=torch.from_numpy(random.uniform(-1, 1, (count, 1, 3))).float(),
        shN=torch.from_numpy(coefficients).float(),
    )


def photographed_room(places: np.ndarray) -> Gaussians:
    """The inside of a box, as if photographed from `places` (P, 3)."""
    table = photographed_table(places, 6000)
    random = np.random.default_rng(3)
    walls = random.uniform(-4, 4, (len(table), 3))
    axis = random.integers(3, size=len(walls))
    walls[np.arange(len(walls)), axis] = np.sign(walls[np.arange(len(walls)), axis]) * 4
    coefficients = np.zeros((len(walls), 15, 3))
    for place in places:
        offsets = walls - place
        values = harmonics_of(offsets / np.linalg.norm(offsets, axis=1, keepdims=True))
        coefficients += 0.03 * values[:, :, None] * random.normal(size=(len(walls), 1, 3))
    return replace(
        table,
        means=torch.from_numpy(walls).float(),
        scales=torch.full((len(walls), 3), -2.0),
        shN=torch.from_numpy(coefficients).float(),
    )
