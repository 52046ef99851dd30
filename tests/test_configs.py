"""Settings from JSON and scripts: what is of the wrong type is told in a sentence, and what is right comes back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pytest

from leansplat.compression import CompressionConfig, FineTuningConfig, NpzCodec, SpzCodec
from leansplat.compression.config import TableConfig
from leansplat.configs import Config
from leansplat.errors import InputError
from leansplat.paper.jobs import Job
from leansplat.paper.sources import Source
from leansplat.pruning import TrimmingConfig
from leansplat.training import TrainingConfig

TABLE = TableConfig(steps=3, batch=16, keep_above=0.5)
JOB = Job("fox", "gradient-0.45", "trim", {"gamma": 0.45}, "fox/base-s1", 1)
CONFIGS = [
    TrainingConfig(iterations=70, antialiased=True),
    TrimmingConfig(keep=0.25, rounds=3),
    FineTuningConfig(steps=0),
    TABLE,
    CompressionConfig(sh_degree=2, drop_unseen=True),
    NpzCodec(colors=TABLE),
    SpzCodec(sh_bits=(3, 2), version=4),
    Source("fox", "photos/fox", 4),
]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: type(config).__name__)
def test_settings_come_back_from_json_as_they_were(config: Config) -> None:
    found = type(config).from_json(json.loads(json.dumps(config.to_json())))
    assert found == config
    assert found.to_json() == config.to_json()


@pytest.mark.parametrize(
    ("kind", "settings", "sentence"),
    [
        (TrimmingConfig, {"rounds": "ten"}, "setting rounds is 'ten'; give a whole number"),
        (TrimmingConfig, {"rounds": None}, "setting rounds is None; give a whole number"),
        (TrimmingConfig, {"rounds": True}, "setting rounds is True; give a whole number"),
        (TrimmingConfig, {"rounds": 3.0}, "setting rounds is 3.0; give a whole number"),
        (TrimmingConfig, {"keep": "25%"}, "setting keep is '25%'; give a finite number or nothing"),
        (TrimmingConfig, {"keep": float("nan")}, "setting keep is nan; give a finite number or nothing"),
        (TrimmingConfig, {"control": 1}, "setting control is 1; give true or false"),
        (TrimmingConfig, {"unseen": "drop"}, "setting unseen is 'drop'; give one of opacity, keep, prune"),
        (TrimmingConfig, {"criterion": ["gradient"]}, "setting criterion is ['gradient']; give text"),
        (TrimmingConfig, {"round": 3}, "there is no setting round in TrimmingConfig; check its spelling or remove it"),
        (TrimmingConfig, [3], "settings are [3]; give the settings of TrimmingConfig by name"),
        (TrainingConfig, {"iterations": "many"}, "setting iterations is 'many'; give a whole number"),
        (TrainingConfig, {"antialiased": 0}, "setting antialiased is 0; give true or false"),
        (TrainingConfig, {"ssim_weight": float("inf")}, "setting ssim_weight is inf; give a finite number"),
        (TrainingConfig, {"ssim_weight": 10**400}, "setting ssim_weight is 1000000000"),
        (TrainingConfig, {"ssim_weight": False}, "setting ssim_weight is False; give a finite number"),
        (TrainingConfig, {"seed": "lucky"}, "setting seed is 'lucky'; give a whole number"),
        (FineTuningConfig, {"steps": {}}, "setting steps is {}; give a whole number"),
        (TableConfig, {"steps": 1, "batch": 1}, "setting keep_above is missing; give a finite number"),
        (CompressionConfig, {"sh_degree": "2"}, "setting sh_degree is '2'; give a whole number or nothing"),
        (NpzCodec, {"colors": 3}, "setting colors is 3; give the settings of TableConfig by name"),
        (NpzCodec, {"shapes": None}, "setting shapes is None; give the settings of TableConfig by name"),
        (
            NpzCodec,
            {"colors": {**TABLE.to_json(), "batch": None}},
            "setting colors.batch is None; give a whole",
        ),
        (NpzCodec, {"colors": {"steps": 3}}, "setting colors.batch is missing; give a whole number"),
        (CompressionConfig, {"fine_tuning": {"stepz": 3}}, "there is no setting fine_tuning.stepz in FineTuningConfig"),
        (CompressionConfig, {"fine_tuning": {"final_rate": "low"}}, "final_rate is 'low'; give a finite number"),
        (Source, {"name": "fox", "folder": 3}, "setting folder is 3; give text"),
        (Job, {"capture": "fox"}, "setting variant is missing; give text"),
        (Job, {**JOB.to_json(), "settings": []}, "there is no setting name in Job"),
    ],
)
def test_a_wrong_setting_is_one_sentence_that_names_it(kind: type[Config], settings: Any, sentence: str) -> None:
    with pytest.raises(InputError) as caught:
        kind.from_json(settings)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


def test_a_wrong_type_is_refused_from_a_script_as_from_json() -> None:
    with pytest.raises(InputError, match="setting rounds is 'ten'; give a whole number"):
        TrimmingConfig(keep=0.5, rounds="ten")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="setting colors is None"):
        NpzCodec(colors=None)  # type: ignore[arg-type]


def test_a_whole_number_does_where_any_number_is_wanted() -> None:
    found = TrainingConfig.from_json({"sh0_rate": 1})
    assert type(found.sh0_rate) is float
    assert TrimmingConfig(keep=1).keep == 1


@dataclass(frozen=True)
class Inner(Config):
    size: int = 3


@dataclass(frozen=True)
class Outer(Config):
    """Every kind of setting there is."""

    names: tuple[str, ...] = ("a",)
    pair: tuple[int, int] = (5, 4)
    inner: Inner | None = None
    several: tuple[Inner, ...] = ()
    mode: Literal["on", 3] = "on"
    either: int | str = 0
    anything: Mapping[str, Any] | None = None


def test_settings_of_every_kind_come_back_from_json() -> None:
    config = Outer(("b", "c"), (1, 2), Inner(4), (Inner(5), Inner(6)), 3, "x", {"deep": [1]})
    assert Outer.from_json(json.loads(json.dumps(config.to_json()))) == config
    assert Outer.from_json({"inner": None}) == Outer()


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"names": "abc"}, "setting names is 'abc'; give a list, each text"),
        ({"names": ["a", 3]}, r"setting names\[1\] is 3; give text"),
        ({"pair": [1, 2, 3]}, r"setting pair is \(1, 2, 3\); give a list, each a whole number"),
        ({"inner": {"size": 0.5}}, "setting inner.size is 0.5; give a whole number"),
        ({"several": [{}, {"size": "x"}]}, r"setting several\[1\].size is 'x'; give a whole number"),
        ({"mode": True}, "setting mode is True; give one of on, 3"),
        ({"either": 0.5}, "setting either is 0.5; give a whole number or text"),
        ({"anything": 3}, "setting anything is 3; give an object or nothing"),
    ],
)
def test_what_is_wrong_inside_another_setting_is_named_by_its_place(settings: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        Outer.from_json(settings)
