"""There and back: HyperSpy signals, ASE atoms, and the columns trackpy works on."""

import numpy as np
import pytest

from atomnb import AtomTable, Micrograph, as_micrograph
from atomnb.errors import AtomnbError, CalibrationError, CalibrationWarning, ImageError
from atomnb.io.bridges import from_hyperspy, to_ase, to_hyperspy


@pytest.fixture
def signals():
    from hyperspy.api import signals

    return signals


def calibrated(signal, *, scale_y=0.02, scale_x=0.02, units="nm"):
    for axis, scale in zip(signal.axes_manager.signal_axes, (scale_x, scale_y), strict=True):
        axis.scale, axis.units = scale, units
    return signal


@pytest.mark.parametrize("pixel_size", [None, 0.2])
@pytest.mark.parametrize("time_step", [None, 0.5])
@pytest.mark.parametrize("stack", [False, True])
@pytest.mark.parametrize("lazy", [False, True])
def test_round_trip(rng, pixel_size, time_step, stack, lazy):
    import dask.array as da

    data = rng.random((4, 24, 40) if stack else (24, 40))
    metadata = {"beam_energy_kev": 60.0, "channels": ("HAADF", "BF")}
    image = Micrograph(
        da.from_array(data, chunks=data.shape) if lazy else data,
        pixel_size=pixel_size,
        time_step=time_step if stack else None,
        name="sample",
        metadata=metadata,
    )
    signal = to_hyperspy(image)
    assert signal._lazy == lazy
    assert signal.data.shape == data.shape
    back = from_hyperspy(signal)
    assert back.is_lazy == lazy
    assert (back.pixel_size, back.time_step, back.name) == (image.pixel_size, image.time_step, "sample")
    assert dict(back.metadata) == metadata
    np.testing.assert_array_equal(np.asarray(back.data), data)


def test_the_signal_has_axes_in_angstrom_and_seconds(rng):
    signal = Micrograph(rng.random((4, 24, 40)), pixel_size=0.2, time_step=0.5).to_hyperspy()
    x, y = signal.axes_manager.signal_axes
    assert (x.name, x.size, x.scale, x.units) == ("x", 40, 0.2, "Å")
    assert (y.name, y.size, y.scale, y.units) == ("y", 24, 0.2, "Å")
    (time,) = signal.axes_manager.navigation_axes
    assert (time.name, time.scale, time.units) == ("time", 0.5, "s")


def test_a_signal_in_nanometres(signals, rng):
    image = as_micrograph(calibrated(signals.Signal2D(rng.random((24, 40)))))
    assert image.pixel_size == pytest.approx(0.2)


def test_time_in_other_units(signals, rng):
    signal = calibrated(signals.Signal2D(rng.random((5, 24, 40))))
    axis = signal.axes_manager.navigation_axes[0]
    axis.scale, axis.units = 20.0, "ms"
    assert as_micrograph(signal).time_step == pytest.approx(0.02)
    axis.units = "nm"  # a focal series is no movie
    assert as_micrograph(signal).time_step is None


def test_a_scale_without_unit_or_reciprocal_is_not_used(signals, rng):
    data = rng.random((24, 40))
    with pytest.warns(CalibrationWarning, match="without a unit"):
        assert from_hyperspy(calibrated(signals.Signal2D(data), units="")).pixel_size is None
    with pytest.warns(CalibrationWarning, match="not a length"):
        assert from_hyperspy(calibrated(signals.Signal2D(data), units="1/nm")).pixel_size is None
    assert from_hyperspy(signals.Signal2D(data)).pixel_size is None  # no scale at all: nothing to warn of


def test_pixels_that_are_not_square(signals, rng):
    signal = calibrated(signals.Signal2D(rng.random((20, 40))), scale_y=0.04)
    with pytest.raises(CalibrationError, match="not square"):
        as_micrograph(signal)
    image = as_micrograph(signal, non_square="resample")
    assert image.shape == (40, 40)
    assert image.pixel_size == pytest.approx(0.2)


def test_a_lazy_movie_of_pixels_that_are_not_square_stays_lazy(signals, rng):
    data = rng.random((3, 20, 40))
    signal = calibrated(signals.Signal2D(data).as_lazy(), scale_y=0.04)
    image = from_hyperspy(signal, non_square="resample")
    assert image.is_lazy
    eager = from_hyperspy(calibrated(signals.Signal2D(data), scale_y=0.04), non_square="resample")
    np.testing.assert_allclose(image.frame(2), eager.frame(2))


def test_signals_that_are_no_image(signals, rng):
    with pytest.raises(ImageError, match="line profile"):
        from_hyperspy(signals.Signal1D(rng.random((20, 30, 40))))
    with pytest.raises(ImageError, match="complex"):
        from_hyperspy(signals.ComplexSignal2D(rng.random((24, 40)) + 1j))
    with pytest.raises(ImageError, match="4-dimensional"):
        from_hyperspy(signals.Signal2D(rng.random((3, 4, 24, 40))))
    with pytest.raises(AtomnbError, match="expected a HyperSpy signal, got ndarray"):
        from_hyperspy(np.zeros((32, 32)))


def test_ase_atoms_lie_where_the_atoms_are():
    pytest.importorskip("ase")
    table = AtomTable.from_positions([[1.0, 2.0], [3.0, 4.0]], pixel_size=0.5, shape=(10, 20))
    table.df["species"] = ["Mo", "column"]
    atoms = to_ase(table)
    np.testing.assert_array_equal(atoms.positions, [[1.0, 0.5, 0.0], [2.0, 1.5, 0.0]])
    assert atoms.get_chemical_symbols() == ["Mo", "X"]
    np.testing.assert_array_equal(atoms.cell.lengths(), [10.0, 5.0, 0.0])
    assert to_ase(table, element="C").get_chemical_symbols() == ["C", "C"]
    assert len(to_ase(AtomTable.empty(pixel_size=0.1))) == 0


def test_ase_needs_lengths_and_elements():
    pytest.importorskip("ase")
    with pytest.raises(CalibrationError, match="no pixel size"):
        to_ase(AtomTable.from_positions([[1.0, 2.0]]))
    with pytest.raises(AtomnbError, match="chemical symbol"):
        to_ase(AtomTable.from_positions([[1.0, 2.0]], pixel_size=0.1), element="Carbon")


def test_ase_missing_names_the_extra(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "ase", None)
    with pytest.raises(ImportError, match=r"'ase'.*atomnb\[simulate\]"):
        to_ase(AtomTable.from_positions([[1.0, 2.0]], pixel_size=0.1))


def test_the_table_is_what_trackpy_links():
    """trackpy.link(df, search_range) wants numeric y, x and an integer frame, and adds an integer particle."""
    df = AtomTable.from_positions([[1.0, 2.0], [3.0, 4.0]]).df
    assert list(df.columns[:4]) == ["y", "x", "frame", "particle"]
    assert df.dtypes[["y", "x", "frame", "particle"]].astype(str).tolist() == ["float64"] * 2 + ["int64"] * 2
    assert df.index.tolist() == [0, 1]
