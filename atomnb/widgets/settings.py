"""Rows of settings: a label, a field and a unit; and a fold that keeps the rarer ones out of sight."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from html import escape

import ipywidgets as widgets
import traitlets


def setting(
    text: str, field: widgets.Widget, *, unit: str = "", tip: str = "", wide: bool = False, below: bool = False
) -> widgets.HBox:
    """One row: what is set, the field, and its unit; `wide` fields take more of the row, those `below` a line."""
    label = widgets.HTML(f'<span title="{escape(tip)}">{escape(text)}</span>')
    field.add_class("an-field")
    field.layout.width = None
    if tip and hasattr(field, "tooltip"):
        field.tooltip = tip
    if wide:
        field.add_class("an-wide")
    row = widgets.HBox([label, field])
    if unit:
        shown = widgets.HTML(escape(unit))
        shown.add_class("an-unit")
        row.children = (*row.children, shown)
    row.add_class("an-setting")
    if below:
        row.add_class("an-below")
    return row


def with_button(row: widgets.HBox, text: str, tip: str, on_click: Callable[[], None]) -> widgets.HBox:
    """`row` of `setting` with a small button at its end."""
    button = widgets.Button(description=text, tooltip=tip)
    button.add_class("an-small")
    button.on_click(lambda _: on_click())
    row.children = (*row.children, button)
    return row


def linked(owner: traitlets.HasTraits, name: str, field: widgets.Widget) -> widgets.Widget:
    """`field`, its value kept equal to a trait of `owner`."""
    traitlets.link((owner, name), (field, "value"))
    return field


class Choice(widgets.Dropdown):
    """A list to choose from, whose entries the page changes; only what the user chooses is reported.

    What is chosen is its tooltip, too: a long name may be cut.

    Parameters
    ----------
    on_choose : callable
        Called with the value chosen.
    """

    def __init__(self, *, on_choose: Callable) -> None:
        super().__init__()
        self._offering = False
        self._on_choose = on_choose
        self.observe(self._report, "value")
        self.observe(lambda change: setattr(self, "tooltip", change["new"]), "label")

    def offer(self, options: list[tuple[str, object]], value) -> None:
        """Show these entries (label, value), with `value` chosen if it is one of them."""
        self._offering = True
        try:
            if list(self.options) != options:
                self.options = options
            if value in [offered for _, offered in options]:
                self.value = value
        finally:
            self._offering = False

    def _report(self, change) -> None:
        if change["new"] is not None and not self._offering:
            self._on_choose(change["new"])


class Fold(widgets.VBox):
    """A button that shows and hides rows.

    Parameters
    ----------
    text : str
        On the button.
    rows : iterable of widgets
    """

    def __init__(self, text: str, rows: Iterable[widgets.Widget]) -> None:
        self._text = text
        self.button = widgets.ToggleButton()
        self.button.add_class("an-small")
        self.rows = widgets.VBox(list(rows))
        self.rows.add_class("an-fold")
        super().__init__([self.button, self.rows])
        self.button.observe(lambda _: self._show(), "value")
        self._show()

    def _show(self) -> None:
        self.button.description = f"{self._text} {'▴' if self.button.value else '▾'}"
        self.rows.layout.display = None if self.button.value else "none"


def float_field(low: float, high: float) -> widgets.BoundedFloatText:
    """A field for a number; it counts when the user leaves it or presses Enter."""
    return widgets.BoundedFloatText(min=low, max=high, step=None)


def whole_field(low: int, high: int) -> widgets.BoundedIntText:
    """A field for a whole number."""
    return widgets.BoundedIntText(min=low, max=high)
