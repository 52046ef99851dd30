"""`leansplat doctor`: it finds engines that work, those that are not here, and what is wrong with one that is."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from typing import Any

import pytest
import torch
from support.gsplat_stand_in import in_place_of_gsplat

from leansplat import engines
from leansplat.cli import main
from leansplat.doctor import Checks, Diagnosis, Finding, diagnose
from leansplat.engines.torch import gsplat
from leansplat.engines.torch.rasterizer import Rasterised

QUICK = Checks(steps=4, sizes=((100, 32),))


def examined(rasterise: Any = None) -> Diagnosis:
    """Of the engine gsplat on the CPU, with a rasteriser in place of its own."""
    with in_place_of_gsplat(), pytest.MonkeyPatch.context() as patch:
        if rasterise is not None:
            patch.setattr(engines.known("gsplat"), "_rasterise", rasterise)
        return diagnose(QUICK, ("cpu", "gsplat"))


def test_an_engine_that_works_is_fine_in_everything() -> None:
    diagnosis = examined()
    assert diagnosis.problems == []
    cpu, card = diagnosis.engines
    assert cpu.findings == ()
    assert len(card.findings) > 20
    assert all(0 <= finding.found <= finding.most for finding in card.findings)
    assert list(card.seconds or {}) == ["100 Gaussians at 32x32"]
    assert diagnosis.to_json()["ok"] is True


def test_colours_that_are_swapped_are_found_in_the_picture_and_in_the_training() -> None:
    drawn = gsplat.GsplatRasteriser()

    def swapped(*arguments: Any) -> Rasterised:
        found = drawn(*arguments)
        return found._replace(image=found.image.flip(-1))

    diagnosis = examined(swapped)
    assert any("picture, mean difference" in problem for problem in diagnosis.problems)
    assert any("gradient of sh0" in problem for problem in diagnosis.problems)
    assert json.loads(diagnosis.block().removeprefix("```json").removesuffix("```"))["ok"] is False


def test_statistics_that_are_wrong_are_found_where_the_picture_is_right() -> None:
    drawn = gsplat.GsplatRasteriser()

    def doubled(*arguments: Any) -> Rasterised:
        found = drawn(*arguments)
        return found._replace(radii=2 * found.radii)

    assert [problem.split(" is off")[0] for problem in examined(doubled).problems] == ["gsplat: extents on the image"]


def test_an_engine_that_fails_is_broken_and_the_others_are_examined() -> None:
    def failing(*_: Any) -> Rasterised:
        raise RuntimeError("no kernel image is available for execution on the device")

    diagnosis = examined(failing)
    assert diagnosis.problems == ["gsplat: RuntimeError: no kernel image is available for execution on the device"]
    assert diagnosis.engines[0].seconds


def test_what_is_no_number_is_wrong() -> None:
    assert not Finding("picture", math.nan, 1.0).fine


def test_an_engine_that_is_not_here_is_nothing_wrong(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gsplat, "missing", lambda: ["a card"])
    monkeypatch.setattr("leansplat.doctor.diagnosis.Checks", lambda: QUICK)
    monkeypatch.setattr(engines, "ENGINES", {name: engines.ENGINES[name] for name in ("cpu", "gsplat")})
    assert main(["doctor"]) == 0
    said = capsys.readouterr().out
    assert "engine gsplat: not here: the engine gsplat (--device cuda) needs a card" in said
    assert said.rstrip().endswith("OK")
    assert torch.__version__ in said


def test_for_machines_it_is_json_and_a_failure_is_the_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    diagnosis = examined(lambda *_: None)
    monkeypatch.setattr("leansplat.doctor.diagnose", lambda progress: diagnosis)
    assert main(["doctor"]) == 1
    said = capsys.readouterr()
    assert "BROKEN: AttributeError" in said.out
    assert said.out.rstrip().endswith("```")
    assert "1 thing is wrong; please open an issue with the block above" in said.err
    assert main(["doctor", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["ok"] is False
    assert told["engines"][1]["broken"].startswith("AttributeError")
    assert {"torch", "gsplat", "threads", "nvcc", "card"} <= set(told["machine"])


def test_the_module_is_the_command_line() -> None:
    told = subprocess.run(
        [sys.executable, "-m", "leansplat", "doctor", "--help"], capture_output=True, text=True, check=True
    )
    assert "Check this installation" in told.stdout
