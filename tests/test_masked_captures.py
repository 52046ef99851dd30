"""Masks from end to end: nothing that is done with a capture looks at what a mask hides.

Two captures differ only in hidden pixels of their photos; whatever is made of them is the same to the bit. And what a
mask is for: something that moves through the photos leaves no trace in the scene.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from support.tiny import tiny_capture
from support.toy_quantiser import ToyQuantiser

from leansplat import engines
from leansplat.captures.capture import Capture, View
from leansplat.compression.config import FineTuningConfig
from leansplat.compression.fine_tuning import fine_tune
from leansplat.compression.harmonics import loss_on_photos
from leansplat.evaluation import evaluate
from leansplat.gaussians import Gaussians
from leansplat.pictures import side_by_side
from leansplat.pruning.criteria import CRITERIA
from leansplat.pruning.evidence import Evidence
from leansplat.runs import hash_capture
from leansplat.scoring import mean_score, view_scores
from leansplat.training import TrainingConfig, train


def with_a_blob(capture: Capture, *, masked: bool, seed: int = 0, color: tuple[int, int, int] | None = None) -> Capture:
    """A disc of a colour, or of noise, wanders through the photos; `masked` hides it and a pixel around it."""
    generator = torch.Generator().manual_seed(seed)

    def change(view: View, number: int) -> View:
        height, width = view.photo.shape[:2]
        rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        across, down = (0.3 + 0.4 * ((0.37 * number + start) % 1) for start in (0.0, 0.5))
        distance = ((columns - across * width) ** 2 + (rows - down * height) ** 2).sqrt()
        disc = distance < 0.2 * height
        noise = torch.randint(0, 256, (height, width, 3), dtype=torch.uint8, generator=generator)
        blob = noise if color is None else torch.tensor(color, dtype=torch.uint8)
        photo = torch.where(disc[..., None], blob, view.photo)
        return replace(view, photo=photo, mask=distance >= 0.2 * height + 1 if masked else None)

    train = tuple(change(view, number) for number, view in enumerate(capture.train))
    return replace(capture, train=train, test=tuple(change(view, 7 + n) for n, view in enumerate(capture.test)))


def trained(capture: Capture, iterations: int = 60) -> Gaussians:
    return train(capture, TrainingConfig().scaled(iterations)).gaussians


def same(first: Gaussians, second: Gaussians) -> bool:
    return all(torch.equal(getattr(first, name), getattr(second, name)) for name in ("means", "sh0", "opacities"))


CLEAN = tiny_capture(views=10)
PAIR = [with_a_blob(CLEAN, masked=True, seed=seed) for seed in (1, 2)]


@pytest.fixture(scope="module")
def scene() -> Gaussians:
    return trained(PAIR[0])


def test_training_is_the_same_to_the_bit_whatever_the_masks_hide(scene: Gaussians) -> None:
    assert hash_capture(PAIR[0]) != hash_capture(PAIR[1])
    assert same(scene, trained(PAIR[1]))
    assert not same(*(trained(with_a_blob(CLEAN, masked=False, seed=seed)) for seed in (1, 2)))


def test_evaluation_and_the_quality_in_logs_are_the_same_whatever_the_masks_hide(scene: Gaussians) -> None:
    scores = [evaluate(scene, capture, lpips=None, fps=False) for capture in PAIR]
    assert scores[0] == scores[1]
    renderer = engines.named("cpu").renderer(scene)
    logged = [mean_score(view_scores(renderer, capture.test, capture.background)) for capture in PAIR]
    assert logged[0] == logged[1]
    assert logged[0].psnr == pytest.approx(scores[0].psnr, abs=1e-4)


@pytest.mark.parametrize("criterion", CRITERIA)
def test_every_criterion_says_the_same_whatever_the_masks_hide(criterion: str, scene: Gaussians) -> None:
    found = []
    for capture in PAIR:
        model = engines.named("cpu").begin(scene, {})
        statistics = model.gather_statistics(capture.train, capture.background, 0.2)
        evidence = Evidence(model, capture.train, capture.background, statistics)
        found.append(CRITERIA[criterion](evidence))
    assert all(torch.equal(first, second) for first, second in zip(*found, strict=True))


def test_fine_tuning_and_the_loss_that_harmonics_are_sized_by_are_the_same_whatever_the_masks_hide(
    scene: Gaussians,
) -> None:
    tuned = [fine_tune(scene, capture, ToyQuantiser(), FineTuningConfig(steps=12)).latents for capture in PAIR]
    assert all(torch.equal(tuned[0][name], tuned[1][name]) for name in tuned[0])
    duller = replace(scene, sh0=0.9 * scene.sh0)
    losses = [loss_on_photos(scene, capture)(duller) for capture in PAIR]
    assert losses[0] == losses[1] != 0


def test_what_moves_through_the_photos_leaves_no_trace_where_masks_hide_it() -> None:
    """A disc of one colour, an eighth of each photo; measured on the clean photos, held out and under the disc."""
    colored, spoiled = (with_a_blob(CLEAN, masked=masked, color=(255, 40, 220)) for masked in (True, False))
    under = [replace(clean, mask=~view.mask) for clean, view in zip(CLEAN.train, colored.train, strict=True)]
    measured = replace(CLEAN, train=tuple(under))

    def psnr_of(capture: Capture) -> tuple[float, float]:
        scene = trained(capture, 500)
        sides = (evaluate(scene, measured, lpips=None, fps=False, split=split).psnr for split in ("test", "train"))
        return next(sides), next(sides)

    (clean, _), (masked, masked_under), (spoiled_psnr, spoiled_under) = map(psnr_of, (CLEAN, colored, spoiled))
    assert masked > spoiled_psnr + 2
    assert clean - masked < masked - spoiled_psnr  # so short a training ends a decibel higher or lower by chance
    assert masked_under > spoiled_under + 5


def test_a_picture_shows_what_a_mask_hides_in_the_dark(scene: Gaussians) -> None:
    view = PAIR[0].test[0]
    picture = side_by_side(PAIR[0], [scene], most=1)[:40, :40]
    assert torch.equal(picture[view.mask], view.photo[view.mask])
    assert torch.equal(picture[~view.mask], view.photo[~view.mask] // 4)
