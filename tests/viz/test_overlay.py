"""The overlay picture: atoms where they are, a true scale bar, a legend that counts."""

from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import EllipseCollection
from matplotlib.figure import Figure
from matplotlib.image import imread
from mpl_toolkits.axes_grid1.anchored_artists import AnchoredSizeBar

from atomnb import AtomTable, Micrograph
from atomnb.errors import AtomnbError
from atomnb.viz.overlay import GROUP_COLOURS, MAX_SIDE, length_label, nice_length, save_overlay, show_atoms


def analysis_of(data, positions_yx, *, sublattice=None, frame=0, pixel_size=None):
    """What the pictures need of an Analysis, from known positions."""
    table = AtomTable.from_positions(positions_yx, pixel_size=pixel_size)
    df = table.df.assign(frame=frame)
    if sublattice is not None:
        df["sublattice"] = sublattice
    image = Micrograph(data, pixel_size=pixel_size, name="sample")
    return SimpleNamespace(image=image, atoms=AtomTable(df, pixel_size=pixel_size), pixel_size=pixel_size, graph=None)


@pytest.fixture
def noise(rng):
    return rng.normal(size=(64, 96)).astype(np.float32)


@pytest.fixture
def ax():
    figure = Figure(figsize=(6, 6))
    FigureCanvasAgg(figure)
    return figure.add_subplot()


def circles(ax):
    return [c for c in ax.collections if isinstance(c, EllipseCollection)]


def scale_bars(ax):
    return [a for a in ax.artists if isinstance(a, AnchoredSizeBar)]


def test_markers_lie_on_the_atoms_in_image_coordinates(ax, noise):
    yx = np.array([[10.25, 20.5], [30.0, 40.75]])
    assert show_atoms(analysis_of(noise, yx), ax=ax) is ax
    (markers,) = circles(ax)
    assert np.allclose(markers.get_offsets(), yx[:, ::-1])
    assert ax.get_xlim() == (-0.5, 95.5)
    assert ax.get_ylim() == (63.5, -0.5)


def test_each_sublattice_has_its_colour_and_count(ax, noise):
    yx = np.array([[10, 10], [10, 30], [30, 10], [30, 30], [50, 50]])
    show_atoms(analysis_of(noise, yx, sublattice=[0, 1, 1, 0, 1]), ax=ax)
    drawn = {tuple(np.round(c.get_edgecolor()[0], 3)): len(c.get_offsets()) for c in circles(ax)}
    assert len(drawn) == 2
    assert sorted(drawn.values()) == [2, 3]
    texts = [t.get_text() for t in ax.get_legend().get_texts()]
    assert texts == ["sublattice 0 (2)", "sublattice 1 (3)"]


def test_a_group_keeps_its_colour_when_another_is_absent(ax, noise):
    from matplotlib.colors import to_rgba

    show_atoms(analysis_of(noise, [[10, 10], [20, 20]], sublattice=[1, 1]), ax=ax)
    (markers,) = circles(ax)
    assert np.allclose(markers.get_edgecolor()[0], to_rgba(GROUP_COLOURS[1]))


def test_ungrouped_atoms_are_called_atoms(ax, noise):
    show_atoms(analysis_of(noise, [[10, 10], [20, 20]]), ax=ax)
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["atoms (2)"]


def test_neighbouring_markers_never_touch(ax, noise):
    spacing = 6.0
    yx = np.stack(np.mgrid[5:60:spacing, 5:90:spacing], axis=-1).reshape(-1, 2)
    show_atoms(analysis_of(noise, yx), ax=ax)
    (markers,) = circles(ax)
    assert 0 < markers.get_widths().max() < spacing


def test_scale_bar_only_when_calibrated_and_as_long_as_it_says(ax, noise):
    show_atoms(analysis_of(noise, [[10, 10]], pixel_size=0.25), ax=ax)
    (bar,) = scale_bars(ax)
    assert bar.txt_label.get_text() == "5 Å"
    (rectangle,) = bar.size_bar.get_children()
    assert rectangle.get_width() == pytest.approx(5 / 0.25)
    other = Figure().add_subplot()
    show_atoms(analysis_of(noise, [[10, 10]]), ax=other)
    assert scale_bars(other) == []


def test_only_the_atoms_of_the_frame_are_drawn(ax, rng):
    stack = rng.normal(size=(3, 32, 32)).astype(np.float32)
    analysis = analysis_of(stack, [[4, 4], [8, 8], [12, 12]], frame=[0, 1, 1])
    show_atoms(analysis, ax=ax, frame=1)
    (markers,) = circles(ax)
    assert len(markers.get_offsets()) == 2


def test_no_atoms_draw_the_bare_image(ax, noise):
    show_atoms(analysis_of(noise, np.empty((0, 2))), ax=ax)
    assert circles(ax) == []
    assert ax.get_legend() is None
    assert len(ax.images) == 1


def test_colour_by_must_be_known(ax, noise):
    with pytest.raises(AtomnbError, match="sublattice, species"):
        show_atoms(analysis_of(noise, [[10, 10]]), ax=ax, colour_by="flavour")


def test_saved_picture_shows_the_markers_where_the_atoms_are(tmp_path, rng):
    """Colour appears in the picture only around the one atom, upper left."""
    noise = rng.normal(size=(128, 128)).astype(np.float32)
    path = save_overlay(analysis_of(noise, [[32, 48]]), tmp_path / "overlay.png")
    picture = imread(path)[..., :3]
    coloured = np.ptp(picture, axis=2) > 0.3
    rows, columns = np.nonzero(coloured[: int(0.9 * len(coloured))])
    # The image spans the width of the picture; its height follows from being square.
    side = picture.shape[1]
    top = (picture.shape[0] - side) / 2
    assert len(rows)
    assert columns.mean() / side == pytest.approx(48 / 128, abs=0.03)
    assert (rows.mean() - top) / side == pytest.approx(32 / 128, abs=0.05)
    assert list(tmp_path.iterdir()) == [path]


def test_saving_needs_no_pyplot(tmp_path, noise, monkeypatch):
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    save_overlay(analysis_of(noise, [[10, 10]]), tmp_path / "a.png")
    assert plt.get_fignums() == before


def test_large_images_are_averaged_for_the_picture_only(ax):
    data = np.zeros((MAX_SIDE + 10, 40), np.float32)
    data[1000:] = 1.0
    analysis = analysis_of(data, [[1500.0, 20.0]])
    show_atoms(analysis, ax=ax)
    assert max(ax.images[0].get_array().shape) <= MAX_SIDE
    assert ax.get_ylim() == (MAX_SIDE + 9.5, -0.5)
    (markers,) = circles(ax)
    assert np.allclose(markers.get_offsets(), [[20.0, 1500.0]])


@pytest.mark.parametrize(
    ("longest", "expected"), [(1.0, 1.0), (1.99, 1.0), (2.0, 2.0), (49.0, 20.0), (50.0, 50.0), (0.3, 0.2)]
)
def test_nice_length(longest, expected):
    assert nice_length(longest) == pytest.approx(expected)


def test_nice_length_refuses_what_is_no_length():
    with pytest.raises(AtomnbError):
        nice_length(0.0)


@pytest.mark.parametrize(
    ("angstrom", "label"), [(0.5, "50 pm"), (5, "5 Å"), (10, "1 nm"), (200, "20 nm"), (2e4, "2 µm")]
)
def test_length_label(angstrom, label):
    assert length_label(angstrom) == label


def test_the_structure_is_drawn_where_there_are_rules_and_can_be_left_out(ax, noise):
    pytest.importorskip("ase")
    from atomnb import find_defects
    from atomnb.graph.structure import as_atoms, build_graph
    from atomnb.simulate.structures import create_structure

    columns = create_structure("graphene", size_angstrom=(30, 30), options={"stone_wales": 1}).columns()
    atoms = as_atoms(columns.positions_yx / 0.3, species=columns.content, pixel_size=0.3)
    graph, defects = build_graph(atoms, rules="graphene"), find_defects(atoms, rules="graphene")
    image = Micrograph(noise, pixel_size=0.3, name="sample")
    analysis = SimpleNamespace(image=image, atoms=atoms, pixel_size=0.3, graph=graph, defects=defects)
    show_atoms(analysis, ax=ax, structure=False)
    assert not ax.texts
    show_atoms(analysis, ax=ax)
    assert [t.get_text() for t in ax.texts] == ["Stone–Wales 55-77"]
    assert "7-ring (2)" in {t.get_text() for t in ax.get_legend().get_texts()}
