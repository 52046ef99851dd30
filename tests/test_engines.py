"""Train, trim and compress through another engine than the CPU's: at first like it, and resumed to the bit."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support.tiny import tiny_capture

from leansplat import engines, formats
from leansplat.compression import CompressionConfig, compress
from leansplat.compression.codecs.npz import NpzCodec
from leansplat.compression.config import FineTuningConfig, TableConfig
from leansplat.errors import InputError, RunError
from leansplat.gaussians import TENSOR_NAMES, Gaussians
from leansplat.pruning import TrimmingConfig, trim
from leansplat.runs import open_run
from leansplat.training import TrainingConfig, TrainingState, train, training_step
from leansplat.training.checkpoint import read_checkpoint
from leansplat.training.start import start_from
from leansplat.training.strategies import Densification, FaintPruning, LearnedMask
from leansplat.training.trainer import begin_training

CAPTURE = tiny_capture()
CONFIG = TrainingConfig(
    iterations=40,
    sh_degree=1,
    sh_degree_every=10,
    strategies=(
        Densification(after=8, until=35, every=8, gradient=2e-5, reset_every=20),
        LearnedMask(weight=5e-4, rate=0.1, every=8),
        FaintPruning(start=35, until=41, every=8, opacity=0.02),
    ),
    checkpoint_every=15,
)
SHORT = TrimmingConfig(keep=0.5, rounds=2, every=4, finetune=4, checkpoint_every=5)

pytestmark = pytest.mark.usefixtures("gsplat_stand_in")
other_engines = pytest.mark.parametrize("name", [name for name in engines.ENGINES if name != "cpu"])


class KilledError(Exception):
    pass


def killed_after(step: int):  # type: ignore[no-untyped-def]
    def kill(state: TrainingState) -> None:
        if state.step == step:
            raise KilledError

    return kill


def assert_same(first: Gaussians, second: Gaussians) -> None:
    for name in TENSOR_NAMES:
        assert torch.equal(getattr(first, name), getattr(second, name)), name


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the torch engine, of all that training can do."""
    folder = tmp_path_factory.mktemp("runs") / "trained"
    train(CAPTURE, CONFIG, folder, engine="torch")
    return folder


@other_engines
def test_a_training_begins_like_that_of_the_cpu(name: str) -> None:
    config = replace(CONFIG, iterations=8, strategies=())
    start = begin_training(CAPTURE, config).gaussians()
    # Not round, or rotations would have a gradient of rounding alone, of which Adam makes a whole step.
    start = replace(start, scales=start.scales + torch.tensor([0.4, 0.0, -0.4]))
    losses: dict[str, list[float]] = {}
    scenes = {}
    for engine in ("cpu", name):
        state = TrainingState.begin(start, config, CAPTURE.extent, engine=engine)
        losses[engine] = [
            training_step(state, view, config, CAPTURE.background, statistics=state.statistics)
            for view in CAPTURE.train[:6]
        ]
        scenes[engine] = state.gaussians()
    assert losses[name] == pytest.approx(losses["cpu"], rel=1e-5)
    for tensor in TENSOR_NAMES:
        found, expected = getattr(scenes[name], tensor), getattr(scenes["cpu"], tensor)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_it_learns_and_keeps_what_a_run_keeps(trained: Path) -> None:
    run = open_run(trained)
    assert run.config["settings"]["engine"] == "torch"
    events = run.events()
    assert {"densified", "opacities_reset", "faint_removed", "progress", "finished"} <= {e["event"] for e in events}
    checkpoint = read_checkpoint(run.checkpoint_path(40))
    assert checkpoint.state.model.engine == "torch"
    assert_same(checkpoint.state.gaussians(), formats.read(run.scene_path))
    plain = replace(CONFIG, iterations=80, strategies=())
    losses: list[float] = []
    train(CAPTURE, plain, engine="torch", progress=lambda step, total, values: losses.append(values["loss"]))
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize("step", [7, 33])
def test_a_training_that_was_killed_and_resumed_ends_with_the_same_bits(
    trained: Path, tmp_path: Path, step: int
) -> None:
    with pytest.raises(KilledError):
        train(CAPTURE, CONFIG, tmp_path / "run", engine="torch", after_step=killed_after(step))
    resumed = train(CAPTURE, run=tmp_path / "run", resume=True)  # the run knows its engine
    assert resumed.state.model.engine == "torch"
    assert_same(resumed.gaussians, read_checkpoint(open_run(trained).checkpoint_path(40)).state.gaussians())
    assert (tmp_path / "run" / "scene.ply").read_bytes() == (trained / "scene.ply").read_bytes()


@pytest.mark.parametrize("scene_of", ["torch", "cpu", "file"])
def test_trimming_and_compressing_go_on_from_any_engines_scene(trained: Path, tmp_path: Path, scene_of: str) -> None:
    scene: Path | Gaussians = trained
    if scene_of == "cpu":
        scene = tmp_path / "trained"
        train(CAPTURE, CONFIG, scene)
    elif scene_of == "file":
        scene = trained / "scene.ply"
    before = len(start_from(scene, 1.0, 0).state().model)
    whole = trim(scene, CAPTURE, SHORT, tmp_path / "whole", engine="torch")
    assert len(whole.gaussians) == round(0.5 * before)
    run = open_run(tmp_path / "whole")
    assert run.config["settings"]["engine"] == "torch"
    for checkpoint in run.checkpoints()[1:]:  # as if it had been killed soon after the first
        run.checkpoint_path(checkpoint).unlink()
    again = trim(scene, CAPTURE, SHORT, tmp_path / "whole", resume=True)
    assert_same(again.gaussians, whole.gaussians)


@pytest.mark.parametrize("suffix", [".npz", ".sog", ".spz", ".compressed.ply"])
def test_compressing_through_it_gives_what_the_cpu_gives_and_resumes_to_the_same_bits(
    trained: Path, tmp_path: Path, suffix: str
) -> None:
    tables = TableConfig(steps=5, batch=64, keep_above=3e-6, size=16)
    config = CompressionConfig(fine_tuning=FineTuningConfig(steps=6, checkpoint_every=4))
    codec = NpzCodec(tables, tables) if suffix == ".npz" else None
    scene, made = trained / "scene.ply", []
    for engine in ("cpu", "torch"):
        path = tmp_path / f"{engine}{suffix}"
        made.append(compress(scene, CAPTURE, path, config, tmp_path / engine, codec=codec, engine=engine).gaussians)
    assert len(made[0]) == len(made[1])
    view = CAPTURE.train[0]
    images = [engines.named("cpu").renderer(each).render(view.camera).image for each in made]
    assert float((images[0] - images[1]).abs().mean()) < 0.01
    run = open_run(tmp_path / "torch")
    run.checkpoint_path(run.checkpoints()[-1]).unlink()
    first = (tmp_path / f"torch{suffix}").read_bytes()
    compress(scene, CAPTURE, tmp_path / f"torch{suffix}", config, tmp_path / "torch", resume=True, overwrite=True)
    assert (tmp_path / f"torch{suffix}").read_bytes() == first


def test_another_engine_than_a_run_began_with_is_refused_in_a_sentence(trained: Path, tmp_path: Path) -> None:
    said = "was begun with the engine torch; go on with that, or start a new run"
    with pytest.raises(RunError, match=said):
        train(CAPTURE, run=trained, resume=True, engine="cpu")
    trim(trained, CAPTURE, SHORT, tmp_path / "trimmed", engine="torch")
    with pytest.raises(RunError, match=said):
        trim(trained, CAPTURE, SHORT, tmp_path / "trimmed", resume=True, engine="cpu")
    tuning = CompressionConfig(fine_tuning=FineTuningConfig(steps=1))
    compress(trained, CAPTURE, tmp_path / "a.spz", tuning, tmp_path / "small", engine="torch")
    with pytest.raises(RunError, match=said):
        compress(trained, CAPTURE, tmp_path / "b.spz", tuning, tmp_path / "small", resume=True, engine="cpu")
    with pytest.raises(InputError, match="held by the engine cpu"):
        train(CAPTURE, CONFIG, start=begin_training(CAPTURE, CONFIG), engine="torch")
    with pytest.raises(InputError, match="no engine 'steam'"):
        train(CAPTURE, CONFIG, tmp_path / "new", engine="steam")
    assert not (tmp_path / "new" / "config.json").exists()


def test_runs_from_before_there_were_engines_are_the_cpus(tmp_path: Path) -> None:
    with pytest.raises(KilledError):
        train(CAPTURE, CONFIG, tmp_path / "run", after_step=killed_after(2))
    path = tmp_path / "run" / "config.json"
    config = json.loads(path.read_text())
    assert config["settings"].pop("engine") == "cpu"
    path.write_text(json.dumps(config))
    assert train(CAPTURE, run=tmp_path / "run", resume=True).state.model.engine == "cpu"
