"""Files of `torch.save`, which trainers keep their checkpoints in: read without running anything that is in them.

Such a file is a zip of a pickle and the tensors' bytes. The pickle goes through PyTorch's restricted unpickler, which
calls nothing but what rebuilds tensors; the tensors are mapped, so that none takes memory before its size is checked.
PyTorch is imported when such a file is met, so that other formats do not wait for it.
"""

from __future__ import annotations

import struct
import warnings
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leansplat.formats.format import opened

if TYPE_CHECKING:
    from torch import Tensor

_ZIP_MAGIC = b"PK\x03\x04"


def recognises(head: bytes) -> bool:
    """Whether a file that starts with these bytes is a zip by `torch.save`, whose first file is the pickle."""
    return head.startswith(_ZIP_MAGIC) and b"/data.pkl" in head


def mentions(head: bytes, text: str) -> bool:
    """Whether the pickle of a file that starts with these bytes soon has this string, as protocol 2 or 4 writes it.

    The name of the file itself, which is all over a zip by `torch.save`, does not count.
    """
    word = text.encode()
    return any(prefix + word in head for prefix in (b"X" + struct.pack("<I", len(word)), b"\x8c" + bytes([len(word)])))


def load(path: Path) -> Any:
    """What a file holds: tensors, mapped, in containers of Python's own, numbers and strings.

    Raises:
        SceneFileError: there is no such file, or it cannot be read.
        ValueError: it is no whole file of `torch.save`, or holds more than that; says so in a few words.
    """
    import torch

    with opened(path) as handle:
        try:
            with zipfile.ZipFile(handle) as archive:
                packed = any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist())
        except Exception as error:  # the module raises a dozen kinds
            raise ValueError("it is not a whole zip file") from error
    if packed:
        raise ValueError("it was compressed, which torch.save does not do")
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(_STAND_INS):
            warnings.simplefilter("ignore")
            return torch.load(str(path), map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # a pickle can be wrong in any way
        raise ValueError("it is damaged, or holds more than tensors and numbers") from error


def tensor(value: Any, name: str) -> Tensor:
    """A copy of a mapped tensor of float32.

    Raises:
        ValueError: it is none, or claims more numbers than the file has; begins with its `name`.
    """
    import torch

    if not isinstance(value, torch.Tensor) or value.layout != torch.strided or value.device.type != "cpu":
        raise ValueError(f"{name} is not a tensor")
    if value.dtype != torch.float32:
        raise ValueError(f"{name} is of type {value.dtype}")
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():  # with strides of zero
        raise ValueError(f"{name} is {tuple(value.shape)}, more numbers than the file has")
    return value.detach().clone(memory_format=torch.contiguous_format)


class _NumpyType:
    """Stands in for `numpy.dtype`, of which a file may ask for two numbers' types and nothing else."""

    def __init__(self, code: str, *_: Any) -> None:
        self.layout = {"f4": "<f", "f8": "<d"}[code]

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] != "<":
            raise ValueError("a number that is not little endian")


def _numpy_scalar(kind: _NumpyType, data: bytes) -> float:
    """Stands in for the function that rebuilds NumPy scalars: 3DGS's scene extent and a learning rate are some."""
    (value,) = struct.unpack(kind.layout, data)
    return float(value)


_STAND_INS: list[Any] = [
    (_NumpyType, "numpy.dtype"),
    (_numpy_scalar, "numpy.core.multiarray.scalar"),
    (_numpy_scalar, "numpy._core.multiarray.scalar"),
]
"""What the unpickler may call besides what rebuilds tensors, by the names that NumPy 1 and 2 write."""
