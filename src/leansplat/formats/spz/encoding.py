"""What an SPZ file can say of Gaussians, as integers: `encode` rounds a scene to them, `decode` gives their floats.

This is kept apart from the layout of files (`container`), because fine-tuning trains through the rounding and writes no
file. All of a Gaussian but its position and rotation are bytes that stand for the values of a table. The constants are
those of Niantic's published reference (github.com/nianticlabs/spz).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from leansplat.activation import logit_of, opacity_of, unit
from leansplat.arrays import TENSOR_NAMES, AnyScene, GaussianArrays, blocks, median, unfilled
from leansplat.formats import reach
from leansplat.formats.options import USUAL_SH_BITS

LARGEST_POSITION = 2**23 - 1
"""Largest 24-bit integer; the smallest is one further from zero."""

_USUAL_BITS = 12
_STEPS_IN_A_SIZE = 16

_BYTES = np.arange(256)
_LOG_SCALES = (_BYTES / 16 - 10).astype(np.float32)
_SH0 = ((_BYTES / 255 - 0.5) / 0.15).astype(np.float32)
_SHN = ((_BYTES - 128) / 128).astype(np.float32)
_LOGITS = logit_of(_BYTES / 255).astype(np.float32)

_MAGNITUDES = np.arange(512) / 511 * np.sqrt(0.5)
_COMPONENTS = np.concatenate([_MAGNITUDES, -_MAGNITUDES]).astype(np.float32)
"""What ten bits stand for: a sign above a magnitude of nine."""

_OTHERS = np.array([[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]])
"""The three components of a quaternion that are stored when the largest is number k."""


@dataclass(frozen=True)
class Encoded:
    """A scene of N Gaussians as an SPZ file holds it, in the file's order.

    Args:
        positions: (N, 3) int32 of 24 bits, in units of 2^-fractional_bits.
        alphas: (N,) uint8, opacity * 255.
        colors: (N, 3) uint8, (0.15 sh0 + 0.5) * 255.
        scales: (N, 3) uint8, (log scale + 10) * 16.
        rotations: (N, 4) uint8, a little-endian integer of 32 bits: the number of the largest of x, y, z, w, then the
            other three in ten bits each, a sign and a magnitude in units of sqrt(1/2) / 511. Or, from files of version
            2, (N, 3) uint8: x, y and z of a quaternion with positive w, as (value + 1) * 127.5.
        shN: (N, K - 1, 3) uint8, shN * 128 + 128.
        fractional_bits: see `positions`.
        antialiased: as in `Gaussians`.
        order: (N,) int64; row i is Gaussian order[i] of the scene that was encoded, which may have more.
    """

    positions: np.ndarray
    alphas: np.ndarray
    colors: np.ndarray
    scales: np.ndarray
    rotations: np.ndarray
    shN: np.ndarray
    fractional_bits: int
    antialiased: bool
    order: np.ndarray


def encode(
    gaussians: AnyScene,
    *,
    sh_bits: tuple[int, int] = USUAL_SH_BITS,
    sh_steps: np.ndarray | None = None,
    order: np.ndarray | None = None,
) -> Encoded:
    """Round a scene to what an SPZ file can say.

    Values out of range become the nearest in range: scales are e^-10 to e^5.94, sh0 is within 3.33 of zero and shN
    within 1.

    Args:
        gaussians: finite.
        sh_bits: for coefficients of degree 1, and for those above, how many of a byte's eight bits tell them apart.
            Fewer compress better; readers need not know.
        sh_steps: (N, 1, 1) float32, instead of `sh_bits`: the steps of each Gaussian's bytes, from the middle of their
            range; powers of two from 1, all that a byte can say, to 256, which leaves nothing.
        order: (M,) int64, Gaussians in the order of the file; as by `arranged` by default.

    Raises:
        ValueError: positions reach too far, as `fractional_bits` says.
    """
    gaussians = gaussians.arrays()
    order = arranged(gaussians)[1] if order is None else order
    count = len(order)
    bits = fractional_bits(gaussians if count == len(gaussians) else gaussians[order])
    coefficients = gaussians.shN.shape[1]
    steps = widths_of_bits(sh_bits, coefficients)
    encoded = Encoded(
        positions=np.empty((count, 3), np.int32),
        alphas=np.empty(count, np.uint8),
        colors=np.empty((count, 3), np.uint8),
        scales=np.empty((count, 3), np.uint8),
        rotations=np.empty((count, 4), np.uint8),
        shN=np.empty((count, coefficients, 3), np.uint8),
        fractional_bits=bits,
        antialiased=gaussians.antialiased,
        order=order,
    )
    for part in blocks(count):
        rows = order[part]
        means, quats, scales, opacities, sh0, shN = (
            getattr(gaussians, name).take(rows, axis=0).astype(np.float32, copy=False) for name in TENSOR_NAMES
        )
        encoded.positions[part] = np.rint(means * np.float32(2.0**bits))
        encoded.alphas[part] = _to_byte(opacity_of(opacities) * 255)
        encoded.colors[part] = _to_byte((sh0[:, 0] * np.float32(0.15) + np.float32(0.5)) * 255)
        encoded.scales[part] = _to_byte((scales + 10) * 16)
        encoded.rotations[part] = _smallest_three(quats)
        if sh_steps is not None:
            steps = sh_steps[rows]
        encoded.shN[part] = sh_codes(shN, steps)
    return encoded


def decode(encoded: Encoded, rows: np.ndarray | None = None) -> GaussianArrays:
    """The scene that a reader of the file gets: float32, in the file's order, quaternions of length 1.

    Or only some of its rows.
    """
    if rows is not None:
        sections = ("positions", "alphas", "colors", "scales", "rotations", "shN")
        encoded = replace(encoded, **{name: getattr(encoded, name)[rows] for name in sections})
    count = len(encoded.positions)
    scene = unfilled(count, encoded.shN.shape[1], antialiased=encoded.antialiased)
    to_quats = _from_smallest_three if encoded.rotations.shape[1] == 4 else _from_first_three
    for part in blocks(count):
        scene.means[part] = encoded.positions[part] * np.float32(2.0**-encoded.fractional_bits)
        scene.quats[part] = to_quats(encoded.rotations[part])
        scene.scales[part] = _LOG_SCALES.take(encoded.scales[part])
        scene.opacities[part] = _LOGITS.take(encoded.alphas[part])
        scene.sh0[part, 0] = _SH0.take(encoded.colors[part])
        scene.shN[part] = sh_values(encoded.shN[part])
    return scene


def sh_codes(shN: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Bytes of coefficients (n, K - 1, 3), in steps that fit its shape."""
    return _to_byte(np.rint(shN * (128 / steps)) * steps + 128)


def widths_of_bits(sh_bits: tuple[int, int], coefficients: int) -> np.ndarray:
    """(K - 1, 1) float32 steps of so many coefficients, where those of degree 1 have some bits, those above others."""
    steps = [2.0 ** (8 - sh_bits[0])] * 3 + [2.0 ** (8 - sh_bits[1])] * 12
    return np.array(steps, np.float32)[:coefficients, None]


def sh_values(codes: np.ndarray) -> np.ndarray:
    """float32 coefficients of bytes."""
    return _SHN.take(codes)


def arranged(gaussians: AnyScene) -> tuple[GaussianArrays, np.ndarray]:
    """A scene and the order in which a file holds its Gaussians, (M,) int64: Morton order, of all but strays that would
    coarsen the positions of the others.
    ."""
    gaussians = gaussians.arrays()
    wanted = _wanted_bits(gaussians)

    def errors(means: np.ndarray) -> np.ndarray:
        bits = _bits_within_reach(wanted, means)
        furthest_corner = np.inf if bits is None else 0.0 if bits == wanted else 0.5 * math.sqrt(3) * 2.0**-bits
        return np.full(len(means), furthest_corner)

    return gaussians, reach.file_order(gaussians, errors)


def fractional_bits(gaussians: GaussianArrays) -> int:
    """How many of the 24 bits of a coordinate are behind the point.

    As many as make a step 1/16 of the median Gaussian's size (the geometric mean of its standard deviations), at least
    the reference's 12; further bits would be noise that takes room in the file. But no more than leave room for the
    furthest Gaussian.

    Raises:
        ValueError: not even whole numbers of 24 bits reach the furthest Gaussian.
    """
    bits = _bits_within_reach(_wanted_bits(gaussians), gaussians.means)
    if bits is None:
        low, high = float(gaussians.means.min()), float(gaussians.means.max())
        raise ValueError(f"coordinates from {low:g} to {high:g} do not fit into 24 bits")
    return bits


def _wanted_bits(gaussians: GaussianArrays) -> int:
    if len(gaussians) == 0:
        return _USUAL_BITS
    log_size = float(median(gaussians.scales.mean(axis=1)))
    return min(max(_USUAL_BITS, math.ceil((math.log(_STEPS_IN_A_SIZE) - log_size) / math.log(2))), 23)


def _bits_within_reach(wanted: int, means: np.ndarray) -> int | None:
    """The most, up to those wanted, with which 24 bits reach all centres (n, 3); None where none do."""
    low, high = (float(end) for end in (np.min(means, initial=0), np.max(means, initial=0)))
    for bits in range(wanted, -1, -1):
        if round(high * 2**bits) <= LARGEST_POSITION and round(low * 2**bits) >= -LARGEST_POSITION - 1:
            return bits
    return None


def _to_byte(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _smallest_three(quats: np.ndarray) -> np.ndarray:
    """Quaternions (n, 4) w x y z as `Encoded.rotations` has them."""
    xyzw = unit(quats)[:, [1, 2, 3, 0]]
    largest = np.argmax(np.abs(xyzw), axis=1)[:, None]
    others = np.take_along_axis(xyzw, _OTHERS[largest[:, 0]], axis=1)
    others *= np.where(np.take_along_axis(xyzw, largest, axis=1) < 0, -1, 1)  # q and -q are one rotation
    magnitudes = np.minimum(np.rint(np.abs(others) * (511 / np.sqrt(0.5))), 511).astype(np.uint32)
    codes = magnitudes | (others < 0).astype(np.uint32) << np.uint32(9)
    packed = largest[:, 0].astype("<u4") << 30 | codes[:, 0] << 20 | codes[:, 1] << 10 | codes[:, 2]
    return packed.astype("<u4").view(np.uint8).reshape(-1, 4)


def _from_smallest_three(rotations: np.ndarray) -> np.ndarray:
    packed = np.ascontiguousarray(rotations).view("<u4").astype(np.uint32)  # (n, 1)
    largest = (packed >> np.uint32(30)).astype(np.int64)
    others = _COMPONENTS[packed >> np.array([20, 10, 0], np.uint32) & np.uint32(1023)]
    xyzw = np.empty((len(packed), 4), np.float32)
    np.put_along_axis(xyzw, _OTHERS[largest[:, 0]], others, axis=1)
    np.put_along_axis(xyzw, largest, _completing(others)[:, None], axis=1)
    return xyzw[:, [3, 0, 1, 2]]


def _from_first_three(rotations: np.ndarray) -> np.ndarray:
    xyz = rotations.astype(np.float32) / np.float32(127.5) - 1
    return np.column_stack([_completing(xyz), xyz])


def _completing(three: np.ndarray) -> np.ndarray:
    """The fourth component, positive, that makes three of each row a quaternion of length 1."""
    return np.sqrt(np.maximum(1 - np.square(three, dtype=np.float64).sum(axis=1), 0)).astype(np.float32)
