"""Bad PLY files: each is either read rightly or refused with one sentence that names the file."""

import os
import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import plain_ply

from leansplat import formats
from leansplat.errors import SceneFileError
from leansplat.gaussians import Gaussians

FLOATS = plain_ply.floats(plain_ply.names())
ROW = 4 * len(FLOATS)
GOOD = plain_ply.scene(3)
GOOD_HEADER = plain_ply.header(FLOATS, 3)
FACE = "element face 1\nproperty list uchar int vertex_indices"


def refusal(folder, content):
    """The sentence a file is refused with; it must name the file and be one line."""
    path = folder / "bad.ply"
    path.write_bytes(content)
    with pytest.raises(SceneFileError) as caught:
        formats.read(path)
    sentence = str(caught.value)
    assert sentence.startswith(str(path))
    assert sentence.endswith(".")
    assert "\n" not in sentence
    return sentence


def without(name):
    properties = [entry for entry in FLOATS if entry[0] != name]
    return plain_ply.header(properties, 3) + plain_ply.body(properties, 3)


def with_rest(count):
    properties = plain_ply.floats([*plain_ply.names(0), *(f"f_rest_{k}" for k in range(count))])
    zero = lambda name, row: 0.0  # noqa: E731
    return plain_ply.header(properties, 2) + plain_ply.body(properties, 2, values=zero)


# Every row of the table of how other readers treat bad files (ecosystem.md): these two lists together.
READ_RIGHTLY = {
    "ascii": plain_ply.scene(encoding="ascii"),
    "big endian": plain_ply.scene(encoding="binary_big_endian"),
    "extra uchar columns": (
        plain_ply.header([("a", "uchar"), *FLOATS[:20], ("b", "uchar"), *FLOATS[20:]], 3)
        + plain_ply.body([("a", "uchar"), *FLOATS[:20], ("b", "uchar"), *FLOATS[20:]], 3)
    ),
    "face element before vertex": (
        plain_ply.header(FLOATS, 3, before=FACE)
        + b"\3"
        + np.arange(3, dtype="<i4").tobytes()
        + plain_ply.body(FLOATS, 3)
    ),
    "double properties": (
        plain_ply.header([(name, "double") for name, _ in FLOATS], 3)
        + plain_ply.body([(name, "double") for name, _ in FLOATS], 3)
    ),
    "CRLF header": plain_ply.scene(line_end="\r\n"),
    "obj_info": plain_ply.scene(lines=["obj_info num_cols 62"]),
    "SH0": plain_ply.scene(degree=0),
    "SH1": plain_ply.scene(degree=1),
    "SH2": plain_ply.scene(degree=2),
    "no normals": (
        plain_ply.header(plain_ply.floats(plain_ply.names(3, False)), 3)
        + plain_ply.body(plain_ply.floats(plain_ply.names(3, False)), 3)
    ),
    "shuffled properties": plain_ply.header(FLOATS[::-1], 3) + plain_ply.body(FLOATS[::-1], 3),
    "zero splats": plain_ply.scene(0),
}

REFUSED = {
    "truncated body": (GOOD[:-1], "cut off"),
    "truncated by rows": (GOOD[: -2 * ROW], "cut off"),
    "count too high": (GOOD.replace(b"vertex 3", b"vertex 4"), "cut off or its header is wrong"),
    "count too low": (GOOD.replace(b"vertex 3", b"vertex 2"), f"goes on for {ROW} bytes"),
    "truncated header": (GOOD[:300], "end_header"),
    "header cut inside its last line": (GOOD_HEADER[:-1], "end_header"),
    "count 10^12": (GOOD.replace(b"vertex 3", b"vertex 1000000000000"), "1,000,000,000,000 rows"),
    "count 10^12 in ascii": (
        plain_ply.scene(encoding="ascii").replace(b"vertex 3", b"vertex 1000000000000"),
        "1,000,000,000,000 rows",
    ),
    "trailing bytes": (GOOD + b"\0" * 5, "goes on for 5 bytes"),
    "trailing white space longer than a line end": (GOOD + b" " * 300, "goes on for 300 bytes"),
    "20 f_rest columns": (with_rest(20), "20 properties f_rest_"),
    "missing opacity": (without("opacity"), "lack the properties opacity"),
}


@pytest.mark.parametrize("case", READ_RIGHTLY)
def test_unusual_files_are_read_rightly(tmp_path, case):
    path = tmp_path / "unusual.ply"
    path.write_bytes(READ_RIGHTLY[case])
    gaussians = formats.read(path)
    count = 0 if case == "zero splats" else 3
    assert len(gaussians) == count
    for row in range(count):
        assert gaussians.means[row].tolist() == [plain_ply.value(name, row) for name in "xyz"]
        assert gaussians.opacities[row].item() == plain_ply.value("opacity", row)
        assert gaussians.quats[row].tolist() == [plain_ply.value(f"rot_{k}", row) for k in range(4)]
        if gaussians.sh_degree:
            assert gaussians.shN[row, 0, 0].item() == plain_ply.value("f_rest_0", row)
            last = 3 * gaussians.shN.shape[1] - 1
            assert gaussians.shN[row, -1, 2].item() == plain_ply.value(f"f_rest_{last}", row)
    if case == "extra uchar columns":
        assert gaussians.extras["b"].tolist() == [100, 101, 102]


@pytest.mark.parametrize("case", REFUSED)
def test_bad_files_are_refused_in_one_sentence(tmp_path, case):
    content, expected = REFUSED[case]
    assert expected in refusal(tmp_path, content)


def test_nan_and_infinity_are_read_and_reported(tmp_path, caplog):
    path = tmp_path / "scene.ply"
    path.write_bytes(GOOD_HEADER + np.array([[0.0] * 61 + [np.nan], [np.inf] * 62, [0.0] * 62], "<f4").tobytes())
    gaussians = formats.read(path)
    assert gaussians.finite().tolist() == [False, False, True]
    assert "2 of 3 Gaussians have NaN or infinite parameters" in caplog.text


@pytest.mark.parametrize("name", plain_ply.names(3, normals=False))
def test_a_missing_property_is_named(tmp_path, name):
    if name == "scale_2":
        pytest.skip("2DGS has two scales")
    sentence = refusal(tmp_path, without(name))
    assert ("f_rest_" if name.startswith("f_rest") else f"lack the properties {name};") in sentence


@pytest.mark.parametrize("count", [1, 3, 8, 44, 46, 48, 72])
def test_only_whole_degrees_of_spherical_harmonics_are_read(tmp_path, count):
    assert f"{count} properties f_rest_*" in refusal(tmp_path, with_rest(count))


def test_spherical_harmonics_with_a_gap_are_refused(tmp_path):
    content = with_rest(9).replace(b"f_rest_4\n", b"f_rest_9\n")
    assert "without a gap" in refusal(tmp_path, content)


@pytest.mark.parametrize(
    ("line", "instead", "expected"),
    [
        (b"ply\n", b"plz\n", "not a PLY file"),
        (b"ply\n", b"", "not a PLY file"),
        (b"format binary_little_endian 1.0\n", b"", "no line 'format'"),
        (b"format binary_little_endian 1.0\n", b"format binary_middle_endian 1.0\n", "formats ascii"),
        (b"format binary_little_endian 1.0\n", b"format binary_little_endian 2.0\n", "version 1.0"),
        (b"format binary_little_endian 1.0\n", b"format ascii 1.0\nformat ascii 1.0\n", "second time"),
        (b"element vertex 3\n", b"", "before the first element"),
        (b"element vertex 3\n", b"element point 3\n", "no element 'vertex'"),
        (b"element vertex 3\n", b"element vertex -3\n", "element NAME COUNT"),
        (b"element vertex 3\n", b"element vertex 3.0\n", "element NAME COUNT"),
        (b"element vertex 3\n", b"element vertex\n", "element NAME COUNT"),
        (b"element vertex 3\n", b"element vertex " + b"9" * 5000 + b"\n", "element NAME COUNT"),
        (b"element vertex 3\n", b"element vertex 0\nelement vertex 3\n", "'vertex' a second time"),
        (b"property float y\n", b"property float x\n", "'x' a second time"),
        (b"property float y\n", b"property half y\n", "a type 'half'"),
        (b"property float y\n", b"property float\n", "property TYPE NAME"),
        (b"property float y\n", b"property float y z\n", "property TYPE NAME"),
        (b"property float y\n", b"property list float int y\n", "not an integer"),
        (b"property float y\n", b"property list uchar int y\n", "list property 'y'"),
        (b"property float y\n", b"property float \xff\xfe\n", "plain, short ASCII"),
        (b"property float y\n", b"property float y\n\n", "not a PLY header line"),
        (b"property float y\n", b"property float y\nelements\n", "not a PLY header line"),
    ],
)
def test_a_header_line_that_makes_no_sense_is_named(tmp_path, line, instead, expected):
    assert GOOD.count(line) == 1
    assert expected in refusal(tmp_path, GOOD.replace(line, instead))


@pytest.mark.parametrize("content", [b"", b"p", b"ply", b"\x89PNG\r\n\x1a\n" + bytes(100), bytes(1000)])
def test_files_of_another_kind_are_refused(tmp_path, content):
    assert "not a PLY file" in refusal(tmp_path, content)
    (tmp_path / "bad.unknown").write_bytes(content)
    with pytest.raises(SceneFileError, match=r"known are .*PLY \(\.ply\)"):
        formats.read(tmp_path / "bad.unknown")


def test_a_mesh_is_not_a_scene(tmp_path):
    properties = [("x", "float"), ("y", "float"), ("z", "float")]
    content = plain_ply.header(properties, 3) + plain_ply.body(properties, 3)
    assert "not a scene of Gaussians" in refusal(tmp_path, content)


def test_missing_files_folders_and_pipes_are_refused_at_once(tmp_path):
    with pytest.raises(SceneFileError, match="does not exist"):
        formats.read(tmp_path / "absent.ply")
    with pytest.raises(SceneFileError, match=r"folder without a scene\.ply"):
        formats.read(tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.ply")
        with pytest.raises(SceneFileError, match="not a regular file"):
            formats.read(tmp_path / "pipe.ply")


@pytest.mark.parametrize("encoding", ["binary_little_endian", "ascii"])
@pytest.mark.parametrize("count", [10**12, 10**17])
def test_a_count_beyond_the_file_takes_no_memory(tmp_path, encoding, count):
    content = plain_ply.scene(encoding=encoding).replace(b"vertex 3", b"vertex %d" % count)
    tracemalloc.start()
    try:
        refusal(tmp_path, content)
        assert tracemalloc.get_traced_memory()[1] < 4e6
    finally:
        tracemalloc.stop()


def test_a_header_without_end_is_given_up_after_a_mebibyte(tmp_path):
    content = b"ply\nformat ascii 1.0\n" + b"comment nothing here\n" * 1_000_000
    assert "no line 'end_header' in its first 1,048,576 bytes" in refusal(tmp_path, content)


@pytest.mark.parametrize(
    ("count", "faces", "expected"),
    [
        (1, b"\3" + bytes(8), "cut off"),  # the list ends with the file
        (10**12, b"\0" * 40, "1,000,000,000,000 rows of element 'face'"),
        (3, b"\0\0", "cut off"),
    ],
)
def test_lists_that_do_not_fit_are_refused(tmp_path, count, faces, expected):
    start = plain_ply.header(FLOATS, 0, after=FACE.replace("face 1", f"face {count}"))
    assert expected in refusal(tmp_path, start + faces)


def test_a_negative_list_length_is_refused(tmp_path):
    start = plain_ply.header(FLOATS, 0, after="element face 1\nproperty list char int i")
    assert "-1 entries" in refusal(tmp_path, start + b"\xff" + bytes(20))


ASCII = plain_ply.scene(3, 0, encoding="ascii")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (b"\n0 1 2 ", b"\n0 one 2 ", "'one' where a number should be"),
        (b"\n0 1 2 ", b"\n0 1_0 2 ", "'1_0' where a number should be"),
        (b"\n0 1 2 ", b"\n0 1 ", "16 values in row 0"),
        (b"\n0 1 2 ", b"\n0 1 2 2 ", "18 values in row 0"),
        (b"vertex 3", b"vertex 4", "3 of the 4 rows"),
        (b"vertex 3", b"vertex 2", "goes on after the last row"),
        (b"property float x", b"property uchar x", "only holds integers"),
    ],
)
def test_ascii_rows_that_do_not_fit_are_refused(tmp_path, old, new, expected):
    assert old in ASCII
    assert expected in refusal(tmp_path, ASCII.replace(old, new, 1))


def test_an_ascii_file_cut_off_anywhere_is_refused(tmp_path):
    last_number = ASCII.rstrip().rindex(b" ") + 1  # cut inside it, the file is whole again
    for length in [*range(0, last_number, 7), last_number]:
        refusal(tmp_path, ASCII[:length])


def test_blank_lines_between_ascii_rows_are_tolerated(tmp_path):
    path = tmp_path / "scene.ply"
    start = plain_ply.header(plain_ply.floats(plain_ply.names(0)), 3, "ascii")
    path.write_bytes(start + b"\n" + ASCII[len(start) :].replace(b"\n", b" \r\n\r\n"))
    assert len(formats.read(path)) == 3


FUZZED = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
WITH_FACES = (
    plain_ply.header(FLOATS, 3, before=FACE, lines=["comment antialiased 1", "obj_info x"])
    + b"\3"
    + bytes(12)
    + plain_ply.body(FLOATS, 3)
)
SEEDS = st.sampled_from([GOOD, plain_ply.scene(2, 1, encoding="ascii"), WITH_FACES, plain_ply.scene(line_end="\r\n")])


def read_or_refuse(folder, content):
    path = folder / "fuzzed.ply"
    path.write_bytes(content)
    try:
        gaussians = formats.read(path)
    except SceneFileError as error:
        sentence = str(error)
        sentence.encode()  # can be printed
        if "\n" in sentence:
            pytest.fail("the message is more than one line")
        return None
    assert isinstance(gaussians, Gaussians)
    assert all(torch.is_tensor(values) for values in gaussians.extras.values())
    return gaussians


@FUZZED
@given(seed=SEEDS, data=st.data())
def test_a_file_cut_off_anywhere_is_refused(tmp_path, seed, data):
    seed = seed.rstrip(b"\n") if b"format ascii" in seed else seed
    length = data.draw(st.integers(0, len(seed) - 1))
    gaussians = read_or_refuse(tmp_path, seed[:length])
    # Only an ascii file can be cut so that it is whole: inside its last number.
    assert gaussians is None or b" " not in seed[length:]


@FUZZED
@given(seed=SEEDS, data=st.data())
def test_bytes_flipped_in_the_header_never_raise_anything_else(tmp_path, seed, data):
    content = bytearray(seed)
    end = seed.index(b"end_header") + 12
    flips = st.lists(st.tuples(st.integers(0, end - 1), st.integers(0, 255)), min_size=1, max_size=4)
    for position, byte in data.draw(flips):
        content[position] = byte
    read_or_refuse(tmp_path, bytes(content))


WORDS = st.sampled_from(
    b"element vertex property list float uchar double x 99999999999 0 -1 comment format ascii 1.0 f_rest_0".split()
    + b"end_header,\r,\n, ,\0,\xff".split(b",")
)


@FUZZED
@given(seed=SEEDS, data=st.data())
def test_words_put_into_the_header_never_raise_anything_else(tmp_path, seed, data):
    lines = seed[: seed.index(b"end_header")].split(b"\n")
    for _ in range(data.draw(st.integers(1, 3))):
        position = data.draw(st.integers(1, len(lines) - 1))
        words = lines[position].split(b" ")
        words.insert(data.draw(st.integers(0, len(words))), data.draw(WORDS))
        if data.draw(st.booleans()):
            words.pop(data.draw(st.integers(0, len(words) - 1)))
        lines[position] = b" ".join(words)
    read_or_refuse(tmp_path, b"\n".join(lines) + seed[seed.index(b"end_header") :])


@FUZZED
@given(content=st.binary(max_size=300))
def test_noise_after_the_magic_line_never_raises_anything_else(tmp_path, content):
    read_or_refuse(tmp_path, b"ply\n" + content)
