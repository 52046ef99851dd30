"""SSIM by its formula, with PyTorch's convolutions in float64, and pairs of images to measure."""

from __future__ import annotations

import torch

SIZES = [(37, 52), (5, 3), (1, 1), (16, 16), (64, 33)]


def reference_ssim_map(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Wang et al. 2004 with the window of 3DGS: 11 wide, sigma 1.5, zero padding; (H, W, 3) float64."""
    line = torch.exp(-((torch.arange(11, dtype=torch.float64) - 5) ** 2) / (2 * 1.5**2))
    line = line / line.sum()
    window = (line[:, None] * line[None, :]).expand(3, 1, 11, 11)

    def blur(image: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.conv2d(image.permute(2, 0, 1)[None], window, padding=5, groups=3)[0]

    mean_x, mean_y = blur(x), blur(y)
    variance_x, variance_y = blur(x * x) - mean_x**2, blur(y * y) - mean_y**2
    covariance = blur(x * y) - mean_x * mean_y
    c1, c2 = 0.01**2, 0.03**2
    similarity = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    similarity = similarity / ((mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2))
    return similarity.permute(1, 2, 0)


def reference_ssim(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return reference_ssim_map(x, y).mean()


def pair(height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(height * 100 + width)
    photo = (torch.rand(height, width, 3, generator=generator) * 255).to(torch.uint8)
    noise = 0.2 * torch.randn(height, width, 3, generator=generator)
    return (photo / 255 + noise).contiguous(), photo
