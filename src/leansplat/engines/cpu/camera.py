"""The camera as kernels take it: a flat tuple of float32 numbers."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from leansplat.cameras import Camera


class KernelCamera(NamedTuple):
    """World-to-camera rotation r and translation t, intrinsics, image size, position p, the Jacobian's clamp, near.

    `left` to `bottom` bound x/z and y/z where the projection is linearised: the edges of the image plus 0.3 times half
    its extent on each side (3DGS's 1.3 tan(fov / 2), in gsplat's form that honours off-centre principal points).
    """

    r00: Any
    r01: Any
    r02: Any
    r10: Any
    r11: Any
    r12: Any
    r20: Any
    r21: Any
    r22: Any
    t0: Any
    t1: Any
    t2: Any
    fx: Any
    fy: Any
    cx: Any
    cy: Any
    width: Any
    height: Any
    px: Any
    py: Any
    pz: Any
    left: Any
    right: Any
    top: Any
    bottom: Any
    near: Any


def kernel_camera(camera: Camera) -> KernelCamera:
    (r00, r01, r02, t0), (r10, r11, r12, t1), (r20, r21, r22, t2), _ = camera.world_to_camera.tolist()
    (fx, _, cx), (_, fy, cy), _ = camera.K.tolist()
    width, height = camera.width, camera.height
    margin_x, margin_y = 0.3 * 0.5 * width / fx, 0.3 * 0.5 * height / fy
    numbers = [
        *(r00, r01, r02, r10, r11, r12, r20, r21, r22),
        *(t0, t1, t2),
        *(fx, fy, cx, cy, width, height),
        -(r00 * t0 + r10 * t1 + r20 * t2),
        -(r01 * t0 + r11 * t1 + r21 * t2),
        -(r02 * t0 + r12 * t1 + r22 * t2),
        *(-cx / fx - margin_x, (width - cx) / fx + margin_x),
        *(-cy / fy - margin_y, (height - cy) / fy + margin_y),
        camera.near,
    ]
    return KernelCamera(*np.array(numbers, np.float32))
