"""The viewer of labelled sets on the pages: each image with its columns, its classes and how it came about."""

import numpy as np
import pytest

from atomnb.data.labelled_scene import LabelledScene
from atomnb.data.labelled_set import open_labelled_set
from atomnb.data.labelled_writer import write_labelled_set
from atomnb.widgets.pictures import colour_of_class
from atomnb.widgets.samples import SampleViewer, sample_pictures

CLASSES = ("Mo", "S2")


def scene(number: int) -> LabelledScene:
    """Two columns to learn, one not to be found, one to be ignored; each scene at another dose."""
    class_map = np.zeros((40, 60), np.uint8)
    class_map[4:9, 4:9], class_map[20:25, 30:35], class_map[0, 0] = 1, 2, 255
    positions = np.array([[6.0, 6.0], [22.0, 32.0], [30.0, 50.0], [0.0, 0.0]])
    details = {"dose": 100.0 * (number + 1), "dose_unit": "electrons_per_column"}
    image = np.random.default_rng(number).normal(size=(40, 60))
    species = np.array(["Mo", "S2", "C", "Mo"], object)
    codes = np.array([1, 2, 0, 255], np.uint8)
    return LabelledScene(image, class_map, positions, species, codes, 0.2, f"mos2-{number // 2}", details)


@pytest.fixture
def path(tmp_path):
    write_labelled_set(tmp_path / "set.h5", [scene(n) for n in range(8)], classes=CLASSES)
    return tmp_path / "set.h5"


@pytest.fixture
def viewer(path):
    made = SampleViewer(guard=lambda callback: callback)
    made.show(path)
    return made


def pixels(picture: dict) -> np.ndarray:
    return np.frombuffer(picture["pixels"], np.uint8).reshape(picture["height"], picture["width"], 3)


def test_columns_are_ringed_and_classes_painted_in_one_colour_each():
    image, classes = sample_pictures(scene(0))
    marks = np.frombuffer(image["marks"], np.float32).reshape(-1, 3)
    np.testing.assert_allclose(marks, [[6, 6, 0], [22, 32, 1]])
    for (y, x), name in (((6, 6), colour_of_class(1)), ((22, 32), colour_of_class(2))):
        assert "#{:02x}{:02x}{:02x}".format(*pixels(classes)[y, x]) == name.lower()
    assert [item["name"] for item in classes["legend"]] == ["not learnt from"]
    assert image["per_pixel"] == classes["per_pixel"] == 0.2
    assert sample_pictures(scene(0), rings=False)[0]["marks"] == b""


def test_one_goes_through_the_images_of_a_set(viewer, path):
    assert viewer.layout.display is None and viewer.back.disabled and not viewer.on.disabled
    first = pixels(viewer.pictures.pictures[0])
    for text in ("mos2-0", "100 e⁻ per column", "40 × 60 px, 0.8 × 1.2 nm"):
        assert text in viewer.facts.value
    assert "<b>1</b>" in viewer.counts.value and "S2" in viewer.counts.value
    viewer.on.click()
    viewer.on.click()
    assert viewer.number.value == 3 and "<b>3</b> of 8" in viewer.where.value
    assert "mos2-1" in viewer.facts.value and "300 e⁻ per column" in viewer.facts.value
    assert not np.array_equal(pixels(viewer.pictures.pictures[0]), first)
    viewer.number.value = 8
    assert viewer.on.disabled
    viewer.rings.value = False
    assert viewer.pictures.pictures[0]["marks"] == b""


def test_it_says_what_each_image_is_for(viewer, path):
    names = {"train": "training", "validation": "validation", "test": "test"}
    told = {}
    for number in range(1, 9):
        viewer.number.value = number
        told[f"mos2-{(number - 1) // 2}"] = viewer.facts.value
    for which, name in names.items():
        for group in set(open_labelled_set(path).split(which).groups):
            assert f"<td>{name}</td>" in told[group]


def test_too_few_structures_have_no_split_and_a_set_may_be_written_anew(viewer, path):
    viewer.number.value = 8
    write_labelled_set(path, [scene(0), scene(1)], classes=CLASSES)
    viewer.back.click()
    assert "<b>2</b> of 2" in viewer.where.value
    viewer.back.click()
    assert viewer.number.value == 1 and "<b>1</b> of 2" in viewer.where.value
    assert "fewer than three structures" in viewer.facts.value
    viewer.show(None)
    assert viewer.layout.display == "none" and viewer.pictures.pictures == []
