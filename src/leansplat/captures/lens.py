"""`Lens`: the intrinsics a capture file gives a photo, distortion included, and how to take that distortion out.

Undistortion keeps the focal lengths and moves only the frame: the new photo is the largest upright rectangle around
the principal point that the distorted photo covers completely. It is smaller than the photo where the lens bends
outward and larger where it bends inward, so no pixel is invented, none is black, and nothing is rescaled.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch

from leansplat.cameras import Camera

_LARGEST_CHANGE = 4.0  # a frame that grows or shrinks more than this is a bad calibration, not a lens


@dataclass(frozen=True)
class Lens:
    """Intrinsics in pixels with pixel centres at +0.5, and Brown-Conrady distortion in OpenCV's order.

    Args:
        fx, fy, cx, cy: focal lengths and principal point.
        width, height: size of the photo that these numbers belong to.
        distortion: () for a pinhole, else k1, k2, p1, p2[, k3[, k4, k5, k6]] as OpenCV's camera calibration defines
            them (COLMAP's OPENCV and FULL_OPENCV are the same model). All zeros becomes ().

    Raises:
        ValueError: a focal length or size is not positive, or a number is not finite.
    """

    fx: float
    fy: float
    cx: float
    cy: float
    width: int
    height: int
    distortion: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise ValueError(f"a photo size of {self.width}x{self.height}")
        if not all(math.isfinite(number) for number in (self.fx, self.fy, self.cx, self.cy, *self.distortion)):
            raise ValueError("intrinsics that are not finite numbers")
        if self.fx <= 0 or self.fy <= 0:
            raise ValueError(f"focal lengths of {self.fx:g} and {self.fy:g} pixels")
        if not any(self.distortion):
            object.__setattr__(self, "distortion", ())

    @property
    def matrix(self) -> np.ndarray:
        """(3, 3) float64 intrinsics."""
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1]], dtype=np.float64)

    @property
    def off_centre(self) -> bool:
        """Whether the principal point is in the outer half of the photo on some side, or outside it."""
        return abs(self.cx / self.width - 0.5) > 0.25 or abs(self.cy / self.height - 0.5) > 0.25

    def fits(self, width: int, height: int) -> bool:
        """Whether a photo of this size has the lens's shape: some scale gives both sides to within a pixel."""
        smallest = max((width - 1) / self.width, (height - 1) / self.height)
        largest = min((width + 1) / self.width, (height + 1) / self.height)
        return smallest <= largest

    def resized(self, width: int, height: int) -> Lens:
        """The lens of the same photo at another resolution; distortion does not depend on resolution."""
        x, y = width / self.width, height / self.height
        return replace(self, fx=self.fx * x, cx=self.cx * x, fy=self.fy * y, cy=self.cy * y, width=width, height=height)

    def camera(self, world_to_camera: np.ndarray) -> Camera:
        """The pinhole camera with these intrinsics at a pose (4, 4); the distortion must have been taken out."""
        if self.distortion:
            raise ValueError("a lens with distortion is not a pinhole camera")
        return Camera(torch.from_numpy(world_to_camera), torch.from_numpy(self.matrix), self.width, self.height)

    def pinhole(self) -> Lens:
        """The lens of the undistorted photo: same focal lengths, the frame as the module's first lines say.

        Raises:
            ValueError: the distortion cannot be inverted over the photo.
        """
        if not self.distortion:
            return self
        across = np.linspace(0.0, self.width, 513)
        down = np.linspace(0.0, self.height, 513)
        left, right = (self._straight(np.full_like(down, x), down)[:, 0] for x in (0.0, self.width))
        top, bottom = (self._straight(across, np.full_like(across, y))[:, 1] for y in (0.0, self.height))
        first_x, last_x = np.ceil(left.max()), np.floor(right.min())
        first_y, last_y = np.ceil(top.max()), np.floor(bottom.min())
        width, height = last_x - first_x, last_y - first_y
        within = 1 / _LARGEST_CHANGE <= width / self.width <= _LARGEST_CHANGE
        if not within or not 1 / _LARGEST_CHANGE <= height / self.height <= _LARGEST_CHANGE:
            raise ValueError("distortion coefficients that cannot be undone over the whole photo")
        cx, cy = self.cx - float(first_x), self.cy - float(first_y)
        return replace(self, cx=cx, cy=cy, width=int(width), height=int(height), distortion=())

    def _straight(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Where distorted pixels (x, y) would be without distortion: (P, 2), in the same intrinsics."""
        criteria = (cv2.TERM_CRITERIA_MAX_ITER + cv2.TERM_CRITERIA_EPS, 100, 1e-6)
        pixels = np.stack([x, y], axis=1)[:, None]
        return cv2.undistortImagePoints(pixels, self.matrix, np.array(self.distortion), None, criteria)[:, 0]


class Undistortion:
    """The resampling that turns photos of a distorted lens into photos of `lens.pinhole()`.

    Args:
        lens: with distortion, at the resolution of the photos.

    Raises:
        ValueError: the distortion folds the photo over itself, or reaches outside it.
    """

    def __init__(self, lens: Lens) -> None:
        pinhole = lens.pinhole()
        # OpenCV puts pixel centres at whole numbers, we put them at +0.5.
        shift = np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])
        self.columns, self.rows = cv2.initUndistortRectifyMap(
            lens.matrix - shift,
            np.array(lens.distortion),
            np.eye(3),
            pinhole.matrix - shift,
            (pinhole.width, pinhole.height),
            cv2.CV_32FC1,
        )
        margin = 0.55  # half a pixel from the last centre to the edge, and what sampling the edge may miss
        inside = all(
            source.min() >= -margin and source.max() <= size - 1 + margin
            for source, size in ((self.columns, lens.width), (self.rows, lens.height))
        )
        unfolded = (np.diff(self.columns, axis=1) > 0).all() and (np.diff(self.rows, axis=0) > 0).all()
        if not inside or not unfolded:
            raise ValueError("distortion coefficients that cannot be undone over the whole photo")

    def __call__(self, photo: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 distorted -> (H', W', 3) uint8 as the pinhole lens would have taken it."""
        return cv2.remap(photo, self.columns, self.rows, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)

    def touched(self, marked: np.ndarray) -> np.ndarray:
        """(H, W) uint8, 0 or 1 -> (H', W'), 1 where a pixel of the new photo may be made of a marked one of the old.

        Cubic interpolation takes pixels at most two away from the nearest one.
        """
        near = cv2.dilate(marked, np.ones((5, 5), np.uint8))
        return cv2.remap(near, self.columns, self.rows, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
