"""`shrink`, from a scene and its cameras to the file that was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from support.given_scene import SCENE, write_given

from leansplat import formats
from leansplat.compression.codecs import Codec
from leansplat.errors import InputError, RunError
from leansplat.gaussians import TENSOR_NAMES, Gaussians
from leansplat.shrinking import ShrinkingConfig, ShrinkingResult, Target, shrink, timetable
from leansplat.shrinking.descent import Stage
from leansplat.shrinking.fitting import Choice
from leansplat.shrinking.judging import Loss
from leansplat.shrinking.making import Maker, Reached
from leansplat.shrinking.quality_search import QualitySearch
from leansplat.shrinking.sized import sized
from leansplat.shrinking.sizes import format_bytes

QUICK = ShrinkingConfig(steps=24, view_size=48)


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_given(tmp_path_factory.mktemp("given"))


def shrunk(given: Path, path: Path, target: Target | None = None, config: ShrinkingConfig = QUICK) -> ShrinkingResult:
    return shrink(given, path, target, config)


@pytest.mark.parametrize("suffix", [".sog", ".spz", ".compressed.ply", ".ply", ".splat", ".glb", ".npz"])
@pytest.mark.parametrize("share", [0.3, 0.6])
def test_a_file_has_97_to_100_percent_of_the_size_that_was_asked_for(
    given: Path, tmp_path: Path, suffix: str, share: float
) -> None:
    whole = tmp_path / f"whole{suffix}"
    formats.write(formats.read(given), whole)
    size = round(share * formats.scene_bytes(whole))
    if suffix == ".npz":
        size = 30_000  # whose tables take most of the rest of so small a file
    result = shrunk(given, tmp_path / f"small{suffix}", Target(size=size))
    assert 0.97 * size <= result.bytes <= size, (format_bytes(result.bytes), format_bytes(size), result.told)
    assert result.bytes == (tmp_path / f"small{suffix}").stat().st_size
    assert len(formats.read(result.path)) == len(result.gaussians)
    assert result.met


@pytest.mark.parametrize("suffix", [".spz", ".sog"])
def test_a_file_that_training_left_too_small_is_made_again(
    given: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    """As if training had taken a sixth of the first file away."""
    aims: list[int | None] = []

    def short_at_first(choice: Choice, aim: int | None = None) -> Codec:
        aims.append(aim)
        return sized(choice, round(choice.size / 1.2) if len(aims) == 1 else aim)

    monkeypatch.setattr("leansplat.shrinking.sized.sized", short_at_first)
    result = shrunk(given, tmp_path / f"small{suffix}", Target(size=12_000))
    assert len(aims) == 2
    assert 0.97 * 12_000 <= result.bytes <= 12_000


@pytest.mark.parametrize("steps", [0, 24])
@pytest.mark.parametrize(("target", "count"), [(Target(count=500), 500), (Target(keep=0.25), 330)])
def test_counts_and_shares_are_hit_exactly(given: Path, tmp_path: Path, target: Target, count: int, steps: int) -> None:
    result = shrunk(given, tmp_path / "small.ply", target, replace(QUICK, steps=steps))
    assert len(result.gaussians) == len(formats.read(tmp_path / "small.ply")) == count
    assert result.steps == steps


def test_a_limit_of_gaussians_and_one_of_bytes_both_hold(given: Path, tmp_path: Path) -> None:
    result = shrunk(given, tmp_path / "small.ply", Target(size=60_000, count=200))
    assert len(result.gaussians) == 200
    assert any("200 Gaussians take no more" in text for text in result.told)
    result = shrunk(given, tmp_path / "smaller.ply", Target(size=10_000, count=1000))
    assert result.bytes <= 10_000


def test_a_loss_that_is_allowed_is_nearly_used_and_never_exceeded(given: Path, tmp_path: Path) -> None:
    sizes = []
    for drop in (12.0, 20.0):
        result = shrunk(given, tmp_path / f"{drop}.ply", Target(max_drop=drop))
        assert result.met
        assert result.loss is not None
        assert result.loss.drop <= drop
        sizes.append(len(result.gaussians))
    assert len(SCENE) > sizes[0] > sizes[1]


def test_no_visible_loss_is_what_there_is_without_a_target(given: Path, tmp_path: Path) -> None:
    result = shrunk(given, tmp_path / "small.sog")
    assert result.met
    assert result.loss is not None
    assert result.loss.within(Target())
    assert result.bytes < formats.scene_bytes(given)


LOOSE = Target(max_drop=21.0)


@pytest.fixture
def _rounded_coarsely(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if training through the file took half of its loss back."""
    encoded = Maker.encoded_loss

    def coarse(self: Maker, stage: Stage) -> Loss:
        loss = encoded(self, stage)
        return replace(loss, drop=2 * loss.drop)

    monkeypatch.setattr(Maker, "encoded_loss", coarse)


@pytest.mark.usefixtures("_rounded_coarsely")
def test_what_training_through_the_file_takes_back_buys_a_smaller_scene(
    given: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    further = shrunk(given, tmp_path / "further.spz", LOOSE)
    monkeypatch.setattr(QualitySearch, "_go_further", lambda *_: None)
    usual = shrunk(given, tmp_path / "usual.spz", LOOSE)
    for result in (further, usual):
        assert result.met
        assert result.loss is not None
        assert result.loss.within(LOOSE)
    assert len(further.gaussians) < len(usual.gaussians) < len(SCENE)


@pytest.mark.usefixtures("_rounded_coarsely")
def test_where_going_further_does_not_hold_the_file_that_held_is_left(
    given: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if all files but the first, which was trained to see what that wins, lost too much."""
    held: list[bytes] = []
    written = Maker._written

    def spoilt(self: Maker, *arguments: Any) -> Reached:
        reached = written(self, *arguments)
        if held:
            return replace(reached, loss=replace(reached.loss, drop=99.0))
        held.append(reached.path.read_bytes())
        assert not (tmp_path / "small.spz").exists()  # so that whoever is stopped now can go on without --overwrite
        return reached

    monkeypatch.setattr(Maker, "_written", spoilt)
    result = shrunk(given, tmp_path / "small.spz", LOOSE)
    assert result.met
    assert (tmp_path / "small.spz").read_bytes() == held[0]
    assert result.bytes == len(held[0])
    assert len(formats.read(result.path)) == len(result.gaussians)


def test_a_loss_that_rounding_alone_exceeds_keeps_the_nearest_file_and_says_so(given: Path, tmp_path: Path) -> None:
    result = shrunk(given, tmp_path / "small.splat", Target(max_drop=1e-6))
    assert not result.met
    assert (tmp_path / "small.splat").exists()
    assert any("rounding alone" in text for text in result.told)
    assert len(result.gaussians) == len(SCENE)


@pytest.mark.parametrize("target", [Target(size=10**7), Target(count=5000), Target(keep=1.0)])
def test_what_is_small_enough_already_is_copied_bit_for_bit(given: Path, tmp_path: Path, target: Target) -> None:
    result = shrunk(given, tmp_path / "copy.ply", target)
    assert (tmp_path / "copy.ply").read_bytes() == given.read_bytes()
    assert "copied" in result.told[0]


def test_a_size_that_the_whole_scene_does_not_fill_takes_it_whole_and_says_so(given: Path, tmp_path: Path) -> None:
    result = shrunk(given, tmp_path / "whole.sog", Target(size=10**7))
    assert len(result.gaussians) == len(SCENE)
    assert any("nothing was removed" in text for text in result.told)


@pytest.mark.parametrize("size", [1, 200])
def test_a_size_below_that_of_one_gaussian_is_one_sentence_and_leaves_no_file(
    given: Path, tmp_path: Path, size: int
) -> None:
    with pytest.raises(InputError, match="single Gaussian"):
        shrunk(given, tmp_path / "small.ply", Target(size=size))
    assert not any(tmp_path.iterdir())


def test_the_input_is_never_touched_nor_replaced(given: Path, tmp_path: Path) -> None:
    before = given.read_bytes()
    with pytest.raises(InputError, match="scene itself"):
        shrink(given, given, Target(keep=0.5), QUICK, overwrite=True)
    (tmp_path / "there.ply").write_text("mine")
    with pytest.raises(InputError, match="already exists"):
        shrunk(given, tmp_path / "there.ply", Target(keep=0.5))
    assert (tmp_path / "there.ply").read_text() == "mine"
    assert given.read_bytes() == before


def test_an_empty_scene_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing to shrink"):
        shrink(SCENE[:0], tmp_path / "small.ply", Target(keep=0.5), QUICK)


def test_extra_properties_and_comments_stay_with_their_gaussians(given: Path, tmp_path: Path) -> None:
    labelled = replace(SCENE, extras={"label": torch.arange(len(SCENE)).float()}, comments=("mine",))
    scene = tmp_path / "labelled.ply"
    formats.write(labelled, scene)
    frozen = {"only": ["box:-1.3,-1.3,-1.3,1.3,1.3,1.3"]}
    cameras = given.with_name("cameras.json")
    result = shrink(scene, tmp_path / "small.ply", Target(keep=0.95), QUICK, cameras=cameras, **frozen)
    assert "mine" in result.gaussians.comments
    outside = SCENE.means.abs().amax(dim=1) > 1.3
    rows = result.gaussians.extras["label"].long()
    assert set(outside.nonzero()[:, 0].tolist()) <= set(rows.tolist())
    kept = outside[rows]
    for name in TENSOR_NAMES:
        assert torch.equal(getattr(result.gaussians, name)[kept], getattr(SCENE, name)[rows[kept]]), name


def test_protected_gaussians_are_all_there_at_the_end(given: Path, tmp_path: Path) -> None:
    inside = int((SCENE.means.norm(dim=1) <= 1.3).sum())
    result = shrink(given, tmp_path / "small.ply", Target(count=inside + 60), QUICK, protect=["sphere:0,0,0,1.3"])
    assert int((result.gaussians.means.norm(dim=1) <= 1.35).sum()) >= inside
    with pytest.raises(InputError, match="cannot be reached"):
        shrink(given, tmp_path / "less.ply", Target(count=inside - 1), QUICK, protect=["sphere:0,0,0,1.3"])


class StoppedError(Exception):
    pass


class Stop:
    """A progress that stops the work when a stage of it has begun to train."""

    def __init__(self, stage: str) -> None:
        self._wanted, self._reached = stage, False

    def stage(self, name: str) -> None:
        self._reached = name.startswith(self._wanted)

    def __call__(self, done: int, total: int, values: Mapping[str, float], /) -> None:
        if self._reached and "loss" in values:
            raise StoppedError


@pytest.mark.parametrize("target", [Target(size=15_000), Target(keep=0.8)])
@pytest.mark.parametrize("stage", ["trimming", "training through .sog"])
def test_a_run_that_was_stopped_goes_on_and_ends_with_the_same_bits(
    given: Path, tmp_path: Path, stage: str, target: Target
) -> None:
    whole = shrink(given, tmp_path / "whole.sog", target, QUICK, tmp_path / "a")
    with pytest.raises(StoppedError):
        shrink(given, tmp_path / "part.sog", target, QUICK, tmp_path / "b", progress=Stop(stage))
    assert not (tmp_path / "part.sog").exists()
    with pytest.raises(RunError):
        shrink(given, tmp_path / "part.sog", target, QUICK, tmp_path / "b")
    again = shrink(given, tmp_path / "part.sog", target, QUICK, tmp_path / "b", resume=True)
    assert (tmp_path / "part.sog").read_bytes() == (tmp_path / "whole.sog").read_bytes()
    assert again.loss == whole.loss


@pytest.mark.parametrize("target", [Target(size=15_000), Target(keep=0.2)])
def test_minutes_that_were_stopped_go_on_with_the_steps_that_fitted_at_first(
    given: Path, tmp_path: Path, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitting = iter([24, 24, 24])
    monkeypatch.setattr(timetable, "steps_within", lambda *arguments, **how: next(fitting))
    hurried = ShrinkingConfig(minutes=0.001, view_size=48)
    with pytest.raises(StoppedError):
        shrink(given, tmp_path / "small.sog", target, hurried, tmp_path / "run", progress=Stop("trimming"))
    fitting = iter([])
    again = shrink(given, tmp_path / "small.sog", target, hurried, tmp_path / "run", resume=True)
    assert again.steps == 24
    assert "24 training steps fit into the time" in again.told
    assert any("though 0.001 were asked for" in sentence for sentence in again.told)


@pytest.mark.usefixtures("_rounded_coarsely")
@pytest.mark.parametrize("files", [1, 2])
def test_a_run_to_a_target_of_quality_that_was_stopped_goes_on_without_overwriting(
    given: Path, tmp_path: Path, files: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped when it has written the file that it may fall back to, and when it has written the last one."""
    whole = shrink(given, tmp_path / "whole.spz", LOOSE, QUICK, tmp_path / "a")
    written = Maker.written

    def stopped(self: Maker, *arguments: Any) -> Reached:
        reached = written(self, *arguments)
        if self.files == files:
            reached.path.unlink()
            raise KeyboardInterrupt
        return reached

    monkeypatch.setattr(Maker, "written", stopped)
    with pytest.raises(KeyboardInterrupt):
        shrink(given, tmp_path / "part.spz", LOOSE, QUICK, tmp_path / "b")
    monkeypatch.setattr(Maker, "written", written)
    again = shrink(given, tmp_path / "part.spz", LOOSE, QUICK, tmp_path / "b", resume=True)
    assert (tmp_path / "part.spz").read_bytes() == (tmp_path / "whole.spz").read_bytes()
    assert again.loss == whole.loss


def test_an_earlier_run_is_replaced_where_that_is_allowed(given: Path, tmp_path: Path) -> None:
    small, run = tmp_path / "small.sog", tmp_path / "run"
    shrink(given, small, Target(keep=0.5), QUICK, run)
    with pytest.raises(RunError):
        shrink(given, tmp_path / "other.sog", Target(keep=0.3), QUICK, run)
    assert len(shrink(given, small, Target(keep=0.3), QUICK, run, overwrite=True).gaussians) == 396


def test_gaussians_in_memory_are_shrunk_too(given: Path, tmp_path: Path) -> None:
    scene: Gaussians = formats.read(given)
    result = shrink(scene, tmp_path / "small.spz", Target(keep=0.5), QUICK, cameras=given.with_name("cameras.json"))
    assert result.original_bytes is None
    assert len(result.gaussians) == 660
