"""Reading images: pixels, scale, channel and metadata of every format; files are written here or are real ones."""

import csv
import json
import warnings
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import pytest
import tifffile
from PIL import Image

import atomnb.errors
from atomnb import read_image
from atomnb.errors import CalibrationError, CalibrationWarning, FileFormatError, ImageError
from atomnb.io.stem import list_images

_TABLE = (Path(__file__).parent / "expected_files.tsv").read_text(encoding="utf-8")
EXPECTED = list(csv.DictReader(_TABLE.splitlines(), delimiter="\t"))
"""Of every real file: shape, pixel size (Å), or the error and a fragment of its message."""


@pytest.fixture
def pixels(rng) -> np.ndarray:
    return rng.random((24, 40), dtype=np.float32)


class Ax(NamedTuple):
    """An axis of a file to be written with HyperSpy."""

    size: int
    scale: float = 1.0
    unit: str | None = None
    navigate: bool = False


def yx(data, scale, unit):
    return [Ax(n, scale, unit) for n in data.shape[-2:]]


def write_hspy(path, data, axes, *, title=""):
    """A file as HyperSpy writes it."""
    from hyperspy.api import signals

    make = signals.BaseSignal
    described = [
        {"size": a.size, "scale": a.scale, "units": a.unit, "navigate": a.navigate, "offset": 0.0} for a in axes
    ]
    make(data, axes=described, metadata={"General": {"title": title}}).save(path, overwrite=True)


def write_several(path, named):
    """One file with several signals: name -> (data, axes)."""
    with h5py.File(path, "w") as whole:
        whole.attrs.update({"file_format": "HyperSpy", "file_format_version": "3.3"})
        group = whole.create_group("Experiments")
        for name, (data, axes) in named.items():
            one = path.with_name(f"{name}.hspy")
            write_hspy(one, data, axes, title=name)
            with h5py.File(one) as file:
                file.copy(f"Experiments/{name}", group)


# --- the table of real files -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", EXPECTED, ids=[row["file"] for row in EXPECTED])
def test_real_file(shared_data, row):
    path = shared_data / row["file"]
    if row["error"]:
        with pytest.raises(getattr(atomnb.errors, row["error"]), match=row["fragment"]):
            read_image(path)
        return
    if row["calibration_warning"]:
        with pytest.warns(CalibrationWarning, match="without a unit"):
            image = read_image(path)
    else:
        image = read_image(path)
    assert "×".join(map(str, image.data.shape)) == row["shape"]
    expected = float(row["pixel_size"]) if row["pixel_size"] else None
    assert image.pixel_size == (None if expected is None else pytest.approx(expected, rel=1e-5))
    assert image.is_lazy == image.is_stack
    assert np.asarray(image.data[0] if image.is_stack else image.data).shape == image.shape


def test_the_table_names_every_real_file(shared_data):
    there = {str(p.relative_to(shared_data)) for p in (shared_data / "stem").rglob("*") if p.is_file()}
    assert there == {row["file"] for row in EXPECTED}


def test_the_table_agrees_with_the_manifest(shared_data):
    """The manifest was made by hand and by other programs: sizes and scales there are an independent witness."""
    with (shared_data / "MANIFEST.tsv").open(encoding="utf-8", newline="") as file:
        manifest = {row["file"]: row for row in csv.DictReader(file, delimiter="\t")}
    compared = 0
    for row in EXPECTED:
        witness = manifest.get(row["file"])
        if (
            row["error"] or witness is None or "FFTComplex" in row["file"]
        ):  # there the manifest gives the diffractogram's size
            continue
        if witness["pixels"]:
            assert sorted(witness["pixels"].split("x")) == sorted(row["shape"].split("×")), row["file"]
        if witness["scale_nm"].replace(".", "", 1).isdigit():
            assert float(row["pixel_size"]) == pytest.approx(10 * float(witness["scale_nm"]), rel=1e-4)
            compared += 1
    assert compared >= 20


def test_metadata_of_a_velox_file(shared_data):
    image = read_image(shared_data / "stem/temul_pypi/example_Au_nanoparticle.emd")
    assert image.metadata["beam_energy_kev"] == 300
    assert image.metadata["dwell_time_s"] == pytest.approx(2.5e-6)
    assert image.metadata["detector"] == "HAADF"
    assert image.metadata["magnification"] == 5_100_000
    assert image.metadata["date"] == "2019-08-13"
    assert image.metadata["source_file"] == "example_Au_nanoparticle.emd"
    assert image.metadata["reader"] == "rsciio.emd"
    json.dumps(dict(image.metadata))


def test_metadata_of_a_digital_micrograph_file(shared_data):
    image = read_image(shared_data / "stem/ingrained_gb/CdTe_110_CdTe_110_tilt__HAADF149.dm3")
    assert image.metadata["beam_energy_kev"] == 200
    assert image.metadata["detector"] == "HAADF"
    assert image.metadata["magnification"] == 25_000_000
    assert image.metadata["dwell_time_s"] == pytest.approx(31e-6, rel=0.01)


def test_a_diffractogram_beside_the_image_is_not_taken(shared_data):
    path = shared_data / "stem/reader_fixtures/rsciio__tests__data__emd__FFTComplexEven.emd"
    assert [(e.name, e.is_image) for e in list_images(path)] == [("Half FFT", False), ("HAADF", True)]
    image = read_image(path)
    assert image.metadata["channel"] == 1
    assert image.metadata["channel_name"] == "HAADF"
    with pytest.raises(ImageError, match="complex"):
        read_image(path, channel="Half FFT")


def test_a_line_plot_beside_the_image_is_listed_but_not_taken(shared_data):
    path = shared_data / "stem/reader_fixtures/rsciio__tests__data__digitalmicrograph__2D__multi_signal.dm3"
    assert [(e.name, e.is_image) for e in list_images(path)] == [("HAADF", True), ("Plot", False)]
    assert read_image(path).metadata["detector"] == "HAADF"
    with pytest.raises(ImageError, match="line profile"):
        read_image(path, channel=1)


# --- formats, written here -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compression", [None, "lzw", "zlib"])
def test_tif_of_floats(tmp_path, pixels, compression):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels, compression=compression)
    image = read_image(path)
    np.testing.assert_array_equal(image.data, pixels)
    assert image.pixel_size is None
    assert not image.is_lazy


def test_tif_of_imagej_with_its_scale(tmp_path, pixels):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels, imagej=True, resolution=(1 / 0.02, 1 / 0.02), metadata={"unit": "nm"})
    assert read_image(path).pixel_size == pytest.approx(0.2, rel=1e-4)
    tifffile.imwrite(path, pixels, imagej=True, resolution=(5e4, 5e4), metadata={"unit": "micron"})
    assert read_image(path).pixel_size == pytest.approx(0.2, rel=1e-4)


def test_tif_of_imagej_without_unit_is_uncalibrated(tmp_path, pixels):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels, imagej=True, resolution=(50, 50), metadata={"unit": "pixel"})
    with pytest.warns(CalibrationWarning, match=r"not a length.*set it"):
        image = read_image(path)
    assert image.pixel_size is None


def test_tif_of_fei_with_its_scale(tmp_path, pixels):
    path = tmp_path / "a.tif"
    text = "[Scan]\r\nPixelWidth=2e-011\r\nPixelHeight=2e-011\r\n"
    tifffile.imwrite(path, pixels, extratags=[(34682, "s", 0, text, True)], metadata=None)
    assert read_image(path).pixel_size == pytest.approx(0.2)


def test_tif_of_hyperspy_with_digital_micrograph_tags(tmp_path, pixels):
    path = tmp_path / "a.tif"
    write_hspy(path, pixels, yx(pixels, 20.0, "pm"))
    assert read_image(path).pixel_size == pytest.approx(0.2)


def test_tif_stack_is_lazy_and_leaves_no_file_open(tmp_path, rng):
    frames = rng.random((5, 24, 40), dtype=np.float32)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, frames, photometric="minisblack")
    image = read_image(path)
    assert image.is_lazy
    assert image.n_frames == 5
    for i in (3, 0):
        np.testing.assert_array_equal(image.frame(i), frames[i])


def test_tif_stack_of_imagej_in_one_block_with_its_time_step(tmp_path, rng):
    """ImageJ writes large stacks as one block behind a single page."""
    frames = rng.random((5, 24, 40), dtype=np.float32)
    path = tmp_path / "a.tif"
    described = {"unit": "nm", "finterval": 0.5, "axes": "TYX"}
    for truncate in (False, True):
        tifffile.imwrite(path, frames, imagej=True, truncate=truncate, resolution=(50, 50), metadata=described)
        image = read_image(path)
        assert image.is_lazy
        assert image.time_step == 0.5
        assert image.pixel_size == pytest.approx(0.2)
        np.testing.assert_array_equal(image.frame(3), frames[3])


def test_tif_stack_in_colour(tmp_path, rng):
    frames = rng.integers(0, 255, (3, 24, 40, 3), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", frames, photometric="rgb")
    image = read_image(tmp_path / "a.tif")
    assert image.data.shape == (3, 24, 40)
    np.testing.assert_allclose(image.frame(1), frames[1] @ np.array([0.2125, 0.7154, 0.0721]), rtol=1e-5)


def test_tif_with_separate_colour_planes_is_refused(tmp_path, rng):
    planes = rng.integers(0, 255, (3, 24, 40), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", planes, photometric="rgb", planarconfig="separate")
    with pytest.raises(FileFormatError, match="separate planes"):
        read_image(tmp_path / "a.tif")


def test_png_keeps_its_bits(tmp_path, rng):
    for dtype in (np.uint8, np.uint16):
        counts = rng.integers(0, np.iinfo(dtype).max, (24, 40), dtype=dtype)
        Image.fromarray(counts).save(tmp_path / "a.png")
        image = read_image(tmp_path / "a.png")
        np.testing.assert_array_equal(image.data, counts)
        assert image.data.dtype == dtype
        assert image.pixel_size is None


def test_colour_becomes_luminance(tmp_path, rng):
    colour = rng.integers(0, 255, (24, 40, 3), dtype=np.uint8)
    expected = colour @ np.array([0.2125, 0.7154, 0.0721])
    Image.fromarray(colour).save(tmp_path / "a.png")
    tifffile.imwrite(tmp_path / "a.tif", colour, photometric="rgb")
    for path in (tmp_path / "a.png", tmp_path / "a.tif"):
        np.testing.assert_allclose(read_image(path).data, expected, rtol=1e-5)


def test_grey_saved_as_colour_keeps_its_values(tmp_path, rng):
    grey = rng.integers(0, 255, (24, 40), dtype=np.uint8)
    Image.fromarray(grey).convert("RGBA").save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png")
    np.testing.assert_array_equal(image.data, grey)
    assert image.data.dtype == np.uint8


def test_jpg_opens(tmp_path):
    ramp = np.tile(np.arange(40, dtype=np.uint8) * 6, (24, 1))
    Image.fromarray(ramp).save(tmp_path / "a.jpg", quality=95)
    assert np.abs(read_image(tmp_path / "a.jpg").data.astype(float) - ramp).max() < 8


def test_npy(tmp_path, pixels):
    np.save(tmp_path / "a.npy", pixels.astype(">f4"))
    image = read_image(tmp_path / "a.npy")
    np.testing.assert_array_equal(image.data, pixels)
    assert image.data.dtype.isnative
    assert image.name == "a"


def test_npy_stack_stays_on_disk(tmp_path, rng):
    frames = rng.random((4, 24, 40))
    np.save(tmp_path / "a.npy", frames)
    image = read_image(tmp_path / "a.npy")
    assert image.is_lazy
    np.testing.assert_allclose(image.frame(2), frames[2], rtol=1e-6)
    in_memory = read_image(tmp_path / "a.npy", lazy=False)
    assert not in_memory.is_lazy
    np.testing.assert_array_equal(in_memory.data, frames)


def test_single_image_can_be_lazy(tmp_path, pixels):
    np.save(tmp_path / "a.npy", pixels)
    image = read_image(tmp_path / "a.npy", lazy=True)
    assert image.is_lazy
    np.testing.assert_array_equal(image.frame(), pixels)


@pytest.mark.parametrize(("scale", "unit"), [(0.02, "nm"), (20.0, "pm"), (0.2, "Å"), (2e-5, "µm")])
def test_hspy_in_any_unit_of_length(tmp_path, pixels, scale, unit):
    write_hspy(tmp_path / "a.hspy", pixels, yx(pixels, scale, unit), title="HAADF")
    image = read_image(tmp_path / "a.hspy")
    np.testing.assert_array_equal(image.data, pixels)
    assert image.pixel_size == pytest.approx(0.2)
    assert image.metadata["detector"] == "HAADF"


def test_hspy_in_reciprocal_unit_is_uncalibrated(tmp_path, pixels):
    write_hspy(tmp_path / "a.hspy", pixels, yx(pixels, 0.1, "1/nm"))
    with pytest.warns(CalibrationWarning, match="not a length"):
        assert read_image(tmp_path / "a.hspy").pixel_size is None


def test_hspy_movie_has_its_time_step(tmp_path, rng):
    frames = rng.random((3, 24, 40), dtype=np.float32)
    axes = [Ax(3, 250.0, "ms", navigate=True), *yx(frames, 0.02, "nm")]
    write_hspy(tmp_path / "a.hspy", frames, axes)
    image = read_image(tmp_path / "a.hspy")
    assert image.is_lazy
    assert image.time_step == pytest.approx(0.25)
    np.testing.assert_array_equal(image.frame(2), frames[2])


def test_a_scale_of_the_user_replaces_that_of_the_file(tmp_path, pixels):
    write_hspy(tmp_path / "a.hspy", pixels, yx(pixels, 0.02, None))
    assert read_image(tmp_path / "a.hspy", pixel_size=0.3).pixel_size == 0.3  # and no warning
    with pytest.raises(CalibrationError, match="pixel_size"):
        read_image(tmp_path / "a.hspy", pixel_size=-1)


def test_channel_of_a_file_with_several(tmp_path, rng):
    big, haadf, small = rng.random((64, 64)), rng.random((32, 32)), rng.random((20, 20))
    fft = rng.random((64, 64)) + 1j
    named = {
        "ABF": (big, yx(big, 0.02, "nm")),
        "FFT": (fft, yx(fft, 0.02, "1/nm")),
        "HAADF 2": (haadf, yx(haadf, 0.02, "nm")),
        "survey": (small, yx(small, 0.02, "nm")),
    }
    write_several(tmp_path / "a.hspy", named)
    entries = list_images(tmp_path / "a.hspy")
    by_name = {e.name: e for e in entries}
    assert {e.name for e in entries if e.is_image} == {"ABF", "HAADF 2", "survey"}
    assert by_name["ABF"].shape == (64, 64)
    assert by_name["ABF"].pixel_size == pytest.approx(0.2)
    np.testing.assert_array_equal(read_image(tmp_path / "a.hspy").data, haadf)
    np.testing.assert_array_equal(read_image(tmp_path / "a.hspy", channel="ABF").data, big)
    np.testing.assert_array_equal(read_image(tmp_path / "a.hspy", channel=by_name["survey"].index).data, small)
    for missing in ("DF", 9, -1):
        with pytest.raises(ImageError, match=r"no channel .*HAADF 2"):
            read_image(tmp_path / "a.hspy", channel=missing)


def test_the_largest_real_image_is_taken_when_no_detector_is_named(tmp_path, rng):
    images = {"b": rng.random((32, 32)), "a": rng.random((48, 32)), "c": rng.random((24, 24))}
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name, data in images.items():
            file[name] = data
        file["diffractogram"] = rng.random((64, 64)) + 1j
    image = read_image(tmp_path / "a.h5")
    np.testing.assert_array_equal(image.data, images["a"])
    assert image.metadata["channels"] == ("a", "b", "c", "diffractogram")


def test_emd_of_ncem(tmp_path, pixels):
    path = tmp_path / "a.emd"
    write_hspy(path, pixels, yx(pixels, 0.02, "nm"), title="ADF")
    image = read_image(path)
    assert image.shape == pixels.shape
    assert image.pixel_size == pytest.approx(0.2)
    assert image.metadata["reader"] == "rsciio.emd"


def test_mrc(tmp_path, rng):
    counts = rng.integers(0, 1000, (24, 40)).astype("<u2")
    write_mrc(tmp_path / "a.mrc", counts, angstrom_per_px=0.2)
    image = read_image(tmp_path / "a.mrc")
    np.testing.assert_array_equal(image.data, counts)
    assert image.pixel_size == pytest.approx(0.2, rel=1e-5)


def write_mrc(path, counts, *, angstrom_per_px):
    height, width = counts.shape
    header = np.zeros(256, "<u4")
    header[:10] = (width, height, 1, 6, 0, 0, 0, width, height, 1)
    header.view("<f4")[10:13] = (width * angstrom_per_px, height * angstrom_per_px, angstrom_per_px)
    header[16:19] = (1, 2, 3)
    header[52] = int.from_bytes(b"MAP ", "little")
    header[53] = int.from_bytes(b"DA\x00\x00", "little")
    path.write_bytes(header.tobytes() + counts.tobytes())


@pytest.mark.parametrize("zipped", [False, True])
def test_zspy(tmp_path, rng, zipped):
    frames = rng.random((3, 24, 40), dtype=np.float32)
    image = read_image(write_zspy(tmp_path, frames, zipped=zipped))
    assert image.is_lazy
    assert image.pixel_size == pytest.approx(0.2)
    assert image.time_step == 0.5
    np.testing.assert_array_equal(image.frame(1), frames[1])


def write_zspy(folder, frames, *, zipped=False, filters=None):
    """A file as HyperSpy writes it (RosettaSciIO 0.15 itself cannot write with Zarr 3)."""
    import shutil

    zarr = pytest.importorskip("zarr")
    root = zarr.open_group(folder / "a.zspy", mode="w", zarr_format=2)
    root.attrs.update({"file_format": "ZSpy", "file_format_version": "3.3"})
    group = root.require_group("Experiments/test")
    data = group.create_array("data", shape=frames.shape, chunks=(1, *frames.shape[1:]), dtype="f4", filters=filters)
    data[:] = frames
    axes = [Ax(len(frames), 0.5, "s", navigate=True), *yx(frames, 0.02, "nm")]
    for i, a in enumerate(axes):
        described = {"size": a.size, "scale": a.scale, "units": a.unit, "navigate": a.navigate, "offset": 0.0}
        group.require_group(f"axis-{i}").attrs.update({"_type": "UniformDataAxis", **described})
    for name in ("metadata", "metadata/General", "metadata/Signal", "original_metadata", "attributes"):
        group.require_group(name)
    if not zipped:
        return folder / "a.zspy"
    archive = shutil.make_archive(str(folder / "b"), "zip", folder / "a.zspy")
    return Path(archive).rename(folder / "b.zspy")


# --- HDF5 layouts ----------------------------------------------------------------------------------------------------


def test_library_input_has_its_scan_size_in_pm(tmp_path, rng):
    data = rng.random((1, 32, 32, 1), dtype=np.float32)
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file["nn_input"] = data
        file["nn_input"].attrs["scan size"] = 640.0
        file["nn_input"].attrs["metadata"] = json.dumps({"type of data": "HAADF", "acc voltage": 60.0})
        file["defect_coord_0"] = np.array([[b"1", b"2"]])
    image = read_image(tmp_path / "a.hdf5")
    np.testing.assert_array_equal(image.data, data[0, :, :, 0])
    assert image.pixel_size == pytest.approx(0.2)  # 640 pm over 32 px
    assert image.metadata["beam_energy_kev"] == 60
    assert image.metadata["detector"] == "HAADF"


def image_data_file(path, pixels, stated):
    with h5py.File(path, "w") as file:
        file["image_data"] = pixels
        file["metadata"] = json.dumps(stated)


def test_scan_size_without_a_unit_is_not_used(tmp_path, pixels):
    image_data_file(tmp_path / "a.hdf5", pixels, {"scan size": "4.0"})
    with pytest.warns(CalibrationWarning, match="without a unit"):
        assert read_image(tmp_path / "a.hdf5").pixel_size is None


def test_scan_size_confirmed_by_a_tag_in_nm_is_used(tmp_path, pixels):
    tags = {"root.ImageList.1.ImageTags.SuperScan.ScanSize(nm)": "4.0"}
    image_data_file(tmp_path / "a.hdf5", pixels, {"scan size": "4.0", "all microscope parameters": tags})
    assert read_image(tmp_path / "a.hdf5").pixel_size == pytest.approx(40 / 40)
    image_data_file(tmp_path / "b.hdf5", pixels, {"scan size": "2", "all microscope parameters": tags})
    with pytest.warns(CalibrationWarning):
        assert read_image(tmp_path / "b.hdf5").pixel_size is None


@pytest.mark.parametrize("stated", [{"scan size": "NA"}, {}, [1, 2], {"all microscope parameters": "NA"}])
def test_image_data_without_scan_size_is_uncalibrated(tmp_path, pixels, stated):
    image_data_file(tmp_path / "a.hdf5", pixels, stated)
    assert read_image(tmp_path / "a.hdf5").pixel_size is None


def test_nion_swift_file(tmp_path, rng):
    frames = rng.random((3, 24, 40), dtype=np.float32)
    calibrations = [{"scale": 1.0, "units": ""}, {"scale": 0.02, "units": "nm"}, {"scale": 0.02, "units": "nm"}]
    properties = {
        "title": "SuperScan (HAADF)", "datum_dimension_count": 2, "dimensional_calibrations": calibrations,
        "metadata": {"instrument": {"high_tension": 60000.0}, "scan": {"pixel_time_us": 8.0}},
    }  # fmt: skip
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["data"] = frames
        file["data"].attrs["properties"] = json.dumps(properties)
    image = read_image(tmp_path / "a.h5")
    assert image.is_stack
    assert image.is_lazy
    assert image.pixel_size == pytest.approx(0.2)
    assert image.metadata["channel_name"] == "SuperScan (HAADF)"
    assert image.metadata["beam_energy_kev"] == 60
    assert image.metadata["dwell_time_s"] == pytest.approx(8e-6)


# --- pixels that are not square --------------------------------------------------------------------------------------


def hspy_of_a_round_spot(path, *, scale_y):
    """A Gaussian of equal width in Å along both axes, sampled more coarsely along y."""
    y, x = np.mgrid[:40, :80].astype(float)
    spot = np.exp(-(((y - 19.5) * scale_y) ** 2 + ((x - 39.5) * 0.2) ** 2) / (2 * 1.5**2))
    write_hspy(path, spot, [Ax(40, scale_y / 10, "nm"), Ax(80, 0.02, "nm")])


def test_pixels_that_are_not_square_are_refused(tmp_path):
    hspy_of_a_round_spot(tmp_path / "a.hspy", scale_y=0.4)
    with pytest.raises(CalibrationError, match="non_square='resample'"):
        read_image(tmp_path / "a.hspy")
    with pytest.raises(CalibrationError, match="not square"):
        read_image(tmp_path / "a.hspy", pixel_size=0.2)
    with pytest.raises(atomnb.errors.AtomnbError, match="non_square must be"):
        read_image(tmp_path / "a.hspy", non_square="ignore")


@pytest.mark.parametrize("lazy", [False, True])
def test_resampled_pixels_are_square_and_the_spot_is_round(tmp_path, lazy):
    hspy_of_a_round_spot(tmp_path / "a.hspy", scale_y=0.4)
    image = read_image(tmp_path / "a.hspy", non_square="resample", lazy=lazy)
    assert image.pixel_size == pytest.approx(0.2)
    assert image.shape == (80, 80)
    assert image.field_of_view == pytest.approx((16.0, 16.0))
    assert image.metadata["resampled_from_shape"] == (40, 80)
    spot = image.frame().astype(float)
    y, x = np.mgrid[:80, :80]
    centre = [(k * spot).sum() / spot.sum() for k in (y, x)]
    widths = [np.sqrt((((k - c) ** 2) * spot).sum() / spot.sum()) for k, c in zip((y, x), centre, strict=True)]
    assert centre == pytest.approx([39.5, 39.5], abs=0.02)
    assert widths[0] == pytest.approx(widths[1], rel=0.02)


def test_pixels_square_within_a_percent_are_kept(tmp_path, pixels):
    write_hspy(tmp_path / "a.hspy", pixels, [Ax(24, 0.0201, "nm"), Ax(40, 0.02, "nm")])
    image = read_image(tmp_path / "a.hspy")
    assert image.pixel_size == pytest.approx(0.2005)
    np.testing.assert_array_equal(image.data, pixels)


# --- no image in it --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((64,), "line profile"),
        ((15, 64), "smaller than 16"),
        ((64, 15), "smaller than 16"),
        ((3, 3, 32, 32), "4-dimensional"),
    ],
)
def test_arrays_that_are_no_image(tmp_path, shape, message):
    np.save(tmp_path / "a.npy", np.zeros(shape))
    with pytest.raises(ImageError, match=message):
        read_image(tmp_path / "a.npy")


def test_complex_and_text_are_no_image(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((32, 32), complex))
    with pytest.raises(ImageError, match="complex"):
        read_image(tmp_path / "a.npy")
    np.save(tmp_path / "b.npy", np.full((32, 32), "text"))
    with pytest.raises(ImageError, match="not numeric"):
        read_image(tmp_path / "b.npy")


def test_a_spectrum_image_is_no_image(tmp_path, rng):
    data = rng.random((20, 20, 64))
    space = [Ax(20, 0.02, "nm", navigate=True)] * 2
    write_hspy(tmp_path / "a.hspy", data, [*space, Ax(64, 1.0, "eV")], title="EELS")
    with pytest.raises(ImageError, match=r"EELS .*spectrum"):
        read_image(tmp_path / "a.hspy")


def test_hdf5_without_an_image(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["spectrum"] = np.zeros(64)
        file["name"] = "nothing here"
    with pytest.raises(FileFormatError, match="no image"):
        read_image(tmp_path / "a.h5")


def test_reading_keeps_warnings_of_the_readers_to_itself(tmp_path, pixels):
    """Old HyperSpy files and unclosed files make the readers warn; under 'error' that would stop the user."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tifffile.imwrite(tmp_path / "a.tif", pixels)
        read_image(tmp_path / "a.tif")
