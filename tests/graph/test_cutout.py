"""From an analysis to records: the right pixels, atoms, bonds and names."""

import numpy as np
import pytest

import atomnb
from atomnb.errors import AtomnbError
from atomnb.graph.averages import average_class
from atomnb.graph.cutout import records_from
from atomnb.graph.library import DefectLibrary

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def analysis():
    return atomnb.analyze(atomnb.sample_image("graphene-si"), model="graphene-si", rules="graphene")


def test_each_record_shows_its_defect(analysis):
    records = records_from(analysis)
    assert len(records) == len(analysis.defects) > 3
    table = analysis.atoms
    for record, (_, row) in zip(records, analysis.defects.iterrows(), strict=True):
        assert (record.formula, record.name, record.topology) == (row["formula"], row["name"], row["topology"])
        corner = np.array(record.metadata["corner_px"])
        height, width = record.patch.shape
        whole = analysis.image.frame()[corner[0] : corner[0] + height, corner[1] : corner[1] + width]
        np.testing.assert_array_equal(record.patch, whole.astype(np.float32))
        here = record.positions_px + corner
        counted = table.positions_yx[list(row["atoms"])]
        assert record.counted.sum() == len(counted)
        for yx in counted:
            assert np.hypot(*(here[record.counted] - yx).T).min() < 1e-6
        centre = np.array(record.center_yx) / record.pixel_size
        np.testing.assert_allclose(centre, [row["y"], row["x"]])
        assert record.metadata["confidence"] == row["confidence"]
        assert record.metadata["source"] == analysis.image.name
    lengths = np.concatenate([record.lengths().value for record in records])
    assert lengths.min() > 1.0 and lengths.max() < 2.8


def test_the_library_keeps_them_and_the_average_sharpens_them(analysis, tmp_path):
    library = DefectLibrary(tmp_path / "defects.h5")
    library.add(records_from(analysis))
    formula = library.table()["formula"].value_counts().index[0]
    chosen = [library[k] for k in library.find(formula=formula)]
    assert len(chosen) >= 2
    average = average_class(chosen, mirror=True)
    assert len(average.used) >= 2
    assert chosen[0].metadata["analysis"] == library[0].metadata["analysis"]
    assert np.isfinite(average.bonds["error"]).all()


def test_scale_and_confidence_are_chosen(analysis):
    by_rules, by_image = records_from(analysis), records_from(analysis, scale="image")
    assert by_image[0].pixel_size == analysis.pixel_size
    assert by_rules[0].pixel_size == analysis.graph.scale
    assert len(records_from(analysis, least_confidence=1.01)) == 0
    small = records_from(analysis, margin_angstrom=1.0)
    assert small[0].patch.size < by_rules[0].patch.size
    with pytest.raises(AtomnbError, match="scale"):
        records_from(analysis, scale="wish")


def test_without_rules_there_are_no_defects():
    plain = atomnb.analyze(atomnb.sample_image("graphene-si"), model="graphene-si", refine=False)
    with pytest.raises(AtomnbError, match="rules="):
        records_from(plain)
