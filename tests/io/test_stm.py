"""Reading tunnelling scans: upright, in Å and pA, with what the instrument says; files written here and real ones."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from atomnb import read_image
from atomnb.errors import AtomnbWarning, CalibrationError, FileFormatError, ImageError
from atomnb.io.stem import list_images

_TABLE = (Path(__file__).parent / "expected_sxm.tsv").read_text(encoding="utf-8")
EXPECTED = list(csv.DictReader(_TABLE.splitlines(), delimiter="\t"))
"""Of every real file: shape, pixel size (Å), channel taken, number of images, bias (V), setpoint (pA), feedback."""


def write_sxm(
    path, images, *, shape, scan="down", directions="both", channels=(("Z", "m"), ("Current", "A")), on=1, **changes
):
    """A file as Nanonis writes it: images (N, H, W) in the order and orientation of recording."""
    height, width = shape
    rows = "".join(f"\t{i}\t{name}\t{unit}\t{directions}\t1E-9\t0E+0\n" for i, (name, unit) in enumerate(channels))
    entries = {
        "NANONIS_VERSION": "2",
        "SCANIT_TYPE": "              FLOAT            MSBFIRST",
        "REC_DATE": " 07.01.2016",
        "REC_TIME": "12:54:04",
        "ACQ_TIME": "       98.5",
        "SCAN_PIXELS": f"       {width}       {height}",
        "SCAN_TIME": "             1.280E-1             1.920E-1",
        "SCAN_RANGE": f"           {width * 5e-11:.6E}           {height * 5e-11:.6E}",
        "SCAN_ANGLE": "            3.000E+1",
        "SCAN_DIR": scan,
        "BIAS": "            -2.000E+0",
        "Z-CONTROLLER": f"\tName\ton\tSetpoint\tP-gain\n\tlog Current\t{on}\t2.500E-10 A\t7.4E-12 m",
        "COMMENT": "flame annealed: 3 × µ\n\n",
        "DATA_INFO": f"\tChannel\tName\tUnit\tDirection\tCalibration\tOffset\n{rows}\n",
    }
    entries |= changes
    text = "".join(f":{key}:\n{value}\n" for key, value in entries.items()) + ":SCANIT_END:\n\n\n"
    path.write_bytes(text.encode("latin-1") + b"\x1a\x04" + np.asarray(images, ">f4").tobytes())
    return path


@pytest.fixture
def recorded(rng):
    """Z forward and backward, current forward and backward; (4, 20, 32) in m and A."""
    return rng.normal(0, 1e-10, (4, 20, 32)).astype(np.float32)


@pytest.mark.parametrize("row", EXPECTED, ids=[row["file"] for row in EXPECTED])
def test_real_file(shared_data, row):
    image = read_image(shared_data / row["file"])
    assert "×".join(map(str, image.data.shape)) == row["shape"]
    assert image.pixel_size == pytest.approx(float(row["pixel_size"]), rel=1e-5)
    assert image.metadata["technique"] == "STM"
    assert image.metadata["channel_name"] == row["channel"]
    assert image.metadata["bias_v"] == pytest.approx(float(row["bias_v"]))
    assert image.metadata["setpoint_pa"] == pytest.approx(float(row["setpoint_pa"]), rel=1e-3)
    assert image.metadata["feedback"] == row["feedback"]
    assert image.metadata["scan_direction"] == row["scan_direction"]
    assert len(list_images(shared_data / row["file"])) == int(row["images"])
    json.dumps(dict(image.metadata))
    backward = read_image(shared_data / row["file"], channel=f"{row['channel']} backward").data
    there_and_back = np.corrcoef(image.data.ravel(), backward.ravel())[0, 1]
    assert there_and_back > np.corrcoef(image.data.ravel(), backward[:, ::-1].ravel())[0, 1]
    assert there_and_back > 0.8


def test_the_table_names_every_real_file(shared_data):
    there = {str(p.relative_to(shared_data)) for p in (shared_data / "stm/nanonis_sxm").glob("*.sxm")}
    assert there == {row["file"] for row in EXPECTED}


def test_the_table_agrees_with_the_manifest(shared_data):
    with (shared_data / "MANIFEST.tsv").open(encoding="utf-8", newline="") as file:
        manifest = {row["file"]: row for row in csv.DictReader(file, delimiter="\t")}
    for row in EXPECTED:
        witness = manifest[row["file"]]
        assert witness["pixels"] == row["shape"].replace("×", "x")
        width_nm = float(witness["scale_nm"].split("x")[0])
        assert float(row["pixel_size"]) * int(row["shape"].split("×")[1]) == pytest.approx(10 * width_nm, rel=2e-3)


def test_heights_are_in_angstrom_and_currents_in_picoampere(tmp_path, recorded):
    path = write_sxm(tmp_path / "a.sxm", recorded, shape=(20, 32))
    height, current = read_image(path), read_image(path, channel="Current")
    np.testing.assert_allclose(height.data, recorded[0] * 1e10, rtol=1e-6)
    np.testing.assert_allclose(current.data, recorded[2] * 1e12, rtol=1e-6)
    assert (height.metadata["value_unit"], current.metadata["value_unit"]) == ("Å", "pA")
    assert height.pixel_size == pytest.approx(0.5)
    assert height.data.dtype.isnative


def test_backward_scans_are_mirrored_and_upward_scans_turned_over(tmp_path, recorded):
    path = write_sxm(tmp_path / "a.sxm", recorded, shape=(20, 32))
    np.testing.assert_allclose(read_image(path, channel="Z backward").data, recorded[1, :, ::-1] * 1e10, rtol=1e-6)
    path = write_sxm(tmp_path / "b.sxm", recorded, shape=(20, 32), scan="up")
    np.testing.assert_allclose(read_image(path).data, recorded[0, ::-1] * 1e10, rtol=1e-6)
    np.testing.assert_allclose(
        read_image(path, channel="Current backward").data, recorded[3, ::-1, ::-1] * 1e12, rtol=1e-6
    )


def test_metadata_tells_it_is_stm_and_how_it_was_recorded(tmp_path, recorded):
    metadata = read_image(write_sxm(tmp_path / "a.sxm", recorded, shape=(20, 32))).metadata
    expected = {
        "technique": "STM", "detector": "STM height", "bias_v": -2.0, "setpoint_pa": 250.0, "feedback": "on",
        "scan_time_s": 98.5, "line_time_s": 0.128, "dwell_time_s": 0.004, "scan_direction": "down",
        "scan_angle_deg": 30.0, "date": "2016-01-07", "time": "12:54:04", "comment": "flame annealed: 3 × µ",
        "fast_scan": "forward", "channels": ("Z", "Z backward", "Current", "Current backward"),
    }  # fmt: skip
    for key, value in expected.items():
        assert metadata[key] == (pytest.approx(value) if isinstance(value, float) else value), key
    assert "rows_missing" not in metadata


def test_at_constant_height_the_current_is_the_image(tmp_path, recorded):
    image = read_image(write_sxm(tmp_path / "a.sxm", recorded, shape=(20, 32), on=0))
    assert image.metadata["channel_name"] == "Current"
    assert image.metadata["feedback"] == "off"


def test_a_channel_recorded_one_way_only(tmp_path, recorded):
    path = write_sxm(tmp_path / "a.sxm", recorded[:2], shape=(20, 32), directions="forward")
    assert [entry.name for entry in list_images(path)] == ["Z", "Current"]
    np.testing.assert_allclose(read_image(path, channel=1).data, recorded[1] * 1e12, rtol=1e-6)
    with pytest.raises(ImageError, match=r"no channel 'Z backward'.*Current"):
        read_image(path, channel="Z backward")


@pytest.mark.parametrize(("scan", "kept"), [("down", slice(0, 17)), ("up", slice(3, 20))])
def test_rows_never_recorded_are_left_out_and_told(tmp_path, recorded, scan, kept):
    unfinished = recorded.copy()
    unfinished[:, 17:] = np.nan
    path = write_sxm(tmp_path / "a.sxm", unfinished, shape=(20, 32), scan=scan)
    with pytest.warns(AtomnbWarning, match="not finished; 3 rows"):
        image = read_image(path)
    whole = recorded[0, :: -1 if scan == "up" else 1] * 1e10
    np.testing.assert_allclose(image.frame(), whole[kept], rtol=1e-6)
    assert image.metadata["rows_missing"] == 3
    assert image.pixel_size == pytest.approx(0.5)


def test_a_scan_stopped_at_once_is_no_image(tmp_path, recorded):
    empty = np.full_like(recorded, np.nan)
    empty[:, :3] = recorded[:, :3]
    with pytest.raises(ImageError, match=r"no usable image.*smaller than 16"):
        read_image(write_sxm(tmp_path / "a.sxm", empty, shape=(20, 32)))


def test_pixels_that_are_not_square(tmp_path, rng):
    images = rng.normal(0, 1e-10, (4, 20, 40))
    path = write_sxm(tmp_path / "a.sxm", images, shape=(20, 40), SCAN_RANGE="  2.0E-9  2.0E-9")
    with pytest.raises(CalibrationError, match=r"not square: 1 Å high and 0\.5 Å wide"):
        read_image(path)
    assert read_image(path, non_square="resample").data.shape == (40, 40)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"SCAN_PIXELS": "256"}, "SCAN_PIXELS should be two numbers"),
        ({"SCAN_PIXELS": "-3 20"}, "header is damaged"),
        ({"SCAN_PIXELS": "3000000 3000000"}, "truncated"),
        ({"SCAN_RANGE": "a b"}, "SCAN_RANGE should be two numbers"),
        ({"SCANIT_TYPE": "INT LSBFIRST"}, "only FLOAT MSBFIRST"),
        ({"DATA_INFO": ""}, "DATA_INFO"),
        ({"DATA_INFO": "\tName\tUnit\tDirection\n\tZ\tm\tsideways"}, "DATA_INFO"),
        ({"DATA_INFO": "\tName\tUnit\tDirection\n\tZ\tm\tboth"}, "more than its header says"),
    ],
)
def test_a_damaged_header_is_a_clear_error(tmp_path, recorded, changes, message):
    with pytest.raises(FileFormatError, match=message):
        read_image(write_sxm(tmp_path / "a.sxm", recorded, shape=(20, 32), **changes))


@pytest.mark.parametrize("share", [0.02, 0.3, 0.9, 0.999])
def test_a_truncated_file_is_a_clear_error(tmp_path, recorded, share):
    path = write_sxm(tmp_path / "a.sxm", recorded, shape=(20, 32))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(FileFormatError, match=r"truncated|damaged"):
        read_image(path)


def test_another_file_under_this_ending_is_a_clear_error(tmp_path):
    path = tmp_path / "a.sxm"
    path.write_bytes(b"not a scan at all" * 20)
    with pytest.raises(FileFormatError, match="does not begin like a Nanonis"):
        read_image(path)
