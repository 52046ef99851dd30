"""PLY files made by hand for tests: with `struct` and string formatting only, sharing nothing with the package."""

import struct

CODES = {"char": "b", "uchar": "B", "short": "h", "ushort": "H", "int": "i", "uint": "I", "float": "f", "double": "d"}
CODES |= {"int8": "b", "uint8": "B", "int16": "h", "uint16": "H", "int32": "i", "uint32": "I"}
CODES |= {"float32": "f", "float64": "d"}
REST = {0: 0, 1: 9, 2: 24, 3: 45}


def names(degree=3, normals=True):
    """Property names of INRIA's layout in its order."""
    rest = [f"f_rest_{k}" for k in range(REST[degree])]
    middle = ["nx", "ny", "nz"] if normals else []
    scales_and_rotations = [f"scale_{k}" for k in range(3)] + [f"rot_{k}" for k in range(4)]
    return ["x", "y", "z", *middle, "f_dc_0", "f_dc_1", "f_dc_2", *rest, "opacity", *scales_and_rotations]


def value(name, row):
    """A number that tells which property and row it belongs to; exact in float32, and zero for normals."""
    if name in ("nx", "ny", "nz"):
        return 0.0
    return names(3, False).index(name) + row / 8 if name in names(3, False) else 100.0 + row


def header(properties, count, encoding="binary_little_endian", lines=(), before="", after="", line_end="\n"):
    """A header with one vertex element of `properties`: (name, type) pairs; `before` and `after` declare elements."""
    text = ["ply", f"format {encoding} 1.0", *lines, *before.splitlines(), f"element vertex {count}"]
    text += [f"property {kind} {name}" for name, kind in properties]
    text += [*after.splitlines(), "end_header", ""]
    return line_end.join(text).encode()


def body(properties, count, encoding="binary_little_endian", values=value):
    """The vertex rows."""
    rows = [[values(name, row) for name, _ in properties] for row in range(count)]
    if encoding == "ascii":
        return "".join(" ".join(f"{number:.9g}" for number in row) + "\n" for row in rows).encode()
    order = "<" if encoding == "binary_little_endian" else ">"
    code = order + "".join(CODES[kind] for _, kind in properties)
    integers = [CODES[kind] not in "fd" for _, kind in properties]
    return b"".join(
        struct.pack(code, *(int(n) if whole else n for n, whole in zip(row, integers, strict=True))) for row in rows
    )


def floats(wanted):
    return [(name, "float") for name in wanted]


def scene(count=3, degree=3, **settings):
    """A whole, well-formed file."""
    properties = floats(names(degree))
    encoding = settings.get("encoding", "binary_little_endian")
    return header(properties, count, **settings) + body(properties, count, encoding)
