"""How well a scene matches photos it was trained on and photos held out, along its training.

    python benchmarks/heldout_curve.py --capture data/fox CHECKPOINT...

Checkpoints are those of a run folder; a run keeps its last two, so copy the others aside while it trains. Prints a
table and writes benchmarks/results/heldout_curve.json.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from leansplat.captures import load
from leansplat.evaluation import evaluate
from leansplat.files import write_json
from leansplat.training.checkpoint import read_checkpoint

RESULT = Path(__file__).parent / "results" / "heldout_curve.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--capture", type=Path, default=Path("data/fox"), help="`leansplat download fox -o data`")
    parser.add_argument("--downscale", type=int, default=4)
    parser.add_argument("checkpoints", type=Path, nargs="+")
    arguments = parser.parse_args()
    capture = load(arguments.capture, downscale=arguments.downscale)

    rows = []
    print(f"{'step':>8}{'Gaussians':>12}{'held out':>18}{'trained on':>18}")
    states = (read_checkpoint(path).state for path in arguments.checkpoints)
    for state in sorted(states, key=lambda state: state.step):
        scene = state.gaussians()
        row: dict[str, float] = {"step": state.step, "gaussians": len(scene)}
        for split in ("test", "train"):
            quality = evaluate(scene, capture, lpips=None, split=split, fps=False)
            row[f"{split}_psnr"], row[f"{split}_ssim"] = quality.psnr, quality.ssim
        rows.append(row)
        print(
            f"{row['step']:>8}{row['gaussians']:>12,}{row['test_psnr']:>11.2f}{row['test_ssim']:>7.4f}"
            f"{row['train_psnr']:>11.2f}{row['train_ssim']:>7.4f}"
        )
    command = "python benchmarks/heldout_curve.py --capture data/fox CHECKPOINT..."
    write_json(
        RESULT,
        {"command": command, "capture": "fox at 270x480, every 8th photo held out", "rows": rows},
        overwrite=True,
    )


if __name__ == "__main__":
    main()
