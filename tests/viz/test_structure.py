"""The structure over an image: bonds where the atoms are, rings by size, every defect inside its own outline."""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.path import Path

from atomnb import find_defects
from atomnb.errors import AtomnbError
from atomnb.graph.frames import defects_in_frame
from atomnb.graph.structure import as_atoms, build_graph
from atomnb.simulate.structures import create_structure
from atomnb.viz.outlines import RING_COLOURS, outline, ring_colour, short_label
from atomnb.viz.structure import defect_outline, outlined_atoms, plot_structure

pytest.importorskip("ase")
PIXEL = 0.2


@pytest.fixture(scope="module")
def sheet():
    """Graphene with a Stone–Wales defect and a silicon: atoms, graph, defects."""
    options = {"stone_wales": 1, "three_fold": 1}
    columns = create_structure("graphene", size_angstrom=(50, 50), options=options, seed=3).columns()
    atoms = as_atoms(columns.positions_yx / PIXEL, species=columns.content, pixel_size=PIXEL)
    return atoms, build_graph(atoms, rules="graphene"), find_defects(atoms, rules="graphene")


@pytest.fixture
def ax():
    figure = Figure()
    FigureCanvasAgg(figure)
    return figure.add_subplot()


def drawn(ax, kind):
    return [c for c in ax.collections if type(c) is kind]


def test_bonds_rings_and_defects_are_drawn_in_px(ax, sheet):
    atoms, graph, defects = sheet
    handles = plot_structure(ax, graph, defects=defects)
    (bonds,) = drawn(ax, LineCollection)
    ends = np.array(bonds.get_segments())[:, :, ::-1]
    np.testing.assert_allclose(ends, atoms.positions_yx[graph.neighbors.pairs])
    assert [h.get_label() for h in handles] == ["5-ring (2)", "7-ring (2)"]
    *rings, outlines = drawn(ax, PolyCollection)
    assert sum(len(r.get_paths()) for r in rings) == 4
    assert len(outlines.get_paths()) == len(defects) == 2
    assert {t.get_text() for t in ax.texts} == {"Stone–Wales 55-77", "three-fold Si"}


def test_layers_can_be_left_out_and_bonds_tell_their_probability(ax, sheet):
    _, graph, _ = sheet
    assert plot_structure(ax, graph, bonds=None, rings=False) == [] and not ax.collections
    plot_structure(ax, graph, bonds="probability", rings=False)
    np.testing.assert_array_equal(drawn(ax, LineCollection)[0].get_array(), graph.neighbors.probability)
    with pytest.raises(AtomnbError, match="plain, probability"):
        plot_structure(ax, graph, bonds="length")


def test_an_outline_encloses_its_atoms_and_leaves_the_others_out(sheet):
    atoms, graph, defects = sheet
    for row in defects.itertuples():
        inside = Path(defect_outline(graph, outlined_atoms(row))[:, ::-1]).contains_points(atoms.positions_yx[:, ::-1])
        assert inside[list(outlined_atoms(row))].all()
        assert inside.sum() <= len(outlined_atoms(row)) + 1


@pytest.mark.parametrize("points", [[[0, 0]], [[0, 0], [0, 50]], [[0, 0], [3, 0], [0, 3], [40, 2]]])
def test_an_outline_is_one_line_however_far_apart_its_atoms(points):
    line = outline(np.array(points, float), 1.0)
    assert Path(line).contains_points(points).all()


def test_labels_fit():
    assert short_label("Si trimer", "dopant") == "Si trimer"
    assert short_label("unseen: Va2-5-5-5-5-5-5-5-7-7-7-7#b9cf", "boundary") == "boundary #b9cf"
    assert len(short_label("a name that the user has made far too long", "dopant")) <= 26
    assert ring_colour(40) == ring_colour(9) == RING_COLOURS[9] != ring_colour(5)


def test_defects_of_a_frame_are_numbered_as_its_atoms(sheet):
    from dataclasses import replace

    from atomnb.data.atoms import concat_atoms

    atoms, _, _ = sheet
    both = concat_atoms([atoms, replace(atoms, df=atoms.df.assign(frame=1))])
    defects = find_defects(both, rules="graphene")
    assert len(defects) == 4
    second = defects_in_frame(defects, both, 1)
    first = find_defects(atoms, rules="graphene")
    assert sorted(second["core"]) == sorted(first["core"]) and sorted(second["atoms"]) == sorted(first["atoms"])
    assert (defects.loc[second.index, "frame"] == 1).all()
