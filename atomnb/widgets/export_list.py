"""ExportList: a button for each kind of file a page can save, with a line that says what is in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import ipywidgets as widgets


class ExportList(widgets.VBox):
    """Buttons below one another.

    Parameters
    ----------
    exports : sequence of (name, label, tip)
    on_export : callable
        Called with the name of the button pressed.

    Attributes
    ----------
    buttons, rows : dict
        By name.
    """

    def __init__(self, exports: Sequence[tuple[str, str, str]], *, on_export: Callable[[str], None]) -> None:
        self.buttons = {name: widgets.Button(description=label, tooltip=tip) for name, label, tip in exports}
        self.rows = {name: self._row(name, tip) for name, _, tip in exports}
        self.why = widgets.HTML()
        super().__init__([*self.rows.values(), self.why])
        for name, button in self.buttons.items():
            button.on_click(lambda _, name=name: on_export(name))

    def offer(self, name: str, wanted: bool) -> None:
        """Show a button or hide it."""
        self.rows[name].layout.display = None if wanted else "none"

    def say(self, why: str) -> None:
        """A line below the buttons, why some are disabled; nothing for an empty one."""
        self.why.value = f'<p class="an-muted">{why}</p>' if why else ""

    def _row(self, name: str, tip: str) -> widgets.HBox:
        row = widgets.HBox([self.buttons[name], widgets.HTML(f'<span class="an-muted">{tip}</span>')])
        row.add_class("an-line")
        row.add_class("an-export")
        return row
