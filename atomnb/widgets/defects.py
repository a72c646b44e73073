"""The dashboard *Defects*: from an image to its named defects; run `app()` in a notebook or open it with `atomnb`."""

from __future__ import annotations

from urllib.parse import parse_qs

import ipywidgets as widgets
import numpy as np
import traitlets

from atomnb.viz.outlines import OUTLINE_COLOUR, ring_colour, short_label
from atomnb.widgets.canvas import STRUCTURE_LAYERS, ImageCanvas, Outline
from atomnb.widgets.debounce import debounced
from atomnb.widgets.defects_results import ResultPanel
from atomnb.widgets.defects_run import RunPanel
from atomnb.widgets.defects_state import REJECTED, DefectsState
from atomnb.widgets.find_atoms_scale import ScalePanel
from atomnb.widgets.find_atoms_source import SourcePanel
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
    from bokeh.io import output_notebook
    from bokeh.resources import INLINE

    output_notebook(resources=INLINE, hide_banner=True)
    post = main_loop_post()
    page = Defects(DefectsState(folder=DataFolder(data_dir), jobs=Jobs(post=post)), averaging=Jobs(post=post))
    warm_up("universal")
    return page


class Defects(widgets.VBox):
    """The page: panels on the left, the image with its structure, types and defects on the right.

    Parameters
    ----------
    state : DefectsState
    averaging : Jobs
        Makes the average pictures of types, beside the jobs of the state.
    """

    def __init__(self, state: DefectsState, *, averaging: Jobs) -> None:
        self.state = state
        self.title = TitleBar("Defects", on_ready=guarded(state.show_report, "opening the file")(self._open_query))
        self.error = ErrorPanel()
        self.canvas = ImageCanvas()
        self.canvas.layers, self.canvas.tools = list(STRUCTURE_LAYERS), ["pan", "ruler"]
        self.source = SourcePanel(state)
        self.scale = ScalePanel(state)
        self.run = RunPanel(state)
        self.results = ResultPanel(state, page=self.title, averaging=averaging)
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
        traitlets.link((state, "points"), (canvas, "points"))
        traitlets.link((state, "pixel_size"), (canvas, "pixel_size"))
        drawing = guarded(state.show_report, "drawing the image")
        choosing = guarded(state.show_report, "choosing the defect")
        state.observe(drawing(lambda _: self._show_image()), "opened")
        state.observe(drawing(lambda _: self._show_found()), "found")
        state.observe(debounced(drawing(self._show_defects)), ["confidence", "names", "status"])
        state.observe(drawing(lambda _: self._show_chosen()), "chosen")
        state.observe(drawing(lambda _: self._show_current()), "current")
        state.observe(lambda _: self._show_report(), "report")
        state.jobs.observe(lambda _: self._show_hint(), ["busy", "title"])
        canvas.observe(choosing(lambda change: state.choose_defect(change["new"])), "outline")
        self._show_hint()

    def _open_query(self, query: str) -> None:
        """Offer the models and rules there are, and open the file that the page's address names, if any."""
        self.run.list_rules()
        asked = parse_qs(query.lstrip("?"))
        self.run.picker.choose_asked(asked)
        self.source.open_asked(asked)

    # ---------- showing ----------
    def _show_image(self) -> None:
        opened = self.state.opened
        self.title.subject = opened.image.name or opened.source.name
        self.canvas.tool = "pan"
        self.canvas.show_image(opened.picture, name=f"{opened.source}")
        self._show_found()

    def _show_found(self) -> None:
        state, canvas = self.state, self.canvas
        canvas.spacing = state.spacing_px or 0.0
        if state.found is None:
            canvas.clear_atoms()
            canvas.clear_structure()
            return
        graph, df = state.graph, state.atoms.df
        names = sorted(set(map(str, graph.species)))
        df = df.assign(species=graph.species, sublattice=[names.index(str(name)) for name in graph.species])
        canvas.group_names = names
        canvas.set_atoms(df)
        yx = graph.positions_yx / graph.scale
        canvas.set_bonds(yx[graph.neighbors.pairs], graph.neighbors.probability)
        odd = np.flatnonzero(graph.rings.sizes != graph.host.ring)
        sizes = graph.rings.sizes[odd]
        canvas.set_rings([yx[graph.rings.of(r)] for r in odd], sizes, [ring_colour(n) for n in sizes])
        self._show_defects()

    def _show_defects(self) -> None:
        if self.state.found is None:
            return
        self.canvas.set_outlines([self._outline(row) for row in self.state.here.itertuples()])
        self._show_chosen()
        self._show_current()

    def _outline(self, row) -> Outline:
        label = short_label(row.name, row.kind)
        note = f"{row.name if len(row.name) < 44 else label} · confidence {row.confidence:.2f}"
        line = self.state.outline(row.Index)
        return Outline(int(row.Index), line, label, note, OUTLINE_COLOUR, rejected=row.status == REJECTED)

    def _show_chosen(self) -> None:
        state = self.state
        marked = [] if state.found is None or not state.chosen else state.members.index
        self.canvas.marked = [int(i) for i in marked]

    def _show_current(self) -> None:
        index = self.state.current
        self.canvas.outline = index
        if index >= 0 and self.state.found is not None:
            row = self.state.found.defects.loc[index]
            self.canvas.send({"kind": "look_at", "y": float(row["y"]), "x": float(row["x"])})

    def _show_report(self) -> None:
        report = self.state.report
        self.error.report = {} if report is None else report._asdict()

    def _show_hint(self) -> None:
        jobs = self.state.jobs
        self.canvas.hint = f"{jobs.title} …" if jobs.busy else "Choose an image on the left to begin."
