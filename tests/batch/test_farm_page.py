"""The table of costs in the docs is the one that the committed results and the stated prices give."""

from __future__ import annotations

import runpy
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_table_of_costs_is_what_its_script_prints() -> None:
    costs = runpy.run_path(str(ROOT / "benchmarks/farm.py"))["costs"]
    page = (ROOT / "docs/farm.md").read_text(encoding="utf-8")
    between = page.split("<!-- costs: printed by benchmarks/farm.py --cost -->\n")[1].split("<!-- end of costs -->")[0]
    assert between.strip() == costs()
