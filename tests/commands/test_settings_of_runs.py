"""What commands take from a run: settings of its photos, and all others where it is resumed."""

from __future__ import annotations

import json
import shutil

from PIL import Image
from support.command_line import fails, run_json
from support.random_cloud import cloud

from leansplat.cli import main
from leansplat.formats import write
from leansplat.simd.threads import set_thread_count, thread_count


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
