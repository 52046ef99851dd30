"""`Photos`: the training views as a step is to see them, reduced at first where the recipe says so.

Reduced ones are made when they are first asked for, and dropped with the last step that needs them, so that there is
never more than a fraction of the photos in memory besides the photos.
"""

from __future__ import annotations

from collections.abc import Sequence

from leansplat.captures.capture import View
from leansplat.captures.reduction import reduced
from leansplat.training.config import TrainingConfig


class Photos:
    """Training views by step.

    Args:
        views: at full size.
        config: says which steps see them reduced, and by how much.
    """

    def __init__(self, views: Sequence[View], config: TrainingConfig) -> None:
        self._views, self._config = views, config
        self._small: dict[int, View] = {}

    def view(self, index: int, step: int) -> View:
        """View `index` for `step`, counted from 1."""
        if step > self._config.reduced_steps:
            self._small.clear()
            return self._views[index]
        if index not in self._small:
            self._small[index] = reduced(self._views[index], self._config.reduction)
        return self._small[index]
