"""The command line: each command on tiny inputs, what it prints, how it fails."""

from __future__ import annotations

import json
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.capture_folder import write_nerfstudio
from support.command_line import fails, run_json
from support.file_digests import digests
from support.random_cloud import cloud

from leansplat.captures.synthetic import synthetic_capture
from leansplat.cli import main
from leansplat.commands.options import parse_share
from leansplat.errors import LeansplatError
from leansplat.formats import read, write
from leansplat.simd.threads import set_thread_count, thread_count


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten photos of 32x32 in nerfstudio's layout; two are held out."""
    return write_nerfstudio(synthetic_capture(views=10, size=32), tmp_path_factory.mktemp("capture") / "photos")


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    write(cloud(200), tmp_path / "scene.ply")
    return tmp_path / "scene.ply"


# info, convert


def test_info_counts_what_is_in_the_file(scene: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = run_json(capsys, "info", scene)
    expected = cloud(200)
    opacity = torch.sigmoid(expected.opacities)
    assert values["gaussians"] == 200
    assert values["bytes"] == scene.stat().st_size
    assert values["sh_degree"] == 1
    assert values["parameters"] == 200 * (3 + 4 + 3 + 1 + 3 + 9)
    assert values["bounds_min"] == pytest.approx(expected.means.amin(dim=0).tolist())
    assert values["bounds_max"] == pytest.approx(expected.means.amax(dim=0).tolist())
    assert values["opacity_histogram"] == np.histogram(opacity.numpy(), bins=10, range=(0, 1))[0].tolist()


def test_info_draws_the_longest_bar_for_the_fullest_bin(scene: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(scene)]) == 0
    text = capsys.readouterr().out
    bars = [line for line in text.splitlines() if line[3:4] == "-" and line[0].isdigit()]
    counts = {int(line.split()[-1]): line.count("#") for line in bars}
    assert len(bars) == 10
    assert counts[max(counts)] == max(counts.values()) == 40
    assert "200" in text


def test_info_of_a_scene_with_nonfinite_gaussians_counts_them(tmp_path, capsys) -> None:
    broken = cloud(10)
    broken.means[3, 0] = float("nan")
    broken.opacities[5] = float("nan")
    write(broken, tmp_path / "broken.ply")
    values = run_json(capsys, "info", tmp_path / "broken.ply")
    assert (values["gaussians"], values["nonfinite"], sum(values["opacity_histogram"])) == (10, 2, 8)


def test_info_of_an_empty_scene_works(tmp_path, capsys) -> None:
    write(cloud(0), tmp_path / "none.ply")
    values = run_json(capsys, "info", tmp_path / "none.ply")
    assert (values["gaussians"], values["bounds_min"], sum(values["opacity_histogram"])) == (0, None, 0)
    assert main(["info", str(tmp_path / "none.ply")]) == 0


def test_convert_writes_the_same_gaussians_and_leaves_its_input_alone(scene: Path, capsys) -> None:
    before = digests(scene.parent)
    values = run_json(capsys, "convert", scene, scene.parent / "copy.ply")
    assert digests(scene.parent)["scene.ply"] == before["scene.ply"]
    assert values["bytes"] == (scene.parent / "copy.ply").stat().st_size
    assert torch.equal(read(scene.parent / "copy.ply").shN, cloud(200).shN)


def test_convert_drops_nonfinite_gaussians_only_on_request(tmp_path, capsys) -> None:
    broken = cloud(10)
    broken.means[3, 0] = float("nan")
    write(broken, tmp_path / "broken.ply")
    kept = run_json(capsys, "convert", tmp_path / "broken.ply", tmp_path / "kept.ply")
    dropped = run_json(capsys, "convert", tmp_path / "broken.ply", tmp_path / "dropped.ply", "--drop-nonfinite")
    assert (kept["gaussians"], dropped["gaussians"]) == (10, 9)


# render, eval


def test_render_writes_a_picture_for_each_held_out_view(scene, capture, tmp_path, capsys) -> None:
    values = run_json(capsys, "render", scene, "--capture", capture, "-o", tmp_path / "out")
    assert [Path(file).name for file in values["files"]] == ["view_000.png", "view_008.png"]
    with Image.open(values["files"][0]) as picture:
        assert picture.size == (32, 32)
        assert np.asarray(picture).max() > 0


def test_render_around_a_scene_sees_it_from_every_side(scene, tmp_path, capsys) -> None:
    values = run_json(capsys, "render", scene, "--orbit", "3", "-o", tmp_path / "out")
    pictures = [np.asarray(Image.open(file)) for file in values["files"]]
    assert len(pictures) == 3
    for picture in pictures:
        lit = picture.max(axis=2) > 8
        # The cloud fills the middle of the picture and leaves its corners dark.
        assert lit[250:350, 350:450].mean() > 0.3
        assert not lit[:20, :20].any()
    assert not np.array_equal(pictures[0], pictures[1])


@pytest.mark.parametrize("options", [[], ["--orbit", "2", "--capture", "."]])
def test_render_wants_one_way_to_place_cameras(options, scene, tmp_path, capsys) -> None:
    assert "--orbit" in fails(capsys, "render", scene, "-o", tmp_path / "out", *options)


def test_eval_prints_means_of_its_views(scene, capture, capsys) -> None:
    values = run_json(capsys, "eval", scene, "--capture", capture, "--lpips", "none")
    assert [view["name"] for view in values["views"]] == ["view_000.png", "view_008.png"]
    assert values["psnr"] == pytest.approx(np.mean([view["psnr"] for view in values["views"]]))
    assert values["bytes"] == scene.stat().st_size
    assert values["lpips"] is None


def test_eval_counts_all_files_of_a_scene(scene, capture, tmp_path, capsys) -> None:
    (tmp_path / "sog").mkdir()
    write(read(scene), tmp_path / "sog" / "meta.json")
    values = run_json(capsys, "eval", tmp_path / "sog" / "meta.json", "--capture", capture, "--lpips", "none")
    assert values["bytes"] == sum(file.stat().st_size for file in (tmp_path / "sog").iterdir())


def test_eval_prints_a_table_for_people(scene, capture, capsys) -> None:
    assert main(["eval", str(scene), "--capture", str(capture), "--lpips", "none"]) == 0
    text = capsys.readouterr().out
    assert text.splitlines()[0].split() == ["view", "PSNR", "SSIM", "LPIPS"]
    assert "view_008.png" in text
    assert "200 Gaussians" in text


# train, trim


@pytest.fixture(scope="module")
def trained(capture: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "trained"
    assert main(["train", str(capture), "-o", str(folder), "--iterations", "12"]) == 0
    return folder


def test_train_makes_a_run_with_a_scene_a_log_and_metrics(trained: Path, capture: Path) -> None:
    config = json.loads((trained / "config.json").read_text())
    assert config["settings"]["capture"] == str(capture)
    assert config["settings"]["training"]["iterations"] == 12
    assert len(read(trained)) == json.loads((trained / "metrics.json").read_text())["gaussians"]
    assert (trained / "log.jsonl").is_file()
    assert (trained / "checkpoints" / "step_12.safetensors").is_file()


def test_train_scales_the_schedule_with_the_iterations(trained: Path) -> None:
    training = json.loads((trained / "config.json").read_text())["settings"]["training"]
    assert training["strategies"]["densification"]["until"] / training["iterations"] == 15_000 / 30_000


def test_train_with_the_same_seed_gives_the_same_bytes(trained, capture, tmp_path, capsys) -> None:
    run_json(capsys, "train", capture, "-o", tmp_path / "again", "--iterations", "12", "--seed", "0")
    assert (tmp_path / "again" / "scene.ply").read_bytes() == (trained / "scene.ply").read_bytes()
    run_json(capsys, "train", capture, "-o", tmp_path / "other", "--iterations", "12", "--seed", "1")
    assert (tmp_path / "other" / "scene.ply").read_bytes() != (trained / "scene.ply").read_bytes()


def test_resuming_a_finished_training_changes_nothing(trained, capture, capsys) -> None:
    before = (trained / "scene.ply").read_bytes()
    run_json(capsys, "train", capture, "-o", trained, "--resume")
    assert (trained / "scene.ply").read_bytes() == before


def test_resuming_with_another_number_of_iterations_is_refused(trained, capture, capsys) -> None:
    assert "iterations" in fails(capsys, "train", capture, "-o", trained, "--resume", "--iterations", "20")


def test_trim_keeps_exactly_the_share_asked_for_and_leaves_its_input_alone(trained, capture, tmp_path, capsys) -> None:
    before = digests(trained)
    count = len(read(trained))
    options = ["--keep", "25%", "--rounds", "2", "--every", "3", "--finetune", "2"]
    values = run_json(capsys, "trim", trained, "--capture", capture, "-o", tmp_path / "out", *options)
    assert len(read(tmp_path / "out")) == round(count * 0.25) == values["metrics"]["gaussians"]
    assert digests(trained) == before


def test_trim_takes_a_scene_file_without_a_run(scene, capture, tmp_path, capsys) -> None:
    options = ["--count", "60", "--rounds", "1", "--every", "2", "--finetune", "0", "--criterion", "opacity"]
    run_json(capsys, "trim", scene, "--capture", capture, "-o", tmp_path / "out", *options)
    assert len(read(tmp_path / "out")) == 60


def test_trim_as_control_trains_but_prunes_nothing(scene, capture, tmp_path, capsys) -> None:
    options = ["--control", "--rounds", "2", "--every", "2", "--finetune", "1"]
    run_json(capsys, "trim", scene, "--capture", capture, "-o", tmp_path / "out", *options)
    assert len(read(tmp_path / "out")) == 200
    assert not torch.equal(read(tmp_path / "out").means, cloud(200).means)


@pytest.mark.parametrize("options", [[], ["--keep", "25%", "--count", "9"], ["--control", "--gamma", "0.4"]])
def test_trim_wants_exactly_one_aim(options, scene, capture, tmp_path, capsys) -> None:
    sentence = fails(capsys, "trim", scene, "--capture", capture, "-o", tmp_path / "out", *options)
    assert "exactly one of keep, count, gamma, target_sparsity and control" in sentence
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("text", "share"), [("25%", 0.25), ("0.25", 0.25), ("100%", 1.0), ("0.5%", 0.005), ("1", 1.0)])
def test_a_share_may_be_percent_or_fraction(text: str, share: float) -> None:
    assert parse_share(text) == pytest.approx(share)


@pytest.mark.parametrize("text", ["0", "0%", "-3%", "101%", "25", "nan", "inf%", "%", "a lot"])
def test_a_share_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_share(text)


# failing


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["trian"],
        ["train"],
        ["train", "photos", "-o", "run", "--iterations", "many"],
        ["trim", "scene.ply", "--capture", "photos", "-o", "run", "--keep", "250%"],
        ["eval", "scene.ply", "--capture", "photos", "--lpips", "squeeze"],
        ["info", "scene.ply", "--jsn"],
    ],
)
def test_a_command_line_that_makes_no_sense_exits_with_2(arguments: list[str], capsys) -> None:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err != ""


def test_a_missing_scene_is_named_in_one_sentence(tmp_path, capsys) -> None:
    assert "missing.ply" in fails(capsys, "info", tmp_path / "missing.ply")


def test_a_missing_capture_is_named_in_one_sentence(scene, tmp_path, capsys) -> None:
    assert "nowhere" in fails(capsys, "eval", scene, "--capture", tmp_path / "nowhere")


def test_a_folder_that_is_no_capture_is_named_in_one_sentence(tmp_path, capsys) -> None:
    (tmp_path / "empty").mkdir()
    assert "empty" in fails(capsys, "train", tmp_path / "empty", "-o", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_number_of_threads_the_machine_does_not_have_is_refused(scene, capture, capsys) -> None:
    assert "--threads" in fails(capsys, "eval", scene, "--capture", capture, "--threads", "100000")


def test_threads_are_those_asked_for(scene, capture, capsys) -> None:
    before = thread_count()
    try:
        run_json(capsys, "eval", scene, "--capture", capture, "--lpips", "none", "--threads", "1")
        assert thread_count() == 1
    finally:
        set_thread_count(before)


def test_photos_that_are_missing_are_reported_and_skipped(scene, tmp_path, capsys) -> None:
    folder = write_nerfstudio(synthetic_capture(views=9, size=16), tmp_path / "photos")
    (folder / "images" / "view_003.png").unlink()
    values = run_json(capsys, "eval", scene, "--capture", folder, "--lpips", "none", "--split", "train")
    assert len(values["views"]) == 7
    assert main(["eval", str(scene), "--capture", str(folder), "--lpips", "none"]) == 0
    assert "view_003.png" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["convert", "render", "train", "trim"])
def test_nothing_is_overwritten_unless_asked(command, scene, capture, tmp_path, capsys) -> None:
    out = tmp_path / "out"
    arguments = {
        "convert": ["convert", scene, out / "scene.ply"],
        "render": ["render", scene, "--capture", capture, "-o", out],
        "train": ["train", capture, "-o", out, "--iterations", "1"],
        "trim": [
            "trim", scene, "--capture", capture, "-o", out,
            "--keep", "50%", "--rounds", "1", "--every", "1", "--finetune", "0",
        ],
    }[command]  # fmt: skip
    out.mkdir()
    for name in ("scene.ply", "view_000.png"):
        (out / name).write_text("precious")
    assert "--overwrite" in fails(capsys, *arguments)
    assert {path.read_text() for path in out.iterdir()} == {"precious"}
    run_json(capsys, *arguments, "--overwrite")
    written = {"render": "view_000.png"}.get(command, "scene.ply")
    assert (out / written).read_bytes() != b"precious"


def test_a_failure_that_is_nobodys_fault_exits_with_1(scene, monkeypatch, capsys) -> None:
    def broken(*_: object, **__: object) -> None:
        raise LeansplatError("the sky fell")

    monkeypatch.setattr("leansplat.formats.summarize_file", broken)
    assert main(["info", str(scene)]) == 1
    assert capsys.readouterr().err == "leansplat: the sky fell\n"


def test_an_interrupted_command_says_how_to_go_on_and_exits_with_1(scene, monkeypatch, capsys) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("leansplat.formats.summarize_file", interrupted)
    assert main(["info", str(scene)]) == 1
    assert "--resume" in capsys.readouterr().err


def test_ctrl_c_is_one_sentence_whatever_the_work_makes_of_it(scene, monkeypatch, capsys) -> None:
    """A module of C that is interrupted while it is imported may raise an ImportError instead."""

    def interrupted(*_: object, **__: object) -> None:
        signal.raise_signal(signal.SIGINT)

    def hidden(*_: object, **__: object) -> None:
        try:
            interrupted()
        except KeyboardInterrupt as error:
            raise ImportError("core failed to import") from error

    before = signal.getsignal(signal.SIGINT)
    for function in (interrupted, hidden):
        monkeypatch.setattr("leansplat.formats.summarize_file", function)
        assert main(["info", str(scene)]) == 1
        assert capsys.readouterr().err.startswith("leansplat: stopped; ")
        assert signal.getsignal(signal.SIGINT) is before


def test_too_little_memory_is_one_sentence(scene, monkeypatch, capsys) -> None:
    for error in (MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1")):

        def fails_to_allocate(*_: object, error: Exception = error, **__: object) -> None:
            raise error

        monkeypatch.setattr("leansplat.formats.summarize_file", fails_to_allocate)
        assert main(["info", str(scene)]) == 1
        assert "not enough memory" in capsys.readouterr().err


def test_an_antialiased_scene_stays_one_through_convert(tmp_path, capsys) -> None:
    write(replace(cloud(5), antialiased=True), tmp_path / "mip.ply")
    run_json(capsys, "convert", tmp_path / "mip.ply", tmp_path / "copy.ply")
    assert run_json(capsys, "info", tmp_path / "copy.ply")["antialiased"] is True


# numbers


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["train", "--iterations", "0"], "iterations is 0; give 1 or more"),
        (["train", "--iterations", "-5"], "iterations is -5; give 1 or more"),
        (["train", "--iterations", "9" * 400], "iterations is above 1,000,000,000"),
        (["train", "--downscale", "0"], "--downscale is 0; give 1 to 1000"),
        (["train", "--downscale", "9" * 30], "give 1 to 1000"),
        (["train", "--threads", "0"], "--threads is 0"),
        (["trim", "--keep", "50%", "--rounds", "0"], "rounds is 0; give 1 or more"),
        (["trim", "--keep", "50%", "--every", "0"], "every is 0; give 1 or more"),
        (["trim", "--keep", "50%", "--finetune", "-1"], "finetune is -1; give 0 or more"),
        (["trim", "--keep", "50%", "--finetune", "9" * 30], "finetune is above 1,000,000,000"),
        (["trim", "--count", "0"], "count is 0; give 1 or more"),
        (["trim", "--gamma", "nan"], "gamma is nan"),
        (["compress", "--steps", "-1"], "steps is -1; give 0 or more"),
        (["compress", "--steps", "9" * 30], "steps is above 1,000,000,000"),
        (["compress", "--palette-size", "0"], "palette_size is 0"),
        (["compress", "--sh-loss", "inf"], "sh_loss is inf"),
        (["compress", "--downscale", "0"], "--downscale is 0"),
        (["eval", "--downscale", "0"], "--downscale is 0"),
        (["render", "--orbit", "0"], "--orbit is 0; give 1 to 10,000"),
        (["render", "--orbit", "9" * 30], "give 1 to 10,000"),
        (["paper", "--iterations-scale", "0"], "scaled to 0"),
        (["paper", "--iterations-scale", "1e300"], "above 1,000,000,000 steps"),
        (["paper", "--tables", ""], "--tables names nothing"),
        (["paper", "--seeds", ""], "no seed is given"),
    ],
)
def test_nought_is_a_number_and_one_out_of_range_makes_nothing(
    options, words, scene, capture, tmp_path, capsys
) -> None:
    command, *others = options
    assert words in fails(capsys, *_whole_command(command, scene, capture, tmp_path), *others)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scene.ply"]


@pytest.mark.parametrize("seed", ["-1", "18446744073709551616", "9" * 23, "-" + "9" * 23])
@pytest.mark.parametrize("command", ["train", "trim", "compress", "demo", "paper"])
def test_a_seed_out_of_range_is_told_before_anything_is_made(command, seed, scene, capture, tmp_path, capsys) -> None:
    aim = {"trim": ["--keep", "50%"], "paper": ["--seeds", f"1,{seed}"]}.get(command, [])
    option = [] if command == "paper" else ["--seed", seed]
    sentence = fails(capsys, *_whole_command(command, scene, capture, tmp_path), *aim, *option)
    assert f"seed is {seed}; give a whole number from 0 to 18446744073709551615" in sentence
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scene.ply"]


def test_the_largest_seed_works(scene, capture, tmp_path, capsys) -> None:
    options = ["--iterations", "1", "--seed", str(2**64 - 1)]
    run_json(capsys, "train", capture, "-o", tmp_path / "run", *options)
    assert json.loads((tmp_path / "run" / "config.json").read_text())["seed"] == 2**64 - 1


def _whole_command(command: str, scene: Path, capture: Path, folder: Path) -> list[str | Path]:
    """A command without a number that can be wrong."""
    commands: dict[str, list[str | Path]] = {
        "train": ["train", capture, "-o", folder / "out"],
        "trim": ["trim", scene, "--capture", capture, "-o", folder / "out"],
        "compress": ["compress", scene, "--capture", capture, "-o", folder / "out.sog", "--run", folder / "out"],
        "eval": ["eval", scene, "--capture", capture],
        "render": ["render", scene, "-o", folder / "out"],
        "demo": ["demo", "-o", folder / "out"],
        "paper": ["paper", "run", "--captures", "built-in=synthetic", "-o", folder / "out"],
    }
    return commands[command]


# what a run knows


def test_settings_of_a_run_go_along_from_command_to_command(capture, tmp_path, capsys) -> None:
    def settings(run: str) -> tuple[object, object]:
        recorded = json.loads((tmp_path / run / "config.json").read_text())["settings"]
        return recorded["background"], recorded["downscale"]

    photos = ["--capture", capture]
    white = ["--background", "white", "--downscale", "2"]
    run_json(capsys, "train", capture, "-o", tmp_path / "trained", "--iterations", "1", *white)
    short = ["--count", "300", "--rounds", "1", "--every", "1", "--finetune", "0"]
    run_json(capsys, "trim", tmp_path / "trained", *photos, "-o", tmp_path / "trimmed", *short)
    target = tmp_path / "tuned" / "small.spz"
    options = ["--steps", "1", "--run", tmp_path / "tuned", "--no-lpips"]
    run_json(capsys, "compress", tmp_path / "trimmed" / "scene.ply", *photos, "-o", target, *options)
    assert settings("trained") == settings("trimmed") == settings("tuned") == ("white", 2)
    for scene in (tmp_path / "trimmed", tmp_path / "trimmed" / "scene.ply", target):
        taken = run_json(capsys, "eval", scene, *photos, "--lpips", "none")["psnr"]
        assert taken == run_json(capsys, "eval", scene, *photos, "--lpips", "none", *white)["psnr"]
        assert main(["eval", str(scene), *map(str, photos), "--lpips", "none", "--background", "black"]) == 0
        assert "trained on a white background, not on black" in capsys.readouterr().err
        assert main(["render", str(scene), *map(str, photos), "-o", str(tmp_path / "views"), "--overwrite"]) == 0
        assert "was trained with background white and downscale 2" in capsys.readouterr().err
        with Image.open(tmp_path / "views" / "view_000.png") as picture:
            assert picture.size == (16, 16)


def test_resuming_takes_what_the_run_began_with(capture, tmp_path, capsys) -> None:
    white = ["--background", "white", "--downscale", "2", "--threads", "1"]
    before = thread_count()
    try:
        run_json(capsys, "train", capture, "-o", tmp_path / "run", "--iterations", "2", *white)
        scene = (tmp_path / "run" / "scene.ply").read_bytes()
        set_thread_count(before)
        run_json(capsys, "train", capture, "-o", tmp_path / "run", "--resume")
        assert thread_count() == 1
        assert (tmp_path / "run" / "scene.ply").read_bytes() == scene
    finally:
        set_thread_count(before)
    if before > 1:
        assert main(["train", str(capture), "-o", str(tmp_path / "run"), "--resume", "--threads", str(before)]) == 0
        assert f"began on 1 threads and goes on with {before}" in capsys.readouterr().err


def test_resuming_what_never_began_starts_from_the_beginning(capture, scene, tmp_path, capsys) -> None:
    one_step = ["--keep", "50%", "--rounds", "1", "--every", "1", "--finetune", "0"]
    for arguments in (
        ["train", capture, "-o", tmp_path / "run", "--iterations", "1"],
        ["trim", scene, "--capture", capture, "-o", tmp_path / "run", *one_step],
        ["compress", scene, "--capture", capture, "-o", tmp_path / "a.spz", "--run", tmp_path / "run", "--steps", "1"],
    ):
        assert main([*map(str, arguments), "--resume"]) == 0
        assert "starting from the beginning" in capsys.readouterr().err
        shutil.rmtree(tmp_path / "run")


def test_trimming_goes_on_with_its_own_settings_unless_others_are_given(capture, scene, tmp_path, capsys) -> None:
    options = ["--capture", capture, "-o", tmp_path / "run"]
    few = ["--rounds", "2", "--every", "3", "--finetune", "2"]
    began = run_json(capsys, "trim", scene, *options, "--keep", "50%", *few)
    again = run_json(capsys, "trim", scene, *options, "--resume")
    assert again["metrics"]["psnr"] == began["metrics"]["psnr"]
    assert "other settings (keep" in fails(capsys, "trim", scene, *options, "--keep", "40%", *few, "--resume")
    assert "exactly one of" in fails(capsys, "trim", scene, *options, "--rounds", "3", "--resume")


def test_compression_goes_on_with_its_own_settings_unless_others_are_given(capture, scene, tmp_path, capsys) -> None:
    options = ["--capture", capture, "-o", tmp_path / "a.spz", "--run", tmp_path / "run", "--no-lpips"]
    began = run_json(capsys, "compress", scene, *options, "--steps", "2", "--sh-loss", "0.5")
    again = run_json(capsys, "compress", scene, *options, "--resume", "--overwrite")
    assert again["bytes"] == began["bytes"]
    other = ["--resume", "--overwrite", "--steps", "3"]
    assert "other settings (fine_tuning" in fails(capsys, "compress", scene, *options, *other)


def test_trimming_is_not_resumed_from_another_scene(capture, scene, tmp_path, capsys) -> None:
    write(cloud(150), tmp_path / "other.ply")
    options = ["--capture", capture, "-o", tmp_path / "run", "--keep", "50%", "--rounds", "1", "--every", "1"]
    run_json(capsys, "trim", scene, *options, "--finetune", "0")
    assert "another scene" in fails(capsys, "trim", tmp_path / "other.ply", *options, "--finetune", "0", "--resume")
