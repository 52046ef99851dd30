"""`account_of`: a run folder, a file with its record, or the folder of a ladder, to what it tells.

Runs of earlier versions wrote less down; what is missing is said in a sentence, and everything else is there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from leansplat import formats
from leansplat.compression.codecs import CODECS, codec_of
from leansplat.errors import InputError, RunError
from leansplat.records import IN_FOLDER, Work, cameras_of, read_record, record_path, works_of
from leansplat.run_report.account import Account, Rung, Scores, Standing, found
from leansplat.runs import hash_file, open_run
from leansplat.shrinking.plain import codec_for
from leansplat.training.start import hash_scene

_OWN = "the scene as given"


def account_of(path: Path) -> Account:
    """What a run tells.

    Args:
        path: a run folder of `train`, `trim` or `compress`; a file that `train`, `compress` or `shrink` wrote; or the
            folder of a ladder.

    Raises:
        InputError: it is none of these, or damaged.
    """
    try:
        return _account(path)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise RunError(f"{path} has a record that is damaged ({error!r}); make it again") from error


def _account(path: Path) -> Account:
    if path.is_file() and path.name == formats.RUN_SCENE and (path.parent / "config.json").is_file():
        path = path.parent
    if path.is_file():
        return _of_file(path)
    if not path.is_dir():
        raise InputError(f"{path} does not exist; give a run folder, a file that was made, or the folder of a ladder")
    if (path / "config.json").is_file():
        return _of_run(path)
    if (path / IN_FOLDER).is_file() or (path / "levels.json").is_file():
        return _of_ladder(path)
    if list(path.glob("*/config.json")):
        raise InputError(f"{path} keeps what a work goes on from; give the file that came of it, beside its record")
    raise InputError(
        f"{path} is no run folder (it has no config.json) and no ladder (no levels.json); give one that is, or a file "
        "that was made"
    )


def _of_run(path: Path) -> Account:
    run = open_run(path)
    config = run.config
    metrics = _json(run.metrics_path)
    events = tuple(run.events())
    settings, command = config["settings"], config["command"]
    directory = Path(config["directory"]) if isinstance(config.get("directory"), str) else None
    missing = []
    if not any(event["event"] == "finished" for event in events):
        missing.append(f"{path} has not finished, so this is what there is so far.")
    output: Path | None = run.scene_path
    if command == "compress":
        output = found(settings["output"], directory) if "output" in settings else None
        if output is None or output.stat().st_size != metrics.get("bytes"):
            output = None
            missing.append("Where the file of this run is, it did not record, or another one is there by now.")
    before, gone = _before(settings, config["inputs"], directory)
    missing += gone
    if command == "compress":
        before = _scored(before, metrics.get("original"))
        scores = metrics.get("compressed") or {}
    else:
        scores = metrics
        if before is not None and before.path is not None and before.path.is_dir():
            before = _scored(before, _json(before.path / "metrics.json"))
    if not metrics:
        missing.append(f"{path} has no metrics.json, so there is no quality to report.")
    counts = [event["gaussians"] for event in events if "gaussians" in event]
    after = Standing(
        output if output is not None and output.exists() else None,
        metrics.get("gaussians", counts[-1] if counts else None),
        _first(metrics.get("bytes"), formats.scene_bytes(output) if output is not None and output.exists() else None),
        _scores(scores),
        _views(scores),
    )
    if before is not None and before.gaussians is None:
        started = [event["gaussians"] for event in events if event["event"] == "started"]
        before = Standing(before.path, started[0] if started else None, before.bytes, before.scores, before.views)
    finished = [event["seconds"] for event in events if "seconds" in event]
    parts, estimated = _parts(after.path, metrics)
    return Account(
        path=path,
        name=path.resolve().name,
        command=command,
        line=_line(config),
        directory=directory,
        settings=settings,
        threads=config["threads"],
        versions=config["versions"],
        inputs=config["inputs"],
        works=(Work(path.name, command, events),),
        before=before,
        after=after,
        views=len(scores.get("views", ())) or None,
        seconds=finished[-1] if finished else None,
        parts=parts,
        estimated=estimated,
        told=_only_encoded(settings, events[-1].get("written") if events else None),
        missing=tuple(missing),
    )


def _only_encoded(settings: Mapping[str, Any], written: str | None) -> tuple[str, ...]:
    """What to say of a compression whose training was not worth it."""
    steps = settings.get("compression", {}).get("fine_tuning", {}).get("steps")
    if not steps or written in (None, "fine-tuned"):
        return ()
    return (
        f"{steps:,} steps of training through the rounding were too few to be worth it, so the file is only encoded",
    )


def _of_file(path: Path) -> Account:
    if path.name.endswith(".json") and record_path(path.with_suffix("")) == path and path.with_suffix("").is_file():
        path = path.with_suffix("")
    record = read_record(path)
    result = record["result"]
    size = path.stat().st_size
    if result.get("bytes") not in (None, size):
        raise RunError(f"{path} is not the file that {record_path(path)} tells of; make it again")
    account = _recorded(path, record)
    loss = result.get("loss") or {}
    if record["command"] == "compress":
        scores, before = result.get("compressed") or {}, result.get("original")
    elif record["command"] == "train":
        scores, before = result.get("metrics") or {}, None
    else:
        scores, before = _of_loss(loss), None
    parts, estimated = _parts(path, result)
    after = Standing(path, result.get("gaussians"), size, _scores(scores), _views(scores))
    return _with(
        account,
        before=_scored(account.before, before) if before else account.before,
        after=after,
        views=len(scores.get("views", ())) or (len(record["cameras"]) or None),
        parts=parts,
        estimated=estimated,
        against=_OWN if record["command"] == "shrink" and not loss.get("photos") else "photos",
    )


def _of_ladder(path: Path) -> Account:
    if (path / IN_FOLDER).is_file():
        record = read_record(path)
        levels = record["result"].get("levels", [])
        account = _recorded(path, record)
    else:
        levels = _json(path / "levels.json").get("levels", [])
        account = Account(path, path.resolve().name, "shrink", None, None, {}, None, {}, {}, (), None, Standing())
        account = _with(
            account, missing=("This ladder was made by an earlier version, which recorded its levels alone.",)
        )
    try:
        rungs = tuple(
            Rung(
                level["target"],
                Standing(
                    _first(found(path / Path(level["file"]).name, None)),
                    level["gaussians"],
                    level["bytes"],
                    _scores(_of_loss(level.get("loss") or {})),
                ),
            )
            for level in levels
        )
    except (KeyError, TypeError) as error:
        raise RunError(f"{path} has a level without {error}; make the ladder again") from error
    if not rungs:
        raise RunError(f"{path} has no levels; make the ladder again")
    last = rungs[-1].standing
    parts, estimated = _parts(last.path, {})
    photos = any((level.get("loss") or {}).get("photos") for level in levels)
    return _with(
        account,
        after=last,
        rungs=rungs,
        parts=parts,
        estimated=estimated,
        views=len(account.cameras) or None,
        against="photos" if photos else _OWN,
    )


def _recorded(path: Path, record: Mapping[str, Any]) -> Account:
    """What every record has; the scene that was made is still to come."""
    result, settings = record["result"], record["settings"]
    directory = Path(record["directory"]) if isinstance(record.get("directory"), str) else None
    before, missing = _before(settings, record["inputs"], directory)
    original = result.get("original") or {}
    if before is not None and "gaussians" in original:
        size = _first(original.get("bytes"), before.bytes)
        before = Standing(before.path, original["gaussians"], size, before.scores, before.views)
    elif before is not None and before.path is not None and before.gaussians is None:
        count = formats.summarize_file(before.path).gaussians
        before = Standing(before.path, count, before.bytes, before.scores, before.views)
    loss = result.get("loss") or {}
    if before is not None and loss.get("photos") and loss.get("drop") is not None:
        psnr = loss["photos"].get("psnr")
        scores = Scores(None if psnr is None else psnr + loss["drop"])
        before = Standing(before.path, before.gaussians, before.bytes, scores, before.views)
    return Account(
        path=path,
        name=path.resolve().name,
        command=record["command"],
        line=_line(record),
        directory=directory,
        settings={**settings, **({"target": result["target"]} if "target" in result else {})},
        threads=record.get("threads"),
        versions=record["versions"],
        inputs=record["inputs"],
        works=works_of(record),
        before=before,
        after=Standing(),
        seconds=result.get("seconds"),
        told=(*result.get("told", ()), *_only_encoded(settings, result.get("written"))),
        cameras=cameras_of(record),
        missing=tuple(missing),
    )


def _with(account: Account, **changes: Any) -> Account:
    return Account(**{**vars(account), **changes})


def _before(
    settings: Mapping[str, Any], inputs: Mapping[str, str], directory: Path | None
) -> tuple[Standing | None, list[str]]:
    """The scene that was given, where it still is what it was; and sentences where it is not."""
    if "scene" not in settings:
        return None, []
    if settings["scene"] is None:
        return Standing(), ["The scene that was given came from a script, so it cannot be shown."]
    name = settings["scene"]
    path = found(name, directory)
    if path is None:
        return Standing(), [f"The scene that was given, {name}, is not there any more, so it cannot be shown."]
    try:
        file, size = formats.scene_path(path), formats.scene_bytes(path)
    except InputError as error:
        return Standing(), [f"The scene that was given cannot be shown: {error}"]
    digest = inputs.get("scene")  # of what a trimming began with, which may be a checkpoint, or of the scene's files
    if digest is not None and digest != hash_scene(path) and digest != hash_file(*formats.scene_files(path)):
        return Standing(), [f"The scene that was given, {name}, is another one by now, so it cannot be shown."]
    count = _json(path / "metrics.json").get("gaussians") if path.is_dir() else None
    return Standing(path if path.is_dir() else file, count, size), []


def _parts(path: Path | None, metrics: Mapping[str, Any]) -> tuple[Mapping[str, int], bool]:
    """Bytes by part, and whether they are estimates."""
    if path is None:
        parts = metrics.get("parts")
        return (parts if isinstance(parts, dict) else {}), False
    try:
        file = formats.scene_path(path)
        estimated = any(file.name.lower().endswith(each) for each in CODECS) and codec_of(file).parts_are_estimates
        parts = codec_for(file).bytes_by_part(file)
    except InputError:
        return {}, False
    return (_filling(parts, file.stat().st_size) if estimated else parts), estimated


def _filling(parts: Mapping[str, int], size: int) -> dict[str, int]:
    """Estimates in proportion, so that they are `size` together."""
    whole = max(1, sum(parts.values()))
    filled = {name: part * size // whole for name, part in parts.items()}
    first = max(filled, key=lambda name: filled[name])
    return {**filled, first: filled[first] + size - sum(filled.values())}


def _scored(standing: Standing | None, scores: Mapping[str, Any] | None) -> Standing | None:
    if standing is None or not scores:
        return standing
    count = _first(standing.gaussians, scores.get("gaussians"))
    return Standing(standing.path, count, standing.bytes, _scores(scores), _views(scores))


def _scores(values: Mapping[str, Any]) -> Scores:
    return Scores(values.get("psnr"), values.get("ssim"), values.get("lpips"))


def _views(values: Mapping[str, Any]) -> dict[str, float]:
    """PSNR by view; JSON has no infinity, so a perfect view is none."""
    return {view["name"]: float("inf") if view["psnr"] is None else view["psnr"] for view in values.get("views", ())}


def _of_loss(loss: Mapping[str, Any]) -> Mapping[str, Any]:
    return loss.get("photos") or loss.get("own") or {}


def _line(recorded: Mapping[str, Any]) -> tuple[str, ...] | None:
    line = recorded.get("line")
    if not isinstance(line, list):
        return None
    return tuple(str(word) for word in line if word != "--resume")  # which nobody types to begin with


def _json(path: Path) -> dict[str, Any]:
    """A JSON object, or an empty one where there is no such file.

    Raises:
        RunError: the file is damaged.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read ({error}); restore the file or remove it") from error
    if not isinstance(content, dict):
        raise RunError(f"{path} is not what leansplat writes there; restore the file or remove it")
    return content


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)
