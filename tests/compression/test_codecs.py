"""Codecs: the registry, options as JSON, and one of one's own, which is the example in CONTRIBUTING.md."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from support.scene_comparison import assert_same_bits
from support.tiny import blobs, tiny_capture

from leansplat import formats
from leansplat.compression import (
    CODECS,
    Codec,
    CompressionConfig,
    FineTuningConfig,
    NpzCodec,
    SogCodec,
    SpzCodec,
    codec_of,
    compress,
    report,
)
from leansplat.compression.config import TableConfig
from leansplat.compression.preparation import subject
from leansplat.errors import InputError, RunError
from leansplat.formats import FORMATS, SpzOptions
from leansplat.gaussians import TENSOR_NAMES, Gaussians

CAPTURE = tiny_capture()
CONTRIBUTING = Path(__file__).parents[2] / "CONTRIBUTING.md"
NAMES = """
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar
import numpy as np
from leansplat import formats
from leansplat.compression import Codec, codec
from leansplat.compression.format_quantiser import FileQuantiser, RowQuantiser
from leansplat.formats import PLY
from leansplat.arrays import TENSOR_NAMES, AnyScene, GaussianArrays
"""


def config(steps: int) -> CompressionConfig:
    return CompressionConfig(fine_tuning=FineTuningConfig(steps=steps, checkpoint_every=4))


@pytest.fixture(autouse=True)
def codecs_as_before() -> Iterator[None]:
    before = dict(CODECS)
    yield
    CODECS.clear()
    CODECS.update(before)


@pytest.fixture
def rounded_ply() -> Any:
    """The class of the example, which lists itself."""
    blocks = re.findall(r"```python\n(.*?)```", CONTRIBUTING.read_text(encoding="utf-8"), re.DOTALL)
    (example,) = [block for block in blocks if "@codec" in block]
    names: dict[str, Any] = {}
    exec(compile(NAMES + example, CONTRIBUTING.name, "exec", dont_inherit=True), names)
    return names["RoundedPly"]


def off_grid(gaussians: Gaussians, step: float) -> float:
    """How far the worst number besides the centres is from a multiple of a step, in steps."""
    values = [getattr(gaussians, name).flatten() / step for name in TENSOR_NAMES if name != "means"]
    return float((torch.cat(values) - torch.cat(values).round()).abs().max())


def test_the_example_is_trained_written_and_read_back(rounded_ply: Any, tmp_path: Path) -> None:
    path = tmp_path / "scene.rounded.ply"
    result = compress(blobs(), CAPTURE, path, config(60), tmp_path / "run", codec=rounded_ply(step=0.5))
    assert_same_bits(result.gaussians, formats.read(path))
    assert off_grid(blobs(), 0.5) > 0.3
    assert off_grid(result.gaussians, 0.5) == off_grid(result.plain, 0.5) == 0
    found = report(result, CAPTURE, lpips=None)
    assert found.parts == {"file": path.stat().st_size}
    assert found.compressed is not None
    assert found.plain is not None
    assert found.compressed.psnr > found.plain.psnr + 0.5
    recorded = json.loads((tmp_path / "run" / "config.json").read_text())["settings"]["codec"]
    assert recorded == {"suffix": ".rounded.ply", "step": 0.5}


def test_the_example_is_chosen_by_its_suffix_once_it_is_listed(rounded_ply: Any, tmp_path: Path) -> None:
    for name, capture in (("encoded", None), ("trained", CAPTURE)):
        result = compress(blobs(), capture, tmp_path / f"{name}.rounded.ply", config(2))
        assert result.codec == rounded_ply()
        assert off_grid(result.gaussians, 0.02) < 1e-3
    del CODECS[".rounded.ply"]
    with pytest.raises(InputError, match=r"ends in none of"):
        compress(blobs(), None, tmp_path / "other.rounded.ply")


def test_a_codec_that_is_not_listed_resumes_and_is_held_to_its_options(rounded_ply: Any, tmp_path: Path) -> None:
    class KilledError(Exception):
        pass

    def kill(step: int, total: int, values: dict) -> None:
        if step == 10:
            raise KilledError

    del CODECS[".rounded.ply"]
    whole, path, run = tmp_path / "whole.rounded.ply", tmp_path / "killed.rounded.ply", tmp_path / "run"
    compress(blobs(), CAPTURE, whole, config(12), codec=rounded_ply(step=0.1))
    with pytest.raises(KilledError):
        compress(blobs(), CAPTURE, path, config(12), run, codec=rounded_ply(step=0.1), progress=kill)
    with pytest.raises(RunError, match=r"other settings \(step\)"):
        compress(blobs(), CAPTURE, path, config(12), run, codec=rounded_ply(), resume=True)
    compress(blobs(), CAPTURE, path, config(12), run, codec=rounded_ply(step=0.1), resume=True)
    assert path.read_bytes() == whole.read_bytes()


def test_a_codec_whose_files_nothing_reads_is_refused_before_training(rounded_ply: Any, tmp_path: Path) -> None:
    class Unread(rounded_ply):
        suffix = ".unread"

    with pytest.raises(InputError, match="does not end in the suffix of a known format"):
        compress(blobs(), CAPTURE, tmp_path / "scene.unread", config(1), tmp_path / "run", codec=Unread())
    assert not any(tmp_path.iterdir())


def test_the_longest_suffix_names_the_codec(rounded_ply: Any) -> None:
    for suffix, kind in CODECS.items():
        assert codec_of(f"folder.spz/A{suffix.upper()}") is kind
    for name in ("scene.ply", "meta.json", "sog", "scene.sog.zip"):
        with pytest.raises(InputError, match=r"ends in none .*give one of \.compressed\.ply, \.npz, \.sog, \.spz"):
            codec_of(name)


def test_every_codec_writes_a_format_of_its_suffix() -> None:
    known = {suffix for each in FORMATS for suffix in each.suffixes}
    assert set(CODECS) <= known
    assert all(kind.suffix == suffix for suffix, kind in CODECS.items())


TABLE = TableConfig(steps=1, batch=2, keep_above=0.5, size=3, decay=0.25)


@pytest.mark.parametrize(
    "codec",
    [
        *(kind() for kind in CODECS.values()),
        NpzCodec(TABLE, TABLE),
        SogCodec(sh_loss=0.0, palette_size=7),
        SpzCodec(sh_loss=2.0, sh_bits=(8, 1), version=4),
        SpzCodec(sh_octaves=-1.5),
    ],
)
def test_options_survive_json_and_unknown_ones_are_named(codec: Codec) -> None:
    stored = json.loads(json.dumps(codec.to_json()))
    assert stored["suffix"] == codec.suffix
    assert type(codec).from_json(stored) == codec
    assert type(codec).from_json(stored).to_json() == codec.to_json()
    assert type(codec).from_json({}) == type(codec)()
    with pytest.raises(InputError, match=f"there is no setting colours in {type(codec).__name__}"):
        type(codec).from_json({"colours": 1})
    with pytest.raises(InputError, match=r"settings for \.other do not fit"):
        type(codec).from_json({"suffix": ".other"})


def test_unknown_settings_of_tables_are_named() -> None:
    with pytest.raises(InputError, match="sizes"):
        NpzCodec.from_json({"colors": {"steps": 1, "batch": 1, "keep_above": 0, "sizes": 3}})


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (SogCodec, {"palette_size": 0}),
        (SogCodec, {"palette_size": 65_537}),
        (SogCodec, {"sh_loss": -1.0}),
        (SpzCodec, {"sh_loss": float("inf")}),
        (SpzCodec, {"version": 2}),
        (SpzCodec, {"sh_octaves": 9.0}),
        (SpzCodec, {"sh_octaves": -9.0}),
        (SpzCodec, {"sh_bits": "5 4"}),
    ],
)
def test_options_out_of_range_are_refused_by_name(kind: Any, options: dict) -> None:
    with pytest.raises(InputError, match=f"setting {next(iter(options))} is"):
        kind(**options)


def test_an_spz_has_the_bits_and_the_version_that_are_asked_for(tmp_path: Path) -> None:
    """With photos, too, where each Gaussian would get as many bits as it shows."""
    random = torch.Generator().manual_seed(1)
    scene = replace(blobs(), shN=0.5 * torch.randn(60, 3, 3, generator=random))
    codec = SpzCodec(sh_bits=(2, 2), version=4)
    for name, capture in (("encoded", None), ("trained", CAPTURE)):
        result = compress(scene, capture, tmp_path / f"{name}.spz", config(3), codec=codec)
        assert result.path.read_bytes().startswith(b"NGSP")
        assert 2 < len(result.gaussians.shN.unique()) <= 5
    formats.write(scene, tmp_path / "converted.spz", options=SpzOptions(version=4, sh_bits=(2, 2)))
    assert (tmp_path / "encoded.spz").read_bytes() == (tmp_path / "converted.spz").read_bytes()
    with pytest.raises(InputError, match="1 to 8 bits"):
        SpzCodec(sh_bits=(0, 9))


def test_nothing_is_asked_of_the_photos_that_a_codec_does_not_need(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    compress(blobs(), CAPTURE, tmp_path / "a.compressed.ply", config(0), progress=lambda *done: told.append(done[:2]))
    assert told == []
    compress(blobs(), CAPTURE, tmp_path / "a.npz", config(0), progress=lambda *done: told.append(done[:2]))
    assert (len(CAPTURE.train), len(CAPTURE.train)) in told


def test_grades_go_from_the_smallest_file_to_the_largest(tmp_path: Path) -> None:
    """Each is a codec of its own, which is what it is when it is named."""
    random = torch.Generator().manual_seed(1)
    scene = replace(blobs(600), shN=0.5 * torch.randn(600, 8, 3, generator=random))
    for kind in (SogCodec, SpzCodec):
        grades = kind().grades(600)
        assert len(grades) > 4
        sizes = []
        for grade in grades[:: len(grades) // 4]:
            ready = grade.prepare(subject(scene, CAPTURE, config(0), None))
            path = tmp_path / f"{len(sizes)}{kind.suffix}"
            ready.quantiser.write(ready.quantiser.begin(ready.gaussians), path)
            sizes.append(path.stat().st_size)
            assert grade.grades(600) == (grade,)
        assert sizes == sorted(sizes)
        assert sizes[-1] > 1.5 * sizes[0]
    assert all(len(kind().grades(600)) == 1 for kind in CODECS.values() if kind not in (SogCodec, SpzCodec))
