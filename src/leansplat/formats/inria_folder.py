"""Output folders of 3DGS and its descendants, the authors' code of Trimming the Fat among them.

    point_cloud/iteration_N/point_cloud.ply  the scene after N training steps
    cfg_args                                 what it was trained with, as Python prints a namespace

The scene of a folder is that of its highest N. `cfg_args` is taken apart as source code and never run.
"""

from __future__ import annotations

import ast
import os
import re
from pathlib import Path
from typing import Any

from leansplat.errors import SceneFileError
from leansplat.formats.format import opened

_POINT_CLOUDS = "point_cloud"
_ITERATION = re.compile(r"iteration_(\d{1,18})")
_LARGEST_CFG_ARGS = 1 << 16


def point_cloud(folder: Path) -> Path | None:
    """Where the scene of an output folder lies, None for a folder of another kind.

    Raises:
        SceneFileError: the folder has a `point_cloud`, but nothing was saved there.
    """
    if not (folder / _POINT_CLOUDS).is_dir():
        return None
    names = (_ITERATION.fullmatch(entry.name) for entry in (folder / _POINT_CLOUDS).iterdir())
    iterations = {int(name[1]): name[0] for name in names if name}
    if not iterations:
        raise SceneFileError(f"{folder / _POINT_CLOUDS} has no folder iteration_N; check that training saved a scene.")
    return folder / _POINT_CLOUDS / iterations[max(iterations)] / "point_cloud.ply"


def read_cfg_args(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The settings in a `cfg_args` file: `Namespace(sh_degree=3, white_background=False, ...)`, literals only.

    Raises:
        SceneFileError: the file is missing or holds anything else.
    """
    path = Path(path)
    with opened(path) as handle:
        content = handle.read(_LARGEST_CFG_ARGS + 1)
    try:
        if len(content) > _LARGEST_CFG_ARGS:
            raise ValueError
        match ast.parse(content.decode("utf-8").strip(), mode="eval").body:
            case ast.Call(func=ast.Name(id="Namespace"), args=[], keywords=keywords):
                return {_name(keyword): ast.literal_eval(keyword.value) for keyword in keywords}
        raise ValueError
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError) as error:
        raise SceneFileError(
            f"{path} is not a namespace of plain values as 3DGS writes it; restore the file or delete it."
        ) from error


def _name(keyword: ast.keyword) -> str:
    if keyword.arg is None:  # **others
        raise ValueError
    return keyword.arg
