"""Whether what shrinking lost is still within what was allowed, on views that nothing was trained on.

Against photos, what is lost is the difference of two scores. Without photos all there is to compare with is the scene
as it was given, which matches itself perfectly: then its photos are thought to be matched with 30 dB, as good scenes
match theirs, and what was lost counts as noise on top. With E the mean squared error between the two scenes' pictures,
the drop is 10 log10(1 + E / 10^-3) dB.

Where an object stands alone, most of a picture may be background, which is the same before and after and would hide
any error in a mean. So scores against the scene as it was given are of what it covers: errors of all pixels count, and
are divided by the share that it covers. Scores against photos are those of whole photos, as everybody's.

Where nothing is asked for, no loss may be visible: see `INVISIBLE`.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from leansplat import engines
from leansplat.cameras import Camera
from leansplat.captures.capture import Capture, View
from leansplat.engines.engine import Background, Renderer
from leansplat.evaluation import LpipsNet, load_lpips
from leansplat.gaussians import Gaussians
from leansplat.metrics.parts import part_psnr, part_ssim
from leansplat.scoring import Quality, ViewScore, mean_score, view_scores
from leansplat.shrinking.targets import Target

_NOISE_OF_PHOTOS = 1e-3
"""Mean squared error of a scene that matches its photos with 30 dB."""

_LEAST_COVERED = 0.05
"""Of a picture: what covers less counts as if it covered so much."""


@dataclass(frozen=True)
class Invisible:
    """What two pictures may differ by at most so that people do not see it when one takes the place of the other.

    Args:
        psnr: in dB, of what the scene covers, mean over the views.
        most: PSNR in dB of nine tenths of the views. A tenth may be worse: a view far from all that a scene was trained
            with shows fragments, and of fragments nobody can say what is missing.
        worst: PSNR in dB of every view; below, smudges were seen on what is not fragments.
        part: PSNR in dB, in nine tenths of the views, of the square part that changed most (`metrics.parts`); a mean
            over a picture hides what became of a small part of it, such as soil that became lighter.
        worst_part: the same of every view; below, a hole was seen in one face of a cube.
        ssim: mean over the views.
        part_ssim: SSIM, in nine tenths of the views, of the square part whose structure changed most; below, wood had
            less grain, and highlights were gone.
    """

    psnr: float = 36.0
    most: float = 32.0
    worst: float = 29.0
    part: float = 27.0
    worst_part: float = 25.0
    ssim: float = 0.97
    part_ssim: float = 0.9


INVISIBLE = Invisible()


@dataclass(frozen=True)
class Loss:
    """What a scene lost against the one that it was made from, on views held back.

    Args:
        own: mean scores against renders of the scene as it was given, of what it covers.
        worst: the lowest PSNR of a view against these.
        most: the PSNR that nine tenths of the views have at least.
        part: the PSNR that the part of a view which changed most has at least in nine tenths of the views.
        worst_part: the same in all views.
        part_ssim: the SSIM that the part of a view whose structure changed most has at least in nine tenths of the
            views.
        photos: mean scores against photos; None without photos.
        drop: PSNR lost, in dB; see the module.
        lpips_rise: LPIPS gained against photos, or the distance from the scene given; None where it was not measured.
    """

    own: Quality
    worst: float
    most: float
    part: float
    worst_part: float
    part_ssim: float
    photos: Quality | None
    drop: float
    lpips_rise: float | None

    def within(self, target: Target) -> bool:
        """Whether a target of quality allows it."""
        return self.used(target) <= 1

    def used(self, target: Target) -> float:
        """What share of the loss that a target of quality allows this is, by what comes nearest to its limit or is
        farthest beyond; of PSNR it is the share of the mean squared error."""
        if not target.of_quality:
            return 0.0
        if target.max_drop is None and target.max_lpips_rise is None:
            psnr, ssim = self.own.psnr or 0.0, self.own.ssim or 0.0
            shares = [(1 - ssim) / (1 - INVISIBLE.ssim), (1 - self.part_ssim) / (1 - INVISIBLE.part_ssim)]
            shares.append(10 ** ((INVISIBLE.psnr - psnr) / 10))
            for name in ("most", "worst", "part", "worst_part"):
                shares.append(10 ** ((getattr(INVISIBLE, name) - getattr(self, name)) / 10))
            return max(shares)
        lost = ((self.drop, target.max_drop), (self.lpips_rise or 0.0, target.max_lpips_rise))
        return max(_share(value, allowed) for value, allowed in lost if allowed is not None)

    def described(self) -> str:
        """In a few words, such as "PSNR 36.2 dB (worst view 33.1 dB, worst part 26.0 dB, in nine of ten views 29.4
        dB), SSIM 0.9810 (worst part 0.94 in nine of ten views)"."""
        part = f"worst part {self.worst_part:.1f} dB, in nine of ten views {self.part:.1f} dB"
        worst = f"worst view {self.worst:.1f} dB, {part}"
        structure = f"SSIM {self.own.ssim:.4f} (worst part {self.part_ssim:.2f} in nine of ten views)"
        words = f"PSNR {self.own.psnr:.1f} dB ({worst}), {structure}"
        if self.photos is not None:
            lost = f"{abs(self.drop):.2f} dB {'less' if self.drop >= 0 else 'more'} than before"
            return f"{words}; against photos {self.photos.psnr:.2f} dB, {lost}"
        return f"{words}, as a drop of {self.drop:.2f} dB on photos that the scene matches with 30 dB"

    def to_json(self) -> dict[str, Any]:
        """Values for `--json`; infinities are null."""
        return {
            "own": _quality(self.own),
            "worst": _finite(self.worst),
            "most": _finite(self.most),
            "part": _finite(self.part),
            "worst_part": _finite(self.worst_part),
            "part_ssim": self.part_ssim,
            "photos": None if self.photos is None else _quality(self.photos),
            "drop": _finite(self.drop),
            "lpips_rise": self.lpips_rise,
        }


def _share(lost: float, allowed: float) -> float:
    if lost <= 0 or allowed <= 0:
        return 0.0 if lost <= allowed else math.inf
    return lost / allowed


class Judge:
    """Measures what scenes lost.

    Args:
        given: the scene as it was given.
        teacher: its own renders, of which the test views judge; all views where there are none.
        photos: the capture whose test views judge besides.
        lpips: network to measure LPIPS with, or None to leave it out; `without_lpips` says why it is not measured.
    """

    def __init__(
        self,
        given: Gaussians,
        teacher: Capture,
        photos: Capture | None,
        *,
        lpips: LpipsNet | None = None,
        engine: str = "cpu",
    ) -> None:
        self._engine = engine
        self._background = teacher.background
        self._own: Sequence[View] = teacher.test or teacher.train
        self._covered = _covered(engines.named(engine).renderer(given), self._own, teacher.background)
        self._photos: Sequence[View] = () if photos is None else photos.test
        self._network, self.without_lpips = load_lpips(lpips, (*self._own, *self._photos))
        self._before = self._on_photos(given)

    @property
    def cameras(self) -> dict[str, Camera]:
        """Those of the views that judge, by name."""
        return {view.name: view.camera for view in self._own}

    def loss(self, scene: Gaussians) -> Loss:
        """What a scene lost."""
        renderer = engines.named(self._engine).renderer(scene)
        photos = self._on_photos(scene)
        compared = photos is not None and self._before is not None
        network = None if compared else self._network
        parts: list[float] = []
        structures: list[float] = []

        def look(image: Tensor, photo: Tensor, mask: Tensor | None) -> None:
            parts.append(part_psnr(image, photo, mask))
            structures.append(part_ssim(image, photo, mask))

        scores = view_scores(renderer, self._own, self._background, network, look=look)
        of_object = [_of_covered(score, share) for score, share in zip(scores, self._covered, strict=True)]
        own = mean_score(of_object)
        if photos is not None and self._before is not None:
            drop = _difference(self._before.psnr, photos.psnr)
            rise = None
            if photos.lpips is not None and self._before.lpips is not None:
                rise = photos.lpips - self._before.lpips
        else:
            errors = [10 ** (-score.psnr / 10) for score in scores]
            drop = statistics.fmean(10 * math.log10(1 + error / _NOISE_OF_PHOTOS) for error in errors)
            rise = own.lpips
        each = sorted(score.psnr for score in of_object)
        tenth = len(each) // 10
        parts.sort()
        structures.sort()
        return Loss(own, each[0], each[tenth], parts[tenth], parts[0], structures[tenth], photos, drop, rise)

    def _on_photos(self, scene: Gaussians) -> Quality | None:
        if not self._photos:
            return None
        renderer = engines.named(self._engine).renderer(scene)
        return mean_score(view_scores(renderer, self._photos, self._background, self._network))


@torch.inference_mode()
def _covered(scene: Renderer, views: Sequence[View], background: Background) -> list[float]:
    """Which share of each picture a scene covers, of the pixels that count."""
    alphas = [scene.render(view.camera, background).alpha.cpu() for view in views]
    seen = [alpha if view.mask is None else alpha[view.mask] for alpha, view in zip(alphas, views, strict=True)]
    return [min(1.0, max(_LEAST_COVERED, float(alpha.mean()))) if alpha.numel() else 1.0 for alpha in seen]


def _of_covered(score: ViewScore, share: float) -> ViewScore:
    """The score of a picture, as that of the share of it that is covered."""
    return replace(score, psnr=score.psnr + 10 * math.log10(share), ssim=1 - (1 - score.ssim) / share)


def _difference(before: float | None, after: float | None) -> float:
    assert before is not None
    assert after is not None
    return 0.0 if before == after else before - after  # both may be perfect


def _quality(quality: Quality) -> dict[str, float | None]:
    return {
        "psnr": None if quality.psnr is None else _finite(quality.psnr),
        "ssim": quality.ssim,
        "lpips": quality.lpips,
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
