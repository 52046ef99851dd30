"""Batches whose scenes lie in storage and whose results go there, by the command line, against a server that speaks S3.

Scenes are converted, which takes a process half a second, but for the one that is gone on with.
"""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from support.random_cloud import cloud
from support.ray_cluster import until
from support.s3_server import S3Server
from support.stored_scenes import has_checkpoint, names, read, trimming, went_on, write_photographed

from leansplat import formats
from leansplat.batch.companions import listing_of
from leansplat.batch.local import LocalExecutor
from leansplat.batch.piece import run_piece
from leansplat.batch.tasks import FAILED, FINISHED, Outcome, Place, Task
from leansplat.cli import main
from leansplat.storage import fetch, files_under, joined, put_bytes, put_file, reach


@pytest.fixture
def store(s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of an empty bucket, for a machine with a scratch folder of its own."""
    monkeypatch.setenv("LEANSPLAT_SCRATCH", str(tmp_path / "scratch"))
    return s3.bucket()


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scenes") / "cloud.ply"
    formats.write(cloud(200), path)
    return path


@pytest.fixture(scope="module")
def photographed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_photographed(tmp_path_factory.mktemp("photographed"))


def scratch_is_clean(tmp_path: Path, *, but_for: str = "batches") -> bool:
    return not [path for path in (tmp_path / "scratch").iterdir() if path.name != but_for]


REPORTS = {"batch.jsonl", "results.json", "results.csv", "report.html"}


def test_scenes_are_fetched_and_results_put_back(store: str, scene: Path, tmp_path: Path, capsys) -> None:
    for name in ("in/a.ply", "in/hall/b.ply"):
        put_file(scene, joined(store, name))
    words = ["batch", f"{store}/in", "-o", f"{store}/out", "--format", "spz", "--json"]
    assert main([*words, "--", "convert"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [(row["name"], row["status"], row["output"]) for row in told["scenes"]] == [
        ("a", FINISHED, f"{store}/out/a.spz"),
        ("hall/b", FINISHED, f"{store}/out/hall/b.spz"),
    ]
    assert names(f"{store}/out") == {"a.spz", "a.log", "hall/b.spz", "hall/b.log"} | REPORTS
    assert formats.read(fetch(f"{store}/out/a.spz", tmp_path / "a.spz")).arrays().means.shape == (200, 3)
    assert json.loads(read(f"{store}/out/results.json"))["finished"] == 2
    assert scratch_is_clean(tmp_path)

    assert main([*words, "--", "convert"]) == 0
    assert json.loads(capsys.readouterr().out)["kept"] == 2


def test_another_machine_goes_on_with_what_one_has_published(
    store: str, scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    """The first never came to write its journal into the storage."""
    for name in "ab":
        put_file(scene, f"{store}/in/{name}.ply")
    words = ["batch", f"{store}/in", "-o", f"{store}/out", "--format", "spz", "--json", "--", "convert"]
    assert main(words) == 0
    for name in REPORTS:
        reach(f"{store}/out/{name}", lambda files, path: files.rm(path))
    before = {file.name: file.version for file in files_under(f"{store}/out") if file.name.endswith(".spz")}
    monkeypatch.setenv("LEANSPLAT_SCRATCH", str(tmp_path / "other"))
    capsys.readouterr()
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["finished"] == 2
    after = {file.name: file.version for file in files_under(f"{store}/out") if file.name.endswith(".spz")}
    assert after == before


def test_a_server_that_is_restarted_in_the_middle_costs_nothing(
    s3: S3Server, store: str, scene: Path, tmp_path: Path, capsys
) -> None:
    for number in range(6):
        put_file(scene, f"{store}/in/{number}.ply")

    def restart() -> None:
        until(lambda: any(file.name.endswith(".spz") for file in files_under(store)))
        s3.stop()
        threading.Event().wait(1.5)
        s3.start()

    restarting = threading.Thread(target=restart)
    restarting.start()
    words = ["batch", f"{store}/in", "-o", f"{store}/out", "--format", "spz", "--json", "--", "convert"]
    try:
        assert main(words) == 0
    finally:
        restarting.join()
    assert json.loads(capsys.readouterr().out)["finished"] == 6
    assert {f"{number}.spz" for number in range(6)} <= names(f"{store}/out")
    assert scratch_is_clean(tmp_path)


def test_a_scene_that_is_not_there_fails_alone_and_names_its_address(store: str, scene: Path, capsys) -> None:
    put_file(scene, f"{store}/in/a.ply")
    put_bytes(b"no scene", f"{store}/in/b.ply")
    lines = [{"input": "in/a.ply"}, {"input": f"{store}/in/b.ply"}, {"input": "in/gone.ply"}]
    put_bytes("\n".join(map(json.dumps, lines)).encode(), f"{store}/scenes.jsonl")
    words = ["batch", f"{store}/scenes.jsonl", "-o", f"{store}/out", "--format", "spz", "--json", "--", "convert"]
    assert main(words) == 1
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)["scenes"]}
    assert {name: row["status"] for name, row in rows.items()} == {"a": FINISHED, "b": FAILED, "gone": FAILED}
    assert rows["b"]["sentence"].startswith(f"{store}/in/b.ply ")
    assert rows["gone"]["sentence"] == f"there is nothing at {store}/in/gone.ply; check the address"


def test_what_was_made_with_other_options_is_not_taken_for_it(store: str, scene: Path, capsys) -> None:
    put_file(scene, f"{store}/in/a.ply")
    made = ["batch", f"{store}/in", "-o", f"{store}/out", "--json", "--format", "spz"]
    assert main([*made, "--", "convert"]) == 0
    before = read(f"{store}/out/a.spz")
    capsys.readouterr()
    assert main([*made, "--", "convert", "--spz-version", "4"]) == 2
    assert "was made with other options" in capsys.readouterr().err
    assert read(f"{store}/out/a.spz") == before
    assert main([*made, "--overwrite", "--", "convert", "--spz-version", "4"]) == 0
    assert read(f"{store}/out/a.spz") != before


def test_of_two_machines_with_one_output_one_wins_and_the_other_says_so(store: str, scene: Path) -> None:
    put_file(scene, f"{store}/a.ply")
    tasks = [
        Task(
            name,
            ("convert", Place(f"{store}/a.ply", "input"), Place(f"{store}/out/a.spz", "output"), *options),
            f"{store}/out/{name}.log",
        )
        for name, options in (("all", ()), ("plain", ("--spz-version", "4")))
    ]
    with LocalExecutor(2, "") as executor:
        for task in tasks:
            executor.start(task)
        ended = [executor.finished() for _ in tasks]
    by_status = {outcome.status: (task.name, outcome) for task, outcome in ended}
    assert set(by_status) == {FINISHED, FAILED}
    assert "theirs is kept" in by_status[FAILED][1].sentence or "of other inputs" in by_status[FAILED][1].sentence
    assert names(store, hidden=True) >= {"out/a.spz", "out/.published/a.spz.json"}
    alone = run_piece(tasks[[task.name for task in tasks].index(by_status[FINISHED][0])])
    assert alone.answer == by_status[FINISHED][1].answer


def test_a_machine_goes_on_from_the_checkpoint_of_one_that_died(
    store: str, photographed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, processes = trimming(store, photographed), []
    came: list[Outcome] = []
    working = threading.Thread(target=lambda: came.append(run_piece(task, began=processes.append)))
    working.start()
    until(lambda: bool(came) or has_checkpoint(store))
    processes[0].kill()
    working.join()
    assert came[0].status == "died"
    assert scratch_is_clean(tmp_path, but_for="cache")
    monkeypatch.setenv("LEANSPLAT_SCRATCH", str(tmp_path / "other"))
    outcome = run_piece(Task(**{**vars(task), "resume": True}))
    assert (outcome.status, outcome.sentence) == (FINISHED, "")
    went_on(store)
    config = json.loads(read(f"{store}/out/trimmed/config.json"))
    assert config["settings"]["capture"] == f"{store}/in/photos"
    assert b"/scratch/" not in read(f"{store}/out/trimmed/config.json")


def test_what_lies_beside_a_scene_is_fetched_with_it(store: str) -> None:
    for name in (
        *("a/scene.ply", "a/cameras.json", "a/other.ply", "b/meta.json", "b/means_l.webp"),
        *("c/point_cloud/iteration_7/point_cloud.ply", "c/cameras.json", "c/cfg_args", "d.ply"),
    ):
        put_bytes(b"x", joined(store, name))

    def found(name: str) -> tuple[str, set[str], str]:
        folder, listed, inside = listing_of(joined(store, name))
        return folder.removeprefix(store), {file.name for file in listed}, inside

    assert found("a/scene.ply") == ("/a", {"scene.ply", "cameras.json"}, "scene.ply")
    assert found("b/meta.json") == ("/b", {"meta.json", "means_l.webp"}, "meta.json")
    inside = "point_cloud/iteration_7/point_cloud.ply"
    assert found(f"c/{inside}") == ("/c", {inside, "cameras.json", "cfg_args"}, inside)
    assert found("c") == ("/c", {inside, "cameras.json", "cfg_args"}, "")
