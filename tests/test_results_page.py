"""The tables of results on the pages are those that the committed results give; none is left behind by a new result."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_every_table_is_what_the_results_give(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import results_page

    assert {"results.md", "README.md", "farm.md", "shrink.md"} <= {page.name for page in results_page.pages()}
    for page, text in results_page.pages().items():
        assert page.read_text(encoding="utf-8") == text, f"{page.name}: run python benchmarks/results_page.py"
