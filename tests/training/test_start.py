"""Where trimming starts from the files of 3DGS: as the authors' code would go on. For runs see test_trimmer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support.inria_files import EXTENT, RATES, Training, by_our_names, by_their_names, random_scene
from support.tiny import blobs, tiny_capture

from leansplat import formats
from leansplat.engines.cpu.model import CpuModel
from leansplat.engines.cpu.packed import pack
from leansplat.errors import InputError, SceneFileError
from leansplat.ordering import morton_order
from leansplat.pruning import TrimmingConfig, trim
from leansplat.runs import hash_file, open_run
from leansplat.training import schedule
from leansplat.training.start import hash_scene, start_from

OTHER_EXTENT = 9.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "chkpnt30000.pth"


@pytest.mark.parametrize("degree", [0, 3])
def test_the_next_step_from_a_checkpoint_is_the_one_that_pytorchs_adam_takes(path: Path, degree: int) -> None:
    """After so few steps the correction of the moments' bias, and with it the count of steps, matters."""
    training = Training(random_scene(degree=degree), steps=3)
    start = start_from(training.save(path), OTHER_EXTENT, 0)
    gradients = training.random_gradients()
    before = training.gaussians()
    training.step(gradients)
    order = morton_order(before.means)
    model = start.state.model
    assert isinstance(model, CpuModel)
    model.set_rate("means", RATES["xyz"])
    model.update(pack(by_our_names(gradients)[order]).data)
    after = by_their_names(model.gaussians())
    old = by_their_names(before[order])
    for name, expected in by_their_names(training.gaussians()[order]).items():
        assert not torch.equal(after[name], old[name]) or after[name].numel() == 0
        torch.testing.assert_close(after[name], expected, rtol=1e-6, atol=1e-6)
        # Relative to how far the step goes, up to the rounding of the parameters.
        torch.testing.assert_close(after[name] - old[name], expected - old[name], rtol=1e-3, atol=5e-7)


def test_statistics_stay_with_their_gaussians(path: Path) -> None:
    training = Training()
    by_position = training.gaussians().means[:, 0].abs()
    statistics = {
        "xyz_gradient_accum": by_position[:, None],
        "denom": (100 * by_position).round()[:, None],
        "max_radii2D": 2 * by_position,
    }
    state = start_from(training.save(path, **statistics), OTHER_EXTENT, 0).state
    means = state.gaussians().means[:, 0].abs()
    assert torch.equal(state.statistics.gradient_sum, means)
    assert torch.equal(state.statistics.views_seen, (100 * means).round().int())
    assert torch.equal(state.statistics.max_radius, 2 * means)


@pytest.mark.parametrize("iteration", [7_000, 30_000, 40_000])
def test_training_goes_on_at_the_final_position_rate_of_the_files_extent(path: Path, iteration: int) -> None:
    start = start_from(Training().save(path, iteration=iteration), OTHER_EXTENT, 0)
    state, config = start.state, start.training
    assert config.iterations == iteration
    assert schedule.position_rate(config, state.step + 1, state.extent) == pytest.approx(1.6e-6 * EXTENT)
    assert schedule.sh_degree(config, state.step + 1) == 3


def test_the_other_learning_rates_are_the_files(path: Path) -> None:
    config = start_from(Training().save(path), OTHER_EXTENT, 5).training
    rates = (config.sh0_rate, config.shN_rate, config.opacity_rate, config.scale_rate, config.quat_rate)
    assert rates == tuple(RATES[name] for name in ("f_dc", "f_rest", "opacity", "scaling", "rotation"))
    assert config.seed == 5


def test_a_start_tells_which_file_it_is_from(path: Path, tmp_path: Path) -> None:
    start = start_from(Training().save(path), OTHER_EXTENT, 0)
    assert start.has_optimizer
    assert hash_scene(path) == hash_file(path)
    cloud = tmp_path / "out" / "point_cloud" / "iteration_30" / "point_cloud.ply"
    cloud.parent.mkdir(parents=True)
    formats.write(random_scene(5), cloud)
    start = start_from(tmp_path / "out", OTHER_EXTENT, 0)
    assert not start.has_optimizer
    assert hash_scene(tmp_path / "out") == hash_file(cloud)
    assert (len(start.state.model), start.state.extent) == (5, OTHER_EXTENT)


def test_stale_gradients_are_those_of_the_checkpoint(path: Path, tmp_path: Path) -> None:
    """As the authors' code prunes: what is low in opacity and in the file's mean gradient goes, nothing is gathered."""
    scene = blobs(60)
    low = torch.arange(60) % 2 == 0
    half_transparent = replace(scene, opacities=torch.where(low, -1.0, 3.0) + torch.arange(60) / 1000)
    gradient = torch.where(low, 0.0, 1.0) + torch.arange(60) / 100
    views = torch.full((60,), 4.0)
    training = Training(half_transparent, steps=1)
    training.save(path, xyz_gradient_accum=(views * gradient)[:, None], denom=views[:, None], max_radii2D=views)
    config = TrimmingConfig(keep=0.5, gradient_source="stale", rounds=1, every=2, finetune=0)
    trim(path, tiny_capture(), config, tmp_path / "run")
    left = start_from(tmp_path / "run", OTHER_EXTENT, 0).state
    gradients = left.statistics.mean_gradient().sort().values
    torch.testing.assert_close(gradients, gradient[~low])
    events = {event["event"]: event for event in open_run(tmp_path / "run").events()}
    assert events["started"]["optimizer"] == "kept"
    assert "stale_gradients_emulated" not in events


def test_a_checkpoint_that_cannot_be_trimmed_is_refused_in_a_sentence(path: Path) -> None:
    scene = random_scene()
    scene.opacities[7] = float("nan")
    with pytest.raises(InputError, match=r"chkpnt30000\.pth has 1 Gaussians that are not finite"):
        start_from(Training(scene, steps=1).save(path), 1.0, 0)
    with pytest.raises(InputError, match=r"chkpnt30000\.pth has no Gaussians"):
        start_from(Training(random_scene(0)).save(path), 1.0, 0)
    with pytest.raises(SceneFileError, match="does not exist"):
        start_from(path.with_name("none.pth"), 1.0, 0)
