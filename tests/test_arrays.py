"""`GaussianArrays`, the scene in NumPy: the same numbers as `Gaussians`, and what their values mean."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from leansplat import arrays, formats
from leansplat.arrays import TENSOR_NAMES, GaussianArrays, in_runs, median
from leansplat.gaussians import Gaussians


def scene(count: int = 40, degree: int = 2, seed: int = 0, **others: object) -> GaussianArrays:
    random = np.random.default_rng(seed)
    shapes = ((count, 3), (count, 4), (count, 3), (count,), (count, 1, 3), (count, (degree + 1) ** 2 - 1, 3))
    values = [random.normal(size=shape).astype(np.float32) for shape in shapes]
    return GaussianArrays(*values, **others)  # type: ignore[arg-type]


def test_tensors_and_arrays_share_their_memory() -> None:
    found = scene(extras={"label": np.arange(40, dtype=np.int32)}, comments=("c",), origin=(1.0, 2.0, 3.0))
    tensors = Gaussians.from_arrays(found)
    back = tensors.arrays()
    for name in TENSOR_NAMES:
        assert getattr(tensors, name).data_ptr() == getattr(found, name).ctypes.data
        assert np.shares_memory(getattr(back, name), getattr(found, name))
    assert np.shares_memory(back.extras["label"], found.extras["label"])
    assert (back.comments, back.origin, back.antialiased) == (found.comments, found.origin, found.antialiased)


@pytest.mark.parametrize("suffix", [".ply", ".compressed.ply", ".spz", ".sog", ".splat", ".glb"])
def test_what_is_read_becomes_tensors_without_a_copy(tmp_path, monkeypatch, suffix: str) -> None:
    formats.write(scene(), tmp_path / f"scene{suffix}")
    held = []
    read = formats.read_arrays
    monkeypatch.setattr(formats, "read_arrays", lambda *given, **named: held.append(read(*given, **named)) or held[0])
    found = formats.read(tmp_path / f"scene{suffix}")
    for name in TENSOR_NAMES:
        tensor, array = getattr(found, name), getattr(held[0], name)
        assert tensor.is_contiguous()
        assert tensor.numel() == 0 or tensor.data_ptr() == array.ctypes.data


def test_gradients_and_other_types_are_left_behind_in_arrays() -> None:
    tensors = Gaussians.from_arrays(scene())
    wide = tensors._map(lambda values: values.to(torch.bfloat16).requires_grad_())
    found = wide.arrays()
    assert found.means.dtype == np.float32
    np.testing.assert_array_equal(found.means, tensors.means.to(torch.bfloat16).float().numpy())


@pytest.mark.parametrize("rows", [slice(3, 9), [5, 1, 1, -1], [], np.arange(40) % 3 == 0])
def test_both_select_the_same_rows(rows) -> None:
    found = scene(extras={"label": np.arange(40)})
    chosen, expected = found[rows], Gaussians.from_arrays(found)[rows]
    assert len(chosen) == len(expected)
    for name in TENSOR_NAMES:
        np.testing.assert_array_equal(getattr(chosen, name), getattr(expected, name).numpy())
    np.testing.assert_array_equal(chosen.extras["label"], expected.extras["label"].numpy())


def test_a_mask_of_another_length_is_refused() -> None:
    with pytest.raises(IndexError, match="does not select among 40"):
        scene()[np.ones(39, bool)]


def test_values_mean_the_same_whoever_holds_them() -> None:
    found = scene(9_000, 1)
    found.opacities[[5, 8_500]] = np.inf, -np.inf
    found.scales[7, 1] = -np.inf
    found.shN[8_200, 1, 2] = np.nan
    found.quats[11] = 0
    for name in TENSOR_NAMES:
        getattr(found, name)[8_190:8_199] = getattr(found, name)[8_190]  # across blocks
    tensors = Gaussians.from_arrays(found)
    assert np.flatnonzero(found.finite()).tolist() == tensors.finite().nonzero().flatten().tolist()
    assert np.flatnonzero(~found.finite_equivalent().finite()).tolist() == [8_200]
    assert np.flatnonzero(found.without_rotation()).tolist() == [11]
    assert np.flatnonzero(found.padding()).tolist() == [*range(8_191, 8_199)]
    assert torch.equal(tensors.padding(), torch.from_numpy(found.padding()))


def test_only_long_runs_count() -> None:
    repeated = np.array([0, *[1] * 6, 0, *[1] * 7, 0, 1, 0, *[1] * 9], bool)
    assert np.flatnonzero(in_runs(repeated)).tolist() == [*range(8, 15), *range(18, 27)]
    assert not in_runs(np.zeros(0, bool)).any()


def test_the_median_is_the_lower_one_as_in_pytorch() -> None:
    for count in (1, 2, 7, 10):
        values = np.random.default_rng(count).normal(size=(count, 3))
        np.testing.assert_array_equal(median(values), torch.from_numpy(values).median(dim=0).values.numpy())


def test_degrees_are_padded_when_scenes_are_joined() -> None:
    both = arrays.concatenate([scene(3, 0), scene(2, 2)])
    assert both.shN.shape == (5, 8, 3)
    assert not both.shN[:3].any()
    np.testing.assert_array_equal(both.shN[3:], scene(2, 2).shN)
