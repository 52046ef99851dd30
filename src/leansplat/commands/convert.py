"""`leansplat convert`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from leansplat.commands.answer import Answer, megabytes
from leansplat.commands.options import Flag, Json, Overwrite, Scene


@dataclass(frozen=True, kw_only=True)
class Convert:
    """Write a scene to another file; the suffix says in which format.

    Reads every kind of Gaussian Splatting PLY (text, either byte order, any property order) and writes the plain binary
    one that viewers expect. The input is never touched.

    Example: leansplat convert scene_ascii.ply scene.ply --drop-nonfinite
    """

    scene: Scene
    output: Annotated[Positional[Path], arg(metavar="OUT")]
    """File to write, such as scene.ply."""
    drop_nonfinite: Flag = False
    """Leave out Gaussians with a value that is NaN or infinite."""
    overwrite: Overwrite = False
    json: Json = False

    def run(self) -> Answer:
        from leansplat.formats import read, write

        scene = read(self.scene, drop_nonfinite=self.drop_nonfinite)
        write(scene, self.output, overwrite=self.overwrite)
        size = self.output.stat().st_size
        values = {"file": str(self.output), "gaussians": len(scene), "bytes": size}
        return Answer(f"{self.output}: {len(scene):,} Gaussians, {megabytes(size)}", values)
