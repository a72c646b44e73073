"""Bonds: their probability, the most probable graph under valences, no crossings, and what is refused."""

import networkx as nx
import numpy as np
import pytest
from scipy.stats import norm

from atomnb.errors import AtomnbError, RangeWarning
from atomnb.graph.bonds import FEW_BONDS, SOFT_END, crossings, find_bonds
from atomnb.graph.neighbors import neighbors_radius

RANGE = (1.2, 1.75)
CC = {("C", "C"): RANGE}


def chance(distance, sigma=SOFT_END):
    return norm.cdf((RANGE[1] - distance) / sigma) - norm.cdf((RANGE[0] - distance) / sigma)


def pairs_of(bonds):
    return {*map(tuple, bonds.pairs.tolist())}


def test_a_perfect_honeycomb_is_bonded_three_by_three(honeycomb):
    bonds = honeycomb().bonds()
    assert set(bonds.coordination) == {3}
    assert bonds.probability == pytest.approx(1.0)


def test_errors_along_the_bond_make_it_less_certain_and_those_across_do_not():
    points = np.array([[0.0, 0.0], [0.0, 1.6]])
    along = find_bonds(points, "C", ranges=CC, valences={}, errors_yx=[[0.5, 0.1], [0.5, 0.05]])
    sigma = np.sqrt(0.1**2 + 0.05**2 + SOFT_END**2)
    assert along.probability == pytest.approx([chance(1.6, sigma)])
    tilted = np.array([[[0.04, 0.03], [0.03, 0.04]], np.zeros((2, 2))])
    diagonal = np.array([[0.0, 0.0], [1.5, 1.5]]) / 2**0.5
    found = find_bonds(diagonal, "C", ranges=CC, valences={}, errors_yx=tilted)
    assert found.probability == pytest.approx([chance(1.5, np.sqrt(0.07 + SOFT_END**2))])


def test_the_probability_is_the_frequency_with_which_the_true_pair_lies_in_the_range():
    """Seen at d, the true distance is d plus a Gaussian of the stated error."""
    rng = np.random.default_rng(0)
    error, seen = 0.08, np.array([[0.0, 0.0], [1.1, 1.2]])
    [p] = find_bonds(seen, "C", ranges=CC, valences={}, errors_yx=np.full((2, 2), error)).probability
    true = seen + rng.normal(0, error, (200_000, 2, 2))
    ends = np.array(RANGE)[:, None] + rng.normal(0, SOFT_END, 200_000)
    length = np.hypot(*(true[:, 1] - true[:, 0]).T)
    assert p == pytest.approx(((length > ends[0]) & (length < ends[1])).mean(), abs=0.02)


def test_a_pair_is_bonded_up_to_the_end_of_its_range():
    for length, bonded in ((1.19, 0), (1.21, 1), (1.74, 1), (1.76, 0)):
        points = np.array([[0.0, 0.0], [0.0, length]])
        assert len(find_bonds(points, "C", ranges=CC, valences={}).pairs) == bonded


def test_not_greedy():
    """A middle bond that is the best of three gives way to the two others, which together are better."""
    points = np.array([[0.0, 0.0], [0.0, 1.52], [0.0, 3.0], [0.0, 4.52]])
    bonds = find_bonds(points, "C", ranges=CC, valences={"C": 1})
    assert pairs_of(bonds) == {(0, 1), (2, 3)}


@pytest.mark.parametrize("n", [FEW_BONDS, 60])
@pytest.mark.parametrize("seed", range(4))
def test_with_one_bond_each_it_is_the_maximum_weight_matching(n, seed):
    """Against Edmonds' algorithm in networkx; the longer chain goes through the integer programme."""
    steps = np.random.default_rng(seed).uniform(1.25, 1.7, n - 1)
    points = np.stack([np.zeros(n), np.concatenate([[0], np.cumsum(steps)])], axis=1)
    graph = nx.Graph()
    for i, step in enumerate(steps):
        inside = chance(step)
        outside = norm.sf((RANGE[1] - step) / SOFT_END) + norm.cdf((RANGE[0] - step) / SOFT_END)
        graph.add_edge(i, i + 1, weight=np.log(inside / outside))
    wanted = {(min(e), max(e)) for e in nx.max_weight_matching(graph)}
    assert pairs_of(find_bonds(points, "C", ranges=CC, valences={"C": 1})) == wanted


@pytest.mark.parametrize("seed", range(3))
def test_a_dense_gas_keeps_valences_and_planarity_and_no_bond_can_be_added(seed):
    rng = np.random.default_rng(seed)
    points = rng.uniform(0, 14, (120, 2))
    near = neighbors_radius(points, 0.4).pairs
    points = np.delete(points, np.unique(near[:, 1]), axis=0)
    bonds = find_bonds(points, "C", ranges=CC, valences={"C": 3})
    assert bonds.coordination.max() == 3
    assert len(crossings(points, bonds)) == 0
    loose = find_bonds(points, "C", ranges=CC, valences={"C": 3}, errors_yx=np.zeros(points.shape))
    assert pairs_of(loose) == pairs_of(bonds)
    everything = neighbors_radius(points, RANGE[1])
    everything = everything.select(everything.distances > RANGE[0])
    crossed = {tuple(p) for p in crossings(points, everything).tolist()}
    chosen = [k for k, p in enumerate(map(tuple, everything.pairs.tolist())) if p in pairs_of(bonds)]
    for k, (i, j) in enumerate(everything.pairs.tolist()):
        free = bonds.coordination[i] < 3 and bonds.coordination[j] < 3
        clear = not any((min(k, c), max(k, c)) in crossed for c in chosen)
        assert k in chosen or not (free and clear)


def test_of_two_crossing_bonds_the_less_probable_goes():
    points = np.array([[0.0, -0.75], [0.0, 0.75], [-0.85, 0.0], [0.85, 0.0]])
    bonds = find_bonds(points, "C", ranges={("C", "C"): (1.3, 1.75)}, valences={})
    assert pairs_of(bonds) == {(0, 1)}
    assert crossings(points, neighbors_radius(points, 1.75)).shape == (1, 2)


def test_crossings_are_seen_across_the_rim_of_a_cell():
    points = np.array([[0.0, 9.25], [0.0, 0.75], [-0.85, 0.0], [0.85, 0.0]])
    bonds = find_bonds(points, "C", ranges={("C", "C"): (1.3, 1.75)}, valences={}, cell=10 * np.eye(2))
    assert pairs_of(bonds) == {(0, 1)}


def test_valences_and_crossings_are_weighed_together():
    """The better of two crossing bonds ends on an atom that is full, so that the other one stays."""
    points = np.array([[0.0, -0.75], [0.0, 0.75], [-0.8, 0.0], [0.8, 0.0], [0.0, 2.23]])
    ranges = {("C", "C"): (1.3, 1.75)}
    assert (1, 4) in pairs_of(find_bonds(points, "C", ranges=ranges, valences={"C": 1}))
    assert pairs_of(find_bonds(points, "C", ranges=ranges, valences={"C": 1})) == {(1, 4), (2, 3)}


def test_pairs_bond_by_their_range_by_radii_or_not_at_all():
    points = np.array([[0.0, 0.0], [0.0, 1.85]])
    assert len(find_bonds(points, ["C", "Si"], ranges={}, valences={}).pairs) == 1
    assert len(find_bonds(1.15 * points, ["C", "Si"], ranges={}, valences={}, tolerance=0.1).pairs) == 0
    assert len(find_bonds(1.15 * points, ["C", "Si"], ranges={}, valences={}, tolerance=0.2).pairs) == 1
    assert len(find_bonds(points, ["C", "Si"], ranges={("Si", "C"): (1.2, 1.5)}, valences={}).pairs) == 0
    assert len(find_bonds(points, ["C", "Si"], ranges={("Si", "C"): None}, valences={}).pairs) == 0
    assert len(find_bonds(points, ["A", "B"], ranges={("B", "A"): (1.7, 2.0)}, valences={}).pairs) == 1
    assert len(find_bonds(points, ["A", "C"], ranges={("A", "A"): (1.7, 2.0)}, valences={}).pairs) == 0


def test_silicon_in_graphene_keeps_its_neighbours(structure):
    sheet = structure("graphene-si", three_fold=2, four_fold=2, dimers=0)
    bonds = sheet.bonds()
    around = bonds.coordination[sheet.species == "Si"]
    assert sorted(around.tolist()) == [3, 3, 4, 4]
    assert bonds.coordination[sheet.species == "C"].tolist().count(3) == (sheet.species == "C").sum()


@pytest.mark.parametrize("degrees", [0, 17, 90, 133])
@pytest.mark.parametrize("mirror", [False, True])
def test_bonds_do_not_depend_on_how_the_sample_lies(structure, turned, degrees, mirror):
    sheet = structure("graphene-vacancies")
    noisy = sheet.positions_yx + np.random.default_rng(0).normal(0, 0.08, sheet.positions_yx.shape)
    wanted = pairs_of(sheet._replace(positions_yx=noisy, cell=None).bonds())
    assert pairs_of(sheet._replace(positions_yx=turned(noisy, degrees, mirror), cell=None).bonds()) == wanted


def test_nothing_to_bond():
    for points in (np.zeros((0, 2)), np.zeros((1, 2))):
        bonds = find_bonds(points, ["C"] * len(points), ranges=CC, valences={"C": 3})
        assert bonds.pairs.shape == (0, 2) and bonds.n_atoms == len(points)
    assert len(find_bonds(np.eye(2), "A", ranges={("A", "A"): None}, valences={}).pairs) == 0


def test_an_atom_found_twice_is_named():
    points = np.array([[0.0, 0.0], [0.0, 1.42], [0.0, 1.43]])
    with pytest.raises(AtomnbError, match=r"one place: 1 and 2 \(0.010 Å\)"):
        find_bonds(points, "C", ranges=CC, valences={"C": 3})


@pytest.mark.parametrize("given", [(1.75, 1.2), (1.2, 1.2), (-1, 1.2), (1.2, np.inf), (np.nan, 1.2)])
def test_an_impossible_range_is_named(given):
    with pytest.raises(AtomnbError, match="C–Si bonds is impossible"):
        find_bonds(np.eye(2), "C", ranges={("C", "Si"): given}, valences={})


def test_other_input_that_cannot_be_used():
    points = np.array([[0.0, 0.0], [0.0, 1.4]])
    with pytest.raises(AtomnbError, match="nothing is known of the bonds of 'column'"):
        find_bonds(points, "column", ranges=CC, valences={})
    with pytest.raises(AtomnbError, match="finite"):
        find_bonds([[0, np.nan], [0, 1]], "C", ranges=CC, valences={})
    with pytest.raises(AtomnbError, match="each of the 2 atoms"):
        find_bonds(points, ["C"], ranges=CC, valences={})
    with pytest.raises(AtomnbError, match=r"shape \(2, 2\)"):
        find_bonds(points, "C", ranges=CC, valences={}, errors_yx=[0.1, 0.1])
    with pytest.raises(AtomnbError, match="finite standard errors"):
        find_bonds(points, "C", ranges=CC, valences={}, errors_yx=[[0.1, np.nan], [0.1, 0.1]])
    with pytest.raises(AtomnbError, match="valence of C"):
        find_bonds(points, "C", ranges=CC, valences={"C": 2.5})
    with pytest.raises(AtomnbError, match="given twice"):
        find_bonds(points, "C", ranges={("C", "Si"): (1, 2), ("Si", "C"): (1, 3)}, valences={})


def test_bonds_in_one_line_do_not_cross():
    step = np.array([0.8324182643058, 1.4417907294])
    row = np.arange(12)[:, None] * step + np.array([4.99450959, 2.88358145])
    chain = find_bonds(row, "X", ranges={("X", "X"): (0.7, 2.2)}, valences={})
    assert len(chain.pairs) == 11
    assert len(crossings(row, chain)) == 0


def test_no_two_bonds_are_left_at_a_sharp_angle_even_where_one_between_them_went():
    angles = np.deg2rad([0, 25, 40, 180])
    around = np.array([1.85, 2.25, 1.95, 1.9])[:, None] * np.stack([np.sin(angles), np.cos(angles)], axis=1)
    points = np.concatenate([[[0.0, 0.0]], around])
    options = {"ranges": {("C", "Si"): (1.2, 2.3), ("C", "C"): None}, "valences": {}}
    found = find_bonds(points, ["Si", "C", "C", "C", "C"], least_angle_deg=45, **options)
    assert pairs_of(found) == {(0, 1), (0, 4)}
    assert len(find_bonds(points, ["Si", "C", "C", "C", "C"], least_angle_deg=20, **options).pairs) == 3


def test_under_doubt_two_good_bonds_outweigh_a_perfect_one():
    """Two silicon atoms and the carbon they share (Si2C5): no angle between them is wide enough for all three bonds."""
    points = np.array([[0.0, 0.0], [0.0, 2.27], [0.65, 1.135]])
    options = {"ranges": {("C", "Si"): (1.2, 2.3), ("Si", "Si"): (0.8, 2.75)}, "valences": {}, "least_angle_deg": 45}
    names, errors = ["Si", "Si", "C"], np.full((3, 2), 0.03)
    assert pairs_of(find_bonds(points, names, errors_yx=errors, **options)) == {(0, 1)}
    assert pairs_of(find_bonds(points, names, errors_yx=errors, doubts={"Si": 0.01}, **options)) == {(0, 2), (1, 2)}
    with pytest.raises(AtomnbError, match="doubts"):
        find_bonds(points, names, doubts={"Si": 0.5}, **options)


def test_of_two_bonds_at_a_sharp_angle_the_likelier_is_kept():
    corner = np.array([[0.0, 0.0], [0.0, 1.9], [1.0, 1.95], [1.2, -1.4]])
    ranges = {("C", "Si"): (1.2, 2.3), ("C", "C"): None}
    names = ["Si", "C", "C", "C"]
    wide = find_bonds(corner, names, ranges=ranges, valences={"Si": 4})
    assert wide.pairs.tolist() == [[0, 1], [0, 2], [0, 3]]
    narrow = find_bonds(corner, names, ranges=ranges, valences={"Si": 4}, least_angle_deg=45)
    assert narrow.pairs.tolist() == [[0, 1], [0, 3]]
    with pytest.raises(AtomnbError, match="least_angle_deg"):
        find_bonds(corner, names, ranges=ranges, valences={}, least_angle_deg=180)


@pytest.mark.parametrize("few", [12, 0])  # all subsets tried, and the integer programme
def test_no_atom_is_left_without_a_bond_where_another_graph_is_as_good(monkeypatch, few):
    """Three atoms round a fourth: the sides of the triangle lie deeper in the range, but leave the middle alone."""
    monkeypatch.setattr("atomnb.graph.bonds.FEW_BONDS", few)
    turn = 2 * np.pi / 3 * np.arange(3)
    corners = 1.27 * np.stack([np.sin(turn), np.cos(turn)], axis=1)
    rules = {"ranges": {("Si", "Si"): (1.15, 2.6)}, "valences": {"Si": 4}, "least_angle_deg": 45}
    found = find_bonds(np.concatenate([corners, [[0, 0]]]), "Si", **rules, doubts={"Si": 0.01})
    assert sorted(found.pairs.tolist()) == [[0, 3], [1, 3], [2, 3]]
    # an atom that is far outside of what bonds allow does not break up what is certain
    alone = find_bonds(np.concatenate([corners, [[0, 0]]]), "Si", **rules | {"ranges": {("Si", "Si"): (1.25, 2.6)}})
    assert alone.coordination.tolist() == [2, 2, 2, 0]


def test_a_lattice_that_does_not_fit_ends_in_time_with_a_warning_and_an_allowed_graph(monkeypatch):
    rng = np.random.default_rng(0)
    yx = 1.6 * np.stack(np.meshgrid(np.arange(20.0), np.arange(20.0)), axis=-1).reshape(-1, 2)
    yx += rng.normal(0, 0.05, yx.shape)
    names = np.where(rng.random(len(yx)) < 0.6, "Si", "C")
    ranges = {("C", "C"): (0.9, 1.85), ("C", "Si"): (1.2, 2.3), ("Si", "Si"): (0.8, 2.75)}
    monkeypatch.setattr("atomnb.graph.bonds.WORK", 1.0)
    with pytest.warns(RangeWarning, match="rules and the pixel size"):
        bonds = find_bonds(yx, names, ranges=ranges, valences={"C": 3, "Si": 4}, doubts={"Si": 0.1}, least_angle_deg=45)
    assert (bonds.coordination <= np.where(names == "Si", 4, 3)).all()
    assert len(bonds.pairs) > 1.5 * len(yx)
    assert len(crossings(yx, bonds)) == 0
