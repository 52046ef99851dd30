"""docs/python.md: every example runs, in order, and what it hands to gsplat is what gsplat's documentation asks for."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from support.capture_folder import write_nerfstudio
from support.tiny import tiny_capture
from torch import Tensor

import leansplat
from leansplat.cameras import Camera

PAGE = Path(__file__).parents[1] / "docs" / "python.md"

FEW = "fine_tuning=leansplat.compression.FineTuningConfig(steps=2)"
SHORTER = {
    "TrainingConfig().scaled(7_000)": "TrainingConfig(random_points=100, sh_degree=1).scaled(20)",
    "TrimmingConfig(keep=0.25)": "TrimmingConfig(keep=0.25, rounds=1, every=2, finetune=2)",
    '"fox.sog")': f'"fox.sog", leansplat.CompressionConfig({FEW}))',
}
"""What the test does fewer steps of."""


def rasterization(
    means: Tensor,
    quats: Tensor,
    scales: Tensor,
    opacities: Tensor,
    colors: Tensor,
    viewmats: Tensor,
    Ks: Tensor,
    width: int,
    height: int,
    near_plane: float = 0.01,
    far_plane: float = 1e10,
    radius_clip: float = 0.0,
    eps2d: float = 0.3,
    sh_degree: int | None = None,
    packed: bool = True,
    tile_size: int = 16,
    backgrounds: Tensor | None = None,
    render_mode: str = "RGB",
    sparse_grad: bool = False,
    absgrad: bool = False,
    rasterize_mode: str = "classic",
) -> tuple[Tensor, Tensor, dict[str, Any]]:
    """gsplat 1.5.3's function, with the checks that its documentation implies, drawn by our renderer."""
    count, views = len(means), len(viewmats)
    assert sh_degree is not None
    shapes = {"means": (count, 3), "quats": (count, 4), "scales": (count, 3), "opacities": (count,)}
    given = {"means": means, "quats": quats, "scales": scales, "opacities": opacities}
    assert {name: tuple(values.shape) for name, values in given.items()} == shapes
    assert colors.dim() == 3
    assert colors.shape[1] >= (sh_degree + 1) ** 2
    assert tuple(viewmats.shape) == (views, 4, 4)
    assert tuple(Ks.shape) == (views, 3, 3)
    assert {values.dtype for values in (*given.values(), colors, viewmats, Ks)} == {torch.float32}
    assert near_plane == 0.2
    assert eps2d == 0.3
    assert rasterize_mode in ("classic", "antialiased")
    assert bool(((opacities >= 0) & (opacities <= 1)).all())
    assert bool((scales > 0).all())
    assert torch.allclose(quats.norm(dim=1), torch.ones(count))
    camera = Camera(viewmats[0].double(), Ks[0].double(), width, height)
    scene = leansplat.Gaussians.from_activated(
        means, quats, scales, opacities, colors, antialiased=rasterize_mode == "antialiased"
    )
    drawn = leansplat.render(scene, camera, sh_degree=sh_degree)
    return drawn.image[None], drawn.alpha[None, ..., None], {"width": width, "height": height}


def test_every_example_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    gsplat = ModuleType("gsplat")
    gsplat.__dict__["rasterization"] = rasterization
    monkeypatch.setitem(sys.modules, "gsplat", gsplat)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.chdir(tmp_path)
    write_nerfstudio(tiny_capture(), tmp_path / "photos" / "fox")
    examples = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(examples) > 9
    for long in SHORTER:
        assert any(long in example for example in examples), f"the page has no {long} any more"
    names: dict[str, Any] = {}
    for example in examples:
        for long, short in SHORTER.items():
            example = example.replace(long, short)
        exec(compile(example, str(PAGE), "exec"), names)
    shown = capsys.readouterr().out
    assert "nothing.ply does not exist; check the name." in shown
    assert "setting rounds is 'ten'; give a whole number" in shown
    ours = leansplat.render(names["scene"], names["camera"]).image
    assert torch.allclose(names["image"][0], ours, atol=2e-3)
    assert float((names["image"][0] - ours).abs().mean()) < 1e-5
    assert ours.std() > 0.01
