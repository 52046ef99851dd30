"""`leansplat report`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from leansplat.commands.answer import Answer, megabytes
from leansplat.commands.options import Flag, Json, Overwrite, Quiet, Threads


@dataclass(frozen=True, kw_only=True)
class Report:
    """Make one HTML file of what runs did, to look at and to send to people.

    It holds what was asked and what came out, curves, histograms, where the bytes go, pictures of held-out views to
    wipe between, settings and the command to repeat it. Several runs are compared. It opens from disk, in any browser,
    and asks nothing of the network.

    Examples: leansplat report runs/garden-25 -o garden-25.html
              leansplat report runs/garden runs/garden-25 garden.sog -o garden.html --embed
    """

    runs: Annotated[Positional[tuple[Path, ...]], arg(metavar="RUN [RUN ...]", help_behavior_hint="")]
    """Run folders, files that train, compress or shrink wrote (beside their .json), or folders of ladders."""
    output: Annotated[Path, arg(aliases=["-o"], metavar="HTML")]
    """File to write, such as report.html."""
    views: Annotated[int, arg(metavar="N")] = 3
    """Number of held-out views to show of each run: the worst, the median and the best. 0 shows none."""
    capture: Annotated[
        Path | None, arg(metavar="CAPTURE", help_behavior_hint="(default: where the runs say it is)")
    ] = None
    """Folder of the photos, where they are not any more where the runs say."""
    embed: Flag = False
    """Put the scene of the last RUN into the file, with a viewer to look around in it: 1.6 MB and 4/3 of its .sog."""
    overwrite: Overwrite = False
    threads: Threads = None
    quiet: Quiet = False
    json: Json = False

    def run(self) -> Answer:
        from leansplat.progress_bar import ProgressBar
        from leansplat.run_report import write_report

        with ProgressBar("report", quiet=self.quiet) as progress:
            missing = write_report(
                self.runs,
                self.output,
                views=self.views,
                capture=self.capture,
                embed=self.embed,
                overwrite=self.overwrite,
                progress=progress,
            )
        size = self.output.stat().st_size
        lines = [*missing, f"{self.output}: {megabytes(size)}, opens in any browser without a network"]
        return Answer("\n".join(lines), {"file": str(self.output), "bytes": size, "missing": missing})
