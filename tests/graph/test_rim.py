"""Counting what is not there: the rim of a hole walked in the perfect crystal encloses a whole number of atoms."""

import numpy as np
import pytest

from atomnb.graph.anomalies import find_groups
from atomnb.graph.rim import atoms_inside_rim, points_inside, rim_in_crystal, with_enclosed
from atomnb.graph.structure import build_graph
from atomnb.simulate.lattice import MOTIFS, lay_out


def crystal(motif, *, extent=20.0):
    spacing = {"honeycomb": 1.42, "square": 2.0, "hexagonal": 2.0}[motif]
    return lay_out(MOTIFS[motif], extent, spacing=spacing).positions_yx


def graph_of(yx):
    return build_graph(yx, rules="generic", species=["column"] * len(yx))


@pytest.mark.parametrize("motif", ["honeycomb", "square", "hexagonal"])
@pytest.mark.parametrize("removed", [1, 2, 4])
def test_as_many_are_missing_as_were_taken_out(motif, removed):
    yx = crystal(motif)
    hole = np.argsort(np.hypot(*yx.T), kind="stable")[:removed]
    groups = find_groups(graph_of(np.delete(yx, hole, axis=0)))
    inner = [g for g in groups if len(g.rings)]
    assert len(inner) == 1 and inner[0].exact
    assert inner[0].missing == pytest.approx(removed)


def test_strain_shear_and_noise_do_not_change_the_count():
    yx = crystal("honeycomb")
    left = np.delete(yx, np.argsort(np.hypot(*yx.T))[:2], axis=0)
    bent = left @ np.array([[1.06, 0.05], [0.0, 0.95]]) + np.random.default_rng(0).normal(0, 0.04, left.shape)
    (group,) = [g for g in find_groups(graph_of(bent)) if len(g.rings)]
    assert group.exact and round(group.missing, 6) == 2


def test_a_perfect_ring_holds_what_it_has():
    graph = graph_of(crystal("honeycomb"))
    inside = np.flatnonzero(np.hypot(*graph.rings.centres_yx.T) < 4)[:1]
    assert atoms_inside_rim(graph, inside) == pytest.approx(2.0)
    corners = rim_in_crystal(graph, inside)
    assert len(corners) == 7 and np.allclose(corners[0], corners[-1])


def test_rings_at_the_border_are_not_counted():
    graph = graph_of(crystal("honeycomb"))
    outer = np.array([np.hypot(*graph.rings.centres_yx.T).argmax()])
    assert atoms_inside_rim(graph, outer) is None


def test_points_in_a_polygon():
    square = np.array([[0, 0], [0, 2], [2, 2], [2, 0]], float)
    assert points_inside(np.array([[1.0, 1.0], [3.0, 1.0], [-0.1, 0.5]]), square).tolist() == [True, False, False]


def test_a_ring_that_no_crystal_has_room_for_has_no_count():
    pytest.importorskip("ase")
    from atomnb.simulate.structures import create_structure

    columns = create_structure("mos2-mirror-twin", size_angstrom=(40, 30)).columns()
    graph = build_graph(columns.positions_yx, rules="mos2", species=columns.content)
    squares = np.flatnonzero(graph.rings.sizes == 4)
    assert len(squares) > 5
    assert [atoms_inside_rim(graph, np.array([ring])) for ring in squares] == [None] * len(squares)


@pytest.mark.parametrize("motif", ["honeycomb", "square", "hexagonal"])
def test_what_rings_enclose_belongs_to_them(motif):
    graph = graph_of(crystal(motif))
    centres = graph.rings.centres_yx
    inner = np.flatnonzero(np.hypot(*(centres - centres[np.hypot(*centres.T).argmin()]).T) < 7)
    core = np.flatnonzero(np.hypot(*(centres - centres[np.hypot(*centres.T).argmin()]).T) < 3.5)
    loop = np.setdiff1d(inner, core)
    assert len(core) > 1
    assert atoms_inside_rim(graph, loop) is None
    assert with_enclosed(graph, loop).tolist() == inner.tolist()
    assert with_enclosed(graph, inner).tolist() == inner.tolist()
