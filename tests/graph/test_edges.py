"""Edges of ribbons of known form, of holes, and of images that cut a sheet."""

import numpy as np
import pytest

from atomnb.errors import AtomnbError
from atomnb.graph.edges import find_edges
from atomnb.graph.neighbors import neighbors_radius


@pytest.mark.parametrize("form", ["zigzag", "armchair"])
@pytest.mark.parametrize("degrees", [0, 33])
def test_a_ribbon_has_two_edges_of_its_form(structure, turned, form, degrees):
    sheet = structure("graphene-edge", edge=form)
    sheet = sheet._replace(positions_yx=turned(sheet.positions_yx, degrees), cell=turned(sheet.cell, degrees))
    edges = find_edges(sheet.positions_yx, sheet.bonds())
    counts = edges.counts()
    assert counts.pop(form) == len(edges.atoms) > 20
    assert not any(counts.values())
    assert len(edges.offsets) == 3
    two = sheet.bonds().coordination == 2
    assert {*np.flatnonzero(two)} == {*edges.atoms[two[edges.atoms]]}


@pytest.mark.parametrize("form", ["zigzag", "armchair"])
def test_the_form_is_seen_in_spite_of_noise(structure, form):
    sheet = structure("graphene-edge", edge=form)
    noisy = sheet.positions_yx + np.random.default_rng(0).normal(0, 0.05, sheet.positions_yx.shape)
    assert find_edges(noisy, sheet._replace(positions_yx=noisy).bonds()).counts()[form] > 20


def test_a_perfect_periodic_sheet_has_no_edge_and_a_vacancy_is_none(honeycomb, structure):
    for sheet in (honeycomb(), structure("graphene-vacancies")):
        edges = find_edges(sheet.positions_yx, sheet.bonds())
        assert len(edges.atoms) == 0 and edges.offsets.tolist() == [0]


def test_the_rim_of_a_hole_is_an_edge(honeycomb):
    sheet = honeycomb(10, 16)
    middle = np.diag(sheet.cell) / 2
    keep = np.hypot(*(sheet.positions_yx - middle).T) > 9
    sheet = sheet._replace(positions_yx=sheet.positions_yx[keep], species=sheet.species[keep])
    edges = find_edges(sheet.positions_yx, sheet.bonds())
    assert len(edges.offsets) == 2
    from_middle = np.hypot(*(sheet.positions_yx[edges.atoms] - middle).T)
    assert from_middle.min() > 9 and from_middle.max() < 12.5
    counts = edges.counts()
    assert counts["zigzag"] > 0 and counts["armchair"] > 0
    assert find_edges(sheet.positions_yx, sheet.bonds(), least_hole=200).atoms.size == 0


def test_where_the_image_ends_there_is_no_edge(honeycomb):
    sheet = honeycomb(10, 16)
    frame = tuple(np.diag(sheet.cell))
    bonds = sheet.bonds(cell=None)
    edges = find_edges(sheet.positions_yx, bonds, frame_angstrom=frame)
    assert set(edges.kind) == {"frame"} and len(edges.atoms) > 50
    cut = find_edges(sheet.positions_yx, bonds, frame_angstrom=(frame[0] + 30, frame[1]))
    upper = sheet.positions_yx[cut.atoms, 0] > frame[0] - 3
    inner = np.abs(sheet.positions_yx[cut.atoms, 1] - frame[1] / 2) < frame[1] / 2 - 5
    assert set(cut.kind[upper & inner]) == {"zigzag"}
    assert set(cut.kind[~upper]) == {"frame"}


def test_a_hexagon_is_neither_zigzag_nor_armchair_and_loose_ends_are_left_out():
    turn = np.arange(6) * np.pi / 3
    hexagon = 1.42 * np.stack([np.sin(turn), np.cos(turn)], axis=1)
    points = np.concatenate([hexagon, [[0, 2.84]]])
    edges = find_edges(points, neighbors_radius(points, 1.5))
    assert sorted(edges.of(0)) == list(range(6))
    assert set(edges.kind) == {"mixed"}


def test_nothing_and_a_frame_that_is_none():
    nothing = find_edges(np.zeros((0, 2)), neighbors_radius(np.zeros((0, 2)), 1.5))
    assert nothing.counts() == {"zigzag": 0, "armchair": 0, "mixed": 0, "frame": 0}
    with pytest.raises(AtomnbError, match="height, width"):
        find_edges(np.zeros((1, 2)), neighbors_radius(np.zeros((1, 2)), 1.5), frame_angstrom=(0, 5))
