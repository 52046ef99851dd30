"""A scene shrunk block by block: exact counts, the same bits whoever works, and what is kept when it is interrupted."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import TracebackType

import numpy as np
import pytest
import torch
from support import splat_transform
from support.arrangements import place, ring
from support.camera_files import write_cameras

from leansplat import formats
from leansplat.batch.tasks import DIED, FINISHED, Outcome, Task
from leansplat.blocks import Blocks, BlocksResult, shrink_in_blocks
from leansplat.blocks.working import JUDGE, SHRINK, work_on
from leansplat.cli import main
from leansplat.errors import InputError, RunError
from leansplat.shrinking import ShrinkingConfig, Target

SCENE = replace(place(600), extras={"number": torch.arange(1320).float()})
QUICK = ShrinkingConfig(steps=16, view_size=48)
UNTUNED = ShrinkingConfig(steps=0, view_size=48)
FOUR = Blocks(count=4)


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scene whose Gaussians have numbers, with cameras in all directions beside it."""
    folder = tmp_path_factory.mktemp("given")
    formats.write(SCENE, folder / "scene.ply")
    write_cameras(folder / "cameras.json", [*ring(16, 6.0, 0.0), *ring(16, 2.0, 180.0)])
    return folder / "scene.ply"


def shrunk(
    given: Path,
    path: Path,
    target: Target,
    config: ShrinkingConfig = UNTUNED,
    run: Path | None = None,
    **options: object,
) -> BlocksResult:
    result = shrink_in_blocks(given, path, target, FOUR, config, run, **options)  # type: ignore[arg-type]
    assert isinstance(result, BlocksResult)
    return result


class Backwards:
    """An executor that works in this process, on the last task first, and loses the first try of each."""

    slots, told = 8, "backwards"

    def __init__(self) -> None:
        self.waiting: list[Task] = []
        self.tried: set[tuple[str | object, ...]] = set()

    def start(self, task: Task) -> None:
        self.waiting.append(task)

    def finished(self) -> tuple[Task, Outcome]:
        task = self.waiting.pop()
        if task.command not in self.tried:
            self.tried.add(task.command)
            return task, Outcome(DIED, sentence="its machine is gone")
        _, folder, number, *judging = task.command
        work_on(Path(str(folder)), int(str(number)), JUDGE if judging else SHRINK)
        return task, Outcome(FINISHED, {})

    def __enter__(self) -> Backwards:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        return None


@pytest.fixture(scope="module")
def tuned(given: Path) -> bytes:
    """The file that one worker makes, with training."""
    shrunk(given, given.parent / "one.ply", Target(count=500), QUICK)
    return (given.parent / "one.ply").read_bytes()


@pytest.mark.parametrize(("target", "count"), [(Target(count=501), 501), (Target(keep=0.25), 330)])
def test_counts_and_shares_are_hit_exactly(given: Path, tmp_path: Path, target: Target, count: int) -> None:
    result = shrunk(given, tmp_path / "small.ply", target)
    made = formats.read(tmp_path / "small.ply")
    assert len(made) == result.gaussians == sum(block.made for block in result.blocks) == count
    numbers = made.extras["number"].long()
    assert len(numbers.unique()) == count
    assert result.psnr is not None
    assert 15 < result.psnr < 100
    assert not list(tmp_path.glob(".leansplat*"))


def test_a_scene_from_which_nothing_has_to_go_stays_as_it_is(given: Path, tmp_path: Path) -> None:
    result = shrunk(given, tmp_path / "all.ply", Target(count=5000), QUICK)
    made = formats.read(tmp_path / "all.ply")
    order = made.extras["number"].argsort()
    assert torch.equal(made.means[order], SCENE.means)
    assert torch.equal(made.opacities[order], SCENE.opacities)
    assert sum(block.steps for block in result.blocks) == 0


def test_training_in_blocks_wins_over_none(given: Path, tmp_path: Path) -> None:
    found = {}
    for steps in (0, 400):
        result = shrunk(given, tmp_path / f"{steps}.ply", Target(count=300), ShrinkingConfig(steps=steps, view_size=48))
        assert [block.steps for block in result.blocks] == [steps] * 4
        found[steps] = result.psnr or 0.0
    assert found[400] > found[0] + 0.2


def test_where_most_stays_few_steps_lose_nothing_to_none(given: Path, tmp_path: Path) -> None:
    tuned = shrunk(given, tmp_path / "tuned.ply", Target(keep=0.9), replace(QUICK, steps=1))
    untuned = shrunk(given, tmp_path / "untuned.ply", Target(keep=0.9))
    assert tuned.psnr is not None
    assert untuned.psnr is not None
    assert tuned.psnr > untuned.psnr - 0.05, "each block is judged among others than it was chosen by"
    untrained = sum(not block.steps for block in tuned.blocks)
    assert untrained > 0
    assert any(f"training does not help {untrained} of 4 blocks" in text for text in tuned.told)
    assert not any("training does not help" in text for text in untuned.told)


def test_processes_make_the_same_bits_as_one_worker(given: Path, tmp_path: Path) -> None:
    for workers in (1, 2):
        path, half = tmp_path / f"{workers}.ply", Blocks(count=2)
        result = shrink_in_blocks(given, path, Target(count=500), half, QUICK, workers=workers)
    assert (tmp_path / "1.ply").read_bytes() == (tmp_path / "2.ply").read_bytes()
    assert isinstance(result, BlocksResult)
    assert result.memory > 10_000_000


def test_any_executor_makes_the_same_bits_in_any_order(given: Path, tmp_path: Path, tuned: bytes) -> None:
    shrunk(given, tmp_path / "many.ply", Target(count=500), QUICK, executor=Backwards())
    assert (tmp_path / "many.ply").read_bytes() == tuned


def interrupted(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Let the block after so many fail in the middle of its training."""
    from leansplat.blocks import work

    real: Callable[..., object] = work.teacher_capture
    seen = []

    def failing(*arguments: object, **options: object) -> object:
        seen.append(arguments)
        if len(seen) > after:
            raise KeyboardInterrupt
        return real(*arguments, **options)

    monkeypatch.setattr(work, "teacher_capture", failing)


def test_blocks_that_are_done_are_kept_and_the_others_made_when_it_goes_on(
    given: Path, tmp_path: Path, tuned: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, path = tmp_path / "run", tmp_path / "small.ply"
    with monkeypatch.context() as patched:
        interrupted(patched, after=2)
        with pytest.raises(KeyboardInterrupt):
            shrunk(given, path, Target(count=500), QUICK, run)
    assert not path.exists()
    times = {file.name: file.stat().st_mtime_ns for file in (run / "made").iterdir()}
    assert sorted(times) == ["0000.json", "0000.ply", "0001.json", "0001.ply"]
    with pytest.raises(RunError, match="--resume"):
        shrunk(given, path, Target(count=500), QUICK, run)
    with pytest.raises(RunError, match="other settings"):
        shrunk(given, path, Target(count=400), QUICK, run, resume=True)
    shrunk(given, path, Target(count=500), QUICK, run, resume=True)
    assert path.read_bytes() == tuned
    assert all((run / "made" / name).stat().st_mtime_ns == when for name, when in times.items())


def test_a_folder_of_another_scene_or_of_something_else_is_left_alone(given: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shrunk(given, tmp_path / "a.ply", Target(count=500), UNTUNED, run)
    formats.write(replace(SCENE, opacities=SCENE.opacities - 1), tmp_path / "other.ply")
    with pytest.raises(RunError, match="another scene"):
        shrunk(tmp_path / "other.ply", tmp_path / "b.ply", Target(count=500), UNTUNED, run, resume=True)
    (run / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"notes\.txt"):
        shrunk(given, tmp_path / "b.ply", Target(count=500), UNTUNED, run, overwrite=True)
    assert (run / "notes.txt").exists()


@pytest.mark.parametrize(("suffix", "size"), [(".sog", 9_000), (".ply", 40_000)])
def test_a_file_has_97_to_100_percent_of_the_size_that_was_asked_for(
    given: Path, tmp_path: Path, suffix: str, size: int
) -> None:
    result = shrunk(given, tmp_path / f"small{suffix}", Target(size=size))
    assert 0.97 * size <= result.bytes <= size, result.told
    assert len(formats.read(result.path)) == result.gaussians


def test_blocks_are_chunks_to_stream_that_other_tools_read(given: Path, tmp_path: Path) -> None:
    shrunk(given, tmp_path / "small.ply", Target(count=500))
    result = shrunk(given, tmp_path / "web" / "lod-meta.json", Target(count=500))
    content = json.loads(result.path.read_text())
    assert content["filenames"] == [f"0_{number}/meta.json" for number in range(4)]
    assert content["counts"] == [500]
    ours, plain = formats.read(result.path), formats.read(tmp_path / "small.ply")
    assert len(ours) == 500
    assert np.allclose(np.sort(ours.means.numpy(), axis=0), np.sort(plain.means.numpy(), axis=0), atol=2e-3)
    splat_transform.run(str(result.path), str(tmp_path / "back.ply"))
    back = formats.read(tmp_path / "back.ply")
    assert torch.allclose(back.means.sort(dim=0).values, ours.means.sort(dim=0).values, atol=1e-5)


def test_cameras_are_made_up_for_each_block_where_there_are_none(tmp_path: Path) -> None:
    formats.write(replace(SCENE, extras={}), tmp_path / "scene.ply")
    config = ShrinkingConfig(steps=0, view_size=32, views=9)
    result = shrink_in_blocks(tmp_path / "scene.ply", tmp_path / "small.ply", Target(keep=0.5), Blocks(count=2), config)
    assert isinstance(result, BlocksResult)
    assert all(0 < block.views <= 9 for block in result.blocks)
    assert result.psnr is not None


def test_a_scene_too_small_to_cut_is_shrunk_whole_and_it_is_said(given: Path, tmp_path: Path) -> None:
    result = shrink_in_blocks(given, tmp_path / "small.ply", Target(count=300), Blocks(most=100_000), UNTUNED)
    assert not isinstance(result, BlocksResult)
    assert "too few to be cut" in result.told[0]
    assert len(result.gaussians) == 300


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--max-drop", "0.5"], "cannot be a target of blocks"),
        ([], "cannot be a target of blocks"),
        (["--count", "500", "--capture", "photos"], "--capture is for scenes that are shrunk whole"),
        (["--ladder", "50%,25%"], "--ladder is for scenes that are shrunk whole"),
        (["--count", "500", "--only", "sphere:0,0,0,1"], "--only is for scenes that are shrunk whole"),
        (["--count", "3"], "cannot be shared among 4 blocks"),
        (["--count", "500", "--workers", "0"], "workers is 0"),
    ],
)
def test_what_blocks_cannot_do_is_one_sentence(
    given: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    out = tmp_path / "small.ply"
    assert main(["shrink", str(given), "-o", str(out), "--blocks", "4", "--steps", "0", *options]) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_minutes_cannot_be_kept(given: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="minutes cannot be kept in blocks"):
        shrunk(given, tmp_path / "small.ply", Target(count=500), ShrinkingConfig(minutes=3))


def test_a_folder_of_chunks_never_takes_the_scene_with_it(given: Path) -> None:
    with pytest.raises(InputError, match="would be lost"):
        shrunk(given, given.parent / "lod-meta.json", Target(count=500), overwrite=True)
    assert given.exists()


def test_the_command_tells_what_became_of_the_blocks(
    given: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["shrink", str(given), "-o", str(tmp_path / "small.spz"), "--keep", "25%", "--blocks", "4", "--steps", "0"]
    run = ["--run", str(tmp_path / "run"), "--view-size", "48"]
    assert main([*words, *run, "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["gaussians"] == 330
    assert [block["made"] for block in values["blocks"]] == [83, 83, 82, 82]
    assert main(["report", str(tmp_path / "small.spz"), "-o", str(tmp_path / "report.html")]) == 0
    page = (tmp_path / "report.html").read_text()
    assert f"{values['loss']['own']['psnr']:.2f} dB" in page
    assert "25 % of the Gaussians" in page
    capsys.readouterr()
    assert main(["block", str(tmp_path / "run"), "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["made"] == 82
    assert main(["block", str(tmp_path / "run"), "4"]) == 2
    assert "there is no block 4" in capsys.readouterr().err
    assert main([*words, *run, "--resume", "--overwrite"]) == 0
    assert "4 blocks" in capsys.readouterr().out
    assert main(["shrink", str(given), "-o", str(tmp_path / "x.ply"), "--keep", "25%", "--workers", "2"]) == 2
    assert "--blocks" in capsys.readouterr().err
