"""What a scene can be shrunk to, and which wishes exclude each other."""

from __future__ import annotations

import pytest

from leansplat.errors import InputError
from leansplat.shrinking.targets import PRESETS, Target, preset


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"size": 0}, "size is 0"),
        ({"count": 0}, "count is 0"),
        ({"keep": 0.0}, "keep is 0.0"),
        ({"keep": 1.5}, "keep is 1.5"),
        ({"max_drop": 0.0}, "max_drop is 0.0"),
        ({"max_lpips_rise": -0.1}, "max_lpips_rise is -0.1"),
        ({"size": 10, "keep": 0.5}, "size and keep exclude"),
        ({"count": 10, "max_drop": 0.5}, "count and max_drop exclude"),
        ({"size": "10MB"}, "size"),
    ],
)
def test_a_target_that_makes_no_sense_is_one_sentence(settings: dict, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        Target(**settings)
    assert "\n" not in str(caught.value)


def test_targets_of_quality_are_those_without_a_size_or_count() -> None:
    assert Target().of_quality
    assert Target(max_drop=0.1, max_lpips_rise=0.01).of_quality
    assert not any(Target(**settings).of_quality for settings in ({"size": 9}, {"count": 9}, {"keep": 0.5}))


def test_a_share_is_rounded_and_a_count_is_never_more_than_there_are() -> None:
    assert Target(keep=0.25).count_of(10) == 2
    assert Target(keep=0.001).count_of(10) == 1
    assert Target(count=30).count_of(10) == 10
    assert Target(size=100).count_of(10) is None


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_targets_that_say_what_they_are(name: str) -> None:
    target = preset(name)
    assert target.to_json() | PRESETS[name] == target.to_json()
    assert any(character.isdigit() for character in target.described())


def test_an_unknown_preset_is_told_which_there_are() -> None:
    with pytest.raises(InputError, match="web, phone, quest"):
        preset("fridge")
