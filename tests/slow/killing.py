"""Kills runs at chosen moments: `python killing.py KIND FOLDER MOMENTS SEED`, for the test beside it.

Each run is a fork of this process, which has imported everything and run nothing. A moment is the n-th time that a run
opens, renames, removes or makes something in its folder; just before that it is killed. Then it is resumed, in half of
the cases killed again on the way and resumed again, until it ends.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from support.tiny import tiny_capture

from leansplat.compression import CompressionConfig, FineTuningConfig, compress
from leansplat.pruning import TrimmingConfig, trim
from leansplat.simd.threads import set_thread_count
from leansplat.training import TrainingConfig, train
from leansplat.training.strategies import Densification

SHORT = replace(TrainingConfig(seed=2).scaled(24), checkpoint_every=6)
TRAINING = SHORT.adjusted(Densification, every=5, after=3)
EARLIER = replace(TRAINING, seed=9)
TRIMMING = TrimmingConfig(keep=0.5, rounds=2, every=4, finetune=6, checkpoint_every=3)
COMPRESSION = CompressionConfig(fine_tuning=FineTuningConfig(steps=9, checkpoint_every=3), sh_degree=1)
_TOUCHES = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir"}


def work(kind: str, base: Path, folder: Path, resume: bool) -> None:
    capture = tiny_capture()
    if kind == "train":
        train(capture, TRAINING, folder / "run", resume=resume)
    elif kind == "overwrite":
        earlier_run_is_whole = json.loads((folder / "run/config.json").read_bytes()).get("seed") == EARLIER.seed
        resume = resume and not earlier_run_is_whole
        train(capture, TRAINING, folder / "run", resume=resume, overwrite=not resume)
    elif kind == "trim":
        trim(base / "run", capture, TRIMMING, folder / "run", resume=resume)
    else:
        target = folder / "out.sog"
        compress(base / "run", capture, target, COMPRESSION, folder / "run", resume=resume, overwrite=resume)


def in_fork(folder: Path, kill_at: int, action: Callable[[], None]) -> int:
    """Run something in a fork that is killed at its `kill_at`-th touch of the folder; returns how often it touched it,
    -1 if it was killed.

    Raises:
        RuntimeError: it failed.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        touches = 0

        def watch(event: str, arguments: tuple[object, ...]) -> None:
            nonlocal touches
            if event in _TOUCHES and str(arguments[0]).startswith(str(folder)):
                touches += 1
                if touches == kill_at:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(watch)
        code = 0
        try:
            set_thread_count(1)
            action()
            os.write(writer, str(touches).encode())
        except BaseException:
            traceback.print_exc()
            code = 1
        os._exit(code)
    os.close(writer)
    said = os.read(reader, 20)
    os.close(reader)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status == -signal.SIGKILL:
        return -1
    if status != 0:
        raise RuntimeError(f"a run failed with {status}")
    return int(said)


def left_by(folder: Path) -> dict[str, object]:
    """What a run leaves that must not depend on kills: the files, the scene's bytes, the log without times."""
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
    scenes = {name: (folder / name).read_bytes().hex() for name in files if name.endswith((".ply", ".sog"))}
    lines = [json.loads(line) for line in (folder / "run/log.jsonl").read_text().splitlines()]
    log = [{key: line[key] for key in line if key != "seconds"} for line in lines if line["event"] != "resumed"]
    return {"files": files, "scenes": scenes, "log": log}


def main(kind: str, root: Path, moments: int, seed: int) -> None:
    random_ = random.Random(seed)
    base = root / "base"
    if kind in ("trim", "compress") and not base.exists():
        in_fork(base, 0, lambda: work("train", base, base, False))
    (root / "whole").mkdir()
    if kind == "overwrite":
        in_fork(root, 0, lambda: train(tiny_capture(), EARLIER, root / "whole/run"))
    total = in_fork(root / "whole", 0, lambda: work(kind, base, root / "whole", False))
    expected = left_by(root / "whole")
    chosen = sorted(random_.sample(range(1, total + 1), min(moments, total)))
    print(f"{kind}: {total} touches, killed at {chosen}")
    for moment in chosen:
        folder = root / f"killed-{moment}"
        folder.mkdir()
        if kind == "overwrite":
            in_fork(folder, 0, lambda: train(tiny_capture(), EARLIER, folder / "run"))  # noqa: B023 - called at once
        resume = False
        for kill_at in [moment] + ([random_.randrange(1, total)] if random_.random() < 0.5 else []) + [0]:
            in_fork(folder, kill_at, lambda: work(kind, base, folder, resume))  # noqa: B023 - called at once
            resume = True
        found = left_by(folder)
        for part, value in found.items():
            if value != expected[part]:
                shown = "" if part == "scenes" else f": {value} instead of {expected[part]}"
                print(f"{kind} killed at touch {moment}: other {part}{shown}")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
