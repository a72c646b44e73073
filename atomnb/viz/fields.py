"""Fields on the atoms of an image: strain, rotation or its errors as colours, polar displacements as arrows."""

from __future__ import annotations

import numpy as np

from atomnb.errors import AtomnbError

STRAIN_COLOURS, TURN_COLOURS = "RdBu_r", "hsv"
"""Strain about zero; directions, which come back to themselves."""

_LABELS = {
    "eps_xx": "ε_xx (%)", "eps_yy": "ε_yy (%)", "eps_xy": "ε_xy (%)", "rotation": "rotation (°)",
    "u_x": "u_x (pm)", "u_y": "u_y (pm)",
}  # fmt: skip
_FACTORS = {"rotation": 180 / np.pi, "u_x": 100.0, "u_y": 100.0}
_PERCENT = 100.0


def show_strain(strain, component: str = "eps_xx", *, image=None, limit: float | None = None, ax=None):
    """Draw one component of a strain map on the atoms.

    Parameters
    ----------
    strain : StrainMap
    component : str
        `eps_xx`, `eps_yy`, `eps_xy`, `rotation`, `u_x`, `u_y`, or one of these with `_err`.
    image : array (H, W), optional
        Drawn in grey below.
    limit : float, optional
        End of the colour scale, in the unit of the label; by default what 98 % of the atoms stay below.
    ax : matplotlib.axes.Axes, optional
        By default a new figure of pyplot.

    Returns
    -------
    matplotlib.axes.Axes
        In px, y downward.

    Raises
    ------
    AtomnbError
        For an unknown component.
    """
    name = component.removesuffix("_err")
    if name not in _LABELS:
        raise AtomnbError(f"component must be one of {', '.join(_LABELS)} or one with _err, got {component!r}.")
    values = strain.df[component].to_numpy() * _FACTORS.get(name, _PERCENT)
    known = np.isfinite(values)
    if limit is None:
        limit = float(np.percentile(np.abs(values[known]), 98)) if known.any() else 1.0
    is_error = component != name
    ax = _axes(ax, strain.atoms.positions_yx, image)
    dots = ax.scatter(
        strain.df["x"][known], strain.df["y"][known], c=values[known], s=_dot_size(ax, strain.atoms.positions_yx),
        cmap="viridis" if is_error else STRAIN_COLOURS, vmin=0 if is_error else -limit, vmax=limit or 1.0, linewidths=0,
    )  # fmt: skip
    label = f"standard error of {_LABELS[name]}" if is_error else _LABELS[name]
    ax.figure.colorbar(dots, ax=ax, label=label, shrink=0.8)
    return ax


def show_polarization(polarization, *, site: str = "B", image=None, magnify: float | None = None, ax=None):
    """Draw polar displacements as arrows, coloured by direction.

    Parameters
    ----------
    polarization : pandas.DataFrame
        From `measure_polarization`.
    site : {'A', 'B'}
        Whose displacements.
    image : array (H, W), optional
        Drawn in grey below.
    magnify : float, optional
        Arrow length over displacement; by default such that long arrows span the distance of two columns.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes
        In px, y downward; the title tells the magnification.
    """
    if site not in ("A", "B"):
        raise AtomnbError(f"site must be 'A' or 'B', got {site!r}.")
    table = polarization[polarization["site"] == site]
    ax = _axes(ax, table[["y", "x"]].to_numpy(), image)
    if not len(table):
        return ax
    # the cell's area in Å² and the distance of columns in px give Å per px
    spacing = _spacing(table[["y", "x"]].to_numpy())
    pixel = float(np.sqrt(table["area"].median())) / spacing
    long = float(np.percentile(table["length"], 95)) or 1.0
    magnify = magnify or 0.9 * spacing * pixel / long
    ax.quiver(
        table["x"], table["y"], table["d_x"], table["d_y"], table["direction"], cmap=TURN_COLOURS, clim=(-np.pi, np.pi),
        angles="xy", scale_units="xy", scale=pixel / magnify, pivot="middle", width=0.003,
    )  # fmt: skip
    ax.set_title(
        f"displacement of {site}, × {magnify:.0f} (median {100 * table['length'].median():.1f} pm)", fontsize=10
    )
    return ax


def _axes(ax, yx: np.ndarray, image):
    if ax is None:
        import matplotlib.pyplot as plt

        ax = plt.figure(layout="constrained").add_subplot()
    if image is not None:
        pixels = np.asarray(image)
        low, high = np.percentile(pixels, (0.5, 99.5))
        ax.imshow(pixels, cmap="gray", vmin=low, vmax=high)
    elif len(yx):
        (bottom, left), (top, right) = yx.min(axis=0) - 3, yx.max(axis=0) + 3
        ax.set(xlim=(left, right), ylim=(top, bottom))
    ax.set(aspect="equal", xticks=[], yticks=[])
    return ax


def _spacing(yx: np.ndarray) -> float:
    from scipy.spatial import cKDTree

    return float(np.median(cKDTree(yx).query(yx, k=2)[0][:, 1])) if len(yx) > 1 else 1.0


def _dot_size(ax, yx: np.ndarray) -> float:
    """Area in square points at which dots of neighbours nearly touch."""
    width = abs(np.subtract(*ax.get_xlim()))
    inches = ax.get_window_extent().width / ax.figure.dpi
    return float(np.clip((0.85 * _spacing(yx) / width * inches * 72) ** 2, 2, 400))
