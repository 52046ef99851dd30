"""Three sentences on a run: what was asked, what came out, and how good it is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from leansplat.run_report.account import Account, Standing
from leansplat.shrinking.sizes import format_bytes
from leansplat.shrinking.targets import Target

NOT_RECORDED = "not recorded by this run"


def sentences(account: Account) -> str:
    """All three."""
    return " ".join([asked(account), came_out(account), quality(account)])


def asked(account: Account) -> str:
    """What was asked for."""
    settings = account.settings
    if account.rungs:
        targets = [rung.target for rung in account.rungs]
        return f"`shrink` was asked for a ladder of {', '.join(targets[:-1])} and {targets[-1]}."
    if account.command == "trim":
        return f"`trim` was asked to {_trimming(settings.get('trimming', {}))}."
    if account.command == "compress":
        steps = settings.get("compression", {}).get("fine_tuning", {}).get("steps")
        suffix = settings.get("codec", {}).get("suffix") or "".join(Path(account.name).suffixes[-1:])
        tuned = f", trained for {steps:,} steps through its rounding" if steps else ""
        return f"`compress` was asked for a small file{f', a {suffix}' if suffix else ''}{tuned}."
    if account.command == "shrink":
        target = Target.from_json(settings["target"]).described() if "target" in settings else NOT_RECORDED
        pace = settings.get("shrinking", {})
        limit = f" within {pace['minutes']:g} minutes" if pace.get("minutes") else ""
        return f"`shrink` was asked for a file with {target}{limit}."
    return f"`train` was asked for {_training(settings)}, from the photos of {account.capture_name}."


def _trimming(trimming: Mapping[str, Any]) -> str:
    rounds = trimming.get("rounds")
    paced = f" in {rounds} round{'' if rounds == 1 else 's'}" if rounds else ""
    tuning = trimming.get("finetune")
    after = f", with {tuning:,} steps of fine-tuning" if tuning else ""
    if trimming.get("control"):
        return f"train as long as a trimming does but remove nothing, as a control{after}"
    by = f" by the criterion {trimming['criterion']}" if trimming.get("criterion") else ""
    if trimming.get("keep") is not None:
        aim = f"keep {100 * trimming['keep']:.6g} % of the Gaussians"
    elif trimming.get("count") is not None:
        aim = f"keep {trimming['count']:,} Gaussians"
    elif trimming.get("target_sparsity") is not None:
        aim = f"remove {100 * trimming['target_sparsity']:.6g} % of the Gaussians, by the paper's estimate,"
    elif trimming.get("gamma") is not None:
        aim = f"remove what is below the quantile {trimming['gamma']:g} of the paper"
    else:
        aim = "make the scene smaller"
    return f"{aim}{paced}{by}{after}"


def _training(settings: Mapping[str, Any]) -> str:
    file = settings.get("training to a file")
    training = settings.get("training", {})
    if file is not None:
        limits = [f"{file['count']:,} Gaussians"] if "count" in file else []
        limits += [f"at most {format_bytes(file['size'])}"] if "size" in file else []
        of = f" of {' and '.join(limits)}" if limits else ""
        return f"a file{of} in {file.get('steps', 0):,} steps"
    steps = training.get("iterations")
    budget = training.get("strategies", {}).get("budget-training", {}).get("count")
    length = f" in {steps:,} steps" if steps else ""
    return f"a scene of {budget:,} Gaussians{length}" if budget else f"a scene{length}"


def came_out(account: Account) -> str:
    """What is there now."""
    after, before = account.after, account.before
    if account.rungs:
        first, last = account.rungs[0].standing, account.rungs[-1].standing
        return f"It has {len(account.rungs)} levels, from {size_of(first)} down to {size_of(last)}{_took(account)}."
    if after.gaussians is None:
        return "Nothing has come out yet."
    words = f"{after.gaussians:,} Gaussians"
    if after.bytes is not None:
        words += f" in {format_bytes(after.bytes)}"
    if before is not None and before.gaussians:
        if after.gaussians == before.gaussians:
            words = f"All {words} came out"
        else:
            words += f" are left of {before.gaussians:,}"
        if before.bytes and after.bytes:
            times = before.bytes / after.bytes
            words += f", {times:.1f} times smaller than the {format_bytes(before.bytes)} given" if times > 1 else ""
    else:
        words += " came out"
    return f"{words}{_took(account)}."


def quality(account: Account) -> str:
    """How good it is."""
    after, before = account.after.scores, account.before.scores if account.before else None
    if after.psnr is None:
        return "How good it is was not measured, as no photo is held out, or not yet."
    number = f"{account.views} " if account.views else ""
    on = (
        f"{number}held-out photos"
        if account.against == "photos"
        else f"{number}views held back, against {account.against},"
    )
    it = "the smallest" if account.rungs else "it"
    told = f"On {on} {it} has a PSNR of {after.psnr:.2f} dB"
    if after.ssim is not None:
        told += f" and an SSIM of {after.ssim:.4f}"
    if before is not None and before.psnr is not None:
        lost = before.psnr - after.psnr
        told += f", {abs(lost):.2f} dB {'less' if lost >= 0 else 'more'} than before"
    if account.after.views and not account.rungs:
        name = min(account.after.views, key=lambda view: account.after.views[view])
        told += f"; the lowest is {account.after.views[name]:.2f} dB, of `{name}`"
    return f"{told}."


def size_of(standing: Standing) -> str:
    """Gaussians and bytes, as far as they are known."""
    count = "" if standing.gaussians is None else f"{standing.gaussians:,} Gaussians"
    size = "" if standing.bytes is None else format_bytes(standing.bytes)
    return " in ".join(word for word in (count, size) if word) or NOT_RECORDED


def duration(seconds: float) -> str:
    """A time as people say it: "45 s", "12 min 5 s", "2 h 10 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s" if whole else f"{seconds:.1f} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _took(account: Account) -> str:
    return "" if account.seconds is None else f", after {duration(account.seconds)}"
