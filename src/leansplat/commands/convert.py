"""`leansplat convert`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from leansplat.commands.answer import Answer, megabytes
from leansplat.commands.options import Bits, Flag, Json, Overwrite, Scene


@dataclass(frozen=True, kw_only=True)
class Convert:
    """Write a scene to another file; the suffix says in which format.

    Reads .ply, .compressed.ply, .spz, .sog, meta.json, lod-meta.json, .splat, .glb, .gltf, .npz and .pth, and writes
    all but lod-meta.json, .gltf and .pth. A format that cannot hold all of a scene says what is lost, and what it moves
    or changes so that it shows. The input is never touched.

    Examples: leansplat convert scene.ply scene.spz
              leansplat convert scene.ply scene.sog
              leansplat convert scan_ascii.ply scan.ply --drop-nonfinite
    """

    scene: Scene
    output: Annotated[Positional[Path], arg(metavar="OUT")]
    """File to write, such as scene.spz."""
    spz_version: Literal[3, 4] = 3
    """Version of SPZ to write: 3 opens in every viewer of SPZ, 4 is a little smaller."""
    spz_sh_bits: Annotated[Bits, arg(help_behavior_hint="(default: 5 4)")] = ()
    """Bits for spherical harmonics in an .spz, 1 to 8: of degree 1, and above. More look better and take more bytes."""
    drop_nonfinite: Flag = False
    """Leave out Gaussians with a value that is NaN, or infinite where that means nothing."""
    drop_far: Flag = False
    """Leave out strays: Gaussians more than 100 extents of the scene away that are next to nothing of what it shows."""
    drop_empty: Flag = False
    """Leave out rows that hold no Gaussian but fill up a file: all zero, or eight and more with the same numbers."""
    level: Annotated[int, arg(metavar="N")] = 0
    """Level of detail to read from a lod-meta.json; 0 is the finest."""
    overwrite: Overwrite = False
    json: Json = False

    def run(self) -> Answer:
        from leansplat.formats import format_of, read_arrays, scene_bytes, spz, write
        from leansplat.strays import describe, strays

        target = format_of(self.output)  # a wrong suffix is told before anything is read
        scene = read_arrays(
            self.scene, drop_nonfinite=self.drop_nonfinite, drop_empty=self.drop_empty, level=self.level
        )
        dropped = ""
        if self.drop_far:
            far = strays(scene)
            dropped = f"; dropped {describe(scene, far) if far.any() else 'nothing, as none is far and weighs nothing'}"
            scene = scene[~far]
        bits = self.spz_sh_bits or spz.USUAL_SH_BITS
        count = write(scene, self.output, overwrite=self.overwrite, spz_version=self.spz_version, spz_sh_bits=bits)
        size = scene_bytes(self.output)
        lost = target.loses(scene)
        values = {"file": str(self.output), "gaussians": count, "bytes": size, "lost": list(lost)}
        if self.drop_far:
            values["dropped_far"] = int(far.sum())
        return Answer(f"{self.output}: {count:,} Gaussians, {megabytes(size)}{dropped}", values)
