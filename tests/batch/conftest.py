"""The log is given back after tests that run a command."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def logger_as_before() -> Iterator[None]:
    """`main` sends the log to standard error for good; tests after these want to catch it."""
    logger = logging.getLogger("leansplat")
    handlers, propagate = logger.handlers, logger.propagate
    yield
    logger.handlers, logger.propagate = handlers, propagate
