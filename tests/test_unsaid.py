"""What is logged in vain is kept from being said, by whoever asks for it last."""

from __future__ import annotations

import logging

import pytest

from leansplat.unsaid import unsaid

LOG = logging.getLogger("leansplat")


def test_what_is_logged_inside_is_kept_and_what_comes_after_is_said(caplog: pytest.LogCaptureFixture) -> None:
    with unsaid() as said:
        LOG.warning("%s is in vain", "this")
    LOG.warning("heard")
    assert [record.getMessage() for record in said] == ["this is in vain"]
    assert caplog.messages == ["heard"]


def test_of_a_block_within_a_block_the_inner_one_keeps_it(caplog: pytest.LogCaptureFixture) -> None:
    with unsaid() as outer:
        with unsaid():
            LOG.warning("of nobody's business")
        LOG.warning("of a file that may be chosen")
    assert [record.getMessage() for record in outer] == ["of a file that may be chosen"]
    assert caplog.messages == []


def test_an_error_inside_gives_speech_back(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ZeroDivisionError), unsaid():
        _ = 1 / 0
    LOG.warning("heard")
    assert caplog.messages == ["heard"]
