"""A real browser for tests: Chromium without a window, drawing on the CPU, which may ask nothing but this machine.

`Opened` wraps a page of ours: what it draws is read back as an array of pixels, and every address that it asked for is
kept. Without playwright or Chromium the tests that need them are skipped, with the way to get them.
"""

from __future__ import annotations

import base64
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from support.patience import PATIENCE

OPTIONS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--disable-gpu-sandbox"]


def chromium() -> str:
    """The browser's program, or a skip."""
    places = [os.environ.get("LEANSPLAT_CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome"]
    found = next((path for place in places if place and (path := shutil.which(place))), None)
    if found is None:
        pytest.skip("there is no Chromium: make node installs it on Debian, or set LEANSPLAT_CHROMIUM")
    return found


@contextmanager
def launched() -> Iterator[Any]:
    """A browser, of which there may be one at a time."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install .[dev]")
    program = chromium()
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=program, args=OPTIONS)
        yield browser
        browser.close()


class Opened:
    """A page of ours in a browser.

    Args:
        browser: from `launched`.
        address: what to open.
        offline: whether the network is cut.
    """

    def __init__(
        self, browser: Any, address: str, *, size: tuple[int, int] = (240, 180), offline: bool = False, **context: Any
    ) -> None:
        self.asked: list[str] = []
        self.errors: list[str] = []
        self.context = browser.new_context(viewport={"width": size[0], "height": size[1]}, offline=offline, **context)
        self.page = self.context.new_page()
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda said: self.errors.append(said.text) if said.type == "error" else None)
        self.page.goto(address)

    def ready(self) -> Opened:
        """Wait for the first picture."""
        deadline = time.monotonic() + PATIENCE
        # The page's policy forbids to wait for an expression inside of it.
        while not self.page.evaluate("window.leansplat?.firstPicture ?? null"):
            assert time.monotonic() < deadline, f"no picture within {PATIENCE} s; {self.told()} {self.errors}"
            time.sleep(0.05)
        return self

    def told(self) -> str:
        text: str = self.page.evaluate("document.getElementById('status').textContent")
        return text

    def do(self, code: str, argument: Any = None) -> Any:
        """Run statements in the page, `it` being its object and `given` the argument, and wait until that is drawn."""
        self.page.evaluate(f"async given => {{ const it = window.leansplat; {code}; await it.settled() }}", argument)

    def value(self, code: str) -> Any:
        return self.page.evaluate(f"(it => {code})(window.leansplat)")

    def pixels(self) -> np.ndarray:
        """(H, W, 3) uint8, what is on the canvas."""
        width, height, text = self.page.evaluate(
            """() => {
                const { width, height, data } = window.leansplat.stage.pixels()
                let text = ""
                for (let at = 0; at < data.length; at += 8192) {
                    text += String.fromCharCode(...data.subarray(at, at + 8192))
                }
                return [width, height, btoa(text)]
            }"""
        )
        return np.frombuffer(base64.b64decode(text), np.uint8).reshape(height, width, 4)[..., :3]

    def picture(self) -> Tensor:
        """(H, W, 3) in [0, 1]."""
        return torch.from_numpy(self.pixels().copy()).float() / 255

    def elsewhere(self) -> list[str]:
        """What was asked for anywhere but on this machine or inside the page."""
        return [url for url in self.asked if not url.startswith(("http://127.0.0.1:", "data:", "blob:", "file:"))]

    def close(self) -> None:
        self.context.close()
