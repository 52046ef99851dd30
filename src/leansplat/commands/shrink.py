"""`leansplat shrink`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import arg

from leansplat.commands.options import (
    Background,
    Bytes,
    Count,
    Downscale,
    Engine,
    Flag,
    Json,
    Overwrite,
    Resume,
    Scene,
    Seed,
    Share,
    Threads,
)

if TYPE_CHECKING:
    pass


@dataclass(frozen=True, kw_only=True)
class Shrink:
    """Make a scene as small as you say, with or without its photos: any scene in, the file that you asked for out.

    Say how small with --size, --count, --keep, --max-drop, --max-lpips-rise or --preset. Without any of them, the file
    becomes as small as it can without visible loss. The suffix of OUT chooses the kind of file. Gaussians that are
    hardly missed are removed, and the others are trained to make up for them, towards what the scene itself showed
    before: from the cameras of --capture or --cameras, from a cameras.json beside the scene, or else from cameras that
    are made up. Some views are held back from training and judge the result.

    Examples: leansplat shrink scene.ply -o scene.sog
              leansplat shrink scene.ply -o scene.sog --size 10MB
              leansplat shrink scene.ply -o scene.spz --count 400000 --minutes 10
              leansplat shrink runs/garden --capture photos/ -o garden.sog --max-drop 0.1
              leansplat shrink scene.ply -o web/ --ladder 40MB,10MB,3MB
    """

    scene: Scene
    output: Annotated[Path, arg(aliases=["-o"], metavar="OUT")]
    """File to write, with the suffix .sog, .spz, .compressed.ply, .ply, .splat, .glb or .npz; a folder with --ladder."""
    size: Annotated[Bytes, arg(help="Bytes of the file at most, such as 10MB or 512KiB; it has at least 97% of them.")] = None
    count: Count = None
    """Number of Gaussians to keep, exactly."""
    keep: Share = None
    """Share of the Gaussians to keep, exactly, such as 25% or 0.25."""
    max_drop: Annotated[float | None, arg(metavar="DB", help_behavior_hint="")] = None
    """PSNR in dB that views which were not trained on may lose. Without photos it is estimated."""
    max_lpips_rise: Annotated[float | None, arg(metavar="LPIPS", help_behavior_hint="")] = None
    """LPIPS that views which were not trained on may gain."""
    preset: Annotated[
        Literal["web", "phone", "quest"] | None,
        arg(
            aliases=["--presets"],
            metavar="{web,phone,quest}",
            help="Target by what it is for. web: 10 MB. phone: 5 MB and at most 300,000 Gaussians. quest: 400,000 "
            "Gaussians.",
            help_behavior_hint="",
        ),
    ] = None
    ladder: Annotated[str | None, arg(metavar="TARGETS", help_behavior_hint="")] = None
    """Several targets at once, such as 40MB,10MB,3MB or 50%,25%,10%, each made from the one before. OUT is a folder."""
    capture: Annotated[Path | None, arg(metavar="CAPTURE", help_behavior_hint="")] = None
    """Folder of photos with their cameras, whose held-out photos judge the result."""
    cameras: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")] = None
    """File cameras.json of 3DGS with cameras to look at the scene from. One beside the scene is found by itself."""
    steps: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: 2000, or what fits into --minutes)")] = None
    """Number of training steps in all. With 0, Gaussians are only merged and removed, which takes seconds."""
    minutes: Annotated[float | None, arg(metavar="MINUTES", help_behavior_hint="")] = None
    """Time for everything; the number of steps follows from it."""
    protect: Annotated[
        tuple[str, ...],
        arg(
            metavar="REGION",
            help="Regions whose Gaussians are never removed: box:x0,y0,z0,x1,y1,z1, sphere:x,y,z,r, or a .ply of points.",
            help_behavior_hint="",
        ),
    ] = ()
    only: Annotated[
        tuple[str, ...],
        arg(metavar="REGION", help="Regions, likewise, outside of which nothing is removed.", help_behavior_hint=""),
    ] = ()
    floaters: Flag = False
    """Remove what no view supports or what makes views worse, and list where it was."""
    show_cameras: Annotated[Path | None, arg(metavar="PNG", help_behavior_hint="")] = None
    """File to draw the views into that the scene is shrunk by, with a map of the cameras."""
    views: Annotated[int, arg(metavar="N")] = 64
    """Number of cameras to make up where there are none."""
    view_size: Annotated[int, arg(metavar="PIXELS")] = 640
    """Longest side of the views that the scene is shrunk by."""
    downscale: Downscale = None
    background: Background = None
    run_folder: Annotated[Path | None, arg(name="run", metavar="RUN", help_behavior_hint="")] = None
    """Run folder to keep checkpoints in, so that --resume can continue after an interruption."""
    resume: Resume = False
    seed: Seed = None
    engine: Engine = None
    overwrite: Overwrite = False
    threads: Threads = None
    json: Json = False
