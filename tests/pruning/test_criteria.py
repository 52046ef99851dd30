"""What each criterion says of a scene, against its formula worked out by removing Gaussians or by hand."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support.tiny import blobs, tiny_capture
from torch import Tensor

from leansplat import engines
from leansplat.engines.cpu import render
from leansplat.gaussians import Gaussians, concatenate
from leansplat.pruning import TrimmingConfig, trim
from leansplat.pruning.criteria import CRITERIA, Criterion, criterion
from leansplat.pruning.evidence import Evidence

CAPTURE = tiny_capture(views=5)


def scene() -> Gaussians:
    """Translucent blobs of several sizes, the last of them behind every camera's back."""
    gaussians = blobs(40)
    generator = torch.Generator().manual_seed(8)
    means = gaussians.means.clone()
    means[-1] = torch.tensor([0.0, 0.0, 500.0])
    return replace(
        gaussians,
        means=means,
        scales=gaussians.scales + 0.4 * torch.randn(40, 3, generator=generator),
        opacities=2 * torch.rand(40, generator=generator) - 1.5,
    )


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    return evidence_of(scene())


def evidence_of(gaussians: Gaussians) -> Evidence:
    model = engines.named("cpu").begin(gaussians, {})
    statistics = model.gather_statistics(CAPTURE.train, CAPTURE.background, 0.2)
    return Evidence(model, CAPTURE.train, CAPTURE.background, statistics)


def images(gaussians: Gaussians) -> Tensor:
    return torch.stack(
        [render(gaussians, v.camera, background=CAPTURE.background).image.double() for v in CAPTURE.train]
    )


def weights(index: int) -> Tensor:
    """(V, H, W) blending weight of a Gaussian: what shows when it alone is white and all others black."""
    gaussians = scene()
    sh0 = torch.full_like(gaussians.sh0, -2.0)
    sh0[index] = 0.5 / 0.28209479177387814
    lit = replace(gaussians, sh0=sh0)
    return torch.stack([render(lit, view.camera).image[..., 0].double() for view in CAPTURE.train])


def without(index: int) -> Gaussians:
    return scene()[torch.arange(40) != index]


PHOTOS = torch.stack([view.photo.double() / 255 for view in CAPTURE.train])


def brute_force(name: str, index: int) -> float:
    """What a criterion of one number says of a Gaussian."""
    gaussians = scene()
    opacity = float(gaussians.opacities[index].double().sigmoid())
    if name == "opacity":
        return opacity
    if name == "weight-sum":
        return float(weights(index).sum())
    if name == "weight-max":
        return float(weights(index).max())
    if name in ("gaussianpop", "removal-error"):
        with_it, left = images(gaussians), images(without(index))
        if name == "gaussianpop":
            return float((left - with_it).square().sum())
        return float((left - PHOTOS).square().sum() - (with_it - PHOTOS).square().sum())
    alone = gaussians[index : index + 1]
    alpha = torch.stack([render(alone, view.camera).alpha.double() for view in CAPTURE.train])
    hit = alpha > 1 / 512
    if name == "lightgaussian":
        volumes = gaussians.scales.double().sum(dim=1).exp()
        large = volumes.sort().values[int(0.9 * 39)]
        seen = (weights(index)[hit] / alpha[hit]).sum() * opacity
        return float(seen * min(volumes[index] / large, 1) ** 0.1)
    assert name == "speedy-splat"
    change = images(without(index)) - images(gaussians)
    return float((change[hit] / (alpha[hit] / opacity)[:, None]).square().sum())


Twin = Callable[[int], tuple[float, ...]]
"""All that a criterion says of the Gaussian of an index."""

TWINS: dict[str, Twin] = {
    name: lambda index, name=name: (brute_force(name, index),)  # type: ignore[misc]
    for name in ("opacity", "weight-sum", "weight-max", "gaussianpop", "removal-error", "lightgaussian", "speedy-splat")
}


def check(criterion: Criterion, twin: Twin, evidence: Evidence) -> None:
    """Every number that a criterion gives each Gaussian is the one its twin works out by removing that Gaussian."""
    scores = criterion(evidence)
    expected = torch.tensor([twin(index) for index in range(40)], dtype=torch.float64).unbind(dim=1)
    assert len(scores) == len(expected)
    for score, values in zip(scores, expected, strict=True):
        assert float((score.double() - values).norm() / values.norm()) < 1e-3
        assert len(set(values.tolist())) > 1
    assert len(set(zip(*(values.tolist() for values in expected), strict=True))) > 30


def test_every_criterion_but_the_papers_has_a_twin_that_removes_gaussians() -> None:
    assert set(TWINS) == set(CRITERIA) - {"gradient"}


@pytest.mark.parametrize("name", sorted(TWINS))
def test_a_score_is_what_removing_each_gaussian_shows(name: str, evidence: Evidence) -> None:
    check(CRITERIA[name], TWINS[name], evidence)


def test_the_papers_rule_judges_by_opacity_and_by_gradient(evidence: Evidence) -> None:
    first, second = CRITERIA["gradient"](evidence)
    torch.testing.assert_close(first, scene().opacities.sigmoid())
    assert torch.equal(second, evidence.statistics.mean_gradient())
    assert float(second[-1]) == 0
    assert not bool(evidence.seen[-1])


@pytest.mark.parametrize("name", sorted(CRITERIA))
def test_a_gaussian_that_no_view_sees_has_no_effect(name: str, evidence: Evidence) -> None:
    for quantity in CRITERIA[name](evidence):
        assert quantity.shape == (40,)
        assert bool(quantity.isfinite().all())
    if name not in ("gradient", "opacity"):
        assert float(CRITERIA[name](evidence)[0][-1]) == 0


def test_the_criterion_of_contributing_passes_the_checks_and_trims(evidence: Evidence, monkeypatch) -> None:
    text = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    function, twin = (block for block in blocks if "seen-often" in block)
    monkeypatch.setitem(CRITERIA, "seen-often", CRITERIA["opacity"])  # and away with it afterwards
    monkeypatch.setitem(TWINS, "seen-often", TWINS["opacity"])
    exec(f"from __future__ import annotations\n{function}\n{twin}", {**globals(), "criterion": criterion})
    test_every_criterion_explains_itself()
    test_a_gaussian_that_no_view_sees_has_no_effect("seen-often", evidence)
    test_a_score_is_what_removing_each_gaussian_shows("seen-often", evidence)
    config = TrimmingConfig(criterion="seen-often", keep=0.5, rounds=2, every=2, finetune=2)
    assert len(trim(scene(), CAPTURE, config).gaussians) == 20


def test_removal_error_is_below_zero_for_a_gaussian_that_spoils_the_photos() -> None:
    good = blobs()
    spoiler = replace(good[:1], means=torch.zeros(1, 3), sh0=-good.sh0[:1] - 2, opacities=torch.tensor([0.0]))
    (score,) = CRITERIA["removal-error"](evidence_of(concatenate([good, spoiler])))
    assert int(score.argmin()) == len(good)
    assert float(score[-1]) < 0


def test_every_criterion_explains_itself() -> None:
    for name, function in CRITERIA.items():
        lines = (function.__doc__ or "").splitlines()
        assert lines[0].endswith("."), name
        assert len(lines) > 2, f"{name} gives no formula"
