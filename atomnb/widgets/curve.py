"""LearningCurve: loss and score against the steps, drawn by Bokeh and moved along while a network learns."""

from __future__ import annotations

from atomnb.widgets.histogram import quiet_axes

LOSS_COLOUR, SCORE_COLOUR = "#0f766e", "#d97706"


class LearningCurve:
    """Two plots over the same steps.

    Attributes
    ----------
    widget : ipywidgets.Widget
    """

    def __init__(self) -> None:
        from bokeh.layouts import column
        from bokeh.models import ColumnDataSource, LogTicker, Range1d
        from bokeh.plotting import figure
        from jupyter_bokeh import BokehModel

        self._loss = ColumnDataSource({"step": [], "loss": []})
        self._score = ColumnDataSource({"step": [], "score": []})
        common = {"sizing_mode": "stretch_width", "toolbar_location": None, "tools": "hover"}
        self._steps, self._losses = Range1d(0, 1), Range1d(0.01, 1)
        top = figure(
            height=190, y_axis_type="log", y_axis_label="Loss", x_range=self._steps, y_range=self._losses, **common
        )
        low = figure(
            height=150, y_axis_label="F1", x_axis_label="Step", x_range=self._steps, y_range=Range1d(0, 1.02), **common
        )
        top.line("step", "loss", source=self._loss, color=LOSS_COLOUR, line_width=2)
        low.line("step", "score", source=self._score, color=SCORE_COLOUR, line_width=2)
        low.scatter("step", "score", source=self._score, color=SCORE_COLOUR, size=6)
        for plot in (top, low):
            plot.min_border_left = 54
            plot.outline_line_color = None
            quiet_axes(plot)
        top.yaxis.ticker = LogTicker(desired_num_ticks=4, num_minor_ticks=0)
        self.widget = BokehModel(column(top, low, sizing_mode="stretch_width"))

    def show(self, history: list[dict], *, steps: int) -> None:
        """Show the records of a run that is to take `steps` steps."""
        self._steps.end = max(1, steps)
        if losses := [r["loss"] for r in history if r["loss"] > 0]:
            # Bokeh's own range complains of an axis without values.
            self._losses.update(start=0.8 * min(losses), end=1.25 * max(losses))
        self._loss.data = {"step": [r["step"] for r in history], "loss": [r["loss"] for r in history]}
        scored = [r for r in history if "score" in r]
        self._score.data = {"step": [r["step"] for r in scored], "score": [r["score"] for r in scored]}
