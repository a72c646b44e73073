"""The panel of results of Find atoms: counts, histograms, table, export, and the code behind them."""

from __future__ import annotations

import tempfile
from pathlib import Path

import ipywidgets as widgets
import numpy as np

from atomnb.data.flags import Flag
from atomnb.widgets.debounce import debounced
from atomnb.widgets.export_list import ExportList
from atomnb.widgets.find_atoms_code import notebook_of
from atomnb.widgets.find_atoms_state import QUANTITIES, FindAtomsState, mean_error
from atomnb.widgets.histogram import LinkedHistogram
from atomnb.widgets.parts import CodePanel, PagedTable, TitleBar
from atomnb.widgets.report import guarded

ROWS = 14
HARMLESS = Flag.OVERLAP | Flag.BORDER
"""Remarks that say where an atom is, not that its fit went wrong."""

STALE = "Found with earlier settings: press <b>Find atoms again</b>."

TABLE_NOTE = "⚑ to check, · near the border or a neighbour: point at the sign to read why. Click a row to see the atom."
"""What the signs in the last column mean."""

VIEWS = ("Plot", "Table", "Export", "Code")
MIME = {
    "csv": "text/csv",
    "xyz": "chemical/x-xyz",
    "hspy": "application/x-hdf5",
    "ipynb": "application/x-ipynb+json",
}
EMPTY = "vacancies"
"""The export of the empty sites; there is one where the model found some."""

EXPORTS = (
    ("csv", "Table (.csv)", "Positions, errors and flags, for any program"),
    ("xyz", "Structure (.xyz)", "Positions in Å, for ASE and OVITO; needs a scale"),
    ("hspy", "HyperSpy (.hspy)", "The image with the atoms as markers"),
    ("png", "Picture (.png)", "The view of the image as it is now"),
    ("ipynb", "Notebook (.ipynb)", "This session as Python"),
    (EMPTY, "Vacancies (.csv)", "Positions and scores of the empty sites"),
)


class ResultPanel(widgets.VBox):
    """Shows what `state` found.

    Parameters
    ----------
    page : TitleBar
        Saves files.
    canvas : ImageCanvas
        Gives the picture.
    """

    def __init__(self, state: FindAtomsState, *, page: TitleBar, canvas) -> None:
        self.state, self.page, self.canvas = state, page, canvas
        self._sort, self._descending, self._first = "", False, 0
        self.summary = widgets.HTML()
        self.view = widgets.ToggleButtons(options=VIEWS, style={"button_width": "auto"})
        self.view.add_class("an-segments")
        self.quantity = widgets.Dropdown(
            layout={"width": "100%"}, options=[(text, name) for name, text in QUANTITIES.items()]
        )
        self.histogram = LinkedHistogram(on_range=guarded(state.show_report, "selecting")(self._select_range))
        self.histogram_note = widgets.HTML()
        self.stale = widgets.HTML(
            '<p class="an-warning">Found with earlier settings: press <b>Find atoms again</b>.</p>'
        )
        self.check = widgets.Button(tooltip="Atoms whose fit is doubtful; the table tells why")
        self.clear = widgets.Button(description="Clear selection")
        self.selecting = widgets.HBox([self.check, self.clear])
        self.selecting.add_class("an-line")
        for button in self.selecting.children:
            button.add_class("an-small")
        turning = guarded(state.show_report, "showing the table")
        self.table = PagedTable(
            on_sort=turning(self._sort_by), on_page=turning(self._go_to), on_row=turning(self._click_row)
        )
        self.table_note = widgets.HTML(f'<p class="an-muted">{TABLE_NOTE}</p>')
        self.exports = ExportList(EXPORTS, on_export=guarded(state.show_report, "exporting")(self.export))
        self.code = CodePanel()
        self.boxes = {
            "Plot": widgets.VBox([self.quantity, self.histogram.widget, self.histogram_note]),
            "Table": widgets.VBox([self.table, self.table_note]),
            "Export": self.exports,
            "Code": widgets.VBox([self.code]),
        }
        title = widgets.HTML("<h2>Result</h2>")
        super().__init__([title, self.summary, self.stale, self.selecting, self.view, *self.boxes.values()])
        self.add_class("an-panel")
        self.add_class("an-results")
        self._connect()
        self._show_view()
        self._show()

    def _connect(self) -> None:
        state = self.state
        later = debounced(guarded(state.show_report, "showing the result")(self._show))
        state.observe(later, ["found", "threshold", "selected", "pixel_size", "opened"])
        state.observe(later, ["model", "contrast", "whole_stack"])
        state.observe(lambda _: self._show_current(), "current")
        self.quantity.observe(later, "value")
        self.view.observe(lambda _: self._show_view(), "value")
        self.clear.on_click(lambda _: state.select([]))
        self.check.on_click(lambda _: state.select(self._doubtful()))

    # ---------- export ----------
    def export(self, kind: str) -> None:
        """Let the browser save the result as `kind` ('csv', 'xyz', 'hspy', 'png', 'ipynb', 'vacancies')."""
        name = Path(self.state.opened.image.name or "image").stem
        if kind == "png":
            self.canvas.send({"kind": "picture", "name": f"{name}_atoms.png"})
        elif kind == EMPTY:
            self.page.save(f"{name}_vacancies.csv", self._content(kind), mime=MIME["csv"])
        else:
            self.page.save(f"{name}_atoms.{kind}", self._content(kind), mime=MIME[kind])

    def _content(self, kind: str) -> bytes:
        if kind == "ipynb":
            return notebook_of(self.state.code(), title=self.state.opened.image.name or "Atoms")
        atoms = self.state.empty_sites() if kind == EMPTY else self.state.result()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"atoms.{'csv' if kind == EMPTY else kind}"
            if kind == "hspy":
                from atomnb.io.tables import write_hspy

                write_hspy(self.state.found.analysis.image, atoms, path)
            else:
                atoms.save(path)
            return path.read_bytes()

    # ---------- selection ----------
    def _select_range(self, low: float, high: float) -> None:
        self.state.select_range(self.quantity.value, low, high)

    def _doubtful(self) -> np.ndarray:
        """Rows of the shown atoms whose fit is doubtful."""
        flags = self.state.atoms.df["flags"].to_numpy()[self.state.shown]
        return self.state.shown[flags & ~int(HARMLESS) != 0]

    def _click_row(self, atom: int) -> None:
        self.state.current = atom
        y, x = self.state.atoms.positions_yx[atom]
        self.canvas.send({"kind": "look_at", "y": float(y), "x": float(x)})

    def _sort_by(self, column: str) -> None:
        self._descending = not self._descending if column == self._sort else False
        self._sort, self._first = column, 0
        self._show_table()

    def _go_to(self, first: int) -> None:
        self._first = max(0, first)
        self._show_table()

    # ---------- showing ----------
    def _show_view(self) -> None:
        for name, box in self.boxes.items():
            box.layout.display = None if name == self.view.value else "none"

    def _show(self) -> None:
        found = self.state.found is not None
        self.stale.layout.display = None if self.state.stale else "none"
        self.selecting.layout.display = None if found else "none"
        self.summary.value = self._summary() if found else '<p class="an-muted">Atoms show up here.</p>'
        self.view.layout.display = None if found else "none"
        for name, box in self.boxes.items():
            box.layout.display = None if found and name == self.view.value else "none"
        if not found:
            return
        state = self.state
        values, label = state.values(self.quantity.value)
        chosen = np.isin(state.shown, state.selected)
        self.histogram.show(values, chosen, label)
        self.histogram_note.value = f'<p class="an-muted">{self._histogram_text(values, chosen)}</p>'
        doubtful = len(self._doubtful())
        self.check.description = f"Select the {doubtful} to check"
        self.check.layout.display = None if doubtful else "none"
        self.clear.layout.display = None if len(state.selected) else "none"
        no_scale = state.found.analysis.pixel_size is None
        self.exports.buttons["xyz"].disabled = no_scale
        self.exports.offer(EMPTY, len(state.empty_sites()) > 0)
        self.exports.say(".xyz is in Å: set the scale and find the atoms again." if no_scale else "")
        self.code.code = state.code()
        self._first = 0
        self._show_table()

    def _summary(self) -> str:
        state = self.state
        df = state.atoms.df.iloc[state.shown]
        error = mean_error(df[df["flags"] & int(Flag.NOT_CONVERGED | Flag.MOVED_FAR) == 0]).median()
        facts = [("atoms", f"{len(df):,}".replace(",", " "), "Atoms at or above the threshold")]
        if np.isfinite(error):
            size = state.found.analysis.pixel_size
            text = f"{rounded(error * size * 100)} pm" if size else f"{rounded(error)} px"
            facts.append(("median error", text, "1σ per axis"))
        empty = int((state.vacancies.df["score"] >= state.threshold).sum())
        if empty:
            facts.append(("vacancies" if empty > 1 else "vacancy", str(empty), "Empty sites, crossed in the image"))
        if len(state.selected):
            facts.append(("selected", str(int(np.isin(state.shown, state.selected).sum())), "Selected atoms"))
        html = "".join(f'<div title="{tip}"><b>{value}</b>{name}</div>' for name, value, tip in facts)
        return f'<div class="an-numbers">{html}</div>'

    def _histogram_text(self, values: np.ndarray, chosen: np.ndarray) -> str:
        part = values[chosen] if chosen.any() else values
        part = part[np.isfinite(part)]
        if not len(part):
            return "Nothing to show at this threshold."
        who = f"{len(part)} selected" if chosen.any() else f"All {len(part)}"
        return f"{who}: median {np.median(part):.4g}, SD {part.std():.3g}. Drag over the histogram to select atoms."

    def _show_table(self) -> None:
        state = self.state
        rows = state.selected[np.isin(state.selected, state.shown)] if len(state.selected) else state.shown
        df = state.atoms.df.iloc[rows]
        size = state.atoms.pixel_size
        columns = _columns(size, named=bool(state.names))
        df = df.assign(error=mean_error(df), number=rows)
        if self._sort:
            order = np.argsort(df[self._sort].to_numpy(), kind="stable")
            rows = rows[order[::-1] if self._descending else order]
        first = min(self._first, max(0, len(rows) - 1) // ROWS * ROWS)
        self._first = first
        part = state.atoms.df.iloc[rows[first : first + ROWS]]
        part = part.assign(error=mean_error(part))
        self.table.page = {
            "columns": [{"name": name, "label": label, "title": title} for name, label, title, _ in columns],
            "rows": [
                [str(index), *(show(value) for value, (*_, show) in zip(row, columns[1:], strict=True))]
                for index, row in zip(
                    part.index, part[[c[0] for c in columns[1:]]].itertuples(index=False), strict=True
                )
            ],
            "ids": [int(i) for i in part.index],
            "remarks": [Flag.describe(int(flags)) for flags in part["flags"]],
            "first": first,
            "total": len(rows),
            "size": ROWS,
            "sort": self._sort,
            "descending": self._descending,
        }

    def _show_current(self) -> None:
        self.table.current = self.state.current


def rounded(value: float) -> str:
    """A number with two significant digits, never as a power of ten."""
    if not np.isfinite(value) or value == 0:
        return "–" if value else "0"
    return f"{value:.{max(0, 1 - int(np.floor(np.log10(abs(value)))))}f}"


def _mark(flags: int) -> str:
    """One sign for the remarks of an atom."""
    return "⚑" if flags & ~int(HARMLESS) else "·" if flags else ""


def _short(value: float) -> str:
    return f"{value:.3g}".replace("e+0", "e")


def _columns(size: float | None, *, named: bool):
    """Name, label, explanation and text of each column of the table."""
    unit, factor, small, fine = ("Å", size, "pm", 100 * size) if size else ("px", 1.0, "px", 1.0)

    def length(value) -> str:
        return f"{value * factor:.2f}"

    def error(value) -> str:
        return rounded(value * fine)

    group = ("sublattice", "Grp", "Group by intensity and surroundings", lambda v: "–" if v < 0 else str(v))
    if named:
        group = ("species", "Name", "What the model calls it", str)
    intensity = ("intensity", "Intens.", "Integrated signal above the background", _short)
    return (
        ("number", "#", "Number of the atom", str),
        ("y", f"y ({unit})", "Distance from the top", length),
        ("x", f"x ({unit})", "Distance from the left", length),
        ("error", f"± ({small})", "Standard error per axis, 1σ", error),
        *([] if named else [intensity]),  # names take its place; it is in the plot and the exports
        group,
        ("score", "Score", "Probability of an atom here", lambda v: f"{v:.2f}"),
        ("flags", "⚑", "Remarks: what to keep in mind", lambda v: _mark(int(v))),
    )
