"""A format of one's own, which is the example in CONTRIBUTING.md, is one that everything knows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.scene_comparison import assert_same_bits, random_scene

import leansplat
from leansplat import formats
from leansplat.cli import main
from leansplat.errors import SceneFileError

CONTRIBUTING = Path(__file__).parents[2] / "CONTRIBUTING.md"
NAMES = """
from pathlib import Path
import numpy as np
from leansplat.arrays import TENSOR_NAMES, AnyScene, GaussianArrays, unfilled
from leansplat.errors import SceneFileError
from leansplat.files import replacing
from leansplat.formats.format import Format, losses, opened, report_nonfinite
"""


@pytest.fixture(autouse=True)
def own_format() -> Iterator[None]:
    blocks = re.findall(r"```python\n(.*?)```", CONTRIBUTING.read_text(encoding="utf-8"), re.DOTALL)
    example = next(block for block in blocks if "FORMAT = Format(" in block)
    names: dict[str, object] = {}
    exec(compile(NAMES + example, CONTRIBUTING.name, "exec", dont_inherit=True), names)
    formats.FORMATS.append(names["FORMAT"])  # type: ignore[arg-type]
    yield
    formats.FORMATS.pop()


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
@pytest.mark.parametrize("count", [1, 30])
def test_a_scene_is_written_and_read_again(tmp_path: Path, degree: int, count: int) -> None:
    scene = random_scene(30).with_sh_degree(degree)[:count]
    leansplat.write(scene, tmp_path / "scene.txt")
    assert_same_bits(leansplat.read(tmp_path / "scene.txt"), scene)


def test_commands_know_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scene = random_scene(20)
    leansplat.write(scene, tmp_path / "scene.ply")
    assert main(["convert", str(tmp_path / "scene.ply"), str(tmp_path / "scene.txt")]) == 0
    assert main(["info", str(tmp_path / "scene.txt")]) == 0
    assert "Gaussians   20" in capsys.readouterr().out
    assert_same_bits(leansplat.read(tmp_path / "scene.txt"), scene)


@pytest.mark.parametrize(
    ("text", "said"), [("1 2 three\n", "not a table of numbers"), ("1 2 3\n", "has 3 numbers per line")]
)
def test_what_is_no_scene_is_refused_in_a_sentence(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "scene.txt").write_text(text)
    with pytest.raises(SceneFileError, match=said):
        leansplat.read(tmp_path / "scene.txt")
