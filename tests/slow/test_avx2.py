"""The kernels where there is no AVX-512: another process compiles them for Haswell (AVX2) and renders the same."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import numba
import pytest
import torch
from support.rendered_scenes import camera, surfaces
from support.rendering_comparison import relative_error
from torch import Tensor

from leansplat.engines.cpu import ViewStatistics, pack, render

TESTS = Path(__file__).parents[1]

IN_THE_OTHER_PROCESS = """
import sys
from pathlib import Path
sys.path[:0] = [{tests!r}, {tests!r} + "/slow"]
import torch
from test_avx2 import instructions, step
torch.save(step(), {out!r})
Path({assembly!r}).write_text("\\n".join(sorted(instructions())))
"""


def step() -> dict[str, Tensor]:
    """Image, alpha, gradient and statistics of a render both ways."""
    packed = pack(surfaces(2000, seed=80))
    packed.data.requires_grad_()
    statistics = ViewStatistics.zeros(len(packed), weights=True)
    rendering = render(packed, camera(100, 70), background=(0.1, 0.2, 0.3), statistics=statistics)
    (rendering.image.square().mean() + rendering.alpha.mean()).backward()
    assert packed.data.grad is not None
    assert statistics.weight_sum is not None
    return {
        "image": rendering.image.detach().clone(),
        "alpha": rendering.alpha.detach().clone(),
        "gradient": packed.data.grad,
        "gradient_sum": statistics.gradient_sum,
        "weight_sum": statistics.weight_sum,
    }


def instructions() -> set[str]:
    """Names of the vector registers in the machine code of the blending kernel: xmm, ymm, zmm."""
    from leansplat.engines.cpu.blending import blend

    code = " ".join(blend.inspect_asm().values())
    return {register for register in ("xmm", "ymm", "zmm") if "%" + register in code}


@pytest.mark.long
@pytest.mark.skipif(platform.machine() not in {"x86_64", "AMD64"}, reason="AVX2 is a feature of x86-64 processors")
def test_kernels_compiled_for_avx2_render_the_same(tmp_path: Path) -> None:
    out, assembly = tmp_path / "step.pt", tmp_path / "assembly.txt"
    script = IN_THE_OTHER_PROCESS.format(tests=str(TESTS), out=str(out), assembly=str(assembly))
    environment = {
        **os.environ,
        "NUMBA_CPU_NAME": "haswell",
        "NUMBA_CPU_FEATURES": "+sse4.2,+avx,+avx2,+fma,+f16c,+bmi,+bmi2,+lzcnt,+popcnt,+movbe",
        "NUMBA_CACHE_DIR": str(tmp_path / "cache"),
        "NUMBA_NUM_THREADS": str(numba.config.NUMBA_NUM_THREADS),
    }
    finished = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    assert "zmm" not in assembly.read_text()
    assert "ymm" in assembly.read_text()
    ours, theirs = step(), torch.load(out, weights_only=True)
    # The same operations in the same order; only where the compiler fuses a multiply and an add may differ.
    assert float((theirs["image"] - ours["image"]).abs().quantile(0.99)) < 1e-5
    for name in ("image", "alpha"):
        assert relative_error(theirs[name], ours[name].double()) < 1e-4, name
    for name in ("gradient", "gradient_sum", "weight_sum"):
        assert relative_error(theirs[name], ours[name].double()) < 1e-3, name
