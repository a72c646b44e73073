"""Samples of a labelled set as a picture: each image beside its classes and its columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice

import numpy as np

from atomnb.data.labelled_scene import IGNORED_CLASS, LabelledScene, check_classes
from atomnb.errors import AtomnbError
from atomnb.viz.overlay import GROUP_COLOURS

BACKGROUND_COLOUR = "#101018"
IGNORED_COLOUR = "#5a5a66"

INCHES_PER_PANEL = 3.0

MOST_SAMPLES = 12
"""Rows a figure can hold and still be looked at."""


def show_scene(scene: LabelledScene, *, classes: Sequence[str], axes=None):
    """Draw one scene: the image, the class map, and the image with its columns coloured by class.

    Parameters
    ----------
    scene : LabelledScene
    classes : sequence of str
        The class list of the set, after the background.
    axes : three matplotlib.axes.Axes, optional
        Where to draw; by default a new figure of pyplot.

    Returns
    -------
    three matplotlib.axes.Axes
        In px, y downward.

    Raises
    ------
    AtomnbError
        If `axes` are not three, or the scene holds labels outside the class list.
    """
    check_classes(scene, classes)
    if axes is None:
        import matplotlib.pyplot as plt

        axes = plt.figure(figsize=(3 * INCHES_PER_PANEL, INCHES_PER_PANEL), layout="constrained").subplots(1, 3)
    if len(axes) != 3:
        raise AtomnbError(f"axes must be three, for image, class map and columns; got {len(axes)}.")
    _draw_image(axes[0], scene)
    axes[0].set_title(_title(scene), fontsize=8)
    _draw_classes(axes[1], scene, classes)
    _draw_image(axes[2], scene)
    _draw_columns(axes[2], scene, classes)
    for ax in axes:
        height, width = scene.image.shape
        ax.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5), aspect="equal", xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
    return axes


def show_samples(scenes: Iterable[LabelledScene], *, classes: Sequence[str], n: int = 4, seed: int | None = 0):
    """A figure of `n` samples, one per row, with a legend of the classes.

    Needs no screen and no pyplot: in a notebook the figure shows itself, elsewhere use `figure.savefig`.

    Parameters
    ----------
    scenes : LabelledSet, or any scenes
    classes : sequence of str
        After the background; of a LabelledSet its `classes`.
    n : int
        At most 12.
    seed : int or None
        Which samples of a set are drawn by chance; None = the first ones, as of scenes without a length.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    AtomnbError
        If there are no scenes, or `n` is out of range.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if not 1 <= n <= MOST_SAMPLES:
        raise AtomnbError(f"n must be from 1 to {MOST_SAMPLES}, got {n}.")
    chosen = _chosen(scenes, n, seed)
    if not chosen:
        raise AtomnbError("there are no scenes to show.")
    size = (3 * INCHES_PER_PANEL, len(chosen) * INCHES_PER_PANEL + 0.4)
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    for row, scene in zip(figure.subplots(len(chosen), 3, squeeze=False), chosen, strict=True):
        show_scene(scene, classes=classes, axes=row)
    figure.legend(handles=_handles(chosen, classes), loc="outside lower center", ncols=5, frameon=False)
    return figure


def class_colour(code: int) -> str:
    """The colour of a class code as in a class map: 0 background, 1 to K the classes, 255 ignored."""
    if code == IGNORED_CLASS:
        return IGNORED_COLOUR
    return BACKGROUND_COLOUR if code == 0 else GROUP_COLOURS[(code - 1) % len(GROUP_COLOURS)]


def dose_text(scene: LabelledScene) -> str:
    """The dose of a scene with its unit, or '' where it is not noted."""
    dose = scene.details.get("dose")
    unit = {"electrons_per_column": "e⁻ per column", "electrons_per_angstrom2": "e⁻/Å²"}
    return "" if dose is None else f"{dose:,.0f} {unit.get(scene.details.get('dose_unit'), 'dose')}"


def _chosen(scenes, n: int, seed: int | None) -> list[LabelledScene]:
    if seed is None or not hasattr(scenes, "__getitem__"):
        return list(islice(scenes, n))
    numbers = np.random.default_rng(seed).permutation(len(scenes))[:n]
    return [scenes[int(number)] for number in sorted(numbers)]


def _draw_image(ax, scene: LabelledScene) -> None:
    low, high = np.percentile(scene.image, (0.5, 99.5))
    ax.imshow(scene.image, cmap="gray", vmin=low, vmax=max(high, low + 1e-6), interpolation="nearest")


def _draw_classes(ax, scene: LabelledScene, classes: Sequence[str]) -> None:
    from matplotlib.colors import to_rgb

    table = np.zeros((256, 3))
    for code in (*range(len(classes) + 1), IGNORED_CLASS):
        table[code] = to_rgb(class_colour(code))
    ax.imshow(table[scene.class_map], interpolation="nearest")


def _draw_columns(ax, scene: LabelledScene, classes: Sequence[str]) -> None:
    for code in (*range(1, len(classes) + 1), IGNORED_CLASS):
        y, x = scene.positions_yx[scene.column_class == code].T
        ax.scatter(x, y, s=6, c=class_colour(code), linewidths=0)


def _title(scene: LabelledScene) -> str:
    dose = dose_text(scene)
    return f"{scene.group}\n{scene.pixel_size:.3g} Å/px{', ' if dose else ''}{dose}"


def _handles(scenes: list[LabelledScene], classes: Sequence[str]) -> list:
    """One mark per class with the number of its columns in the samples shown."""
    from matplotlib.lines import Line2D

    codes = np.concatenate([scene.column_class for scene in scenes])
    named = [(code, name) for code, name in enumerate(classes, start=1)] + [(IGNORED_CLASS, "not learnt from")]
    return [
        Line2D(
            [], [], ls="none", marker="o", ms=7, color=class_colour(code), label=f"{name} ({(codes == code).sum():,})"
        )
        for code, name in named
        if code != IGNORED_CLASS or (codes == code).any()
    ]
