import dataclasses
import logging
import random
from pathlib import Path

import gsply
import numpy as np
import pytest
import torch
from plyfile import PlyData
from support import plain_ply
from support.scene_comparison import read_bytes

from leansplat import formats
from leansplat.errors import InputError, SceneFileError
from leansplat.gaussians import TENSOR_NAMES, Gaussians

ENCODINGS = ("binary_little_endian", "binary_big_endian", "ascii")
FOX = Path(__file__).parents[2] / "../shared/data/scenes/fox_opensplat.ply"


def assert_holds_plain_values(gaussians, count, degree):
    """Every tensor has the numbers that plain_ply.value gives for its properties, worked out property by property."""
    coefficients = plain_ply.REST[degree] // 3
    assert len(gaussians) == count
    assert gaussians.sh_degree == degree
    for row in range(count):
        expect = lambda name, row=row: plain_ply.value(name, row)  # noqa: E731
        assert gaussians.means[row].tolist() == [expect(name) for name in "xyz"]
        assert gaussians.quats[row].tolist() == [expect(f"rot_{k}") for k in range(4)]
        assert gaussians.scales[row].tolist() == [expect(f"scale_{k}") for k in range(3)]
        assert gaussians.opacities[row].item() == expect("opacity")
        assert gaussians.sh0[row].tolist() == [[expect(f"f_dc_{k}") for k in range(3)]]
        for k in range(coefficients):
            planar = [expect(f"f_rest_{color * coefficients + k}") for color in range(3)]
            assert gaussians.shN[row, k].tolist() == planar


def random_scene(count=17, degree=3, seed=0, **settings):
    generator = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, generator=generator)  # noqa: E731
    rest = (degree + 1) ** 2 - 1
    tensors = (draw(count, 3), draw(count, 4), draw(count, 3), draw(count), draw(count, 1, 3), draw(count, rest, 3))
    return Gaussians(*tensors, **settings)


def assert_same_bits(left, right):
    for name in TENSOR_NAMES:
        first, second = getattr(left, name), getattr(right, name)
        assert first.shape == second.shape
        assert torch.equal(first.contiguous().view(torch.int32), second.contiguous().view(torch.int32)), name
    assert left.extras.keys() == right.extras.keys()
    for name, values in left.extras.items():
        assert values.dtype == right.extras[name].dtype
        assert torch.equal(values, right.extras[name])


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("degree", range(4))
@pytest.mark.parametrize("normals", [True, False])
def test_every_number_lands_in_its_place(tmp_path, encoding, degree, normals):
    properties = plain_ply.floats(plain_ply.names(degree, normals))
    content = plain_ply.header(properties, 3, encoding) + plain_ply.body(properties, 3, encoding)
    gaussians = read_bytes(tmp_path, "scene.ply", content)
    assert_holds_plain_values(gaussians, 3, degree)
    assert not gaussians.extras
    for name in TENSOR_NAMES:
        assert getattr(gaussians, name).dtype == torch.float32
        assert getattr(gaussians, name).is_contiguous()


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_properties_may_come_in_any_order(tmp_path, encoding):
    properties = plain_ply.floats(plain_ply.names())
    random.Random(1).shuffle(properties)
    content = plain_ply.header(properties, 4, encoding) + plain_ply.body(properties, 4, encoding)
    assert_holds_plain_values(read_bytes(tmp_path, "scene.ply", content), 4, 3)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("kind", list(plain_ply.CODES))
def test_every_scalar_type_is_read_as_its_value(tmp_path, encoding, kind):
    properties = [(name, kind) for name in plain_ply.names()]
    values = lambda name, row: float(plain_ply.names().index(name) + row)  # noqa: E731
    content = plain_ply.header(properties, 2, encoding) + plain_ply.body(properties, 2, encoding, values)
    gaussians = read_bytes(tmp_path, "scene.ply", content)
    assert gaussians.means[1].tolist() == [values(name, 1) for name in "xyz"]
    assert gaussians.quats[1].tolist() == [values(f"rot_{k}", 1) for k in range(4)]
    assert gaussians.shN[0, 2].tolist() == [values(f"f_rest_{k}", 0) for k in (2, 17, 32)]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_columns_of_mixed_types_are_read_as_their_values(tmp_path, encoding):
    kinds = list(plain_ply.CODES)
    properties = [(name, kinds[index % len(kinds)]) for index, name in enumerate(plain_ply.names())]
    values = lambda name, row: float(plain_ply.names().index(name) + row)  # noqa: E731
    content = plain_ply.header(properties, 2, encoding) + plain_ply.body(properties, 2, encoding, values)
    gaussians = read_bytes(tmp_path, "scene.ply", content)
    assert gaussians.scales[1].tolist() == [values(f"scale_{k}", 1) for k in range(3)]
    assert gaussians.shN[1, 14].tolist() == [values(f"f_rest_{k}", 1) for k in (14, 29, 44)]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_extra_properties_are_kept_in_their_types_wherever_they_stand(tmp_path, encoding):
    kinds = {"char": -3, "uchar": 200, "short": -300, "ushort": 60000, "int": -70000, "uint": 4000000000}
    kinds |= {"float": 0.25, "double": 1 / 3}
    properties = plain_ply.floats(plain_ply.names())
    for position, kind in enumerate(kinds):
        properties.insert(5 * position, (f"my_{kind}", kind))
    values = lambda name, row: kinds[name[3:]] if name.startswith("my_") else plain_ply.value(name, row)  # noqa: E731
    content = plain_ply.header(properties, 3, encoding)
    if encoding == "ascii":
        rows = [[repr(values(name, row)) for name, _ in properties] for row in range(3)]
        content += "\n".join(" ".join(row) for row in rows).encode()
    else:
        content += plain_ply.body(properties, 3, encoding, values)
    gaussians = read_bytes(tmp_path, "scene.ply", content)
    assert_holds_plain_values(gaussians, 3, 3)
    dtypes = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "float32", "float64")
    for (kind, expected), dtype in zip(kinds.items(), dtypes, strict=True):
        extra = gaussians.extras[f"my_{kind}"]
        assert extra.dtype == getattr(torch, dtype)
        assert extra.tolist() == [expected] * 3

    formats.write(gaussians, tmp_path / "again.ply")
    assert_same_bits(formats.read(tmp_path / "again.ply"), gaussians)
    vertex = PlyData.read(tmp_path / "again.ply")["vertex"]
    for kind, expected in kinds.items():
        assert vertex[f"my_{kind}"].tolist() == [expected] * 3


def test_normals_that_are_not_zero_are_kept_and_written_in_their_columns(tmp_path):
    properties = plain_ply.floats(plain_ply.names())
    values = lambda name, row: 0.5 + row if name == "ny" else plain_ply.value(name, row)  # noqa: E731
    content = plain_ply.header(properties, 2) + plain_ply.body(properties, 2, values=values)
    gaussians = read_bytes(tmp_path, "scene.ply", content)
    assert gaussians.extras.keys() == {"ny"}
    assert gaussians.extras["ny"].tolist() == [0.5, 1.5]
    formats.write(gaussians, tmp_path / "again.ply")
    assert (tmp_path / "again.ply").read_bytes() == content


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_header_lines_may_end_in_any_way_and_carry_obj_info(tmp_path, encoding, line_end):
    lines = ["comment made by hand", "obj_info is_mesh 0", "comment", "comment  indented, and ünïcode"]
    content = plain_ply.scene(encoding=encoding, lines=lines, line_end=line_end)
    gaussians = read_bytes(tmp_path, "scene.ply", content)
    assert_holds_plain_values(gaussians, 3, 3)
    assert gaussians.comments == ("made by hand", "obj_info is_mesh 0", "", " indented, and ünïcode")


def test_first_data_byte_may_look_like_a_line_end(tmp_path):
    properties = plain_ply.floats(plain_ply.names(0))
    line_feed = np.frombuffer(b"\n\r\n\r", "<f4")[0]
    content = plain_ply.header(properties, 1) + plain_ply.body(properties, 1, values=lambda name, row: line_feed)
    assert read_bytes(tmp_path, "scene.ply", content).means.numpy().tobytes() == b"\n\r\n\r" * 3


FACES = "element face 2\nproperty list uchar int vertex_indices\nproperty uchar flag"
CAMERAS = "element camera 2\nproperty double focal\nproperty short id"


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("place", ["before", "after"])
def test_other_elements_are_stepped_over(tmp_path, encoding, place):
    order = "<" if encoding == "binary_little_endian" else ">"
    faces = b"3 0 1 2 7\n4 0 1 2 3 8\n"
    cameras = b"1.5 3\n2.5 4\n"
    if encoding != "ascii":
        entries = lambda *indices: np.array(indices, order + "i4").tobytes()  # noqa: E731
        faces = b"\3" + entries(0, 1, 2) + b"\7" + b"\4" + entries(0, 1, 2, 3) + b"\10"
        cameras = np.array([(1.5, 3), (2.5, 4)], f"{order}f8,{order}i2").tobytes()
    properties = plain_ply.floats(plain_ply.names())
    start = plain_ply.header(properties, 3, encoding, **{place: FACES + "\n" + CAMERAS})
    rows = plain_ply.body(properties, 3, encoding)
    content = start + (faces + cameras + rows if place == "before" else rows + faces + cameras)
    assert_holds_plain_values(read_bytes(tmp_path, "scene.ply", content), 3, 3)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("degree", range(4))
def test_zero_gaussians_are_a_scene(tmp_path, encoding, degree):
    gaussians = read_bytes(tmp_path, "scene.ply", plain_ply.scene(0, degree, encoding=encoding))
    assert len(gaussians) == 0
    assert gaussians.sh_degree == degree
    formats.write(gaussians, tmp_path / "again.ply")
    assert len(formats.read(tmp_path / "again.ply")) == 0


def test_a_final_line_end_is_tolerated(tmp_path):
    for encoding in ENCODINGS:
        assert len(read_bytes(tmp_path, "scene.ply", plain_ply.scene(encoding=encoding) + b"\r\n")) == 3


@pytest.mark.parametrize(
    ("lines", "antialiased"),
    [
        ([], False),
        (["SplatRenderMode: mip"], True),
        (["splatrendermode:MIP"], True),
        (["SplatRenderMode: default"], False),
        (["antialiased 1"], True),
        (["antialiased 0"], False),
        (["not antialiased 1 at all"], False),
        (["antialiased 0", "SplatRenderMode: mip"], True),
        (["antialiased 1", "antialiased 0"], False),
    ],
)
def test_comments_say_whether_a_scene_is_antialiased(tmp_path, lines, antialiased):
    content = plain_ply.scene(lines=[f"comment {line}" for line in lines])
    gaussians = read_bytes(tmp_path, "scene.ply", content)
    assert gaussians.antialiased is antialiased
    assert gaussians.comments == tuple(lines)
    formats.write(gaussians, tmp_path / "again.ply")
    assert formats.read(tmp_path / "again.ply").antialiased is antialiased


def test_antialiasing_is_written_as_it_is_now_and_not_as_it_was(tmp_path):
    path = tmp_path / "scene.ply"
    formats.write(random_scene(antialiased=True), path)
    assert b"\ncomment SplatRenderMode: mip\n" in path.read_bytes()
    was = formats.read(path)
    formats.write(dataclasses.replace(was, antialiased=False), path, overwrite=True)
    assert formats.read(path).antialiased is False
    kept = dataclasses.replace(was, comments=("antialiased 1", "by hand"))
    formats.write(kept, path, overwrite=True)
    assert formats.read(path).comments == ("antialiased 1", "by hand")


def test_a_comment_cannot_smuggle_header_lines(tmp_path):
    path = tmp_path / "scene.ply"
    formats.write(random_scene(comments=("one\nend_header\r\ntwo",)), path)
    assert formats.read(path).comments == ("one", "end_header", "two")


@pytest.mark.parametrize("count", [1, 1056, 1057, 5000])
@pytest.mark.parametrize("degree", range(4))
def test_a_round_trip_keeps_every_bit(tmp_path, count, degree):
    flags = torch.arange(count).to(torch.uint8)
    gaussians = random_scene(count, degree, extras={"flag": flags}, comments=("a", "b"))
    gaussians.means[0] = torch.tensor([0x7F800001, 0x7FC12345, -0x80000000 + 1]).to(torch.int32).view(torch.float32)
    formats.write(gaussians, tmp_path / "scene.ply")
    again = formats.read(tmp_path / "scene.ply")
    assert_same_bits(again, gaussians)
    assert again.comments == gaussians.comments


def test_a_large_file_is_read_whole_by_its_two_threads(tmp_path):
    gaussians = random_scene(60_000)  # 15 MB, above the size from which two threads share the rows
    formats.write(gaussians, tmp_path / "scene.ply")
    assert_same_bits(formats.read(tmp_path / "scene.ply"), gaussians)


def test_unnormalised_quaternions_are_kept(tmp_path):
    gaussians = random_scene()
    gaussians.quats.mul_(7)
    formats.write(gaussians, tmp_path / "scene.ply")
    assert torch.equal(formats.read(tmp_path / "scene.ply").quats, gaussians.quats)


MEANINGFUL = [("opacities", float("inf")), ("opacities", float("-inf")), ("scales", float("-inf"))]


@pytest.mark.parametrize("name", TENSOR_NAMES)
@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_rows_that_are_not_finite_are_counted_kept_and_dropped_on_request(tmp_path, caplog, name, number):
    if (name, number) in MEANINGFUL:
        pytest.skip("this infinity has a meaning")
    gaussians = random_scene(9)
    getattr(gaussians, name).view(9, -1)[[2, 6], -1] = number
    formats.write(gaussians, tmp_path / "scene.ply")
    with caplog.at_level(logging.WARNING, logger="leansplat"):
        assert_same_bits(formats.read(tmp_path / "scene.ply"), gaussians)
        assert "2 of 9 Gaussians" in caplog.text
        assert str(tmp_path / "scene.ply") in caplog.text
        caplog.clear()
        dropped = formats.read(tmp_path / "scene.ply", drop_nonfinite=True)
        assert "2 of 9 Gaussians" in caplog.text
    assert_same_bits(dropped, gaussians[[0, 1, 3, 4, 5, 7, 8]])


def test_a_finite_scene_is_read_without_a_word(tmp_path, caplog):
    gaussians = random_scene()
    gaussians.means[0, 0] = torch.finfo(torch.float32).max
    formats.write(gaussians, tmp_path / "scene.ply")
    formats.read(tmp_path / "scene.ply")
    assert "Gaussians" not in caplog.text


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_doubles_beyond_float_range_are_reported_as_infinite(tmp_path, caplog, encoding):
    properties = [(name, "double") for name in plain_ply.names(0)]
    values = lambda name, row: 1e300 if name == "x" else plain_ply.value(name, row)  # noqa: E731
    content = plain_ply.header(properties, 2, encoding) + plain_ply.body(properties, 2, encoding, values)
    assert read_bytes(tmp_path, "scene.ply", content).means[:, 0].tolist() == [float("inf")] * 2
    assert "2 of 2 Gaussians" in caplog.text


def test_plyfile_and_gsply_read_what_we_write(tmp_path):
    for degree in range(4):
        gaussians = random_scene(31, degree)
        path = tmp_path / f"scene{degree}.ply"
        formats.write(gaussians, path)
        vertex = PlyData.read(path)["vertex"]
        assert [entry.name for entry in vertex.properties] == plain_ply.names(degree)
        assert {entry.val_dtype for entry in vertex.properties} == {"f4"}
        assert not any(vertex[name].any() for name in ("nx", "ny", "nz"))
        planar = np.stack([vertex[f"f_rest_{k}"] for k in range(plain_ply.REST[degree])], 1) if degree else None
        if planar is not None:
            expected = gaussians.shN.permute(0, 2, 1).reshape(31, -1).numpy()
            np.testing.assert_array_equal(planar, expected)
        np.testing.assert_array_equal(vertex["rot_3"], gaussians.quats[:, 3].numpy())

        other = gsply.plyread(path)
        np.testing.assert_array_equal(other.means, gaussians.means.numpy())
        np.testing.assert_array_equal(other.quats, gaussians.quats.numpy())
        np.testing.assert_array_equal(other.scales, gaussians.scales.numpy())
        np.testing.assert_array_equal(other.opacities.reshape(-1), gaussians.opacities.numpy())
        np.testing.assert_array_equal(other.sh0, gaussians.sh0[:, 0].numpy())


def test_we_read_what_gsply_writes(tmp_path):
    gaussians = random_scene(31, 3)
    fields = [getattr(gaussians, name).numpy() for name in ("means", "scales", "quats", "opacities")]
    gsply.plywrite(tmp_path / "scene.ply", *fields, gaussians.sh0[:, 0].numpy(), gaussians.shN.numpy())
    again = formats.read(tmp_path / "scene.ply")
    for name in ("means", "scales", "quats", "opacities", "sh0"):
        assert torch.equal(getattr(again, name), getattr(gaussians, name))
    vertex = PlyData.read(tmp_path / "scene.ply")["vertex"]
    np.testing.assert_array_equal(again.shN[:, 4, 1], vertex["f_rest_19"])


@pytest.mark.skipif(not FOX.exists(), reason="the shared scene fox_opensplat.ply is not beside the repository")
def test_a_scene_trained_by_another_tool_equals_what_plyfile_reads(tmp_path):
    gaussians = formats.read(FOX)
    assert len(gaussians) == 32_007
    assert gaussians.sh_degree == 3
    vertex = PlyData.read(FOX)["vertex"]
    columns = lambda *wanted: np.stack([vertex[name] for name in wanted], axis=1)  # noqa: E731
    np.testing.assert_array_equal(gaussians.means, columns("x", "y", "z"))
    np.testing.assert_array_equal(gaussians.quats, columns(*(f"rot_{k}" for k in range(4))))
    np.testing.assert_array_equal(gaussians.scales, columns(*(f"scale_{k}" for k in range(3))))
    np.testing.assert_array_equal(gaussians.opacities, vertex["opacity"])
    np.testing.assert_array_equal(gaussians.sh0[:, 0], columns(*(f"f_dc_{k}" for k in range(3))))
    for color in range(3):
        planar = columns(*(f"f_rest_{15 * color + k}" for k in range(15)))
        np.testing.assert_array_equal(gaussians.shN[:, :, color], planar)
    formats.write(gaussians, tmp_path / "again.ply")
    assert (tmp_path / "again.ply").read_bytes() == FOX.read_bytes()


def test_extras_of_types_ply_lacks_are_written_without_changing_a_value(tmp_path):
    extras = {
        "seen": torch.tensor([True, False]),
        "half": torch.tensor([0.5, 65504.0], dtype=torch.float16),
        "label": torch.tensor([-5, 2**31 - 1]),
        "key": torch.tensor([0, 2**32 - 1]),
    }
    formats.write(random_scene(2, extras=extras), tmp_path / "scene.ply")
    again = formats.read(tmp_path / "scene.ply").extras
    assert {name: again[name].tolist() for name in extras} == {name: extras[name].tolist() for name in extras}


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("x", torch.zeros(2)),
        ("f_rest_77", torch.zeros(2)),
        ("two words", torch.zeros(2)),
        ("", torch.zeros(2)),
        ("naïve", torch.zeros(2)),
        ("end\nelement", torch.zeros(2)),
        ("large", torch.tensor([-1, 2**32 - 1])),
        ("complex", torch.zeros(2, dtype=torch.complex64)),
    ],
)
def test_extras_that_ply_cannot_hold_are_refused_before_anything_is_written(tmp_path, name, values):
    with pytest.raises(SceneFileError, match="extra"):
        formats.write(random_scene(2, extras={name: values}), tmp_path / "scene.ply")
    assert list(tmp_path.iterdir()) == []


def test_an_extra_may_have_any_free_name(tmp_path):
    extras = {"parameters": torch.tensor([1.0, 2.0]), "f_dc_3": torch.tensor([3, 4], dtype=torch.int16)}
    gaussians = random_scene(2, extras=extras)
    formats.write(gaussians, tmp_path / "scene.ply")
    assert_same_bits(formats.read(tmp_path / "scene.ply"), gaussians)


def test_tensors_that_need_gradients_or_are_strided_are_written_as_they_are(tmp_path):
    gaussians = random_scene(10)
    odd = gaussians[torch.arange(0, 10, 2)]
    strided = Gaussians(*(getattr(gaussians, name)[::2].requires_grad_() for name in TENSOR_NAMES))
    formats.write(strided, tmp_path / "scene.ply")
    assert_same_bits(formats.read(tmp_path / "scene.ply"), odd)


def test_a_file_that_exists_is_only_replaced_on_request(tmp_path):
    path = tmp_path / "scene.ply"
    formats.write(random_scene(3), path)
    with pytest.raises(InputError, match="already exists"):
        formats.write(random_scene(5), path)
    assert len(formats.read(path)) == 3
    formats.write(random_scene(5), path, overwrite=True)
    assert len(formats.read(path)) == 5


def test_a_run_folder_stands_for_its_scene(tmp_path):
    formats.write(random_scene(4), tmp_path / "scene.ply")
    assert len(formats.read(tmp_path)) == 4


def test_content_decides_the_format_before_the_suffix(tmp_path):
    formats.write(random_scene(4), tmp_path / "scene.ply")
    (tmp_path / "scene.ply").rename(tmp_path / "scene.backup")
    assert len(formats.read(tmp_path / "scene.backup")) == 4


def test_an_unknown_suffix_is_refused_with_the_known_ones_named(tmp_path):
    with pytest.raises(SceneFileError, match=r"known are .*PLY \(\.ply\)"):
        formats.write(random_scene(4), tmp_path / "scene.gif")
