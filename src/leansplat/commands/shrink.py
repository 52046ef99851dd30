"""`leansplat shrink`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import arg

from leansplat.commands.answer import Answer, megabytes, table
from leansplat.commands.closing import closing, scene_in_words
from leansplat.commands.options import (
    Background,
    Batch,
    Count,
    Device,
    Downscale,
    Engine,
    Flag,
    Json,
    Overwrite,
    Quiet,
    Resume,
    Scene,
    Seed,
    Share,
    Threads,
    Watch,
    batch_size,
    engine_on,
)
from leansplat.commands.watch import seen
from leansplat.errors import InputError

if TYPE_CHECKING:
    from leansplat.blocks import Blocks, BlocksResult
    from leansplat.shrinking import LadderResult, ShrinkingConfig, ShrinkingResult, Target
    from leansplat.shrinking.shrinker import Options


_WHOLE_ONLY = ("ladder", "capture", "protect", "only", "floaters", "show_cameras", "view")
"""Options that blocks have no meaning for, or not yet."""


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
              leansplat shrink town.ply -o town.sog --keep 25% --blocks 500k --workers 4
    """

    scene: Scene
    output: Annotated[Path, arg(aliases=["-o"], metavar="OUT")]
    """File to write: .sog, .spz, .compressed.ply, .ply, .splat, .glb or .npz; with --ladder, a folder."""
    size: Annotated[str | None, arg(metavar="SIZE", help_behavior_hint="")] = None
    """Bytes that the file has at most, such as 10MB or 512KiB; it has at least 97% of them."""
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
    steps: Annotated[
        int | None, arg(metavar="N", help_behavior_hint="(default: 2000, or what fits into --minutes)")
    ] = None
    """Number of training steps in all. With 0, Gaussians are only merged and removed, in seconds to a minute."""
    minutes: Annotated[float | None, arg(metavar="MINUTES", help_behavior_hint="")] = None
    """Time for everything; the number of steps follows from it."""
    protect: Annotated[
        tuple[str, ...],
        arg(
            metavar="REGION",
            help="Regions whose Gaussians are never removed: box:x0,y0,z0,x1,y1,z1, sphere:x,y,z,r, or a .ply of "
            "points with a distance, such as points.ply:0.05.",
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
    views: Annotated[int, arg(metavar="N")] = 128
    """Number of cameras to make up where there are none."""
    view_size: Annotated[int | None, arg(metavar="PIXELS", help_behavior_hint="(default: about 640)")] = None
    """Longest side of the views that the scene is shrunk by; best that of the photos it was trained on."""
    downscale: Downscale = None
    background: Background = None
    blocks: Annotated[
        str | None,
        arg(
            metavar="N",
            help="Cut a scene that is too large to be shrunk whole into so many blocks, or into blocks of at most so "
            "many Gaussians, such as 500k; OUT may then be FOLDER/lod-meta.json too.",
            help_behavior_hint="",
        ),
    ] = None
    workers: Annotated[int, arg(metavar="N")] = 1
    """Number of blocks to work on at once, each in a process of its own."""
    run_folder: Annotated[
        Path | None, arg(name="run", aliases=["--run-folder"], metavar="RUN", help_behavior_hint="")
    ] = None
    """Run folder to keep checkpoints in, so that --resume can continue after an interruption."""
    resume: Resume = False
    batch: Batch = None
    seed: Seed = None
    device: Device = None
    engine: Engine = None
    overwrite: Overwrite = False
    view: Watch = False
    threads: Threads = None
    quiet: Quiet = False
    json: Json = False

    @property
    def shared(self) -> bool:
        """Whether several processes that torchrun starts share the work: blocks have workers of their own."""
        return self.blocks is None

    def check(self) -> None:
        """Refuse what is wrong whatever the scene is.

        Raises:
            InputError: something is.
        """
        from leansplat.shrinking import parse_ladder

        self._target()
        self._config(1 if self.batch is None else self.batch)
        if self.ladder is not None:
            parse_ladder(self.ladder)
        if self.blocks is not None:
            self._check_blocks()

    def _target(self) -> Target:
        """What is asked for, without the levels of a ladder."""
        from leansplat.shrinking import Target, parse_bytes, preset

        named: dict[str, Any] = {
            "size": None if self.size is None else parse_bytes(self.size),
            "count": self.count,
            "keep": self.keep,
            "max_drop": self.max_drop,
            "max_lpips_rise": self.max_lpips_rise,
        }
        targets = [name for name, value in named.items() if value is not None]
        targets += [name for name in ("preset", "ladder") if getattr(self, name) is not None]
        if len(targets) > 1 and ("preset" in targets or "ladder" in targets):
            raise InputError(f"--{targets[-1]} is a target already; leave --{targets[0].replace('_', '-')} out")
        if self.workers != 1 and self.blocks is None:
            raise InputError("--workers shares blocks out; say into how many the scene is to be cut (--blocks)")
        return Target(**named) if self.preset is None else preset(self.preset)

    def _config(self, batch: int) -> ShrinkingConfig:
        from leansplat.shrinking import ShrinkingConfig

        return ShrinkingConfig(
            steps=self.steps,
            minutes=self.minutes,
            view_size=self.view_size,
            views=self.views,
            batch=batch,
            seed=self.seed or 0,
        )

    def run(self) -> Answer:
        from leansplat.progress_bar import ProgressBar
        from leansplat.provenance import BACKGROUNDS
        from leansplat.shrinking import parse_ladder, shrink, shrink_ladder

        engine = engine_on(self.device, self.engine)
        target, config = self._target(), self._config(batch_size(self.batch))
        if self.blocks is not None:
            return self._in_blocks(target, config, engine or "cpu")
        with (
            seen(self.view, self.run_folder, self.output.name) as kept,
            ProgressBar("shrink", quiet=self.quiet) as progress,
        ):
            progress.stage("reading the scene")
            options: Options = {
                "capture": self.capture,
                "cameras": self.cameras,
                "background": None if self.background is None else BACKGROUNDS[self.background],
                "downscale": self.downscale,
                "protect": self.protect,
                "only": self.only,
                "floaters": self.floaters,
                "show_cameras": self.show_cameras,
                "engine": engine or "cpu",
                "resume": self.resume,
                "overwrite": self.overwrite,
                "progress": progress,
            }
            if self.ladder is not None:
                levels = parse_ladder(self.ladder)
                ladder = shrink_ladder(self.scene, self.output, levels, config, kept, **options)
                answer = replace(_of_ladder(ladder), closing=self._closing_of_ladder(ladder))
                self._record(answer.values, config, ladder)
                return answer
            result = shrink(self.scene, self.output, target, config, kept, **options)
            values = _values(result, target)
            self._record(values, config, result)
        failed = "" if result.met else _missed(target)
        return Answer(_describe(result, target), values, failed, self._closing(result))

    def _check_blocks(self) -> Blocks:
        """Into how many blocks."""
        from leansplat.blocks import parse_blocks

        for name in _WHOLE_ONLY:
            if getattr(self, name):
                raise InputError(
                    f"--{name.replace('_', '-')} is for scenes that are shrunk whole; leave it out, or --blocks"
                )
        return parse_blocks(self.blocks or "")

    def _in_blocks(self, target: Target, config: ShrinkingConfig, engine: str) -> Answer:
        from leansplat.blocks import BlocksResult, shrink_in_blocks
        from leansplat.formats.levels import NAME
        from leansplat.progress_bar import ProgressBar
        from leansplat.provenance import BACKGROUNDS

        blocks = self._check_blocks()
        with ProgressBar("shrink", quiet=self.quiet) as progress:
            progress.stage("reading the scene")
            result = shrink_in_blocks(
                self.scene,
                self.output,
                target,
                blocks,
                config,
                self.run_folder,
                workers=self.workers,
                cameras=self.cameras,
                background=None if self.background is None else BACKGROUNDS[self.background],
                downscale=self.downscale,
                engine=engine,
                resume=self.resume,
                overwrite=self.overwrite,
                progress=progress,
            )
            if not isinstance(result, BlocksResult):
                values = _values(result, target)
                self._record(values, config, result)
                return Answer(_describe(result, target), values, "", self._closing(result))
            streamed = result.path.name == NAME
            values = {"target": target.to_json(), **result.to_json()}
            if not streamed:
                self._record(values, config)
        words = closing(
            scene_in_words(self.scene, result.original, result.original_bytes),
            scene_in_words(result.path, result.gaussians, result.bytes),
            bytes_before=result.original_bytes,
            bytes_after=result.bytes,
            views=[result.path],
            reported=None if streamed else result.path,
        )
        return Answer(_describe_blocks(result, target), values, "", words)

    def _closing(self, result: ShrinkingResult) -> tuple[str, str]:
        before, after = result.original_bytes, result.bytes
        return closing(
            scene_in_words(self.scene, len(result.original), before),
            scene_in_words(result.path, len(result.gaussians), after),
            bytes_before=before,
            bytes_after=after,
            views=[self.scene, result.path],
            reported=result.path,
        )

    def _closing_of_ladder(self, result: LadderResult) -> tuple[str, str]:
        before, smallest = result.original_bytes, result.levels[-1]
        return closing(
            scene_in_words(self.scene, len(result.original), before),
            f"{len(result.levels)} files down to {scene_in_words(smallest.file, size=smallest.bytes)}",
            bytes_before=before,
            bytes_after=smallest.bytes,
            views=[self.scene, *(level.file for level in result.levels[:8])],
            reported=result.folder,
        )

    def _record(
        self, values: dict[str, Any], config: ShrinkingConfig, result: ShrinkingResult | LadderResult | None = None
    ) -> None:
        """Keep beside the output how it came about; of blocks, without what was done on the way."""
        from leansplat.formats import scene_files
        from leansplat.records import write_record
        from leansplat.runs import hash_file

        source = None if result is None else result.source
        loaded = {} if source is None else {"background": list(source.background), **source.loaded}
        write_record(
            self.output,
            "shrink",
            values,
            settings={"scene": str(self.scene), **loaded, "shrinking": config.to_json()},
            inputs={"scene": hash_file(*scene_files(self.scene))},
            works=() if result is None else result.works,
            cameras=None if result is None else result.cameras,
        )


def _of_ladder(result: LadderResult) -> Answer:
    from leansplat.shrinking.ladder import rows

    lines = [table(*rows(result.levels)), "", f"Looked at from {result.source.told}; {result.seconds:,.0f} s."]
    lines += _sentences(result.told)
    lines.append(
        f"{result.folder}: a file for each level, levels.svg, and streamed/lod-meta.json for viewers that stream"
    )
    values = {
        "folder": str(result.folder),
        "levels": [level.to_json() for level in result.levels],
        "original": {"bytes": result.original_bytes, "gaussians": len(result.original)},
        "cameras": {"kind": result.source.kind, "told": result.source.told},
        "seconds": result.seconds,
        "told": list(result.told),
    }
    return Answer("\n".join(lines), values)


def _sentences(told: Sequence[str]) -> list[str]:
    return [f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') or chr(10) in text else '.'}" for text in told]


def _describe(result: ShrinkingResult, target: Target) -> str:
    before = ["as given", f"{len(result.original):,}", megabytes(result.original_bytes)]
    after = ["shrunk", f"{len(result.gaussians):,}", megabytes(result.bytes)]
    lines = [table(["", "Gaussians", "size"], [before, after]), ""]
    if result.source is not None and result.loss is not None:
        steps = f"{result.steps:,} training step{'' if result.steps == 1 else 's'}"
        lines.append(f"Looked at from {result.source.told}; {steps}, {result.seconds:,.0f} s.")
        lines.append(f"On views held back, against the scene as given: {result.loss.described()}.")
    lines += _sentences(result.told)
    lines.append(f"{result.path}: {_outcome(result.bytes, result.original_bytes)}{_kept(result, target)}")
    return "\n".join(lines)


def _outcome(size: int, given: int | None) -> str:
    """What a file takes, and how that compares to the scene as given."""
    from leansplat.shrinking import format_bytes

    if given is None or size == given:
        return format_bytes(size)
    if size > given:
        return f"{format_bytes(size)}, which is more than the scene as given takes"
    return f"{format_bytes(size)}, {given / size:.1f} times smaller"


def _kept(result: ShrinkingResult, target: Target) -> str:
    """The limit of what may be lost, where there was one that holds."""
    return f", with {target.described()}" if target.of_quality and result.met else ""


def _describe_blocks(result: BlocksResult, target: Target) -> str:
    before = ["as given", f"{result.original:,}", megabytes(result.original_bytes)]
    after = ["shrunk", f"{result.gaussians:,}", megabytes(result.bytes)]
    lines = [table(["", "Gaussians", "size"], [before, after]), ""]
    steps = sum(block.steps for block in result.blocks)
    lines.append(f"{len(result.blocks)} blocks; {steps:,} training steps in all, {result.seconds:,.0f} s.")
    if result.psnr is not None and result.worst is not None:
        lines.append(
            f"On views held back, against the scene as given, where a block is in the picture: PSNR {result.psnr:.1f} "
            f"dB (worst block {result.worst:.1f} dB), SSIM {result.ssim:.4f}."
        )
    lines += _sentences(result.told)
    lines.append(f"{result.path}: {_outcome(result.bytes, result.original_bytes)}")
    return "\n".join(lines)


def _values(result: ShrinkingResult, target: Target) -> dict[str, Any]:
    return {
        "file": str(result.path),
        "target": target.to_json(),
        "met": result.met,
        "bytes": result.bytes,
        "gaussians": len(result.gaussians),
        "original": {"bytes": result.original_bytes, "gaussians": len(result.original)},
        "loss": None if result.loss is None else result.loss.to_json(),
        "cameras": None if result.source is None else {"kind": result.source.kind, "told": result.source.told},
        "unseen": result.unseen,
        "steps": result.steps,
        "seconds": result.seconds,
        "told": list(result.told),
        "floaters": None if result.floaters is None else result.floaters.to_json(),
    }


def _missed(target: Target) -> str:
    return f"the target ({target.described()}) was not reached; what is nearest was kept"
