"""Files that are damaged, empty, hostile or no image: each is refused with a message that helps, and runs no code."""

import json
import os
import pickle
import struct
import zipfile
import zlib

import h5py
import numpy as np
import pytest
import tifffile
from PIL import Image

from atomnb import read_image
from atomnb.errors import AtomnbError, FileFormatError
from atomnb.io.formats import known_endings
from atomnb.io.safety import check_zarr
from atomnb.io.stem import list_images


class Trap:
    """An object whose unpickling leaves a file behind."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.fixture
def trap(tmp_path):
    """A trap; the test fails if anything unpickled it."""
    sprung = tmp_path / "sprung"
    yield Trap(sprung)
    assert not sprung.exists(), "the file ran code"


def test_the_trap_works(tmp_path):
    pickle.loads(pickle.dumps(Trap(tmp_path / "sprung"))).close()
    assert (tmp_path / "sprung").exists()


@pytest.mark.parametrize("ending", ["npy", "h5", "tif", "hspy", "dm3", "pkl"])
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_bare_pickle_is_refused(tmp_path, trap, ending, protocol):
    path = tmp_path / f"a.{ending}"
    path.write_bytes(pickle.dumps(trap, protocol=protocol))
    with pytest.raises(FileFormatError, match=r"pickle.*numpy\.save"):
        read_image(path)


def test_a_pickle_in_text_is_refused(tmp_path, trap):
    path = tmp_path / "a.npy"
    path.write_bytes(pickle.dumps(trap, protocol=0))
    with pytest.raises(FileFormatError):
        read_image(path)


def test_a_pickle_inside_npy_is_refused(tmp_path, trap):
    path = tmp_path / "a.npy"
    np.save(path, np.array([trap, 1], dtype=object), allow_pickle=True)
    with pytest.raises(FileFormatError, match=r"Python objects.*never opened"):
        read_image(path)
    with pytest.raises(FileFormatError, match="Python objects"):
        list_images(path)


def test_pickles_inside_hdf5_stay_bytes(tmp_path, trap, rng):
    payload = np.void(pickle.dumps(trap))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["image_data"] = payload
    with pytest.raises(FileFormatError, match="no image"):
        read_image(tmp_path / "a.h5")
    pixels = rng.random((32, 32))
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["image_data"] = pixels
        file["image_data"].attrs["metadata"] = payload
        file["metadata"] = payload
    np.testing.assert_array_equal(read_image(tmp_path / "b.h5").data, pixels)


def test_a_zarr_store_with_a_pickle_codec_is_refused(tmp_path):
    store = tmp_path / "a.zspy"
    (store / "Experiments" / "x" / "data").mkdir(parents=True)
    description = {"zarr_format": 2, "shape": [32], "chunks": [32], "dtype": "|O", "filters": [{"id": "pickle"}]}
    (store / "Experiments" / "x" / "data" / ".zarray").write_text(json.dumps(description))
    with pytest.raises(FileFormatError, match=r"codec \['pickle'\]"):
        read_image(store)
    archive = tmp_path / "b.zspy"
    with zipfile.ZipFile(archive, "w") as z:
        z.writestr("Experiments/x/data/.zarray", json.dumps(description))
    with pytest.raises(FileFormatError, match="pickle"):
        read_image(archive)
    third = {"zarr_format": 3, "node_type": "array", "codecs": [{"name": "numcodecs.pickle"}]}
    (store / "Experiments" / "x" / "data" / ".zarray").unlink()
    (store / "zarr.json").write_text(json.dumps({"consolidated_metadata": {"metadata": {"data": third}}}))
    with pytest.raises(FileFormatError, match=r"numcodecs\.pickle"):
        check_zarr(store)


def test_a_zip_bomb_is_refused_unopened(tmp_path):
    path = tmp_path / "a.zspy"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as z, z.open(".zmetadata", "w") as member:
        for _ in range(200):
            member.write(bytes(2**20))
    with pytest.raises(FileFormatError, match="bomb"):
        read_image(path)


def test_any_other_zip_is_named_with_what_is_in_it(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as z:
        z.writestr("image.emd", b"x")
    with pytest.raises(FileFormatError, match=r"unpack it.*image\.emd"):
        read_image(path)
    np.savez(tmp_path / "b.npz", image=np.zeros((32, 32)))
    with pytest.raises(FileFormatError, match=r"unpack it.*image\.npy"):
        read_image(tmp_path / "b.npz")


# --- sizes that cannot be true ---------------------------------------------------------------------------------------


def test_hdf5_that_declares_more_than_it_holds(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("image_data", shape=(1_000_000, 1_000_000), dtype="f4", chunks=(64, 64), compression="gzip")
    with pytest.raises(FileFormatError, match="1000000 × 1000000 px"):
        read_image(tmp_path / "a.h5")
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file.create_dataset("image_data", shape=(30_000, 30_000), dtype="f8", chunks=(64, 64), compression="gzip")
    with pytest.raises(FileFormatError, match="bomb"):
        read_image(tmp_path / "b.h5")


def png_of_zeros(path, width, height):
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


@pytest.mark.parametrize("side", [13_000, 60_000])
def test_png_bomb(tmp_path, side):
    png_of_zeros(tmp_path / "a.png", side, side)
    with pytest.raises(FileFormatError, match=r"bomb"):
        read_image(tmp_path / "a.png")


def test_tif_that_declares_more_than_it_holds(tmp_path, rng):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, rng.random((64, 64), dtype=np.float32), metadata=None)
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        tags = tiff.pages[0].tags
        for name in ("ImageWidth", "ImageLength", "RowsPerStrip"):
            tags[name].overwrite(60_000)
    with pytest.raises(FileFormatError, match="60000"):
        read_image(path)


def test_npy_that_declares_more_than_it_holds(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.zeros((32, 32)))
    path.write_bytes(path.read_bytes().replace(b"(32, 32)", b"(9**9,8)"))
    with pytest.raises(FileFormatError):
        read_image(path)
    np.save(path, np.zeros((32, 32)))
    path.write_bytes(path.read_bytes().replace(b"(32, 32), }  ", b"(32, 32000)}"[:12] + b" "))
    with pytest.raises(FileFormatError, match="truncated"):
        read_image(path)


def test_mrc_that_declares_more_than_it_holds(tmp_path):
    header = np.zeros(256, "<u4")
    header[:4] = (4000, 4000, 4000, 6)
    (tmp_path / "a.mrc").write_bytes(header.tobytes() + bytes(100))
    with pytest.raises(FileFormatError, match="truncated"):
        read_image(tmp_path / "a.mrc")
    (tmp_path / "b.mrc").write_bytes(header.tobytes()[:500])
    with pytest.raises(FileFormatError, match="1024 bytes"):
        read_image(tmp_path / "b.mrc")


def test_hdf5_pixels_in_other_files_are_not_followed(tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(os.urandom(32 * 32))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("image_data", (32, 32), dtype="u1", external=[(str(secret), 0, 32 * 32)])
    with pytest.raises(FileFormatError, match="another file"):
        read_image(tmp_path / "a.h5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = np.zeros((32, 32))
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["image_data"] = h5py.ExternalLink("other.h5", "x")
    with pytest.raises(FileFormatError, match="another file"):
        read_image(tmp_path / "b.h5")


# --- damaged files ---------------------------------------------------------------------------------------------------


def written(path, rng):
    """A small valid file of the format that the ending of `path` names."""
    counts = rng.integers(0, 200, (48, 64), dtype=np.uint8)
    if path.suffix == ".npy":
        np.save(path, counts)
    elif path.suffix == ".tif":
        tifffile.imwrite(path, counts)
    elif path.suffix in (".png", ".jpg"):
        Image.fromarray(counts).save(path)
    else:
        with h5py.File(path, "w") as file:
            file["image_data"] = counts
    return path


@pytest.mark.parametrize("ending", ["npy", "tif", "png", "jpg", "h5", "hspy", "emd"])
@pytest.mark.parametrize("share", [0.02, 0.4, 0.9])
def test_truncated(tmp_path, rng, ending, share):
    path = written(tmp_path / f"a.{ending}", rng)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(FileFormatError, match=r"a\."):
        read_image(path).frame()


@pytest.mark.parametrize(
    "name",
    [
        "temul_pypi/example_Se_implanted_MoS2.dm3",
        "bto_dm4/BTO_crystal_1.dm4",
        "blobnet/WS2.emd",
        "tk_r_em/hrstem_example.ser",
        "hyperspy_demos/stem_abf_data_imagestack.hspy",
        "reader_fixtures/rsciio__tests__data__mrc__HAADFscan.mrc",
    ],
)
@pytest.mark.parametrize("share", [0.0005, 0.5, 0.98])
def test_truncated_real_file(shared_data, tmp_path, name, share):
    source = shared_data / "stem" / name
    path = tmp_path / source.name
    content = source.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    if name.endswith("mrc") and share == 0.98:
        pytest.skip("this file has more room than pixels")
    with pytest.raises(FileFormatError, match=path.name):
        read_image(path).frame()


@pytest.mark.parametrize("ending", ["npy", "tif", "png", "h5"])
def test_random_damage_never_escapes_as_another_error(tmp_path, ending):
    rng = np.random.default_rng(5)
    original = written(tmp_path / f"a.{ending}", rng).read_bytes()
    for trial in range(25):
        damaged = bytearray(original)
        for place in rng.integers(0, min(len(damaged), 2000), 8):
            damaged[place] = rng.integers(256)
        path = tmp_path / f"{trial}.{ending}"
        path.write_bytes(bytes(damaged))
        try:
            read_image(path).frame()
        except AtomnbError as error:
            assert str(error)


@pytest.mark.parametrize("ending", ["tif", "dm3", "npy", "h5", "mrc", "emi"])
def test_empty(tmp_path, ending):
    (tmp_path / f"a.{ending}").touch()
    with pytest.raises(FileFormatError, match=r"empty \(0 bytes\)"):
        read_image(tmp_path / f"a.{ending}")


@pytest.mark.parametrize("ending", ["tif", "dm3", "npy", "h5", "png", "ser"])
def test_a_web_page_under_a_wrong_name(tmp_path, ending):
    path = tmp_path / f"a.{ending}"
    path.write_text("<!DOCTYPE html><html>404 not found</html>")
    with pytest.raises(FileFormatError, match="another format under the wrong name"):
        read_image(path)


def test_the_content_counts_not_the_ending(tmp_path, rng):
    pixels = rng.integers(0, 255, (32, 32), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.TIF")
    np.testing.assert_array_equal(read_image(tmp_path / "a.TIF").data, pixels)


@pytest.mark.parametrize("name", ["labels.csv", "notes.txt", "about.json", "atoms.xyz", "noending"])
def test_files_that_are_no_image_format(tmp_path, name):
    (tmp_path / name).write_text("x,y\n1,2\n")
    with pytest.raises(FileFormatError, match="not an image") as caught:
        read_image(tmp_path / name)
    assert known_endings() in str(caught.value)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="check the spelling"):
        read_image(tmp_path / "no.dm3")
    with pytest.raises(FileFormatError, match="folder"):
        read_image(tmp_path)
