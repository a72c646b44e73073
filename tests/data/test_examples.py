"""Samples open by name with their credit; downloads are checked, and failures say what to do."""

import hashlib
import shutil

import numpy as np
import pytest

from atomnb import list_samples, sample_image
from atomnb.data import examples
from atomnb.data.examples import fetch_example, list_examples, sample_path, sample_truth
from atomnb.errors import AtomnbError, FileFormatError

OPEN_LICENCES = {"MIT", "GPL-3.0", "GPL-3.0-or-later", "Apache-2.0 AND MIT"}
MEASURED = [s.name for s in list_samples() if not s.is_simulated]
SIMULATED = [s.name for s in list_samples() if s.is_simulated]


def test_names_are_unique_and_everyone_is_credited():
    samples = list_samples()
    assert len({s.name for s in samples}) == len(samples)
    for sample in samples:
        assert sample.licence in OPEN_LICENCES
        assert sample.author in sample.credit
        assert sample.source in sample.credit


def test_the_carried_files_are_small_and_listed_with_their_licence():
    folder = sample_path(MEASURED[0]).parent
    assert sum(f.stat().st_size for f in folder.iterdir()) < 2_000_000
    credits = (folder / "README.md").read_text(encoding="utf-8")
    for name in MEASURED:
        assert sample_path(name).name in credits
    assert {f.name for f in folder.iterdir()} == {sample_path(name).name for name in MEASURED} | {"README.md"}


@pytest.mark.parametrize("name", MEASURED)
def test_measured_sample(name):
    image = sample_image(name)
    assert image.name == name
    assert image.metadata["licence"] in OPEN_LICENCES
    assert image.frame().std() > 0
    assert sample_truth(name) is None


@pytest.mark.parametrize(("name", "spacing"), [("dysco3", 3.95 / np.sqrt(2)), ("perovskite-adf", 3.905)])
def test_the_stated_scale_gives_the_known_lattice(name, spacing):
    """The strongest period of the image is a lattice spacing of the material (Å), within 4 %."""
    image = sample_image(name)
    pixels = image.frame() - image.frame().mean()
    window = np.outer(*(np.hanning(n) for n in image.shape))
    power = np.abs(np.fft.fft2(pixels * window, (1024, 1024))) ** 2
    frequency = np.hypot(*np.meshgrid(*(np.fft.fftfreq(1024, image.pixel_size),) * 2))
    band = np.abs(frequency * spacing - 1) < 0.2
    strongest = power[band].argmax()
    assert power[band][strongest] > 100 * np.median(power[band])
    assert frequency[band][strongest] * spacing == pytest.approx(1, abs=0.04)


@pytest.mark.parametrize("name", SIMULATED)
def test_simulated_sample_has_its_atoms_where_the_image_is_bright(name):
    image, truth = sample_image(name), sample_truth(name)
    pixels = image.frame()
    assert image.pixel_size == truth.pixel_size
    assert truth.shape == image.shape
    y, x = np.rint(truth.positions_yx).astype(int).T
    inside = (y >= 0) & (x >= 0) & (y < image.shape[0]) & (x < image.shape[1])
    assert inside.sum() > 100
    assert pixels[y[inside], x[inside]].mean() > pixels.mean() + 0.3 * pixels.std()
    np.testing.assert_array_equal(sample_image(name).data, image.data)
    with pytest.raises(AtomnbError, match="simulated"):
        sample_path(name)


def test_unknown_names():
    with pytest.raises(AtomnbError, match=r"no sample 'x'; there are .*si-110"):
        sample_image("x")
    with pytest.raises(AtomnbError, match=r"no example 'x'; there are .*\.tif"):
        fetch_example("x")


# --- downloads -------------------------------------------------------------------------------------------------------


def from_sample(url, output_file, pooch):
    """In place of the network: the carried copy of the same file."""
    shutil.copy(sample_path("si-110"), output_file)


def no_network(url, output_file, pooch):
    from requests import ConnectionError as NoConnection

    raise NoConnection("name resolution failed")


def must_not_be_called(url, output_file, pooch):
    raise AssertionError("downloaded again")


def test_registry_is_open_pinned_and_complete():
    for example in list_examples():
        assert example.licence in OPEN_LICENCES
        host, owner, repository, commit, *_ = example.url.removeprefix("https://").split("/")
        assert host == "raw.githubusercontent.com"
        assert f"{owner}/{repository}" == example.source
        assert len(commit) == 40
        assert len(example.sha256) == 64
        assert example.bytes > 0


def test_fetch_checks_and_keeps(tmp_path):
    name = sample_path("si-110").name
    path = fetch_example(name, cache_dir=tmp_path, downloader=from_sample)
    assert path == tmp_path / name
    expected = next(e for e in list_examples() if e.name == name)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == expected.sha256
    assert path.stat().st_size == expected.bytes
    assert fetch_example(name, cache_dir=tmp_path, downloader=must_not_be_called) == path


def test_another_file_than_expected_is_refused(tmp_path):
    with pytest.raises(FileFormatError, match=r"SHA-256 differs"):
        fetch_example("bpy_crop1.png", cache_dir=tmp_path, downloader=from_sample)
    assert not list(tmp_path.iterdir())


def test_without_network_the_message_says_where_to_get_the_file(tmp_path):
    with pytest.raises(ConnectionError) as caught:
        fetch_example("bpy_crop1.png", cache_dir=tmp_path, downloader=no_network)
    assert "https://raw.githubusercontent.com/Sjeon1/" in str(caught.value)
    assert str(tmp_path / "bpy_crop1.png") in str(caught.value)


def test_fetched_names_and_hashes_are_those_of_the_real_files(shared_data):
    hashes = {hashlib.sha256(p.read_bytes()).hexdigest() for p in (shared_data / "stem").rglob("*") if p.is_file()}
    assert {e.sha256 for e in examples.list_examples()} <= hashes
