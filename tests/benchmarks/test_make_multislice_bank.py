"""The bank is small, its labels agree with its images, and it holds the vacancies that models are judged by."""

import json

import make_multislice_bank as bank
import numpy as np
import pytest
from scipy.spatial import cKDTree

FILES = sorted(bank.FOLDER.glob("*.npz"))


def test_the_bank_has_at_most_sixty_images():
    assert sum(len(one.detectors) for one in bank.FIELDS.values()) <= 60
    assert sum(f.stat().st_size for f in FILES) <= 20e6


def test_every_field_can_be_planned():
    pytest.importorskip("abtem")
    from atomnb.simulate.multislice_plan import plan_multislice

    for one in bank.FIELDS.values():
        plan = plan_multislice((*one.size, 5.0), bank.optics_of(one), bank.config_of(one))
        assert plan.memory_bytes < 1.5e9
        assert bank.optics_of(one) == bank.optics_of(one)


def test_enough_images_hold_eight_single_vacancies():
    rich = [n for n, one in bank.FIELDS.items() if one.structure in ("mos2", "wse2") and one.options.get("v_x", 0) >= 8]
    assert len(rich) >= 3


def test_every_file_belongs_to_a_field():
    assert FILES
    assert {f.stem for f in FILES} <= set(bank.FIELDS)


@pytest.mark.parametrize("name", [f.stem for f in FILES])
def test_the_labels_fit_the_image(name):
    held, one = bank.read_field(name), bank.FIELDS[name]
    provenance = json.loads(str(held["provenance"]))
    assert provenance["structure"]["seed"] == one.seed
    assert len(held["columns_yx"]) == len(held["content"])
    for detector in one.detectors:
        image = held[detector]
        assert image.dtype == np.float16 and image.max() == 1 and image.min() >= 0
    image = held["haadf"].astype(float)
    inside = held["columns_yx"].round().astype(int)
    bright = np.array([held["numbers"].max() - 3 <= _heaviest(c) for c in held["content"]])
    keep = bright & (inside > 1).all(1) & (inside < np.array(image.shape) - 2).all(1)
    at_columns = image[tuple(inside[keep].T)]
    # whatever the contrast, columns are where the image is brightest
    assert np.median(at_columns) > np.quantile(image, 0.8)


def _heaviest(content: str) -> int:
    from ase.data import atomic_numbers
    from ase.formula import Formula

    return max(atomic_numbers[symbol] for symbol in Formula(content).count())


@pytest.mark.parametrize("name", [f.stem for f in FILES if f.stem.startswith(("mos2", "wse2", "ws2", "mose2"))])
def test_a_single_vacancy_is_a_column_of_one_atom_and_darker(name):
    held = bank.read_field(name)
    anion = str(held["defect_names"][0]).removeprefix("V_").rstrip("2")
    image, yx = held["haadf"].astype(float), held["columns_yx"].astype(float)
    shape = np.array(image.shape)
    single = held["defects_yx"][held["defect_names"] == f"V_{anion}"]
    single = single[((single > 2) & (single < shape - 3)).all(axis=1)]
    distance, nearest = cKDTree(yx).query(single)
    assert distance.max() < 0.1 and set(held["content"][nearest]) == {anion}
    full = yx[(held["content"] == f"{anion}2") & ((yx > 2) & (yx < shape - 3)).all(axis=1)]

    def brightness(points):
        return np.median(image[tuple(points.round().astype(int).T)])

    assert 0.3 < brightness(single) / brightness(full) < 0.8
