"""The stages of rendering in order, forward and backward, and the arrays that pass between them.

    project -> sort_by_depth -> count_pairs, scatter_pairs -> blend            forward
    project_backward (or covariance_backward) <- blend_backward                backward

`forward` returns everything the backward pass needs in a `Pass`; nothing is kept elsewhere, so any number of renders
may be alive at once. Large arrays come from `simd.memory` and are recycled when a `Pass` is dropped.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from leansplat.cameras import Camera
from leansplat.engines.cpu.binning import count_pairs, scatter_pairs, sort_by_depth
from leansplat.engines.cpu.blending import blend
from leansplat.engines.cpu.blending_backward import blend_backward, share_tiles
from leansplat.engines.cpu.blending_depth import blending_depth
from leansplat.engines.cpu.blending_weights import blending_weights
from leansplat.engines.cpu.camera import KernelCamera, kernel_camera
from leansplat.engines.cpu.covariance_backward import covariance_backward
from leansplat.engines.cpu.projection import TILE, project
from leansplat.engines.cpu.projection_backward import project_backward
from leansplat.engines.cpu.removal import removal_effects
from leansplat.engines.cpu.splat import RECORD
from leansplat.errors import LeansplatError
from leansplat.simd import memory
from leansplat.simd.threads import thread_count
from leansplat.simd.vector import LANES

Floats = NDArray[np.float32]

_TILES_AT_A_TIME = 4  # tiles a thread takes from the queue; their costs vary too much for a fixed share

_MOST_PAIRS = 2**31 - 1

NO_FLOATS = np.zeros(0, np.float32)
NO_INTS = np.zeros(0, np.int32)
ALL_PIXELS = np.zeros((0, 0), np.bool_)
"""The mask that hides none."""


@dataclass
class Pass:
    """One forward pass: what it was given, what it made on the way, and its result.

    Args:
        data: (blocks, rows, 16) packed parameters; count of Gaussians.
        sh_degree: degree evaluated; antialiased: whether opacity was compensated.
        image: (3, H, W); transmittance: (H, W).
        other fields: see the kernels that write them.
    """

    data: Floats
    count: int
    camera: KernelCamera
    width: int
    height: int
    sh_degree: int
    antialiased: bool
    columns: int
    splats: Floats
    visible: NDArray[np.uint16]
    offsets: NDArray[np.int32]
    pairs: NDArray[np.int32]
    drawn: NDArray[np.uint16]
    ends: NDArray[np.int32]
    costs: NDArray[np.int64]
    image: Floats
    transmittance: Floats


def forward(
    data: Floats,
    count: int,
    camera: Camera,
    background: Floats,
    sh_degree: int,
    antialiased: bool,
    views_seen: NDArray[np.int32] | None = None,
    max_radius: Floats | None = None,
) -> Pass:
    """Render packed Gaussians.

    Args:
        data: (blocks, rows, 16) float32; count: how many of its lanes are Gaussians.
        background: (3,) float32.
        sh_degree: degree to evaluate, at most the one stored.
        views_seen, max_radius: (count,) statistics to update, or None.
    """
    blocks, rows, _ = data.shape
    padded = blocks * LANES
    columns, lines = -(-camera.width // TILE), -(-camera.height // TILE)
    tile_count = columns * lines
    view = kernel_camera(camera)
    splats = memory.empty(padded * RECORD, np.float32)
    depths = memory.empty(padded, np.float32)
    tiles = memory.empty(padded * 4, np.int16)
    visible = memory.empty(blocks, np.uint16)
    with_statistics = views_seen is not None and max_radius is not None
    project(
        data.reshape(-1), rows, count, view, sh_degree, antialiased, splats, depths, tiles, visible, with_statistics,
        views_seen if views_seen is not None else NO_INTS, max_radius if max_radius is not None else NO_FLOATS,
        thread_count(),
    )  # fmt: skip
    offsets, pairs = _bin(splats, depths, tiles, columns, tile_count)

    image = memory.empty((3, camera.height, camera.width), np.float32)
    transmittance = memory.empty((camera.height, camera.width), np.float32)
    drawn = memory.empty(pairs.size, np.uint16)
    ends = np.empty(tile_count, np.int32)
    costs = np.empty(tile_count, np.int64)
    numba.set_parallel_chunksize(_TILES_AT_A_TIME)
    try:
        blend(
            splats, offsets, pairs, columns, camera.width, camera.height, background, image, transmittance, drawn,
            ends, costs,
        )  # fmt: skip
    finally:
        numba.set_parallel_chunksize(0)
    return Pass(
        data, count, view, camera.width, camera.height, sh_degree, antialiased, columns, splats, visible, offsets,
        pairs, drawn, ends, costs, image, transmittance,
    )  # fmt: skip


def _bin(
    splats: Floats, depths: Floats, tiles: NDArray[np.int16], columns: int, tile_count: int
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Where each tile's list of splats starts, and the lists, nearest first."""
    padded = depths.size
    keys, keys_swap = memory.empty(padded, np.uint32), memory.empty(padded, np.uint32)
    order, order_swap = memory.empty(padded, np.int32), memory.empty(padded, np.int32)
    count, swapped = sort_by_depth(depths.view(np.uint32), tiles, keys, keys_swap, order, order_swap, thread_count())
    order = (order_swap if swapped else order)[:count]
    counters = memory.empty((thread_count(), tile_count), np.int32)
    offsets = np.empty(tile_count + 1, np.int32)
    reached_tiles = memory.empty(max(1, count), np.uint16)
    pair_count = int(count_pairs(splats, tiles, order, columns, reached_tiles, counters, offsets))
    if pair_count > _MOST_PAIRS:
        raise LeansplatError(
            f"this view has {pair_count} pairs of a tile and a Gaussian in it, more than {_MOST_PAIRS}; "
            "render it smaller, or remove the Gaussians that cover all of it"
        )
    pairs = memory.empty(pair_count, np.int32)
    scatter_pairs(splats, tiles, order, columns, reached_tiles, counters, pairs)
    return offsets, pairs


@dataclass
class SpareSums:
    """The per-thread sums of the last backward pass over a scene: zero again, because whoever reads them clears them.

    Kept from one pass to the next, which saves clearing 64 bytes per Gaussian and thread every step. While a pass uses
    them they are taken out, so one that fails, or runs beside another, leaves nothing behind.
    """

    kept: tuple[Floats, NDArray[np.uint8]] | None = None

    def take(self, size: int, flags: int) -> tuple[Floats, NDArray[np.uint8]]:
        """Zeros: (size,) sums and (flags,) of which blocks have any."""
        kept, self.kept = self.kept, None
        if kept is None or kept[0].size != size:
            kept = np.zeros(size, np.float32), np.zeros(flags, np.uint8)
        return kept


def pixel_sums(
    rendered: Pass, image_gradient: Floats, alpha_gradient: Floats | None, spare: SpareSums
) -> tuple[Floats, NDArray[np.uint8]]:
    """What the gradient of an image says about each splat: `sums` and `touched` of `projection_backward`.

    A kernel that reads them clears them; after that they are `spare.kept`.

    Args:
        image_gradient: (3, H, W); alpha_gradient: (H, W), or None.
    """
    threads = thread_count()
    sums, touched = spare.take(threads * rendered.splats.size, threads * rendered.visible.size)
    blend_backward(
        rendered.splats, rendered.offsets, rendered.ends, rendered.pairs, rendered.drawn, rendered.columns,
        rendered.width, rendered.height, rendered.image, image_gradient, rendered.transmittance,
        alpha_gradient is not None, alpha_gradient if alpha_gradient is not None else rendered.transmittance,
        share_tiles(rendered.costs, threads), sums, touched,
    )  # fmt: skip
    return sums, touched


def backward(
    rendered: Pass,
    image_gradient: Floats,
    alpha_gradient: Floats | None,
    gradient_sum: Floats | None = None,
    spare: SpareSums | None = None,
) -> Floats:
    """Gradient of the packed parameters, (blocks, rows, 16).

    Args:
        image_gradient, alpha_gradient: as `pixel_sums` takes them.
        gradient_sum: (count,) statistics to add the norm of each screen-space position gradient to, or None.
        spare: of the scene, where there will be more passes.
    """
    spare = spare or SpareSums()
    sums, touched = pixel_sums(rendered, image_gradient, alpha_gradient, spare)
    gradient = memory.empty(rendered.data.shape, np.float32)
    project_backward(
        rendered.data.reshape(-1), rendered.data.shape[1], rendered.camera, rendered.sh_degree, rendered.antialiased,
        rendered.splats, rendered.visible, sums, touched, thread_count(), gradient.reshape(-1),
        gradient_sum is not None, gradient_sum if gradient_sum is not None else NO_FLOATS,
    )  # fmt: skip
    spare.kept = sums, touched
    return gradient


def covariance_gradient(rendered: Pass, image_gradient: Floats, spare: SpareSums | None = None) -> Floats:
    """Gradient by the covariances in world space and the colour coefficients, (blocks, rows, 16).

    Rows 0 to 5 are the entries xx, xy, xz, yy, yz, zz, where one off the diagonal stands for both of its places; rows
    from `SH0` on are the coefficients as in the packed layout; the others are zero.

    Args:
        image_gradient: (3, H, W); spare: as `backward` takes it.
    """
    spare = spare or SpareSums()
    sums, touched = pixel_sums(rendered, image_gradient, None, spare)
    gradient = memory.empty(rendered.data.shape, np.float32)
    covariance_backward(
        rendered.data.reshape(-1), rendered.data.shape[1], rendered.camera, rendered.sh_degree, rendered.antialiased,
        rendered.splats, rendered.visible, sums, touched, thread_count(), gradient.reshape(-1),
    )  # fmt: skip
    spare.kept = sums, touched
    return gradient


def add_blending_weights(
    rendered: Pass, weight_sum: Floats, weight_max: Floats, kept: NDArray[np.bool_] = ALL_PIXELS
) -> None:
    """Add a pass' blending weights in the pixels (H, W) that count to statistics of shape (count,)."""
    threads = thread_count()
    scratch = memory.empty((2, threads, rendered.count), np.float32)
    blending_weights(
        rendered.splats, rendered.offsets, rendered.ends, rendered.pairs, rendered.drawn, rendered.columns,
        rendered.width, rendered.height, kept, share_tiles(rendered.costs, threads), scratch[0], scratch[1],
        weight_sum, weight_max,
    )  # fmt: skip


def depths(rendered: Pass) -> tuple[Floats, Floats]:
    """The expected and the median depth (H, W) at each pixel of a pass' image; see `blending_depth`."""
    camera = rendered.camera
    x, y, z = (rendered.data[:, axis] for axis in range(3))
    with np.errstate(invalid="ignore"):  # of Gaussians that are not finite, which are not drawn
        seen = camera.r20 * x + camera.r21 * y + camera.r22 * z + camera.t2
    expected, median = (memory.empty((rendered.height, rendered.width), np.float32) for _ in range(2))
    blending_depth(
        rendered.splats, seen.astype(np.float32).reshape(-1), rendered.offsets, rendered.ends, rendered.pairs,
        rendered.drawn, rendered.columns, rendered.width, rendered.height,
        share_tiles(rendered.costs, thread_count()), expected, median,
    )  # fmt: skip
    return expected, median


def add_removal_effects(
    rendered: Pass, difference: Floats, effects: Floats, kept: NDArray[np.bool_] = ALL_PIXELS
) -> None:
    """Add what a pass' image would lose with each Gaussian to `effects` (count, 4); see `removal` for the columns.

    Args:
        difference: (3, H, W) the image minus its photo.
        kept: (H, W) the pixels that count.
    """
    threads = thread_count()
    removal_effects(
        rendered.splats, rendered.offsets, rendered.ends, rendered.pairs, rendered.drawn, rendered.columns,
        rendered.width, rendered.height, rendered.image, difference, kept,
        share_tiles(rendered.costs, threads),
        memory.empty(threads * rendered.splats.size, np.float32), effects,
    )  # fmt: skip
