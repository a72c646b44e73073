"""The panel *Exposure* of Simulate: frame, dose and distortions, and the classes that columns are given."""

from __future__ import annotations

import ipywidgets as widgets

from atomnb.widgets.settings import Choice, Fold, float_field, linked, setting
from atomnb.widgets.simulate_request import DISTORTIONS
from atomnb.widgets.simulate_state import SimulateState

FRAMES = (128, 192, 256, 384, 512)


class ExposurePanel(widgets.VBox):
    """Chooses how `state` sees and labels the structure."""

    def __init__(self, state: SimulateState) -> None:
        self.state = state
        self.dose = widgets.FloatLogSlider(min=1, max=5, step=0.1, readout_format=".0f", continuous_update=False)
        self.dose.add_class("an-dose")
        linked(state, "dose", self.dose)
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
                setting("Dose", self.dose, tip="Electrons detected per column", wide=True),
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
        self._show_schemes()

    def _take_distortions(self) -> None:
        self.state.distortions = {name: field.value for name, field in self.distortions.items()}

    def _show_schemes(self) -> None:
        shown = self.state.shown
        offered = shown.schemes if shown else {"content": "by content"}
        self.scheme.offer([(text[:1].upper() + text[1:], key) for key, text in offered.items()], self.state.scheme)
