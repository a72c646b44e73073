"""SampleViewer: one image of a labelled set after the other, with its columns, its class map and how it came about."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from pathlib import Path

import ipywidgets as widgets
import numpy as np

from atomnb.data.labelled_scene import IGNORED_CLASS, LabelledScene
from atomnb.data.labelled_set import SPLITS, LabelledSet, open_labelled_set, split_groups
from atomnb.errors import AtomnbError
from atomnb.viz.samples import IGNORED_COLOUR, dose_text
from atomnb.widgets.pictures import Pictures, colour_of_class, grey, painted, picture

NAMES = {"train": "training", "validation": "validation", "test": "test"}


class SampleViewer(widgets.VBox):
    """Shows the images of a labelled set, one at a time.

    Parameters
    ----------
    guard : callable
        Wraps what reads the file, so that an error is shown; see `atomnb.widgets.report.guarded`.
    """

    def __init__(self, *, guard: Callable[[Callable], Callable]) -> None:
        self._path: Path | None = None
        self.back, self.on = widgets.Button(description="‹"), widgets.Button(description="›")
        self.back.tooltip, self.on.tooltip = "The image before", "The next image"
        self.number = widgets.IntSlider(min=1, max=1, readout=False)
        self.number.add_class("an-sample-slider")
        self.rings = widgets.ToggleButton(value=True, description="Columns", tooltip="Ring the columns, or not")
        self.rings.add_class("an-small")
        self.where, self.facts, self.counts = widgets.HTML(), widgets.HTML(), widgets.HTML()
        self.where.add_class("an-sample-number")
        self.pictures = Pictures()
        head = widgets.HBox([widgets.HTML("<b>The images of the set</b>"), self.rings])
        line = widgets.HBox([self.back, self.number, self.on, self.where])
        for row, name in ((head, "an-sample-head"), (line, "an-line")):
            row.add_class(name)
        super().__init__([head, line, self.facts, self.counts, self.pictures])
        self.add_class("an-samples")
        self._draw = guard(self._show)
        self.show = guard(self._open)
        for field in (self.number, self.rings):
            field.observe(lambda _: self._draw(), "value")
        self.back.on_click(lambda _: self._step(-1))
        self.on.on_click(lambda _: self._step(1))
        self._open(None)

    def _open(self, path: Path | None) -> None:
        """Show the set in this file from its first image, or nothing."""
        self._path = None
        self.layout.display = "none"
        self.pictures.pictures = []
        self.number.value = 1
        if path is not None:
            self._path = path
            self._show()
            self.layout.display = None

    def _step(self, by: int) -> None:
        self.number.value = min(max(self.number.value + by, 1), self.number.max)

    def _show(self) -> None:
        if self._path is None:
            return
        with open_labelled_set(self._path) as found:  # closed at once: it may be written anew while the page is open
            self.number.max = len(found)
            number = self.number.value
            scene = found[number - 1]
            self.facts.value = _facts(scene, _splits(found).get(scene.group))
        self.where.value = f"<b>{number}</b> of {len(found)}"
        self.back.disabled, self.on.disabled = number == 1, number == len(found)
        codes = scene.column_class
        self.counts.value = numbers_of_classes({k: int((codes == n).sum()) for n, k in enumerate(found.classes, 1)})
        self.pictures.pictures = sample_pictures(scene, rings=self.rings.value)


def sample_pictures(scene: LabelledScene, *, rings: bool = True) -> list[dict]:
    """The image, its columns ringed in the colours of their classes, and its class map; see `picture`."""
    codes = scene.column_class.astype(int)
    taught = (codes > 0) & (codes < IGNORED_CLASS) & rings
    marks = np.column_stack([scene.positions_yx, codes - 1])[taught]
    ignored = (scene.class_map == IGNORED_CLASS).any()
    return [
        picture("Image", grey(scene.image), marks=marks, per_pixel=scene.pixel_size),
        picture(
            "Class map",
            painted(scene.class_map),
            per_pixel=scene.pixel_size,
            legend=[("not learnt from", IGNORED_COLOUR)] if ignored else [],
            filled=True,
        ),
    ]


def numbers_of_classes(counts: dict[str, int]) -> str:
    """HTML: how many columns of each class there are, in the colour of the class; the classes in their order."""
    html = "".join(
        f'<div><b>{count}</b><i style="background:{colour_of_class(k)}"></i>{escape(name)}</div>'
        for k, (name, count) in enumerate(counts.items(), start=1)
    )
    return f'<div class="an-numbers an-classes">{html}</div>'


def _splits(found: LabelledSet) -> dict[str, str]:
    """What each structure is for, by name, as `LabelledSet.split` divides them; empty where they are too few."""
    try:
        parts = split_groups(found.groups)
    except AtomnbError:
        return {}
    return {group: NAMES[which] for which in SPLITS for group in parts[which]}


def _facts(scene: LabelledScene, split: str | None) -> str:
    height, width = scene.image.shape
    side = " × ".join(f"{n * scene.pixel_size / 10:.3g}" for n in (height, width))
    facts = [
        ("Structure", scene.group),
        ("For", split or "– (the set has fewer than three structures)"),
        ("Dose", dose_text(scene) or "not noted"),
        ("Image", f"{height} × {width} px, {side} nm"),
    ]
    rows = "".join(f"<tr><th>{name}</th><td>{escape(text)}</td></tr>" for name, text in facts)
    return f'<table class="an-facts">{rows}</table>'
