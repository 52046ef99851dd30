"""The similarity of images in kernels that PyTorch's compiler makes here, as it makes others for cards."""

from __future__ import annotations

import shutil

import pytest
import torch
from support.reference_ssim import pair

from leansplat.engines.torch.fused import Fused
from leansplat.engines.torch.ssim import structural_similarity


@pytest.mark.long
@pytest.mark.skipif(shutil.which("g++") is None, reason="PyTorch's compiler needs a C++ compiler here")
def test_compiled_kernels_have_the_values_and_gradients_of_the_formula() -> None:
    fused = Fused(structural_similarity, (24, 40, 3), devices=("cpu",))
    for height, width in ((37, 52), (64, 33)):
        image, photo = pair(height, width)
        leaves = [image.clone().requires_grad_() for _ in range(2)]
        found, expected = (
            function(leaf, photo / 255) for function, leaf in zip((fused, structural_similarity), leaves, strict=True)
        )
        for values in (found, expected):
            values.square().sum().backward()
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(leaves[0].grad, leaves[1].grad, rtol=1e-4, atol=1e-4)
    assert fused._chosen is not structural_similarity
