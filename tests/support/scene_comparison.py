"""Scenes to send through lossy formats, files made of given bytes, and how near two scenes are."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from leansplat import formats
from leansplat.errors import SceneFileError
from leansplat.gaussians import TENSOR_NAMES, Gaussians

SHARED = Path(__file__).parents[2] / "../shared/data/scenes"


def random_scene(count: int = 700, degree: int = 3, seed: int = 0, **settings) -> Gaussians:
    """Numbers like a trained scene's: most SH small, some opacities near 0 and 1, quaternions of any length."""
    random = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, generator=random)  # noqa: E731
    return Gaussians(
        means=3 * draw(count, 3),
        quats=draw(count, 4) * (0.1 + torch.rand(count, 1, generator=random)),
        scales=draw(count, 3) - 4,
        opacities=4 * draw(count),
        sh0=draw(count, 1, 3),
        shN=0.3 * draw(count, (degree + 1) ** 2 - 1, 3),
        **settings,
    )


def shared_scene(name: str) -> Path:
    """A real scene; skips the test where it is not beside the repository."""
    if not (SHARED / name).exists():
        pytest.skip(f"the shared scene {name} is not beside the repository")
    return SHARED / name


def angles(first: Tensor, second: Tensor) -> Tensor:
    """(N,) between rotations, in degrees."""
    first, second = (torch.nn.functional.normalize(quats.double(), dim=1) for quats in (first, second))
    distance = torch.minimum((first - second).norm(dim=1), (first + second).norm(dim=1))
    return torch.rad2deg(4 * torch.asin((distance / 2).clamp(max=1)))


def assert_same_bits(found: Gaussians, expected: Gaussians) -> None:
    for name in TENSOR_NAMES:
        first, second = getattr(found, name), getattr(expected, name)
        assert first.shape == second.shape
        assert first.dtype == second.dtype == torch.float32
        assert torch.equal(first.contiguous().view(torch.int32), second.contiguous().view(torch.int32)), name
    assert found.antialiased == expected.antialiased
    assert found.comments == expected.comments


def read_bytes(folder: Path, name: str, content: bytes) -> Gaussians:
    """The scene in a file that is called `name` and has this content."""
    (folder / name).write_bytes(content)
    return formats.read(folder / name)


def refusal(folder: Path, name: str, content: bytes) -> str:
    """The sentence with which reading a file is refused: about the file, one line, with an end."""
    path = folder / name
    path.write_bytes(content)
    with pytest.raises(SceneFileError) as caught:
        formats.read(path)
    sentence = str(caught.value)
    assert sentence.startswith(str(path))
    assert sentence.endswith(".")
    assert "\n" not in sentence
    return sentence


def read_or_refuse(path: Path) -> None:
    """Fails on anything but a scene or one sentence."""
    try:
        gaussians = formats.read(path)
    except SceneFileError as error:
        if "\n" in str(error):
            pytest.fail("the message is more than one line")
    else:
        assert isinstance(gaussians, Gaussians)
