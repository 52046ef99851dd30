"""The scenes that 3D Gaussian Splatting papers report on, as a table: where each lies and how papers use it.

Thirteen scenes of three datasets, in the publishers' own archives, at the photo sizes and with the split that Trimming
the Fat takes over from 3DGS (Kerbl et al. 2023); and the two captures that the results of this project are of.
Addresses, folders, sizes of the archives and pages of terms are as several public projects state them; nothing was
fetched to check them. Authors, years and order are from memory. The files of the fox are as its repository lists them.
"""

from __future__ import annotations

from dataclasses import dataclass

from leansplat.datasets import fox
from leansplat.datasets.single_files import KnownFile
from leansplat.errors import InputError

_GOOGLE = "https://storage.googleapis.com/gresearch/refraw360"
_MIPNERF360 = f"{_GOOGLE}/360_v2.zip"  # 12,535,427,936 bytes
_MIPNERF360_EXTRA = f"{_GOOGLE}/360_extra_scenes.zip"  # 4,488,140,217 bytes
_TANDT_DB = "https://repo-sam.inria.fr/fungraph/3d-gaussian-splatting/datasets/input/tandt_db.zip"  # 682,628,995 bytes

_INSTANT_NGP = f"https://raw.githubusercontent.com/NVlabs/instant-ngp/{fox.COMMIT}"
_NERF_SYNTHETIC = "https://huggingface.co/datasets/nerfbaselines/nerfbaselines-data/resolve/main/blender"

_BLENDER = (r"transforms_(train|test)\.json", r"train/r_\d+\.png", r"test/r_\d+\.png")
"""What a capture of a NeRF Blender scene needs; its archive has maps of depth and normals and a third split too."""


@dataclass(frozen=True)
class Scene:
    """One scene and the settings papers use it with.

    Args:
        name: as papers write it, such as "garden".
        dataset: name of its dataset, a key of `DATASETS`.
        archive: address of the zip archive that holds it, or of the folder that holds `folder` with its `files`.
        folder: its folder in the archive, with forward slashes.
        downscale: for `leansplat.load_capture`: photos have 1/downscale of their full width and height.
        test_every: photos held out for evaluation: the first by name and every n-th after it. `load_capture` splits
            these captures so. None for a capture with a list of its own.
        patterns: names below `folder` that it needs, as regular expressions; () for a COLMAP capture, which needs the
            cameras and the photos of this size.
        files: what it has, where that is not a zip archive.
    """

    name: str
    dataset: str
    archive: str
    folder: str
    downscale: int
    test_every: int | None = 8
    patterns: tuple[str, ...] = ()
    files: tuple[KnownFile, ...] = ()

    @property
    def needed(self) -> tuple[str, ...]:
        """Patterns of the names below `folder` that `load_capture` needs."""
        return self.patterns or ("sparse/.+", f"{self.photos}/.+")

    @property
    def photos(self) -> str:
        """The folder in `folder` that holds photos of this size, such as "images_4"."""
        return "images" if self.downscale == 1 else f"images_{self.downscale}"


@dataclass(frozen=True)
class Dataset:
    """Scenes that papers average over.

    Args:
        name: short, for the command line.
        title: as papers write it.
        source: who made it and who publishes the archive.
        terms: what is known of its terms, and where they are stated.
        scenes: in the order of the 3DGS paper's tables.
    """

    name: str
    title: str
    source: str
    terms: str
    scenes: tuple[Scene, ...]


def _scene(name: str, dataset: str, archive: str, downscale: int, parent: str = "") -> Scene:
    return Scene(name, dataset, archive, f"{parent}{name}", downscale)


DATASETS: dict[str, Dataset] = {
    dataset.name: dataset
    for dataset in (
        Dataset(
            "mipnerf360",
            "Mip-NeRF 360",
            "Barron et al. 2022, published by Google",
            "none that we know of come with the archives, see https://jonbarron.info/mipnerf360/",
            (
                _scene("bicycle", "mipnerf360", _MIPNERF360, 4),
                _scene("flowers", "mipnerf360", _MIPNERF360_EXTRA, 4),
                _scene("garden", "mipnerf360", _MIPNERF360, 4),
                _scene("stump", "mipnerf360", _MIPNERF360, 4),
                _scene("treehill", "mipnerf360", _MIPNERF360_EXTRA, 4),
                _scene("room", "mipnerf360", _MIPNERF360, 2),
                _scene("counter", "mipnerf360", _MIPNERF360, 2),
                _scene("kitchen", "mipnerf360", _MIPNERF360, 2),
                _scene("bonsai", "mipnerf360", _MIPNERF360, 2),
            ),
        ),
        Dataset(
            "tandt",
            "Tanks and Temples",
            "Knapitsch et al. 2017, with cameras published by Inria",
            "non-commercial research, see https://www.tanksandtemples.org/license/",
            (
                _scene("truck", "tandt", _TANDT_DB, 1, "tandt/"),
                _scene("train", "tandt", _TANDT_DB, 1, "tandt/"),
            ),
        ),
        Dataset(
            "db",
            "Deep Blending",
            "Hedman et al. 2018, with cameras published by Inria",
            "none that we know of come with the archive, see http://visual.cs.ucl.ac.uk/pubs/deepblending/",
            (
                _scene("drjohnson", "db", _TANDT_DB, 1, "db/"),
                _scene("playroom", "db", _TANDT_DB, 1, "db/"),
            ),
        ),
        Dataset(
            "instant-ngp",
            "instant-ngp",
            "Müller et al. 2022, in NVIDIA's repository",
            "research and evaluation only, see https://github.com/NVlabs/instant-ngp/blob/master/LICENSE.txt",
            (Scene("fox", "instant-ngp", _INSTANT_NGP, "data/nerf/fox", 4, patterns=(".+",), files=fox.FILES),),
        ),
        Dataset(
            "nerf-synthetic",
            "NeRF synthetic",
            "Mildenhall et al. 2020, published again by NerfBaselines",
            "the model of the chair, by 1DInc, is CC-0; none that we know of come with its renders",
            (Scene("chair", "nerf-synthetic", f"{_NERF_SYNTHETIC}/chair.zip", "chair", 4, None, _BLENDER),),
        ),
    )
}
"""Datasets by name."""

PAPER = ("mipnerf360", "tandt", "db")
"""Those that Trimming the Fat reports on."""


def find(name: str) -> Scene:
    """The scene of this name.

    Raises:
        InputError: there is none.

    Example:
        >>> find("garden").downscale
        4
    """
    by_name = {scene.name: scene for dataset in DATASETS.values() for scene in dataset.scenes}
    if name not in by_name:
        raise InputError(f"'{name}' is not known; choose a dataset ({', '.join(DATASETS)}) or {', '.join(by_name)}.")
    return by_name[name]


def scenes(name: str) -> tuple[Scene, ...]:
    """The scenes of a dataset, or the one scene, of this name.

    Raises:
        InputError: there is neither.
    """
    return DATASETS[name].scenes if name in DATASETS else (find(name),)
