"""A short train, trim and compress as digests: what a change of structure must not change by a bit.

`python tests/recorded_bits.py` records the digests of the machine at hand in `recorded_bits.json`. Instruction sets and
versions of libraries round last bits differently, so a recording counts for machines of its own kind.
"""

from __future__ import annotations

import hashlib
import json
import platform
import tempfile
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numba
import torch
from llvmlite import binding
from support.tiny import tiny_capture
from torch import Tensor

from leansplat.compression import CompressedPlyCodec, CompressionConfig, NpzCodec, SogCodec, SpzCodec, compress
from leansplat.compression.config import FineTuningConfig, TableConfig
from leansplat.gaussians import TENSOR_NAMES
from leansplat.pruning import TrimmingConfig, trim
from leansplat.simd.threads import set_thread_count, thread_count
from leansplat.training import TrainingConfig, train
from leansplat.training.strategies import Densification, FaintPruning, LearnedMask

RECORDED = Path(__file__).with_suffix(".json")

DENSIFICATION = Densification(after=20, until=120, every=20, gradient=2e-5, size=0.02, reset_every=60)
RECIPE = TrainingConfig(
    iterations=150,
    sh_degree_every=40,
    position_rate_steps=150,
    strategies=(DENSIFICATION,),
    checkpoint_every=70,
)
MASKED = (
    DENSIFICATION,
    LearnedMask(weight=5e-4, rate=0.5, every=20),
    FaintPruning(start=120, until=150, every=20),
)
COMPRESSION = CompressionConfig(fine_tuning=FineTuningConfig(steps=12))
TABLES = NpzCodec(
    colors=TableConfig(steps=5, batch=64, keep_above=6e-7, size=16),
    shapes=TableConfig(steps=5, batch=64, keep_above=3e-6, size=16),
)


def kind_of_machine() -> str:
    """What decides last bits besides the sources: processor, instruction sets, versions of what computes."""
    features = binding.get_host_cpu_features()
    sets = [name for name in ("avx2", "fma", "avx512f", "neon") if features.get(name)]
    packages = [f"{name} {version(name)}" for name in ("torch", "numpy", "numba", "scipy", "pillow")]
    vendor = binding.get_host_cpu_name()
    return ", ".join([platform.system(), platform.machine(), vendor, *sets, *packages])


def digests(threads: int) -> dict[str, str]:
    """Digests of everything that a short train, trim and compress makes, by name, on some threads."""
    before = thread_count()
    set_thread_count(threads)
    try:
        with tempfile.TemporaryDirectory() as folder:
            return _digests(Path(folder))
    finally:
        set_thread_count(before)


def _digests(folder: Path) -> dict[str, str]:
    capture = tiny_capture()
    made = {}
    for name, recipe in {
        "published": RECIPE,
        "learned mask": replace(RECIPE, strategies=MASKED),
        "white": replace(RECIPE, iterations=90, seed=1),
    }.items():
        shown = tiny_capture(background=(1.0, 1.0, 1.0)) if name == "white" else capture
        trained = train(shown, recipe, folder / name)
        scene = trained.gaussians
        made[f"train, {name}"] = _of([getattr(scene, tensor) for tensor in TENSOR_NAMES])
        made[f"train, {name}, scene.ply"] = _of_file(folder / name / "scene.ply")
    for source in ("fresh", "stale"):
        settings = TrimmingConfig(
            keep=0.5, criterion="gradient", rounds=2, every=10, finetune=15, gradient_source=source
        )
        trimmed = trim(folder / "published", capture, settings, folder / source).gaussians
        made[f"trim, {source}"] = _of([getattr(trimmed, tensor) for tensor in TENSOR_NAMES])
    for codec in (TABLES, SogCodec(sh_loss=1.5), SpzCodec(sh_loss=1.5), CompressedPlyCodec()):
        path = folder / f"small{codec.suffix}"
        compress(folder / "fresh", capture, path, COMPRESSION, codec=codec)
        made[f"compress, {codec.suffix}"] = _of_file(path)
    return made


def _of(tensors: list[Tensor]) -> str:
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(f"{tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def _of_file(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


if __name__ == "__main__":
    torch.set_num_threads(1)
    recorded = json.loads(RECORDED.read_text()) if RECORDED.exists() else {}
    recorded[kind_of_machine()] = {
        str(threads): digests(threads) for threads in (1, 2) if threads <= numba.config.NUMBA_NUM_THREADS
    }
    RECORDED.write_text(json.dumps(recorded, indent=1) + "\n")
