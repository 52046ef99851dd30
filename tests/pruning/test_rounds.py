"""A round: exactly as many as asked for are left, the least worth go, and what is protected stays."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support.tiny import blobs, tiny_capture

from leansplat.engines.cpu.model import CpuModel
from leansplat.errors import InputError
from leansplat.pruning.rounds import check_protected, prune
from leansplat.pruning.selection import keep_by_count
from leansplat.training import TrainingConfig, TrainingState

CAPTURE = tiny_capture()


def begun() -> TrainingState:
    return TrainingState.begin(blobs(), TrainingConfig(sh_degree=0), CAPTURE.extent)


def prune_to(state: TrainingState, count: int, criterion: str = "gaussianpop", **options: Any) -> torch.Tensor:
    """Rows that a round leaves which goes down to a count."""
    return prune(state, CAPTURE, lambda levels: keep_by_count(levels, count), criterion, **options).kept


def test_exactly_the_count_is_left_and_it_is_what_changes_the_images_most() -> None:
    state = begun()
    before, change = state.gaussians(), state.model.removal_effects(CAPTURE.train, CAPTURE.background).change
    kept = prune_to(state, 25)
    assert kept.tolist() == change.argsort(descending=True)[:25].sort().values.tolist()
    assert torch.equal(state.gaussians().means, before.means[kept])
    assert torch.equal(prune_to(state, 40), torch.arange(25))


def test_what_is_protected_stays_whatever_it_is_worth() -> None:
    state = begun()
    worth = state.model.removal_effects(CAPTURE.train, CAPTURE.background).change
    protected = torch.zeros(len(worth), dtype=torch.bool)
    protected[worth.argsort()[:7]] = True
    kept = prune_to(state, 10, protected=protected)
    best = worth.argsort(descending=True)[:3]
    assert kept.tolist() == sorted([*protected.nonzero()[:, 0].tolist(), *best.tolist()])
    with pytest.raises(InputError, match="7 Gaussians are protected, more than the 6 to keep"):
        check_protected(protected[kept], 6)


def test_a_round_gathers_no_gradients_that_its_criterion_does_not_read(monkeypatch) -> None:
    def gathered(*_: Any) -> None:
        raise AssertionError("a pass over the views for nothing")

    monkeypatch.setattr(CpuModel, "gather_statistics", gathered)
    assert len(prune_to(begun(), 30)) == 30
    with pytest.raises(AssertionError):
        prune_to(begun(), 30, "gradient")


def test_a_round_by_effects_knows_what_no_view_sees() -> None:
    state = begun()
    means = state.model.attribute("means")
    hidden = torch.tensor([3, 30])
    state.model.write("means", hidden, means[hidden] + torch.tensor([0.0, 0.0, 500.0]))
    assert set(hidden.tolist()) <= set(prune_to(state, 5, unseen="keep").tolist())
    assert len(prune_to(state, 3, unseen="prune")) == 3
