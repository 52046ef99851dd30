"""Tasks on a real Ray cluster of two nodes on this machine, with scenes in storage; workers and nodes are killed."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.capture_folder import write_nerfstudio
from support.random_cloud import cloud
from support.ray_cluster import TwoNodes, processes, two_nodes, until, worker_of
from support.s3_server import S3Server
from support.stored_scenes import has_checkpoint, names, trimming, went_on, write_photographed
from support.tiny import tiny_capture

from leansplat import formats
from leansplat.batch import Cost, Outcome, Task, outcomes
from leansplat.batch.ray_executor import RayExecutor
from leansplat.batch.ray_work import do_task, version_here
from leansplat.batch.tasks import FAILED, FINISHED, Place
from leansplat.cli import main
from leansplat.errors import InputError
from leansplat.storage import put_file


@pytest.fixture(scope="module")
def cluster(s3: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoNodes]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LEANSPLAT_SCRATCH", str(tmp_path_factory.mktemp("scratch")))
        with two_nodes() as nodes:
            yield nodes


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scenes") / "cloud.ply"
    formats.write(cloud(200), path)
    return path


@pytest.fixture(scope="module")
def photographed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_photographed(tmp_path_factory.mktemp("photographed"))


def trimmings() -> list[int]:
    """Processes that trim a scene of these tests."""
    return list(processes(lambda line: "-m leansplat trim" in line and os.environ["LEANSPLAT_SCRATCH"] in line))


def converting(store: str, count: int) -> list[Task]:
    return [
        Task(
            f"c{number}",
            ("convert", Place(f"{store}/in/a.ply", "input"), Place(f"{store}/out/c{number}.spz", "output")),
            f"{store}/out/c{number}.log",
        )
        for number in range(count)
    ]


def test_a_batch_runs_on_all_nodes_and_says_on_which(
    cluster: TwoNodes, s3: S3Server, scene: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = s3.bucket()
    for number in range(6):
        put_file(scene, f"{store}/in/{number}.ply")
    words = ["batch", f"{store}/in", "-o", f"{store}/out", "--format", "spz", "--json"]
    assert main([*words, "--ray", cluster.address, "--", "convert"]) == 0
    said = capsys.readouterr()
    rows = json.loads(said.out)["scenes"]
    assert [row["status"] for row in rows] == [FINISHED] * 6
    assert len({row["where"] for row in rows}) == 2
    assert "a Ray cluster of 2 nodes, 2 tasks of 1 thread at once" in said.err
    assert "Connecting to existing" not in said.err + said.out


def test_paths_are_taken_where_all_nodes_see_the_same_disk(
    cluster: TwoNodes, scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["batch", str(scene), "-o", str(tmp_path / "out"), "--format", "spz", "--ray", cluster.address]
    assert main([*words, "--", "convert"]) == 0
    assert (tmp_path / "out/cloud.spz").exists()
    assert not list((tmp_path / "out").glob(".leansplat-batch*"))


@pytest.mark.long
def test_jobs_of_the_paper_run_on_a_cluster_where_all_nodes_see_the_same_disk(
    cluster: TwoNodes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capture = write_nerfstudio(tiny_capture(), tmp_path / "photos")
    asked = ["--captures", f"tiny={capture}", "--figures", "7c", "--iterations-scale", "0.001", "--threads", "1"]
    words = ["paper", "run", "-o", str(tmp_path / "sweep"), "--ray", cluster.address, "--json"]
    assert main([*words, *asked]) == 0
    assert json.loads(capsys.readouterr().out)["finished"] == ["tiny/base-s1", "tiny/gradient-0.45-s1"]
    scene = tmp_path / "sweep/jobs/tiny/base-s1/scene.ply"
    made = scene.stat().st_mtime_ns
    assert main(words) == 0
    assert scene.stat().st_mtime_ns == made


def test_a_node_that_sees_another_disk_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("leansplat.batch.ray_work._where", lambda: "there 1234")
    task = json.dumps(Task("a", ("info", "a.ply"), str(tmp_path / "a.log")).to_json())
    outcome = Outcome(**json.loads(do_task(task, version_here(), str(tmp_path), str(tmp_path / "probe"))))
    assert outcome.status == FAILED
    assert "is another folder on node there 1234; use a disk that all nodes share" in outcome.sentence
    outcome = Outcome(**json.loads(do_task(task, "0.0.1", str(tmp_path), "")))
    assert "install the same on all nodes" in outcome.sentence


def test_a_task_travels_as_plain_data() -> None:
    task = Task("a", ("convert", Place("s3://b/a", "input")), "a.log", Cost(2, 3, 0.5), None, True, ("b",))
    assert Task.from_json(json.loads(json.dumps(task.to_json()))) == task


def test_a_cluster_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "")
    with pytest.raises(InputError, match=r"there is no Ray cluster at 127\.0\.0\.1:9 "):
        RayExecutor("127.0.0.1:9", Cost())


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        (["--gpus", "1"], "--gpus is for a Ray cluster"),
        (["--ray", "127.0.0.1:9", "--workers", "2"], "leave --workers out"),
        (["--ray", "127.0.0.1:9", "--gpus", "0"], "give a number of cards above 0"),
    ],
)
def test_options_that_do_not_go_together_are_told(
    options: list[str], wrong: str, scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["batch", str(scene), "-o", str(tmp_path / "out"), *options, "--", "info"]) == 2
    assert wrong in capsys.readouterr().err


def test_a_worker_that_is_killed_costs_the_steps_since_a_checkpoint(
    cluster: TwoNodes, s3: S3Server, scene: Path, photographed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = s3.bucket()
    put_file(scene, f"{store}/in/a.ply")
    tasks = [trimming(store, photographed), *converting(store, 3)]
    orphans: list[list[int]] = []

    def kill() -> None:
        until(lambda: has_checkpoint(store))
        ours = trimmings()
        assert ours
        until(lambda: cluster.kill_worker("trimmed"))
        until(lambda: not set(ours) & set(trimmings()))
        orphans.append(ours)

    killing = threading.Thread(target=kill)
    killing.start()
    with RayExecutor(cluster.address, Cost()) as executor:
        ended = {task.name: outcome for task, outcome in outcomes(iter(tasks), executor)}
    killing.join()
    assert len(orphans) == 1, "the command went on after its worker had been killed"
    assert {name: outcome.status for name, outcome in ended.items()} == dict.fromkeys(ended, FINISHED)
    went_on(store)
    assert "raylet" not in capsys.readouterr().out


def test_what_is_stopped_leaves_no_process_behind(cluster: TwoNodes, s3: S3Server, photographed: Path) -> None:
    store = s3.bucket()
    with RayExecutor(cluster.address, Cost()) as executor:
        executor.start(trimming(store, photographed, "stopped"))
        until(lambda: bool(trimmings()))
    until(lambda: worker_of("stopped") is None and not trimmings())


def test_a_node_that_is_killed_loses_nothing(cluster: TwoNodes, s3: S3Server, scene: Path) -> None:
    """The last test with this cluster."""
    store = s3.bucket()
    put_file(scene, f"{store}/in/a.ply")
    ended: dict[str, Outcome] = {}
    with RayExecutor(cluster.address, Cost()) as executor:
        for task, outcome in outcomes(iter([replace(task, cost=Cost()) for task in converting(store, 8)]), executor):
            ended[task.name] = outcome
            if len(ended) == 2:
                cluster.kill_second_node()
    assert {name: outcome.status for name, outcome in ended.items()} == {f"c{n}": FINISHED for n in range(8)}
    assert {f"out/c{number}.spz" for number in range(8)} <= names(store)
