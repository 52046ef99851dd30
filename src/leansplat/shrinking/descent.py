"""`Descent`: down in Gaussians, each stage from where the one before stopped, and back up where one went too far.

A stage is a trimming in a run folder of its own, whose last checkpoint the next one begins with. So nothing is trained
twice, a descent that was interrupted goes on from its last checkpoint, and any stage can be returned to.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from leansplat.captures.capture import Capture
from leansplat.gaussians import Gaussians
from leansplat.progress import Progress
from leansplat.pruning import TrimmingConfig, trim
from leansplat.shrinking.config import ShrinkingConfig

_ROUNDS = 10
_SHARE_OF_ROUNDS = 1 / 3
"""Of a stage's steps, which are taken between rounds of pruning; the others come after the last round."""


@dataclass(frozen=True)
class Stage:
    """What a descent has come to.

    Args:
        gaussians: the scene.
        run: the folder of its trimming; None for the scene that the descent begins with.
        steps: training steps behind it, from the beginning.
    """

    gaussians: Gaussians
    run: Path | None
    steps: int


class Descent:
    """A descent in a folder.

    Args:
        teacher: renders of the scene as it was given.
        folder: where stages are kept, each in a run folder with the number of the stage.
        resume: take over what earlier stages in the folder have done.
    """

    def __init__(
        self,
        gaussians: Gaussians,
        teacher: Capture,
        folder: Path,
        config: ShrinkingConfig,
        *,
        engine: str = "cpu",
        resume: bool = False,
        progress: Progress | None = None,
    ) -> None:
        self.top = Stage(gaussians, None, 0)
        self._teacher, self._folder, self._config = teacher, folder, config
        self._engine, self._resume, self._progress = engine, resume, progress
        self._stages = 0

    def down(self, above: Stage, count: int, steps: int, *, rounds: int = _ROUNDS) -> Stage:
        """Trim a stage to `count` Gaussians, in `steps` training steps, at least one per round."""
        self._stages += 1
        run = self._folder / f"stage-{self._stages:02}"
        rounds = max(1, min(rounds, steps)) if count < len(above.gaussians) else 1
        every = max(1, int(steps * _SHARE_OF_ROUNDS) // rounds)
        config = TrimmingConfig(
            count=count,
            criterion=self._config.criterion,
            rounds=rounds,
            every=every,
            finetune=max(0, steps - rounds * every),
            seed=self._config.seed,
        )
        result = trim(
            above.gaussians if above.run is None else above.run,
            self._teacher,
            config,
            run,
            engine=self._engine,
            resume=self._resume,
            progress=self._progress,
        )
        return Stage(result.gaussians, run, above.steps + config.iterations)
