"""Weighted clustering: closed forms, brute force, and what must never happen."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from leansplat.clustering import kmeans
from leansplat.compression.config import TableConfig
from leansplat.compression.vector_quantisation import vector_quantise

ALL = 10**9  # a bound that no importance exceeds


def config(**settings) -> TableConfig:
    return TableConfig(**{"steps": 20, "batch": 10_000, "keep_above": ALL, "size": 16, "decay": 0.0, **settings})


def random_vectors(count: int = 2000, depth: int = 7, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, depth, generator=torch.Generator().manual_seed(seed))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_with_all_vectors_and_no_past_the_weighted_error_never_grows() -> None:
    """Then a step is one of Lloyd's algorithm."""
    importance = torch.rand(2000, generator=generator(1)) ** 4
    errors: list[float] = []
    vector_quantise(
        random_vectors(), importance, config(), generator(), lambda _, __, values: errors.append(values["loss"])
    )
    assert len(errors) == 20
    assert all(after <= before * (1 + 1e-6) for before, after in pairwise(errors))
    assert errors[-1] < 0.95 * errors[0]


@pytest.mark.parametrize("decay", [0.0, 0.8])
def test_one_centre_is_the_weighted_mean(decay: float) -> None:
    vectors, importance = random_vectors(), torch.rand(2000, generator=generator(1)) ** 4
    table = vector_quantise(vectors, importance, config(size=1, decay=decay), generator())
    expected = (vectors * importance[:, None]).sum(dim=0) / importance.sum()
    torch.testing.assert_close(table.centres[0], expected, rtol=1e-4, atol=1e-4)
    assert not table.indices.any()


def test_a_past_that_fades_smooths_what_batches_say() -> None:
    """One centre over random batches: the longer its memory, the nearer to the mean of all."""
    vectors, importance = random_vectors(20_000, 2), torch.ones(20_000)
    distances = {}
    for decay in (0.0, 0.95):
        ends = [
            vector_quantise(
                vectors, importance, config(size=1, decay=decay, batch=50, steps=100), generator(seed)
            ).centres[0]
            for seed in range(10)
        ]
        distances[decay] = torch.stack(ends).sub(vectors.mean(dim=0)).norm(dim=1).mean()
    assert distances[0.95] < 0.5 * distances[0.0]


def test_every_vector_has_the_row_of_the_nearest_centre() -> None:
    vectors = random_vectors()
    table = vector_quantise(vectors, torch.ones(2000), config(), generator())
    assert torch.equal(table.indices, torch.cdist(vectors.double(), table.centres.double()).argmin(dim=1))


def test_important_vectors_stay_as_they_are() -> None:
    vectors, importance = random_vectors(), torch.rand(2000, generator=generator(1))
    table = vector_quantise(vectors, importance, config(keep_above=0.9), generator())
    assert torch.equal(table.own, (importance > 0.9).nonzero()[:, 0])
    rows = table.rows(vectors)
    assert len(rows) == 16 + len(table.own)
    assert torch.equal(rows[table.indices[table.own]], vectors[table.own])
    assert int(table.indices[importance <= 0.9].max()) < 16


@pytest.mark.parametrize("count", [0, 1, 16])
def test_as_few_vectors_as_there_are_centres_all_stay_as_they_are(count: int) -> None:
    vectors = random_vectors(count)
    table = vector_quantise(vectors, torch.zeros(count), config(), generator())
    assert torch.equal(table.rows(vectors)[table.indices], vectors)


def test_importance_draws_centres() -> None:
    """Two groups of the same spread; the one that matters more is represented better."""
    vectors = random_vectors(4000, 3)
    vectors[2000:] += 100
    importance = torch.ones(4000)
    importance[2000:] = 1000
    table = vector_quantise(vectors, importance, config(size=64, steps=50), generator())
    errors = (vectors - table.rows(vectors)[table.indices]).square().sum(dim=1)
    assert errors[2000:].mean() < 0.5 * errors[:2000].mean()


def test_centres_of_fading_batches_are_about_as_good_as_those_of_k_means() -> None:
    vectors, importance = random_vectors(4000), torch.rand(4000, generator=generator(1)) ** 4
    settings = config(size=64, batch=1000, steps=60, decay=0.8)
    table = vector_quantise(vectors, importance, settings, generator())
    centres, _ = kmeans(vectors.numpy(), 64, weights=importance.numpy(), rounds=10)
    errors = [
        float((importance * torch.cdist(vectors, each).amin(dim=1).square()).sum())
        for each in (table.centres, torch.from_numpy(centres))
    ]
    assert errors[0] < 1.1 * errors[1]


def test_unimportant_vectors_are_clustered_too() -> None:
    vectors = random_vectors()
    table = vector_quantise(vectors, torch.zeros(2000), config(), generator())
    errors = (vectors - table.rows(vectors)[table.indices]).square().sum(dim=1)
    assert float(errors.mean()) < 0.8 * float(vectors.square().sum(dim=1).mean())


def test_the_same_seed_gives_the_same_table_and_batches_are_drawn_by_it() -> None:
    vectors, settings = random_vectors(), config(batch=300, decay=0.8)
    first, again, other = (vector_quantise(vectors, torch.ones(2000), settings, generator(s)) for s in (0, 0, 1))
    assert torch.equal(first.centres, again.centres)
    assert torch.equal(first.indices, again.indices)
    assert not torch.equal(first.centres, other.centres)


def test_progress_is_told_after_every_step() -> None:
    told: list[tuple[int, int]] = []
    vector_quantise(
        random_vectors(), torch.ones(2000), config(steps=3), generator(), lambda *done: told.append(done[:2])
    )
    assert told == [(1, 3), (2, 3), (3, 3)]
