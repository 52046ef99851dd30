"""A quantiser as simple as can be, which shows what `fine_tune` asks of one: every number is rounded to a grid."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from leansplat.compression.fake_quantisation import straight_through
from leansplat.engines.shared import SharedGaussians
from leansplat.gaussians import TENSOR_NAMES, Gaussians
from leansplat.training import TrainingConfig

RATES = {
    "quats": "quat_rate",
    "scales": "scale_rate",
    "opacities": "opacity_rate",
    "sh0": "sh0_rate",
    "shN": "shN_rate",
}


class ToyQuantiser:
    """Codes the six tensors of a scene on a grid, which a codebook of its own (the grid's offset) shifts every step."""

    def __init__(self, grid: float = 0.25) -> None:
        self.grid, self.offset = grid, torch.zeros(1)

    def begin(self, gaussians: Gaussians) -> dict[str, Tensor]:
        return {name: getattr(gaussians, name).clone() for name in TENSOR_NAMES}

    def render_parameters(self, latents: Mapping[str, Tensor]) -> SharedGaussians:
        rounded = {name: straight_through(latent, self.decoded(name, latent)) for name, latent in latents.items()}
        return SharedGaussians(Gaussians(**rounded))

    def decoded(self, name: str, latent: Tensor) -> Tensor:
        """What a file holds: centres exactly, all else on the grid."""
        latent = latent.detach()
        return latent if name == "means" else ((latent - self.offset) / self.grid).round() * self.grid + self.offset

    def rates(self, recipe: TrainingConfig) -> Mapping[str, float]:
        return {name: getattr(recipe, rate) for name, rate in RATES.items()}

    def step(self, latents: Mapping[str, Tensor], step: int) -> None:
        assert not latents["means"].requires_grad or not torch.is_grad_enabled()
        self.offset = 0.9 * self.offset + 0.1 * latents["sh0"].mean().reshape(1)

    def tensors(self) -> dict[str, Tensor]:
        return {"offset": self.offset}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        self.offset = tensors["offset"]
