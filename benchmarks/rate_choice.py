"""What a byte is best spent on: more Gaussians or finer ones; and whether files have the size that was asked for.

    leansplat train CAPTURE -o BASES/NAME --iterations 10000      # once for fox, chair and tumbler
    python benchmarks/rate_choice.py --bases BASES --data data

Every scene teaches by its own renders from the cameras of its photos (every eighth held back) at a reduced size, so
that no photo is needed to judge. fox_opensplat.ply comes from another tool, with its cameras. Three parts:

"shares" measures what fine-tuning leaves of the squared error by pruning at once and by coarse numbers, which
`leansplat.shrinking.fitting.Shares` puts into two curves. "choices" makes .sog files of three sizes by the balance that
is measured on the scene, and by fixed choices: the most Gaussians with the smallest palette, the most without
harmonics, a palette of 1,024, and the usual palette with as many Gaussians as then fit; as they are, and after a short
tuning through the file. "sizes" asks for further sizes in three formats.

It prints a line a result and adds it to benchmarks/results/rate_choice.json, where what is there is not made again.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from torch import Tensor

from leansplat import formats
from leansplat.captures import load
from leansplat.captures.capture import Capture
from leansplat.captures.inria_cameras import read_cameras
from leansplat.compression import Codec, CompressedPlyCodec, FineTuningConfig, SogCodec, SpzCodec, fine_tune
from leansplat.compression.preparation import Subject
from leansplat.engines import named
from leansplat.files import write_json
from leansplat.formats.sog import SMALLEST_PALETTE, usual_palette_size
from leansplat.gaussians import Gaussians
from leansplat.scoring import mean_score, view_scores
from leansplat.shrinking.coded import decoded
from leansplat.shrinking.fitting import Choice, choose, prepare
from leansplat.shrinking.plain import PlyCodec, codec_for
from leansplat.shrinking.teacher import teacher_capture
from leansplat.shrinking.within import worth_of, write_within
from leansplat.simd.threads import set_thread_count

RESULT = Path(__file__).parent / "results" / "rate_choice.json"
COMMAND = "python benchmarks/rate_choice.py --bases BASES --data data"

CAPTURES = {"fox": ("fox", 4, 2), "tumbler": ("tumbler", 4, 1), "chair": ("chair_blender", 1, 2)}
"""Folder of the photos by the name of the scene, their downscale, and that of their cameras once more."""

OPENSPLAT = "fox_opensplat"
SIZES = {
    OPENSPLAT: (300_000, 120_000, 50_000),
    "chair": (500_000, 200_000, 80_000),
    "fox": (1_000_000, 400_000, 150_000),
    "tumbler": (1_000_000, 400_000, 150_000),
}
"""Bytes of the files of "choices"."""

FURTHER = {
    OPENSPLAT: ((".sog", 200_000), (".spz", 400_000), (".compressed.ply", 150_000)),
    "chair": ((".sog", 123_456), (".spz", 700_000), (".compressed.ply", 1_000_000)),
    "fox": ((".sog", 2_000_000), (".spz", 1_500_000), (".compressed.ply", 500_000)),
    "tumbler": ((".sog", 700_000), (".spz", 300_000), (".compressed.ply", 2_500_000)),
}
"""Suffix and bytes of the files of "sizes"."""

TUNING = 200
SHARES = (60, 240, 960)


@dataclass(frozen=True)
class Case:
    """A scene, its own renders, and what each Gaussian is worth to them."""

    name: str
    scene: Gaussians
    capture: Capture
    worth: Tensor

    @classmethod
    def of(cls, name: str, bases: Path, data: Path) -> Case:
        if name == OPENSPLAT:
            scene = formats.read(data / "scenes" / f"{OPENSPLAT}.ply")
            capture = teacher_capture(scene, read_cameras(data / "scenes" / f"{OPENSPLAT}.cameras.json", downscale=4))
        else:
            folder, downscale, again = CAPTURES[name]
            background = (1.0, 1.0, 1.0) if name == "chair" else (0.0, 0.0, 0.0)
            photos = load(data / "captures" / folder, downscale=downscale, background=background)
            scene = formats.read(bases / name)
            cameras = {
                view.name: view.camera.resized(view.camera.width // again, view.camera.height // again)
                for view in (*photos.train, *photos.test)
            }
            capture = teacher_capture(
                scene, cameras, held_back=[view.name for view in photos.test], background=background
            )
        return cls(name, scene, capture, worth_of(scene, capture))

    def quality(self, scene: Gaussians) -> dict[str, float | None]:
        mean = mean_score(view_scores(named("cpu").renderer(scene), self.capture.test, self.capture.background))
        return {"psnr": mean.psnr, "ssim": mean.ssim}

    def error(self, scene: Gaussians) -> float:
        """Mean squared error on the views held back."""
        renderer = named("cpu").renderer(scene)
        squares = [
            (renderer.render(view.camera, self.capture.background).image.clamp(0, 1) - view.photo / 255).square().mean()
            for view in self.capture.test
        ]
        return statistics.fmean(map(float, squares))

    def most_worthy(self, share: float) -> Gaussians:
        return self.scene[self.worth.argsort(descending=True)[: round(share * len(self.scene))].sort().values]

    def tuned(self, scene: Gaussians, codec: Codec, steps: int) -> tuple[Gaussians, Gaussians]:
        """A scene as a codec says it, before and after some steps."""
        config = FineTuningConfig(steps=steps)
        ready = codec.prepare(Subject(scene, self.capture, config))
        before = decoded(ready.quantiser, ready.quantiser.begin(ready.gaussians))
        return before, decoded(
            ready.quantiser, fine_tune(ready.gaussians, self.capture, ready.quantiser, config).latents
        )


def shares(case: Case) -> Iterator[dict[str, Any]]:
    whole = case.scene
    kinds: dict[str, tuple[Gaussians, Codec]] = {
        "pruning to 25 %": (case.most_worthy(0.25), PlyCodec()),
        "pruning to 10 %": (case.most_worthy(0.1), PlyCodec()),
        "a palette of 64": (whole, SogCodec(palette_size=64)),
        "a palette of 1,024": (whole, SogCodec(palette_size=1024)),
        "steps of 2 octaves": (whole, SpzCodec(sh_octaves=2.0)),
        "the rounding of .compressed.ply": (whole, CompressedPlyCodec()),
        "no harmonics": (whole.with_sh_degree(0), PlyCodec()),
    }
    for kind, (scene, codec) in kinds.items():
        for steps in SHARES:
            before, after = case.tuned(scene, codec, steps)
            first = case.error(before)
            yield {"kind": kind, "steps": steps, "error": first, "left": case.error(after) / first}


def made(case: Case, choice: Choice, suffix: str, steps: int) -> dict[str, Any]:
    """A file by a choice, as `shrink` makes it."""
    ready = prepare(case.scene, case.worth, case.capture, choice, steps=steps)
    config = FineTuningConfig(steps=steps)
    latents = fine_tune(ready.gaussians, case.capture, ready.quantiser, config).latents
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"scene{suffix}"
        worth = worth_of(decoded(ready.quantiser, latents), case.capture)
        taken = write_within(ready.quantiser, latents, path, choice.size, worth)
        scene = formats.read(path)
    return {
        "suffix": suffix,
        "size": choice.size,
        "steps": steps,
        "bytes": taken,
        "share": taken / choice.size,
        "gaussians": len(scene),
        "sh_degree": choice.sh_degree,
        "codec": choice.codec.to_json(),
        **case.quality(scene),
    }


def choices(case: Case, there: set[tuple[str, int, int]]) -> Iterator[dict[str, Any]]:
    degree = case.scene.sh_degree
    for size in SIZES[case.name]:
        guess = size // 15
        usual = usual_palette_size(size // 30)
        fixed = {
            "most, smallest palette": Choice(guess, degree, SogCodec(palette_size=SMALLEST_PALETTE), size, size),
            "most, no harmonics": Choice(guess, 0, SogCodec(palette_size=SMALLEST_PALETTE), size, size),
            "a palette of 1,024": Choice(guess, degree, SogCodec(palette_size=1024), size, size),
            "usual palette": Choice(guess // 2, degree, SogCodec(palette_size=usual), size, size),
        }
        for steps in (0, TUNING):
            if ("balance", size, steps) not in there:
                yield balanced(case, size, steps)
            for how, choice in fixed.items():
                if (how, size, steps) not in there:
                    yield {"how": how, **made(case, choice, ".sog", steps)}


def balanced(case: Case, size: int, steps: int) -> dict[str, Any]:
    began = time.process_time()
    balance = choose(case.scene, case.worth, case.capture, SogCodec(), size, steps=steps)
    seconds = time.process_time() - began
    tried = [
        {
            "palette_size": each.codec.to_json()["palette_size"] if each.sh_degree else 0,
            "gaussians": each.count,
            "pruning": each.pruning,
            "coarseness": each.coarseness,
        }
        for each in balance.tried
    ]
    return {"how": "balance", **made(case, balance, ".sog", steps), "seconds": seconds, "tried": tried}


def sizes(case: Case) -> Iterator[dict[str, Any]]:
    for suffix, size in FURTHER[case.name]:
        choice = choose(case.scene, case.worth, case.capture, codec_for(f"scene{suffix}"), size, steps=TUNING)
        yield made(case, choice, suffix, TUNING)


PARTS = ("shares", "choices", "sizes")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bases", type=Path, required=True, help="folder with a run folder for each trained scene")
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder with captures and scenes")
    parser.add_argument("--only", nargs="+", choices=tuple(SIZES), default=tuple(SIZES))
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--threads", type=int)
    arguments = parser.parse_args()
    if arguments.threads is not None:
        set_thread_count(arguments.threads)
    found = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.exists() else {"command": COMMAND}
    for name in arguments.only:
        case = Case.of(name, arguments.bases, arguments.data)
        for part in arguments.parts:
            rows = found.setdefault(part, {}).setdefault(name, [])
            there = {(row["how"], row["size"], row["steps"]) for row in rows if "how" in row}
            if rows and part != "choices":
                continue
            for row in choices(case, there) if part == "choices" else (shares if part == "shares" else sizes)(case):
                rows.append(row)
                print(name, part, json.dumps({key: value for key, value in row.items() if key != "tried"}), flush=True)
                if part == "choices":
                    write_json(RESULT, found, overwrite=True)
            write_json(RESULT, found, overwrite=True)
    summarise(found)


def summarise(found: dict[str, Any]) -> None:
    """Print how the balance does against the best and the worst fixed choice."""
    for name, rows in found.get("choices", {}).items():
        for size, steps in sorted({(row["size"], row["steps"]) for row in rows}):
            some = {row["how"]: row["psnr"] for row in rows if (row["size"], row["steps"]) == (size, steps)}
            balance = some.pop("balance")
            others = ", ".join(f"{how} {psnr - balance:+.2f}" for how, psnr in some.items())
            print(f"{name} {size:,} bytes, {steps} steps: balance {balance:.2f} dB; {others}", file=sys.stderr)
    missed = [row for rows in found.get("sizes", {}).values() for row in rows if not 0.97 <= row["share"] <= 1]
    print(f"files outside 97 to 100 %: {len(missed)}", file=sys.stderr)


if __name__ == "__main__":
    main()
