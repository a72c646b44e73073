"""The panel *Find atoms*: the model and its card, the button, progress and cancel, the threshold."""

from __future__ import annotations

from html import escape

import ipywidgets as widgets

from atomnb.widgets.find_atoms_state import FLOOR, FindAtomsState
from atomnb.widgets.model_picker import ModelPicker
from atomnb.widgets.progress import ProgressBar
from atomnb.widgets.report import guarded
from atomnb.widgets.settings import linked

CONTRASTS = (("bright or dark (auto)", "auto"), ("bright (HAADF, ADF)", "bright"), ("dark (BF, ABF)", "dark"))


class RunPanel(widgets.VBox):
    """Runs the analysis of `state`."""

    def __init__(self, state: FindAtomsState) -> None:
        self.state = state
        self.picker = ModelPicker(state)
        self.contrast = widgets.Dropdown(description="Atoms are", options=CONTRASTS)
        self.whole = widgets.Checkbox(description="All frames of the stack", indent=False)
        self.button = widgets.Button(description="Find atoms")
        self.button.add_class("an-go")
        self.why = widgets.HTML()
        self.hint = widgets.HTML()
        self.progress = ProgressBar(state.jobs, titles=("Opening", "Finding atoms"), titled=True)
        self.threshold = widgets.FloatSlider(
            description="Threshold", min=FLOOR, max=0.99, step=0.01, value=0.5, readout_format=".2f"
        )
        self.threshold.add_class("an-threshold")
        self.threshold.tooltip = "Lowest score at which an atom is listed; changes at once"
        super().__init__(
            [
                widgets.HTML("<h2><i>3</i>Atoms</h2>"),
                self.hint,
                self.picker,
                self.contrast,
                self.whole,
                self.button,
                self.why,
                self.progress,
                self.threshold,
            ]
        )
        self.add_class("an-panel")
        for part, name in (
            (self.contrast, "contrast"),
            (self.whole, "whole_stack"),
            (self.threshold, "threshold"),
        ):
            linked(state, name, part)
        self.button.on_click(guarded(state.show_report, "finding the atoms")(lambda _: state.find()))
        state.observe(lambda _: self._show(), ["opened", "found", "pixel_size", "model", "contrast", "whole_stack"])
        state.jobs.observe(lambda _: self._show(), "busy")
        self._show()

    def _show(self) -> None:
        state = self.state
        busy, nothing = state.jobs.busy, state.opened is None
        self.button.disabled = busy or nothing or not self.picker.cards
        self.whole.layout.display = None if state.opened and state.opened.image.is_stack else "none"
        self.threshold.layout.display = None if state.found is not None else "none"
        self.button.description = "Find atoms again" if state.stale else "Find atoms"
        why = ""
        if not self.picker.cards:
            why = "No model is installed: install atomnb again."
        elif nothing and not busy:
            why = "Open an image first."
        elif state.stale:
            why = "The settings have changed since: what you see was found with the earlier ones."
        self.why.value = f'<p class="an-muted">{why}</p>' if why else ""
        hint = "" if busy else state.hint
        self.hint.value = f'<p class="an-muted">{escape(hint)}</p>' if hint else ""
