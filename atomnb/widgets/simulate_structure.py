"""The panel *Structure* of Simulate: which structure, how large, and its own options such as defects."""

from __future__ import annotations

from html import escape

import ipywidgets as widgets

from atomnb.widgets.report import guarded
from atomnb.widgets.settings import Choice, Fold, float_field, linked, setting, whole_field, with_button
from atomnb.widgets.simulate_file import FilePanel
from atomnb.widgets.simulate_request import tiling_note
from atomnb.widgets.simulate_state import FILE, SIZES, SimulateState

FAMILIES = {
    "graphene": "Graphene",
    "hbn": "Boron nitride",
    "tmd": "Dichalcogenide",
    "perovskite": "Perovskite",
    "diamond": "Semiconductor",
    "metal": "Metal",
    "nanoparticle": "Nanoparticle",
    "amorphous": "Amorphous",
}
"""What the page calls the families; others keep their name."""

MOST = 999
"""Largest number of defects a field takes."""


FITS = 32
"""Letters of a structure that its field shows; a longer one is written out below."""


class StructurePanel(widgets.VBox):
    """Chooses the structure of `state`."""

    def __init__(self, state: SimulateState) -> None:
        from atomnb.simulate.structures import STRUCTURES

        self.state, self.kinds = state, STRUCTURES
        self._asking = guarded(state.show_report, "choosing the structure")
        self.family = Choice(on_choose=self._asking(self._choose_family))
        self.kind = Choice(on_choose=self._asking(self._choose_kind))
        self.size = widgets.FloatText(value=state.size, step=None)
        self.size_note, self.tiling = widgets.HTML(), widgets.HTML()
        self.seed = linked(state, "seed", whole_field(0, 2**31 - 1))
        self.file = FilePanel(state)
        self.kind_row = setting("Structure", self.kind, below=True)
        self.summary = widgets.HTML()
        self.fields: dict[str, widgets.Widget] = {}
        self.fold = Fold("Defects and options", [])
        seed_row = setting("Seed", self.seed, tip="The same seed gives the same atoms")
        with_button(
            seed_row, "↻", "Another one by chance: the next seed", lambda: setattr(state, "seed", state.seed + 1)
        )
        super().__init__(
            [
                widgets.HTML("<h2><i>1</i>Structure</h2>"),
                setting("Family", self.family, wide=True),
                self.kind_row,
                self.summary,
                self.file,
                setting("Size", self.size, unit="Å", tip="Side of the square that is built, at least"),
                self.size_note,
                self.tiling,
                seed_row,
                self.fold,
            ]
        )
        self.add_class("an-panel")
        self.size.observe(lambda _: self._take_size(), "value")
        state.observe(lambda change: setattr(self.size, "value", change["new"]), "size")
        state.observe(lambda _: self._show_tiling(), "shown")
        self._show_structure()
        self._show_options()

    def _take_size(self) -> None:
        """Take the size typed, or the nearest one allowed, and say so."""
        typed, (low, high) = self.size.value, SIZES
        taken = min(max(typed, low), high)
        self.state.size = taken
        self.size.value = taken  # this very method again, for the size taken
        text = f"{typed:g} Å is not possible: sizes go from {low:g} to {high:g} Å. {taken:g} Å was taken."
        self.size_note.value = f'<p class="an-warning">{text}</p>' if taken != typed else ""

    def _show_tiling(self) -> None:
        shown = self.state.shown
        note = shown and tiling_note(shown.structure, shown.request.exposure.frame * shown.request.exposure.pixel_size)
        kind = "an-warning" if shown and shown.structure.defects else "an-muted"
        self.tiling.value = f'<p class="{kind} an-tiling">{escape(note)}</p>' if note else ""

    def _choose_family(self, family: str) -> None:
        # A file is the structure only once it is chosen: until then the one before stays.
        self._show_own(family == FILE)
        if family == FILE:
            return
        self._choose_kind(next(kind.name for kind in self.kinds.values() if kind.family == family))

    def _choose_kind(self, name: str) -> None:
        self.state.choose_structure(name)
        self._show_structure()
        self._show_options()

    def _show_own(self, own: bool) -> None:
        """Show what belongs to a file of the user's, or to a structure by name."""
        self.file.layout.display = None if own else "none"
        self.kind_row.layout.display = "none" if own else None
        long = len(self.kind.label or "") > FITS
        self.summary.value = f'<p class="an-muted">{escape(self.kind.label)}</p>' if long else ""
        self.summary.layout.display = None if long and not own else "none"
        self.fold.layout.display = None if self.fields and not own else "none"

    def _show_structure(self) -> None:
        kind = self.kinds[self.state.structure]
        families = list(dict.fromkeys(k.family for k in self.kinds.values()))
        offered = [(FAMILIES.get(f, f.capitalize()), f) for f in families]
        self.family.offer([*offered, ("Your own file", FILE)], kind.family)
        siblings = [k for k in self.kinds.values() if k.family == kind.family]
        self.kind.offer([(_label(k), k.name) for k in siblings], kind.name)

    def _show_options(self) -> None:
        kind = self.kinds[self.state.structure]
        self.fields = {option.name: _field(option) for option in kind.settings}
        for option in kind.settings:
            field = self.fields[option.name]
            field.value = self.state.options.get(option.name, option.default)
            field.observe(self._asking(lambda _: self._take_options()), "value")
        self.fold.rows.children = tuple(
            setting(option.summary[:1].upper() + option.summary[1:], self.fields[option.name])
            for option in kind.settings
        )
        self._show_own(False)

    def _take_options(self) -> None:
        defaults = self.kinds[self.state.structure].options
        self.state.options = {name: f.value for name, f in self.fields.items() if f.value != defaults[name]}


def _label(kind) -> str:
    return kind.summary[:1].upper() + kind.summary[1:].replace(" along [", " [")


def _field(option) -> widgets.Widget:
    if option.choices:
        return widgets.Dropdown(options=list(option.choices))
    if isinstance(option.default, bool):
        return widgets.Checkbox(indent=False)
    if isinstance(option.default, int):
        low, high = (limit if limit is not None else other for limit, other in ((option.low, 0), (option.high, MOST)))
        return whole_field(int(low), int(high))
    if isinstance(option.default, float):
        low, high = (limit if limit is not None else other for limit, other in ((option.low, -1e6), (option.high, 1e6)))
        return float_field(low, high)
    return widgets.Text(continuous_update=False)
