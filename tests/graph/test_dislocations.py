"""Burgers vectors against planted dislocations, Frank's formula, and defects that have none."""

import numpy as np
import pytest

from atomnb.errors import AtomnbError
from atomnb.graph.dislocations import burgers_vector, find_dislocations, rim, ring_clusters
from atomnb.graph.neighbors import neighbors_delaunay, neighbors_radius
from atomnb.graph.rings import find_rings

CONSTANT = 2.46
TURN = 2 * np.pi / 6 * np.arange(6)
TRIANGULAR = np.stack([np.sin(TURN), np.cos(TURN)], axis=1)
SQUARE = np.array([[0, 1], [1, 0], [0, -1], [-1, 0]])


def edge_dislocation(points: np.ndarray, burgers: float, poisson: float = 0.2) -> np.ndarray:
    """Points (N, 2) displaced by an edge dislocation at the origin, b along x (Hirth and Lothe, ch. 3)."""
    y, x = points.T
    r2 = x**2 + y**2
    scale = burgers / (2 * np.pi)
    ux = scale * (np.arctan2(y, x) + x * y / (2 * (1 - poisson) * r2))
    uy = -scale * ((1 - 2 * poisson) / (4 * (1 - poisson)) * np.log(r2) + (x**2 - y**2) / (4 * (1 - poisson) * r2))
    return points + np.stack([uy, ux], axis=1)


def lattice(star: np.ndarray, reach: int = 14) -> np.ndarray:
    """Lattice points around the middle of a cell."""
    steps = np.stack(np.meshgrid(*[np.arange(-reach, reach + 1)] * 2, indexing="ij"), -1).reshape(-1, 2)
    points = steps @ star[:2] + star[:2].sum(axis=0) / 3 + [0.07, 0.02]
    return points[np.abs(points).max(axis=1) < reach * 0.6]


def circle(rings, radius: float):
    """The outline of all rings that lie within a radius of the origin."""
    return rim(rings, np.flatnonzero(np.hypot(*rings.centres_yx.T) < radius))


@pytest.mark.parametrize("radius", [3.0, 4.5, 6.0])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("degrees", [0, 20, -13])
def test_a_planted_dislocation_of_a_triangular_lattice(turned, radius, sign, degrees):
    points = turned(edge_dislocation(lattice(TRIANGULAR), sign * 1.0), degrees)
    bonds = neighbors_delaunay(points, max_length=1.6)
    walk = circle(find_rings(points, bonds), radius)
    found = burgers_vector(bonds, walk, host_yx=turned(TRIANGULAR, degrees))
    assert found == pytest.approx(turned([[0, sign * 1.0]], degrees)[0], abs=1e-9)


def test_a_planted_dislocation_of_a_square_lattice():
    points = edge_dislocation(lattice(SQUARE), 1.0)
    bonds = neighbors_radius(points, 1.28)
    rings = find_rings(points, bonds)
    assert burgers_vector(bonds, circle(rings, 4.5), host_yx=SQUARE) == pytest.approx([0, 1])
    away = np.flatnonzero(np.hypot(*(rings.centres_yx - [4, 4]).T) < 2.0)
    assert burgers_vector(bonds, rim(rings, away), host_yx=SQUARE) == pytest.approx([0, 0])


def test_two_opposite_dislocations_cancel_in_a_walk_round_both():
    points = lattice(SQUARE)
    place = np.array([0.0, 2.0])
    moved = edge_dislocation(points - place, 1.0) + edge_dislocation(points + place, -1.0) - points
    bonds = neighbors_radius(moved, 1.28)
    rings = find_rings(moved, bonds)
    assert burgers_vector(bonds, circle(rings, 6.0), host_yx=SQUARE) == pytest.approx([0, 0])


def test_walks_in_perfect_graphene_close(honeycomb):
    sheet = honeycomb(8, 12)
    bonds = sheet.bonds(cell=None)
    rings = find_rings(sheet.positions_yx, bonds)
    star = np.stack([np.sin(TURN), np.cos(TURN)], axis=1)[1::2] * CONSTANT / 3**0.5
    middle = sheet.positions_yx.mean(axis=0)
    inside = np.flatnonzero(np.hypot(*(rings.centres_yx - middle).T) < 8)
    assert burgers_vector(bonds, rim(rings, inside), host_yx=star) == pytest.approx([0, 0], abs=1e-9)
    assert len(find_dislocations(bonds, rings).rings) == 0


@pytest.mark.parametrize(("degrees", "isolated"), [("9.4", True), ("13.2", True), ("21.8", True), ("32.2", False)])
def test_boundaries_have_burgers_vectors_of_one_lattice_constant_as_frank_says(structure, degrees, isolated):
    """Per length of a symmetric tilt boundary, Burgers vectors add up to 2 sin(angle / 2) across it."""
    sheet = structure("graphene-grain-boundary", size=(45, 60), angle_degrees=degrees)
    bonds = sheet.bonds()
    rings = find_rings(sheet.positions_yx, bonds)
    found = find_dislocations(bonds, rings, bond_length=CONSTANT / 3**0.5)
    assert len(found.rings) == (rings.sizes == 5).sum() == (rings.sizes == 7).sum()
    assert np.hypot(*found.burgers_yx.T) == pytest.approx(CONSTANT)
    assert (rings.sizes[found.rings] == [5, 7]).all()
    height, width = np.diag(sheet.cell)
    nearest = np.round(found.centres_yx[:, 1] / (width / 2)).astype(int) % 2
    for side in (0, 1):
        total = found.burgers_yx[nearest == side].sum(axis=0)
        angle = np.deg2rad(min(float(degrees), 60 - float(degrees)))
        assert np.hypot(*total) == pytest.approx(2 * np.sin(angle / 2) * height, rel=0.03)
        assert abs(total[0]) < 0.1 * abs(total[1])
    if isolated:
        assert np.bincount(found.cluster).max() == 1


def test_burgers_vectors_turn_with_the_sample_and_keep_under_noise(structure, turned):
    sheet = structure("graphene-grain-boundary", size=(28, 40), angle_degrees="13.2")
    inner = np.abs(sheet.positions_yx[:, 1] - sheet.cell[1, 1] / 2) < 12
    sheet = sheet._replace(positions_yx=sheet.positions_yx[inner], species=sheet.species[inner], cell=None)

    def measure(points):
        bonds = sheet._replace(positions_yx=points).bonds()
        return find_dislocations(bonds, find_rings(points, bonds), bond_length=CONSTANT / 3**0.5)

    plain = measure(sheet.positions_yx)
    assert len(plain.rings) >= 3
    for degrees, mirror in ((40, False), (205, False), (70, True)):
        noise = np.random.default_rng(degrees).normal(0, 0.05, sheet.positions_yx.shape)
        other = measure(turned(sheet.positions_yx + noise, degrees, mirror))
        wanted = turned(plain.centres_yx, degrees, mirror)
        order = np.hypot(*(wanted[:, None] - other.centres_yx).transpose(2, 0, 1)).argmin(axis=1)
        assert sorted(order) == list(range(len(plain.rings)))
        # a reflection changes the sense in which the walk goes, and with it the sign
        expected = turned(plain.burgers_yx, degrees, mirror) * (-1 if mirror else 1)
        assert np.abs(other.burgers_yx[order] - expected).max() < 0.15


@pytest.mark.parametrize("options", [{"stone_wales": 2}, {"divacancies": 2}, {"vacancies": 2}])
def test_point_defects_are_no_dislocations(structure, options):
    sheet = structure(**options)
    bonds = sheet.bonds()
    found = find_dislocations(bonds, find_rings(sheet.positions_yx, bonds))
    assert found.rings.shape == (0, 2) and found.burgers_yx.shape == (0, 2)


def test_a_pentagon_alone_is_a_disclination(structure):
    sheet = structure(stone_wales=1)
    bonds = sheet.bonds()
    rings = find_rings(sheet.positions_yx, bonds)
    star = np.stack([np.sin(TURN), np.cos(TURN)], axis=1)[::2]
    pentagon = int(np.flatnonzero(rings.sizes == 5)[0])
    with pytest.raises(AtomnbError, match="disclination"):
        burgers_vector(bonds, rings.of(pentagon), host_yx=star)


def test_clusters_of_rings_and_what_may_lie_between(structure):
    sheet = structure("graphene-grain-boundary", size=(45, 60), angle_degrees="9.4")
    rings = find_rings(sheet.positions_yx, sheet.bonds())
    odd = rings.sizes != 6
    apart, together = ring_clusters(rings, odd), ring_clusters(rings, odd, across=6)
    assert (apart[~odd] == -1).all() and (apart[odd] >= 0).all()
    assert apart.max() + 1 == odd.sum() // 2
    assert together.max() + 1 == 2


def test_walks_that_cannot_be_used(honeycomb):
    sheet = honeycomb(4, 6)
    bonds = sheet.bonds()
    star = np.stack([np.sin(TURN), np.cos(TURN)], axis=1)[1::2]
    with pytest.raises(AtomnbError, match=r"not bonded: \[\[0, 5\]"):
        burgers_vector(bonds, [0, 5, 9], host_yx=star)
    row = [i for k in range(6) for i in (4 * k + 1, 4 * k + 2)]
    with pytest.raises(AtomnbError, match="does not close"):
        burgers_vector(bonds, row, host_yx=star)
    rings = find_rings(sheet.positions_yx, bonds)
    with pytest.raises(AtomnbError, match="three bonds"):
        burgers_vector(bonds, rings.of(0), host_yx=[[0, 1]])
    for chosen in ([], [0, int(np.argmax(np.hypot(*(rings.centres_yx - rings.centres_yx[0]).T)))]):
        with pytest.raises(AtomnbError, match="outline"):
            rim(rings, chosen)
