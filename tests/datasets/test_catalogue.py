"""The table of scenes: the paper's with the settings it states, and the captures of our results."""

from __future__ import annotations

import re

import pytest

from leansplat import datasets
from leansplat.errors import InputError

# 3DGS and Trimming the Fat use outdoor scenes at a quarter and indoor scenes at half of their width and height.
OUTDOOR = {"bicycle", "flowers", "garden", "stump", "treehill"}
INDOOR = {"room", "counter", "kitchen", "bonsai"}


def test_the_datasets_are_those_of_the_paper() -> None:
    names = {name: {scene.name for scene in datasets.DATASETS[name].scenes} for name in datasets.PAPER}
    assert names == {
        "mipnerf360": OUTDOOR | INDOOR,
        "tandt": {"train", "truck"},
        "db": {"drjohnson", "playroom"},
    }


@pytest.mark.parametrize("name", sorted(OUTDOOR | INDOOR | {"train", "truck", "drjohnson", "playroom"}))
def test_a_scene_is_found_by_its_name_with_the_size_and_the_split_of_the_paper(name: str) -> None:
    scene = datasets.find(name)
    downscale = 4 if name in OUTDOOR else 2 if name in INDOOR else 1
    assert (scene.name, scene.downscale, scene.test_every) == (name, downscale, 8)
    assert scene.needed[0] == "sparse/.+"
    assert scene.photos == {1: "images", 2: "images_2", 4: "images_4"}[downscale]
    assert scene in datasets.DATASETS[scene.dataset].scenes
    assert scene.folder.split("/")[-1] == name
    assert scene.archive.startswith("https://")


def test_flowers_and_treehill_are_not_in_the_archive_of_the_other_seven() -> None:
    archives: dict[str, set[str]] = {}
    for scene in datasets.scenes("mipnerf360"):
        archives.setdefault(scene.archive.rsplit("/", 1)[1], set()).add(scene.name)
    extra = {"flowers", "treehill"}
    assert archives == {"360_v2.zip": (OUTDOOR | INDOOR) - extra, "360_extra_scenes.zip": extra}


def test_a_dataset_and_a_scene_are_both_lists_of_scenes() -> None:
    assert [scene.folder for scene in datasets.scenes("db")] == ["db/drjohnson", "db/playroom"]
    assert datasets.scenes("garden") == (datasets.find("garden"),)


def test_an_unknown_name_is_answered_with_those_there_are() -> None:
    with pytest.raises(InputError, match=r"'gardn' is not known.*mipnerf360.*garden"):
        datasets.scenes("gardn")


def test_the_fox_is_fifty_photos_and_their_cameras_at_one_commit() -> None:
    fox = datasets.find("fox")
    assert fox.archive.startswith("https://raw.githubusercontent.com/NVlabs/instant-ngp/")
    photos = [file for file in fox.files if re.fullmatch(r"images/\d{4}\.jpg", file.name)]
    assert [file.name for file in fox.files if file not in photos] == ["transforms.json"]
    assert (len(photos), len({file.blob for file in photos})) == (50, 50)
    assert all(len(file.blob) == 40 and 300_000 < file.size < 500_000 for file in photos)


def test_every_dataset_states_its_terms() -> None:
    for dataset in datasets.DATASETS.values():
        assert dataset.terms
        assert {scene.dataset for scene in dataset.scenes} == {dataset.name}
