"""The loss of the torch engine: SSIM by its formula, fused or not, and what happens where nothing can be compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch._dynamo
from support.reference_ssim import SIZES, pair, reference_ssim_map
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from leansplat.engines.torch import loss as torch_loss
from leansplat.engines.torch.fused import Fused
from leansplat.engines.torch.ssim import structural_similarity
from leansplat.metrics.loss import photometric_loss

SOME_SIZES = [(37, 52), (5, 4)]
"""Every graph takes seconds to compile. Sides of 1, and of 3 as there are channels, would have graphs of their own."""


def said_by(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What leansplat logged, without what PyTorch did."""
    return [record.getMessage() for record in caplog.records if record.name == "leansplat"]


def on_the_cpu(backend: str | Callable[..., object]) -> Fused:
    return Fused(structural_similarity, (24, 40, 3), devices=("cpu",), backend=backend)


def both(function: Callable[[Tensor, Tensor], Tensor], height: int, width: int) -> tuple[Tensor, Tensor]:
    """Values, and the gradient of a sum in which every value has a weight of its own."""
    image, photo = pair(height, width)
    leaf = image.clone().requires_grad_()
    values = function(leaf, photo.to(torch.float32) / 255)
    weights = torch.rand(values.shape, generator=torch.Generator().manual_seed(1))
    (gradient,) = torch.autograd.grad((values * weights).sum(), leaf)
    return values.detach(), gradient


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_similarity_is_that_of_the_formula_at_every_pixel(height: int, width: int) -> None:
    image, photo = pair(height, width)
    found = structural_similarity(image, photo / 255)
    expected = reference_ssim_map(image.double(), photo.double() / 255)
    assert float((found - expected).abs().max()) < 2e-4


def test_compiled_once_for_all_sizes_its_values_and_gradients_are_those_of_the_formula(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """By PyTorch's own tracing, forward and back; `tests/slow/test_inductor.py` has kernels compiled, too."""
    compiled = torch._dynamo.lookup_backend("aot_eager")
    graphs = []

    def counted(graph: Any, inputs: Any) -> Any:
        graphs.append(graph)
        return compiled(graph, inputs)

    fused = on_the_cpu(counted)
    for height, width in SOME_SIZES:
        found, expected = both(fused, height, width), both(structural_similarity, height, width)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert len(graphs) == 1
    assert said_by(caplog) == []


@pytest.mark.parametrize("masked", [False, True])
def test_the_loss_with_it_is_the_cpus(masked: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_loss, "fused_similarity", on_the_cpu("eager"))
    image, photo = pair(37, 52)
    mask = torch.rand(37, 52, generator=torch.Generator().manual_seed(2)) < 0.6 if masked else None
    leaves = [image.clone().requires_grad_() for _ in range(2)]
    losses = [torch_loss.photometric_loss(leaves[0], photo, 0.2, mask), photometric_loss(leaves[1], photo, 0.2, mask)]
    for each in losses:
        each.backward()
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(leaves[0].grad, leaves[1].grad, rtol=1e-4, atol=1e-8)


def failing(*_: Any) -> Any:
    raise RuntimeError("Cannot find a working triton installation.\nSee the manual.")


def wrong(graph: Any, _: Any) -> Any:
    def twice(*arguments: Any) -> Any:
        return tuple(2 * each for each in graph(*arguments))

    return twice


@pytest.mark.parametrize(
    ("backend", "said"),
    [(failing, "Cannot find a working triton installation."), (wrong, "Tensor-likes are not close")],
)
def test_a_compiler_that_fails_or_is_wrong_is_said_once_and_done_without(
    backend: Callable[..., object], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    fused = on_the_cpu(backend)
    for height, width in SOME_SIZES:
        torch.testing.assert_close(both(fused, height, width), both(structural_similarity, height, width))
    (line,) = said_by(caplog)
    assert line.startswith("torch.compile does not work here (")
    assert said in line
    assert "\n" not in line


def test_where_there_is_no_room_it_is_not_the_compiler_that_is_blamed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(first: Tensor, second: Tensor) -> Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    fused = Fused(full, (2, 2, 3), devices=("cpu",))
    with pytest.raises(torch.OutOfMemoryError):
        fused(torch.ones(2, 2, 3), torch.ones(2, 2, 3))
    assert said_by(caplog) == []


def test_nothing_of_it_is_rounded_as_convolutions_on_cards_are() -> None:
    """PyTorch allows TF32 in convolutions unless it is told otherwise."""
    seen = set()

    class Watching(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            seen.add(str(func).rsplit(".", 1)[0])
            return func(*args, **(kwargs or {}))

    with Watching():
        both(structural_similarity, 12, 9)
    assert "aten.mul" in seen
    assert not [name for name in seen if "conv" in name or "mm" in name or "matmul" in name]


def test_nothing_is_compiled_where_there_is_no_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", failing)
    image, photo = pair(12, 9)
    assert torch.isfinite(torch_loss.photometric_loss(image, photo, 0.2))
