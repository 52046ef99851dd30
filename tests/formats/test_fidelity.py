"""What a file changes is measured as a plain loop over Gaussians measures it, and told where it shows."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support.scene_comparison import random_scene, shared_scene
from support.stray_scenes import crowd, gaussian

from leansplat import formats
from leansplat.camera_paths import orbit
from leansplat.engines.cpu import render
from leansplat.formats import fidelity, sog
from leansplat.formats.format import Written
from leansplat.formats.visibility import weights, widths
from leansplat.gaussians import Gaussians, concatenate

LOSSY = (".compressed.ply", ".spz", ".sog", ".npz", ".splat")
MOVED, TURNED, RESIZED, RECOLOURED, FADED = range(5)


def said(scene: Gaussians, path: Path, caplog: pytest.LogCaptureFixture) -> str:
    """What writing a scene says of its rounding."""
    caplog.clear()
    formats.write(scene, path, overwrite=True)
    return " ".join(message for message in caplog.messages if "rounding" in message)


def as_written(scene: Gaussians) -> Written:
    """A file of the format that keeps everything, in the scene's order."""
    return Written(np.arange(len(scene)), lambda rows: scene.arrays()[rows])


@pytest.mark.parametrize("suffix", LOSSY)
def test_nothing_is_said_of_ordinary_scenes(tmp_path: Path, caplog: pytest.LogCaptureFixture, suffix: str) -> None:
    for name in ("crowd", "fox_opensplat.ply", "plant.splat", "academic_tarot_cards.splat"):
        scene = crowd() if name == "crowd" else formats.read(shared_scene(name))
        assert said(scene[:6_000], tmp_path / f"scene{suffix}", caplog) == ""


@pytest.mark.parametrize("suffix", LOSSY)
@pytest.mark.parametrize(
    ("logs", "bad"), [(-12.0, (".spz",)), (7.0, (".spz",)), (-25.0, (".spz", ".compressed.ply")), (0.0, ())]
)
def test_sizes_out_of_range_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, suffix: str, logs: float, bad: tuple[str, ...]
) -> None:
    """A tenth of the Gaussians, thin or thick along all axes, of which most in places of their own."""
    scene = crowd()
    scene.scales[:] = -3
    scene.scales[::10] = logs
    sentence = said(
        replace(scene, scales=scene.scales if logs > -3 else scene.scales.clamp(max=logs)),
        tmp_path / f"scene{suffix}",
        caplog,
    )
    assert ("twice as thick or thin" in sentence) is (suffix in bad)


@pytest.mark.parametrize(
    ("suffix", "color", "harmonics"), [(".spz", 6.0, 0.0), (".splat", 4.0, 0.0), (".spz", 0.0, 2.5), (".sog", 0.0, 0.0)]
)
def test_colours_out_of_range_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, suffix: str, color: float, harmonics: float
) -> None:
    scene = crowd(degree=0 if suffix == ".splat" else 1)
    scene.sh0[::10] = color
    if harmonics:
        scene.shN[::10, 0] = harmonics
    sentence = said(scene, tmp_path / f"scene{suffix}", caplog)
    assert ("changes the colour of 100" in sentence) is bool(color or harmonics)


def test_positions_that_half_precision_cannot_tell_apart_are_told(tmp_path: Path, caplog) -> None:
    scene = crowd()
    far = replace(scene, means=scene.means + 500)
    assert "moves " in said(far, tmp_path / "scene.npz", caplog)
    assert said(scene, tmp_path / "scene.npz", caplog) == ""


def test_every_respect_is_measured_as_defined() -> None:
    """Each change by itself, of every tenth of the Gaussians; the definition is written out in float64 for each."""
    scene = crowd(300, degree=3)
    scene.scales[:, 0] += 2  # a needle a little less than 10 times as long as wide
    changed = torch.arange(300) % 10 == 3
    half = torch.tensor(math.radians(10) / 2)
    turn = torch.tensor([float(half.cos()), 0, 0, float(half.sin())])

    def product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        w, x, y, z = a.unbind(1)
        return torch.stack([w * b[0] - z * b[3], x * b[0] + y * b[3], y * b[0] - x * b[3], z * b[0] + w * b[3]], 1)

    middle = scene.scales.sort(dim=1).values[:, 1].exp()
    direction = torch.nn.functional.normalize(torch.ones(300, 3), dim=1)
    pick = changed[:, None]
    coefficients = torch.zeros(300, 15, 3)
    coefficients[:, :4, 1] = 0.26  # of four coefficients a mean square of 4 * 0.26^2 / 4 pi, the root of which is 0.147
    cases = {
        MOVED: replace(scene, means=scene.means + pick * 1.01 * middle[:, None] * direction),
        TURNED: replace(scene, quats=torch.where(pick, product(scene.quats, turn), scene.quats)),
        RESIZED: replace(scene, scales=scene.scales - pick * torch.tensor([0, 0, math.log(2.1)])),
        RECOLOURED: replace(scene, shN=scene.shN + changed[:, None, None] * coefficients),
        FADED: replace(
            scene, opacities=torch.where(changed, (scene.opacities.sigmoid() * 0.6).logit(), scene.opacities)
        ),
    }
    share = weights(scene.arrays())[changed.numpy()].sum()
    worst = {MOVED: float((1.01 * middle)[changed].max()), TURNED: 10, RESIZED: 2.1, RECOLOURED: 0.1467}
    for respect, other in cases.items():
        found = fidelity.harm(scene, as_written(other))
        for k, each in enumerate(found):
            if k != respect:
                assert each.count == 0
        if respect == FADED:
            fell = (0.4 * scene.opacities.sigmoid() > 1 / 16) & changed
            assert found[respect].count == int(fell.sum()) > 20
        elif respect == TURNED:
            thin = (scene.scales.sort(dim=1).values.diff(dim=1)[:, 1].exp() > 1 / math.radians(10)) & changed
            assert found[respect].count == int(thin.sum())
        else:
            assert found[respect].count == 30
            assert found[respect].weight == pytest.approx(share, rel=1e-6)
            assert found[respect].worst == pytest.approx(worst[respect], rel=1e-3)


def test_a_thousandth_of_the_weight_is_looked_for_and_all_are_counted_where_something_shows() -> None:
    """Of 50,000 Gaussians some are looked at first; those of one place are found all the same."""
    scene = crowd(50_000)
    moved = scene.means.clone()
    moved[20_000:20_100] += 1
    found = fidelity.harm(scene, as_written(replace(scene, means=moved)))
    assert found[MOVED].count == 100
    assert found[MOVED].worst == pytest.approx(math.sqrt(3), rel=1e-5)


def test_a_few_are_passed_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    scene = crowd(2000)
    scene.sh0[:10] = 9  # half a hundredth
    assert said(scene, tmp_path / "scene.spz", caplog) == ""
    scene.sh0[:60] = 9
    assert "changes the colour of 60" in said(scene, tmp_path / "scene.spz", caplog)


def test_one_sentence_names_all_that_shows(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    scene = crowd(200)
    scene.scales[:50] = 7
    scene.sh0[25:75] = -7
    sentence = said(scene, tmp_path / "scene.spz", caplog)
    start = (
        "scene.spz: of 200 Gaussians, rounding makes 50 more than twice as thick or thin (up to 2.9 times) and changes"
    )
    assert f"{start} the colour of 50 by more than an eighth" in sentence
    assert sentence.endswith("; a .ply keeps them as they are")


def test_a_width_is_the_middle_deviation_and_a_weight_opacity_times_area() -> None:
    scene = random_scene(200)
    logs = scene.scales.double().sort(dim=1).values
    np.testing.assert_allclose(widths(scene.scales.numpy()), logs[:, 1].exp().numpy(), rtol=1e-6)
    areas = (logs[:, 1] + logs[:, 2]).exp()
    shown = scene.opacities.double().sigmoid() * areas.clamp(max=10 * float(np.median(areas)))
    np.testing.assert_allclose(weights(scene.arrays()), (shown / shown.sum()).numpy(), rtol=1e-4)
    rows = np.arange(0, 200, 7)
    np.testing.assert_allclose(weights(scene.arrays(), rows), weights(scene[rows.tolist()].arrays()))
    assert widths(np.float32([[-1e30] * 3, [900] * 3])).tolist() == [
        pytest.approx(0, abs=1e-300),
        pytest.approx(1e304, rel=0.1),
    ]


def test_what_is_warned_of_can_be_seen(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Where a format is silent, a picture is as it was; where it warns, it is not."""
    scene = crowd(400)
    camera = orbit(scene, 1, width=96, height=72)[0]
    small = replace(scene, means=scene.means + 300)
    for each, place, warned in ((scene, 0, False), (small, 300, True)):
        sentence = said(each, tmp_path / "scene.npz", caplog)
        found = formats.read(tmp_path / "scene.npz")
        back = replace(found, means=found.means - place)
        error = float((render(back, camera).image - render(scene, camera).image).square().mean())
        assert bool(sentence) is warned
        assert (error > 1e-3) is warned


# what an .npz spreads 8 bits over


def test_flat_gaussians_stay_as_flat_in_an_npz(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Thinner than the half step of 1 in 510 that a shape has; a part of the scene is enough."""
    for part in (1, 4, 50):
        scene = crowd(500)
        scene.scales[::part, 2] = scene.scales[::part, 0] - 8
        formats.write(scene, tmp_path / "scene.npz", overwrite=True)
        found = formats.read(tmp_path / "scene.npz")
        nearest = torch.cdist(found.means, scene.means).argmin(dim=1)
        assert (found.scales - scene.scales[nearest]).abs().max() < 0.06
        assert "rounding" not in caplog.text


def test_numbers_out_of_all_proportion_leave_others_their_precision_in_an_npz(tmp_path: Path) -> None:
    scene = crowd(500)
    plain = replace(scene)
    scene = replace(scene, sh0=scene.sh0.clone(), shN=scene.shN.clone(), scales=scene.scales.clone())
    scene.sh0[3], scene.shN[5], scene.scales[7], scene.scales[9] = 1e4, -1e3, -80, 60
    formats.write(scene, tmp_path / "scene.npz")
    found = formats.read(tmp_path / "scene.npz")
    nearest = torch.cdist(found.means, scene.means).argmin(dim=1)
    others = ~torch.isin(nearest, torch.tensor([3, 5, 7, 9]))
    for name, limit in (("sh0", 0.051), ("shN", 0.026), ("scales", 0.06)):
        error = (getattr(found, name) - getattr(plain, name)[nearest]).abs()[others]
        assert error.max() < limit, name


@pytest.mark.parametrize("suffix", LOSSY)
def test_scales_at_both_ends_leave_the_others_theirs(tmp_path: Path, suffix: str) -> None:
    scene = concatenate([crowd(700), gaussian((0, 0, 0), 1, 1e-9), gaussian((0.1, 0, 0), 1, 300)])
    formats.write(scene, tmp_path / f"scene{suffix}")
    found = formats.read(tmp_path / f"scene{suffix}")
    nearest = torch.cdist(found.means, scene.means).argmin(dim=1)
    error = (found.scales - scene.scales[nearest]).abs()[nearest < 700]
    assert error.max() < 0.07


def test_harmonics_out_of_all_proportion_leave_the_others_theirs_in_a_sog() -> None:
    scene = crowd(1000, degree=3)
    plain = Gaussians.from_arrays(sog.decode(sog.encode(scene)))
    usual = float((plain.shN - scene.shN[torch.from_numpy(sog.encode(scene).order)]).square().mean())
    for value in (16.0, -1e3, 1e6):
        other = replace(scene, shN=scene.shN.clone())
        other.shN[3] = value
        encoded = sog.encode(other)
        rows = torch.from_numpy(encoded.order)
        error = (Gaussians.from_arrays(sog.decode(encoded)).shN - scene.shN[rows])[rows != 3].square().mean()
        assert error < 1.5 * usual
