"""Image quality as 3DGS papers measure it: PSNR, SSIM and LPIPS."""

from leansplat.metrics.lpips import Lpips
from leansplat.metrics.psnr import psnr
from leansplat.metrics.ssim import ssim

__all__ = ["Lpips", "psnr", "ssim"]
