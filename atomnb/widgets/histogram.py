"""LinkedHistogram: a HoloViews histogram whose selected range and highlighted part are linked to the page."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

ALL_COLOUR = "#b6c4cd"
CHOSEN_COLOUR = "#0f766e"
MAX_BINS = 60
MANY = 200
"""Values from which on a histogram has at least half of MAX_BINS bins."""
AXIS_COLOUR = "#9aa5b1"


class LinkedHistogram:
    """Shows how values are distributed; dragging over it selects a range.

    Parameters
    ----------
    on_range : callable
        Called with (low, high) when the user has selected a range.

    Attributes
    ----------
    widget : ipywidgets.Widget
    """

    def __init__(self, *, on_range: Callable[[float, float], None]) -> None:
        import holoviews as hv
        import holoviews.plotting.bokeh  # registers the renderer without `hv.extension`, which wants a CDN
        from bokeh.events import SelectionGeometry
        from jupyter_bokeh import BokehModel

        self._hv = hv
        self._pipe = hv.streams.Pipe(data=_empty())
        plot = hv.DynamicMap(self._draw, streams=[self._pipe])
        self._plot = hv.renderer("bokeh").get_plot(plot)
        figure = self._plot.state
        figure.toolbar.autohide = True
        figure.toolbar.logo = None
        quiet_axes(figure)
        # The stream BoundsX would do, but its callback is a coroutine that nothing awaits outside a Bokeh server.
        figure.on_event(SelectionGeometry, self._on_selection)
        self._on_range = on_range
        self.widget = BokehModel(figure)

    def show(self, values: np.ndarray, chosen: np.ndarray, label: str) -> None:
        """Show `values` (N,), with those where `chosen` (N,) is true on top."""
        finite = np.isfinite(values)
        values, chosen = values[finite], chosen[finite]
        edges = bin_edges(values)
        counts, _ = np.histogram(values, edges)
        highlighted, _ = np.histogram(values[chosen], edges)
        self._pipe.send((edges, counts, highlighted, label))
        # HoloViews keeps the ranges of the first drawing.
        figure = self._plot.state
        figure.x_range.update(start=float(edges[0]), end=float(edges[-1]))
        figure.y_range.update(start=0.0, end=1.05 * max(1, int(counts.max())))

    def _on_selection(self, event) -> None:
        if event.final and event.geometry["type"] == "rect":
            self._on_range(event.geometry["x0"], event.geometry["x1"])

    def _draw(self, data):
        edges, counts, highlighted, label = data
        axes = {"xlabel": label, "ylabel": "Atoms", "tools": ["xbox_select"], "active_tools": ["xbox_select"]}
        bars = {"line_color": "white", "line_width": 0.5, "default_tools": ["reset"]}
        # The selected atoms have a colour of their own: Bokeh must not fade the other bars.
        bars |= {"selection_alpha": 1.0, "nonselection_alpha": 1.0}
        everything = self._hv.Histogram((edges, counts), kdims="value", vdims="all")
        part = self._hv.Histogram((edges, highlighted), kdims="value", vdims="all")
        everything = everything.opts(fill_color=ALL_COLOUR, **bars, **axes)
        part = part.opts(fill_color=CHOSEN_COLOUR, **bars, **axes)
        return (everything * part).opts(
            responsive=True, height=210, show_grid=False, fontsize={"labels": "10pt", "ticks": "9pt"}
        )


def quiet_axes(figure) -> None:
    """Let the axes of a Bokeh figure stand back behind what it shows."""
    for axis in figure.axis:
        axis.update(axis_line_color=AXIS_COLOUR, major_tick_line_color=AXIS_COLOUR, minor_tick_line_color=None)
        axis.update(major_tick_in=0, major_tick_out=4)


def bin_edges(values: np.ndarray) -> np.ndarray:
    """Edges of bins over the central 99.8 % of `values`, by Freedman and Diaconis, at most MAX_BINS."""
    if len(values) == 0:
        return np.linspace(0, 1, 11)
    low, high = np.percentile(values, [0.1, 99.9])
    if high - low <= 1e-9 * max(abs(high), 1e-300):
        low, high = low - 0.5, high + 0.5
    spread = np.subtract(*np.percentile(values, [75, 25]))
    width = 2 * spread / len(values) ** (1 / 3) or (high - low) / 10
    # several peaks of many atoms stay apart
    count = int(np.clip(np.ceil((high - low) / width), 8 if len(values) < MANY else MAX_BINS // 2, MAX_BINS))
    margin = 0.02 * (high - low)
    return np.linspace(low - margin, high + margin, count + 1)


def _empty():
    return np.linspace(0, 1, 11), np.zeros(10, int), np.zeros(10, int), ""
