"""Records of an analysis: the picture is the image's, the atoms lie on it, the bonds and names are those found."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from atomnb import Micrograph, find_defects
from atomnb.errors import AtomnbError
from atomnb.graph.averages import average_class
from atomnb.graph.from_analysis import records_from
from atomnb.graph.library import DefectLibrary
from atomnb.graph.structure import as_atoms, build_graph
from atomnb.simulate.scene import render_scene
from atomnb.simulate.structures import create_structure

pytest.importorskip("ase")
PIXEL = 0.125


@pytest.fixture(scope="module", params=[PIXEL, None])
def analysis(request):
    """An image of graphene with two silicon atoms and its true atoms."""
    columns = create_structure("graphene", size_angstrom=(50, 50), seed=3, options={"three_fold": 2}).columns()
    weight = np.where(columns.content == "Si", (14 / 6) ** 1.7, 1.0)
    scene = render_scene(
        columns.positions_yx, weight, columns.content, shape=(400, 400), pixel_size=PIXEL, counts_per_column=900,
        row_jitter_px=0.0, rng=np.random.default_rng(1),
    )  # fmt: skip
    atoms = as_atoms(scene.positions_yx, species=scene.species, pixel_size=request.param)
    atoms = type(atoms)(atoms.df.assign(y_err=0.2, x_err=0.1), request.param, scene.image.shape)
    return SimpleNamespace(
        image=Micrograph(scene.image, pixel_size=request.param), atoms=atoms, pixel_size=request.param,
        graph=build_graph(atoms, rules="graphene"), defects=find_defects(atoms, rules="graphene"),
        provenance={"model": "truth"},
    )  # fmt: skip


def test_records_show_what_was_found(analysis):
    records = records_from(analysis)
    assert [r.name for r in records] == analysis.defects["name"].tolist()
    assert "three-fold Si" in {r.name for r in records}
    for record, (_, row) in zip(records, analysis.defects.iterrows(), strict=True):
        if record.name != "three-fold Si":
            continue
        silicon = record.positions_px[[s == "Si" for s in record.species]]
        assert len(silicon) == 1 and record.counted.sum() == 4
        brightest = np.unravel_index(record.patch.argmax(), record.patch.shape)
        assert np.hypot(*(silicon[0] - brightest)) < 6
        assert record.lengths().value.min() == pytest.approx(1.7, abs=0.4)
        low = np.round(np.array([row["y"], row["x"]]) - silicon[0]).astype(int)
        part = analysis.image.data[low[0] : low[0] + record.patch.shape[0], low[1] : low[1] + record.patch.shape[1]]
        np.testing.assert_array_equal(record.patch, part)
        np.testing.assert_allclose(record.errors_yx[0], np.array([0.2, 0.1]) * record.pixel_size)
        assert record.metadata["scale"] == ("image" if analysis.pixel_size else "rules")
        json.dumps(record.metadata)


def test_records_make_a_library_and_an_average(analysis, tmp_path):
    silicon = analysis.defects[analysis.defects["name"] == "three-fold Si"].assign(status="accepted")
    records = records_from(analysis, defects=silicon.iloc[::-1])
    assert [r.topology for r in records] == silicon["topology"].tolist()[::-1]
    library = DefectLibrary(tmp_path / "defects.h5")
    library.add(records)
    assert len(library.find(formula="Si1C3")) == len(silicon) == 2
    assert library[0].metadata["status"] == "accepted"
    average = average_class(records, mirror=True)
    assert len(average.used) == 2 and average.bonds["length"].between(1.3, 2.0).all()


def test_an_analysis_without_rules_says_what_to_do(analysis):
    bare = SimpleNamespace(**{**vars(analysis), "graph": None, "defects": None})
    with pytest.raises(AtomnbError, match="rules="):
        records_from(bare)
