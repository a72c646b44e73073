"""Pictures of fields: every atom with a value has its colour, every column its arrow, on the image's own axes."""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from atomnb import AtomTable
from atomnb.errors import AtomnbError
from atomnb.order.polarization import measure_polarization
from atomnb.order.strain import measure_strain
from atomnb.viz.fields import show_polarization, show_strain


@pytest.fixture
def ax():
    figure = Figure()
    FigureCanvasAgg(figure)
    return figure.add_subplot()


@pytest.fixture
def lattice():
    return 20.0 * np.stack(np.meshgrid(np.arange(8), np.arange(8), indexing="ij"), -1).reshape(-1, 2)


def test_colours_are_the_strain_in_percent(ax, lattice):
    strain = measure_strain(AtomTable.from_positions(lattice * [1, 1.02], pixel_size=0.2), reference=4.0 * np.eye(2))
    show_strain(strain, "eps_xx", limit=5, ax=ax)
    (dots,) = ax.collections
    np.testing.assert_allclose(dots.get_array(), 2, atol=1e-6)
    np.testing.assert_allclose(dots.get_offsets(), strain.df[["x", "y"]])
    assert dots.get_clim() == (-5, 5)
    low, high = ax.get_ylim()
    assert low > high  # y downward
    assert "ε_xx" in ax.figure.axes[-1].get_ylabel()


def test_errors_have_their_own_scale(ax, lattice):
    table = AtomTable.from_positions(lattice, pixel_size=0.2)
    strain = measure_strain(table, reference=4.0 * np.eye(2), errors_yx=np.full(lattice.shape, 0.04))
    show_strain(strain, "rotation_err", ax=ax, image=np.random.default_rng(0).normal(size=(160, 160)))
    assert ax.collections[0].get_clim()[0] == 0
    assert "standard error" in ax.figure.axes[-1].get_ylabel()
    with pytest.raises(AtomnbError, match="component"):
        show_strain(strain, "eps_zz", ax=ax)


def test_arrows_point_where_the_columns_moved(ax, lattice):
    yx = np.vstack([lattice, lattice + np.array([10.0, 10.5])])
    table = AtomTable.from_positions(yx, pixel_size=0.2)
    table.df["sublattice"] = np.repeat([0, 1], 64)
    found = measure_polarization(table, a_site=0, b_site=1)
    show_polarization(found, ax=ax, magnify=10)
    (arrows,) = ax.collections
    np.testing.assert_allclose(arrows.U, 0.1, atol=1e-9)
    assert arrows.scale == pytest.approx(0.2 / 10, rel=0.05)
    assert "× 10" in ax.get_title()
    with pytest.raises(AtomnbError, match="site"):
        show_polarization(found, site="O", ax=ax)


def test_nothing_to_draw_is_no_error(ax):
    show_strain(measure_strain(np.zeros((0, 2))), ax=ax)
    show_polarization(measure_polarization(AtomTable.empty(pixel_size=0.2), a_site=0, b_site=1), ax=ax)
