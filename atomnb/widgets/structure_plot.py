"""StructurePlot: a few atoms as a graph at their places, drawn by HoloViews from networkx."""

from __future__ import annotations

import networkx as nx
import numpy as np

from atomnb.viz.overlay import GROUP_COLOURS

HEIGHT, WIDTH = 250, 340
"""px; the width is that of the narrowest panel."""

LARGEST, LABELLED = 18.0, 12.0
"""px; diameter of a node where there is room, and from which on it bears its name."""

AROUND_COLOUR, BOND_COLOUR = "#c9d3da", "#7b8794"


class StructurePlot:
    """Shows atoms and bonds.

    Attributes
    ----------
    widget : ipywidgets.Widget
    """

    def __init__(self) -> None:
        import holoviews as hv
        import holoviews.plotting.bokeh  # registers the renderer without `hv.extension`, which wants a CDN
        from bokeh.models import Range1d
        from jupyter_bokeh import BokehModel

        self._hv = hv
        self._pipe = hv.streams.Pipe(data=_empty())
        plot = hv.DynamicMap(self._draw, streams=[self._pipe])
        self._figure = hv.renderer("bokeh").get_plot(plot).state
        self._figure.toolbar_location = None
        self._figure.outline_line_color = None
        self._figure.x_range, self._figure.y_range = Range1d(-1, 1), Range1d(1, -1)
        self.widget = BokehModel(self._figure)

    def show(self, graph: nx.Graph, colours: dict[str, str], counted: set[int]) -> None:
        """Show the graph; nodes carry y, x and species, those not `counted` are drawn pale."""
        points = np.array([(d["x"], d["y"]) for _, d in graph.nodes(data=True)])
        centre, half = (points.max(axis=0) + points.min(axis=0)) / 2, 0.55 * np.ptp(points, axis=0).max() + 0.5
        # the plot is wider than high: the same length has the same size along both axes
        wide = half * WIDTH / HEIGHT
        self._pipe.send((graph, colours, counted, _node_size(graph, HEIGHT / (2 * half))))
        self._figure.x_range.update(start=float(centre[0] - wide), end=float(centre[0] + wide))
        self._figure.y_range.update(start=float(centre[1] + half), end=float(centre[1] - half))

    def _draw(self, data):
        graph, colours, counted, size = data
        hv = self._hv
        places = {node: (d["x"], d["y"]) for node, d in graph.nodes(data=True)}
        bare = nx.Graph(graph.edges)  # HoloViews has its own x and y
        for node, d in graph.nodes(data=True):
            shown = colours.get(d["species"], AROUND_COLOUR) if node in counted else AROUND_COLOUR
            bare.add_node(node, colour=shown)
        drawn = hv.Graph.from_networkx(bare, places).opts(
            node_color="colour", node_size=size, node_line_color="#ffffff", edge_color=BOND_COLOUR,
            edge_line_width=max(1.0, 0.14 * size),
            xaxis=None, yaxis=None, responsive=True, height=HEIGHT, tools=[], inspection_policy="nodes",
        )  # fmt: skip
        names = [(x, y, graph.nodes[node]["species"] if size >= LABELLED else "") for node, (x, y) in places.items()]
        labels = hv.Labels(names, ["x", "y"], "species").opts(text_font_size="8pt", text_color="#1f2933")
        return drawn * labels


def colours_of(species) -> dict[str, str]:
    """A colour for each of some names, in alphabetical order: those of the image's legend."""
    names = sorted(set(map(str, species)))
    return {name: GROUP_COLOURS[k % len(GROUP_COLOURS)] for k, name in enumerate(names)}


def _node_size(graph: nx.Graph, scale: float) -> float:
    """Diameter (px) of a node that leaves most of a bond in sight; `scale` is px on the screen by unit of length."""
    ends = [(graph.nodes[a], graph.nodes[b]) for a, b in graph.edges]
    bonds = [np.hypot(a["y"] - b["y"], a["x"] - b["x"]) for a, b in ends]
    return float(np.clip(0.45 * np.median(bonds) * scale, 3.0, LARGEST)) if bonds else LARGEST


def _empty():
    graph = nx.Graph()
    graph.add_node(0, x=0.0, y=0.0, species="")
    graph.add_node(1, x=0.0, y=0.0, species="")
    graph.add_edge(0, 1, length=0.0, probability=1.0)
    return graph, {}, set(), LARGEST
