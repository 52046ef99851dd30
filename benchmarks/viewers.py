r"""Do viewers open what leansplat writes, and show it as they show the .ply it was made of?

    (cd benchmarks/viewers && npm install)
    python benchmarks/viewers.py --scene runs/chair30k/gaussianpop_20 --capture data/chair \
        --downscale 4 --background white

Opens the scene as a .ply, and as every format that a viewer knows, in the PlayCanvas engine (of SuperSplat) and in
Spark, in a Chromium without a window, from the camera of a photo held out. The table says in dB how near the picture is
to the same viewer's picture of the .ply: what the format loses, whatever the viewer does differently from 3DGS.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import math
import os
import queue
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import torch
from PIL import Image

from leansplat.captures import load
from leansplat.captures.capture import Capture
from leansplat.engines.cpu import pack, render
from leansplat.files import write_json
from leansplat.formats import read, write
from leansplat.metrics.psnr import psnr
from leansplat.provenance import BACKGROUNDS

ROOT = Path(__file__).parents[1]
PAGES = Path(__file__).parent / "viewers"
VIEWERS = {
    "playcanvas": (".ply", ".compressed.ply", ".sog"),
    "spark": (".ply", ".compressed.ply", ".sog", ".spz", ".splat"),
}
SECONDS = 180


class Handler(SimpleHTTPRequestHandler):
    """Serves pages and scene files; what a page posts goes to `posted`, by its path."""

    def __init__(self, *arguments: Any, scenes: Path, posted: queue.Queue[tuple[str, bytes]]) -> None:
        self._scenes, self._posted = scenes, posted
        super().__init__(*arguments, directory=str(PAGES))

    def translate_path(self, path: str) -> str:
        scene = self._scenes / Path(urlsplit(path).path).name
        return str(scene) if scene.exists() else super().translate_path(path)

    def do_POST(self) -> None:
        self._posted.put((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


def camera_json(capture: Capture, number: int) -> dict[str, Any]:
    camera = capture.test[number].camera
    to_world = np.linalg.inv(camera.world_to_camera.numpy()) @ np.diag([1, -1, -1, 1])  # viewers look along -z
    return {
        "width": camera.width,
        "height": camera.height,
        "fov": math.degrees(2 * math.atan(camera.height / 2 / camera.fy)),
        "camera": to_world.T.reshape(-1).tolist(),
        "background": list(capture.background),
    }


def picture(url: str, browser: str, posted: queue.Queue[tuple[str, bytes]]) -> torch.Tensor:
    """(H, W, 3) in [0, 1], what the page draws."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = ["--headless=new", "--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
        command = [browser, *options, f"--user-data-dir={profile}", url]
        quiet = subprocess.DEVNULL
        process = subprocess.Popen(command, stdout=quiet, stderr=quiet, start_new_session=True)
        try:
            kind, body = posted.get(timeout=SECONDS)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if kind != "/picture":
        sys.exit(f"{url}: {body.decode()}")
    image = Image.open(io.BytesIO(base64.b64decode(body.split(b",")[1]))).convert("RGB")
    return torch.from_numpy(np.asarray(image).copy()).float() / 255


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scene", type=Path, required=True)
    parser.add_argument("--capture", type=Path, required=True)
    parser.add_argument("--downscale", type=int, default=1)
    parser.add_argument("--background", choices=list(BACKGROUNDS), default="black")
    parser.add_argument("--view", type=int, default=3, help="number of the photo held out")
    parser.add_argument("--browser", default="chromium")
    parser.add_argument("--pictures", type=Path, help="folder to keep the pictures in")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "viewers.json")
    options = parser.parse_args()
    if not (PAGES / "node_modules").is_dir():
        sys.exit("the viewers are missing; run `npm install` in benchmarks/viewers")
    capture = load(options.capture, downscale=options.downscale, background=BACKGROUNDS[options.background])
    scene = read(options.scene)
    with torch.no_grad():
        camera = capture.test[options.view].camera
        ours = render(pack(scene), camera, background=capture.background).image.clamp(0, 1)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        posted: queue.Queue[tuple[str, bytes]] = queue.Queue()
        view = camera_json(capture, options.view)
        Path(folder, "view.json").write_text(json.dumps(view), encoding="utf-8")
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, scenes=Path(folder), posted=posted))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for viewer, suffixes in VIEWERS.items():
            found = {}
            for suffix in suffixes:
                if not Path(folder, f"scene{suffix}").exists():
                    write(scene, Path(folder, f"scene{suffix}"))
                url = f"http://127.0.0.1:{server.server_port}/{viewer}.html?file=/scene{suffix}"
                found[suffix] = picture(url, options.browser, posted)
                if options.pictures:
                    options.pictures.mkdir(parents=True, exist_ok=True)
                    pixels = (found[suffix] * 255).round().byte().numpy()
                    Image.fromarray(pixels).save(options.pictures / f"{viewer}{suffix}.png")
                to_ply = psnr(found[suffix], found[".ply"]) if suffix != ".ply" else None
                row = {"viewer": viewer, "file": suffix, "to_its_ply": to_ply, "to_ours": psnr(found[suffix], ours)}
                print(*row.values(), flush=True)
                rows.append(row)
    versions = json.loads((PAGES / "package.json").read_text(encoding="utf-8"))["dependencies"]
    command = shlex.join(["python", "benchmarks/viewers.py", *sys.argv[1:]])
    result = {"command": command, "gaussians": len(scene), "versions": versions, "rows": rows}
    write_json(options.output, result, overwrite=True)


if __name__ == "__main__":
    main()
