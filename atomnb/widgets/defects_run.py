"""The panel *Defects*: model and rules, the button, progress and cancel, the confidence."""

from __future__ import annotations

from html import escape

import ipywidgets as widgets

from atomnb.graph.rules import RulesError, load_rules
from atomnb.widgets.defects_state import DefectsState
from atomnb.widgets.find_atoms_run import CONTRASTS
from atomnb.widgets.model_picker import ModelPicker
from atomnb.widgets.progress import ProgressBar
from atomnb.widgets.report import guarded
from atomnb.widgets.settings import Choice, linked


class RunPanel(widgets.VBox):
    """Runs the search of `state`."""

    def __init__(self, state: DefectsState) -> None:
        self.state = state
        self.picker = ModelPicker(state)
        self.rules = Choice(on_choose=lambda name: setattr(state, "rules", name))
        self.rules.description = "Rules"
        self.about = widgets.HTML()
        self.suggestion = widgets.HTML()
        self.contrast = linked(state, "contrast", widgets.Dropdown(description="Atoms are", options=CONTRASTS))
        self.whole = linked(state, "whole_stack", widgets.Checkbox(description="All frames of the stack", indent=False))
        self.button = widgets.Button(description="Find defects")
        self.button.add_class("an-go")
        self.why = widgets.HTML()
        self.progress = ProgressBar(state.jobs, titles=("Opening", "Finding defects"), titled=True)
        self.confidence = widgets.FloatSlider(
            description="Confidence", min=0, max=0.99, step=0.01, readout_format=".2f"
        )
        self.confidence.tooltip = "Lowest confidence at which a defect is listed; changes at once"
        self.confidence.add_class("an-threshold")
        linked(state, "confidence", self.confidence)
        super().__init__(
            [
                widgets.HTML("<h2><i>3</i>Defects</h2>"),
                self.suggestion,
                self.picker,
                self.rules,
                self.about,
                self.contrast,
                self.whole,
                self.button,
                self.why,
                self.progress,
                self.confidence,
            ]
        )
        self.add_class("an-panel")
        self.button.on_click(guarded(state.show_report, "finding the defects")(lambda _: state.find()))
        settings = ["opened", "found", "pixel_size", "model", "contrast", "whole_stack", "rules", "rules_version"]
        state.observe(lambda _: self._show(), settings)
        state.observe(lambda _: self.list_rules(), ["model", "rules", "rules_version"])
        state.jobs.observe(lambda _: self._show(), "busy")
        self.list_rules()
        self._show()

    def list_rules(self) -> None:
        """Offer the rule sets there are now, those that go with the model first."""
        self.rules.offer(self.state.offered_rules(), self.state.rules)
        try:
            about = load_rules(self.state.rules).summary
        except RulesError as error:
            about = str(error)
        self.about.value = f'<p class="an-muted">{escape(about)}</p>'

    def _show(self) -> None:
        state = self.state
        busy, nothing = state.jobs.busy, state.opened is None
        stale = state.stale
        self.button.disabled = busy or nothing or not self.picker.cards
        self.whole.layout.display = None if state.opened and state.opened.image.is_stack else "none"
        self.confidence.layout.display = None if state.found is not None else "none"
        self.suggestion.value = f'<p class="an-muted">{escape(state.suggestion)}</p>' if state.suggestion else ""
        self.button.description = "Find defects again" if stale else "Find defects"
        why = ""
        if not self.picker.cards:
            why = "No model is installed: install atomnb again."
        elif nothing and not busy:
            why = "Open an image first."
        elif stale:
            why = "The settings have changed since: what you see was found with the earlier ones."
        self.why.value = f'<p class="an-muted">{why}</p>' if why else ""
