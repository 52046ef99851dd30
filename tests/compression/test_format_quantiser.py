"""Quantisers of open formats: training sees what readers get, to the bit, and gradients pass the rounding."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support.scene_comparison import assert_same_bits, random_scene
from support.stray_scenes import STRAYS, crowd, sky, worst_move

from leansplat import formats
from leansplat.compression.codecs import CODECS
from leansplat.compression.format_quantiser import FileQuantiser, SogQuantiser, SpzQuantiser
from leansplat.engines.cpu import pack
from leansplat.formats import compressed_ply, sog, spz
from leansplat.gaussians import TENSOR_NAMES, Gaussians, concatenate
from leansplat.ordering import morton_order
from leansplat.training import TrainingConfig

MODULES = {".sog": sog, ".spz": spz, ".compressed.ply": compressed_ply}
SUFFIXES = tuple(MODULES)


def quantiser_of(suffix: str, steps: int = 0) -> FileQuantiser:
    return CODECS[suffix]().quantiser(steps)


def scene(degree: int = 1, seed: int = 0) -> Gaussians:
    """In Morton order, on which the palette depends."""
    gaussians = random_scene(degree=degree, seed=seed, antialiased=True)
    return gaussians[morton_order(gaussians.means)]


def moved(latents: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Latents after some training."""
    random = torch.Generator().manual_seed(9)
    return {name: values + 0.01 * torch.randn(values.shape, generator=random) for name, values in latents.items()}


@pytest.mark.parametrize("degree", [0, 1, 3])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_at_first_training_sees_what_plain_encoding_gives(suffix: str, degree: int) -> None:
    """But for the rotations of a .sog that is going to be trained, which are coarser."""
    gaussians = scene(degree=degree)
    for steps in (0, 1):
        quantiser = quantiser_of(suffix, steps)
        seen = quantiser.render_parameters(quantiser.begin(gaussians)).copied()
        coding = MODULES[suffix]
        coarser = {"rotation_step": 4} if suffix == ".sog" and steps else {}
        assert_same_bits(seen, Gaussians.from_arrays(coding.decode(coding.encode(gaussians, **coarser))))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_beginning_again_is_beginning_anew(suffix: str) -> None:
    gaussians = random_scene(degree=2)
    steps = np.where(np.arange(len(gaussians)) % 2, 1, 16).astype(np.float32)[:, None, None]
    quantiser = SpzQuantiser(steps) if suffix == ".spz" else quantiser_of(suffix, 200)
    first = quantiser.render_parameters(quantiser.begin(gaussians)).copied()
    quantiser.step(moved(quantiser.begin(gaussians)), 100)  # which may refit tables
    assert_same_bits(quantiser.render_parameters(quantiser.begin(gaussians)).copied(), first)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_part_of_what_was_trained_is_written_as_it_was_within_the_whole(suffix: str, tmp_path: Path) -> None:
    gaussians = scene(degree=2)
    steps = np.where(np.arange(len(gaussians)) % 2, 1, 16).astype(np.float32)[:, None, None]
    quantiser = SpzQuantiser(steps) if suffix == ".spz" else quantiser_of(suffix, 100)
    latents = moved(quantiser.begin(gaussians))
    whole = quantiser.render_parameters(latents).copied()
    rows = torch.arange(len(gaussians)) % 3 > 0
    part, kept = quantiser.select(latents, rows)
    part.write(kept, tmp_path / f"part{suffix}")
    found = formats.read(tmp_path / f"part{suffix}")
    assert len(found) == int(rows.sum())
    for name in ("sh0", "shN", "opacities"):  # what no range of the file depends on in any format
        if suffix != ".compressed.ply" or name == "shN":
            assert torch.equal(getattr(found, name), getattr(whole, name)[rows]), name
    assert np.array_equal(part.order, np.arange(len(gaussians))[rows.numpy()])
    assert_same_bits(quantiser.render_parameters(latents).copied(), whole)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_strays_are_left_out_or_kept_apart_before_training(
    suffix: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As plain encoding does it, in rows that stay those of latents, steps and file."""
    gaussians = concatenate([crowd(), sky(1900), *STRAYS["all around"]])
    gaussians = gaussians[morton_order(gaussians.means)]
    steps = np.ones((len(gaussians), 1, 1), np.float32)
    quantiser = SpzQuantiser(steps) if suffix == ".spz" else quantiser_of(suffix)
    latents = quantiser.begin(gaussians)
    seen = quantiser.render_parameters(latents).copied()
    coding = MODULES[suffix]
    options = {".spz": {"sh_steps": steps}}.get(suffix, {})
    assert_same_bits(seen, Gaussians.from_arrays(coding.decode(coding.encode(gaussians, **options))))
    assert worst_move(seen, crowd()) < 2e-3
    assert worst_move(seen, sky(1900)) < 4
    words = {".sog": "", ".spz": "SPZ: left out 6 of 1,036", ".compressed.ply": "compressed PLY: added "}[suffix]
    assert words in caplog.text
    quantiser.write(latents, tmp_path / f"scene{suffix}")
    assert_same_bits(seen, formats.read(tmp_path / f"scene{suffix}"))


@pytest.mark.parametrize("degree", [0, 3])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_file_is_the_scene_that_was_trained_last(suffix: str, degree: int, tmp_path: Path) -> None:
    quantiser = quantiser_of(suffix, steps=1000)
    latents = moved(quantiser.begin(scene(degree=degree)))
    quantiser.step(latents, 100)
    seen = quantiser.render_parameters(latents).copied()
    quantiser.write(latents, tmp_path / f"scene{suffix}")
    # A PLY has a comment that says that it is antialiased.
    assert_same_bits(seen, replace(formats.read(tmp_path / f"scene{suffix}"), comments=()))


@pytest.mark.parametrize("suffix", [".spz", ".compressed.ply"])
def test_gradients_go_straight_to_the_latents(suffix: str) -> None:
    """A linear function of the decoded scene has its own slopes as gradients; of rotations, across the quaternion."""
    quantiser = quantiser_of(suffix)
    latents = {name: values.requires_grad_() for name, values in quantiser.begin(scene()).items()}
    decoded = pack(quantiser.render_parameters(latents))
    slopes = scene(seed=4)
    (decoded.data * pack(slopes).data).sum().backward()
    for name in set(TENSOR_NAMES) - {"quats"}:
        assert torch.equal(latents[name].grad, getattr(slopes, name)), name
    raw = latents["quats"].detach().requires_grad_()
    unit = torch.nn.functional.normalize(raw, dim=1)
    towards = (unit.detach() * decoded.unpack().quats.detach()).sum(dim=1, keepdim=True).sign()
    (unit * towards * slopes.quats).sum().backward()
    torch.testing.assert_close(latents["quats"].grad, raw.grad)


def test_the_gradient_of_a_palette_entry_is_the_sum_over_its_users() -> None:
    quantiser = SogQuantiser(steps=0, palette_size=64)
    gaussians = scene()
    latents = {name: values.requires_grad_() for name, values in quantiser.begin(gaussians).items()}
    slopes = scene(seed=4)
    (pack(quantiser.render_parameters(latents)).data * pack(slopes).data).sum().backward()
    labels = quantiser.tensors()["labels"].long()
    expected = torch.zeros_like(latents["shN"]).index_add(0, labels, slopes.shN)
    torch.testing.assert_close(latents["shN"].grad, expected)
    assert torch.equal(latents["scales"].grad, slopes.scales)


def test_codebooks_follow_the_scene_and_rest_at_the_end() -> None:
    quantiser = SogQuantiser(steps=1000)
    latents = quantiser.begin(scene())
    before = quantiser.tensors()["book.sh0"].clone()
    shifted = {**latents, "sh0": latents["sh0"] + 5}
    quantiser.step(shifted, 150)
    assert torch.equal(quantiser.tensors()["book.sh0"], before)
    quantiser.step(shifted, 900)
    assert torch.equal(quantiser.tensors()["book.sh0"], before)
    quantiser.step(shifted, 800)
    np.testing.assert_allclose(quantiser.tensors()["book.sh0"], before + 5, atol=0.05)
    seen = quantiser.render_parameters(shifted).copied()
    assert float((seen.sh0 - shifted["sh0"]).abs().max()) < 0.2


def test_refitted_codebooks_are_no_finer_than_the_first(tmp_path: Path) -> None:
    """Finer steps of harmonics make a file much larger and no better."""
    quantiser = SogQuantiser(steps=1000, palette_size=256)
    latents = quantiser.begin(scene(degree=3))
    quantiser.write(latents, tmp_path / "before.sog")
    before = np.unique(quantiser.tensors()["book.shN"])
    quantiser.step(moved(latents), 100)
    after = np.unique(quantiser.tensors()["book.shN"])
    assert not np.array_equal(before, after)
    assert np.median(np.diff(after)) == pytest.approx(np.median(np.diff(before)), rel=0.1)
    quantiser.write(moved(latents), tmp_path / "after.sog")
    assert (tmp_path / "after.sog").stat().st_size < 1.1 * (tmp_path / "before.sog").stat().st_size


def test_entries_of_a_palette_learn_faster_than_harmonics_of_one_gaussian() -> None:
    recipe = TrainingConfig(shN_rate=1e-3, sh0_rate=5e-3)
    rows, shared = (quantiser_of(suffix).rates(recipe) for suffix in (".spz", ".sog"))
    assert rows["shN"] == 1e-3
    assert shared == {**rows, "shN": 4e-3}


def test_steps_and_weights_stay_with_their_gaussians() -> None:
    """The scene is put into another order first."""
    gaussians = random_scene(degree=1)
    steps = 2.0 ** torch.randint(0, 9, (len(gaussians), 1, 1), generator=torch.Generator().manual_seed(3)).numpy()
    order = morton_order(gaussians.means)
    quantiser = SpzQuantiser(steps.astype(np.float32))
    seen = quantiser.render_parameters(quantiser.begin(gaussians)).copied()
    expected = Gaussians.from_arrays(spz.decode(spz.encode(gaussians, sh_steps=steps.astype(np.float32))))
    assert torch.equal(seen.shN, expected.shN)
    weights = np.where(np.arange(len(gaussians)) % 2, 1.0, 1e-4).astype(np.float32)
    quantiser = SogQuantiser(steps=0, weights=weights, palette_size=64)
    seen = quantiser.render_parameters(quantiser.begin(gaussians)).copied()
    errors = (seen.shN - gaussians.shN[order]).square().sum(dim=(1, 2)).detach()
    assert errors[torch.from_numpy(weights)[order] == 1].mean() < 0.8 * errors.mean()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_state_of_a_checkpoint_gives_the_same_scene(suffix: str) -> None:
    quantiser = quantiser_of(suffix, steps=1000)
    latents = moved(quantiser.begin(scene()))
    quantiser.step(latents, 100)
    again = quantiser_of(suffix, steps=1000)
    again.load(quantiser.tensors())
    assert_same_bits(again.render_parameters(latents).copied(), quantiser.render_parameters(latents).copied())
    for other in set(SUFFIXES) - {suffix}:
        with pytest.raises(KeyError):
            quantiser_of(other).load(quantiser.tensors())


def test_latents_are_the_scene_in_morton_order() -> None:
    gaussians = random_scene()
    latents = quantiser_of(".spz").begin(gaussians)
    assert torch.equal(latents["means"], gaussians.means[morton_order(gaussians.means)])
    latents["means"].zero_()
    assert float(gaussians.means.abs().max()) > 1
