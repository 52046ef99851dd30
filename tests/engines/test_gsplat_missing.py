"""Where a card, or something that gsplat needs, is not there: a sentence says what, before anything is read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from leansplat import engines
from leansplat.cli import main
from leansplat.commands.options import engine_on
from leansplat.engines.torch import gsplat
from leansplat.errors import InputError


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
