"""The engine gsplat, without a card: its call held by gsplat's signature, its work by a stand-in that draws as we do.

What no test here can hold is gsplat's own kernels; `leansplat doctor` compares those where there is a card.
"""

from __future__ import annotations

import inspect
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from support import gsplat_stand_in
from support.rendered_scenes import camera, everything, surfaces
from support.rendering_comparison import as_leaves, gradients_of, relative_error
from support.synchronising import Synchronising
from support.tiny import tiny_capture
from torch import Tensor

from leansplat import engines, formats, shrink
from leansplat.captures.capture import View
from leansplat.cli import main
from leansplat.commands.options import engine_on
from leansplat.compression import CompressionConfig, compress
from leansplat.compression.config import FineTuningConfig
from leansplat.engines.statistics import ViewStatistics
from leansplat.engines.torch import gsplat
from leansplat.engines.torch.engine import TorchEngine
from leansplat.engines.torch.memory import what_fits
from leansplat.engines.torch.projection import project, spherical_harmonics
from leansplat.engines.torch.rasterizer import Rasterised
from leansplat.engines.torch.targets import Targets
from leansplat.errors import InputError, LeansplatError
from leansplat.gaussians import TENSOR_NAMES, Gaussians
from leansplat.pruning import TrimmingConfig, trim
from leansplat.shrinking import ShrinkingConfig, Target
from leansplat.training import TrainingConfig, train
from leansplat.training.start import start_from
from leansplat.training.strategies import Densification

CAPTURE = tiny_capture()
CONFIG = TrainingConfig(
    iterations=40,
    sh_degree=1,
    sh_degree_every=10,
    strategies=(Densification(after=8, until=35, every=8, gradient=2e-5, reset_every=20),),
    checkpoint_every=20,
)
RATES = {"means": 1e-3, "quats": 1e-3, "scales": 5e-3, "opacities": 0.05, "sh0": 2.5e-3, "shN": 1.25e-4}
BACKGROUND = (0.3, 0.5, 0.1)


def photo_view(masked: bool = False) -> View:
    generator = torch.Generator().manual_seed(7)
    photo = torch.randint(256, (37, 52, 3), generator=generator, dtype=torch.uint8)
    mask = torch.rand(37, 52, generator=generator) < 0.6 if masked else None
    return View("photo.png", camera(), photo, mask)


def test_the_call_is_one_that_gsplat_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the signature that is recorded in the stand-in, which the next test compares with gsplat's."""
    calls: list[dict[str, Any]] = []

    def recorded(*positional: Any, **named: Any) -> Any:
        assert not positional
        inspect.signature(gsplat_stand_in.rasterization).bind(**named)
        calls.append(named)
        return gsplat_stand_in.rasterization(**named)

    monkeypatch.setattr(gsplat, "rasterization", lambda: recorded)
    behind = torch.tensor(BACKGROUND)
    scene = surfaces(50, seed=70, antialiased=True)
    covariances = torch.eye(3).expand(50, 3, 3) * 0.01
    for degree in (0, 2, 3):
        gsplat.GsplatRasteriser()(scene, camera(), behind, degree)
    gsplat.GsplatRasteriser(packed=False)(replace(scene, antialiased=False), camera(), behind, 3, covariances)
    assert [call["colors"].shape[1] for call in calls] == [1, 9, 16, 16]
    assert [call["rasterize_mode"] for call in calls] == ["antialiased"] * 3 + ["classic"]
    assert [call["packed"] for call in calls] == [True] * 3 + [False]
    assert all(call["colors"].is_contiguous() for call in calls)


def test_the_recorded_signature_is_that_of_the_installed_gsplat() -> None:
    installed = pytest.importorskip("gsplat", reason="gsplat is not installed: pip install gsplat==1.5.3")
    theirs = inspect.signature(installed.rasterization).parameters
    ours = inspect.signature(gsplat_stand_in.rasterization).parameters
    assert list(ours) == list(theirs)
    for name, parameter in theirs.items():
        default = getattr(parameter.default, "name", parameter.default)  # an enumeration counts by its name
        assert (ours[name].default, ours[name].kind) == (default, parameter.kind), name
    source = inspect.getsource(installed.rasterization)
    assert all(f'"{key}"' in source for key in gsplat_stand_in.META)
    assert installed.__version__.startswith(f"{gsplat.KNOWN_VERSION}.")


@pytest.mark.parametrize("antialiased", [False, True])
def test_packed_or_not_the_picture_its_gradients_and_statistics_are_the_same(antialiased: bool) -> None:
    scene = replace(surfaces(150, seed=70, antialiased=antialiased), opacities=torch.full((150,), 0.5))
    found = []
    for packed in (True, False):
        with gsplat_stand_in.in_place_of_gsplat(packed):
            engine = engines.named("gsplat")
            leaves = as_leaves(scene)
            image = engine.render(leaves, camera(), background=BACKGROUND).image
            image.square().sum().backward()
            statistics = engine.begin(scene, RATES).gather_statistics([photo_view()], BACKGROUND, 0.2)
            found.append((image.detach(), gradients_of(leaves), statistics))
    assert torch.equal(found[0][0], found[1][0])
    for name in TENSOR_NAMES:
        assert relative_error(found[0][1][name], found[1][1][name].double()) < 1e-6
    assert torch.equal(found[0][2].views_seen, found[1][2].views_seen)
    assert torch.equal(found[0][2].max_radius, found[1][2].max_radius)
    torch.testing.assert_close(found[0][2].gradient_sum, found[1][2].gradient_sum)
    assert int(found[0][2].views_seen.sum()) > 100


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same training on both devices."""
    folder = tmp_path_factory.mktemp("runs")
    with gsplat_stand_in.in_place_of_gsplat():
        for engine in ("cpu", "gsplat"):
            train(CAPTURE, CONFIG, folder / engine, engine=engine)
    return {engine: folder / engine for engine in ("cpu", "gsplat")}


def difference(first: Gaussians, second: Gaussians) -> float:
    """Mean over the pixels of the photos held out."""
    renderers = [engines.named("cpu").renderer(each) for each in (first, second)]
    images = [
        torch.stack([renderer.render(view.camera, CAPTURE.background).image for view in CAPTURE.test])
        for renderer in renderers
    ]
    return float((images[0] - images[1]).abs().mean())


@pytest.mark.usefixtures("gsplat_stand_in")
def test_a_training_is_that_of_the_cpu(runs: dict[str, Path]) -> None:
    cpu, card = (formats.read(run / "scene.ply") for run in runs.values())
    assert abs(len(card) - len(cpu)) <= 0.05 * len(cpu)
    assert difference(cpu, card) < 0.01


@pytest.mark.usefixtures("gsplat_stand_in")
@pytest.mark.parametrize("criterion", ["gradient", "weight-sum", "gaussianpop", "removal-error", "lightgaussian"])
def test_a_trimming_is_that_of_the_cpu(runs: dict[str, Path], criterion: str) -> None:
    config = TrimmingConfig(keep=0.5, rounds=2, every=3, finetune=3, criterion=criterion)
    cpu, card = (trim(runs["cpu"], CAPTURE, config, engine=engine).gaussians for engine in ("cpu", "gsplat"))
    assert len(cpu) == len(card)
    assert difference(cpu, card) < 0.01


@pytest.mark.usefixtures("gsplat_stand_in")
def test_shrinking_and_compressing_are_those_of_the_cpu(runs: dict[str, Path], tmp_path: Path) -> None:
    scene = runs["cpu"] / "scene.ply"
    config = CompressionConfig(fine_tuning=FineTuningConfig(steps=5))
    for engine in ("cpu", "gsplat"):
        compress(scene, CAPTURE, tmp_path / f"{engine}.sog", config, engine=engine)
        settings = ShrinkingConfig(steps=4, view_size=64, views=9)
        shrink(scene, tmp_path / f"{engine}.spz", Target(keep=0.6), settings, capture=CAPTURE, engine=engine)
    for suffix in ("sog", "spz"):
        cpu, card = (formats.read(tmp_path / f"{engine}.{suffix}") for engine in ("cpu", "gsplat"))
        assert len(cpu) == len(card)
        assert difference(cpu, card) < 0.02


def test_a_run_goes_on_with_the_other_device_both_ways_even_where_there_is_no_card(
    runs: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = TrimmingConfig(keep=0.5, rounds=1, every=2, finetune=2)
    with gsplat_stand_in.in_place_of_gsplat():
        there = start_from(runs["cpu"], 1.0, 0, "gsplat").state().model
        trim(runs["cpu"], CAPTURE, config, engine="gsplat")
        expected = start_from(runs["gsplat"], 1.0, 0, "cpu").state().model
    monkeypatch.setattr(gsplat, "missing", lambda: ["a card"])
    back = start_from(runs["gsplat"], 1.0, 0, "cpu").state().model
    assert (there.engine, back.engine) == ("gsplat", "cpu")
    assert there.facts.steps == back.facts.steps == 40
    for name in TENSOR_NAMES:
        assert torch.equal(getattr(back.gaussians(), name), getattr(expected.gaussians(), name))
        assert torch.equal(getattr(back.moments().second, name), getattr(expected.moments().second, name))
    trim(runs["gsplat"], CAPTURE, config, engine="cpu")
    with pytest.raises(InputError, match="needs a card; without --device"):
        trim(runs["gsplat"], CAPTURE, config, engine="gsplat")
    with pytest.raises(InputError, match="needs a card; without --device"):  # a run goes on where it began
        train(CAPTURE, run=runs["gsplat"], resume=True)


@pytest.mark.usefixtures("gsplat_stand_in")
def test_the_effects_of_removal_are_probed_and_rank_as_the_exact_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = replace(surfaces(80, seed=70), opacities=torch.linspace(-3, 1, 80))
    views = [replace(photo_view(masked=True), name=f"{number}.png") for number in range(3)]
    exact = engines.named("cpu").begin(scene, {}).removal_effects(views, BACKGROUND)
    seen = exact.change > 0
    probed = engines.named("gsplat").begin(scene, {}).removal_effects(views, BACKGROUND)
    ranks = [values[seen].argsort().argsort().double() for values in (exact.change, probed.change)]
    assert float(torch.corrcoef(torch.stack(ranks))[0, 1]) > 0.97
    assert torch.equal(probed.drawn, exact.drawn)
    assert relative_error(probed.slope, exact.slope.double()) < 1e-3
    assert torch.equal(
        probed.change, engines.named("gsplat").begin(scene, {}).removal_effects(views, BACKGROUND).change
    )
    monkeypatch.setattr("leansplat.engines.torch.probes.PROBES", 40)
    many = engines.named("gsplat").begin(scene, {}).removal_effects(views, BACKGROUND).change
    assert relative_error(many, exact.change.double()) < 0.2
    assert relative_error(many, exact.change.double()) < relative_error(probed.change, exact.change.double())


@pytest.mark.usefixtures("gsplat_stand_in")
def test_one_that_is_opaque_to_the_last_bit_has_an_effect_and_what_is_read_too_late_has_none() -> None:
    scene = replace(surfaces(30, seed=70), opacities=torch.full((30,), 20.0))
    model = engines.named("gsplat").begin(scene, RATES)
    effects = model.removal_effects([photo_view()], BACKGROUND)
    exact = engines.named("cpu").begin(scene, {}).removal_effects([photo_view()], BACKGROUND)
    assert torch.equal(effects.drawn, exact.drawn)
    model.step(photo_view(), BACKGROUND, 3, 0.2)
    with pytest.raises(RuntimeError, match="after the scene has changed"):
        _ = effects.visibility


@pytest.mark.parametrize(
    ("lacking", "said"),
    [
        ("gsplat", "needs gsplat (pip install 'leansplat[cuda]')"),
        ("ninja", "needs ninja (pip install 'leansplat[cuda]')"),
        ("another gsplat", "needs gsplat 1.5 in place of 1.6.0 (pip install"),
        ("a CUDA PyTorch", "needs a PyTorch that is built for CUDA in place of"),
        ("a card", "needs an NVIDIA card that PyTorch can use"),
        ("nvcc", "needs nvcc to compile gsplat with (install the CUDA toolkit, and set CUDA_HOME"),
    ],
)
def test_what_a_card_needs_and_does_not_find_is_said_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, lacking: str, said: str
) -> None:
    monkeypatch.setattr(gsplat, "find_spec", lambda name: None if name == lacking else object())
    monkeypatch.setattr(gsplat, "installed_version", lambda _: "1.6.0" if lacking == "another gsplat" else "1.5.3")
    monkeypatch.setattr(torch.version, "cuda", None if lacking == "a CUDA PyTorch" else "13.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: lacking != "a card")
    monkeypatch.setattr(gsplat, "compiler", lambda: None if lacking == "nvcc" else "/usr/bin/nvcc")
    monkeypatch.setattr(gsplat, "_is_compiled", lambda: False)
    with pytest.raises(InputError) as raised:
        engines.named("gsplat")
    assert said in str(raised.value)
    assert str(raised.value).count("(pip") + str(raised.value).count("(see") <= 1  # of nothing else


@pytest.mark.parametrize(
    ("backend", "said"),
    [
        ("_C = None", "gsplat finds no CUDA toolkit"),
        ("raise RuntimeError('Error building extension\\nninja: ...')", "Error building extension"),
        ("_C = object()", ""),
    ],
)
def test_kernels_that_do_not_load_are_said_and_gsplat_does_not_talk_where_results_go(
    tmp_path: Path, backend: str, said: str
) -> None:
    package = tmp_path / "gsplat" / "cuda"
    package.mkdir(parents=True)
    for folder in (package, package.parent):
        (folder / "__init__.py").write_text("")
    (package / "_backend.py").write_text(f"print('setting up')\n{backend}\n")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); "
        "import leansplat.engines.torch.gsplat as g; print(g.load_kernels())"
    )
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert told.stdout == f"{said}\n"
    assert "setting up" in told.stderr


def test_an_engine_whose_kernels_do_not_load_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gsplat, "missing", list)
    monkeypatch.setattr(gsplat, "load_kernels", lambda: "Error building extension")
    with pytest.raises(InputError, match=r"cannot be compiled or loaded \(Error building extension\); check that"):
        engines.named("gsplat")


@pytest.mark.parametrize("command", ["train", "trim", "compress", "shrink", "eval", "render"])
def test_a_command_says_so_before_it_reads_anything(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gsplat, "missing", lambda: ["a card (buy one)"])
    words = {
        "train": ["nowhere", "-o", "out"],
        "trim": ["nowhere", "--capture", "nowhere", "-o", "out"],
        "compress": ["nowhere", "--capture", "nowhere", "-o", "out.sog"],
        "shrink": ["nowhere", "-o", "out.sog", "--keep", "50%"],
        "eval": ["nowhere", "--capture", "nowhere"],
        "render": ["nowhere", "--orbit", "1", "-o", "out"],
    }[command]
    assert main([command, *words, "--device", "cuda"]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    needs = "the engine gsplat (--device cuda) needs a card (buy one)"
    assert said == [f"leansplat: {needs}; without --device everything runs on the CPU"]


@pytest.mark.usefixtures("gsplat_stand_in")
def test_a_device_is_an_engine() -> None:
    assert engine_on("cuda") == engine_on("cuda", "gsplat") == engine_on(None, "gsplat") == "gsplat"
    assert engine_on(None) is None
    assert engine_on("cpu") == "cpu"
    assert engine_on("cpu", "torch") == "torch"
    with pytest.raises(InputError, match="--device cuda is the engine gsplat, and --engine torch another"):
        engine_on("cuda", "torch")


def test_nobody_who_asks_for_no_card_imports_gsplat() -> None:
    code = (
        "import sys; from leansplat import engines; engines.known('gsplat'); "
        "import leansplat.engines.torch.gsplat as g; g.missing(); assert 'gsplat' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_has_no_room_is_said_with_what_would_have(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> Rasterised:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 4.00 GiB. GPU 0 has ...")

    engine = TorchEngine("full", full)
    scene = surfaces(50)
    with pytest.raises(LeansplatError, match=r"50 Gaussians at 52x37; use smaller photos \(--downscale\); what a run"):
        engine.begin(scene, RATES).step(photo_view(), BACKGROUND, 3, 0.2)
    monkeypatch.setattr("leansplat.engines.torch.memory._held_and_total", lambda: (12 * 2**30, 8 * 2**30))
    with pytest.raises(LeansplatError) as raised:
        engine.renderer(scene).render(camera())
    assert str(raised.value) == (
        "there is not enough memory for 50 Gaussians at 52x37 on a card of 8.0 GiB; about 22 Gaussians would fit, or "
        "smaller photos (--downscale)"
    )
    assert what_fits(3_000_000, 2 * 2**30, 2**30) == 1_300_000
    assert what_fits(1000, 2**20, 2**30) == 1000


def test_photos_move_to_the_device_once_and_leave_it_with_the_capture() -> None:
    targets = Targets(torch.device("meta"))
    view = photo_view(masked=True)
    assert targets.photo(view).device.type == "meta"
    assert targets.photo(view) is targets.photo(replace(view, name="same"))
    mask = targets.mask(view)
    assert mask is not None
    assert targets.mask(view) is mask
    assert targets.mask(replace(view, mask=None)) is None
    here = Targets(torch.device("cpu"))
    assert here.photo(view) is view.photo
    assert len(targets._copies) == 2
    del view
    assert len(targets._copies) == 0


@pytest.mark.usefixtures("gsplat_stand_in")
@pytest.mark.parametrize("masked", [False, True])
def test_a_step_reads_one_number_back_and_no_more(masked: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loss, without which nobody would hear of one that is not finite. What gsplat does is gsplat's."""
    drawn = gsplat_stand_in.rasterization
    model: Any = engines.named("gsplat").begin(surfaces(80, seed=70), RATES)
    counting = Synchronising(here=[state["step"] for state in model._optimizer.state.values()])

    def theirs(**named: Any) -> Any:
        with counting.paused():
            return drawn(**named)

    monkeypatch.setattr(gsplat, "rasterization", lambda: theirs)
    statistics = ViewStatistics.zeros(80)
    view = photo_view(masked)
    with counting:
        loss = model.step(view, BACKGROUND, 3, 0.2, statistics).loss
    assert math.isfinite(loss)
    assert int(statistics.views_seen.sum()) > 0
    assert counting.calls == ["aten._local_scalar_dense"]
    with Synchronising() as seen:  # the mode sees what it is to see
        ones = torch.ones(3)
        ones.cpu()
        ones.numpy()
        bool(ones[0] > 0)
        ones.nonzero()
        ones[ones > 0]
    assert len(seen.calls) == 5


def test_what_the_engine_does_stays_on_its_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a device without values, whose tensors PyTorch neither adds to others nor copies to the CPU."""
    scene, view = surfaces(40, seed=70, antialiased=True), photo_view(masked=True)
    with gsplat_stand_in.in_place_of_gsplat(device="meta"):
        engine = engines.named("gsplat")
        model: Any = engine.begin(scene, RATES)
        with pytest.raises(RuntimeError, match=r"item\(\) cannot be called on meta tensors"):
            model.step(view, BACKGROUND, 3, 0.2)
        monkeypatch.setattr("leansplat.engines.torch.model._read_back", lambda loss: 0.5 if loss.is_meta else math.nan)
        statistics = ViewStatistics.zeros(40, device="meta")
        step = model.step(view, BACKGROUND, 2, 0.2, statistics, TENSOR_NAMES)
        assert step.loss == 0.5
        found = [*step.gradients.values(), *(model.attribute(name) for name in TENSOR_NAMES)]
        found += [*model.render(camera(), BACKGROUND)[:2], engine.render(scene, camera()).image]
        found += [model.gather_statistics([view], BACKGROUND, 0.2).gradient_sum, statistics.max_radius]
        model.rebuild(torch.tensor([1, 1, 2]), torch.tensor([False, True, False]))
        model.clear_moments("means")
        found += [getattr(model._moments().second, name) for name in TENSOR_NAMES]
        assert {each.device.type for each in found} == {"meta"}


# gsplat's own functions in PyTorch, where it is installed.


def covariances_by_gsplat(scene: Gaussians) -> Tensor:
    found: Tensor = theirs()._quat_scale_to_covar_preci(scene.quats, scene.scales.exp(), compute_preci=False)[0]
    return found


def theirs() -> Any:
    return pytest.importorskip("gsplat.cuda._torch_impl", reason="gsplat is not installed: pip install gsplat==1.5.3")


@pytest.mark.parametrize("off_centre", [False, True])
@pytest.mark.parametrize("antialiased", [False, True])
def test_projection_and_covariances_are_gsplats(off_centre: bool, antialiased: bool) -> None:
    scene = everything()
    tensors: dict[str, Any] = {name: getattr(scene, name).double() for name in TENSOR_NAMES}
    scene = Gaussians(**tensors, antialiased=antialiased)
    view = camera(64, 48, off_centre=off_centre)
    covariances = covariances_by_gsplat(scene)
    radii, means, depths, conics, compensations = theirs()._fully_fused_projection(
        scene.means, covariances, view.world_to_camera[None], view.K[None], view.width, view.height,
        near_plane=0.2, calc_compensations=True,
    )  # fmt: skip
    rows = ((radii[0] > 0).all(dim=1) & (depths[0] > 0.21)).nonzero()[:, 0]
    ours = project(scene, view, 3, rows)
    assert len(rows) > 200
    torch.testing.assert_close(ours.means, means[0, rows], rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(ours.depths, depths[0, rows])
    inverse = torch.linalg.inv(ours.covariances).flatten(1)[:, [0, 1, 3]]
    torch.testing.assert_close(inverse, conics[0, rows], rtol=1e-6, atol=1e-9)
    opacities = scene.opacities.sigmoid()[rows] * (compensations[0, rows] if antialiased else 1)
    torch.testing.assert_close(ours.opacities, opacities, rtol=1e-4, atol=1e-6)
    # What the engine makes of gsplat's conics is the extent that statistics have.
    assert (gsplat._radii(conics[0, rows]) - ours.radii()).abs().max() <= 1
    again = project(scene, view, 3, rows, covariances)
    torch.testing.assert_close(again.covariances, ours.covariances, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_harmonics_are_gsplats(degree: int) -> None:
    scene = surfaces(100, seed=3)
    coefficients = torch.cat([scene.sh0, scene.shN], dim=1).double()
    directions = torch.nn.functional.normalize(scene.means.double() - camera().position, dim=1)
    basis = spherical_harmonics(directions)[:, : (degree + 1) ** 2]
    ours = torch.einsum("mk,mkc->mc", basis, coefficients[:, : basis.shape[1]])
    torch.testing.assert_close(
        ours, theirs()._spherical_harmonics(degree, directions, coefficients), rtol=1e-6, atol=1e-6
    )
