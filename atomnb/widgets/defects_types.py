"""The tab *Types* of Defects: each type with its picture, count and confidence; its name; its members."""

from __future__ import annotations

from html import escape

import ipywidgets as widgets
import numpy as np

from atomnb.viz.outlines import short_label
from atomnb.widgets.defects_pictures import TypePictures
from atomnb.widgets.defects_state import ACCEPTED, REJECTED, DefectsState
from atomnb.widgets.gallery import Gallery, gallery_item
from atomnb.widgets.jobs import Jobs
from atomnb.widgets.parts import PagedTable
from atomnb.widgets.report import guarded

TYPES_SHOWN = 5
ROWS = 8
MARKS = {ACCEPTED: "✓", REJECTED: "✗", "": ""}


class TypesPanel(widgets.VBox):
    """Shows the types of defects of `state`.

    Parameters
    ----------
    averaging : Jobs
        Makes the average pictures.
    """

    def __init__(self, state: DefectsState, *, averaging: Jobs) -> None:
        self.state = state
        self._first_type, self._first, self._sort, self._descending = 0, 0, "confidence", True
        showing = guarded(state.show_report, "showing the types")
        self.pictures = TypePictures(state, jobs=averaging, on_change=showing(self._show_gallery))
        self.gallery = Gallery(on_choose=showing(state.choose_type), on_page=showing(self._go_to_types))
        self.name = widgets.Text(placeholder="Name of this type", layout={"width": "100%"}, continuous_update=False)
        self.rename = widgets.Button(description="Rename", tooltip="Kept for later searches, by topology")
        self.forget = widgets.Button(description="Undo", tooltip="Go back to the systematic name")
        for button in (self.rename, self.forget):
            button.add_class("an-small")
        self.naming = widgets.HBox([self.name, self.rename, self.forget])
        self.naming.add_class("an-line")
        self.heading = widgets.HTML()
        self.table = PagedTable(
            on_sort=showing(self._sort_by), on_page=showing(self._go_to), on_row=showing(state.choose_defect)
        )
        self.table.add_class("an-named")
        super().__init__([self.gallery, self.heading, self.naming, self.table])
        naming = guarded(state.show_report, "naming the type")
        self.rename.on_click(naming(lambda _: self._rename()))
        self.forget.on_click(naming(lambda _: state.rename("")))
        state.observe(lambda _: self._show_current(), "current")

    def show(self) -> None:
        """Show what the state holds now."""
        self._show_gallery()
        self._first = 0
        self._show_chosen()

    # ---------- acts ----------
    def _rename(self) -> None:
        if self.name.value.strip():
            self.state.rename(self.name.value)

    def _go_to_types(self, first: int) -> None:
        self._first_type = max(0, first)
        self._show_gallery()

    def _go_to(self, first: int) -> None:
        self._first = max(0, first)
        self._show_table()

    def _sort_by(self, column: str) -> None:
        self._descending = not self._descending if column == self._sort else column == "confidence"
        self._sort, self._first = column, 0
        self._show_table()

    # ---------- showing ----------
    def _show_gallery(self) -> None:
        types = self.state.types
        if self.state.chosen != self.gallery.chosen and self.state.chosen in set(types["name"]):
            self._first_type = int(np.flatnonzero(types["name"] == self.state.chosen)[0]) // TYPES_SHOWN * TYPES_SHOWN
        first = self._first_type = min(self._first_type, max(0, len(types) - 1) // TYPES_SHOWN * TYPES_SHOWN)
        part = types.iloc[first : first + TYPES_SHOWN]
        items = [
            gallery_item(
                row["name"], picture, label=short_label(row["name"], row["kind"]),
                note=f"{row['formula']} · {row['kind']}", count=int(row["count"]), confidence=row["confidence"],
            )
            for (_, row), picture in zip(part.iterrows(), self.pictures.of(list(part["name"])), strict=True)
        ]  # fmt: skip
        self.gallery.page = {"items": items, "first": first, "total": len(types), "size": TYPES_SHOWN}
        self.gallery.chosen = self.state.chosen

    def _show_chosen(self) -> None:
        state = self.state
        chosen = state.chosen
        self.gallery.chosen = chosen
        self.naming.layout.display = None if chosen else "none"
        self.forget.layout.display = "none"
        total = len(state.members)
        if chosen:
            self.name.value = "" if chosen.startswith("unseen") else chosen
            named = set(state.members["topology"]) & set(state.names)
            self.forget.layout.display = None if named else "none"
            systematic = state.members["systematic_name"].iloc[0] if total and named else ""
            was = f' <span class="an-muted">systematic name: {escape(systematic)}</span>' if systematic else ""
            self.heading.value = f"<b>{escape(chosen)}</b>{was}"
        else:
            text = "Click a type to see its members alone." if total else _nothing(state)
            self.heading.value = f'<p class="an-muted">{text}</p>'
        self.table.layout.display = None if total else "none"
        self._show_table()

    def _show_table(self) -> None:
        state = self.state
        members = state.members
        several = state.found.request.frame is None and state.found.analysis.image.is_stack
        order = members.sort_values(self._sort, ascending=not self._descending, kind="stable")
        first = self._first = min(self._first, max(0, len(order) - 1) // ROWS * ROWS)
        part = order.iloc[first : first + ROWS]
        short = part.assign(name=[short_label(*pair) for pair in zip(part["name"], part["kind"], strict=True)])
        columns = [c for c in _columns(state.found.analysis.pixel_size) if several or c[0] != "frame"]
        if state.chosen:
            columns = [c for c in columns if c[0] != "name"]
        self.table.page = {
            "columns": [{"name": name, "label": label, "title": title} for name, label, title, _ in columns],
            "rows": [[show(row[name]) for name, _, _, show in columns] for _, row in short.iterrows()],
            "ids": [int(i) for i in part.index],
            "remarks": list(part["status"]),
            "first": first,
            "total": len(order),
            "size": ROWS,
            "sort": self._sort,
            "descending": self._descending,
            "none": "no defects",
        }

    def _show_current(self) -> None:
        self.table.current = self.state.current


def _nothing(state: DefectsState) -> str:
    if len(state.defects):
        return "No defect is this certain: lower the confidence on the left."
    return "No defects: every atom is where the perfect crystal has it."


def _columns(size: float | None):
    """Name, label, explanation and text of each column of the table."""
    unit, scale = ("Å", size) if size else ("px", 1.0)
    return (
        ("name", "Name", "What it is", str),
        ("frame", "Frame", "Of the stack", str),
        ("y", f"y ({unit})", "Distance from the top", lambda v: f"{v * scale:.1f}"),
        ("x", f"x ({unit})", "Distance from the left", lambda v: f"{v * scale:.1f}"),
        ("confidence", "Conf.", "Probability that it is there as named", lambda v: f"{v:.2f}"),
        ("status", "✓", "Accepted or rejected by you", lambda v: MARKS[v]),
    )
