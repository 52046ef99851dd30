"""`report_of`: runs to one document, and `write_report`: to one HTML file that can be sent to people."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from leansplat.errors import InputError
from leansplat.files import replacing
from leansplat.progress import Progress, at_stage
from leansplat.report import (
    Block,
    Charts,
    Code,
    Comparisons,
    Document,
    Fact,
    Facts,
    Fold,
    Notes,
    Page,
    Section,
    Shares,
    Text,
    Whole,
    numbers,
    simple_table,
    to_html,
)
from leansplat.run_report.account import Account, Standing
from leansplat.run_report.curves import charts_of, rounds_of, sizes_of
from leansplat.run_report.histograms import histograms
from leansplat.run_report.reading import account_of
from leansplat.run_report.sentences import NOT_RECORDED, duration, sentences
from leansplat.run_report.views import Looked, look_at
from leansplat.shrinking.sizes import format_bytes
from leansplat.viewing import standalone

VIEWS = 3
"""Held-out views of a run that are shown, unless others are asked for."""

PART_NAMES = {
    "shN": "spherical harmonics",
    "shN_centroids": "spherical harmonics, palette",
    "shN_labels": "spherical harmonics, labels",
    "sh0": "colours and opacities",
    "colors": "colours",
    "means_l": "positions, low bytes",
    "means_u": "positions, high bytes",
    "quats": "rotations",
    "meta": "meta.json",
    "archive": "what holds the archive together",
}
"""What parts of files are called in words, where their names are those of the format."""

MOST_BYTES = 1_500_000
"""Of all pictures of a report."""


def write_report(
    runs: Sequence[Path],
    output: Path,
    *,
    views: int = VIEWS,
    capture: Path | None = None,
    embed: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> list[str]:
    """Write what runs tell as one HTML file, which asks nothing of the network.

    Args:
        runs: run folders, files that were made, folders of ladders.
        output: the file.
        views: pictures of how many held-out views of each run, 0 or more.
        capture: folder of the photos of all runs, if not where they say.
        embed: whether to put the scene of the last run into the file, with a viewer.
        overwrite: whether the file may be replaced.
        progress: of rendering.

    Returns:
        Sentences on what could not be shown.

    Raises:
        InputError: a run cannot be read, or the file cannot be written.
    """
    if output.exists() and not overwrite:
        raise InputError(f"{output} already exists; pass --overwrite (overwrite=True) or choose another name")
    if not runs:
        raise InputError("there is no run to report; name at least one")
    if views < 0:
        raise InputError(f"--views is {views}; give 0 or more")
    accounts = named_apart([account_of(path) for path in runs])
    looks = [
        look_at(account, views, MOST_BYTES // len(accounts), capture=capture, progress=progress) for account in accounts
    ]
    viewer = _viewer(accounts[-1], looks[-1], progress) if embed else None
    document = report_of(accounts, looks, viewer, progress=progress)
    with replacing(output, overwrite=overwrite) as file:
        file.write(to_html(document).encode())
    return [
        f"{account.name}: {text}"
        for account, look in zip(accounts, looks, strict=True)
        for text in _missing(account, look)
    ]


def _viewer(account: Account, look: Looked, progress: Progress | None) -> Page:
    """The scene that a run made, to walk through; it opens at the worst of the views that are shown.

    Raises:
        InputError: the scene is not there, or cannot be shown.
    """
    if account.after.path is None:
        raise InputError(f"the scene of {account.name} is not there, so it cannot be embedded; leave --embed out")
    at_stage(progress, f"embedding the scene of {account.name}")
    cameras = look.cameras or dict(list(account.cameras.items())[:1]) or None
    html = standalone(account.after.path, cameras=cameras, title=account.name, background=look.background)
    return Page(f"The scene of {account.name}", html)


def named_apart(accounts: Sequence[Account]) -> list[Account]:
    """The accounts with names that differ: with as much of their paths as it takes, or numbers."""
    parts = 1
    names = [account.name for account in accounts]
    while len(set(names)) < len(names) and parts < 4:
        parts += 1
        names = ["/".join(account.path.resolve().parts[-parts:]) for account in accounts]
    if len(set(names)) < len(names):
        names = [f"{name} ({number})" for number, name in enumerate(names, 1)]
    return [replace(account, name=name) for account, name in zip(accounts, names, strict=True)]


def report_of(
    accounts: Sequence[Account],
    looks: Sequence[Looked],
    viewer: Page | None = None,
    *,
    progress: Progress | None = None,
) -> Document:
    """The document of some runs, with what looking at each of them gave, and a viewer of a scene where there is one."""
    names = [account.name for account in accounts]
    title = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
    lead: list[Block] = [Facts(list(_facts(accounts))), *(Text(text) for text in _told(accounts))]
    sections = [
        Section("result", "What came out", list(_result(accounts, looks))),
        Section("scene", f"The scene of {accounts[-1].name}", [] if viewer is None else [viewer]),
        Section("views", "Held-out views", list(_views(accounts, looks))),
        Section("size", "Quality over size", [Charts(sizes_of(accounts))]),
        Section("way", "On the way", list(_way(accounts))),
        Section("rounds", "Rounds of pruning", list(_rounds(accounts))),
        Section("gaussians", "Opacities and sizes", list(_histograms(accounts, progress))),
        Section("bytes", "Where the bytes go", list(_bytes(accounts))),
        Section("again", "Settings, and how to repeat it", list(_again(accounts))),
    ]
    filled = [section for section in sections if any(map(_filled, section.blocks))]
    over = f"leansplat report · {', '.join(dict.fromkeys(_kind(account) for account in accounts))}"
    under = "Made by `leansplat report`. This file asks nothing of the network."
    return Document(title, filled, lead, over, under)


def _kind(account: Account) -> str:
    return "ladder" if account.rungs else account.command


def _filled(block: Block) -> bool:
    parts = block.charts if isinstance(block, Charts) else block.wholes if isinstance(block, Shares) else (block,)
    return len(parts) > 0


def _facts(accounts: Sequence[Account]) -> Iterator[Fact]:
    """Numbers of the last run, against the scene that it was given; or against the first run, if it can be compared."""
    first, account = accounts[0], accounts[-1]
    after, before, given = account.after, account.before, "the scene given"
    if len(accounts) > 1 and first.comparable_with(account):
        before, given = (first.before, f"what {first.name} was given") if first.before else (first.after, first.name)
    if before is not None and before.bytes and after.bytes and before.bytes > after.bytes:
        yield Fact(f"{before.bytes / after.bytes:.1f}×", f"smaller than {given}")
    if after.bytes is not None:
        yield Fact(
            format_bytes(after.bytes), f"the smallest of {len(account.rungs)} levels" if account.rungs else "on disk"
        )
    if after.gaussians is not None:
        of = f"Gaussians, of {before.gaussians:,}" if before is not None and before.gaussians else "Gaussians"
        yield Fact(f"{after.gaussians:,}", of)
    if after.scores.psnr is not None:
        on = f"PSNR on {account.views} held-out views" if account.views else "PSNR on held-out views"
        against = "" if account.against == "photos" else f", against {account.against}"
        yield Fact(f"{after.scores.psnr:.2f} dB", on + against)
        if before is not None and before.scores.psnr is not None:
            yield Fact(f"{after.scores.psnr - before.scores.psnr:+.2f} dB".replace("-", "−"), f"PSNR against {given}")


def _told(accounts: Sequence[Account]) -> list[str]:
    if len(accounts) == 1:
        return [sentences(accounts[0])]
    return [f"**{account.name}**: {sentences(account)}" for account in accounts]


def _result(accounts: Sequence[Account], looks: Sequence[Looked]) -> Iterator[Block]:
    head = ["scene", "Gaussians", "bytes", "MB", "PSNR, dB", "SSIM", "LPIPS", "measured against", "time"]
    rows: list[list[str]] = []
    shown: set[Path] = set()
    for account in accounts:
        before = account.before
        if before is not None and (before.path is None or before.path.resolve() not in shown):
            rows.append(
                _row(f"{account.name}, before", before, "photos" if before.scores.psnr is not None else "–", None)
            )
        if account.rungs:
            for rung in account.rungs:
                rows.append(_row(f"{account.name}, {rung.target}", rung.standing, account.against, None))
        else:
            rows.append(_row(account.name, account.after, account.against, account.seconds))
        shown.add(account.path.resolve())
    yield simple_table(head, rows, ["MB are 10^6 bytes. PSNR and SSIM are better when higher, LPIPS when lower."])
    said = [text for account in accounts for text in account.told]
    if said:
        yield Notes([f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}" for text in said])
    missing = [text for account, look in zip(accounts, looks, strict=True) for text in _missing(account, look)]
    if missing:
        yield Notes(missing)


def _row(name: str, standing: Standing, against: str, seconds: float | None) -> list[str]:
    scores = standing.scores
    return [
        name,
        numbers.NONE if standing.gaussians is None else f"{standing.gaussians:,}",
        numbers.NONE if standing.bytes is None else f"{standing.bytes:,}",
        numbers.NONE if standing.bytes is None else numbers.megabytes(standing.bytes / 1e6),
        numbers.NONE if scores.psnr is None else numbers.decibels(scores.psnr),
        numbers.NONE if scores.ssim is None else f"{scores.ssim:.4f}",
        numbers.NONE if scores.lpips is None else f"{scores.lpips:.4f}",
        against if scores.psnr is not None else numbers.NONE,
        numbers.NONE if seconds is None else duration(seconds),
    ]


def _missing(account: Account, look: Looked) -> list[str]:
    return [*account.missing, *look.missing]


def _views(accounts: Sequence[Account], looks: Sequence[Looked]) -> Iterator[Block]:
    for account, look in zip(accounts, looks, strict=True):
        if look.views:
            yield Text(f"**{account.name}**: {look.how}" if len(accounts) > 1 else look.how)
            yield Comparisons(look.views)


def _way(accounts: Sequence[Account]) -> Iterator[Block]:
    charts = charts_of(accounts)
    yield Charts(charts)
    silent = [
        account.name
        for account in accounts
        if not any(series.name == account.name and series.points for chart in charts for series in chart.series)
    ]
    if charts and silent:
        yield Notes([f"How {', '.join(silent)} went on the way was {NOT_RECORDED.replace('this run', 'it')}."])
    measured = {
        series.name for chart in charts if chart.title.startswith("Quality") for series in chart.series if series.points
    }
    without = [account.name for account in accounts if account.name not in measured and account.name not in silent]
    if charts and without:
        yield Notes([f"Quality on the way was {NOT_RECORDED.replace('this run', ', '.join(without))}."])


def _rounds(accounts: Sequence[Account]) -> Iterator[Block]:
    for account in accounts:
        found = rounds_of(account)
        if found is not None:
            if len(accounts) > 1:
                yield Text(f"**{account.name}**:")
            yield simple_table(*found)


def _histograms(accounts: Sequence[Account], progress: Progress | None) -> Iterator[Block]:
    for number, account in enumerate(accounts):
        at_stage(progress, f"counting opacities and sizes of {account.name}")
        before = account.before.path if account.before is not None else None
        yield Charts(histograms(account.name, number, before, account.after.path))


def _bytes(accounts: Sequence[Account]) -> Iterator[Block]:
    wholes = []
    for account in accounts:
        if account.parts:
            last = f", {account.rungs[-1].target}" if account.rungs else ""
            parts = {PART_NAMES.get(name, name): size for name, size in account.parts.items()}
            wholes.append(Whole(f"{account.name}{last}", "bytes", parts))
    yield Shares(wholes)
    estimated = [account.name for account in accounts if account.parts and account.estimated]
    if estimated:
        yield Notes([f"The parts of {', '.join(estimated)} are estimates: each was compressed alone, in proportion."])


def _again(accounts: Sequence[Account]) -> Iterator[Block]:
    lines: dict[tuple[str, ...] | None, list[str]] = {}
    for account in accounts:
        lines.setdefault(account.line, []).append(account.name)
    for line, names in lines.items():
        if len(accounts) > 1:
            yield Text(f"**{', '.join(names)}**:")
        if line is None:
            yield Text(f"The command is {NOT_RECORDED}, or it was a script that called the library.")
        else:
            yield Code(shlex.join(line))
    for account in accounts:
        settings = simple_table(["setting", "value"], list(_flat(account.settings)))
        facts = [
            *([] if account.threads is None else [["threads", str(account.threads)]]),
            *([f"version of {name}", version or "not installed"] for name, version in account.versions.items()),
            *([f"SHA-256 of the {name}", digest] for name, digest in account.inputs.items()),
        ]
        tables = [table for table in (settings, simple_table(["what", "value"], facts)) if table.rows]
        yield Fold(f"Settings, versions and hashes of {account.name}", tables or [Text(NOT_RECORDED)])


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[list[str]]:
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        elif value is not None:
            yield [f"{prefix}{name}", value if isinstance(value, str) else json.dumps(value)]
