"""Commands give the log back after each test."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def log_given_back() -> Iterator[None]:
    """`main` sends the log to standard error for good; tests after these want to catch it."""
    logger = logging.getLogger("leansplat")
    handlers, propagate = logger.handlers, logger.propagate
    try:
        yield
    finally:
        logger.handlers, logger.propagate = handlers, propagate


@pytest.fixture(autouse=True)
def logger_as_before() -> Iterator[None]:
    with log_given_back():
        yield
