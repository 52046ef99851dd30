"""How many random signs rank Gaussians as the exact sums of squares over pixels do.

GaussianPOP's criterion is a sum of (dC / d log sigma_i)^2 over pixels, which only a rasteriser that is made for it adds
up. Any rasteriser with gradients estimates it: with z a random sign for each pixel and channel, the square of
d (sum z C) / d log sigma_i has that sum as its expectation. Each try is one more backward pass of the same view. The
other part of removal-error, its slope, is one backward pass of the squared error, and is exact.

Speedy-Splat's criterion is by the value g_i of the projected Gaussian, of which opacities only know the multiple
sigma_i: its row compares the same probes with what they are not made for.

Bases are run folders by the name of the capture, trained by

    leansplat train data/CAPTURE --downscale N -o BASES/NAME --iterations 10000

with N as in `CAPTURES`, and chair with `--background white`.

    python benchmarks/probes.py --bases BASES

Every second training view is used, at `SMALLER` times the downscale that the scene was trained at. The pictures and the
exact sums are the CPU engine's, which the tests hold to the reference rasteriser. A line for each capture, criterion
and number of probes: the rank correlation over all Gaussians that any view sees, and how much of the set that is kept
is the same where 50, 25 and 10 % are kept. It writes benchmarks/results/probes.json.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from scipy.stats import spearmanr
from torch import Tensor

from leansplat import engines, formats
from leansplat.captures import load
from leansplat.captures.capture import Capture
from leansplat.files import write_json
from leansplat.gaussians import Gaussians

RESULT = Path(__file__).parent / "results" / "probes.json"
CAPTURES = {"fox": ("fox", 4, "black"), "chair": ("chair_blender", 1, "white"), "tumbler": ("tumbler", 2, "black")}
"""Folder, downscale and background of each."""

SMALLER = 2
PROBES = (1, 2, 4, 8, 16)
KEPT = (0.5, 0.25, 0.1)
MOST_OPAQUE = 10.0
"""A logit beyond which one minus the opacity is lost in rounding."""


def probed(scene: Gaussians, capture: Capture, seed: int) -> tuple[dict[int, Tensor], Tensor]:
    """(N,) estimates of the sum of squares by their number of probes, and the (N,) slope."""
    engine = engines.named("cpu")
    logits = scene.opacities.clamp(max=MOST_OPAQUE).requires_grad_()
    leaf = replace(scene, opacities=logits)
    by_log = 1 / (-logits.detach()).sigmoid()
    generator = torch.Generator().manual_seed(seed)
    slope = torch.zeros(len(scene))
    found = {count: torch.zeros(len(scene)) for count in PROBES}
    for view in capture.train:
        image = engine.render(leaf, view.camera, background=capture.background).image
        counted = torch.ones_like(image) if view.mask is None else view.mask[..., None].expand_as(image).to(image)
        residual = 2 * (image.detach() - view.photo.to(image) / 255) * counted
        (by_error,) = torch.autograd.grad(image, logits, residual, retain_graph=True)
        slope -= by_error * by_log
        sums = torch.zeros(len(scene))
        for number in range(1, max(PROBES) + 1):
            signs = torch.randint(2, image.shape, generator=generator).to(image) * 2 - 1
            (gradient,) = torch.autograd.grad(image, logits, signs * counted, retain_graph=number < max(PROBES))
            sums += (gradient * by_log).square()
            if number in found:
                found[number] += sums / number
    return found, slope


def agreement(exact: Tensor, estimate: Tensor, seen: Tensor) -> dict[str, Any]:
    correlation = spearmanr(exact[seen].numpy(), estimate[seen].numpy()).statistic
    overlap = {}
    for share in KEPT:
        count = int(share * len(exact))
        first, second = (set(values.topk(count).indices.tolist()) for values in (exact, estimate))
        overlap[str(share)] = round(len(first & second) / count, 4)
    return {"rank_correlation": round(float(correlation), 4), "kept_alike": overlap}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--bases", type=Path, required=True)
    options.add_argument("--captures", type=Path, default=Path("data"), help="Folder of the captures.")
    options.add_argument("--seed", type=int, default=0)
    given = options.parse_args()
    rows = []
    for name, (folder, downscale, background) in CAPTURES.items():
        if not (given.bases / name / "scene.ply").is_file():
            print(f"{name}: there is no base", file=sys.stderr)
            continue
        color = (1.0, 1.0, 1.0) if background == "white" else (0.0, 0.0, 0.0)
        capture = load(given.captures / folder, downscale=downscale * SMALLER, background=color)
        capture = replace(capture, train=capture.train[::2])
        scene = formats.read(given.bases / name).detach()
        effects = engines.named("cpu").begin(scene, {}).removal_effects(capture.train, capture.background)
        seen = effects.visibility > 0
        estimates, slope = probed(scene, capture, given.seed)
        for count, change in estimates.items():
            for criterion, exact, estimate in (
                ("gaussianpop", effects.change, change),
                ("removal-error", effects.error_change, change + slope),
                ("speedy-splat", effects.value_gradient, change),
            ):
                row = {"capture": name, "criterion": criterion, "probes": count, **agreement(exact, estimate, seen)}
                rows.append({**row, "gaussians": len(scene), "views": len(capture.train)})
                kept = "  ".join(f"{share:.0%} {row['kept_alike'][str(share)]:.3f}" for share in KEPT)
                print(f"{name:8} {criterion:14} {count:3} probes  {row['rank_correlation']:.4f}  {kept}", flush=True)
        exact = agreement(effects.value_gradient, effects.change, seen)
        rows.append({"capture": name, "criterion": "speedy-splat by gaussianpop's exact sums", **exact})
        print(f"{name:8} {rows[-1]['criterion']}  {exact}", flush=True)
    result = {"command": "python benchmarks/probes.py --bases BASES", "smaller": SMALLER, "rows": rows}
    write_json(RESULT, result, overwrite=True)


if __name__ == "__main__":
    main()
