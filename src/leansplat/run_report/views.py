"""The worst, the median and the best of the held-out views, as pictures before and after, beside the photo.

They are chosen by number, not by eye: by what each view lost where there is a scene before, else by how well it matches
its photo. What a view is measured to have must be what the run wrote down, or the photos are not those of the run and
nothing is shown.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from leansplat import captures, engines
from leansplat.cameras import Camera
from leansplat.captures.capture import Capture, View
from leansplat.captures.synthetic import synthetic_capture
from leansplat.engines.engine import Renderer
from leansplat.errors import InputError
from leansplat.formats import read
from leansplat.metrics.psnr import psnr
from leansplat.pictures import to_bytes
from leansplat.progress import Progress, at_stage
from leansplat.provenance import BACKGROUNDS
from leansplat.report import Comparison, Side
from leansplat.run_report.account import Account, found

_WIDEST = 960
_LEAST_WIDTH = 240
_QUALITIES = (88, 80, 70, 58, 45)
_AMPLIFICATIONS = (32, 16, 8, 4, 2)
_SAME = 0.02
"""PSNR in dB, by which a view may differ from what was written down: another machine rounds otherwise."""

_log = logging.getLogger("leansplat")
_COLOR = tuple[float, float, float]


@dataclass(frozen=True)
class Looked:
    """What looking at a run gave.

    Args:
        views: the pictures, the worst view first.
        missing: sentences on what could not be shown.
        how: by what the views were chosen, in a sentence; "" without views.
        cameras: of these views, by name.
        background: (r, g, b) behind the scene.
    """

    views: Sequence[Comparison] = ()
    missing: Sequence[str] = ()
    how: str = ""
    cameras: Mapping[str, Camera] = field(default_factory=dict)
    background: _COLOR = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class _Seen:
    """One view.

    Args:
        before, after: PSNR against the photo, or without one of `after` against `before`.
    """

    view: View
    before: float | None
    after: float

    @property
    def lost(self) -> float:
        """The higher, the worse: what was lost in dB, or else how far from the photo it is."""
        if self.before is None:
            return -self.after
        return 0.0 if self.before == self.after else self.before - self.after


def look_at(
    account: Account,
    count: int,
    most_bytes: int,
    *,
    capture: Path | None = None,
    progress: Progress | None = None,
) -> Looked:
    """Pictures of up to `count` held-out views of a run.

    Args:
        most_bytes: of all pictures together.
        capture: where its photos are, if not where it says.
    """
    if count < 1:
        return Looked()
    if account.after.path is None:
        return Looked(missing=["The scene that was made is not there, so there are no pictures of it."])
    try:
        with torch.inference_mode():
            return _look(account, count, most_bytes, capture, progress)
    except InputError as error:
        return Looked(missing=[f"There are no pictures: {str(error).rstrip('.')}."])


def _look(account: Account, count: int, most_bytes: int, capture: Path | None, progress: Progress | None) -> Looked:
    background = _background(account)
    before_path = account.before.path if account.before is not None else None
    at_stage(progress, f"reading the scenes of {account.name}")
    after = _renderer(account.after.path)
    before = None if before_path is None else _renderer(before_path)
    photos = _photos(account, capture, progress) if not (account.against != "photos" and account.cameras) else None
    if photos is None and not account.cameras:
        return Looked(missing=["There are no pictures: the run did not record where its photos are; give --capture."])
    if photos is not None and not photos.test:
        return Looked(missing=["There are no pictures, as no photo is held out."])
    if photos is None:
        if before is None:
            return Looked(missing=["There are no pictures, as there is neither a photo nor the scene before."])
        views = _own_renders(account, before, background, progress)
        seen = _score(account.name, views, {}, after, background, progress)
        how = "by how far they are from the scene as given"
    else:
        background, views = photos.background, list(photos.test)
        seen = _against_photos(account, views, before, after, background, progress)
        _check(account, seen)
        how = "by what they lost" if before is not None else "by how well they match their photos"
    seen = sorted(seen, key=lambda each: (-each.lost, each.view.name))
    chosen = _spread(seen, count)
    sides = (2 if photos is None else 3 if before is not None else 2) + 1
    budget = most_bytes // (sides * len(chosen))
    comparisons = [
        _compare(account, number, rank, each, before, after, background, budget, photos is not None)
        for number, (rank, each) in enumerate(chosen, 1)
    ]
    cameras = {each.view.name: each.view.camera for _, each in chosen}
    return Looked(comparisons, (), f"{len(chosen)} of {len(seen)} held-out views, chosen {how}.", cameras, background)


def _renderer(path: Path | None) -> Renderer:
    assert path is not None
    return engines.named("cpu").renderer(read(path))


def _photos(account: Account, given: Path | None, progress: Progress | None) -> Capture | None:
    """The capture of a run, as it was loaded; None where the run does not say which.

    Raises:
        InputError: it is not there, or cannot be loaded.
    """
    settings = account.settings
    built_in = settings.get("built-in capture")
    if built_in is not None and given is None:
        at_stage(progress, "drawing the photos of the built-in capture")
        return _built_in(**built_in)
    recorded = settings.get("capture")
    if given is None and not isinstance(recorded, str):
        return None
    folder = given or found(str(recorded), account.directory)
    if folder is None:
        raise InputError(f"its photos are not at {recorded} any more; give --capture with the folder they are in")
    at_stage(progress, f"loading the photos of {account.capture_name}")
    if progress is not None:
        progress(0, 1, {})
    downscale = settings.get("downscale") or 1
    return _loaded(folder.resolve(), downscale, _background(account))


@lru_cache(maxsize=1)
def _loaded(folder: Path, downscale: int, background: _COLOR) -> Capture:
    """The last capture is kept, as several runs usually have the same."""
    return captures.load(folder, downscale=downscale, background=background, points=False)


@lru_cache(maxsize=1)
def _built_in(views: int, size: int, seed: int) -> Capture:
    return synthetic_capture(views, size, seed)


def _background(account: Account) -> _COLOR:
    recorded = account.settings.get("background")
    if isinstance(recorded, str):
        return BACKGROUNDS.get(recorded, BACKGROUNDS["black"])
    if isinstance(recorded, list) and len(recorded) == 3:
        red, green, blue = map(float, recorded)
        return red, green, blue
    return BACKGROUNDS["black"]


def _own_renders(account: Account, before: Renderer, background: _COLOR, progress: Progress | None) -> list[View]:
    """The views that judged, as the scene that was given shows them."""
    at_stage(progress, f"rendering the scene that {account.name} was made from")
    views = []
    for name, camera in account.cameras.items():
        views.append(View(name, camera, to_bytes(before.render(camera, background).image.cpu())))
        _tell(progress, len(views), len(account.cameras))
    return views


def _against_photos(
    account: Account,
    views: Sequence[View],
    before: Renderer | None,
    after: Renderer,
    background: _COLOR,
    progress: Progress | None,
) -> list[_Seen]:
    """The score of each view, before and after."""
    known: Mapping[str, float] = account.before.views if account.before is not None else {}
    if before is None:
        known = {}
    elif not all(view.name in known for view in views):
        source = f"what {account.name} was made from"
        known = {each.view.name: each.after for each in _score(source, views, {}, before, background, progress)}
    return _score(account.name, views, known, after, background, progress)


def _score(
    name: str,
    views: Sequence[View],
    before: Mapping[str, float],
    scene: Renderer,
    background: _COLOR,
    progress: Progress | None,
) -> list[_Seen]:
    """Render each view and compare it with its photo; `before` has the PSNR of the scene before, by name."""
    at_stage(progress, f"rendering held-out views of {name}")
    seen = []
    for view in views:
        image = scene.render(view.camera, background).image.cpu().clamp(0, 1)
        found = psnr(image, view.photo.to(torch.float32) / 255, view.mask)
        seen.append(_Seen(view, before.get(view.name), found))
        _tell(progress, len(seen), len(views))
    return seen


def _check(account: Account, seen: Sequence[_Seen]) -> None:
    """Refuse photos that are not those of the run.

    Raises:
        InputError: a view is not among those that the run measured, or has another PSNR now.
    """
    written = account.after.views
    for each in seen:
        if not written:
            return
        if each.view.name not in written:
            raise InputError(f"the photos have a held-out view {each.view.name}, which the run does not know")
        then = written[each.view.name]
        if abs(then - each.after) > _SAME:
            raise InputError(
                f"view {each.view.name} has a PSNR of {each.after:.2f} dB now and {then:.2f} dB when it was measured, "
                "so the photos or the scene are not those of then"
            )


def _spread(seen: Sequence[_Seen], count: int) -> list[tuple[str, _Seen]]:
    """The worst, the median and the best of views from worst to best; with more, those evenly in between."""
    count = min(count, len(seen))
    last = len(seen) - 1
    places = [0] if count == 1 else sorted({round(index * last / (count - 1)) for index in range(count)})
    names = {0: "worst", last: "best", **({last // 2: "median", round(last / 2): "median"} if last > 1 else {})}
    return [(names.get(place, f"{place + 1} of {len(seen)}"), seen[place]) for place in places]


def _compare(
    account: Account,
    number: int,
    rank: str,
    seen: _Seen,
    before: Renderer | None,
    after: Renderer,
    background: _COLOR,
    budget: int,
    photographed: bool,
) -> Comparison:
    view = seen.view
    name = f"{account.name}-{number}"
    made = to_bytes(after.render(view.camera, background).image.cpu()).numpy()
    pictures: list[tuple[str, np.ndarray]] = []
    if before is not None:
        pictures.append(("before", to_bytes(before.render(view.camera, background).image.cpu()).numpy()))
    pictures.append(("after" if before is not None else "render", made))
    if photographed:
        pictures.append(("photo", _shown(view)))
    one, other = (pictures[0], pictures[1])
    difference = np.abs(one[1].astype(np.int16) - other[1].astype(np.int16))
    if photographed and before is None and view.mask is not None:
        difference = difference * view.mask.numpy()[..., None]
    factor = _amplification(difference)
    label = f"difference ×{factor}"
    drawn = np.clip(difference * factor, 0, 255).astype(np.uint8)
    share = min(1.0, _WIDEST / made.shape[1])
    sides = [
        Side(
            each,
            f"{each.capitalize()}: view {view.name}" + (f" as {account.name} shows it" if each != "photo" else ""),
            *_packed(pixels, share, budget),
        )
        for each, pixels in pictures
    ]
    alt = f"How much {one[0]} and {other[0]} differ in view {view.name}, {factor} times as bright"
    sides.append(Side(label, alt, *_packed(drawn, share, budget), differs=True))
    widths = max(side.width for side in sides), max(side.height for side in sides)
    sides = [Side(side.label, side.alt, side.webp, *widths, differs=side.differs) for side in sides]
    title = f"{rank.capitalize() if not rank[0].isdigit() else f'View {rank}'}: {view.name}"
    return Comparison(
        name, title, f"{_caption(seen, photographed)} The difference is that of {one[0]} and {other[0]}.", sides
    )


def _caption(seen: _Seen, photographed: bool) -> str:
    if not photographed:
        return f"{seen.after:.2f} dB of PSNR against the scene as given."
    if seen.before is None:
        return f"{seen.after:.2f} dB of PSNR against the photo."
    lost = seen.lost
    change = f"{abs(lost):.2f} dB {'less' if lost >= 0 else 'more'}"
    return f"{seen.before:.2f} dB of PSNR against the photo before, {seen.after:.2f} dB after: {change}."


def _shown(view: View) -> np.ndarray:
    """The photo, dark where a mask hides it."""
    if view.mask is None:
        return view.photo.numpy()
    shown: Tensor = torch.where(view.mask[..., None], view.photo, view.photo // 4)
    return shown.numpy()


def _amplification(difference: np.ndarray) -> int:
    """The largest factor with which hardly anything is brighter than white."""
    high = float(np.percentile(difference, 99.5))
    return next((factor for factor in _AMPLIFICATIONS if factor * high <= 255), 1)


def _packed(pixels: np.ndarray, share: float, budget: int) -> tuple[bytes, int, int]:
    """A picture as WebP of at most so many bytes, with its width and height: coarser first, then smaller."""
    image = Image.fromarray(pixels)
    while True:
        size = max(1, round(share * image.width)), max(1, round(share * image.height))
        scaled = image if size == image.size else image.resize(size, Image.Resampling.LANCZOS)
        for quality in _QUALITIES:
            file = io.BytesIO()
            scaled.save(file, format="WEBP", quality=quality, method=4)
            if file.tell() <= budget:
                return file.getvalue(), *size
        if size[0] <= _LEAST_WIDTH:
            return file.getvalue(), *size
        share *= 0.8


def _tell(progress: Progress | None, done: int, total: int) -> None:
    if progress is not None:
        progress(done, total, {})
