"""`leansplat convert`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, arg

from leansplat.commands.answer import Answer, megabytes
from leansplat.commands.closing import closing, scene_in_words, size_of
from leansplat.commands.options import Bits, Flag, Json, Overwrite, Quiet, Scene

if TYPE_CHECKING:
    from leansplat.formats import Format, SpzOptions


@dataclass(frozen=True, kw_only=True)
class Convert:
    """Write a scene to another file, in the format that the suffix of OUT names.

    It reads .ply, .compressed.ply, .spz, .sog, meta.json, lod-meta.json, .splat, .glb, .gltf, .npz, and the checkpoints
    of 3DGS (.pth), nerfstudio (.ckpt) and gsplat (.pt). It writes all of these but lod-meta.json, .gltf and
    checkpoints. A line says what the new format cannot hold, and what rounding changes so that it shows. The input is
    never touched.

    Examples: leansplat convert scene.ply scene.spz
              leansplat convert scene.ply scene.sog
              leansplat convert scan_ascii.ply scan.ply --drop-nonfinite
    """

    scene: Scene
    output: Annotated[Positional[Path], arg(metavar="OUT")]
    """File to write, such as scene.spz."""
    spz_version: Annotated[Literal[3, 4] | None, arg(metavar="{3,4}", help_behavior_hint="(default: 3)")] = None
    """Version of SPZ to write: 3 opens in every viewer of SPZ, 4 is a little smaller."""
    spz_sh_bits: Annotated[Bits, arg(help_behavior_hint="(default: 5 4)")] = ()
    """Bits of spherical harmonics in an .spz, 1 to 8: for degree 1, and above. More look better and take more bytes."""
    drop_nonfinite: Flag = False
    """Leave out Gaussians with a value that is NaN, or infinite without a meaning."""
    drop_far: Flag = False
    """Leave out strays: Gaussians more than 100 extents of the scene away that are next to nothing of what it shows."""
    drop_empty: Flag = False
    """Leave out rows that fill up the file and hold no Gaussian: all zero, or eight or more with the same numbers."""
    level: Annotated[int, arg(metavar="N")] = 0
    """Level of detail to read from a lod-meta.json; 0 is the finest."""
    overwrite: Overwrite = False
    quiet: Quiet = False
    json: Json = False

    def check(self) -> None:
        """Refuse what is wrong whatever the scene is.

        Raises:
            InputError: something is.
        """
        self._target()

    def _target(self) -> tuple[Format, SpzOptions | None]:
        """The format to write, and how, where something is said of that."""
        from leansplat.formats import SpzOptions, format_taking

        flags = {"version": self.spz_version, "sh_bits": self.spz_sh_bits or None}
        given: dict[str, Any] = {name: value for name, value in flags.items() if value is not None}
        options = SpzOptions(**given) if given else None
        return format_taking(self.output, options), options

    def run(self) -> Answer:
        from leansplat.formats import read_arrays, scene_bytes, write
        from leansplat.progress_bar import ProgressBar
        from leansplat.strays import describe, strays

        target, options = self._target()  # what is wrong with it is told before anything is read
        with ProgressBar("convert", quiet=self.quiet) as progress:
            progress.stage("reading")
            scene = read_arrays(
                self.scene, drop_nonfinite=self.drop_nonfinite, drop_empty=self.drop_empty, level=self.level
            )
            dropped = ""
            if self.drop_far:
                far = strays(scene)
                named = describe(scene, far) if far.any() else "nothing, because no Gaussian is a stray"
                dropped = f"; dropped {named}"
                scene = scene[~far]
            progress.stage(f"writing {self.output.name}")
            count = write(scene, self.output, overwrite=self.overwrite, options=options)
        size = scene_bytes(self.output)
        lost = target.loses(scene)
        values = {"file": str(self.output), "gaussians": count, "bytes": size, "lost": list(lost)}
        if self.drop_far:
            values["dropped_far"] = int(far.sum())
        before = size_of(self.scene)
        made = closing(
            scene_in_words(self.scene, size=before),
            scene_in_words(self.output, count, size),
            bytes_before=before,
            bytes_after=size,
            views=[self.scene, self.output],
            reported=None,
        )
        return Answer(f"{self.output}: {count:,} Gaussians, {megabytes(size)}{dropped}", values, closing=made)
