"""Simplifying: exact counts, what stays as it is, and pictures that change less than if Gaussians just went."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from support.rendered_scenes import camera, scene, surfaces
from support.tiny import blobs, ring_of_cameras

from leansplat.captures.capture import Capture
from leansplat.engines.cpu import render
from leansplat.errors import InputError
from leansplat.gaussians import TENSOR_NAMES, Gaussians, concatenate
from leansplat.merging import simplify
from leansplat.scoring import mean_score, view_scores
from leansplat.shrinking.teacher import teacher_capture
from leansplat.simd.threads import set_thread_count, thread_count


def crowd(count: int = 400, seed: int = 3) -> Gaussians:
    return replace(blobs(count, seed), scales=torch.full((count, 3), -3.0))


def own_renders(gaussians: Gaussians, size: int = 48) -> Capture:
    cameras = {f"{index:02d}": view for index, view in enumerate(ring_of_cameras(12, size))}
    return teacher_capture(gaussians, cameras)


def quality(gaussians: Gaussians, capture: Capture) -> float:
    from leansplat import engines

    found = mean_score(view_scores(engines.named("cpu").renderer(gaussians), capture.test, capture.background)).psnr
    assert found is not None
    return found


def same_bits(one: Gaussians, other: Gaussians) -> bool:
    return all(torch.equal(getattr(one, name), getattr(other, name)) for name in TENSOR_NAMES)


@pytest.mark.parametrize("count", [1, 2, 37, 150, 299, 300])
def test_there_are_exactly_as_many_as_were_asked_for(count: int) -> None:
    assert len(simplify(surfaces(300), count).gaussians) == count


@pytest.mark.parametrize("count", [1, 60, 399])
def test_with_views_too(count: int) -> None:
    gaussians = crowd()
    assert len(simplify(gaussians, count, own_renders(gaussians)).gaussians) == count


def test_a_scene_of_no_more_than_that_is_handed_back() -> None:
    gaussians = surfaces(5)
    for count in (5, 9):
        result = simplify(gaussians, count)
        assert result.gaussians is gaussians
        assert result.became.tolist() == result.sources.tolist() == list(range(5))
    alone = scene(torch.zeros(1, 3))
    assert simplify(alone, 1).gaussians is alone


def test_counts_that_make_no_sense_are_refused() -> None:
    gaussians = surfaces(10)
    with pytest.raises(InputError, match="at least 1"):
        simplify(gaussians, 0)
    with pytest.raises(InputError, match="10 Gaussians are protected, which is more than 4"):
        simplify(gaussians, 4, protected=torch.ones(10, dtype=torch.bool))


@pytest.mark.parametrize("views", [False, True])
def test_protected_gaussians_stay_bit_for_bit(views: bool) -> None:
    gaussians = crowd()
    protected = torch.zeros(400, dtype=torch.bool)
    protected[::13] = True
    result = simplify(gaussians, 80, own_renders(gaussians) if views else None, protected=protected)
    assert len(result.gaussians) == 80
    assert bool(torch.isin(protected.nonzero()[:, 0], result.sources).all())
    places = protected[result.sources]
    assert same_bits(result.gaussians[places], gaussians[protected])
    assert (result.became[protected] == places.nonzero()[:, 0]).all()


def test_no_other_gaussian_is_merged_into_a_protected_one() -> None:
    gaussians = crowd()
    protected = torch.arange(400) < 50
    became = simplify(gaussians, 70, protected=protected).became
    assert not torch.isin(became[~protected], became[protected]).any()


def test_each_gaussian_became_one_that_is_left_and_sources_are_among_those_it_stands_for() -> None:
    gaussians = surfaces(300)
    result = simplify(gaussians, 60)
    drawn = gaussians.opacities.sigmoid() >= 1 / 255
    assert (result.became[drawn] >= 0).all()
    assert (result.became[result.sources] == torch.arange(60)).all()
    assert (result.sources.diff() > 0).all()


def test_gaussians_that_nothing_touched_keep_their_bits() -> None:
    gaussians = surfaces(300)
    result = simplify(gaussians, 280)
    members = result.became.clamp(min=0).bincount(weights=(result.became >= 0).double())
    alone = (members[result.became.clamp(min=0)] == 1) & (result.became >= 0)
    assert alone.sum() > 200
    assert same_bits(result.gaussians[result.became[alone]], gaussians[alone])


def test_what_is_never_drawn_goes_first() -> None:
    gaussians = surfaces(300)
    gaussians.opacities[::3] = -9.0
    gaussians.means[1] = torch.nan
    result = simplify(gaussians, 199)
    assert (result.became[::3] == -1).all()
    assert result.became[1] == -1
    left = torch.ones(300, dtype=torch.bool)
    left[::3] = left[1] = False
    assert same_bits(result.gaussians, gaussians[left])


def test_two_faint_gaussians_in_one_place_merge_to_one_of_the_same_picture() -> None:
    faint = scene(torch.tensor([[0.1, -0.1, 2.0]]).repeat(2, 1), opacities=torch.full((2,), -4.0))
    faint.sh0[1], faint.shN[1] = faint.sh0[0], faint.shN[0]
    merged = simplify(faint, 1).gaussians
    before, after = render(faint, camera()).alpha, render(merged, camera()).alpha
    drawn = before > 2.2 / 255  # where there is less, each of the two is too faint to be drawn, but the one is not
    assert drawn.sum() > 15
    assert (before - after)[drawn].abs().max() < float(faint.opacities[0].sigmoid()) ** 2


def test_merging_keeps_more_of_the_picture_than_dropping_the_least() -> None:
    gaussians = crowd()
    capture = own_renders(gaussians)
    mass = gaussians.opacities.sigmoid() * gaussians.scales.exp()[:, :2].prod(dim=1)
    dropped = gaussians[mass.topk(100).indices]
    assert quality(simplify(gaussians, 100).gaussians, capture) > quality(dropped, capture) + 2


def test_views_make_it_better_where_neither_looked() -> None:
    gaussians = crowd()
    capture = own_renders(gaussians)
    blind, sighted = simplify(gaussians, 100).gaussians, simplify(gaussians, 100, capture).gaussians
    assert quality(sighted, capture) > quality(blind, capture) + 1


def test_gaussians_outside_every_view_are_merged_in_proportion_and_not_dropped() -> None:
    inside = crowd(300)
    outside = crowd(100, seed=4)
    outside.means[:, 2] += 40
    gaussians = concatenate([inside, outside])
    result = simplify(gaussians, 100, own_renders(gaussians))
    far = result.gaussians.means[:, 2] > 20
    assert result.unseen >= 100
    assert far.sum() == pytest.approx(25, abs=2)
    assert result.unseen_kept >= int(far.sum())
    assert (result.became[300:] >= 0).all()


@pytest.mark.parametrize("views", [False, True])
def test_the_same_seed_gives_the_same_bits(views: bool) -> None:
    gaussians = crowd()
    capture = own_renders(gaussians) if views else None
    assert same_bits(*(simplify(gaussians, 90, capture).gaussians for _ in range(2)))


def test_without_views_the_number_of_threads_changes_no_bit() -> None:
    gaussians = surfaces(500)
    before = thread_count()
    results = []
    try:
        for threads in (1, min(2, before)):
            set_thread_count(threads)
            results.append(simplify(gaussians, 90).gaussians)
    finally:
        set_thread_count(before)
    assert same_bits(*results)


@pytest.mark.parametrize("sh_degree", range(4))
def test_degree_flag_origin_extras_and_comments_survive(sh_degree: int) -> None:
    gaussians = replace(
        surfaces(200, sh_degree=sh_degree, antialiased=True),
        origin=(4e6, 5e6, -1e6),
        extras={"confidence": torch.arange(200.0)},
        comments=("by someone",),
    )
    result = simplify(gaussians, 50)
    small = result.gaussians
    assert small.sh_degree == sh_degree
    assert small.antialiased
    assert small.origin == gaussians.origin
    assert small.comments == ("by someone",)
    assert torch.equal(small.extras["confidence"], gaussians.extras["confidence"][result.sources])


def test_far_from_zero_the_views_and_the_scene_are_put_together_by_the_origin() -> None:
    near = crowd()
    far = replace(near, origin=(4e6, 5e6, -1e6))
    capture = own_renders(near)
    moved = capture.relative_to((-4e6, -5e6, 1e6))
    here, there = simplify(near, 100, capture).gaussians, simplify(far, 100, moved).gaussians
    assert quality(there, moved) == pytest.approx(quality(here, capture), abs=0.5)


def test_progress_is_told_what_has_gone_until_all_has() -> None:
    told: list[tuple[int, int]] = []
    simplify(surfaces(300), 60, progress=lambda done, total, values: told.append((done, total)))
    assert [total for _, total in told] == [240] * len(told)
    assert [done for done, _ in told] == sorted({done for done, _ in told})
    assert told[-1] == (240, 240)


def test_coincident_flat_and_opaque_gaussians_make_finite_ones() -> None:
    gaussians = scene(torch.zeros(40, 3), opacities=torch.full((40,), torch.inf))
    gaussians.scales[:20, 0] = -torch.inf
    gaussians.scales[20:] = -60.0
    small = simplify(gaussians, 3).gaussians
    assert small.finite_equivalent().finite().all()
    assert np.isfinite(small.means.numpy()).all()
