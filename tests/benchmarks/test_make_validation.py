"""The validation structures are what they say: bond lengths, columns, vacancies, exact resampling."""

import make_validation as mv
import numpy as np
import pytest
from scipy.spatial import cKDTree

pytest.importorskip("ase")


def _neighbour_distances(atoms, k):
    box = atoms.cell.lengths()[:2]
    xy = mv.wrapped(atoms.positions[:, :2], box)
    return cKDTree(xy, boxsize=box).query(xy, k=k + 1)[0][:, 1:]


@pytest.mark.parametrize(
    ("name", "spacing"),
    [
        ("hbn", 1.446),
        ("gaas110", 1.413),
        ("cdte110", 1.620),
        ("au001", 2.039),
        ("srtio3", 1.9525),
        ("mg1120", 2.765),
        ("pdse2", 1.88),
        ("ti3c2", 1.767),
        ("bi2te3", 2.150),
        ("g_hbn", 1.432),
        ("w111_tilted", 2.584),
        ("cspbbr3", 2.575),
    ],
)
def test_columns_lie_at_the_crystal_s_distance(name, spacing):
    columns, owner = mv.columns_of(mv.MATERIALS[name].build())
    nearest = cKDTree(columns[:, :2]).query(columns[:, :2], k=2)[0][:, 1]
    assert np.median(nearest) == pytest.approx(spacing, abs=0.01)
    assert columns[:, 4].sum() == len(owner)


def test_topological_defects_keep_three_bonds_of_graphene_s_length():
    bonds = _neighbour_distances(mv.graphene_with_topological_defects(), 3)
    assert bonds.min() > 1.3 and bonds.max() < 1.6


def test_planted_vacancies_leave_a_hole(rng):
    atoms = mv.MATERIALS["wse2"].build()
    before, _ = mv.columns_of(atoms)
    gone = mv.plant_vacancies(atoms, 4, rng)
    after, _ = mv.columns_of(atoms)
    assert len(after) == len(before) - 4
    assert cKDTree(after[:, :2]).query(gone)[0].min() > 1.5


def test_resampling_a_band_limited_image_is_exact():
    def wave(n, m):
        y, x = np.mgrid[:n, :m]
        return 2 + np.cos(2 * np.pi * (3 * y / n + 2 * x / m)) + 0.5 * np.sin(2 * np.pi * 5 * x / m)

    assert np.allclose(mv.fourier_resample(wave(20, 24), (33, 50)), wave(33, 50))


def test_committed_files_hold_what_their_material_says():
    files = sorted(mv.FOLDER.glob("val_*.npz"))
    assert files
    assert sum(f.stat().st_size for f in files) < 10e6
    for file in files:
        material = mv.MATERIALS[file.stem.removeprefix("val_")]
        with np.load(file) as held:
            assert held["sampling"] == pytest.approx(material.pixel, rel=0.03)
            assert len(held["vacancies"]) == material.vacancies
            assert held["image"].min() >= 0 and held["image"].max() == 1
            assert int(held["kv"]) == material.kv
