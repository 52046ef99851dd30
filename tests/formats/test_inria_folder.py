"""Output folders of 3DGS: which scene they stand for, and that their settings are read as data."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.inria_files import random_scene

from leansplat import formats
from leansplat.errors import SceneFileError
from leansplat.formats.inria_folder import read_cfg_args


def folder_with(path: Path, *iterations: str) -> Path:
    """An output folder whose point clouds have as many Gaussians as their iteration's name has letters."""
    for name in iterations:
        (path / "point_cloud" / name).mkdir(parents=True)
        formats.write(random_scene(len(name)), path / "point_cloud" / name / "point_cloud.ply")
    return path


def test_a_folder_stands_for_the_scene_of_its_highest_iteration(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, "iteration_30000", "iteration_7000", "iteration_100", "iteration_best", "older")
    assert formats.scene_path(folder) == tmp_path / "point_cloud" / "iteration_30000" / "point_cloud.ply"
    assert len(formats.read(folder)) == len("iteration_30000")


def test_the_scene_of_a_run_goes_first(tmp_path: Path) -> None:
    formats.write(random_scene(3), folder_with(tmp_path, "iteration_7000") / "scene.ply")
    assert len(formats.read(tmp_path)) == 3


def test_an_output_folder_without_a_scene_is_refused(tmp_path: Path) -> None:
    (tmp_path / "point_cloud").mkdir()
    with pytest.raises(SceneFileError, match="has no folder iteration_N"):
        formats.read(tmp_path)


def test_an_older_scene_never_stands_in_for_one_that_is_missing(tmp_path: Path) -> None:
    folder_with(tmp_path, "iteration_7000")
    (tmp_path / "point_cloud" / "iteration_30000").mkdir()
    with pytest.raises(SceneFileError, match=r"iteration_30000.point_cloud\.ply does not exist"):
        formats.read(tmp_path)


def test_cfg_args_are_read_as_3dgs_prints_them(tmp_path: Path) -> None:
    text = (
        "Namespace(sh_degree=3, source_path='/data/it\\'s here', model_path='out', images='images_4', depths='', "
        "resolution=-1, white_background=True, train_test_exp=False, data_device='cuda', eval=True)"
    )
    (tmp_path / "cfg_args").write_text(text)
    assert read_cfg_args(tmp_path / "cfg_args") == {
        "sh_degree": 3,
        "source_path": "/data/it's here",
        "model_path": "out",
        "images": "images_4",
        "depths": "",
        "resolution": -1,
        "white_background": True,
        "train_test_exp": False,
        "data_device": "cuda",
        "eval": True,
    }


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Namespace",
        "sh_degree=3",
        "Other(sh_degree=3)",
        "argparse.Namespace(sh_degree=3)",
        "Namespace(3)",
        "Namespace(**{'sh_degree': 3})",
        "Namespace(sh_degree=3); print()",
        "Namespace(sh_degree=3",
        "Namespace(path=__import__('os').mkdir('TRACE'))",
        "Namespace(path=PosixPath('/data'))",
        "Namespace(white_background=[[].append(1)])",
        "Namespace(sh_degree=" + "(" * 5000 + ")" * 5000 + ")",
        "Namespace(images='" + "x" * 70_000 + "')",
        "Namespace(images='\0')",
    ],
)
def test_cfg_args_of_anything_else_are_refused_and_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cfg_args").write_text(text)
    with pytest.raises(SceneFileError, match="cfg_args is not a namespace of plain values"):
        read_cfg_args(tmp_path / "cfg_args")
    assert [path.name for path in tmp_path.iterdir()] == ["cfg_args"]


def test_cfg_args_that_are_not_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "cfg_args").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SceneFileError, match="plain values"):
        read_cfg_args(tmp_path / "cfg_args")
    with pytest.raises(SceneFileError, match="does not exist"):
        read_cfg_args(tmp_path / "none")
