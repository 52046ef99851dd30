"""`leansplat block`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from leansplat.commands.answer import Answer
from leansplat.commands.options import Flag, Json


@dataclass(frozen=True, kw_only=True)
class Block:
    """Work on one block of a scene that `shrink --blocks` has cut into a folder, as its plan says.

    Whoever can read and write the folder can do it, on any machine; what was done before is not done again.

    Example: leansplat block runs/town 17
    """

    folder: Annotated[Positional[Path], arg(metavar="FOLDER", help="Folder of --run of a shrinking in blocks.")]
    number: Annotated[
        Positional[int], arg(metavar="NUMBER", help="Number of the block, from 0 on.", help_behavior_hint="")
    ]
    judge: Flag = False
    """Measure what was lost of it, once all are made, rather than shrink it."""
    json: Json = False

    def run(self) -> Answer:
        from leansplat.blocks.sliced import SlicedScene
        from leansplat.blocks.work import judged_of, made_of
        from leansplat.blocks.working import JUDGE, SHRINK, work_on
        from leansplat.errors import InputError

        scene = SlicedScene(self.folder)
        if not 0 <= self.number < scene.blocks:
            raise InputError(f"there is no block {self.number} in {self.folder}; give 0 to {scene.blocks - 1}")
        work_on(self.folder, self.number, JUDGE if self.judge else SHRINK)
        made, judged = made_of(self.folder, self.number), judged_of(self.folder, self.number)
        assert made is not None
        values = {"block": self.number, "given": made.given, "made": made.made}
        if judged is None or judged.mean is None:
            return Answer(f"block {self.number}: {made.given:,} Gaussians became {made.made:,}", values)
        return Answer(f"block {self.number}: PSNR {judged.mean:.2f} dB", {**values, "psnr": judged.mean})
