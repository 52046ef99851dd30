"""The lottery ticket: what it keeps, what it forgets, and that it trains."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from support.tiny import tiny_capture

from leansplat.evaluation import evaluate
from leansplat.gaussians import TENSOR_NAMES
from leansplat.paper.lottery import Ticket, lottery_config, lottery_ticket
from leansplat.training import TrainingConfig, train
from leansplat.training.initialisation import neighbour_distances
from leansplat.training.schedule import position_rate
from leansplat.training.strategies import Densification
from leansplat.training.trainer import TrainingResult

CAPTURE = tiny_capture()
CONFIG = replace(TrainingConfig().scaled(150), sh_degree=1).adjusted(Densification, every=5)


@pytest.fixture(scope="module")
def trimmed() -> TrainingResult:
    return train(CAPTURE, CONFIG)


@pytest.mark.parametrize("ticket", ["authors", "fair"])
def test_a_ticket_keeps_the_means_and_nothing_else(trimmed: TrainingResult, ticket: Ticket) -> None:
    before = trimmed.gaussians
    state = lottery_ticket(trimmed.state, lottery_config(CONFIG, ticket), ticket)
    after = state.gaussians()
    assert sorted(after.means.tolist()) == sorted(before.means.tolist())
    assert after.sh_degree == before.sh_degree
    for name in ("quats", "scales", "opacities", "sh0"):
        assert not torch.equal(getattr(after, name), getattr(before, name)), name
    assert state.step == 0


def test_the_authors_ticket_keeps_moments_and_the_last_position_rate(trimmed: TrainingResult) -> None:
    config = lottery_config(CONFIG, "authors")
    state = lottery_ticket(trimmed.state, config, "authors")
    kept, before = state.model.moments().second, trimmed.state.model.moments().second
    assert all(torch.equal(getattr(kept, name), getattr(before, name)) for name in TENSOR_NAMES)
    assert state.model.facts.steps == CONFIG.iterations
    for step in (1, 75, 150):
        assert position_rate(config, step, 2.0) == pytest.approx(2 * CONFIG.position_rate_final)


def test_the_fair_ticket_begins_like_a_training(trimmed: TrainingResult) -> None:
    config = lottery_config(CONFIG, "fair")
    state = lottery_ticket(trimmed.state, config, "fair")
    scene = state.gaussians()
    moments = state.model.moments()
    assert moments.steps == 0
    assert not any(bool(getattr(moments.first, name).any()) for name in TENSOR_NAMES)
    torch.testing.assert_close(scene.opacities.sigmoid(), torch.full((len(scene),), 0.1))
    expected = neighbour_distances(scene.means, CAPTURE.extent).sqrt()
    torch.testing.assert_close(scene.scales.exp(), expected[:, None].expand(-1, 3))
    assert position_rate(config, 1, 1.0) == position_rate(CONFIG, 1, 1.0)


def test_a_ticket_trains_without_growing_and_the_fair_one_wins(trimmed: TrainingResult) -> None:
    quality = {}
    tickets: tuple[Ticket, ...] = ("authors", "fair")
    for ticket in tickets:
        config = lottery_config(CONFIG, ticket)
        result = train(CAPTURE, config, start=lottery_ticket(trimmed.state, config, ticket))
        assert len(result.gaussians) == len(trimmed.gaussians)
        quality[ticket] = evaluate(result.gaussians, CAPTURE, lpips=None, fps=False).psnr
    assert quality["fair"] > quality["authors"] + 1


def test_the_same_seed_draws_the_same_ticket(trimmed: TrainingResult) -> None:
    for ticket in ("authors", "fair"):
        config = lottery_config(CONFIG, ticket)  # type: ignore[arg-type]
        first, again = (lottery_ticket(trimmed.state, config, ticket).gaussians() for _ in range(2))  # type: ignore[arg-type]
        assert torch.equal(first.sh0, again.sh0)
