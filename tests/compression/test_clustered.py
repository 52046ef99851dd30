"""`ClusteredQuantiser`: training renders what the file will hold, and shared rows get every user's gradient."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from support.scene_comparison import angles, random_scene
from torch import Tensor

from leansplat.compression.clustered import ClusteredQuantiser
from leansplat.compression.config import TableConfig
from leansplat.compression.covariance import log_size, normalised_covariance
from leansplat.compression.vector_quantisation import Table, vector_quantise
from leansplat.engines.cpu import pack
from leansplat.formats.c3dgs_coding import decode
from leansplat.gaussians import TENSOR_NAMES, Gaussians

SCENE = random_scene(400)


def tables(scene: Gaussians = SCENE) -> tuple[Table, Table]:
    """Half of the Gaussians share 30 colours, another half 20 shapes."""
    generator = torch.Generator().manual_seed(0)
    importance = torch.rand(len(scene), generator=generator)
    colors = torch.cat([scene.sh0, scene.shN], dim=1).flatten(1)
    covariances = normalised_covariance(scene.quats, scene.scales)
    settings = {"steps": 5, "batch": 1000, "keep_above": 0.5}
    return (
        vector_quantise(colors, importance, TableConfig(size=30, **settings), generator),
        vector_quantise(covariances, 1 - importance, TableConfig(size=20, **settings), generator),
    )


def moved(latents: dict[str, Tensor]) -> dict[str, Tensor]:
    """As after some steps of training: no longer normalised, and out of the range seen so far."""
    random = torch.Generator().manual_seed(1)
    return {name: values + 0.2 * torch.randn(values.shape, generator=random) for name, values in latents.items()}


@pytest.mark.parametrize("shared", [False, True])
def test_what_is_rendered_is_what_the_file_decodes_to(shared: bool) -> None:
    quantiser = ClusteredQuantiser(*(tables() if shared else ()))
    latents = moved(quantiser.begin(SCENE))
    quantiser.step(latents, 1)
    encoded = quantiser.encode(latents)
    found = quantiser.render_parameters(latents).copied().detach()[encoded.order]
    expected = decode(encoded)
    for name in TENSOR_NAMES:
        torch.testing.assert_close(getattr(found, name), getattr(expected, name), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("shared", [False, True])
def test_a_part_of_what_was_trained_keeps_its_colours_and_shapes(shared: bool) -> None:
    quantiser = ClusteredQuantiser(*(tables() if shared else ()))
    latents = moved(quantiser.begin(SCENE))
    whole = quantiser.render_parameters(latents).copied()
    rows = torch.arange(len(SCENE)) % 3 > 0
    part, kept = quantiser.select(latents, rows)
    found = part.render_parameters(kept).copied()
    for name in TENSOR_NAMES:
        assert torch.equal(getattr(found, name), getattr(whole, name)[rows]), name
    decoded = decode(part.encode(kept))
    assert len(decoded) == len(found)
    assert torch.equal(quantiser.render_parameters(latents).copied().sh0, whole.sh0)


def test_training_starts_from_the_scene_with_its_shared_rows() -> None:
    colors, shapes = tables()
    quantiser = ClusteredQuantiser(colors, shapes)
    found = quantiser.render_parameters(quantiser.begin(SCENE)).copied()
    own = colors.own
    assert float((found.sh0 - SCENE.sh0)[own].abs().max()) < 8 / 255
    flat = torch.cat([found.sh0, found.shN], dim=1).flatten(1)
    assert (
        float((flat - colors.rows(torch.cat([SCENE.sh0, SCENE.shN], dim=1).flatten(1))[colors.indices]).abs().max())
        < 8 / 255
    )
    assert float(angles(found.quats[shapes.own], SCENE.quats[shapes.own]).max()) < 2
    covariances = normalised_covariance(found.quats, found.scales)
    shared = shapes.indices < 20
    assert float((covariances - shapes.centres[shapes.indices.clamp(max=19)])[shared].abs().max()) < 0.03
    torch.testing.assert_close(log_size(found.scales), log_size(SCENE.scales), rtol=0, atol=15 / 255)
    torch.testing.assert_close(found.opacities.sigmoid(), SCENE.opacities.sigmoid(), rtol=0, atol=1 / 255)


def test_a_shared_row_gets_the_sum_of_its_users_gradients() -> None:
    """Against a scene in which every Gaussian has a copy of its row for itself."""
    colors, shapes = tables()
    shared = ClusteredQuantiser(colors, shapes)
    latents = {name: values.requires_grad_() for name, values in shared.begin(SCENE).items()}
    rows = {"sh0": colors, "shN": colors, "quats": shapes, "shapes": shapes}
    alone = ClusteredQuantiser()
    copies = {
        name: values.detach()[rows[name].indices] if name in rows else values.detach()
        for name, values in latents.items()
    }
    alone.begin(SCENE)
    alone.load({**shared.tensors(), "feature_indices": None, "gaussian_indices": None})
    copies = {name: values.requires_grad_() for name, values in copies.items()}
    weights = torch.randn(
        pack(shared.render_parameters(latents)).data.shape, generator=torch.Generator().manual_seed(2)
    )
    (pack(shared.render_parameters(latents)).data * weights).sum().backward()
    (pack(alone.render_parameters(copies)).data * weights).sum().backward()
    for name, latent in latents.items():
        expected = copies[name].grad
        if name in rows:
            expected = torch.zeros_like(latent).index_add_(0, rows[name].indices, expected)
        assert expected.any()
        torch.testing.assert_close(latent.grad, expected, rtol=1e-4, atol=1e-4)


def test_gradients_are_finite_where_scales_and_opacities_round_to_their_ends() -> None:
    scene = random_scene(50)
    scene.scales[:, 2] = -40
    scene.opacities[:] = torch.linspace(-40, 40, 50)
    quantiser = ClusteredQuantiser()
    latents = {name: values.requires_grad_() for name, values in quantiser.begin(scene).items()}
    pack(quantiser.render_parameters(latents)).data.square().sum().backward()
    assert all(values.grad.isfinite().all() for values in latents.values())


def test_ranges_follow_the_latents_slowly() -> None:
    quantiser = ClusteredQuantiser()
    latents = quantiser.begin(SCENE)
    before = quantiser.encode(latents).ranges["features_dc"].scale
    latents["sh0"] *= 2
    quantiser.step(latents, 1)
    assert quantiser.encode(latents).ranges["features_dc"].scale == pytest.approx(1.01 * before, rel=1e-5)


def test_a_colour_out_of_all_proportion_does_not_widen_the_range() -> None:
    scene = replace(SCENE, sh0=SCENE.sh0.clone())
    scene.sh0[3] = 1e4
    quantiser, again = ClusteredQuantiser(), ClusteredQuantiser()
    latents = quantiser.begin(scene)
    again.load(quantiser.tensors())
    for each in (quantiser, again):
        each.step(latents, 1)
        assert each.encode(latents).ranges["features_dc"].scale <= 0.1


def test_the_state_survives_a_checkpoint() -> None:
    quantiser, again = ClusteredQuantiser(*tables()), ClusteredQuantiser()
    latents = moved(quantiser.begin(SCENE))
    quantiser.step(latents, 1)
    again.load(quantiser.tensors())
    assert torch.equal(pack(again.render_parameters(latents)).data, pack(quantiser.render_parameters(latents)).data)
    with pytest.raises(KeyError):
        again.load({})


@pytest.mark.parametrize("antialiased", [False, True])
@pytest.mark.parametrize("degree", [0, 1])
def test_degree_and_antialiasing_are_kept(degree: int, antialiased: bool) -> None:
    scene = random_scene(100, degree=degree, antialiased=antialiased)
    quantiser = ClusteredQuantiser(*tables(scene))
    latents = quantiser.begin(scene)
    packed = pack(quantiser.render_parameters(latents))
    for found in (packed, decode(quantiser.encode(latents))):
        assert found.sh_degree == degree
        assert found.antialiased == antialiased
