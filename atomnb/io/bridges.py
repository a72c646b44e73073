"""To and from the packages beside us: HyperSpy for images, ASE for atoms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from atomnb._require import require
from atomnb.data.atoms import AtomTable
from atomnb.data.elements import ELEMENTS, symbol_of
from atomnb.data.micrograph import Micrograph
from atomnb.errors import AtomnbError
from atomnb.io.metadata import NODE, acquisition
from atomnb.io.signals import Axis, Signal, text_or_none, to_micrograph


def to_hyperspy(micrograph: Micrograph):
    """A HyperSpy `Signal2D` with calibrated axes in Å; lazy when the micrograph is.

    Parameters
    ----------
    micrograph : Micrograph

    Returns
    -------
    hyperspy.api.signals.Signal2D or LazySignal2D
    """
    import hyperspy.api as hs

    signal = hs.signals.Signal2D(micrograph.data)
    if micrograph.is_lazy:
        signal = signal.as_lazy()
    for axis, name in zip(signal.axes_manager.signal_axes, ("x", "y"), strict=True):
        axis.name = name
        if micrograph.pixel_size is not None:
            axis.scale, axis.units = micrograph.pixel_size, "Å"
    if micrograph.is_stack:
        axis = signal.axes_manager.navigation_axes[0]
        axis.name = "time" if micrograph.time_step is not None else "frame"
        if micrograph.time_step is not None:
            axis.scale, axis.units = micrograph.time_step, "s"
    signal.metadata.General.title = micrograph.name
    signal.metadata.set_item(NODE, dict(micrograph.metadata))
    return signal


def from_hyperspy(signal, *, non_square: str = "raise") -> Micrograph:
    """The micrograph in a HyperSpy signal, left lazy when it is.

    Parameters
    ----------
    signal : hyperspy Signal2D
        An image, or a stack with one navigation axis; if that is a time, it becomes `time_step`.
    non_square : {'raise', 'resample'}

    Raises
    ------
    ImageError
        If the signal is a spectrum, complex, or has more than one navigation axis.
    CalibrationError
        If its pixels are not square and `non_square` is 'raise'.

    Warns
    -----
    CalibrationWarning
        If the scale has no unit or a reciprocal one: the micrograph is then uncalibrated.
    """
    if not hasattr(signal, "axes_manager"):
        raise AtomnbError(f"expected a HyperSpy signal, got {type(signal).__name__}: use atomnb.as_micrograph.")
    manager = signal.axes_manager
    in_order = sorted((*manager.navigation_axes, *manager.signal_axes), key=lambda axis: axis.index_in_array)
    axes = tuple(_axis(axis, size) for axis, size in zip(in_order, signal.data.shape, strict=True))
    nested = signal.metadata.as_dictionary()
    return to_micrograph(
        Signal(
            data=signal.data,
            axes=axes,
            name=text_or_none(nested.get("General", {}).get("title")) or "",
            kind=str(nested.get("Signal", {}).get("signal_type") or ""),
            metadata=_metadata(nested, signal.original_metadata.as_dictionary()),
        ),
        non_square=non_square,
    )


def to_ase(atoms: AtomTable, *, element: str | None = None):
    """An `ase.Atoms` object in the plane z = 0, positions in Å (x to the right, y down as in the image).

    Parameters
    ----------
    atoms : AtomTable
        Calibrated. Where `species` is not a chemical element (the universal model writes 'column'), the
        element is 'X'.
    element : str, optional
        Chemical symbol for all atoms instead.

    Raises
    ------
    CalibrationError
        If the table has no pixel size.
    MissingPackageError
        If ASE is not installed.
    """
    ase = require("ase", extra="simulate")
    y, x = atoms.in_angstrom().T
    species = atoms.df["species"] if element is None else [element] * len(atoms)
    if element is not None and element not in ELEMENTS:
        raise AtomnbError(f"element must be a chemical symbol such as 'Mo', got {element!r}.")
    symbols = [symbol_of(name) for name in species]
    cell = None if atoms.shape is None else (*(n * atoms.pixel_size for n in atoms.shape[::-1]), 0.0)
    made = ase.Atoms(symbols=symbols, positions=[(a, b, 0.0) for a, b in zip(x, y, strict=True)], cell=cell)
    for name in ("intensity", "score", "sublattice", "frame", "flags"):
        made.set_array(name, atoms.df[name].to_numpy())
    return made


def _axis(axis, size: int) -> Axis:
    return Axis(
        name=text_or_none(axis.name) or "",
        size=int(size),
        scale=float(axis.scale) if axis.is_uniform else None,
        unit=text_or_none(axis.units),
        is_navigation=bool(axis.navigate),
    )


def _metadata(nested: Mapping[str, Any], original: Mapping[str, Any]) -> dict[str, Any]:
    ours = nested.get(NODE)
    if ours is not None:
        return dict(ours)
    return acquisition({"metadata": nested, "original_metadata": original})
