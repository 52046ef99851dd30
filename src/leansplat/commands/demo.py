"""`leansplat demo`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import arg

from leansplat.commands.answer import Answer, megabytes, number, table
from leansplat.commands.closing import closing, scene_in_words
from leansplat.commands.options import Json, Overwrite, Quiet, Seed, Threads

if TYPE_CHECKING:
    from leansplat.demo import DemoResult


@dataclass(frozen=True, kw_only=True)
class Demo:
    """Train a small built-in scene, trim it to a quarter and make a small file of it, in a minute and without any data.

    Example: leansplat demo
    """

    output: Annotated[Path, arg(aliases=["-o"], metavar="FOLDER")] = Path("demo")
    """Folder for the two runs, the small file, and the picture that compares all three."""
    seed: Seed = None
    overwrite: Overwrite = False
    threads: Threads = None
    quiet: Quiet = False
    json: Json = False

    def run(self) -> Answer:
        from leansplat.demo import DemoConfig, demo
        from leansplat.progress_bar import ProgressBar

        with ProgressBar("demo", quiet=self.quiet) as progress:
            result = demo(
                self.output,
                DemoConfig(seed=0 if self.seed is None else self.seed),
                overwrite=self.overwrite,
                progress=progress,
            )
        scenes = [result.trained_run.folder, result.trimmed_run.folder, result.file]
        made = closing(
            scene_in_words(result.trained_run.folder, result.trained.gaussians, result.trained.bytes),
            scene_in_words(result.file, result.small.gaussians, result.small.bytes),
            bytes_before=result.trained.bytes,
            bytes_after=result.small.bytes or 0,
            views=scenes,
            reported=result.file,
        )
        return Answer(_describe(result), result.to_json(), closing=made)


def _describe(result: DemoResult) -> str:
    rows = [
        [
            name,
            f"{evaluation.gaussians:,}",
            megabytes(evaluation.bytes),
            f"{number(evaluation.psnr, 2)} dB",
            number(evaluation.ssim, 4),
            number(evaluation.fps, 1),
        ]
        for name, evaluation in (("trained", result.trained), ("trimmed", result.trimmed), ("small", result.small))
    ]
    return "\n".join(
        [
            table(["", "Gaussians", "file", "PSNR", "SSIM", "frames/s"], rows),
            "",
            f"Measured on {len(result.trained.views)} views that training never saw; {result.seconds:,.0f} s in all.",
            "Look at:",
            f"  {result.picture}  photo | trained | trimmed | small file",
            f"  {result.trained_run.scene_path}  opens in any Gaussian Splatting viewer",
            f"  {result.trimmed_run.scene_path}",
            f"  {result.file}  for the web and phones; drop it into any viewer of SOG",
        ]
    )
