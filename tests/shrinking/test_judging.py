"""What a scene lost, against the one it was made from and against photos."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from support.arrangements import place, ring

from leansplat.cameras import Camera
from leansplat.captures.capture import Capture
from leansplat.gaussians import Gaussians
from leansplat.scoring import Quality
from leansplat.shrinking.judging import INVISIBLE, Judge, Loss
from leansplat.shrinking.targets import Target
from leansplat.shrinking.teacher import teacher_capture

SCENE = place(300)
CAMERAS = {f"view{number:02}": camera for number, camera in enumerate(ring(16, 4.0, 0.0))}


def dimmed(scene: Gaussians, by: float) -> Gaussians:
    return replace(scene, sh0=scene.sh0 - by)


def teacher(scene: Gaussians = SCENE) -> Capture:
    return teacher_capture(scene, CAMERAS)


def test_the_scene_as_it_was_given_loses_nothing() -> None:
    loss = Judge(SCENE, teacher(), None).loss(SCENE)
    assert loss.drop < 0.01
    assert loss.worst > 55
    assert all(loss.within(target) for target in (Target(), Target(max_drop=0.02), Target(size=1)))


def test_without_photos_the_drop_is_that_of_noise_on_top_of_a_match_of_30_db() -> None:
    loss = Judge(SCENE, teacher(), None).loss(dimmed(SCENE, 0.1))
    errors = [10 ** (-psnr / 10) for psnr in (loss.worst,)]
    assert loss.photos is None
    assert 0 < loss.drop <= 10 * math.log10(1 + errors[0] / 1e-3) + 1e-9
    assert not loss.within(Target(max_drop=loss.drop * 0.99))
    assert loss.within(Target(max_drop=loss.drop * 1.01))


def test_with_photos_the_drop_is_the_difference_of_two_scores() -> None:
    """The photos show a third scene, to which the one that is judged may even be nearer."""
    judge = Judge(SCENE, teacher(), teacher(dimmed(SCENE, 0.2)))
    farther, nearer = judge.loss(dimmed(SCENE, -0.1)), judge.loss(dimmed(SCENE, 0.1))
    assert farther.drop > 0 > nearer.drop
    assert nearer.photos is not None
    assert farther.photos is not None
    assert nearer.photos.psnr is not None
    assert farther.photos.psnr is not None
    assert farther.drop - nearer.drop == pytest.approx(nearer.photos.psnr - farther.photos.psnr)
    assert nearer.own.psnr == pytest.approx(Judge(SCENE, teacher(), None).loss(dimmed(SCENE, 0.1)).own.psnr)


def found(
    psnr: float = 99.0,
    ssim: float = 1.0,
    worst: float = 99.0,
    most: float = 99.0,
    part: float = 99.0,
    worst_part: float = 99.0,
    part_ssim: float = 1.0,
    drop: float = 0.0,
    lpips_rise: float = 0.0,
) -> Loss:
    return Loss(Quality(psnr, ssim, None), worst, most, part, worst_part, part_ssim, None, drop, lpips_rise)


@pytest.mark.parametrize("short", ["psnr", "most", "worst", "part", "worst_part", "ssim", "part_ssim", None])
def test_no_loss_is_visible_where_all_limits_hold(short: str | None) -> None:
    names = ("psnr", "most", "worst", "part", "worst_part", "ssim", "part_ssim")
    values = {name: getattr(INVISIBLE, name) - (1e-6 if name == short else 0) for name in names}
    assert found(**values).within(Target()) == (short is None)


@pytest.mark.parametrize(
    ("target", "values", "used"),
    [
        (Target(), {"psnr": 39.0}, 10**-0.3),
        (Target(), {"most": 29.0}, 10**0.3),
        (Target(), {"worst": 32.0}, 10**-0.3),
        (Target(), {"part": 24.0}, 10**0.3),
        (Target(), {"worst_part": 28.0}, 10**-0.3),
        (Target(), {"ssim": 0.985}, 0.5),
        (Target(), {"part_ssim": 0.8}, 2.0),
        (Target(max_drop=0.5), {"drop": 0.1}, 0.2),
        (Target(max_drop=0.5), {"drop": -0.1}, 0.0),
        (Target(max_drop=0.5, max_lpips_rise=0.01), {"drop": 0.1, "lpips_rise": 0.02}, 2.0),
        (Target(size=1000), {"psnr": 10.0}, 0.0),
    ],
)
def test_the_share_of_what_is_allowed_is_that_of_what_is_nearest_to_its_limit(
    target: Target, values: dict[str, float], used: float
) -> None:
    loss = found(**values)
    assert loss.used(target) == pytest.approx(used, abs=1e-6)
    assert loss.within(target) == (used <= 1)


def test_one_view_in_ten_may_show_anything() -> None:
    """A view that the scene never fitted is no evidence; it counts in the mean and in the worst."""
    judge = Judge(SCENE, teacher_capture(SCENE, CAMERAS, held_back=list(CAMERAS)[:10]), None)
    loss = judge.loss(dimmed(SCENE, 0.1))
    assert loss.worst <= loss.most <= (loss.own.psnr or 0)


def test_what_became_of_a_small_part_is_not_hidden_by_the_rest() -> None:
    """A hundredth of the Gaussians, all in one place, become white."""
    nearest = (SCENE.means - SCENE.means[0]).norm(dim=1).argsort()[: len(SCENE) // 100]
    painted = SCENE.sh0.clone()
    painted[nearest] = 3.0
    judge = Judge(SCENE, teacher_capture(SCENE, CAMERAS, held_back=list(CAMERAS)), None)
    loss, evenly = judge.loss(replace(SCENE, sh0=painted)), judge.loss(dimmed(SCENE, 0.1))
    assert evenly.own.psnr is not None
    assert loss.own.psnr is not None
    assert loss.worst_part <= loss.part < loss.own.psnr - 6
    assert evenly.part > evenly.own.psnr - 6
    assert f"{loss.part:.1f} dB" in loss.described()
    assert f"{loss.worst_part:.1f} dB" in loss.described()
    for each in (loss, evenly):
        assert each.part_ssim < (each.own.ssim or 0)
        assert f"(worst part {each.part_ssim:.2f} in nine of ten views)" in each.described()
    assert (loss.to_json()["part"], loss.to_json()["worst_part"]) == (loss.part, loss.worst_part)
    assert loss.to_json()["part_ssim"] == loss.part_ssim


def test_background_around_an_object_does_not_hide_what_was_lost() -> None:
    """The same pictures with an empty margin as wide as they are: a PSNR of the whole would rise by 9.5 dB."""

    def with_margin(camera: Camera) -> Camera:
        K = camera.K.clone()
        K[:2, 2] += torch.tensor([camera.width, camera.height])
        return Camera(camera.world_to_camera, K, 3 * camera.width, 3 * camera.height)

    small = replace(SCENE, means=SCENE.means * 0.2, scales=SCENE.scales - 1.6)
    wide = {name: with_margin(camera) for name, camera in CAMERAS.items()}
    near, far = (
        Judge(small, teacher_capture(small, cameras), None).loss(dimmed(small, 0.1)) for cameras in (CAMERAS, wide)
    )
    assert far.own.psnr == pytest.approx(near.own.psnr, abs=0.2)
    assert far.worst == pytest.approx(near.worst, abs=0.2)
    assert far.own.ssim == pytest.approx(near.own.ssim, abs=0.005)
    assert far.drop < near.drop


def test_a_scene_that_is_hardly_in_a_picture_is_judged() -> None:
    speck = replace(SCENE[:1], scales=torch.full((1, 3), -6.0))
    loss = Judge(speck, teacher_capture(speck, CAMERAS), None).loss(speck)
    assert loss.within(Target())
