"""SSIM and L1 between an image and a photo, and their gradient, in one sweep forward and one back.

The 11x11 Gaussian window is separable: for each row, eleven rows are weighted into five moments (x, y, x^2, y^2, x y),
then eleven columns. Rows are independent and short-lived sums stay in cache, which makes this some fifty times faster
than five 2D convolutions and their autograd graph.

SSIM is that of 3DGS papers: window of 11, sigma 1.5, zero padding, per channel, C1 = 0.01^2, C2 = 0.03^2, mean over all
pixels (Wang et al. 2004, Eq. 13, with the window's moments).

With a mask, hidden pixels are what pixels outside the photo are: zero in both images, and no place of the mean. Without
one, `kept` is None, and Numba compiles kernels in which nothing of a mask is left.
"""

import numba
import numpy as np

from leansplat.simd.across_lanes import sum_lanes
from leansplat.simd.compilation import inlined, kernel
from leansplat.simd.vector import (
    LANES,
    absolute,
    broadcast,
    fma,
    lane_numbers,
    load,
    load_where,
    select,
    store,
    store_where,
)

RADIUS = 5
C1 = 0.01**2
C2 = 0.03**2
_CHUNKS = 32  # parts of the image that are summed apart; fixed, so that any number of threads gives the same sum


def window() -> np.ndarray:
    """(11,) float32 weights of the Gaussian window; they sum to 1."""
    weights = np.exp(-((np.arange(2 * RADIUS + 1) - RADIUS) ** 2) / (2 * 1.5**2))
    return (weights / weights.sum()).astype(np.float32)


@kernel
def photo_to_planes(photo, planes):
    """(H, W, 3) uint8 to (3, H, W) float32 in [0, 1]."""
    for row in numba.prange(photo.shape[0]):
        for column in range(photo.shape[1]):
            for channel in range(3):
                planes[channel, row, column] = np.float32(photo[row, column, channel]) * np.float32(1 / 255)


@inlined
def _inside(column, width):
    return lane_numbers() < np.float32(width - column)


@inlined
def _moments(x, y, width, height, row, channel, weights, sums, pitch):
    """Weight eleven rows into the five moments, each a padded line of `sums`."""
    plane = channel * height * width
    for column in range(0, width, LANES):
        inside = _inside(column, width)
        mean_x = broadcast(0.0)
        mean_y = broadcast(0.0)
        mean_xx = broadcast(0.0)
        mean_yy = broadcast(0.0)
        mean_xy = broadcast(0.0)
        for offset in range(max(-RADIUS, -row), min(RADIUS, height - 1 - row) + 1):
            at = plane + (row + offset) * width + column
            a = load_where(x, at, inside)
            b = load_where(y, at, inside)
            weighted_a = weights[offset + RADIUS] * a
            weighted_b = weights[offset + RADIUS] * b
            mean_x = mean_x + weighted_a
            mean_y = mean_y + weighted_b
            mean_xx = fma(weighted_a, a, mean_xx)
            mean_yy = fma(weighted_b, b, mean_yy)
            mean_xy = fma(weighted_a, b, mean_xy)
        store(sums, RADIUS + column, mean_x)
        store(sums, pitch + RADIUS + column, mean_y)
        store(sums, 2 * pitch + RADIUS + column, mean_xx)
        store(sums, 3 * pitch + RADIUS + column, mean_yy)
        store(sums, 4 * pitch + RADIUS + column, mean_xy)


@inlined
def _across(line, at, weights):
    """Weight eleven columns of a padded line."""
    return (
        weights[0] * (load(line, at) + load(line, at + 10))
        + weights[1] * (load(line, at + 1) + load(line, at + 9))
        + weights[2] * (load(line, at + 2) + load(line, at + 8))
        + weights[3] * (load(line, at + 3) + load(line, at + 7))
        + weights[4] * (load(line, at + 4) + load(line, at + 6))
        + weights[5] * load(line, at + 5)
    )


@kernel
def ssim_and_l1(x, y, width, height, weights, slopes, with_slopes, kept, counted):
    """Mean SSIM and mean absolute difference of x (the image) and y (the photo).

    Args:
        x, y: flat (3 * height * width,) float32 planes, zero in hidden pixels; weights: `window()`.
        slopes: flat (9 * height * width,) out if `with_slopes`: for each pixel, the derivatives of its SSIM by
            the mean of x, the mean of x^2 and the mean of x y, three planes each; zero in hidden pixels.
        kept: flat (height * width,) float32, 1 where a pixel counts and 0 where it is hidden, or None if all count.
        counted: how many pixels count.
    """
    pitch = (width + LANES - 1) // LANES * LANES + 2 * LANES
    totals = np.zeros((_CHUNKS, 2), np.float64)
    plane_size = height * width
    rows = 3 * height
    for chunk in numba.prange(_CHUNKS):
        sums = np.zeros(5 * pitch, np.float32)
        for line in range(rows * chunk // _CHUNKS, rows * (chunk + 1) // _CHUNKS):
            channel = line // height
            row = line % height
            _moments(x, y, width, height, row, channel, weights, sums, pitch)
            ssim = broadcast(0.0)
            l1 = broadcast(0.0)
            for column in range(0, width, LANES):
                inside = _inside(column, width)
                at = channel * plane_size + row * width + column
                mean_x = _across(sums, column, weights)
                mean_y = _across(sums, pitch + column, weights)
                variance_x = _across(sums, 2 * pitch + column, weights) - mean_x * mean_x
                variance_y = _across(sums, 3 * pitch + column, weights) - mean_y * mean_y
                covariance = _across(sums, 4 * pitch + column, weights) - mean_x * mean_y
                a = 2.0 * mean_x * mean_y + C1
                b = 2.0 * covariance + C2
                c = mean_x * mean_x + mean_y * mean_y + C1
                d = variance_x + variance_y + C2
                inverse = 1.0 / (c * d)
                value = a * b * inverse
                places = inside
                if kept is not None:
                    places = inside & (load_where(kept, row * width + column, inside) > 0.5)
                ssim = ssim + select(places, value, 0.0)
                l1 = l1 + absolute(load_where(x, at, inside) - load_where(y, at, inside))
                if with_slopes:
                    by_square = -value * c * inverse
                    by_product = 2.0 * a * inverse
                    by_mean = (
                        2.0 * mean_y * b * inverse
                        - 2.0 * mean_x * value * d * inverse
                        - 2.0 * mean_x * by_square
                        - mean_y * by_product
                    )
                    if kept is not None:
                        by_mean = select(places, by_mean, 0.0)
                        by_square = select(places, by_square, 0.0)
                        by_product = select(places, by_product, 0.0)
                    store_where(slopes, at, by_mean, inside)
                    store_where(slopes, at + 3 * plane_size, by_square, inside)
                    store_where(slopes, at + 6 * plane_size, by_product, inside)
            totals[chunk, 0] += sum_lanes(ssim)
            totals[chunk, 1] += sum_lanes(l1)
    count = 3.0 * counted
    return totals[:, 0].sum() / count, totals[:, 1].sum() / count


@kernel
def ssim_and_l1_gradient(x, y, width, height, weights, slopes, ssim_factor, l1_factor, gradient):
    """Gradient with respect to x of ssim_factor * (mean SSIM) + l1_factor * (mean absolute difference).

    With a mask, means are sums over the pixels that count, divided by the number of all. In hidden pixels the gradient
    is that of moving away from zero, which is none of the image's: the caller sets it to zero there.

    Args:
        x, y, width, height, weights, slopes: as `ssim_and_l1` took and made them.
        gradient: flat (3 * height * width,) float32 out.
    """
    pitch = (width + LANES - 1) // LANES * LANES + 2 * LANES
    plane_size = height * width
    rows = 3 * height
    ssim_share = np.float32(ssim_factor / (3.0 * plane_size))
    l1_share = np.float32(l1_factor / (3.0 * plane_size))
    for chunk in numba.prange(_CHUNKS):
        sums = np.zeros(3 * pitch, np.float32)
        for line in range(rows * chunk // _CHUNKS, rows * (chunk + 1) // _CHUNKS):
            channel = line // height
            row = line % height
            for column in range(0, width, LANES):
                inside = _inside(column, width)
                by_mean = broadcast(0.0)
                by_square = broadcast(0.0)
                by_product = broadcast(0.0)
                for offset in range(max(-RADIUS, -row), min(RADIUS, height - 1 - row) + 1):
                    at = channel * plane_size + (row + offset) * width + column
                    weight = weights[offset + RADIUS]
                    by_mean = fma(weight, load_where(slopes, at, inside), by_mean)
                    by_square = fma(weight, load_where(slopes, at + 3 * plane_size, inside), by_square)
                    by_product = fma(weight, load_where(slopes, at + 6 * plane_size, inside), by_product)
                store(sums, RADIUS + column, by_mean)
                store(sums, pitch + RADIUS + column, by_square)
                store(sums, 2 * pitch + RADIUS + column, by_product)
            for column in range(0, width, LANES):
                inside = _inside(column, width)
                at = channel * plane_size + row * width + column
                a = load_where(x, at, inside)
                b = load_where(y, at, inside)
                by_mean = _across(sums, column, weights)
                by_square = _across(sums, pitch + column, weights)
                by_product = _across(sums, 2 * pitch + column, weights)
                sign = select(a > b, l1_share, select(a < b, -l1_share, 0.0))
                value = fma(ssim_share, by_mean + 2.0 * a * by_square + b * by_product, sign)
                store_where(gradient, at, value, inside)
