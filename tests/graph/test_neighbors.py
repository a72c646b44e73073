"""Neighbours on lattices where the answer is known, with and without a periodic cell."""

from itertools import pairwise

import numpy as np
import pytest

from atomnb.errors import AtomnbError
from atomnb.graph.neighbors import (
    neighbors_delaunay,
    neighbors_nearest,
    neighbors_radius,
    neighbors_voronoi,
)

BOND = 2.46 / 3**0.5
EVERY = [
    lambda points, cell=None: neighbors_radius(points, 1.2, cell=cell),
    lambda points, cell=None: neighbors_nearest(points, 4, cell=cell),
    lambda points, cell=None: neighbors_delaunay(points, cell=cell),
    lambda points, cell=None: neighbors_voronoi(points, cell=cell),
]


def square(n: int) -> np.ndarray:
    return np.stack(np.meshgrid(np.arange(n), np.arange(n), indexing="ij"), -1).reshape(-1, 2).astype(float)


def test_a_periodic_honeycomb_has_three_neighbours_at_the_bond_length(honeycomb):
    sheet = honeycomb()
    for found in (
        neighbors_radius(sheet.positions_yx, 1.6, cell=sheet.cell),
        neighbors_nearest(sheet.positions_yx, 3, cell=sheet.cell),
        neighbors_nearest(sheet.positions_yx, 3, cell=sheet.cell, mutual=True),
    ):
        assert set(found.coordination) == {3}
        assert found.distances == pytest.approx(BOND)
        assert len(found.pairs) == 3 * len(sheet.positions_yx) // 2
        assert (found.pairs[:, 0] < found.pairs[:, 1]).all()


def test_vectors_lead_from_the_first_to_the_second_atom_modulo_the_cell(honeycomb):
    sheet = honeycomb(3, 4)
    found = neighbors_radius(sheet.positions_yx, 4.0, cell=sheet.cell)
    gap = sheet.positions_yx[found.pairs[:, 1]] - sheet.positions_yx[found.pairs[:, 0]] - found.vectors_yx
    periods = gap @ np.linalg.inv(sheet.cell)
    assert periods == pytest.approx(np.rint(periods), abs=1e-9)


def test_the_cell_may_be_oblique_and_smaller_than_the_radius():
    cell = 2.46 * np.array([[0.0, 1.0], [3**0.5 / 2, 0.5]])
    graphene = np.array([[0.0, 0.0], [BOND, 0.0]])
    bonds = neighbors_radius(graphene, 1.5, cell=cell)
    assert bonds.pairs.tolist() == [[0, 1]] * 3
    assert bonds.vectors_yx.sum(axis=0) == pytest.approx([0, 0], abs=1e-9)
    lattice = neighbors_radius(graphene[:1], 2.46 * 2.01, cell=cell)
    assert lattice.pairs.tolist() == [[0, 0]] * 9
    assert lattice.coordination.tolist() == [18]


@pytest.mark.parametrize("find", EVERY[2:])
def test_a_periodic_triangular_lattice_has_six(find):
    cell = np.array([[0.0, 4.0], [2 * 3**0.5, 2.0]])
    shares = square(4) / 4
    found = find(shares @ cell, cell)
    assert set(found.coordination) == {6}
    assert found.distances == pytest.approx(1.0)


def test_voronoi_joins_no_diagonals_of_a_square_lattice_and_delaunay_one_per_square():
    points, cell = square(6), 6 * np.eye(2)
    assert set(neighbors_voronoi(points, cell=cell).coordination) == {4}
    assert len(neighbors_delaunay(points, cell=cell).pairs) == 3 * len(points)
    noisy = points + np.random.default_rng(0).normal(0, 0.05, points.shape)
    assert set(neighbors_voronoi(noisy, least_facet=0.35, cell=cell).coordination) == {4}
    assert len(neighbors_voronoi(noisy, cell=cell).pairs) == len(neighbors_delaunay(noisy, cell=cell).pairs)


def test_delaunay_and_voronoi_agree_on_random_points():
    points = np.random.default_rng(3).uniform(0, 10, (200, 2))
    for cell in (None, 10 * np.eye(2)):
        one, other = neighbors_delaunay(points, cell=cell), neighbors_voronoi(points, cell=cell)
        assert {*map(tuple, one.pairs)} == {*map(tuple, other.pairs)}
    assert len(one.pairs) == 3 * len(points)


def test_a_triangulation_longer_than_max_length_is_cut():
    points = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [9.0, 9.0]])
    assert neighbors_delaunay(points, max_length=1.5).coordination.tolist() == [2, 2, 2, 0]


def test_the_nearest_are_those_of_brute_force():
    points = np.random.default_rng(1).uniform(0, 10, (60, 2))
    for cell in (None, 10 * np.eye(2)):
        gap = points[:, None] - points
        gap = gap - (10 * np.round(gap / 10) if cell is not None else 0)
        far = np.hypot(*gap.transpose(2, 0, 1)) + np.diag(np.full(60, np.inf))
        near = np.argsort(far, axis=1)[:, :5]
        wanted = {(i, j) for i in range(60) for j in near[i].tolist()}
        union = {(min(p), max(p)) for p in wanted}
        both = {(i, j) for i, j in wanted if i < j and (j, i) in wanted}
        assert {*map(tuple, neighbors_nearest(points, 5, cell=cell).pairs.tolist())} == union
        assert {*map(tuple, neighbors_nearest(points, 5, cell=cell, mutual=True).pairs.tolist())} == both


def test_fewer_atoms_than_neighbours_asked_for():
    assert len(neighbors_nearest(square(2), 10).pairs) == 6
    assert neighbors_nearest(np.zeros((1, 2)), 3, cell=np.eye(2)).coordination[0] >= 3


@pytest.mark.parametrize("find", EVERY)
def test_few_atoms_and_atoms_on_a_line(find):
    for points in (np.zeros((0, 2)), np.zeros((1, 2))):
        found = find(points)
        assert found.pairs.shape == (0, 2) and found.vectors_yx.shape == (0, 2)
        assert found.n_atoms == len(found.coordination) == len(points)
    line = np.array([[0.0, 2.0], [0.0, 0.0], [0.0, 1.0]])
    pairs = {*map(tuple, find(line).pairs.tolist())}
    assert {(0, 2), (1, 2)} <= pairs
    assert find(line[:2] / 2).pairs.tolist() == [[0, 1]]


def test_the_list_as_rows_components_and_selection():
    points = np.array([[0.0, 0.0], [0.0, 1.0], [0.0, 2.0], [5.0, 5.0]])
    found = neighbors_radius(points, 1.1)
    indptr, indices, edge = found.adjacency()
    assert indptr.tolist() == [0, 1, 3, 4, 4]
    around = [sorted(zip(indices[a:b].tolist(), edge[a:b].tolist(), strict=True)) for a, b in pairwise(indptr)]
    assert around == [[(1, 0)], [(0, 0), (2, 1)], [(1, 1)], []]
    labels = found.components()
    assert labels[0] == labels[1] == labels[2] != labels[3]
    part = found.select(found.pairs[:, 1] == 2)
    assert part.pairs.tolist() == [[1, 2]] and part.n_atoms == 4


def test_to_networkx_keeps_places_species_and_lengths():
    points = np.array([[0.0, 0.0], [0.0, 1.0], [5.0, 5.0]])
    graph = neighbors_radius(points, 1.1).to_networkx(points, ["C", "Si", "C"])
    assert graph.nodes[1] == {"y": 0.0, "x": 1.0, "species": "Si"}
    assert list(graph.edges(data=True)) == [(0, 1, {"length": 1.0, "probability": 1.0})]
    with pytest.raises(AtomnbError, match="each of the 3 atoms"):
        neighbors_radius(points, 1.1).to_networkx(points, ["C"])


@pytest.mark.parametrize("find", EVERY)
def test_positions_that_are_not_finite_are_named(find):
    points = square(3)
    points[4, 0] = np.nan
    with pytest.raises(AtomnbError, match=r"finite.*\[4\]"):
        find(points)
    with pytest.raises(AtomnbError, match=r"\(N, 2\)"):
        find(np.zeros((3, 3)))


@pytest.mark.parametrize("find", EVERY)
@pytest.mark.parametrize("cell", [np.zeros((2, 2)), [[1, 2], [2, 4]], [1, 2], [[1, 0], [0, np.inf]]])
def test_a_cell_without_area_is_an_error(find, cell):
    with pytest.raises(AtomnbError, match="span an area"):
        find(square(3), cell)


def test_impossible_radius_number_and_twins():
    with pytest.raises(AtomnbError, match="positive length"):
        neighbors_radius(square(3), -1)
    with pytest.raises(AtomnbError, match="at least 1"):
        neighbors_nearest(square(3), 0)
    for find in EVERY[2:]:
        with pytest.raises(AtomnbError, match=r"one place: \[\[0, 9\]\]"):
            find(np.concatenate([square(3), [[0.0, 0.0]]]))
