"""Watching a run while it goes on: a page with its curves, its newest scene beside photos, and a button that stops it.

The page is served by a process of its own, whether `leansplat watch` starts it or `--view`, and that process only looks
into the run's folder (see `leansplat.live`). So it works on a run of another process as well, however that was begun;
a browser or a watcher that hangs or dies is nothing to the run; and reading logs, drawing charts and serving scenes
take nothing of the run's own time. `reading` is what the folder tells, `serving` the page, `companion` the process that
`--view` starts.
"""

from leansplat.watching.serving import Watching

__all__ = ["Watching"]
