"""What the folder of a run tells while the run goes on: how far it is, its curves, its newest scene, some photos.

A work of several pieces, such as a shrinking, keeps a run folder for each in one folder. The one that was written to
last is at work now; curves are those of all, one after the other.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leansplat.errors import LeansplatError
from leansplat.live import FOLDER, PATIENCE, SCENE, STATUS, STOP, VIEWS, WATCHING
from leansplat.records import Work
from leansplat.runs import Run, has_begun, open_run

if TYPE_CHECKING:
    from leansplat.captures.capture import View


@dataclass(frozen=True)
class Photos:
    """Some photos of the capture, and the colour that scenes are shown on.

    Args:
        held_out: whether they are not trained on.
        rendered: whether they are renders of the scene as it was given.
    """

    views: tuple[View, ...]
    background: tuple[float, float, float]
    held_out: bool
    rendered: bool


class Watched:
    """A run folder, or one of several, that somebody has been watching since this was made.

    Args:
        attached: whether this ends with the process that is at work there.
    """

    def __init__(self, folder: Path, *, attached: bool = False) -> None:
        self.folder = folder
        self._attached = attached
        self._since = time.time()

    @property
    def run(self) -> Run | None:
        """The run that is at work now, or was last."""
        folders = [self.folder] if has_begun(self.folder) else []
        folders = folders or [path.parent for path in self.folder.glob("*/config.json")]
        with suppress(OSError, LeansplatError):
            return open_run(max(folders, key=_last_written)) if folders else None
        return None

    def beat(self, run: Run) -> None:
        """Let the run know that it is watched."""
        if self._over(run) is not None:
            return
        with suppress(OSError):
            place = run.folder / FOLDER
            place.mkdir(exist_ok=True)
            (place / WATCHING).touch()

    def leave(self) -> None:
        """Take back what `beat` left, where the run has not."""
        run = self.run
        if run is not None:
            with suppress(OSError):
                (run.folder / FOLDER / WATCHING).unlink()
                (run.folder / FOLDER).rmdir()

    def stop(self) -> bool:
        """Ask the run to stop; false where none is at work."""
        run = self.run
        if run is None or self.status(run)["state"] != "running":
            return False
        (run.folder / FOLDER / STOP).touch()
        return True

    def status(self, run: Run | None) -> dict[str, Any]:
        """How things are: "state" with the sentence that says it, and the numbers that the run told last.

        The states are "waiting" for a run to begin, "running", "silent", "stopped" and "finished".
        """
        if run is None:
            said = "preparing" if self._attached else f"waiting for a run to begin in {self.folder}"
            return {"state": "waiting", "said": said}
        told = self._json(run, STATUS) or {}
        over = self._over(run)
        if over is not None:
            finished = "this part has finished" if self._attached else "it has finished"
            said = {"finished": finished, "stopped": "it was stopped; --resume goes on"}[over]
            return {**told, "state": over, "said": said}
        heard = time.time() - told["time"] if told else None
        if heard is not None and heard < PATIENCE:
            return {**told, "state": "running", "said": "it is running"}
        ago = "" if heard is None else f" for {heard:,.0f} s"
        return {
            **told,
            "state": "silent",
            "said": f"nothing heard{ago}: it loads, measures or writes{'' if self._attached else ', or has ended'}",
        }

    def works(self) -> tuple[Work, ...]:
        """All pieces of work so far, with their logs."""
        folders = [self.folder] if has_begun(self.folder) else []
        configs = [path / "config.json" for path in folders] or list(self.folder.glob("*/config.json"))
        found = []
        for config in sorted(configs, key=lambda path: path.stat().st_mtime_ns):
            with suppress(LeansplatError):
                run = open_run(config.parent)
                found.append(Work(run.folder.name, run.config["command"], tuple(run.events())))
        return tuple(found)

    def version(self) -> str:
        """Something that is another one when `works` is."""
        logs = sorted([*self.folder.glob("log.jsonl"), *self.folder.glob("*/log.jsonl")])
        return " ".join(f"{path.parent.name}:{path.stat().st_size}" for path in logs)

    def scene(self, run: Run) -> tuple[Path, dict[str, Any]] | None:
        """The newest scene that was written to be watched: its file, and what `leansplat.live` says of it."""
        found = self._json(run, SCENE)
        if not found or not isinstance(found.get("file"), str):
            return None
        path = run.folder / FOLDER / Path(found["file"]).name
        return (path, found) if path.is_file() else None

    def photos(self, run: Run) -> Photos | None:
        """The photos that the run shows; None where it has not yet."""
        import numpy as np
        import torch

        from leansplat.cameras import Camera
        from leansplat.captures.capture import View

        path = run.folder / FOLDER / VIEWS
        try:
            if path.stat().st_mtime < self._since:
                return None
            with np.load(path, allow_pickle=False) as archive:
                views: list[View] = []
                while (number := len(views)) < sum(name.startswith("name") for name in archive.files):
                    photo = torch.from_numpy(archive[f"photo{number}"])
                    pose, K = (torch.from_numpy(archive[f"{name}{number}"]) for name in ("pose", "K"))
                    mask = f"mask{number}"
                    views.append(
                        View(
                            str(archive[f"name{number}"]),
                            Camera(pose, K, photo.shape[1], photo.shape[0], float(archive[f"near{number}"])),
                            photo,
                            torch.from_numpy(archive[mask]) if mask in archive.files else None,
                        )
                    )
                red, green, blue = archive["background"].tolist()
                return Photos(tuple(views), (red, green, blue), bool(archive["held_out"]), bool(archive["rendered"]))
        except (OSError, ValueError, KeyError):
            return None

    def _json(self, run: Run, name: str) -> dict[str, Any] | None:
        """What the run wrote since it is watched."""
        path = run.folder / FOLDER / name
        with suppress(OSError, ValueError):
            if path.stat().st_mtime >= self._since:
                found = json.loads(path.read_text(encoding="utf-8"))
                return found if isinstance(found, dict) else None
        return None

    @staticmethod
    def _over(run: Run) -> str | None:
        """ "finished" or "stopped" where the log ends with that."""
        with suppress(OSError, ValueError):
            with open(run.log_path, "rb") as handle:
                handle.seek(max(0, os.fstat(handle.fileno()).st_size - 4096))
                last = handle.read().rstrip(b"\n").rpartition(b"\n")[2]
            event = json.loads(last)["event"]
            return event if event in ("finished", "stopped") else None
        return None


def _last_written(folder: Path) -> float:
    times = [(folder / name).stat().st_mtime for name in ("config.json", "log.jsonl") if (folder / name).exists()]
    return max(times, default=0.0)


def charts_of_works(name: str, works: tuple[Work, ...], now: dict[str, Any]) -> tuple[str, int]:
    """The curves as HTML for the page, and how many points they have in all.

    Args:
        now: what the run told last, which is newer than its log.
    """
    from leansplat.report.charts import svg_of
    from leansplat.run_report.account import Account, Standing
    from leansplat.run_report.curves import charts_of

    if works and {"step", "loss", "gaussians", "seconds"} <= set(now):
        *earlier, last = works
        known = [event for event in last.events if event["step"] <= now["step"]]
        newest = {"event": "progress", **{key: now[key] for key in ("step", "loss", "gaussians", "seconds")}}
        works = (*earlier, replace(last, events=(*known, newest)))
    account = Account(
        path=Path(name),
        name=name,
        command="",
        line=None,
        directory=None,
        settings={},
        threads=None,
        versions={},
        inputs={},
        works=works,
        before=None,
        after=Standing(),
    )
    charts = charts_of([account])
    drawn = [f'<figure class="chart"><h3>{escape(chart.title)}</h3>{svg_of(chart)}</figure>' for chart in charts]
    return "\n".join(drawn), sum(len(series.points) for chart in charts for series in chart.drawn)
