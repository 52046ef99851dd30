"""SPZ files made by hand for tests: with `struct`, `gzip` and `zstandard` only, sharing nothing with the package.

`scene` makes a whole file whose numbers depend on where they stand; `value` says what a reader should make of them.
"""

import gzip
import math
import struct

import zstandard

COEFFICIENTS = {0: 0, 1: 3, 2: 8, 3: 15, 4: 24}
BITS = 14
BASES = {"alphas": 40, "colors": 70, "scales": 100, "sh": 5}


def byte(section, row, column):
    """Between 1 and 254, since opacities at the ends are infinite."""
    return (BASES[section] + 37 * row + 11 * column) % 254 + 1


def position(row, axis):
    return (-1) ** (row + axis) * (1000 * row + 77 * axis + 3)


def first_three(row):
    return [(row * 13 + 20 * axis) % 64 + 96 for axis in range(3)]


def smallest_three(row):
    """The number of the largest component of x, y, z, w, and (sign, magnitude) of the others."""
    return row % 4, [((row + k) % 2, (row * 40 + 90 * k) % 200) for k in range(3)]


def packed_rotation(row):
    largest, others = smallest_three(row)
    bits = f"{largest:02b}" + "".join(f"{sign}{magnitude:09b}" for sign, magnitude in others)
    return struct.pack("<I", int(bits, 2))


def sections(version, count, degree):
    """Name -> bytes, in the file's order."""
    rows = range(count)
    of_bytes = lambda name, width: bytes(byte(name, row, column) for row in rows for column in range(width))  # noqa: E731
    three = b"".join(bytes(first_three(row)) for row in rows)
    smallest = b"".join(map(packed_rotation, rows))
    return {
        "positions": b"".join(struct.pack("<i", position(row, axis))[:3] for row in rows for axis in range(3)),
        "alphas": of_bytes("alphas", 1),
        "colors": of_bytes("colors", 3),
        "scales": of_bytes("scales", 3),
        "rotations": three if version == 2 else smallest,
        "sh": of_bytes("sh", 3 * COEFFICIENTS[degree]),
    }


def header(version, count, degree, flags=0, streams=0, bits=BITS, magic=b"NGSP"):
    return magic + struct.pack("<IIBBBB", version, count, degree, bits, flags, streams)


def payload(version, count, degree, **settings):
    """What is inside the gzip stream of versions 2 and 3."""
    return header(version, count, degree, **settings) + b"".join(sections(version, count, degree).values())


def version_4(head, contents, extensions=b"", streams=None, lengths=None):
    """A file of version 4 from its header and sections, whose streams and lengths may be told otherwise."""
    streams = [zstandard.compress(content) for content in contents] if streams is None else streams
    lengths = [len(content) for content in contents] if lengths is None else lengths
    table = b"".join(struct.pack("<QQ", len(s), length) for s, length in zip(streams, lengths, strict=True))
    return head + struct.pack("<I12x", 32 + len(extensions)) + extensions + table + b"".join(streams)


def scene(version=3, count=5, degree=3, flags=0, extensions=b"", bits=BITS):
    if version < 4:
        return gzip.compress(payload(version, count, degree, flags=flags, bits=bits) + extensions)
    contents = [content for content in sections(4, count, degree).values() if content]
    return version_4(header(4, count, degree, flags, len(contents), bits), contents, extensions)


def value(name, row, version=3, bits=BITS):
    """The numbers of one Gaussian, as nested lists in the shape of leansplat's tensors."""
    if name == "means":
        return [position(row, axis) / 2**bits for axis in range(3)]
    if name == "scales":
        return [byte("scales", row, axis) / 16 - 10 for axis in range(3)]
    if name == "opacities":
        opacity = byte("alphas", row, 0) / 255
        return math.log(opacity / (1 - opacity))
    if name == "sh0":
        return [[(byte("colors", row, color) / 255 - 0.5) / 0.15 for color in range(3)]]
    if name == "shN":
        return [[byte("sh", row, 3 * k + color) / 128 - 1 for color in range(3)] for k in range(15)]
    if version == 2:
        x, y, z = (number / 127.5 - 1 for number in first_three(row))
        return [math.sqrt(1 - x * x - y * y - z * z), x, y, z]
    largest, others = smallest_three(row)
    xyzw = [(-1) ** sign * magnitude / 511 / math.sqrt(2) for sign, magnitude in others]
    xyzw.insert(largest, math.sqrt(1 - sum(number * number for number in xyzw)))
    return [xyzw[3], *xyzw[:3]]
