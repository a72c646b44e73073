"""Rings against Euler's formula, exact geometry and the defects that were put in."""

import numpy as np
import pytest

from atomnb.errors import AtomnbError
from atomnb.graph.neighbors import neighbors_delaunay, neighbors_radius
from atomnb.graph.rings import find_rings, ring_neighbors, ring_statistics

BOND = 2.46 / 3**0.5


def polygon(n: int, side: float = 1.42) -> np.ndarray:
    turn = 2 * np.pi * np.arange(n) / n
    return side / (2 * np.sin(np.pi / n)) * np.stack([np.sin(turn), np.cos(turn)], axis=1)


def rings_of(sheet):
    bonds = sheet.bonds()
    return bonds, find_rings(sheet.positions_yx, bonds)


def test_a_periodic_honeycomb_has_half_as_many_hexagons_as_atoms(honeycomb):
    sheet = honeycomb()
    _, rings = rings_of(sheet)
    assert ring_statistics(rings) == {6: len(sheet.positions_yx) // 2}
    assert rings.areas == pytest.approx(1.5 * 3**0.5 * BOND**2)
    assert rings.areas.sum() == pytest.approx(np.linalg.det(sheet.cell))
    assert rings.is_simple.all()


def test_centres_are_those_of_the_hexagons(honeycomb):
    sheet = honeycomb()
    _, rings = rings_of(sheet)
    corners = np.array([sheet.positions_yx[rings.of(r)] for r in range(len(rings.sizes))])
    gap = corners - rings.centres_yx[:, None]
    periods = np.diag(sheet.cell)
    gap -= periods * np.round(gap / periods)
    assert np.hypot(*gap.transpose(2, 0, 1)) == pytest.approx(BOND)


@pytest.mark.parametrize("n", [3, 4, 5, 7, 12])
@pytest.mark.parametrize("mirror", [False, True])
def test_a_regular_polygon_is_one_ring_with_its_area_and_order(turned, n, mirror):
    points = turned(polygon(n), 11, mirror)
    rings = find_rings(points, neighbors_radius(points, 1.45))
    assert rings.sizes.tolist() == [n]
    assert rings.areas == pytest.approx(n * 1.42**2 / (4 * np.tan(np.pi / n)))
    assert rings.centres_yx == pytest.approx(np.zeros((1, 2)), abs=1e-9)
    assert set(np.abs(np.diff(rings.of(0)))) <= {1, n - 1}
    assert sorted(rings.of(0)) == list(range(n))


def test_rings_of_a_triangulation_satisfy_euler():
    points = np.random.default_rng(0).uniform(0, 10, (80, 2))
    flat = neighbors_delaunay(points)
    rings = find_rings(points, flat)
    assert len(rings.sizes) == len(flat.pairs) - len(points) + 1
    assert set(rings.sizes) == {3}
    torus = neighbors_delaunay(points, cell=10 * np.eye(2))
    rings = find_rings(points, torus)
    assert len(rings.sizes) == len(torus.pairs) - len(points)
    assert rings.areas.sum() == pytest.approx(100)


def test_pairs_of_rings_and_rings_of_atoms(honeycomb):
    sheet = honeycomb()
    bonds, rings = rings_of(sheet)
    adjacent = rings.adjacent()
    assert set(np.bincount(adjacent.ravel())) == {6}
    indptr, ring_ids = rings.atoms_rings()
    assert set(np.diff(indptr)) == {3}
    for atom in (0, 17, 190):
        assert all(atom in rings.of(r) for r in ring_ids[indptr[atom] : indptr[atom + 1]])
    ends = np.sort(np.stack([rings.of(0), np.roll(rings.of(0), -1)], axis=1), axis=1)
    assert bonds.pairs[rings.edges[:6]].tolist() == ends.tolist()


def test_the_rings_of_a_honeycomb_are_neighbours_at_the_lattice_constant(honeycomb):
    """The dual of a honeycomb is a triangular lattice."""
    sheet = honeycomb()
    dual = ring_neighbors(*rings_of(sheet))
    assert dual.n_atoms == len(sheet.positions_yx) // 2
    assert set(dual.coordination) == {6}
    assert dual.distances == pytest.approx(2.46)


def test_rings_that_share_two_bonds_are_neighbours_once(structure):
    sheet = structure(vacancies=1)
    bonds, rings = rings_of(sheet)
    dual = ring_neighbors(bonds, rings)
    assert {*map(tuple, dual.pairs.tolist())} == {*map(tuple, rings.adjacent().tolist())}
    assert len(dual.pairs) == len(rings.adjacent())


@pytest.mark.parametrize(
    ("options", "extra"),
    [
        ({"vacancies": 1}, {12: 1, 6: -3}),
        ({"divacancies": 1}, {5: 2, 8: 1, 6: -4}),
        ({"stone_wales": 1}, {5: 2, 7: 2, 6: -4}),
    ],
)
def test_defects_of_graphene_have_their_rings(structure, options, extra):
    perfect, sheet = structure(), structure(**options)
    _, rings = rings_of(sheet)
    hexagons = len(perfect.positions_yx) // 2 + extra.pop(6)
    assert ring_statistics(rings) == {**extra, 6: hexagons}


def test_the_closed_form_of_the_vacancy(structure):
    """A bond range that admits the weak bond of 1.95 Å makes the 5-9 form."""
    sheet = structure(vacancies=1)
    rings = find_rings(sheet.positions_yx, sheet.bonds(ranges={("C", "C"): (1.1, 2.1)}))
    counts = ring_statistics(rings)
    assert (counts.pop(5), counts.pop(9)) == (1, 1) and set(counts) == {6}


@pytest.mark.parametrize("angle", ["9.4", "21.8", "32.2"])
def test_a_boundary_has_the_pentagons_and_heptagons_put_in_at_their_places(structure, angle):
    sheet = structure("graphene-grain-boundary", size=(28, 40), angle_degrees=angle)
    _, rings = rings_of(sheet)
    periods = np.diag(sheet.cell)
    for size in (5, 7):
        true = np.array([d.yx_angstrom for d in sheet.defects if d.kind == "ring" and d.name == str(size)])
        found = rings.centres_yx[rings.sizes == size]
        gap = found[:, None] - true
        gap -= periods * np.round(gap / periods)
        assert len(found) == len(true)
        assert np.hypot(*gap.transpose(2, 0, 1)).min(axis=1).max() < 1.5


@pytest.mark.parametrize("name", ["graphene-vacancies", "graphene-si"])
@pytest.mark.parametrize("mirror", [False, True])
def test_rings_withstand_rotation_reflection_and_an_error_of_five_picometres(structure, turned, name, mirror):
    """0.05 Å in each coordinate: the length of a bond then scatters by 5 %, 0.07 Å."""
    sheet = structure(name, seed=2)
    open_sheet = sheet._replace(cell=None)
    wanted = ring_statistics(rings_of(open_sheet)[1])
    for seed in range(4):
        rng = np.random.default_rng(seed)
        moved = turned(sheet.positions_yx + rng.normal(0, 0.05, sheet.positions_yx.shape), 90 * rng.random(), mirror)
        bonds = open_sheet._replace(positions_yx=moved).bonds(errors_yx=np.full(moved.shape, 0.05))
        assert ring_statistics(find_rings(moved, bonds)) == wanted


def test_loose_ends_outside_and_inside_a_ring_do_not_count():
    ring = polygon(12)
    inside, outside = ring[0] - [[0, 1.42], [0, 2.84]], ring[6] - [[0, 1.42]]
    points = np.concatenate([ring, inside, outside])
    rings = find_rings(points, neighbors_radius(points, 1.45))
    assert rings.sizes.tolist() == [12]
    assert set(rings.of(0)) == set(range(12))
    chain = np.stack([np.zeros(5), 1.42 * np.arange(5)], axis=1)
    assert len(find_rings(chain, neighbors_radius(chain, 1.5)).sizes) == 0


def test_a_ring_inside_another_hanging_by_a_chain_makes_the_outer_walk_not_simple():
    outer, inner = polygon(18), polygon(6)
    bridge = np.array([[0.0, 2.68]])
    points = np.concatenate([outer, inner, bridge])
    bonds = neighbors_radius(points, 1.45)
    assert bonds.coordination[24] == 2
    rings = find_rings(points, bonds)
    assert sorted(rings.sizes.tolist()) == [6, 18 + 6 + 4]
    assert rings.is_simple.tolist() == [size == 6 for size in rings.sizes]
    small, large = np.sort(rings.areas)
    disc = 18 * 1.42**2 / (4 * np.tan(np.pi / 18))
    assert large == pytest.approx(disc - small)


def test_a_ring_inside_another_without_a_bond_is_a_ring_of_its_own():
    points = np.concatenate([polygon(18), polygon(6)])
    rings = find_rings(points, neighbors_radius(points, 1.45))
    assert sorted(rings.sizes.tolist()) == [6, 18]


def test_the_sides_of_a_ribbon_that_never_ends_are_no_rings(structure):
    sheet = structure("graphene-edge", edge="zigzag")
    _, rings = rings_of(sheet)
    assert set(rings.sizes) == {6}


def test_nothing_bonded():
    for n in (0, 1, 5):
        points = np.stack([np.zeros(n), 10.0 * np.arange(n)], axis=1)
        rings = find_rings(points, neighbors_radius(points, 1.5))
        assert ring_statistics(rings) == {}
        assert rings.offsets.tolist() == [0] and rings.centres_yx.shape == (0, 2) and rings.adjacent().shape == (0, 2)
        assert len(rings.atoms_rings()[0]) == n + 1


def test_crossing_bonds_and_foreign_positions_are_errors():
    points = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    with pytest.raises(AtomnbError, match="bonds cross"):
        find_rings(points, neighbors_radius(points, 1.5))
    with pytest.raises(AtomnbError, match="those of 4 atoms"):
        find_rings(points[:3], neighbors_radius(points, 1.1))
