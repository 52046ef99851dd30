"""Checkpoints of nerfstudio and gsplat: the scene arrives, nothing runs, and what is not known is said."""

from __future__ import annotations

import json
import logging
import os
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from support.inria_files import Training, random_scene
from support.tiny import blobs, tiny_capture

from leansplat import formats
from leansplat.cli import main
from leansplat.errors import RunError, SceneFileError
from leansplat.gaussians import TENSOR_NAMES, Gaussians, concatenate
from leansplat.pruning import TrimmingConfig, trim
from leansplat.training.start import start_from

UNMOVED = [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]]


def pipeline_of(scene: Gaussians, prefix: str = "_model.gauss_params.") -> dict[str, Any]:
    """The state of splatfacto's pipeline, with what else is in one."""
    values = {
        "features_dc": scene.sh0[:, 0],
        "features_rest": scene.shN,
        "means": scene.means,
        "opacities": scene.opacities[:, None],
        "quats": scene.quats,
        "scales": scene.scales,
    }
    state = OrderedDict({"datamanager.train_camera_optimizer.pose_adjustment": torch.zeros(3, 6)})
    state.update({prefix + name: torch.nn.Parameter(tensor).detach() for name, tensor in values.items()})
    return state


def save_nerfstudio(path: Path, scene: Gaussians, **changes: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    adam = torch.optim.Adam([torch.nn.Parameter(scene.means.clone())], lr=1.6e-4)
    content = {
        "step": 29_999,
        "pipeline": pipeline_of(scene),
        "optimizers": {"means": adam.state_dict()},
        "schedulers": {},
        "scalers": torch.amp.GradScaler("cpu").state_dict(),
    }
    torch.save({**content, **changes}, path)
    return path


def save_gsplat(path: Path, scene: Gaussians, **changes: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    splats = torch.nn.ParameterDict({name: getattr(scene, name) for name in TENSOR_NAMES}).state_dict()
    torch.save({"step": 29_999, "splats": {**splats, **changes}}, path)
    return path


def assert_same(found: Gaussians, expected: Gaussians) -> None:
    for name in TENSOR_NAMES:
        assert torch.equal(getattr(found, name), getattr(expected, name)), name


@pytest.fixture(autouse=True)
def logger_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """`main` sends the log to standard error for good; tests after these want to catch it."""
    logger = logging.getLogger("leansplat")
    monkeypatch.setattr(logger, "handlers", logger.handlers)
    monkeypatch.setattr(logger, "propagate", logger.propagate)


@pytest.fixture
def nerfstudio(tmp_path: Path) -> Path:
    return tmp_path / "splatfacto" / "nerfstudio_models" / "step-000029999.ckpt"


@pytest.fixture
def gsplat(tmp_path: Path) -> Path:
    return tmp_path / "garden" / "ckpts" / "ckpt_29999_rank0.pt"


@pytest.mark.parametrize("degree", [1, 3])
def test_a_scene_of_nerfstudio_arrives_whole(nerfstudio: Path, degree: int) -> None:
    scene = random_scene(degree=degree)
    assert_same(formats.read(save_nerfstudio(nerfstudio, scene)), scene)
    old = {"pipeline": pipeline_of(scene, "_model.")}
    assert_same(formats.read(save_nerfstudio(nerfstudio, scene, **old)), scene)


def test_colours_of_a_nerfstudio_scene_without_harmonics_are_logits(nerfstudio: Path) -> None:
    scene = random_scene(degree=0)
    found = formats.read(save_nerfstudio(nerfstudio, scene))
    assert torch.allclose(0.5 + 0.28209479177387814 * found.sh0, scene.sh0.sigmoid(), atol=1e-6)
    assert found.sh_degree == 0


def test_a_scene_of_gsplat_arrives_whole(gsplat: Path) -> None:
    scene = random_scene()
    assert_same(formats.read(save_gsplat(gsplat, scene)), scene)


def test_parts_of_several_gpus_are_one_scene_whichever_is_named(gsplat: Path) -> None:
    parts = [random_scene(count) for count in (5, 7, 3)]
    files = [save_gsplat(gsplat.with_name(f"ckpt_29999_rank{rank}.pt"), part) for rank, part in enumerate(parts)]
    save_gsplat(gsplat.with_name("ckpt_6999_rank0.pt"), random_scene(2))
    for file in files:
        found = formats.read(file)
        assert len(found) == 15
        assert torch.equal(found.means.sort(dim=0).values, concatenate(parts).means.sort(dim=0).values)
        assert formats.scene_bytes(file) == sum(part.stat().st_size for part in files)
    files[1].unlink()
    with pytest.raises(SceneFileError, match=r"ckpt_29999_rank1\.pt is missing"):
        formats.read(files[2])


@pytest.mark.parametrize("name", ["splats.pth", "scene.ckpt", "pipeline.pt", "splats.bin"])
def test_the_trainer_is_recognised_by_content_and_not_by_name(tmp_path: Path, name: str) -> None:
    path, scene = tmp_path / name, random_scene()
    assert_same(formats.read(save_gsplat(path, scene)), scene)
    assert_same(formats.read(save_nerfstudio(path, scene)), scene)
    training = Training(scene)
    assert_same(formats.read(training.save(path)), training.gaussians())


@pytest.mark.parametrize("mode", ["classic", "antialiased"])
def test_anti_aliasing_is_looked_up_in_the_settings_beside(nerfstudio: Path, gsplat: Path, mode: str) -> None:
    save_nerfstudio(nerfstudio, random_scene())
    save_gsplat(gsplat, random_scene())
    tagged = "!!python/object:nerfstudio.engine.trainer.TrainerConfig\npipeline:\n  model:\n    rasterize_mode: " + mode
    (nerfstudio.parents[1] / "config.yml").write_text(tagged)
    (gsplat.parents[1] / "cfg.yml").write_text(f"absgrad: false\nantialiased: {str(mode == 'antialiased').lower()}\n")
    assert formats.read(nerfstudio).antialiased == formats.read(gsplat).antialiased == (mode == "antialiased")


def test_the_frame_of_nerfstudio_is_told(nerfstudio: Path, caplog: pytest.LogCaptureFixture) -> None:
    save_nerfstudio(nerfstudio, random_scene())
    notes = nerfstudio.parents[1] / "dataparser_transforms.json"
    for content, words in [
        (None, "dataparser_transforms.json, which would say how, is not beside it"),
        (json.dumps({"transform": UNMOVED, "scale": 0.25}), "scaled by 0.25, as"),
        (json.dumps({"transform": UNMOVED[::-1], "scale": 1.0}), "in the frame that nerfstudio trained in"),
        (json.dumps({"transform": UNMOVED}), "cannot be read, so it is not known in which frame"),
        ("[" * 100_000, "cannot be read, so it is not known in which frame"),
        (json.dumps({"transform": UNMOVED, "scale": 1.0}), ""),
    ]:
        if content is not None:
            notes.write_text(content)
        caplog.clear()
        formats.read(nerfstudio)
        assert words in caplog.text
        assert bool(caplog.text) == bool(words)


def test_the_frame_of_gsplat_is_not_known_unless_its_settings_say_so(
    gsplat: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save_gsplat(gsplat, random_scene())
    formats.read(gsplat)
    assert "check that the scene and its cameras are in one frame" in caplog.text
    caplog.clear()
    (gsplat.parents[1] / "cfg.yml").write_text("normalize_world_space: false\n")
    formats.read(gsplat)
    assert not caplog.text


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("exploded",)


@pytest.mark.parametrize("save", [save_nerfstudio, save_gsplat])
def test_nothing_in_a_checkpoint_runs(save: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = save(tmp_path / "scene.ckpt", random_scene(), more=Bomb())
    with pytest.raises(SceneFileError, match="damaged, or holds more than tensors and numbers"):
        formats.read(path)
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"means": torch.zeros(37, 2)}, "means has shape (37, 2)"),
        ({"means": torch.zeros(37, 3).double()}, "means is of type torch.float64"),
        ({"means": torch.zeros(1, 3).expand(10**12, 3)}, "more numbers than the file has"),
        ({"opacities": None}, "opacities is not a tensor"),
        ({"scales": torch.zeros(36, 3)}, "scales has shape (36, 3)"),
    ],
)
def test_a_part_of_gsplat_that_does_not_fit_is_named(gsplat: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(SceneFileError) as caught:
        formats.read(save_gsplat(gsplat, random_scene(), **changes))
    assert words in str(caught.value)
    assert "use its .ply instead" in str(caught.value)


def test_what_has_no_gaussians_or_no_colours_says_so(nerfstudio: Path, gsplat: Path) -> None:
    save_nerfstudio(nerfstudio, random_scene(), pipeline={"_model.field.mlp": torch.zeros(3)})
    with pytest.raises(SceneFileError, match="its model has no Gaussians"):
        formats.read(nerfstudio)
    partial = pipeline_of(random_scene())
    del partial["_model.gauss_params.quats"]
    with pytest.raises(SceneFileError, match="its model has no quats"):
        formats.read(save_nerfstudio(nerfstudio, random_scene(), pipeline=partial))
    splats = {"means": torch.zeros(3, 3), "features": torch.zeros(3, 32)}
    gsplat.parent.mkdir(parents=True)
    torch.save({"step": 1, "splats": splats}, gsplat)
    with pytest.raises(SceneFileError, match="appearance features"):
        formats.read(gsplat)


def test_info_convert_and_trimming_take_checkpoints(nerfstudio: Path, gsplat: Path, tmp_path: Path, capsys) -> None:
    scene = random_scene()
    save_nerfstudio(nerfstudio, scene)
    save_gsplat(gsplat, scene)
    for path in (nerfstudio, gsplat):
        assert main(["info", str(path)]) == 0
        assert "Gaussians   37" in capsys.readouterr().out
        assert main(["convert", str(path), str(tmp_path / "scene.ply"), "--overwrite"]) == 0
        assert_same(formats.read(tmp_path / "scene.ply"), scene)
        assert len(start_from(path, 1.0, 0).state.gaussians()) == 37
    with pytest.raises(SceneFileError, match="only reads"):
        formats.write(replace(scene), tmp_path / "scene.pt")


def test_a_trimming_that_began_from_several_parts_is_resumed_from_them(gsplat: Path, tmp_path: Path) -> None:
    capture = tiny_capture()
    halves = blobs()[::2], blobs()[1::2]
    files = [save_gsplat(gsplat.with_name(f"ckpt_1_rank{rank}.pt"), half) for rank, half in enumerate(halves)]
    config = TrimmingConfig(keep=0.5, rounds=1, every=2, finetune=0)
    trim(files[0], capture, config, tmp_path / "run")
    trim(files[0], capture, run=tmp_path / "run", resume=True)
    save_gsplat(files[1], random_scene())
    with pytest.raises(RunError, match="another scene"):
        trim(files[0], capture, run=tmp_path / "run", resume=True)
