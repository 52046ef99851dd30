"""Whole runs of the engine gsplat, with a stand-in that draws as we do: what they make is what the CPU's runs make."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support import gsplat_stand_in
from support.tiny import tiny_capture

from leansplat import engines, formats, shrink
from leansplat.compression import CompressionConfig, compress
from leansplat.compression.config import FineTuningConfig
from leansplat.engines.torch import gsplat
from leansplat.errors import InputError
from leansplat.evaluation import evaluate
from leansplat.gaussians import TENSOR_NAMES, Gaussians
from leansplat.pruning import TrimmingConfig, trim
from leansplat.shrinking import ShrinkingConfig, Target
from leansplat.shrinking.from_photos import train_to_file
from leansplat.training import TrainingConfig, lean, train
from leansplat.training.start import start_from
from leansplat.training.strategies import Densification

CAPTURE = tiny_capture()
CONFIG = TrainingConfig(
    iterations=40,
    sh_degree=1,
    sh_degree_every=10,
    strategies=(Densification(after=8, until=35, every=8, gradient=2e-5, reset_every=20),),
    checkpoint_every=20,
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same training on both devices."""
    folder = tmp_path_factory.mktemp("runs")
    with gsplat_stand_in.in_place_of_gsplat():
        for engine in ("cpu", "gsplat"):
            train(CAPTURE, CONFIG, folder / engine, engine=engine)
    return {engine: folder / engine for engine in ("cpu", "gsplat")}


def difference(first: Gaussians, second: Gaussians) -> float:
    """Mean over the pixels of the photos held out."""
    renderers = [engines.named("cpu").renderer(each) for each in (first, second)]
    images = [
        torch.stack([renderer.render(view.camera, CAPTURE.background).image for view in CAPTURE.test])
        for renderer in renderers
    ]
    return float((images[0] - images[1]).abs().mean())


@pytest.mark.usefixtures("gsplat_stand_in")
def test_a_training_is_that_of_the_cpu(runs: dict[str, Path]) -> None:
    cpu, card = (formats.read(run / "scene.ply") for run in runs.values())
    assert abs(len(card) - len(cpu)) <= 0.05 * len(cpu)
    assert difference(cpu, card) < 0.01


@pytest.mark.usefixtures("gsplat_stand_in")
def test_a_training_by_the_lean_recipe_is_that_of_the_cpu_in_number_and_quality() -> None:
    found = [train(CAPTURE, lean(60, 150), engine=engine).gaussians for engine in ("cpu", "gsplat")]
    assert [len(scene) for scene in found] == [60, 60]
    quality = [evaluate(scene, CAPTURE, lpips=None, fps=False).psnr or 0 for scene in found]
    assert min(quality) > 15
    assert abs(quality[0] - quality[1]) < 0.5


@pytest.mark.usefixtures("gsplat_stand_in")
def test_a_training_straight_to_a_file_is_that_of_the_cpu_in_number_and_quality(tmp_path: Path) -> None:
    found = []
    for engine in ("cpu", "gsplat"):
        made = train_to_file(CAPTURE, tmp_path / f"{engine}.sog", count=50, iterations=100, engine=engine)
        assert made.tuned
        found.append(formats.read(tmp_path / f"{engine}.sog"))
    assert [len(scene) for scene in found] == [50, 50]
    quality = [evaluate(scene, CAPTURE, lpips=None, fps=False).psnr or 0 for scene in found]
    assert min(quality) > 15
    assert abs(quality[0] - quality[1]) < 0.5


@pytest.mark.usefixtures("gsplat_stand_in")
@pytest.mark.parametrize("criterion", ["gradient", "weight-sum", "gaussianpop", "removal-error", "lightgaussian"])
def test_a_trimming_is_that_of_the_cpu(runs: dict[str, Path], criterion: str) -> None:
    config = TrimmingConfig(keep=0.5, rounds=2, every=3, finetune=3, criterion=criterion)
    cpu, card = (trim(runs["cpu"], CAPTURE, config, engine=engine).gaussians for engine in ("cpu", "gsplat"))
    assert len(cpu) == len(card)
    assert difference(cpu, card) < 0.01


@pytest.mark.usefixtures("gsplat_stand_in")
def test_shrinking_and_compressing_are_those_of_the_cpu(runs: dict[str, Path], tmp_path: Path) -> None:
    scene = runs["cpu"] / "scene.ply"
    config = CompressionConfig(fine_tuning=FineTuningConfig(steps=5))
    for engine in ("cpu", "gsplat"):
        compress(scene, CAPTURE, tmp_path / f"{engine}.sog", config, engine=engine)
        settings = ShrinkingConfig(steps=4, view_size=64, views=9)
        shrink(scene, tmp_path / f"{engine}.spz", Target(keep=0.6), settings, capture=CAPTURE, engine=engine)
    for suffix in ("sog", "spz"):
        cpu, card = (formats.read(tmp_path / f"{engine}.{suffix}") for engine in ("cpu", "gsplat"))
        assert len(cpu) == len(card)
        assert difference(cpu, card) < 0.02


def test_a_run_goes_on_with_the_other_device_both_ways_even_where_there_is_no_card(
    runs: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = TrimmingConfig(keep=0.5, rounds=1, every=2, finetune=2)
    with gsplat_stand_in.in_place_of_gsplat():
        there = start_from(runs["cpu"], 1.0, 0, "gsplat").state().model
        trim(runs["cpu"], CAPTURE, config, engine="gsplat")
        expected = start_from(runs["gsplat"], 1.0, 0, "cpu").state().model
    monkeypatch.setattr(gsplat, "missing", lambda: ["a card"])
    back = start_from(runs["gsplat"], 1.0, 0, "cpu").state().model
    assert (there.engine, back.engine) == ("gsplat", "cpu")
    assert there.facts.steps == back.facts.steps == 40
    for name in TENSOR_NAMES:
        assert torch.equal(getattr(back.gaussians(), name), getattr(expected.gaussians(), name))
        assert torch.equal(getattr(back.moments().second, name), getattr(expected.moments().second, name))
    trim(runs["gsplat"], CAPTURE, config, engine="cpu")
    with pytest.raises(InputError, match="needs a card; without --device"):
        trim(runs["gsplat"], CAPTURE, config, engine="gsplat")
    with pytest.raises(InputError, match="needs a card; without --device"):  # a run goes on where it began
        train(CAPTURE, run=runs["gsplat"], resume=True)
