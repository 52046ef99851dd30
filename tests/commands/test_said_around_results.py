"""What commands say around their results: what goes on meanwhile, and two lines at the end; with --quiet neither."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from leansplat.cli import main, parse
from leansplat.commands.closing import closing
from leansplat.progress_bar import ProgressBar

Work = Callable[..., list[str]]


@pytest.fixture(scope="module")
def trained(capture: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small") / "trained"
    assert main(["train", str(capture), "-o", str(folder), "--count", "900", "--iterations", "12"]) == 0
    return folder


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of all stages that a command says."""
    said: list[str] = []
    monkeypatch.setattr(ProgressBar, "stage", lambda self, name: said.append(name))
    return said


def commands(capture: Path, trained: Path, folder: Path) -> dict[str, list[str]]:
    photos = ["--capture", str(capture)]
    few = ["--iterations", "12", "--count", "900"]
    return {
        "train": ["train", str(capture), "-o", str(folder / "run"), *few],
        "trim": ["trim", str(trained), *photos, "-o", str(folder / "trimmed"), "--keep", "50%", "--rounds", "1",
                 "--every", "2", "--finetune", "2"],
        "compress": ["compress", str(trained), *photos, "-o", str(folder / "small.sog"), "--steps", "2"],
        "convert": ["convert", str(trained), str(folder / "other.spz")],
        "shrink": ["shrink", str(trained), "-o", str(folder / "shrunk.spz"), "--keep", "50%", "--steps", "4", "--views",
                   "16", "--view-size", "48"],
    }  # fmt: skip


STAGES = {
    "train": ["loading the photos", "", "measuring on held-out views"],
    "trim": ["loading the photos", "", "measuring on held-out views"],
    "compress": [
        "loading the photos", "", "finding what matters, and clustering", "training through .sog",
        "writing small.sog, and comparing", "measuring",
    ],
    "convert": ["reading", "writing other.spz"],
}  # fmt: skip


@pytest.mark.parametrize("name", ["train", "trim", "compress", "convert", "shrink"])
def test_everything_that_takes_long_is_named_and_the_end_says_what_came_of_what_and_how_to_look_at_it(
    name: str, capture: Path, trained: Path, tmp_path: Path, stages: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    words = commands(capture, trained, tmp_path)[name]
    assert main(words) == 0
    assert stages == STAGES[name] if name in STAGES else "measuring what is lost" in stages
    made, look = capsys.readouterr().out.splitlines()[-2:]
    output = next(tmp_path.iterdir() if name in ("train", "trim", "convert") else tmp_path.glob("s*[gz]"))
    assert str(output) in made
    assert " became " in made
    assert " Gaussians" in made
    label, view, *report = look.replace("Look at it: ", "Look at it:   ").split("   ")
    assert label == "Look at it:"
    shown = parse(shlex.split(view)[1:]).scenes  # type: ignore[attr-defined]
    assert shown[-1] == output
    assert len(shown) == (1 if name == "train" else 2)
    assert all(path.exists() for path in shown)
    assert [parse(shlex.split(line)[1:]).runs for line in report] == ([] if name == "convert" else [(output,)])  # type: ignore[attr-defined]


def test_quiet_leaves_both_away(
    capture: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leansplat.progress_bar._SECONDS_BETWEEN_LINES", 0.0)
    words = commands(capture, trained, tmp_path)["trim"]
    assert main([*words, "--quiet"]) == 0
    quiet = capsys.readouterr()
    assert "trim:" not in quiet.err
    assert "Look at it" not in quiet.out
    assert "held-out views: PSNR" in quiet.out
    assert main([*words, "--overwrite"]) == 0
    loud = capsys.readouterr()
    assert "trim: " in loud.err
    assert "Look at it" in loud.out


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [(1000, 100, ", 10.0 times smaller."), (100, 200, ", 2.0 times larger."), (100, 101, ", the same size."),
     (None, 5, " became b.")],
)  # fmt: skip
def test_sizes_are_compared_where_they_can_be(before: int | None, after: int, said: str) -> None:
    line, _ = closing("a", "b", bytes_before=before, bytes_after=after, views=[Path("b")], reported=None)
    assert line.endswith(said)


def test_names_with_spaces_can_be_pasted() -> None:
    scene = Path("my scene.ply")
    _, line = closing("a", "b", bytes_before=1, bytes_after=1, views=[scene], reported=scene)
    assert line == "Look at it: leansplat view 'my scene.ply'   leansplat report 'my scene.ply' -o report.html"
