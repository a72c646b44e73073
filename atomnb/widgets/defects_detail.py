"""The tab *Defect*: one defect as a graph, its geometry with errors, its like in the image, the user's verdict."""

from __future__ import annotations

from collections import Counter
from html import escape

import ipywidgets as widgets
import numpy as np

from atomnb.viz.outlines import short_label
from atomnb.widgets.defects_state import ACCEPTED, REJECTED, DefectsState
from atomnb.widgets.report import guarded
from atomnb.widgets.structure_plot import StructurePlot, colours_of

MOST_ROWS = 24
"""Bonds or angles shown one by one; of more only the means by kind."""

NEAREST = 5
INVITE = '<p class="an-muted">Click a defect in the image, or a row under <b>Types</b>, to see it from near by.</p>'


class DetailPanel(widgets.VBox):
    """Shows the current defect of `state`."""

    def __init__(self, state: DefectsState) -> None:
        self.state = state
        self.head = widgets.HTML()
        self.plot = StructurePlot()
        self.accept = widgets.ToggleButton(description="✓ Accept", tooltip="Kept in the exported table")
        self.reject = widgets.ToggleButton(
            description="✗ Reject", tooltip="Kept in the exported table; left out of counts"
        )
        self.deciding = widgets.HBox([self.accept, self.reject])
        self.deciding.add_class("an-line")
        self.geometry = widgets.HTML()
        self.like = widgets.HTML()
        super().__init__([self.head, self.deciding, self.plot.widget, self.geometry, self.like])
        judging = guarded(state.show_report, "deciding on the defect")
        self._showing = False
        for button, status in ((self.accept, ACCEPTED), (self.reject, REJECTED)):
            button.observe(judging(lambda change, status=status: self._decide(change, status)), "value")

    def show(self) -> None:
        """Show what the state holds now."""
        state = self.state
        index = state.current
        there = state.found is not None and index in state.found.defects.index
        for part in (self.deciding, self.plot.widget, self.geometry, self.like):
            part.layout.display = None if there else "none"
        if not there:
            self.head.value = INVITE
            return
        row = state.one(index)
        self.head.value = _facts(row, state.found.analysis.pixel_size)
        self._showing = True
        self.accept.value, self.reject.value = row.status == ACCEPTED, row.status == REJECTED
        self._showing = False
        self._show_graph(row)
        self.geometry.value = self._geometry(index)
        self.like.value = self._like(index)

    def _decide(self, _change, status: str) -> None:
        if not self._showing:
            self.state.decide(self.state.current, status)

    def _show_graph(self, row) -> None:
        graph = self.state.graph
        part = graph.to_networkx().subgraph(row.core).copy()
        self.plot.show(part, colours_of(graph.species), set(row.atoms))

    def _geometry(self, index: int) -> str:
        bonds, angles = self.state.geometry(index)
        scaled = self.state.found.analysis.pixel_size
        note = "" if scaled else '<p class="an-muted">No pixel size: lengths in the scale of the rules.</p>'
        lengths = _table("Bonds", "Å", bonds, "bond", "length", "length_err", 3)
        return lengths + _table("Angles", "°", angles, "corner", "angle", "angle_err", 1) + note

    def _like(self, index: int) -> str:
        alike = self.state.alike(index)
        if not len(alike):
            return '<p class="an-muted">No other defect here has this topology.</p>'
        unit = "Å" if self.state.found.analysis.pixel_size else "px"
        near = [f"{d:.1f} {unit}" for d in alike["distance"].head(NEAREST) if np.isfinite(d)]
        count = f"{len(alike)} more {'defects have' if len(alike) > 1 else 'defect has'} this topology"
        where = f", {'at' if len(near) > 1 else 'the nearest at'} {', '.join(near)} from here" if near else ""
        return f"<p>{count}{where}. Turned and mirrored ones count as the same.</p>"


def _facts(row, size: float | None) -> str:
    unit, scale = ("Å", size) if size else ("px", 1.0)
    rings = ", ".join(f"{count} × {size}-ring" for size, count in sorted(Counter(row.rings).items())) or "–"
    facts = [
        ("Formula", escape(row.formula)),
        ("Kind", escape(row.kind) + (", distorted" if row.distorted else "")),
        ("Topology", f"<code>#{row.topology[:8]}</code>"),
        ("Other rings", rings),
        ("Place", f"y {row.y * scale:.1f}, x {row.x * scale:.1f} {unit}"),
        ("Confidence", f"{row.confidence:.2f}"),
    ]
    if np.isfinite(row.orientation):
        facts.append(("Long axis", f"{np.degrees(row.orientation):.0f}° against x, y downwards"))
    if not row.complete:
        facts.append(("Border", "part of it may lie outside the image"))
    body = "".join(f"<tr><th>{name}</th><td>{value}</td></tr>" for name, value in facts)
    short = short_label(row.name, row.kind)
    return f'<b class="an-name" title="{escape(row.name)}">{escape(short)}</b><table class="an-facts">{body}</table>'


def _table(title: str, unit: str, table, kind: str, value: str, error: str, digits: int) -> str:
    """One by one where they are few, else mean and spread by kind."""
    if not len(table):
        return ""
    if len(table) <= MOST_ROWS:
        rows = [(row[kind], _with_error(row[value], row[error], digits), "") for _, row in table.iterrows()]
    else:
        parts = table.groupby(kind)[value]
        rows = [(name, _with_error(v.mean(), v.std(), digits), f"{len(v)} of them, ± spread") for name, v in parts]
    cells = ((escape(a), b, f"<td>{c}</td>" if c else "") for a, b, c in rows)
    body = "".join(f"<tr><th>{a}</th><td>{b}</td>{c}</tr>" for a, b, c in cells)
    return f'<table class="an-geometry"><caption>{title} ({unit})</caption>{body}</table>'


def _with_error(value: float, error: float, digits: int) -> str:
    return f"{value:.{digits}f}" + (f" ± {error:.{digits}f}" if np.isfinite(error) else "")
