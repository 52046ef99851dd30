"""One browser for all tests here, for it takes seconds to start."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.browser import Opened, launched


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    with launched() as started:
        yield started


@pytest.fixture
def opened(browser: Any) -> Iterator[Callable[..., Opened]]:
    """Opens an address, and closes the page when the test is over."""
    pages: list[Opened] = []

    def open_page(address: str, **options: Any) -> Opened:
        pages.append(Opened(browser, address, **options))
        return pages[-1]

    yield open_page
    for page in pages:
        page.close()
