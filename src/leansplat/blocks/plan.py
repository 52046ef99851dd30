"""`Plan`: all that decides what becomes of the blocks in a folder, beside the scene that was cut into it.

It lies in the folder as plan.json, with the cameras that it speaks of, so that the work on a block is a function of the
folder and the number of the block. Whoever has the folder can do it, on any machine.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from leansplat.configs import Config
from leansplat.errors import InputError, RunError
from leansplat.files import write_json
from leansplat.shrinking.config import ShrinkingConfig
from leansplat.shrinking.targets import Target

PLAN, CAMERAS = "plan.json", "cameras.json"


@dataclass(frozen=True)
class Plan(Config):
    """What is to become of the blocks of a scene.

    Args:
        counts: Gaussians that each shall have.
        target: what was asked for.
        shrinking: at what pace; its steps are those of each block.
        cameras: SHA-256 of the folder's cameras.json, None where cameras are made up.
        downscale: of these cameras; None so that they fit into the view size.
        background: (r, g, b) behind the scene.
        engine: what renders and trains.
        threads: parts that kernels split their work into, which decides the last bits.
        fineness: in [0, 1], of the grades of the kind of file, with which one of a certain size begins.
    """

    counts: tuple[int, ...]
    target: Target
    shrinking: ShrinkingConfig
    cameras: str | None = None
    downscale: int | None = None
    background: tuple[float, float, float] = (0.0, 0.0, 0.0)
    engine: str = "cpu"
    threads: int = 1
    fineness: float = 1.0

    @property
    def worth(self) -> bool:
        """Whether to find what each Gaussian counts, for a file of a certain size."""
        return self.target.size is not None

    def write(self, folder: Path) -> None:
        """Put it into a folder."""
        write_json(folder / PLAN, self.to_json(), overwrite=True)

    @classmethod
    def read(cls, folder: Path) -> Plan:
        """The plan of a folder.

        Raises:
            RunError: there is none, or it is damaged.
        """
        path = folder / PLAN
        try:
            return cls.from_json(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, InputError) as error:
            raise RunError(f"{path} cannot be read ({error}); start again with --overwrite") from error
