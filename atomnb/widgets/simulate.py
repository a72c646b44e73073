"""The dashboard *Simulate*: from a structure to labelled images; run `app()` in a notebook or open it with `atomnb`."""

from __future__ import annotations

from pathlib import Path

import ipywidgets as widgets
import numpy as np
import pandas as pd

from atomnb.widgets.canvas import ImageCanvas
from atomnb.widgets.debounce import debounced
from atomnb.widgets.folder import DataFolder
from atomnb.widgets.jobs import Jobs, main_loop_post
from atomnb.widgets.parts import ErrorPanel, TitleBar
from atomnb.widgets.pyramid import Pyramid
from atomnb.widgets.report import guarded
from atomnb.widgets.simulate_exposure import ExposurePanel
from atomnb.widgets.simulate_microscope import MicroscopePanel
from atomnb.widgets.simulate_state import CHOICES, SimulateState
from atomnb.widgets.simulate_structure import StructurePanel
from atomnb.widgets.simulate_views import ViewPanel


def app(data_dir=None) -> widgets.Widget:
    """The dashboard, to be shown by the notebook that calls it.

    Parameters
    ----------
    data_dir : path, optional
        The folder labelled sets are written to. Default: the environment variable ATOMNB_DATA, else the current
        folder.
    """
    import pooch

    post = main_loop_post()
    cache = Path(pooch.os_cache("atomnb")) / "multislice"
    return Simulate(
        SimulateState(folder=DataFolder(data_dir), preview=Jobs(post=post), jobs=Jobs(post=post), cache=cache)
    )


class Simulate(widgets.VBox):
    """The page: choices on the left, the image, truth and set on the right."""

    def __init__(self, state: SimulateState) -> None:
        self.state = state
        drawing = guarded(state.show_report, "simulating the image")
        self.title = TitleBar("Simulate", on_ready=drawing(lambda _query: state.render()))
        self.error = ErrorPanel()
        self.stale = widgets.HTML()
        self.canvas = ImageCanvas()
        self.canvas.layers, self.canvas.tools, self.canvas.true = ["show_atoms"], ["pan", "ruler"], True
        self.structure = StructurePanel(state)
        self.microscope = MicroscopePanel(state)
        self.exposure = ExposurePanel(state)
        self.views = ViewPanel(state)
        left = widgets.VBox([self.structure, self.microscope, self.exposure])
        middle = widgets.VBox([self.error, self.stale, self.canvas])
        for box, name in ((left, "an-left"), (middle, "an-middle"), (self.views, "an-right")):
            box.add_class(name)
        body = widgets.HBox([left, middle, self.views])
        body.add_class("an-body")
        super().__init__([self.title, body])
        self.add_class("an-app")
        state.observe(debounced(drawing(state.render)), CHOICES)
        state.observe(lambda _: self._show_stale(), CHOICES)
        state.observe(drawing(lambda _: self._show()), "shown")
        state.observe(lambda _: self._show_report(), "report")
        state.preview.observe(lambda _: self._show_busy(), ["busy", "message"])
        state.jobs.observe(lambda _: self._show_stale(), ["busy", "title"])
        self.canvas.hint = "Simulating …"

    def _show(self) -> None:
        shown = self.state.shown
        request, scene = shown.request, shown.scene
        self.title.subject = f"{request.structure.name} · {request.microscope.detector.upper()}"
        before = self.canvas.view.get("height"), self.canvas.view.get("width")
        self.canvas.show_image(Pyramid(scene.image), name=f"{request.exposure.frame} px")
        if before != scene.image.shape:
            self.canvas.tool = "pan"
        self.canvas.pixel_size = scene.pixel_size
        self.canvas.spacing = _spacing(scene.positions_yx)
        self.canvas.group_names = list(shown.scheme.classes)
        self.canvas.set_atoms(_table(scene))
        self._show_stale()

    def _show_busy(self) -> None:
        """While another image is being made, the one shown and its truth are dimmed, and a line says what is done."""
        preview = self.state.preview
        waiting = preview.busy and self.state.shown is not None
        self.canvas.busy = f"{preview.message or 'simulating'} …" if waiting else ""
        (self.add_class if waiting else self.remove_class)("an-outdated")

    def _show_stale(self) -> None:
        state, jobs = self.state, self.state.jobs
        waiting = state.stale and state.awaits_multislice
        runs = jobs.busy and jobs.title == "Multislice"
        text = "This is the image of the former choices: "
        text += "multislice is running." if runs else "estimate and run multislice on the left to see the new one."
        self.stale.value = f'<p class="an-warning">{text}</p>' if waiting else ""
        self.stale.layout.display = None if waiting else "none"

    def _show_report(self) -> None:
        report = self.state.report
        self.error.report = {} if report is None else report._asdict()
        if self.state.shown is None:
            self.canvas.hint = "" if report is not None else "Simulating …"


def _table(scene) -> pd.DataFrame:
    """The columns of a scene as the canvas draws atoms; groups are classes, those not taught have none."""
    codes = scene.column_class.astype(int)
    return pd.DataFrame(
        {
            "y": scene.positions_yx[:, 0],
            "x": scene.positions_yx[:, 1],
            "y_err": np.nan,
            "x_err": np.nan,
            "score": 1.0,
            "sublattice": np.where((codes > 0) & (codes < 255), codes - 1, -1),
            "flags": 0,
            "species": scene.species.astype(str),
        }
    )


def _spacing(positions: np.ndarray) -> float:
    """Median distance to the nearest column, px; 0 where there are too few."""
    from scipy.spatial import cKDTree

    if len(positions) < 2:
        return 0.0
    return float(np.median(cKDTree(positions).query(positions, k=2)[0][:, 1]))
