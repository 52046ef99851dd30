"""LPIPS by its definition: networks put together from torch.nn modules layer by layer, in float64."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

# The published VGG16 ("D" of Simonyan and Zisserman) and torchvision's AlexNet; "tap" is where LPIPS looks.
VGG_PLAN = [64, 64, "tap", "pool", 128, 128, "tap", "pool", 256, 256, 256, "tap", "pool"]
VGG_PLAN += [512, 512, 512, "tap", "pool", 512, 512, 512, "tap"]
NET_NAMES = {"vgg": "VGG16_0", "alex": "AlexNet_0"}


def reference_stages(net: str) -> list[nn.Sequential]:
    if net == "alex":
        return [
            nn.Sequential(nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU()),
            nn.Sequential(nn.MaxPool2d(3, 2), nn.Conv2d(64, 192, 5, 1, 2), nn.ReLU()),
            nn.Sequential(nn.MaxPool2d(3, 2), nn.Conv2d(192, 384, 3, 1, 1), nn.ReLU()),
            nn.Sequential(nn.Conv2d(384, 256, 3, 1, 1), nn.ReLU()),
            nn.Sequential(nn.Conv2d(256, 256, 3, 1, 1), nn.ReLU()),
        ]
    stages, layers, channels = [], [], 3
    for item in VGG_PLAN:
        if item == "tap":
            stages.append(nn.Sequential(*layers))
            layers = []
        elif item == "pool":
            layers.append(nn.MaxPool2d(2, 2))
        else:
            layers += [nn.Conv2d(channels, item, 3, 1, 1), nn.ReLU()]
            channels = item
    return stages


def reference_lpips(net: str, arrays: dict, image: torch.Tensor, photo: torch.Tensor, *, doubled: bool) -> float:
    """The definition in float64: scale, extract, normalise, square, weigh, average, add."""
    stages = reference_stages(net)
    convolutions = [layer for stage in stages for layer in stage if isinstance(layer, nn.Conv2d)]
    for number, layer in enumerate(convolutions):
        kernel = arrays[f"{NET_NAMES[net]}/Conv_{number}/kernel"]
        layer.weight.data = torch.tensor(np.moveaxis(kernel, (0, 1, 2, 3), (2, 3, 1, 0)).copy())
        layer.bias.data = torch.tensor(arrays[f"{NET_NAMES[net]}/Conv_{number}/bias"])
    shift = torch.tensor([-0.030, -0.088, -0.188], dtype=torch.float64).view(1, 3, 1, 1)
    scale = torch.tensor([0.458, 0.448, 0.450], dtype=torch.float64).view(1, 3, 1, 1)
    pair = torch.stack([image, photo]).double().permute(0, 3, 1, 2)
    feature = ((2 * pair - 1 if doubled else pair) - shift) / scale
    total = 0.0
    with torch.no_grad():
        for depth, stage in enumerate(stages):
            feature = stage.double()(feature)
            unit = feature / (torch.linalg.vector_norm(feature, dim=1, keepdim=True) + 1e-10)
            head = torch.tensor(arrays[f"NetLinLayer_{depth}/Conv_0/kernel"]).double().view(1, -1, 1, 1)
            total += float(nn.functional.conv2d((unit[:1] - unit[1:]) ** 2, head).mean())
    return total


def random_arrays(net: str) -> dict:
    torch.manual_seed(7)
    arrays = {}
    number = 0
    for depth, stage in enumerate(reference_stages(net)):
        for layer in stage:
            if isinstance(layer, nn.Conv2d):
                kernel = np.moveaxis(layer.weight.detach().numpy(), (2, 3, 1, 0), (0, 1, 2, 3))
                arrays[f"{NET_NAMES[net]}/Conv_{number}/kernel"] = np.ascontiguousarray(kernel)
                arrays[f"{NET_NAMES[net]}/Conv_{number}/bias"] = layer.bias.detach().numpy()
                number += 1
                channels = layer.out_channels
        arrays[f"NetLinLayer_{depth}/Conv_0/kernel"] = torch.rand(1, 1, channels, 1).numpy()
    return arrays


def image_pair(height: int, width: int, noise: float = 0.2) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(11)
    across, down = torch.linspace(0, 9, width), torch.linspace(0, 6, height)
    photo = 0.5 + 0.3 * torch.sin(across[None, :, None] + down[:, None, None] * torch.tensor([1.0, 2.0, 3.0]))
    image = (photo + noise * torch.randn(height, width, 3, generator=generator)).clamp(0, 1)
    return image, photo
