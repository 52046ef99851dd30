"""Checkpoints of 3DGS: everything in them arrives, nothing in them runs, and what is wrong is told in a sentence."""

from __future__ import annotations

import os
import pickle
import random
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.inria_files import EXTENT, RATES, Training, by_our_names, random_scene, rewrite_pickle

from leansplat import formats
from leansplat.errors import SceneFileError
from leansplat.formats import inria_checkpoint
from leansplat.gaussians import TENSOR_NAMES, Gaussians


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "chkpnt30000.pth"


def assert_same(found: Gaussians, expected: Gaussians) -> None:
    for name in TENSOR_NAMES:
        assert torch.equal(getattr(found, name), getattr(expected, name)), name


def refusal(path: Path) -> str:
    """Why a file is refused; a scene that can be read may come with a training state that cannot."""
    with pytest.raises(SceneFileError) as raised:
        inria_checkpoint.load(path)
    sentence = str(raised.value)
    assert sentence.startswith(str(path))
    assert "\n" not in sentence
    return sentence


@pytest.mark.parametrize("degree", range(4))
def test_a_checkpoint_reads_as_the_scene_it_was_saved_from(path: Path, degree: int) -> None:
    training = Training(random_scene(degree=degree))
    scene = formats.read(training.save(path))
    assert_same(scene, training.gaussians())
    for name in TENSOR_NAMES:
        values = getattr(scene, name)
        assert values.dtype == torch.float32
        assert values.is_contiguous()
        assert not values.requires_grad


def test_a_scene_outlives_its_file(path: Path) -> None:
    """The file is mapped while it is read; what is returned must not be."""
    training = Training()
    scene = formats.read(training.save(path))
    path.write_bytes(bytes(path.stat().st_size))
    assert_same(scene, training.gaussians())


def test_a_checkpoint_converts_to_the_ply_that_3dgs_writes(path: Path, tmp_path: Path) -> None:
    training = Training()
    formats.write(formats.read(training.save(path)), tmp_path / "scene.ply")
    assert_same(formats.read(tmp_path / "scene.ply"), training.gaussians())


def test_the_optimiser_arrives(path: Path) -> None:
    training = Training(steps=6)
    checkpoint = inria_checkpoint.load(training.save(path, iteration=7_000))
    states = training.optimizer.state_dict()["state"]
    for key, found in (("exp_avg", checkpoint.first_moment), ("exp_avg_sq", checkpoint.second_moment)):
        assert_same(found, by_our_names({name: states[index][key] for index, name in enumerate(RATES)}))
    assert (checkpoint.steps, checkpoint.iteration, checkpoint.extent) == (6, 7_000, EXTENT)
    assert checkpoint.rates == {
        "means": RATES["xyz"],
        "quats": RATES["rotation"],
        "scales": RATES["scaling"],
        "opacities": RATES["opacity"],
        "sh0": RATES["f_dc"],
        "shN": RATES["f_rest"],
    }


def test_the_statistics_arrive(path: Path) -> None:
    training = Training()
    checkpoint = inria_checkpoint.load(training.save(path))
    assert torch.equal(checkpoint.gradient_sum, training.statistics["xyz_gradient_accum"][:, 0])
    assert checkpoint.views_seen.tolist() == [index % 5 for index in range(37)]
    assert checkpoint.views_seen.dtype == torch.int32
    assert torch.equal(checkpoint.max_radius, training.statistics["max_radii2D"])


def test_a_checkpoint_of_a_gpu_reads_without_one(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    training = Training()
    with monkeypatch.context() as patch:
        patch.setattr(torch.serialization, "location_tag", lambda storage: "cuda:0")
        training.save(path)
    with zipfile.ZipFile(path) as archive:
        assert b"cuda:0" in archive.read("chkpnt30000/data.pkl")
    assert_same(formats.read(path), training.gaussians())


@pytest.mark.parametrize("kind", [np.float64, np.float32, float, int])
@pytest.mark.parametrize("module", [b"numpy.core.multiarray", b"numpy._core.multiarray"])
def test_the_extent_may_be_a_number_of_numpy_1_or_2(path: Path, kind: type, module: bytes) -> None:
    Training().save(path, spatial_lr_scale=kind(3))
    rewrite_pickle(path, lambda content: content.replace(np.float64(0).__reduce__()[0].__module__.encode(), module))
    assert inria_checkpoint.load(path).extent == 3.0


@pytest.mark.parametrize(
    ("steps", "counted"),
    [
        ([torch.tensor(9.0)] * 6, 9),
        ([9] * 6, 9),  # before PyTorch 1.12
        ([9, 9, 9, 8, 9, 9], 9),  # an opacity reset has skipped one
        ([torch.tensor(0.0)] * 6, 30_000),  # sparse Adam does not count
        ([None] * 6, 30_000),
    ],
)
def test_adams_updates_are_counted_however_the_file_tells_them(path: Path, steps: list[Any], counted: int) -> None:
    training = Training()
    state_dict = training.optimizer.state_dict()
    for index, step in enumerate(steps):
        if step is None:
            del state_dict["state"][index]["step"]
        else:
            state_dict["state"][index]["step"] = step
    assert inria_checkpoint.load(training.save(path, optimizer=state_dict)).steps == counted


class Command:
    """What a malicious pickle asks for: a program to be run when it is loaded."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.trace),)


@pytest.mark.parametrize("place", ["alone", "extent", "state", "not zipped"])
def test_nothing_that_a_pickle_asks_for_is_run(path: Path, tmp_path: Path, place: str) -> None:
    command = Command(tmp_path / "trace")
    training = Training()
    if place == "alone":
        torch.save(command, path)
    elif place == "extent":
        training.save(path, spatial_lr_scale=command)
    elif place == "state":
        training.save(path, optimizer={**training.optimizer.state_dict(), "more": command})
    else:
        path.write_bytes(pickle.dumps(command))
    for read in (inria_checkpoint.load, formats.read):
        with pytest.raises(SceneFileError):
            read(path)
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize("value", [np.zeros(3), np.dtype("f8"), np.int64(3), np.complex128(1), np.array(object())])
def test_numpy_may_bring_nothing_but_two_types_of_numbers(path: Path, value: Any) -> None:
    Training().save(path, spatial_lr_scale=value)
    refusal(path)


def test_reading_leaves_what_pytorch_may_unpickle_as_it_was(path: Path) -> None:
    before = set(torch.serialization.get_safe_globals())
    inria_checkpoint.load(Training().save(path))
    assert set(torch.serialization.get_safe_globals()) == before


@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_refused(path: Path, share: float) -> None:
    content = Training().save(path).read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert "not a whole zip file" in refusal(path)
    with pytest.raises(SceneFileError):
        formats.read(path)


def test_a_damaged_byte_is_refused_or_does_no_harm(path: Path) -> None:
    """Bytes of numbers may be anything; those of the pickle and of the zip's directory must not lead anywhere else."""
    content = Training(random_scene(3, degree=0), steps=1).save(path).read_bytes()
    generator = random.Random(5)
    outcomes = set()
    for _ in range(400):
        damaged = bytearray(content)
        damaged[generator.randrange(len(content))] = generator.randrange(256)
        path.write_bytes(damaged)
        try:
            outcomes.add(len(inria_checkpoint.load(path).gaussians))
        except SceneFileError:
            outcomes.add(-1)
    assert outcomes == {3, -1}


def other_optimizer(**changes: Any) -> dict[str, Any]:
    """The optimiser's state with the first parameter's replaced by what is named."""
    state_dict = Training().optimizer.state_dict()
    state_dict["state"][0] = {**state_dict["state"][0], **changes}
    return state_dict


@pytest.mark.parametrize(
    ("entry", "value", "words"),
    [
        ("xyz", torch.zeros(37, 2), "means has shape (37, 2)"),
        ("xyz", torch.zeros(36, 3), "(36, 4) is expected"),
        ("xyz", torch.tensor(1.0), "xyz is a number"),
        ("xyz", [0.0] * 3, "xyz is not a tensor"),
        ("xyz", torch.zeros(37, 3, dtype=torch.float64), "xyz is of type torch.float64"),
        ("xyz", torch.zeros(37, 3).to_sparse(), "xyz is not a tensor"),
        ("xyz", torch.zeros(37, 3, device="meta"), "xyz is not a tensor"),
        ("xyz", torch.zeros(1, 3).expand(10**12, 3), "more numbers than the file has"),
        ("f_rest", torch.zeros(37, 4, 3), "shN has 4 coefficients"),
        ("scaling", torch.zeros(37, 1), "scales has shape (37, 1)"),
        ("opacity", torch.zeros(1, 37), "opacities has shape (1, 37)"),
        ("max_radii2D", torch.zeros(36), "max_radii2D has shape (36,)"),
        ("denom", torch.full((37, 1), -1.0), "denom has a value that is negative"),
        ("xyz_gradient_accum", torch.full((37, 1), float("nan")), "xyz_gradient_accum has a value"),
        ("spatial_lr_scale", 0.0, "spatial_lr_scale is not a positive number"),
        ("spatial_lr_scale", float("nan"), "spatial_lr_scale is not a positive number"),
        ("spatial_lr_scale", 10**400, "spatial_lr_scale is not a positive number"),
        ("spatial_lr_scale", "wide", "spatial_lr_scale is not a positive number"),
        ("optimizer", None, "no moments or learning rate of xyz, f_dc"),
        ("optimizer", {"state": {}, "param_groups": []}, "no moments or learning rate of xyz, f_dc"),
        ("optimizer", other_optimizer(exp_avg=torch.zeros(36, 3)), "has shape"),
        ("optimizer", other_optimizer(exp_avg=None), "exp_avg of xyz is not a tensor"),
        ("optimizer", other_optimizer(exp_avg=torch.full((37, 3), float("inf"))), "not finite"),
        ("optimizer", other_optimizer(exp_avg_sq=torch.full((37, 3), -1.0)), "negative"),
        ("optimizer", other_optimizer(step="many"), "not a number of steps"),
        ("optimizer", other_optimizer(step=float("nan")), "not a number of steps"),
        ("optimizer", other_optimizer(step=torch.zeros(3)), "not a number of steps"),
        ("optimizer", Training(random_scene(36)).optimizer.state_dict(), "belongs to another scene"),
        ("optimizer", Training(random_scene(degree=1)).optimizer.state_dict(), "belongs to another scene"),
    ],
)
def test_a_part_that_does_not_fit_is_named(path: Path, entry: str, value: Any, words: str) -> None:
    Training().save(path, **{entry: value})
    assert words in refusal(path)


@pytest.mark.parametrize(
    "content", [{}, [], (), None, 3, {"splats": torch.zeros(3)}, ((1, 2), 3), (Training().capture(), "3")]
)
def test_a_pytorch_file_of_another_kind_is_refused(path: Path, content: Any) -> None:
    torch.save(content, path)
    assert "does not hold a model of 12 entries and an iteration" in refusal(path)


@pytest.mark.parametrize("iteration", [0, -5, 10**30])
def test_a_checkpoint_of_no_real_iteration_is_refused(path: Path, iteration: int) -> None:
    assert f"saved at iteration {iteration}" in refusal(Training().save(path, iteration=iteration))


def test_a_zip_of_another_kind_is_refused(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    assert "damaged, or holds more" in refusal(path)


def test_a_checkpoint_that_was_zipped_again_is_refused(path: Path) -> None:
    Training().save(path)
    rewrite_pickle(path, lambda content: content, zipfile.ZIP_DEFLATED)
    assert "compressed" in refusal(path)


def test_a_checkpoint_of_old_pytorch_without_a_zip_is_refused(path: Path) -> None:
    torch.save((Training().capture(), 30_000), path, _use_new_zipfile_serialization=False)
    assert "not a whole zip file" in refusal(path)


def test_gaussians_that_are_not_finite_are_reported_and_dropped_on_request(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    scene = random_scene()
    scene.means[3, 1] = float("nan")
    Training(scene, steps=1).save(path)
    assert len(formats.read(path)) == 37
    assert "1 of 37 Gaussians" in caplog.text
    assert len(formats.read(path, drop_nonfinite=True)) == 36


def test_a_scene_can_be_read_where_the_training_cannot(path: Path) -> None:
    training = Training()
    assert_same(formats.read(training.save(path, optimizer=None)), training.gaussians())


def test_content_decides_the_format_before_the_suffix(path: Path, tmp_path: Path) -> None:
    training = Training()
    shutil.copy(training.save(path), tmp_path / "backup.bin")
    assert_same(formats.read(tmp_path / "backup.bin"), training.gaussians())


def test_a_checkpoint_is_never_written(tmp_path: Path) -> None:
    with pytest.raises(SceneFileError, match="only reads"):
        formats.write(random_scene(), tmp_path / "chkpnt1.pth")
    assert not list(tmp_path.iterdir())
