"""The overlay picture: an image with its atoms, coloured by group, with a scale bar when calibrated."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from atomnb.errors import AtomnbError
from atomnb.io.atomic import atomic_path

GROUP_COLOURS = ("#ff9f1c", "#3ec5ff", "#3ddc84", "#ff5fa2", "#f7e733", "#b388ff", "#ff4b3e", "#00e0c6")
"""Colours of groups 0, 1, ...: bright on grey images, and apart in lightness for colour-blind readers."""

UNGROUPED_COLOUR = "#3ec5ff"
"""Colour of atoms that belong to no group."""

COLOUR_BY = ("sublattice", "species")
"""Columns of the atom table that can give the colour."""

MAX_SIDE = 2048
"""Longest side, in pixels, at which an image is drawn; larger ones are averaged down for the picture only."""

LONG_SIDE_INCHES = 8.0
"""Length of an image's longer side in a figure of our own."""

MARKER_SHARE = 0.5
"""Diameter of a marker as a share of the distance between neighbours: neighbours' markers never touch."""


def show_atoms(
    analysis,
    *,
    ax=None,
    frame: int = 0,
    colour_by: str = "sublattice",
    legend: bool = True,
    structure: bool = True,
):
    """Draw one frame with its atoms.

    Parameters
    ----------
    analysis : Analysis
        What `atomnb.analyze` returned.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure of pyplot.
    frame : int
        Which image of a stack.
    colour_by : {'sublattice', 'species'}
        What the colour of an atom tells.
    legend : bool
        Name the groups and count their atoms below the image.
    structure : bool
        Draw bonds, rings and defects, too, where the analysis was made with rules.

    Returns
    -------
    matplotlib.axes.Axes
        In px of the original image, y downward.

    Raises
    ------
    AtomnbError
        If `colour_by` is not one of the columns above.
    """
    if colour_by not in COLOUR_BY:
        raise AtomnbError(f"colour_by must be one of {', '.join(COLOUR_BY)}, got {colour_by!r}.")
    image = analysis.image.frame(frame)
    atoms = analysis.atoms.in_frame(frame)
    if ax is None:
        ax = _new_axes(image.shape)
    _draw_image(ax, image)
    handles = _draw_markers(ax, atoms, colour_by)
    if structure and analysis.graph is not None:
        handles += _draw_structure(ax, analysis, frame)
    if analysis.pixel_size is not None:
        _draw_scale_bar(ax, image.shape, analysis.pixel_size)
    if legend and handles:
        ax.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.01), ncols=4, frameon=False)
    return ax


def save_overlay(analysis, path, *, frame: int = 0, colour_by: str = "sublattice", structure: bool = True) -> Path:
    """Write the overlay of one frame as a picture (png, pdf or svg by the ending of `path`).

    Needs no screen and no pyplot, so it is safe in threads and on servers. The file appears whole or not at
    all.

    Parameters
    ----------
    analysis : Analysis
    path : str or Path
    frame : int
    colour_by : {'sublattice', 'species'}
    structure : bool
        Bonds, rings and defects, too, where the analysis was made with rules.

    Returns
    -------
    pathlib.Path
        The file written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    path = Path(path)
    figure = Figure(figsize=_figure_size(analysis.image.shape), layout="constrained")
    FigureCanvasAgg(figure)
    ax = show_atoms(analysis, ax=figure.add_subplot(), frame=frame, colour_by=colour_by, structure=structure)
    ax.set_title(_title(analysis, frame), fontsize=10)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=_dots_per_inch(analysis.image.shape))
    return path


def nice_length(longest: float) -> float:
    """The largest of 1, 2, 5 × 10ⁿ that is not longer than `longest` (any unit)."""
    if not longest > 0:
        raise AtomnbError(f"a scale bar needs a positive length, got {longest!r}.")
    power = 10.0 ** np.floor(np.log10(longest))
    # The sum of rounding errors must not turn a length that fits exactly into the next smaller one.
    return float(max(m * power for m in (1, 2, 5) if m * power <= longest * (1 + 1e-9)))


def length_label(angstrom: float) -> str:
    """A length in the unit that reads best: '5 Å', '2 nm', '1 µm'."""
    for unit, size in (("µm", 1e4), ("nm", 10.0), ("Å", 1.0)):
        if angstrom >= size * (1 - 1e-9):
            return f"{angstrom / size:g} {unit}"
    return f"{angstrom * 100:g} pm"


def _new_axes(shape: tuple[int, int]):
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=_figure_size(shape), layout="constrained")
    return figure.add_subplot()


def _figure_size(shape: tuple[int, int]) -> tuple[float, float]:
    """Width and height in inches, never a sliver."""
    height, width = shape
    scale = LONG_SIDE_INCHES / max(height, width)
    return max(3.0, width * scale), max(2.0, height * scale) + 0.7


def _dots_per_inch(shape: tuple[int, int]) -> float:
    """Fine enough for each drawn pixel of a large image to show."""
    return float(np.clip(max(shape), 1280, MAX_SIDE)) / LONG_SIDE_INCHES


def _draw_image(ax, image: np.ndarray) -> None:
    height, width = image.shape
    small, step = _averaged(image)
    low, high = np.percentile(small, (0.5, 99.5))
    if not high > low:
        low, high = float(small.min()), float(small.max())
    extent = (-0.5, small.shape[1] * step - 0.5, small.shape[0] * step - 0.5, -0.5)
    ax.imshow(small, cmap="gray", vmin=low, vmax=high, extent=extent, interpolation="nearest")
    ax.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5), aspect="equal", xticks=[], yticks=[])
    ax.spines[:].set_visible(False)


def _averaged(image: np.ndarray) -> tuple[np.ndarray, int]:
    """The image averaged over squares of `step` px to fit MAX_SIDE; partial squares at the end are cut."""
    step = -(-max(image.shape) // MAX_SIDE)
    height, width = (max(1, n // step) for n in image.shape)
    if step == 1:
        return image, 1
    cut = image[: height * step, : width * step]
    return cut.reshape(height, step, -1, step).mean(axis=(1, 3)), step


def _draw_markers(ax, atoms, colour_by: str) -> list:
    """One collection of circles per group; returns the handles of the legend."""
    from matplotlib.collections import EllipseCollection
    from matplotlib.lines import Line2D

    yx = atoms.positions_yx
    diameter = _marker_diameter(yx)
    handles = []
    for label, colour, mask in _groups(atoms.df[colour_by].to_numpy(), colour_by):
        size = np.full(int(mask.sum()), diameter)
        ax.add_collection(
            EllipseCollection(
                size, size, np.zeros_like(size),
                units="x", offsets=yx[mask][:, ::-1], offset_transform=ax.transData,
                facecolors="none", edgecolors=colour, linewidths=_line_width(len(yx)),
            )
        )  # fmt: skip
        text = f"{label} ({mask.sum():,})"
        handles.append(Line2D([], [], ls="none", marker="o", ms=7, mfc="none", mec=colour, mew=2, label=text))
    return handles


def _draw_structure(ax, analysis, frame: int) -> list:
    """Bonds, rings and defects of one frame; returns the handles of the legend."""
    from atomnb.graph.frames import defects_in_frame
    from atomnb.viz.structure import plot_structure

    graph = analysis.graph[frame] if isinstance(analysis.graph, tuple) else analysis.graph
    return plot_structure(ax, graph, defects=defects_in_frame(analysis.defects, analysis.atoms, frame))


def _marker_diameter(yx: np.ndarray) -> float:
    """Diameter of a marker in px, from the median distance to the nearest neighbour."""
    from scipy.spatial import cKDTree

    if len(yx) < 2:
        return 8.0
    distance = cKDTree(yx).query(yx, k=2)[0][:, 1]
    return max(1.0, MARKER_SHARE * float(np.median(distance)))


def _line_width(count: int) -> float:
    """Thin lines where many markers crowd."""
    return float(np.clip(40.0 / np.sqrt(max(count, 1)), 0.5, 1.6))


def _groups(values: np.ndarray, colour_by: str):
    """(label, colour, mask) of each group present, in order."""
    colours = iter(range(len(values) + 1))
    for value in sorted(set(values.tolist())):
        mask = values == value
        if colour_by == "sublattice" and value < 0:
            yield "atoms", UNGROUPED_COLOUR, mask
            continue
        number = value if colour_by == "sublattice" else next(colours)
        label = f"sublattice {value}" if colour_by == "sublattice" else str(value)
        yield label, GROUP_COLOURS[number % len(GROUP_COLOURS)], mask


def _draw_scale_bar(ax, shape: tuple[int, int], pixel_size: float) -> None:
    """A white bar on a dark panel at the lower left: readable on any image."""
    from matplotlib.font_manager import FontProperties
    from mpl_toolkits.axes_grid1.anchored_artists import AnchoredSizeBar

    height, width = shape
    angstrom = nice_length(0.3 * width * pixel_size)
    bar = AnchoredSizeBar(
        ax.transData, angstrom / pixel_size, length_label(angstrom), "lower left",
        size_vertical=0.01 * min(height, width), label_top=True, color="white", fill_bar=True,
        pad=0.5, borderpad=0.6, sep=4, frameon=True, fontproperties=FontProperties(size=12, weight="bold"),
    )  # fmt: skip
    bar.patch.set(facecolor="black", edgecolor="none", alpha=0.65)
    bar.set_zorder(5)
    ax.add_artist(bar)


def _title(analysis, frame: int) -> str:
    image = analysis.image
    count = len(analysis.atoms.in_frame(frame))
    scale = "uncalibrated" if analysis.pixel_size is None else f"{analysis.pixel_size:.4g} Å/px"
    which = f", frame {frame + 1} of {image.n_frames}" if image.is_stack else ""
    return f"{image.name or 'image'}{which}: {count:,} atoms, {scale}"
