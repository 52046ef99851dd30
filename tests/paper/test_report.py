"""The report as a whole: numbers are those of results.json, what is missing is said to be missing, both pages agree."""

from __future__ import annotations

import re
import statistics
from html.parser import HTMLParser
from pathlib import Path

import pytest
from support.made_up_results import made_up_results, write, write_pictures

from leansplat.errors import InputError
from leansplat.paper.figures import LOOKS
from leansplat.paper.published import DATASETS, TABLE_1, TABLE_2
from leansplat.paper.results import Results, read_results
from leansplat.paper.scores import Score, score_cells
from leansplat.paper.sections import make_document, write_report
from leansplat.paper.tables import LABELS, spread, table_1, table_2
from leansplat.report.document import Table
from leansplat.report.html import to_html
from leansplat.report.markdown import to_markdown


def report(tmp_path: Path, **arguments) -> tuple[str, str]:
    """Markdown and HTML of made-up results."""
    folder = write(made_up_results(**arguments), tmp_path / "sweep")
    files = write_report(folder, tmp_path / "out", overwrite=True)
    return files[1].read_text(), files[0].read_text()


def cells_of(table: Table) -> list[str]:
    return [cell for row in table.rows for cells in row if cells is not None for cell in cells]


class Page(HTMLParser):
    """Ids, links and unbalanced elements of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.open: list[str] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.ids += [values["id"]] if "id" in values else []
        self.links += [value for name, value in attrs if name in ("href", "src", "xlink:href") and value]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.words += data


def test_our_numbers_in_table_1_are_those_of_the_results() -> None:
    values = made_up_results(["fox", "chair"], ["table 1", "stale"])
    table = table_1(Results(Path(), values))
    assert [group.title for group in table.groups][2:4] == ["fox", "chair"]
    shown = {(cells[0] or ("",))[0] + (cells[1] or ("",))[0]: cells for cells in table.rows}
    jobs = {(job["capture"], job["variant"]): job["metrics"] for job in values["jobs"]}
    rows = {
        "3DGS-30k–": "base",
        "3DGS-7k–": "7k",
        f"{LABELS['control']}–": "control",
        "opacity alone0.025": "opacity-0.025",
        "Trimming the Fat, fresh gradients0.600": "gradient-0.6",
        "Trimming the Fat, stale gradients (the authors' code)0.450": "stale-0.45",
    }
    for label, variant in rows.items():
        for column, capture in ((2, "fox"), (3, "chair")):
            metrics = jobs[capture, variant]
            expected = (
                f"{metrics['ssim']:.3f}",
                f"{metrics['psnr']:.2f}",
                f"{metrics['lpips']:.3f}",
                f"{metrics['bytes'] / 1e6:.1f}",
            )
            assert shown[label][column][:4] == expected


def test_our_numbers_in_table_2_are_those_of_the_results_with_the_ratio_to_the_ply_of_the_base() -> None:
    sizes = {"base": 80.0, "base-npz": 4.0, "gradient-0.375": 20.0, "gradient-0.45-sog-plain": 1.6}

    def score(job, number: int) -> Score:
        quality = {"truck": 20.0, "train": 24.0}[job.capture]
        return Score(0.5, quality + number / 100, 0.2, sizes.get(job.variant, 1.0))

    values = made_up_results(["truck", "train"], ["table 2"], score=score)
    jobs = {(job["capture"], job["variant"]): job["metrics"] for job in values["jobs"]}
    table = table_2(Results(Path(), values))
    titles = [group.title for group in table.groups][2:]
    assert titles[:3] == ["truck", "train", "Tanks and Temples, mean of 2 scenes"]
    shown = {(cells[0] or ("",))[0] + (cells[1] or ("",))[0]: cells for cells in table.rows}
    rows = {
        "3DGS-30k–": ("base", "1.0x"),
        "3DGS-30k + c3dgs–": ("base-npz", "20.0x"),
        "Trimming the Fat0.375": ("gradient-0.375", "4.0x"),
        "Trimming the Fat + c3dgs0.375": ("gradient-0.375-npz", "80.0x"),
        "Trimming the Fat + SOG, encoded0.450": ("gradient-0.45-sog-plain", "50.0x"),
        "Trimming the Fat + SPZ, fine-tuned0.500": ("gradient-0.5-spz", "80.0x"),
    }
    for label, (variant, ratio) in rows.items():
        found = [jobs[capture, variant]["psnr"] for capture in ("truck", "train")]
        psnr = [f"{value:.2f}" for value in (*found, statistics.fmean(found))]
        for cells, value in zip(shown[label][2:5], psnr, strict=True):
            assert cells is not None
            assert (cells[1], cells[4]) == (value, ratio)
    assert None not in [cells for row in table.rows for cells in row]


def test_published_rows_of_table_2_have_the_ratios_the_paper_prints() -> None:
    table = table_2(Results(Path(), made_up_results(experiments=["table 1"])))
    titles = [group.title for group in table.groups]
    column = titles.index("Deep Blending (paper)")
    ratios = {row[0][0]: row[column][4] for row in table.rows if row[0] and row[column] and row[column][4] != "–"}
    assert ratios == {"3DGS-30k": "1.0x", "3DGS-30k + c3dgs": "27.8x", "Trimming the Fat + c3dgs": "56.3x"}


def test_results_from_before_table_2_was_run_say_that_it_was_not() -> None:
    table = table_2(Results(Path(), made_up_results(experiments=["table 1"])))
    fox = {(row[0] or ("",))[0]: row[2] for row in table.rows}
    assert {name for name, cells in fox.items() if cells is None} == {
        "3DGS-30k + c3dgs",
        *(f"Trimming the Fat + {kind}, {how}" for kind in ("SOG", "SPZ") for how in ("encoded", "fine-tuned")),
        "Trimming the Fat + c3dgs",
    }


def test_the_results_in_this_repository_make_a_report() -> None:
    results = read_results(Path(__file__).parents[2] / "benchmarks/results/paper")
    base = results.find("fox", "base")
    assert base is not None
    assert (table_2(results).rows[0][2] or ())[:4] == score_cells(base.score)
    assert to_markdown(make_document(results))


def test_published_numbers_stand_beside_ours_with_a_word_on_the_typo(tmp_path: Path) -> None:
    markdown, html = report(tmp_path, experiments=["table 1"])
    for row in (*TABLE_1.values(), *TABLE_2.values()):
        for dataset in DATASETS:
            cells = score_cells(row.scores[dataset])
            assert " / ".join(cells) in markdown
            assert "".join(f"<td>{cell}</td>" for cell in cells[1:]) in html
    assert ".574" in markdown
    assert "typo" in markdown


def test_both_pages_say_the_same(tmp_path: Path) -> None:
    folder = write(made_up_results(["fox", "chair"], seeds=[1, 2]), tmp_path)
    document = make_document(read_results(folder))
    markdown, page = to_markdown(document), Page(to_html(document))
    for section in document.sections:
        for block in section.blocks:
            if isinstance(block, Table):
                for words in [*cells_of(block), *block.notes]:
                    assert words in markdown
                    assert words in page.words
    for plot in document.plots():
        assert f"plots/{plot.name}.svg" in markdown
        assert plot.title in page.words


def test_the_page_stands_alone_and_its_contents_lead_somewhere(tmp_path: Path) -> None:
    results = made_up_results(seeds=[1, 2])
    write_pictures(results, write(results, tmp_path))
    page = Page(write_report(tmp_path, tmp_path / "out")[0].read_text())
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    for link in page.links:
        assert link.startswith(("#", "data:image/webp;base64,"))
        assert not link.startswith("#") or link[1:] in page.ids
    text = (tmp_path / "out/report.html").read_text()
    assert set(re.findall(r"https?://[^\s\"<]*", text)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    assert "prefers-color-scheme: dark" in text


def test_files_that_markdown_names_are_written(tmp_path: Path) -> None:
    results = made_up_results()
    write_pictures(results, write(results, tmp_path))
    files = write_report(tmp_path, tmp_path / "out")
    named = re.findall(r"(?:\(|src=\")((?:plots|crops)/[^)\"]+)", (tmp_path / "out/report.md").read_text())
    assert {tmp_path / "out" / name for name in named} == set(files[2:])
    assert all(path.is_file() for path in files)
    assert sum(path.suffix == ".webp" for path in files) == 9


def test_what_was_not_run_is_said_to_be_not_run_and_nothing_is_made_up(tmp_path: Path) -> None:
    status = {
        "fox/gradient-0.45-s1": ("failed", "the loss is <nan> at step 3"),
        "fox/lottery-fair-s1": ("skipped", "it needs fox/gradient-0.45-s1, which was not run to its end"),
        "fox/opacity-0.1-s1": ("waiting", None),
    }
    markdown, html = report(tmp_path, status=status)
    assert "| fox/gradient-0.45-s1 | failed | the loss is &lt;nan> at step 3 |" in markdown
    assert "the loss is &lt;nan&gt; at step 3" in html
    assert "<nan>" not in html
    assert "| fox/opacity-0.1-s1 | not run |  |" in markdown
    row = next(line for line in markdown.splitlines() if line.startswith("| opacity alone | 0.100 |"))
    assert row.startswith("| opacity alone | 0.100 | not run | 0.799 / 27.25")
    assert "Fig. 7c: opacities before and after\n\nNot run." in markdown


def test_a_report_before_any_job_is_finished_has_the_paper_alone(tmp_path: Path) -> None:
    values = made_up_results()
    for job in values["jobs"]:
        job |= {"status": "waiting", "metrics": None, "seconds": None, "rounds": None}
    values["captures"][0]["photos"] = None
    files = write_report(write(values, tmp_path), tmp_path / "out")
    assert {path.stem for path in files if path.suffix == ".svg"} == {
        "figure-3-Mip-NeRF360-paper",
        "figure-3-Tanks-Temples-paper",
        "figure-3-Deep-Blending-paper",
    }


@pytest.mark.parametrize(
    ("scale", "words"), [(1.0, "as long as the paper's."), (0.1, "0.1 times as long as the paper's.")]
)
def test_tables_and_plots_say_how_long_the_schedule_was(scale: float, words: str, tmp_path: Path) -> None:
    document = make_document(read_results(write(made_up_results(scale=scale), tmp_path)))
    ours = [plot for plot in document.plots() if "(paper)" not in plot.title]
    assert ours
    assert all(plot.title.endswith(words) for plot in ours)
    assert any(words in note for note in table_1(read_results(tmp_path)).notes)


def test_the_spread_is_the_mean_and_the_deviation_over_seeds() -> None:
    psnr = {1: 30.0, 2: 31.0, 3: 30.5}

    def score(job, _) -> Score:
        gain = {1: 0.1, 2: 0.2, 3: 0.6}[job.seed] if job.variant == "control" else 0.0
        return Score(0.9, psnr[job.seed] + gain, None, 10.0)

    results = Results(Path(), made_up_results(seeds=[1, 2, 3], score=score))
    table = spread(results)
    assert table is not None
    rows = {row[1][0]: row[2] for row in table.rows}
    assert rows["3DGS-30k"][:2] == ("3", f"30.50 ± {statistics.stdev(psnr.values()):.2f}")
    assert rows[LABELS["control"]][2] == f"+0.30 ± {statistics.stdev([0.1, 0.2, 0.6]):.2f}"
    assert rows["3DGS-30k"][4] == "–"
    assert spread(Results(Path(), made_up_results())) is None


def test_the_same_results_give_the_same_bytes(tmp_path: Path) -> None:
    results = made_up_results()
    write_pictures(results, write(results, tmp_path))
    one, other = (write_report(tmp_path, tmp_path / name) for name in ("one", "other"))
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in other]


def test_a_folder_without_results_is_named_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"results\.json does not exist"):
        read_results(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": "other"}', '{"format": "leansplat-paper-results-1"}'])
def test_damaged_results_are_named_in_a_sentence(text: str, tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(InputError, match=r"results\.json is damaged"):
        read_results(tmp_path)


def test_looks_can_be_told_apart_without_colour() -> None:
    assert len({(look.mark, look.filled) for look in LOOKS.values()}) == len(LOOKS)
