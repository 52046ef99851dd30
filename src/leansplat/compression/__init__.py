"""Compression: how sensitive images are to each parameter, shared tables, and fine-tuning through what a file can hold.

The names below are imported on first use, so that reading settings does not wait for PyTorch and the kernels.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from leansplat.compression.codecs import (
        CODECS,
        Codec,
        CompressedPlyCodec,
        NpzCodec,
        SogCodec,
        SpzCodec,
        codec,
        codec_of,
    )
    from leansplat.compression.compressor import CompressionResult, compress
    from leansplat.compression.config import CompressionConfig, FineTuningConfig
    from leansplat.compression.fine_tuning import Quantiser, fine_tune
    from leansplat.compression.measurement import CompressionReport, report

__all__ = [
    "CODECS",
    "Codec",
    "CompressedPlyCodec",
    "CompressionConfig",
    "CompressionReport",
    "CompressionResult",
    "FineTuningConfig",
    "NpzCodec",
    "Quantiser",
    "SogCodec",
    "SpzCodec",
    "codec",
    "codec_of",
    "compress",
    "fine_tune",
    "report",
]

_WHERE = {
    "CODECS": "codecs",
    "Codec": "codecs",
    "CompressedPlyCodec": "codecs",
    "CompressionConfig": "config",
    "CompressionReport": "measurement",
    "CompressionResult": "compressor",
    "FineTuningConfig": "config",
    "NpzCodec": "codecs",
    "Quantiser": "fine_tuning",
    "SogCodec": "codecs",
    "SpzCodec": "codecs",
    "codec": "codecs",
    "codec_of": "codecs",
    "compress": "compressor",
    "fine_tune": "fine_tuning",
    "report": "measurement",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'leansplat.compression' has no attribute {name!r}")
    return getattr(import_module(f"leansplat.compression.{_WHERE[name]}"), name)
