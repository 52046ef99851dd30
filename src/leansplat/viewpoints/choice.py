"""Which of many candidate views to keep: a few that together show all that sure views show.

What a neighbourhood is worth seeing is decided by the sure views, so that rooms behind walls and the back of the sky,
which only doubtful views see, attract none. Views are taken one by one, each the one that adds most, where to see again
what was seen adds ever less.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from leansplat.viewpoints.candidates import Candidate

_SURE = 0.98
"""Quantile of the scores from which on a view is as sure as can be."""
_SEEN_OFTEN = 0.3
"""A neighbourhood adds half as much when it was seen this share of the mean."""


def sureness(candidates: Sequence[Candidate]) -> np.ndarray:
    """(C,) in (0, 1]: what each view is worth, next to the best ones."""
    scores = np.array([candidate.score for candidate in candidates])
    return np.exp(np.minimum(scores - np.quantile(scores, _SURE), 0))


def choose(candidates: Sequence[Candidate], sure: np.ndarray, neighbourhoods: int, count: int) -> np.ndarray:
    """Indices of at most `count` of C candidates, the most useful first.

    Args:
        sure: (C,) sureness of each.
        neighbourhoods: how many there are.
    """
    shown = np.zeros((len(candidates), neighbourhoods), np.float32)
    for row, candidate in zip(shown, candidates, strict=True):
        row[candidate.neighbourhoods] = candidate.shares * candidate.trust
    shown *= sure[:, None].astype(np.float32)
    total = shown.sum(axis=0)
    if not (total > 0).any():
        return np.argsort(-sure, kind="stable")[:count]
    worth = total / (total + np.median(total[total > 0]))
    often = _SEEN_OFTEN * count * total.sum() / sure.sum() / max(1, int((worth > _SEEN_OFTEN).sum()))
    seen = np.zeros(neighbourhoods, np.float32)
    chosen: list[int] = []
    for _ in range(min(count, len(candidates))):
        gains = np.log1p(shown / (seen + often)) @ worth
        gains[chosen] = -np.inf
        chosen.append(int(gains.argmax()))
        seen += shown[chosen[-1]]
    return np.array(chosen)
