"""Grain boundaries: their rings, angle and length against how they were made; rows of point defects are none."""

import numpy as np
import pytest

from atomnb.graph.boundaries import find_boundaries
from atomnb.graph.rings import find_rings


def rings_of(sheet):
    bonds = sheet.bonds()
    return bonds, find_rings(sheet.positions_yx, bonds)


@pytest.mark.parametrize("degrees", ["9.4", "13.2", "21.8", "32.2"])
def test_two_boundaries_with_the_angle_they_were_made_with(structure, degrees):
    sheet = structure("graphene-grain-boundary", size=(45, 80), angle_degrees=degrees)
    bonds, rings = rings_of(sheet)
    found = find_boundaries(bonds, rings)
    assert len(found.length) == 2
    assert sorted(found.rings) == np.flatnonzero(rings.sizes != 6).tolist()
    wanted = min(float(degrees), 60 - float(degrees))
    assert np.rad2deg(found.misorientation_rad) == pytest.approx(wanted, abs=0.4)
    height = sheet.cell[0, 0]
    assert (found.length > 0.6 * height).all() and (found.length < 1.05 * height).all()


def test_the_rings_are_in_order_along_the_boundary(structure, turned):
    sheet = structure("graphene-grain-boundary", size=(45, 60), angle_degrees="21.8")
    inner = np.abs(sheet.positions_yx[:, 1] - sheet.cell[1, 1] / 2) < 20
    points = turned(sheet.positions_yx[inner], 25)
    sheet = sheet._replace(positions_yx=points, species=sheet.species[inner], cell=None)
    bonds, rings = rings_of(sheet)
    found = find_boundaries(bonds, rings)
    assert len(found.length) == 1
    along = rings.centres_yx[found.of(0)] @ [np.cos(np.deg2rad(25)), np.sin(np.deg2rad(25))]
    assert (np.diff(along) > -1.0).all() or (np.diff(along) < 1.0).all()
    assert found.length[0] == pytest.approx(np.ptp(along), abs=0.5)


def test_noise_of_five_picometres_changes_neither_rings_nor_angle(structure):
    sheet = structure("graphene-grain-boundary", size=(45, 80), angle_degrees="21.8")
    noisy = sheet.positions_yx + np.random.default_rng(0).normal(0, 0.05, sheet.positions_yx.shape)
    found = find_boundaries(*rings_of(sheet._replace(positions_yx=noisy)))
    assert len(found.length) == 2
    assert np.rad2deg(found.misorientation_rad) == pytest.approx(21.8, abs=0.5)


@pytest.mark.parametrize("options", [{"stone_wales": 5}, {"divacancies": 4}, {}])
def test_point_defects_in_one_grain_are_no_boundary(structure, options):
    sheet = structure(size=(60, 60), **options)
    noisy = sheet.positions_yx + np.random.default_rng(0).normal(0, 0.05, sheet.positions_yx.shape)
    found = find_boundaries(*rings_of(sheet._replace(positions_yx=noisy)))
    assert found.offsets.tolist() == [0] and found.rings.shape == (0,)
