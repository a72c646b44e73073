"""The dashboard *Find atoms*: from a file to its atoms; run `app()` in a notebook or open it with `atomnb`."""

from __future__ import annotations

from urllib.parse import parse_qs

import ipywidgets as widgets
import numpy as np

from atomnb.widgets.bokeh_loading import load_bokeh
from atomnb.widgets.canvas import ImageCanvas
from atomnb.widgets.find_atoms_results import ResultPanel
from atomnb.widgets.find_atoms_run import RunPanel
from atomnb.widgets.find_atoms_scale import ScalePanel
from atomnb.widgets.find_atoms_source import SourcePanel
from atomnb.widgets.find_atoms_state import FindAtomsState
from atomnb.widgets.folder import DataFolder
from atomnb.widgets.jobs import Jobs, main_loop_post
from atomnb.widgets.model_picker import warm_up
from atomnb.widgets.parts import ErrorPanel, TitleBar
from atomnb.widgets.report import guarded


def app(data_dir=None) -> widgets.Widget:
    """The dashboard, to be shown by the notebook that calls it.

    Parameters
    ----------
    data_dir : path, optional
        The folder files may be opened from. Default: the environment variable ATOMNB_DATA, else the current folder.
    """

    load_bokeh()
    state = FindAtomsState(folder=DataFolder(data_dir), jobs=Jobs(post=main_loop_post()))
    page = FindAtoms(state)
    warm_up("universal")
    return page


class FindAtoms(widgets.VBox):
    """The page: panels on the left, the image, the result on the right."""

    def __init__(self, state: FindAtomsState) -> None:
        self.state = state
        self.title = TitleBar("Find atoms", on_ready=guarded(state.show_report, "opening the file")(self._open_query))
        self.error = ErrorPanel()
        self.canvas = ImageCanvas()
        self.source = SourcePanel(state)
        self.scale = ScalePanel(state)
        self.run = RunPanel(state)
        self.results = ResultPanel(state, page=self.title, canvas=self.canvas)
        left = widgets.VBox([self.source, self.scale, self.run])
        middle = widgets.VBox([self.error, self.canvas])
        for box, name in ((left, "an-left"), (middle, "an-middle"), (self.results, "an-right")):
            box.add_class(name)
        body = widgets.HBox([left, middle, self.results])
        body.add_class("an-body")
        super().__init__([self.title, body])
        self.add_class("an-app")
        self._link()

    def _link(self) -> None:
        state, canvas = self.state, self.canvas
        from traitlets import link

        link((state, "points"), (canvas, "points"))
        link((state, "current"), (canvas, "current"))
        link((state, "threshold"), (canvas, "threshold"))
        link((state, "pixel_size"), (canvas, "pixel_size"))
        drawing = guarded(state.show_report, "drawing the image")
        state.observe(drawing(lambda _: self._show_image()), "opened")
        state.observe(drawing(lambda _: self._show_found()), "found")
        state.observe(lambda _: self._show_selected(), "selected")
        state.observe(lambda _: self._show_report(), "report")
        state.jobs.observe(lambda _: self._show_hint(), ["busy", "title"])
        canvas.observe(lambda change: state.select(np.frombuffer(change["new"], np.int32)), "selected")
        self._show_hint()

    def _open_query(self, query: str) -> None:
        """Offer the models there are, and open the file that the page's address names, if any."""
        asked = parse_qs(query.lstrip("?"))
        self.run.picker.choose_asked(asked)
        self.source.open_asked(asked)

    def _show_image(self) -> None:
        opened = self.state.opened
        name = opened.image.name or opened.source.name
        self.title.subject = name
        self.canvas.tool = "pan"
        self.canvas.show_image(opened.picture, name=f"{opened.source}")
        self.canvas.spacing = self.state.spacing_px or 0.0
        self._show_found()

    def _show_found(self) -> None:
        found = self.state.found
        if found is None:
            self.canvas.clear_atoms()
            self.canvas.set_probability(None)
            return
        self.canvas.spacing = self.state.spacing_px or 0.0
        self.canvas.set_probability(found.probability)
        names = self.state.names
        df = self.state.atoms.df
        if names:
            df = df.assign(sublattice=[names.index(name) if name in names else -1 for name in df["species"]])
        self.canvas.group_names = list(names)
        self.canvas.set_atoms(df)
        self.canvas.set_vacancies(self.state.vacancies.df)

    def _show_selected(self) -> None:
        self.canvas.selected = np.asarray(self.state.selected, np.int32).tobytes()

    def _show_report(self) -> None:
        report = self.state.report
        self.error.report = {} if report is None else report._asdict()

    def _show_hint(self) -> None:
        jobs = self.state.jobs
        self.canvas.hint = f"{jobs.title} …" if jobs.busy else "Choose an image on the left to begin."
