"""Compressed PLY files made by hand from each Gaussian's integers, with `struct`, sharing nothing with the package."""

import struct

RANGES = [
    *("min_x", "min_y", "min_z", "max_x", "max_y", "max_z"),
    *("min_scale_x", "min_scale_y", "min_scale_z", "max_scale_x", "max_scale_y", "max_scale_z"),
    *("min_r", "min_g", "min_b", "max_r", "max_g", "max_b"),
]
PACKED = ["packed_position", "packed_rotation", "packed_scale", "packed_color"]


def header(count=2, chunks=1, rest=45, *, ranges=18, order="little", lines=(), sh_rows=None):
    """`ranges` of the chunk's columns, and `rest` of the properties f_rest_*; no element sh without any."""
    text = ["ply", f"format binary_{order}_endian 1.0", *lines, f"element chunk {chunks}"]
    text += [f"property float {name}" for name in RANGES[:ranges]]
    text += [f"element vertex {count}", *(f"property uint {name}" for name in PACKED)]
    if rest:
        text += [f"element sh {count if sh_rows is None else sh_rows}"]
        text += [f"property uchar f_rest_{k}" for k in range(rest)]
    return "\n".join([*text, "end_header", ""]).encode()


def body(chunks, gaussians, *, order="little"):
    """Rows of `chunks`, lists of floats, and of `gaussians`: position, rotation, scale, color and sh each."""
    sign = "<" if order == "little" else ">"
    content = b"".join(struct.pack(f"{sign}{len(row)}f", *row) for row in chunks)
    for (x, y, z), (largest, a, b, c), (i, j, k), (red, green, blue, opacity), _ in gaussians:
        words = (x << 21 | y << 11 | z, largest << 30 | a << 20 | b << 10 | c, i << 21 | j << 11 | k)
        content += struct.pack(f"{sign}4I", *words, red << 24 | green << 16 | blue << 8 | opacity)
    return content + b"".join(bytes(sh) for *_, sh in gaussians)


CHUNK = [-1, -2, -3, 1, 2, 5, -8, -8, -6, -4, -2, -1, 0.1, 0, -0.5, 0.9, 1, 1.5]
GAUSSIANS = [
    ((0, 1023, 2047), (0, 512, 0, 1023), (2047, 0, 1024), (0, 255, 51, 255), range(100, 145)),
    ((1024, 512, 1), (3, 1023, 511, 512), (1, 1023, 0), (255, 0, 128, 0), range(45)),
]


def scene(**settings):
    """A whole, well-formed file of two Gaussians."""
    rest, ranges = settings.get("rest", 45), settings.get("ranges", 18)
    rows = [(*row[:4], list(row[4])[:rest]) for row in GAUSSIANS]
    return header(**settings) + body([CHUNK[:ranges]], rows, order=settings.get("order", "little"))
