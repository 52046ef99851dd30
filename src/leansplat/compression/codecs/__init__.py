"""The kinds of files that scenes are compressed to: a module each, listed in `CODECS` by suffix."""

from leansplat.compression.codecs.compressed_ply import CompressedPlyCodec
from leansplat.compression.codecs.npz import NpzCodec
from leansplat.compression.codecs.registry import CODECS, Codec, codec, codec_of
from leansplat.compression.codecs.sog import SogCodec
from leansplat.compression.codecs.spz import SpzCodec

__all__ = ["CODECS", "Codec", "CompressedPlyCodec", "NpzCodec", "SogCodec", "SpzCodec", "codec", "codec_of"]
