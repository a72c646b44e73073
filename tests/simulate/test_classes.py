"""Class schemes: rules decide as they say, survive JSON, and class maps give each pixel to its nearest column."""

import json
from typing import NamedTuple

import numpy as np
import pytest

from atomnb.errors import AtomnbError
from atomnb.simulate.class_schemes import SCHEMES, scheme_by_content, scheme_by_defect, scheme_by_element
from atomnb.simulate.classes import ClassScheme, draw_class_map, label_columns
from atomnb.simulate.materials import MATERIALS


class Defect(NamedTuple):
    kind: str
    name: str
    yx_angstrom: tuple[float, float]


def class_name(scheme, content):
    code = scheme.class_of_column(content)
    return {0: "background", 255: "ignore"}.get(code) or scheme.classes[code - 1]


@pytest.mark.parametrize(
    ("scheme", "content", "expected"),
    [
        ("tmd", "Mo", "metal"),
        ("tmd", "S2", "chalcogen pair"),
        ("tmd", "SSe", "chalcogen pair"),
        ("tmd", "S", "single chalcogen"),
        ("tmd", "O", "ignore"),
        ("graphene-si", "C", "C"),
        ("graphene-si", "Ca", "ignore"),
        ("perovskite", "Sr", "A"),
        ("perovskite", "CaSr", "A"),
        ("perovskite", "TiO", "B"),
        ("perovskite", "O", "O"),
        ("dumbbell-cdte", "Si", "column"),
        ("dumbbell-cdte", "Cd", "lighter"),
        ("dumbbell-cdte", "Te", "heavier"),
        ("dumbbell-gap", "Ga", "heavier"),
        ("columns", "anything", "column"),
    ],
)
def test_ready_schemes(scheme, content, expected):
    assert class_name(SCHEMES[scheme], content) == expected


def test_ready_schemes_have_the_classes_of_the_models():
    for name in ("graphene-si", "tmd", "perovskite"):
        assert SCHEMES[name].classes == MATERIALS[name].labels
    assert SCHEMES["dumbbell-gaas"].classes == MATERIALS["dumbbell"].labels


@pytest.mark.parametrize("name", sorted(SCHEMES))
def test_a_scheme_survives_json(name):
    scheme = SCHEMES[name]
    assert ClassScheme.from_dict(json.loads(json.dumps(scheme.to_dict()))) == scheme


def test_the_first_rule_that_fits_decides():
    scheme = ClassScheme("first", ("a", "b"), (("Mo", "a"), ("M*", "b"), ("*", "background")))
    assert [scheme.class_of_column(c) for c in ("Mo", "Mn", "W")] == [1, 2, 0]


def test_schemes_made_from_what_is_there():
    assert scheme_by_content(["S2", "Mo", "S"]).classes == ("Mo", "S", "S2")
    by_element = scheme_by_element(["TiO", "Sr", "O", "Sr2"])
    assert by_element.classes == ("O", "Sr", "Ti")
    assert class_name(by_element, "TiO") == "Ti"
    assert scheme_by_defect(["V_S", "V_S2"]).classes == ("host", "V_S", "V_S2")


def test_a_vacancy_is_a_place_of_its_own_only_where_nothing_is_left():
    positions, content = [[0.0, 0.0], [0.0, 3.0]], ["Mo", "S"]
    defects = [Defect("vacancy", "V_S", (0.1, 3.0)), Defect("vacancy", "V_S2", (3.0, 0.0))]
    found = label_columns(positions, content, SCHEMES["tmd"], defects=defects)
    assert found.species.tolist() == ["Mo", "S", "V_S2"]
    assert [SCHEMES["tmd"].classes[k - 1] for k in found.column_class] == ["metal", "single chalcogen", "vacancy"]
    np.testing.assert_array_equal(found.positions_yx[2], [3.0, 0.0])
    by_defect = label_columns(positions, content, scheme_by_defect(["V_S", "V_S2"]), defects=defects)
    assert by_defect.column_class.tolist() == [1, 2, 3]


def test_defects_without_a_rule_change_nothing():
    found = label_columns([[0.0, 0.0]], ["C"], SCHEMES["graphene-si"], defects=[Defect("edge", "zigzag", (9.0, 9.0))])
    assert len(found.positions_yx) == 1


def test_no_columns_give_no_labels():
    found = label_columns(np.zeros((0, 2)), [], SCHEMES["columns"])
    assert found.positions_yx.shape == (0, 2) and found.column_class.dtype == np.uint8
    assert not draw_class_map(found.positions_yx, found.column_class, (20, 30), radius=2.0).any()


def test_touching_columns_share_the_pixels_by_distance(rng):
    yx, codes = rng.uniform(0, 40, (60, 2)), rng.integers(1, 5, 60)
    drawn = draw_class_map(yx, codes, (40, 40), radius=4.0)
    grid = np.stack(np.meshgrid(np.arange(40), np.arange(40), indexing="ij"), -1)
    distance = np.linalg.norm(grid[:, :, None] - yx, axis=-1)
    expected = np.where(distance.min(axis=-1) <= 4.0, codes[distance.argmin(axis=-1)], 0)
    np.testing.assert_array_equal(drawn, expected)


def test_a_disc_has_its_area():
    drawn = draw_class_map([[50.3, 49.8]], [3], (100, 100), radius=20.0)
    assert (drawn == 3).sum() == pytest.approx(np.pi * 400, rel=0.01)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: ClassScheme("x", ("a",), (("C", "b"),)), "lead to b"),
        (lambda: ClassScheme("x", ("a", "a"), ()), "different names"),
        (lambda: ClassScheme("x", ("ignore",), ()), "other than"),
        (lambda: SCHEMES["tmd"].from_dict({"name": "x"}), "needs 'name'"),
        (lambda: ClassScheme("x", ("a",), (("C", "a"),)).class_of_column("N"), "no rule"),
        (lambda: label_columns([[0, 0]], ["C", "C"], SCHEMES["columns"]), "one entry per column"),
        (lambda: draw_class_map([[5, 5]], [1], (10, 10), radius=0.3), "0.75 px"),
        (lambda: scheme_by_element(["Xx"]), "named by their elements"),
    ],
)
def test_bad_input_is_an_error_that_says_what_to_do(make, says):
    with pytest.raises(AtomnbError, match=says):
        make()
