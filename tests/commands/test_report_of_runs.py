"""`leansplat report`: what the page says is what runs wrote down, it is whole by itself, and anybody can read it."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
from support.capture_folder import write_nerfstudio
from support.command_line import fails, run_json
from support.html_page import Element, parsed, rows_of, table_after

from leansplat import captures, formats
from leansplat.captures.synthetic import synthetic_capture
from leansplat.cli import main
from leansplat.evaluation import evaluate
from leansplat.progress_bar import ProgressBar
from leansplat.runs import open_run


@pytest.fixture(scope="module")
def trained(made: Path) -> Path:
    return made / "trained"


@pytest.fixture(scope="module")
def page_file(trained: Path, made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of a training, a trimming, a compression, a training to a file, a shrinking and a ladder."""
    from leansplat.run_report import write_report

    runs = [trained, *(made / name for name in ("trimmed", "small.sog", "direct.ply", "shrunk.spz", "ladder"))]
    output = tmp_path_factory.mktemp("report") / "report.html"
    assert write_report(runs, output, views=3) == []
    return output


@pytest.fixture(scope="module")
def page(page_file: Path) -> Element:
    return parsed(page_file)


def result(page: Element) -> dict[str, dict[str, str]]:
    """The rows of the table of what came out, by the name of the scene, as cells by the heads of their columns."""
    head, *rows = table_after(page, "result")
    return {row[0]: dict(zip(head, row, strict=True)) for row in rows}


# What it says


def test_the_table_has_the_numbers_that_the_runs_wrote_down(page: Element, trained: Path, made: Path) -> None:
    table = result(page)
    for name, folder in (("trained", trained), ("trimmed", made / "trimmed")):
        metrics = json.loads((folder / "metrics.json").read_text())
        assert table[name]["Gaussians"] == f"{metrics['gaussians']:,}"
        assert table[name]["bytes"] == f"{(folder / 'scene.ply').stat().st_size:,}"
        assert table[name]["PSNR, dB"] == f"{metrics['psnr']:.2f}"
        assert table[name]["SSIM"] == f"{metrics['ssim']:.4f}"
    for name in ("small.sog", "direct.ply", "shrunk.spz"):
        recorded = json.loads((made / f"{name}.json").read_text())["result"]
        assert table[name]["Gaussians"] == f"{recorded['gaussians']:,}"
        assert table[name]["bytes"] == f"{(made / name).stat().st_size:,}"
        scores = recorded.get("compressed") or recorded.get("metrics") or recorded["loss"]["own"]
        assert table[name]["PSNR, dB"] == f"{scores['psnr']:.2f}"
    assert table["shrunk.spz"]["measured against"] == "the scene as given"
    for level in json.loads((made / "ladder/levels.json").read_text())["levels"]:
        row = table[f"ladder, {level['target']}"]
        assert row["Gaussians"] == f"{level['gaussians']:,}"
        assert row["bytes"] == f"{level['bytes']:,}"
        assert row["PSNR, dB"] == f"{level['loss']['photos']['psnr']:.2f}"


def test_three_sentences_say_what_was_asked_and_what_came_out(page: Element, trained: Path, made: Path) -> None:
    texts = {text.split(":")[0]: text for text in (each.text for each in page.all("p")) if " was asked " in text}
    assert list(texts) == ["trained", "trimmed", "small.sog", "direct.ply", "shrunk.spz", "ladder"]
    assert "a scene of 900 Gaussians in 12 steps" in texts["trained"]
    assert "keep 50 % of the Gaussians in 3 rounds" in texts["trimmed"]
    assert "a .sog, trained for 3 steps" in texts["small.sog"]
    assert "a file of 500 Gaussians in 12 steps" in texts["direct.ply"]
    assert "50 % of the Gaussians" in texts["shrunk.spz"]
    assert "a ladder of 50 % of the Gaussians, 25 % of the Gaussians and 10 %" in texts["ladder"]
    before, after = (json.loads((run / "metrics.json").read_text()) for run in (trained, made / "trimmed"))
    lost = before["psnr"] - after["psnr"]
    assert f"{after['gaussians']:,} Gaussians" in texts["trimmed"]
    assert f"left of {before['gaussians']:,}" in texts["trimmed"]
    assert f"{abs(lost):.2f} dB {'less' if lost >= 0 else 'more'} than before" in texts["trimmed"]


def test_rounds_are_told_as_they_were_logged(page: Element, made: Path) -> None:
    logged = [event for event in open_run(made / "trimmed").events() if event["event"] == "round"]
    _, *rows = table_after(page, "rounds")
    assert len(rows) == len(logged) == 3
    for row, event in zip(rows, logged, strict=True):
        assert row[2] == f"{event['asked']['count']:,} left"
        assert row[3:6] == [f"{event[name]:,}" for name in ("before", "removed", "kept")]
        assert row[7] == f"{event['held_out_after']['psnr']:.2f}"


def test_all_runs_are_on_one_plot_of_quality_over_size(page: Element, made: Path) -> None:
    (section,) = [each for each in page.all("section") if each.attributes["id"] == "size"]
    charts = section.all("figure", cls="chart")
    names = [{each.attributes["data-series"] for each in chart.all("g", cls="series")} for chart in charts]
    assert names[0] == {
        "trained",
        "trimmed",
        "small.sog",
        "direct.ply",
        "ladder",
    }  # what is measured on the same photos
    (ladder,) = [g for g in charts[0].all("g", cls="series") if g.attributes["data-series"] == "ladder"]
    levels = json.loads((made / "ladder/levels.json").read_text())["levels"]
    points = json.loads(ladder.attributes["data-points"])
    assert [point[3].split(" (")[0] for point in points] == [
        f"{level['loss']['photos']['psnr']:.2f}" for level in levels
    ]
    assert [point[2] for point in points] == [f"{level['bytes'] / 1e6:,.3g}" for level in levels]


def test_parts_of_each_file_are_together_its_bytes(page: Element, trained: Path, made: Path) -> None:
    (section,) = [each for each in page.all("section") if each.attributes["id"] == "bytes"]
    ladder = json.loads((made / "ladder/levels.json").read_text())["levels"][-1]["file"]
    files = [trained / "scene.ply", made / "trimmed/scene.ply"]
    files += [made / "small.sog", made / "direct.ply", made / "shrunk.spz", Path(ladder)]
    wholes = section.all("div", cls="whole")
    assert len(wholes) == len(files)
    for whole, file in zip(wholes, files, strict=True):
        _, *rows, last = rows_of(whole.all("table")[0])
        sizes = [int(row[1].replace(",", "")) for row in rows]
        assert sum(sizes) == int(last[1].replace(",", "")) == file.stat().st_size
        assert len(sizes) > 3
    assert "shrunk.spz are estimates" in section.text


def test_the_command_is_there_to_be_typed_again(page: Element, made: Path) -> None:
    codes = [code.text for code in page.all("code")]
    line = json.loads((made / "shrunk.spz.json").read_text())["line"]
    assert line[:2] == ["leansplat", "shrink"]
    assert shlex.join(line) in codes
    assert json.loads((made / "trimmed/config.json").read_text())["inputs"]["scene"] in page.text


def test_the_worst_the_median_and_the_best_view_really_are(
    page: Element, trained: Path, made: Path, capture: Path
) -> None:
    folder = made / "trimmed"
    photos = captures.load(capture, downscale=1, background=(0.0, 0.0, 0.0), points=False)
    before, after = (evaluate(run, photos, lpips=None, fps=False).views for run in (trained, folder))
    lost = {one.name: one.psnr - other.psnr for one, other in zip(before, after, strict=True)}
    order = sorted(lost, key=lambda name: -lost[name])
    titles = [each.text for each in page.all("h3")]
    groups = page.all("div", cls="comparisons")
    shown = [figure.all("h3")[0].text for figure in groups[1].all("figure", cls="comparison")]
    assert shown == [f"Worst: {order[0]}", f"Best: {order[-1]}"]  # two are held out
    assert set(shown) <= set(titles)
    labels = [side.all("figcaption")[0].text for side in groups[1].all("figure", cls="side")][:4]
    assert labels[:3] == ["before", "after", "photo"]
    assert labels[3].startswith("difference ×")
    ladder = [figure.all("h3")[0].text for figure in groups[4].all("figure", cls="comparison")]
    assert len(ladder) == 2  # of 16 made-up cameras two judge


# Whole by itself, for everybody


def test_the_page_asks_nothing_of_the_network(page: Element, page_file: Path) -> None:
    text = page_file.read_text(encoding="utf-8")
    assert set(re.findall(r"\w+://[^\s\"'<>]*", text)) <= {"http://www.w3.org/2000/svg"}  # the name of a language
    assert not re.search(r"url\(|@import|\bimport\b|\bfetch\(|XMLHttpRequest|WebSocket|sendBeacon", text)
    for element in everything(page):
        for name in ("src", "href", "srcset", "action", "data", "poster"):
            value = element.attributes.get(name, "#")
            assert value.startswith(("#", "data:image/webp;base64,")), (element.tag, name, value[:60])
    assert not page.all("link")
    assert not [each for each in page.all("script") if "src" in each.attributes]
    (policy,) = [each.attributes["content"] for each in page.all("meta") if "Content-Security" in str(each.attributes)]
    assert policy.startswith("default-src 'none';")
    assert "http" not in policy
    assert "unsafe" not in re.findall(r"script-src ([^;]*)", policy)[0]


def test_pictures_say_what_they_show_and_tables_what_their_cells_are(page: Element) -> None:
    pictures = page.all("img")
    assert len(pictures) == 2 * (3 + 4 + 4 + 3 + 3 + 4)  # two views of each run, some without a photo or a scene before
    for picture in pictures:
        assert len(picture.attributes["alt"]) > 10
        assert int(picture.attributes["width"]) > 0
    for drawing in page.all("svg"):
        assert drawing.attributes.get("aria-label") or drawing.attributes.get("aria-hidden") == "true"
    for table in page.all("table"):
        head, *rows = table.all("tr")
        assert {cell.attributes["scope"] for cell in head.all("th")} == {"col"}
        assert not head.all("td")
        for row in rows:
            (first,) = row.all("th")
            assert first.attributes["scope"] == "row"
    for bar in page.all("div", cls="bar"):
        assert "%" in bar.attributes["aria-label"]


def test_all_links_lead_somewhere_and_ids_are_unique(page: Element) -> None:
    ids = [each.attributes["id"] for each in everything(page) if "id" in each.attributes]
    assert len(set(ids)) == len(ids)
    links = {each.attributes["href"].lstrip("#") for each in page.all("a")}
    assert links == set(ids)
    assert page.all("html")[0].attributes["lang"] == "en"


def test_pictures_take_no_more_than_they_may(trained: Path, made: Path, tmp_path: Path, monkeypatch) -> None:
    from leansplat.run_report import assembling

    monkeypatch.setattr(assembling, "MOST_BYTES", 6000)
    assembling.write_report([trained, made / "trimmed"], tmp_path / "small.html")
    coded = re.findall(r"base64,([^\"]*)", (tmp_path / "small.html").read_text())
    assert coded
    assert sum(map(len, coded)) * 3 / 4 <= 6000


def everything(page: Element) -> list[Element]:
    found = [child for child in page.children if isinstance(child, Element)]
    return [each for child in found for each in (child, *everything(child))]


# What is not there


def as_before(run: Path, folder: Path) -> Path:
    """A copy of a run as earlier versions wrote it: without its command line, and without quality on the way."""
    shutil.copytree(run, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({k: v for k, v in config.items() if k not in ("line", "directory")}))
    lines = (folder / "log.jsonl").read_text().splitlines(keepends=True)
    (folder / "log.jsonl").write_text("".join(line for line in lines if '"held_out"' not in line))
    return folder


def test_runs_of_earlier_versions_are_told_of_as_far_as_they_tell(trained: Path, tmp_path: Path, capsys) -> None:
    old = as_before(trained, tmp_path / "old")
    assert run_json(capsys, "report", old, "-o", tmp_path / "old.html")["missing"] == []
    page = parsed(tmp_path / "old.html")
    assert "The command is not recorded by this run" in page.text
    assert result(page)["old"] == result_of(trained, tmp_path, capsys) | {"scene": "old"}


def result_of(run: Path, tmp_path: Path, capsys) -> dict[str, str]:
    run_json(capsys, "report", run, "-o", tmp_path / "new.html", "--views", "0")
    return result(parsed(tmp_path / "new.html"))[run.name]


def test_a_ladder_of_an_earlier_version_has_its_levels_alone(made: Path, tmp_path: Path, capsys) -> None:
    shutil.copytree(made / "ladder", tmp_path / "old")
    (tmp_path / "old" / "record.json").unlink()
    values = run_json(capsys, "report", tmp_path / "old", "-o", tmp_path / "old.html")
    assert "recorded its levels alone" in values["missing"][0]
    assert len(result(parsed(tmp_path / "old.html"))) == 3


def test_a_run_that_has_not_finished_is_told_of_as_far_as_it_is(trained: Path, tmp_path: Path, capsys) -> None:
    shutil.copytree(trained, tmp_path / "begun")
    for name in ("scene.ply", "metrics.json"):
        (tmp_path / "begun" / name).unlink()
    lines = (tmp_path / "begun/log.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "begun/log.jsonl").write_text("".join(line for line in lines if '"finished"' not in line))
    missing = run_json(capsys, "report", tmp_path / "begun", "-o", tmp_path / "a.html")["missing"]
    assert "has not finished" in missing[0]
    page = parsed(tmp_path / "a.html")
    assert result(page)["begun"]["PSNR, dB"] == "–"
    assert "900 Gaussians" in page.text


def test_a_scene_that_was_only_encoded_is_told_of_without_photos(made: Path, tmp_path: Path, capsys) -> None:
    run_json(capsys, "compress", made / "alone.ply", "-o", tmp_path / "a.compressed.ply")
    values = run_json(capsys, "report", tmp_path / "a.compressed.ply", "-o", tmp_path / "a.html")
    assert "did not record where its photos are" in values["missing"][0]
    page = parsed(tmp_path / "a.html")
    assert "All 450 Gaussians" in page.text
    assert sum(int(row[1].replace(",", "")) for row in table_after(page, "bytes")[1:-1]) == (
        (tmp_path / "a.compressed.ply").stat().st_size
    )


def test_a_run_of_a_compression_knows_its_file(made: Path, capture: Path, tmp_path: Path, capsys) -> None:
    photos = ["--capture", capture, "--steps", "2", "--no-lpips"]
    run_json(capsys, "compress", made / "trimmed", *photos, "-o", tmp_path / "a.spz", "--run", tmp_path / "tuned")
    arguments = ["report", tmp_path / "tuned", "-o", tmp_path / "a.html", "--overwrite"]
    assert run_json(capsys, *arguments)["missing"] == []
    assert parsed(tmp_path / "a.html").all("img")
    (tmp_path / "a.spz").write_bytes(b"another")
    assert "another one is there by now" in run_json(capsys, *arguments)["missing"][0]
    assert len(table_after(parsed(tmp_path / "a.html"), "bytes")) > 3  # which the run wrote down itself


def test_where_the_photos_have_gone_the_report_says_so_and_is_made(made: Path, tmp_path: Path, capsys) -> None:
    shutil.copytree(made / "trimmed", tmp_path / "run")
    config = json.loads((tmp_path / "run/config.json").read_text())
    config["settings"]["capture"] = "gone"
    (tmp_path / "run/config.json").write_text(json.dumps(config))
    (sentence,) = run_json(capsys, "report", tmp_path / "run", "-o", tmp_path / "a.html")["missing"]
    assert "photos are not at gone any more; give --capture" in sentence
    page = parsed(tmp_path / "a.html")
    assert "photos are not at gone" in page.text
    assert not page.all("img")
    assert page.all("figure", cls="chart")


def test_other_photos_than_those_of_the_run_are_not_shown_beside_it(trained: Path, tmp_path: Path, capsys) -> None:
    other = write_nerfstudio(synthetic_capture(views=10, size=32, seed=1), tmp_path / "other")
    (sentence,) = run_json(capsys, "report", trained, "-o", tmp_path / "a.html", "--capture", other)["missing"]
    assert "not those of then" in sentence
    assert not parsed(tmp_path / "a.html").all("img")


def test_a_scene_that_has_changed_since_is_not_shown_as_what_was_given(made: Path, tmp_path: Path, capsys) -> None:
    shutil.copy(made / "shrunk.spz", tmp_path)
    record = json.loads((made / "shrunk.spz.json").read_text())
    record["settings"]["scene"], record["directory"] = "scene.ply", str(tmp_path)
    (tmp_path / "shrunk.spz.json").write_text(json.dumps(record))
    shutil.copy(made / "alone.ply", tmp_path / "scene.ply")
    arguments = ["report", tmp_path / "shrunk.spz", "-o", tmp_path / "a.html", "--overwrite"]
    assert run_json(capsys, *arguments)["missing"] == []
    formats.write(formats.read(made / "alone.ply")[::2], tmp_path / "scene.ply", overwrite=True)
    assert "is another one by now" in run_json(capsys, *arguments)["missing"][0]
    (tmp_path / "scene.ply").unlink()
    assert "is not there any more" in run_json(capsys, *arguments)["missing"][0]


def test_what_is_no_run_is_refused_in_a_sentence(
    made: Path, trained: Path, scene: Path, tmp_path: Path, capsys
) -> None:
    output = tmp_path / "report.html"
    (tmp_path / "empty").mkdir()
    (tmp_path / "kept").mkdir()
    shutil.copytree(trained, tmp_path / "kept/stage-01")
    shutil.copy(made / "shrunk.spz", tmp_path)
    shutil.copy(made / "shrunk.spz.json", tmp_path)
    with open(tmp_path / "shrunk.spz", "ab") as file:
        file.write(b"more")
    shutil.copy(made / "small.sog", tmp_path)
    (tmp_path / "small.sog.json").write_text('{"format": "leansplat-record-1", "command": "compress"}')
    for given, said in (
        (tmp_path / "nowhere", "does not exist"),
        (tmp_path / "empty", "no run folder"),
        (tmp_path / "kept", "give the file that came of it"),
        (scene, "has no record of how it came about"),
        (tmp_path / "shrunk.spz", "is not the file that"),
        (tmp_path / "small.sog", "no valid entry"),
    ):
        assert said in fails(capsys, "report", given, "-o", output), given
    assert "no run to report" in fails(capsys, "report", "-o", output)
    assert "--views is -1" in fails(capsys, "report", trained, "-o", output, "--views", "-1")
    output.write_text("precious")
    assert "--overwrite" in fails(capsys, "report", trained, "-o", output)
    assert output.read_text() == "precious"


def test_two_runs_of_one_name_are_told_apart(trained: Path, tmp_path: Path, capsys) -> None:
    shutil.copytree(trained, tmp_path / "again" / "trained")
    run_json(capsys, "report", trained, tmp_path / "again/trained", "-o", tmp_path / "a.html", "--views", "0")
    assert len(result(parsed(tmp_path / "a.html"))) == 2


def test_rendering_says_how_far_it_is(trained: Path, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    stages: list[str] = []
    name = ProgressBar.stage
    monkeypatch.setattr(ProgressBar, "stage", lambda self, words: (stages.append(words), name(self, words))[1])
    assert main(["report", str(trained), "-o", str(tmp_path / "a.html")]) == 0
    told = capsys.readouterr().err
    assert any("loading the photos" in words for words in stages)
    assert "rendering held-out views of trained: 2 of 2" in told
