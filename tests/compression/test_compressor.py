"""`compress`, end to end on small captures: the file, what it costs, and how a run is resumed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support.scene_comparison import assert_same_bits
from support.tiny import blobs, ring_of_cameras, tiny_capture

from leansplat import formats
from leansplat.captures.capture import Capture, View
from leansplat.captures.synthetic import synthetic_capture
from leansplat.compression import CompressionConfig, FineTuningConfig, NpzCodec, SogCodec, SpzCodec, compress, report
from leansplat.compression.config import TableConfig
from leansplat.compression.preparation import subject
from leansplat.engines.cpu import render
from leansplat.errors import CaptureError, InputError, RunError
from leansplat.evaluation import evaluate
from leansplat.gaussians import Gaussians, concatenate
from leansplat.runs import open_run
from leansplat.training import TrainingConfig, train
from leansplat.training.strategies import Densification

CAPTURE = tiny_capture()
SHORT = CompressionConfig(fine_tuning=FineTuningConfig(steps=12, checkpoint_every=5))
TABLES = NpzCodec(
    colors=TableConfig(steps=5, batch=1000, keep_above=1e-3, size=8),
    shapes=TableConfig(steps=5, batch=1000, keep_above=1e-3, size=8),
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder of a short training."""
    folder = tmp_path_factory.mktemp("runs") / "trained"
    train(CAPTURE, replace(TrainingConfig().scaled(120), sh_degree=1).adjusted(Densification, every=5), folder)
    return folder


def test_the_result_is_the_file_as_it_is_read(trained: Path, tmp_path: Path) -> None:
    path = tmp_path / "out.npz"
    result = compress(trained, CAPTURE, path, SHORT, codec=TABLES)
    assert_same_bits(result.gaussians, formats.read(path))
    assert result.bytes == path.stat().st_size
    scene = formats.read(trained)
    assert len(result.gaussians) == len(scene)
    assert result.gaussians.sh_degree == scene.sh_degree


@pytest.mark.long
def test_fine_tuning_recovers_what_coarse_tables_cost(tmp_path: Path) -> None:
    """On held-out views of the built-in capture, with far smaller tables than by default."""
    capture = synthetic_capture(24, 64)
    scene = train(capture, TrainingConfig().scaled(600).adjusted(Densification, every=50)).gaussians
    table = TableConfig(steps=20, batch=2**14, keep_above=1e-4, size=48)
    quality = {}
    for steps in (0, 400):
        config = CompressionConfig(fine_tuning=FineTuningConfig(steps=steps))
        result = compress(scene, capture, tmp_path / f"{steps}.npz", config, codec=NpzCodec(table, table))
        quality[steps] = evaluate(result.gaussians, capture, lpips=None, fps=False).psnr
    whole = evaluate(scene, capture, lpips=None, fps=False).psnr
    assert quality[0] < whole - 0.5, "the tables are meant to cost something"
    assert quality[400] > quality[0] + 0.5 * (whole - quality[0])


def test_fine_tuning_recovers_what_sog_costs(tmp_path: Path) -> None:
    """On held-out photos of the very scene, so that all loss is that of the format."""
    scene = replace(blobs(400), shN=0.5 * torch.randn(400, 3, 3, generator=torch.Generator().manual_seed(1)))
    cameras = ring_of_cameras(12)
    images = [render(scene, camera).image.clamp(0, 1) for camera in cameras]
    views = [
        View(f"{k}.png", camera, (image * 255).round().to(torch.uint8))
        for k, (camera, image) in enumerate(zip(cameras, images, strict=True))
    ]
    capture = Capture("blobs", tuple(views[2:]), tuple(views[:2]), None, (0.0, 0.0, 0.0))
    config = CompressionConfig(fine_tuning=FineTuningConfig(steps=600))
    result = compress(scene, capture, tmp_path / "out.sog", config, codec=SogCodec(palette_size=32))
    found = report(result, capture, lpips=None)
    assert found.original.psnr > 45
    assert found.plain.psnr < 35
    assert found.compressed.psnr > found.plain.psnr + 0.7


def shown_with_harmonics(count: int = 400) -> tuple[Gaussians, Capture]:
    """A scene whose colours depend on the direction, and photos of it, as noisy as to be 30 dB from it."""
    scene = replace(blobs(count), shN=0.2 * torch.randn(count, 8, 3, generator=torch.Generator().manual_seed(1)))
    noise = torch.Generator().manual_seed(2)
    images = [render(scene, camera).image for camera in ring_of_cameras(8)]
    images = [(image + 0.03 * torch.randn(image.shape, generator=noise)).clamp(0, 1) for image in images]
    views = [
        View(f"{k}.png", camera, (255 * image).round().byte())
        for k, (camera, image) in enumerate(zip(ring_of_cameras(8), images, strict=True))
    ]
    return scene, Capture("blobs", tuple(views), (), None, (0.0, 0.0, 0.0))


def test_a_loss_that_is_allowed_makes_files_smaller_and_is_kept_to(tmp_path: Path) -> None:
    """The photos are of the very scene, so that harmonics have all to lose."""
    scene, capture = shown_with_harmonics()
    before = evaluate(scene, capture, lpips=None, fps=False, split="train").psnr
    config = CompressionConfig(fine_tuning=FineTuningConfig(steps=0))
    for suffix, codec in ((".sog", SogCodec), (".spz", SpzCodec)):
        sizes = []
        for allowed in (0.0, 1.0, 3.0):
            path, run = tmp_path / f"{allowed}{suffix}", tmp_path / f"{allowed}-run{suffix}"
            result = compress(scene, capture, path, config, run, codec=codec(sh_loss=allowed))
            lost = before - evaluate(result.gaussians, capture, lpips=None, fps=False, split="train").psnr
            assert lost < allowed + 0.4, (suffix, allowed)  # and what all else is rounded to
            sizes.append(result.bytes)
        assert sizes[0] > sizes[1] > sizes[2], suffix
        events = open_run(tmp_path / f"1.0-run{suffix}").events()
        assert any("palette_size" in event or "sh_steps" in event for event in events)


@pytest.mark.parametrize("suffix", [".sog", ".spz", ".compressed.ply"])
def test_fine_tuning_that_does_harm_is_not_written(
    tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture
) -> None:
    scene, capture = shown_with_harmonics()
    harmful = FineTuningConfig(steps=3, position_rate=0.1, final_rate=1)
    path = tmp_path / f"out{suffix}"
    result = compress(scene, capture, path, CompressionConfig(fine_tuning=harmful), tmp_path / "run")
    assert result.written == "plain"
    assert path.read_bytes() == (tmp_path / "run" / f"plain{suffix}").read_bytes()
    assert_same_bits(result.gaussians, formats.read(path))
    assert result.bytes == path.stat().st_size
    assert len([record for record in caplog.records if "dB of PSNR below merely encoding" in record.message]) == 1
    caplog.clear()
    helpful = CompressionConfig(fine_tuning=FineTuningConfig(steps=60))
    result = compress(scene, capture, path, helpful, overwrite=True)
    assert result.written == "fine-tuned"
    assert path.read_bytes() != (tmp_path / "run" / f"plain{suffix}").read_bytes()
    assert not [record for record in caplog.records if "only encoded" in record.message]


@pytest.mark.parametrize("suffix", [".sog", ".spz"])
def test_however_few_the_steps_a_file_is_no_worse_than_merely_encoding_and_no_larger(
    tmp_path: Path, suffix: str
) -> None:
    scene, capture = shown_with_harmonics()
    encoded = compress(scene, None, tmp_path / f"encoded{suffix}")
    least = evaluate(encoded.gaussians, capture, lpips=None, fps=False, split="train").psnr
    for steps in (0, 10, 60):
        config = CompressionConfig(fine_tuning=FineTuningConfig(steps=steps))
        result = compress(scene, capture, tmp_path / f"{steps}{suffix}", config)
        reached = evaluate(result.gaussians, capture, lpips=None, fps=False, split="train").psnr
        assert reached > least - 0.05, steps
        assert result.plain_bytes <= 1.1 * encoded.bytes, steps  # other weights for what shows give other codes


def test_harmonics_may_cost_more_the_longer_they_are_tuned(tmp_path: Path) -> None:
    scene, capture = shown_with_harmonics()
    sizes = {}
    for kind in (SogCodec, SpzCodec):
        for steps in (0, 1000, 5000):
            config = CompressionConfig(fine_tuning=FineTuningConfig(steps=steps))
            ready = kind().prepare(subject(scene, capture, config, None))
            path = tmp_path / f"{steps}{kind.suffix}"
            ready.quantiser.write(ready.quantiser.begin(ready.gaussians), path)
            sizes[kind, steps] = path.stat().st_size
        assert sizes[kind, 0] >= sizes[kind, 1000] > sizes[kind, 5000]


def test_a_compression_that_was_killed_and_resumed_gives_the_same_file(trained: Path, tmp_path: Path) -> None:
    class KilledError(Exception):
        pass

    def kill(step: int, total: int, values: dict) -> None:
        if step == 10 and total == SHORT.fine_tuning.steps:
            raise KilledError

    compress(trained, CAPTURE, tmp_path / "whole.npz", SHORT, tmp_path / "whole", codec=TABLES)
    with pytest.raises(KilledError):
        compress(trained, CAPTURE, tmp_path / "killed.npz", SHORT, tmp_path / "killed", codec=TABLES, progress=kill)
    assert not (tmp_path / "killed.npz").exists()
    assert open_run(tmp_path / "killed").checkpoints()
    resumed = compress(trained, CAPTURE, tmp_path / "killed.npz", SHORT, tmp_path / "killed", resume=True)
    assert resumed.codec == TABLES
    assert (tmp_path / "killed.npz").read_bytes() == (tmp_path / "whole.npz").read_bytes()
    events = [event["event"] for event in open_run(tmp_path / "killed").events()]
    assert events.count("prepared") == 1
    assert events[-1] == "finished"
    other = replace(SHORT, drop_unseen=True)
    for config, codec, changed in ((other, TABLES, "drop_unseen"), (SHORT, NpzCodec(), "colors.steps, .*shapes.size")):
        with pytest.raises(RunError, match=rf"other settings \({changed}\)"):
            compress(trained, CAPTURE, tmp_path / "again.npz", config, tmp_path / "killed", codec=codec, resume=True)


def test_the_log_tells_what_was_shared_and_dropped(trained: Path, tmp_path: Path) -> None:
    scene = formats.read(trained)
    hidden = replace(scene[:7], means=scene.means[:7] + torch.tensor([0.0, 0.0, 500.0]))
    config = replace(SHORT, drop_unseen=True)
    both, path = concatenate([scene, hidden]), tmp_path / "out.npz"
    result = compress(both, CAPTURE, path, config, tmp_path / "run", codec=TABLES)
    (event,) = [event for event in open_run(tmp_path / "run").events() if event["event"] == "prepared"]
    assert event["dropped"] >= 7
    assert event["gaussians"] == len(result.gaussians) == len(scene) + 7 - event["dropped"]
    assert event["colors"]["shared"] == event["shapes"]["shared"] == 8
    assert event["colors"]["own"] < event["gaussians"]


def test_what_cannot_be_compressed_is_refused_before_any_work(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "there.npz").write_bytes(b"")
    refused = (
        ("out.splat", "ends in none of"),
        ("meta.json", "ends in none of"),
        ("out.ply", r"ends in none .* give one of \.compressed\.ply, \.npz, \.sog, \.spz"),
        ("there.npz", "already exists"),
        ("nowhere/out.sog", "folder does not exist"),
    )
    for name, words in refused:
        for capture in (CAPTURE, None):
            with pytest.raises(InputError, match=words):
                compress(trained, capture, tmp_path / name, SHORT)
    with pytest.raises(InputError, match=r"out.spz does not end in \.sog"):
        compress(trained, CAPTURE, tmp_path / "out.spz", SHORT, codec=SogCodec())
    with pytest.raises(CaptureError, match="no training views"):
        compress(trained, replace(CAPTURE, train=()), tmp_path / "out.npz", SHORT)
    with pytest.raises(RunError, match="no run folder to resume"):
        compress(trained, CAPTURE, tmp_path / "out.npz", SHORT, resume=True)
    with pytest.raises(InputError, match="would be lost"):
        compress(trained, CAPTURE, tmp_path / "out.npz", SHORT, trained, overwrite=True)
    far: Gaussians = formats.read(trained)
    far = replace(far, means=far.means + 1e6)
    with pytest.raises(InputError, match="no training view"):
        compress(far, CAPTURE, tmp_path / "out.npz", replace(SHORT, drop_unseen=True))
    with pytest.raises(InputError, match="need the views of a capture"):
        compress(trained, None, tmp_path / "out.npz", replace(SHORT, drop_unseen=True))
    assert not (tmp_path / "out.npz").exists()


def test_the_scene_itself_is_never_overwritten(trained: Path, tmp_path: Path) -> None:
    compress(trained, None, tmp_path / "scene.spz")
    before = (tmp_path / "scene.spz").read_bytes()
    for capture in (CAPTURE, None):
        with pytest.raises(InputError, match="the scene itself"):
            compress(tmp_path / "scene.spz", capture, tmp_path / "scene.spz", SHORT, overwrite=True)
    assert (tmp_path / "scene.spz").read_bytes() == before


@pytest.mark.parametrize("suffix", [".sog", ".spz", ".compressed.ply"])
def test_a_compression_through_an_open_format_resumes_to_the_same_file(
    trained: Path, tmp_path: Path, suffix: str
) -> None:
    class KilledError(Exception):
        pass

    def kill(step: int, total: int, values: dict) -> None:
        if step == 10:
            raise KilledError

    whole = compress(trained, CAPTURE, tmp_path / f"whole{suffix}", SHORT, tmp_path / "whole")
    killed = tmp_path / f"killed{suffix}"
    with pytest.raises(KilledError):
        compress(trained, CAPTURE, killed, SHORT, tmp_path / "killed", progress=kill)
    assert not killed.exists()
    resumed = compress(trained, CAPTURE, killed, SHORT, tmp_path / "killed", resume=True)
    assert killed.read_bytes() == whole.path.read_bytes()
    assert_same_bits(resumed.gaussians, formats.read(killed))
    assert_same_bits(resumed.plain, whole.plain)
    assert resumed.plain_bytes == (tmp_path / "killed" / f"plain{suffix}").stat().st_size
    other = ".spz" if suffix != ".spz" else ".sog"
    with pytest.raises(RunError, match="another kind of file"):
        compress(trained, CAPTURE, tmp_path / f"other{other}", SHORT, tmp_path / "killed", resume=True)


def test_without_a_capture_a_scene_is_encoded_as_convert_does(trained: Path, tmp_path: Path) -> None:
    for suffix in (".sog", ".spz", ".compressed.ply", ".npz"):
        result = compress(trained, None, tmp_path / f"out{suffix}", CompressionConfig(sh_degree=0))
        formats.write(formats.read(trained).with_sh_degree(0), tmp_path / f"converted{suffix}")
        assert result.path.read_bytes() == (tmp_path / f"converted{suffix}").read_bytes()
        assert result.plain is result.gaussians
    small = compress(trained, None, tmp_path / "small.sog", codec=SogCodec(palette_size=4))
    assert len(small.gaussians.shN.flatten(1).unique(dim=0)) <= 4


def test_a_run_of_an_earlier_version_is_resumed_to_the_same_file(trained: Path, tmp_path: Path) -> None:
    """It has the options of all codecs among the settings of compression, and no other word of its codec."""

    class KilledError(Exception):
        pass

    def kill(step: int, total: int, values: dict) -> None:
        if step == 10 and total == SHORT.fine_tuning.steps:
            raise KilledError

    sog, spz = SogCodec(sh_loss=0.5, palette_size=70), SpzCodec(sh_loss=0.5)
    for codec in (TABLES, sog, spz):
        whole, killed, run = (tmp_path / f"{name}{codec.suffix}" for name in ("whole", "killed", "run"))
        compress(trained, CAPTURE, whole, SHORT, codec=codec)
        with pytest.raises(KilledError):
            compress(trained, CAPTURE, killed, SHORT, run, codec=codec, progress=kill)
        config = json.loads((run / "config.json").read_text())
        assert config["settings"].pop("codec") == json.loads(json.dumps(codec.to_json()))
        together = {**TABLES.to_json(), **sog.to_json()}
        del together["suffix"]
        assert set(together) == {"colors", "shapes", "sh_loss", "palette_size"}
        config["settings"]["compression"] |= together
        (run / "config.json").write_text(json.dumps(config))
        with pytest.raises(RunError, match="other settings"):
            compress(trained, CAPTURE, killed, SHORT, run, codec=type(codec)(), resume=True)
        compress(trained, CAPTURE, killed, SHORT, run, codec=codec, resume=True)
        assert killed.read_bytes() == whole.read_bytes(), codec.suffix


@pytest.mark.parametrize("suffix", [".sog", ".spz", ".compressed.ply", ".npz"])
def test_a_report_says_where_the_bytes_are_and_what_was_lost(trained: Path, tmp_path: Path, suffix: str) -> None:
    result = compress(trained, CAPTURE, tmp_path / f"out{suffix}", SHORT)
    found = report(result, CAPTURE, lpips=None)
    if suffix == ".spz":  # parts are estimates
        assert sum(found.parts.values()) == pytest.approx(found.bytes, rel=0.1)
    else:
        assert sum(found.parts.values()) == found.bytes == result.path.stat().st_size
    assert all(size >= 0 for size in found.parts.values())
    scene = formats.read(trained)
    assert found.ply_bytes == pytest.approx((trained / "scene.ply").stat().st_size, abs=5000)
    for part, gaussians in (("original", scene), ("plain", result.plain), ("compressed", formats.read(result.path))):
        expected = evaluate(gaussians, CAPTURE, lpips=None, fps=False).psnr
        assert getattr(found, part).psnr == pytest.approx(expected, abs=1e-4), part
    losses = {
        before.name: before.psnr - after.psnr
        for before, after in zip(found.original.views, found.compressed.views, strict=True)
    }
    assert [view.name for view in found.worst] == sorted(losses, key=lambda name: -losses[name])[:3]
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))["ratio"] == found.ply_bytes / found.bytes


def test_settings_survive_json_and_unknown_ones_are_named() -> None:
    assert CompressionConfig.from_json(json.loads(json.dumps(SHORT.to_json()))) == SHORT
    assert CompressionConfig.from_json({}) == CompressionConfig()
    with pytest.raises(InputError, match="degree"):
        CompressionConfig.from_json({"degree": 1})
    with pytest.raises(InputError, match="sh_degree is 4"):
        CompressionConfig(sh_degree=4)


@pytest.mark.parametrize("settings", [{"steps": 0}, {"batch": 0}, {"size": 0}, {"decay": 1.0}, {"keep_above": -1.0}])
def test_settings_out_of_range_are_refused_by_name(settings: dict) -> None:
    with pytest.raises(InputError, match=next(iter(settings))):
        TableConfig(**{"steps": 1, "batch": 1, "keep_above": 0.0, **settings})
