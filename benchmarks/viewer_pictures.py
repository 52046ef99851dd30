r"""Pictures of `leansplat view` for the docs, taken in a browser without a window, of the built-in scene.

    leansplat demo --output demo
    python benchmarks/viewer_pictures.py --scene RUN --small FILE

RUN is a training of the built-in capture (`leansplat.train(leansplat.captures.synthetic_capture(), RUN)`), FILE a small
file of it (`leansplat shrink RUN -o FILE`). It needs playwright and Chromium, as the tests of the page do.
"""

from __future__ import annotations

import argparse
import io
import sys
import time
from pathlib import Path
from typing import Any

from PIL import Image

from leansplat.captures import synthetic_capture
from leansplat.viewing import Viewing

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))
from support.browser import Opened, launched  # noqa: E402

PHONE = {"is_mobile": True, "has_touch": True}
QUALITY = 82


def take(page: Opened, path: Path, setting: str) -> None:
    """Bring the page into a state, wait until it is drawn, and write what is on the screen as WebP."""
    page.do(setting)
    time.sleep(0.7)  # for the status line
    image = Image.open(io.BytesIO(page.page.screenshot()))
    image.convert("RGB").save(path, quality=QUALITY, method=6)
    print(f"{path}: {path.stat().st_size:,} bytes", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scene", type=Path, required=True)
    parser.add_argument("--small", type=Path, required=True)
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "pictures")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    capture = synthetic_capture(views=24, size=512)
    with launched() as browser:
        both = [options.scene, options.small]
        shots: list[tuple[str, str, dict[str, Any], list[Path]]] = [
            ("view", "it.jump(0); it.controls.change(p => it.controls.turn(p, 0.5, 0.1))", {}, both[:1]),
            ("view-beside", "it.jump(5); it.stage.setMode('beside')", {}, both),
            ("view-slider", "it.jump(9); it.stage.split = 0.5; it.stage.setMode('slider')", {}, both),
            ("view-difference", "it.jump(9); it.panels.amplify(8); it.stage.setMode('difference')", {}, both),
            ("view-phone", "it.jump(3); it.stage.setMode('slider')", {**PHONE, "size": (390, 780)}, both),
        ]
        for name, setting, look, scenes in shots:
            with Viewing() as viewing:
                viewing.open([viewing.prepare(scene) for scene in scenes], capture=capture)
                page = Opened(browser, viewing.address, **{"size": (1200, 720), "color_scheme": "dark", **look}).ready()
                take(page, options.output / f"{name}.webp", setting)
                page.close()


if __name__ == "__main__":
    main()
