"""The dashboard *Train*: from a recipe or a labelled set to a model; run `app()`, or open it with `atomnb`."""

from __future__ import annotations

from urllib.parse import parse_qs

import ipywidgets as widgets

from atomnb.widgets.bokeh_loading import load_bokeh
from atomnb.widgets.folder import DataFolder
from atomnb.widgets.jobs import Jobs, main_loop_post
from atomnb.widgets.parts import ErrorPanel, TitleBar
from atomnb.widgets.report import guarded
from atomnb.widgets.train_panels import NetworkPanel, RunPanel, SavePanel, SourcePanel
from atomnb.widgets.train_state import TrainState
from atomnb.widgets.train_views import CurvePanel, SightPanel


def app(data_dir=None) -> widgets.Widget:
    """The dashboard, to be shown by the notebook that calls it.

    Parameters
    ----------
    data_dir : path, optional
        The folder of labelled sets and runs. Default: the environment variable ATOMNB_DATA, else the current folder.
    """

    load_bokeh()
    post = main_loop_post()
    return Train(TrainState(folder=DataFolder(data_dir), jobs=Jobs(post=post), post=post))


class Train(widgets.VBox):
    """The page: choices on the left, what the network sees, its curve on the right."""

    def __init__(self, state: TrainState) -> None:
        self.state = state
        self.title = TitleBar("Train", on_ready=guarded(state.show_report, "opening the page")(self._open_query))
        self.error = ErrorPanel()
        self.source = SourcePanel(state)
        self.network = NetworkPanel(state)
        self.run = RunPanel(state)
        self.save = SavePanel(state)
        self.sight = SightPanel(state)
        self.curve = CurvePanel(state)
        left = widgets.VBox([self.source, self.network, self.run, self.save])
        middle = widgets.VBox([self.error, self.sight])
        for box, name in ((left, "an-left"), (middle, "an-middle"), (self.curve, "an-right")):
            box.add_class(name)
        body = widgets.HBox([left, middle, self.curve])
        body.add_class("an-body")
        super().__init__([self.title, body])
        self.add_class("an-app")
        state.observe(lambda _: self._show_report(), "report")
        state.observe(lambda _: setattr(self.title, "subject", state.run), "run")

    def _open_query(self, query: str) -> None:
        """Offer what there is now, and choose the set that the page's address names, if any."""
        wanted = parse_qs(query.lstrip("?")).get("set", [])
        if wanted and wanted[0] in self.state.sets():
            self.state.set_path, self.state.source = wanted[0], "set"
        self.source.list_sets()
        self.run.list_runs()
        self.curve.list_frames()

    def _show_report(self) -> None:
        report = self.state.report
        self.error.report = {} if report is None else report._asdict()
