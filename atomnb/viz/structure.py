"""The structure over an image: bonds, rings coloured by size, defects outlined and named."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from atomnb.errors import AtomnbError
from atomnb.viz.outlines import OUTLINE_COLOUR, REACH, outline, ring_colour, short_label

BONDS = ("plain", "probability")
BOND_COLOUR = "#8fe3d9"
BOND_MAP = "plasma"
"""Colour map of bonds by their probability, 0 to 1."""


def plot_structure(
    ax, graph, *, defects=None, bonds: str | None = "plain", rings: bool = True, labels: bool = True
) -> list:
    """Draw the structure of one frame.

    Parameters
    ----------
    ax : matplotlib.axes.Axes in px of the image, for instance of `show_atoms`
    graph : StructureGraph
    defects : DataFrame, optional
        The defects to outline; their `atoms` are numbered as in the graph (`atomnb.graph.frames.defects_in_frame`).
    bonds : {'plain', 'probability', None}
        What the colour of a bond tells; None draws none.
    rings : bool
        Fill the rings that are not the crystal's, coloured by their size.
    labels : bool
        Write the name beside each outline.

    Returns
    -------
    list of matplotlib handles
        For a legend: one for each size of ring drawn.

    Raises
    ------
    AtomnbError
        If `bonds` is none of these.

    Examples
    --------
    >>> found = atomnb.analyze(image, model="graphene-si", rules="graphene")  # doctest: +SKIP
    >>> plot_structure(show_atoms(found, structure=False), found.graph, defects=found.defects)  # doctest: +SKIP
    """
    if bonds is not None and bonds not in BONDS:
        raise AtomnbError(f"bonds must be one of {', '.join(BONDS)}, or None, got {bonds!r}.")
    handles = _draw_rings(ax, graph) if rings else []
    if bonds is not None:
        _draw_bonds(ax, graph, bonds)
    if defects is not None:
        _draw_defects(ax, graph, defects, labels)
    return handles


def defect_outline(graph, members: Sequence[int]) -> np.ndarray:
    """The line (K, 2), px, round atoms of a graph that make a defect."""
    return outline(graph.positions_yx[list(members)], REACH * graph.host.bond) / graph.scale


def outlined_atoms(row) -> tuple[int, ...]:
    """Rows of the atoms that stand for a defect in a picture: dopants with their neighbours, else all of its rings.

    Parameters
    ----------
    row : of a table of defects, with `bonds`, `atoms` and `core`
    """
    return row.atoms if row.bonds else row.core


def _draw_rings(ax, graph) -> list:
    from matplotlib.collections import PolyCollection
    from matplotlib.patches import Patch

    handles = []
    yx = graph.positions_yx / graph.scale
    odd = np.flatnonzero(graph.rings.sizes != graph.host.ring)
    for size in np.unique(graph.rings.sizes[odd]):
        these = odd[graph.rings.sizes[odd] == size]
        colour = ring_colour(size)
        corners = [yx[graph.rings.of(r)][:, ::-1] for r in these]
        ax.add_collection(PolyCollection(corners, facecolors=colour, edgecolors="none", alpha=0.45))
        handles.append(Patch(facecolor=colour, alpha=0.7, label=f"{size}-ring ({len(these):,})"))
    return handles


def _draw_bonds(ax, graph, bonds: str) -> None:
    from matplotlib.collections import LineCollection

    yx = graph.positions_yx / graph.scale
    lines = LineCollection(yx[graph.neighbors.pairs][:, :, ::-1], linewidths=1.1, zorder=2)
    if bonds == "probability":
        lines.set(array=graph.neighbors.probability, cmap=BOND_MAP, clim=(0, 1))
    else:
        lines.set(color=BOND_COLOUR, alpha=0.75)
    ax.add_collection(lines)


def _draw_defects(ax, graph, defects, labels: bool) -> None:
    from matplotlib.collections import PolyCollection

    lines = [defect_outline(graph, outlined_atoms(row)) for row in defects.itertuples()]
    drawn = [line[:, ::-1] for line in lines]
    ax.add_collection(PolyCollection(drawn, facecolors="none", edgecolors=OUTLINE_COLOUR, linewidths=1.6, zorder=4))
    if not labels:
        return
    from matplotlib.patheffects import withStroke

    for row, line in zip(defects.itertuples(), lines, strict=True):
        top = line[line[:, 0].argmin()]
        text = short_label(row.name, row.kind)
        ax.text(
            top[1], top[0] - 2, text, color=OUTLINE_COLOUR, fontsize=8, ha="center", va="bottom", clip_on=True,
            zorder=6, path_effects=[withStroke(linewidth=2.5, foreground="black")],
        )  # fmt: skip
