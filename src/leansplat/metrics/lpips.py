"""LPIPS, the learned perceptual distance of two images (Zhang et al., CVPR 2018), version 0.1, lower is better.

A classification network looks at both images; at five depths its features are scaled to unit length per pixel, their
squared difference is weighed by a learned non-negative number per channel, and the means over pixels are added up.
With a mask, hidden pixels are black in both images, and in the means a place of a feature map counts as much as the
share of its pixels that is not hidden. The networks are written out here as plain convolutions, so neither torchvision
nor the lpips package is needed.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional

from leansplat.metrics import lpips_weights
from leansplat.metrics.lpips_weights import Arrays, Net
from leansplat.metrics.masking import kept_pixels

Convention = Literal["[0,1]", "[-1,1]"]

# Mean and spread of ImageNet colours for images in [-1, 1]; the published "scaling layer".
SHIFT = (-0.030, -0.088, -0.188)
SCALE = (0.458, 0.448, 0.450)

# Convolutions of each block of VGG16 up to relu1_2, relu2_2, relu3_3, relu4_3, relu5_3; 2x2 max pooling lies between.
VGG_BLOCKS = (2, 2, 3, 3, 3)
# (stride, padding, pooled first) of AlexNet's five convolutions; pooling is 3x3 with stride 2.
ALEX_LAYERS = ((4, 2, False), (1, 2, True), (1, 1, True), (1, 1, False), (1, 1, False))

# Smaller images leave nothing of the last feature map.
SMALLEST: dict[Net, int] = {"vgg": 16, "alex": 31}

# Feature values that are compared at once: bounds the memory of the comparison, not its result.
STRIP_VALUES = 4_000_000


class Lpips:
    """LPIPS with its weights loaded: call it with two images.

    Args:
        net: "vgg" (VGG16, what 3DGS papers report) or "alex" (AlexNet, faster).
        convention: what the network is fed. "[0,1]": the image as it is, which is what 3DGS papers do and so what is
            comparable with them. "[-1,1]": 2 x - 1, the range that LPIPS was made for. Quote `name` next to a number.

    Raises:
        InputError: the weights are not on this machine (`lpips_weights.absence` says so beforehand) or are damaged.
        ValueError: no such network or convention.

    Example:
        >>> lpips = Lpips()                     # doctest: +SKIP
        >>> lpips.name, lpips(render, photo)    # doctest: +SKIP
        ('vgg, [0,1]', 0.083)
    """

    def __init__(self, net: Net = "vgg", convention: Convention = "[0,1]") -> None:
        if net not in get_args(Net) or convention not in get_args(Convention):
            raise ValueError(
                f"no LPIPS named '{net}, {convention}': use one of {get_args(Net)}, {get_args(Convention)}"
            )
        self.net = net
        self.convention = convention
        arrays = lpips_weights.load(net)
        self._convolutions = _convolutions(arrays)
        self._heads = _heads(arrays)

    @property
    def name(self) -> str:
        """The definition that a number of this object was made with, such as 'vgg, [0,1]'."""
        return f"{self.net}, {self.convention}"

    @torch.no_grad()
    def __call__(self, image: Tensor, photo: Tensor, mask: Tensor | None = None) -> float:
        """Distance of two (H, W, 3) float images in [0, 1]; values outside are clamped. At least 16 (alex: 31) pixels
        a side.

        Args:
            mask: (H, W) bool, true where a pixel counts; None where all do.

        Raises:
            ValueError: shapes differ, an image is too small, a tensor is not floating point, or the mask hides
                everything.
        """
        self._check(image, photo)
        if mask is not None:
            kept_pixels(mask, *image.shape[:2])
            hidden = ~mask[..., None]
            image, photo = image.masked_fill(hidden, 0), photo.masked_fill(hidden, 0)
        features = [self._scaled(image), self._scaled(photo)]
        distance = 0.0
        # Both images go through the network a tap at a time, so that only one depth of features is held.
        for depth, head in enumerate(self._heads):
            for number in range(2):
                features[number] = self._next_tap(features[number], depth)
            distance += _mean_weighted_difference(features[0], features[1], head, mask)
        return distance

    def _check(self, image: Tensor, photo: Tensor) -> None:
        if image.shape != photo.shape or image.dim() != 3 or image.shape[2] != 3:
            raise ValueError(f"image {tuple(image.shape)} and photo {tuple(photo.shape)} must both be (H, W, 3)")
        if not image.is_floating_point() or not photo.is_floating_point():
            raise ValueError(f"image ({image.dtype}) and photo ({photo.dtype}) must be floating point in [0, 1]")
        if min(image.shape[:2]) < SMALLEST[self.net]:
            height, width = image.shape[:2]
            raise ValueError(f"LPIPS ({self.net}) needs {SMALLEST[self.net]} pixels per side, not {width}x{height}")

    def _scaled(self, image: Tensor) -> Tensor:
        planes = image.detach().to("cpu", torch.float32).clamp(0.0, 1.0).permute(2, 0, 1)[None]
        if self.convention == "[-1,1]":
            planes = 2.0 * planes - 1.0
        return (planes - torch.tensor(SHIFT)[:, None, None]) / torch.tensor(SCALE)[:, None, None]

    def _next_tap(self, feature: Tensor, depth: int) -> Tensor:
        """Features (1, C, h, w) at tap `depth` from those at the tap before (from the scaled image for depth 0)."""
        if self.net == "alex":
            stride, padding, pooled = ALEX_LAYERS[depth]
            if pooled:
                feature = functional.max_pool2d(feature, kernel_size=3, stride=2)
            kernel, bias = self._convolutions[depth]
            return functional.conv2d(feature, kernel, bias, stride=stride, padding=padding).relu_()
        if depth > 0:
            feature = functional.max_pool2d(feature, kernel_size=2)
        first = sum(VGG_BLOCKS[:depth])
        for kernel, bias in self._convolutions[first : first + VGG_BLOCKS[depth]]:
            feature = functional.conv2d(feature, kernel, bias, padding=1).relu_()
        return feature


def _mean_weighted_difference(first: Tensor, second: Tensor, head: Tensor, mask: Tensor | None) -> float:
    """Mean over pixels of sum_c head_c (first_c / |first| - second_c / |second|)^2, features (1, C, h, w).

    Args:
        mask: (H, W) bool over the whole image; places count as much as the share of their pixels that is true.
    """
    _, channels, height, width = first.shape
    rows = max(1, STRIP_VALUES // (channels * width))
    shares = torch.ones(1, height, width)
    if mask is not None:
        shares = functional.adaptive_avg_pool2d(mask.to(torch.float32)[None], (height, width))
    total = 0.0
    strips = zip(first.split(rows, dim=2), second.split(rows, dim=2), shares.split(rows, dim=1), strict=True)
    for ours, theirs, share in strips:
        difference = _unit_length(ours) - _unit_length(theirs)
        values = torch.einsum("c,nchw->nhw", head, difference.square_())
        total += float((values * share).sum(dtype=torch.float64))
    return total / float(shares.sum(dtype=torch.float64))


def _unit_length(feature: Tensor) -> Tensor:
    return feature / (feature.square().sum(dim=1, keepdim=True).sqrt() + 1e-10)


def _convolutions(arrays: Arrays) -> list[tuple[Tensor, Tensor]]:
    """(kernel (out, in, h, w), bias) of the feature network in order; the file stores kernels as (h, w, in, out)."""
    network = next(name for name in arrays if not name.startswith("NetLinLayer")).split("/")[0]
    count = sum(name.startswith(f"{network}/") and name.endswith("/kernel") for name in arrays)
    pairs = []
    for number in range(count):
        kernel = torch.from_numpy(arrays[f"{network}/Conv_{number}/kernel"].transpose(3, 2, 0, 1).copy())
        pairs.append((kernel, torch.from_numpy(arrays[f"{network}/Conv_{number}/bias"].copy())))
    return pairs


def _heads(arrays: Arrays) -> list[Tensor]:
    return [torch.from_numpy(arrays[f"NetLinLayer_{depth}/Conv_0/kernel"].reshape(-1).copy()) for depth in range(5)]
