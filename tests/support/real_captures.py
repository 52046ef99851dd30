"""Where the real captures lie (beside the repository), and a mark for the tests that need one."""

from __future__ import annotations

from pathlib import Path

import pytest

CAPTURES = Path(__file__).parents[2] / "../shared/data/captures"


def needs(name: str) -> pytest.MarkDecorator:
    """Skip where the real capture `name` is absent."""
    return pytest.mark.skipif(not (CAPTURES / name).is_dir(), reason=f"the real capture {name} is not on this machine")
