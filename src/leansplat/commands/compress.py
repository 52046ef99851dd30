"""`leansplat compress`."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from tyro.conf import arg

from leansplat.commands.answer import Answer, megabytes, number, table
from leansplat.commands.captures import load_capture
from leansplat.commands.closing import closing, scene_in_words, size_of
from leansplat.commands.options import (
    Background,
    Batch,
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
    Threads,
    batch_size,
    engine_on,
)
from leansplat.commands.photo_options import photo_options
from leansplat.commands.resuming import begun_run
from leansplat.temporary_folders import temporary_folder

if TYPE_CHECKING:
    from leansplat.compression import CompressionConfig, CompressionReport, CompressionResult
    from leansplat.compression.codecs import Codec


@dataclass(frozen=True, kw_only=True)
class Compress:
    """Make a scene a small file, trained so that what viewers decode from it looks as the scene did.

    The suffix of OUT chooses the kind of file. Viewers of Gaussian splats open .sog, .spz and .compressed.ply, while
    the format of .npz is that of Niedermayr et al. 2024. With a capture, the scene is fine-tuned on its photos through
    the rounding of that file, and measured before and after on the photos held out. Without a capture, the scene is
    only encoded. With --run, you can continue after an interruption.

    Examples: leansplat compress runs/garden-25 --capture photos/ --downscale 4 -o garden.sog
              leansplat compress scene.ply --capture photos/ -o scene.spz --run runs/scene-spz
              leansplat compress scene.ply -o scene.sog --sh-degree 1
    """

    scene: Scene
    output: Annotated[Path, arg(aliases=["-o"], metavar="OUT")]
    """File to write, with the suffix .sog, .spz, .compressed.ply or .npz."""
    capture: Annotated[Path | None, arg(metavar="CAPTURE", help_behavior_hint="")] = None
    """Folder of photos with their cameras, to fine-tune on. Without it, the scene is encoded as it is."""
    steps: Annotated[int, arg(metavar="N")] = 5_000
    """Number of training steps through the format; 0 only encodes and measures."""
    sh_degree: Annotated[
        Literal[0, 1, 2, 3] | None, arg(metavar="{0,1,2,3}", help_behavior_hint="(default: that of the scene)")
    ] = None
    """Highest degree of spherical harmonics to keep."""
    sh_loss: Annotated[
        float | None,
        arg(
            metavar="DB",
            help="PSNR in dB that training photos may lose to coarser spherical harmonics in a .sog or .spz. This is "
            "before fine-tuning, which wins most of it back. Harmonics that hardly show become coarsest; 0 keeps all "
            "of them fine.",
            help_behavior_hint="(default: as --steps win back, 1.5 of 5000)",
        ),
    ] = None
    palette_size: Annotated[
        int | None,
        arg(
            metavar="N",
            help="Number of entries in the palette of spherical harmonics of a .sog, up to 65536, instead of what "
            "--sh-loss finds.",
            help_behavior_hint="",
        ),
    ] = None
    drop_unseen: Flag = False
    """Remove the Gaussians that no training view sees."""
    downscale: Downscale = None
    background: Background = None
    run_folder: Annotated[Path | None, arg(name="run", metavar="RUN", help_behavior_hint="")] = None
    """Run folder to write: log, checkpoints, metrics, and as plain.* the file without fine-tuning."""
    resume: Resume = False
    no_lpips: Flag = False
    """Leave LPIPS out of the report, which is much faster."""
    batch: Batch = None
    seed: Seed = None
    device: Device = None
    engine: Engine = None
    overwrite: Overwrite = False
    threads: Threads = None
    quiet: Quiet = False
    json: Json = False

    shared: ClassVar[bool] = True
    """Several processes that torchrun starts share the work."""

    def check(self) -> None:
        """Refuse what is wrong whatever the scene is.

        Raises:
            InputError: something is.
        """
        self._config(1 if self.batch is None else self.batch)
        self._codec()

    def _config(self, batch: int) -> CompressionConfig:
        from leansplat.compression import CompressionConfig, FineTuningConfig

        return CompressionConfig(
            drop_unseen=self.drop_unseen,
            fine_tuning=FineTuningConfig(
                steps=self.steps,
                batch=batch,
                seed=0 if self.seed is None else self.seed,
            ),
            sh_degree=self.sh_degree,
        )

    def _codec(self) -> Codec | None:
        """The kind of file with its settings, where there are any of its own."""
        from leansplat.compression import codec_of

        flags = {"sh_loss": self.sh_loss, "palette_size": self.palette_size}
        options = {name: value for name, value in flags.items() if value is not None}
        codec = codec_of(self.output)
        return codec.from_json(options) if options else None

    def run(self) -> Answer:
        from leansplat.compression import compress, report
        from leansplat.formats import scene_files
        from leansplat.locks import alone_in
        from leansplat.progress_bar import ProgressBar
        from leansplat.records import works_in, write_record
        from leansplat.runs import hash_file, open_run

        engine = engine_on(self.device, self.engine)
        named = ("drop_unseen", "steps", "batch", "seed", "sh_degree")
        changed = any(getattr(self, entry.name) != entry.default for entry in fields(self) if entry.name in named)
        codec = self._codec()
        capture, begun, settings = None, None, {}
        with ExitStack() as stack:
            folder = self.run_folder
            if folder is not None:
                stack.enter_context(alone_in(folder))
            elif self.capture is not None:  # its log is to be recorded, though nobody resumes it
                folder = stack.enter_context(temporary_folder()) / "run"
            progress = stack.enter_context(ProgressBar("compress", quiet=self.quiet))
            if self.resume:
                begun = begun_run(self.run_folder, self.threads)
            trains = begun is None and self.capture is not None and self.steps > 0
            config = self._config(batch_size(self.batch) if trains else 1 if self.batch is None else self.batch)
            if self.capture is not None:
                known = self.scene if begun is None or self.run_folder is None else self.run_folder
                photos = photo_options(known, self.background, self.downscale, warn=False)
                progress.stage("loading the photos")
                # With its points, so that the run records the same capture as a training on it does.
                capture = load_capture(self.capture, photos.downscale, photos.background, points=True)
                settings = {"capture": str(self.capture), **photos.to_json(), "output": str(self.output)}
            progress.stage("")
            result = compress(
                self.scene,
                capture,
                self.output,
                config if begun is None or changed else None,
                folder,
                codec=codec,
                engine=engine,
                settings=settings,
                resume=begun is not None,
                overwrite=self.overwrite,
                progress=progress,
            )
            progress.stage("measuring")
            found = report(result, capture, lpips=None if self.no_lpips else "vgg")
            if self.run_folder is not None:
                open_run(self.run_folder).write_metrics(found.to_json())
            values = {"file": str(self.output), "seconds": result.seconds, "written": result.written, **found.to_json()}
            if folder is None:
                recorded = {"scene": str(self.scene), "compression": config.to_json(), "codec": result.codec.to_json()}
                inputs = {"scene": hash_file(*scene_files(self.scene))}
            else:
                run = open_run(folder)
                recorded, inputs = run.config["settings"], run.config["inputs"]
            works = () if folder is None else works_in(folder.parent, [folder.name])
            write_record(self.output, "compress", values, settings=recorded, inputs=inputs, works=works)
        before = size_of(self.scene)
        made = closing(
            scene_in_words(self.scene, size=before),
            scene_in_words(self.output, found.gaussians, found.bytes),
            bytes_before=before,
            bytes_after=found.bytes,
            views=[self.scene, self.output],
            reported=self.output,
        )
        return Answer(_describe(result, found), values, closing=made)


def _describe(result: CompressionResult, found: CompressionReport) -> str:
    parts = [[name, f"{size:,}", f"{size / found.bytes:.1%}"] for name, size in found.parts.items() if size]
    lines = [table(["part", "bytes", "share"], parts), ""]
    if result.codec.parts_are_estimates:
        lines.append(f"The parts of an {result.codec.suffix} are estimates: each was compressed alone.")
    if found.original and found.plain and found.compressed:
        stages = [("as given", found.original, found.ply_bytes), ("encoded", found.plain, found.plain_bytes)]
        if found.plain is not found.compressed:
            kind = "fine-tuned" if result.written == "fine-tuned" else "as usual"
            stages.append((kind, found.compressed, found.bytes))
        rows = [
            [name, number(e.psnr, 2), number(e.ssim, 4), number(e.lpips, 4), megabytes(size)]
            for name, e, size in stages
        ]
        lines += [table(["held-out views", "PSNR", "SSIM", "LPIPS", "size"], rows), ""]
        lines.append("Largest losses: " + ", ".join(f"{view.name} {view.loss:.2f} dB" for view in found.worst))
    size = f"{megabytes(found.bytes)}, {found.ratio:.1f} times smaller than its .ply"
    lines.append(f"{result.path}: {found.gaussians:,} Gaussians, {size}")
    return "\n".join(lines)
