"""Bond lengths and angles: those of the ideal crystal, and errors that are the spread of repeated measurements."""

import numpy as np
import pandas as pd
import pytest

from atomnb.data.atoms import AtomTable
from atomnb.errors import AtomnbError
from atomnb.graph.bond_tables import measure_angles, measure_bonds
from atomnb.graph.structure import build_graph

PIXEL = 0.1  # Å
BOND = 1.42 / PIXEL


def honeycomb(*, turn=0.3, mirror=False, error=0.05):
    """A table of a graphene flake in px with a silicon on one site, and the row of the silicon."""
    a1, a2 = np.sqrt(3) * BOND * np.array([[1.0, 0.0], [0.5, np.sqrt(3) / 2]])
    grid = np.array([i * a1 + j * a2 for i in range(-5, 6) for j in range(-5, 6)])
    yx = np.concatenate([grid, grid + (a1 + a2) / 3])
    yx = yx[np.hypot(*yx.T) < 7 * BOND]
    turned = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    middle = int(np.hypot(*yx.T).argmin())
    yx = (yx * [1, -1] if mirror else yx) @ turned.T
    species = np.full(len(yx), "C", object)
    species[middle] = "Si"
    df = pd.DataFrame({"y": yx[:, 0], "x": yx[:, 1], "species": species, "y_err": error, "x_err": 2 * error})
    return AtomTable(df, pixel_size=PIXEL), middle


def around(graph, atom):
    indptr, indices, _ = graph.neighbors.adjacency()
    return [atom, *indices[indptr[atom] : indptr[atom + 1]]]


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("turn", [0.0, 0.3, 2.0])
def test_a_site_of_the_perfect_crystal(turn, mirror):
    atoms, silicon = honeycomb(turn=turn, mirror=mirror)
    graph = build_graph(atoms, rules="graphene")
    bonds = measure_bonds(graph, atoms, around(graph, silicon))
    angles = measure_angles(graph, atoms, around(graph, silicon))
    assert bonds["bond"].tolist() == ["C–Si"] * 3
    np.testing.assert_allclose(bonds["length"], 1.42, rtol=1e-9)
    assert angles["corner"].tolist() == ["C–Si–C"] * 3
    np.testing.assert_allclose(angles["angle"], 120, rtol=1e-9)
    assert (angles["apex"] == silicon).all()


def test_lengths_are_in_the_scale_of_the_image_or_else_of_the_rules():
    atoms, silicon = honeycomb()
    graph = build_graph(atoms, rules="graphene")
    members = around(graph, silicon)
    wide = AtomTable(atoms.df, pixel_size=1.1 * PIXEL)
    np.testing.assert_allclose(measure_bonds(graph, wide, members)["length"], 1.1 * 1.42, rtol=1e-9)
    bare = AtomTable(atoms.df, pixel_size=None)
    np.testing.assert_allclose(measure_bonds(graph, bare, members)["length"], 1.42, rtol=1e-3)


def test_errors_are_the_spread_of_repeated_measurements(rng):
    error = 0.4
    atoms, silicon = honeycomb(error=error)
    graph = build_graph(atoms, rules="graphene")
    members = around(graph, silicon)
    lengths, angles = [], []
    for _ in range(600):
        noise = rng.normal(size=(len(atoms), 2)) * [error, 2 * error]
        moved = AtomTable(atoms.df.assign(y=atoms.df["y"] + noise[:, 0], x=atoms.df["x"] + noise[:, 1]), PIXEL)
        bonds = measure_bonds(graph, moved, members).set_index("second")["length"]
        corners = measure_angles(graph, moved, members).set_index(["first", "second"])["angle"]
        lengths.append(bonds.sort_index())
        angles.append(corners.sort_index())
    expected = measure_bonds(graph, atoms, members).set_index("second")["length_err"].sort_index()
    np.testing.assert_allclose(np.std(lengths, axis=0), expected, rtol=0.1)
    expected = measure_angles(graph, atoms, members).set_index(["first", "second"])["angle_err"].sort_index()
    np.testing.assert_allclose(np.std(angles, axis=0), expected, rtol=0.1)


def test_angles_at_chosen_atoms_only_and_of_two_bonds_the_smaller():
    atoms, silicon = honeycomb()
    graph = build_graph(atoms, rules="graphene")
    members = around(graph, silicon)
    assert len(measure_angles(graph, atoms, members, at=members[1:])) == 0
    two = measure_angles(graph, atoms, members[:3])
    np.testing.assert_allclose(two["angle"], 120, rtol=1e-9)
    assert len(measure_bonds(graph, atoms, [])) == len(measure_angles(graph, atoms, [])) == 0


def test_unknown_errors_stay_unknown():
    atoms, silicon = honeycomb(error=np.nan)
    graph = build_graph(atoms, rules="graphene")
    bonds = measure_bonds(graph, atoms, around(graph, silicon))
    assert bonds["length_err"].isna().all() and bonds["length"].notna().all()


def test_another_table_is_refused():
    atoms, silicon = honeycomb()
    graph = build_graph(atoms, rules="graphene")
    with pytest.raises(AtomnbError, match="same frame"):
        measure_bonds(graph, atoms.select(np.arange(len(atoms)) > 0), [silicon])
    with pytest.raises(AtomnbError, match="rows 0 to"):
        measure_angles(graph, atoms, [len(atoms)])
