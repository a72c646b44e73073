"""The panel *Exposure* of Simulate: frame, dose and distortions, and the classes that columns are given."""

from __future__ import annotations

import ipywidgets as widgets

from atomnb.widgets.settings import Choice, Fold, float_field, linked, setting
from atomnb.widgets.simulate_request import DETECTED, DISTORTIONS, DOSE_NOTES, INCIDENT
from atomnb.widgets.simulate_state import SimulateState

FRAMES = (128, 192, 256, 384, 512)


class ExposurePanel(widgets.VBox):
    """Chooses how `state` sees and labels the structure."""

    def __init__(self, state: SimulateState) -> None:
        self.state = state
        self.dose = {
            DETECTED: linked(state, "dose", _dose_slider(1, 5)),
            INCIDENT: linked(state, "incident_dose", _dose_slider(2, 7)),
        }
        self.dose_rows = {
            DETECTED: setting("Dose", self.dose[DETECTED], tip="Electrons detected per column", wide=True),
            INCIDENT: setting("Dose", self.dose[INCIDENT], tip="Electrons of the beam per Å²", wide=True),
        }
        self.dose_note = widgets.HTML()
        self.frame = linked(state, "frame", widgets.Dropdown(options=[(f"{n} × {n} px", n) for n in FRAMES]))
        self.pixel_size = linked(state, "pixel_size", float_field(0.03, 1.0))
        self.rotation = linked(state, "rotation_deg", float_field(-360, 360))
        self.distortions = {name: float_field(0, high) for name, (_, _, _, high) in DISTORTIONS.items()}
        self.scheme = Choice(on_choose=lambda key: setattr(state, "scheme", key))
        rows = [
            setting(label, self.distortions[name], unit=unit or " ")
            for name, (label, unit, _, _) in DISTORTIONS.items()
        ]
        super().__init__(
            [
                widgets.HTML("<h2><i>3</i>Exposure and classes</h2>"),
                *self.dose_rows.values(),
                self.dose_note,
                setting("Frame", self.frame, wide=True),
                setting("Pixel size", self.pixel_size, unit="Å"),
                setting("Scan rotation", self.rotation, unit="°"),
                Fold("Distortions", rows),
                setting("Classes", self.scheme, tip="What a model trained on this is to tell apart", wide=True),
            ]
        )
        self.add_class("an-panel")
        for name, field in self.distortions.items():
            field.value = state.distortions[name]
            field.observe(lambda _: self._take_distortions(), "value")
        state.observe(lambda _: self._show_schemes(), ["shown", "scheme"])
        state.observe(lambda _: self._show_dose(), "detector")
        self._show_schemes()
        self._show_dose()

    def _show_dose(self) -> None:
        for unit, row in self.dose_rows.items():
            row.layout.display = None if unit == self.state.dose_unit else "none"
        self.dose_note.value = f'<p class="an-muted an-dose-note">{DOSE_NOTES[self.state.dose_unit]}</p>'

    def _take_distortions(self) -> None:
        self.state.distortions = {name: field.value for name, field in self.distortions.items()}

    def _show_schemes(self) -> None:
        shown = self.state.shown
        offered = shown.schemes if shown else {"content": "by content"}
        self.scheme.offer([(text[:1].upper() + text[1:], key) for key, text in offered.items()], self.state.scheme)


def _dose_slider(low: int, high: int) -> widgets.FloatLogSlider:
    """From 10^low to 10^high."""
    slider = widgets.FloatLogSlider(min=low, max=high, step=0.1, readout_format=".0f", continuous_update=False)
    slider.add_class("an-dose")
    return slider
