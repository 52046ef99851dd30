"""The report of a sweep, section by section. What has not been run is said to be not run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from leansplat.paper import figures, tables
from leansplat.paper.claims import claims
from leansplat.paper.columns import our_columns, published_columns
from leansplat.paper.gathering import FAILED, FINISHED, SKIPPED, WAITING
from leansplat.paper.published import DATASETS
from leansplat.paper.results import Results, read_results
from leansplat.report import NOT_RUN, Block, Document, Gallery, Plot, Section, Text, simple_table, write_document


def write_report(folder: Path, output: Path, *, overwrite: bool = False) -> list[Path]:
    """Write report.html and report.md of the sweep in `folder`; the same results give the same bytes.

    Args:
        folder: the folder with results.json; crops need the folders of the jobs too.
        output: the folder to write into; it is made if needed.
        overwrite: whether files already there may be replaced.

    Returns:
        The files written: report.html, report.md, then plots and crops.

    Raises:
        InputError: there are no results, matplotlib is missing, or a file cannot be written.
    """
    return write_document(make_document(read_results(folder)), output, overwrite=overwrite)


def make_document(results: Results) -> Document:
    """Everything there is to say about the results."""
    ours, paper = our_columns(results), published_columns()
    captures = results.captures
    galleries = {capture: figures.figures_4_to_6(results, capture) for capture in captures}
    sections = [
        Section("setup", "What was run", _setup(results)),
        Section("claims", "The paper's claims", [claims(results)]),
        Section("table-1", "Table 1: quality and size by gamma", [tables.table_1(results)]),
        Section(
            "figure-3",
            "Fig. 3: quality over size",
            [
                *_found(figures.figure_3(column, results.schedule) for column in ours),
                *_found(figures.figure_3(column, "Drawn from the paper's Table 1.") for column in paper),
            ],
        ),
        Section(
            "table-2",
            "Table 2: with end-to-end compression",
            [tables.table_2(results)],
        ),
        Section("crops", "Figs. 4 to 6: crops", _crops(galleries)),
        Section(
            "figure-7a",
            "Fig. 7a: rounds, one shot, no prior",
            _found(figures.figure_7a(column, results.schedule) for column in ours),
        ),
        Section("figure-7b", "Fig. 7b: frames per second", _found([figures.figure_7b(results)])),
        Section(
            "figure-7c",
            "Fig. 7c: opacities before and after",
            _found(figures.figure_7c(results, capture) for capture in captures),
        ),
        Section(
            "figure-8",
            "Fig. 8: trimming and a learned mask",
            _found(figures.figure_8(column, results.schedule) for column in ours),
        ),
        Section("criteria", "Other criteria", _criteria(results)),
        Section("rounds", "What a round removes", [Text(_ABOUT_ROUNDS), tables.rounds(results)]),
        Section("finetuning", "Length of fine-tuning", [tables.finetuning(results)]),
        Section("lottery", "Lottery ticket", [Text(_ABOUT_LOTTERY), tables.lottery(results)]),
        Section("seeds", "Seeds", [tables.spread(results) or Text(f"Several seeds: {NOT_RUN}.")]),
        Section("jobs", "Jobs without a result", _unfinished(results)),
    ]
    return Document(f"Trimming the Fat on {_list(captures)}", sections)


_ABOUT_ROUNDS = (
    "The paper's Eq. 6 takes gamma for the share that a round removes. That holds for opacity alone. Gaussians that "
    "are low both in opacity and in gradient are fewer."
)
_ABOUT_LOTTERY = (
    "The Gaussians of the trimmed scene (gamma .45) are drawn anew at their positions and trained like 3DGS-30k, "
    "without densification. The authors' ticket has their random scales, and it keeps the optimiser's moments and the "
    "final learning rate of positions. The fair ticket begins like any training."
)


def _setup(results: Results) -> list[Block]:
    rows = []
    for capture in results.values["captures"]:
        photos = capture["photos"] or {}
        rows.append(
            [
                capture["name"],
                str(photos.get("train", NOT_RUN)),
                str(photos.get("test", NOT_RUN)),
                f"{photos['width']}x{photos['height']}" if photos else NOT_RUN,
                f"1/{capture['downscale']}",
                capture["background"],
            ]
        )
    done = [job for job in results.jobs if job["status"] == FINISHED]
    counts = ", ".join(
        f"{sum(job['status'] == status for job in results.jobs)} {words}"
        for status, words in ((FINISHED, "finished"), (FAILED, "failed"), (SKIPPED, "skipped"), (WAITING, NOT_RUN))
    )
    hours = sum(job["seconds"] for job in done) / 3600
    facts = [
        f"{results.schedule} Jobs: {counts}; {hours:.1f} hours of training.",
        f"Seeds: {_list(sorted({str(job['seed']) for job in results.jobs}, key=int))}. "
        f"Threads: {_list(sorted({str(job['threads']) for job in done}))}. "
        f"Processor: {_list(sorted({job['metrics']['processor'] for job in done}))}. "
        f"LPIPS: {_list(sorted({job['metrics']['lpips_net'] or job['metrics']['lpips_reason'] for job in done}))}.",
        "Quality is measured on photos held out of training. Results that speak against the method stay in. In every "
        f'table and plot, {", ".join(DATASETS)} with "(paper)" are published numbers, on other scenes than ours.',
    ]
    heads = ("capture", "photos trained on", "photos held out", "size", "relative to full size", "background")
    return [*(Text(fact) for fact in facts), simple_table(heads, rows)]


def _crops(galleries: dict[str, Gallery | None]) -> list[Block]:
    blocks: list[Block] = [
        Text(
            "One held-out photo of each capture and renders of its camera, cut to the window where the strongest "
            "pruning that is shown loses most against 3DGS-30k. PSNR is that of the whole view."
        )
    ]
    for capture, gallery in galleries.items():
        blocks.append(gallery or Text(f"{capture}: {NOT_RUN}, or its pictures are not beside the results."))
    return blocks


def _criteria(results: Results) -> list[Block]:
    blocks: list[Block] = []
    for capture in results.captures:
        plot = figures.criteria(results, capture)
        blocks += [Text(f"{capture}:"), *([plot] if plot else []), tables.criteria(results, capture)]
    return blocks


def _unfinished(results: Results) -> list[Block]:
    rows = [
        [job["name"], NOT_RUN if job["status"] == WAITING else job["status"], job["reason"] or ""]
        for job in results.jobs
        if job["status"] != FINISHED
    ]
    return [simple_table(("job", "status", "reason"), rows)] if rows else [Text("Every job has been run.")]


def _found(plots: Iterable[Plot | None]) -> list[Block]:
    """The plots there are, or the word that there is none."""
    found: list[Block] = [plot for plot in plots if plot is not None]
    return found or [Text(f"{NOT_RUN.capitalize()}.")]


def _list(words: Sequence[str]) -> str:
    return ", ".join(words) or "none"
