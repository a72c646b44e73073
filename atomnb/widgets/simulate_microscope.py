"""The panel *Microscope* of Simulate: engine, detector and optics; multislice with estimate, progress and cancel."""

from __future__ import annotations

from html import escape

import ipywidgets as widgets

from atomnb.widgets.progress import ProgressBar, time_text
from atomnb.widgets.report import guarded
from atomnb.widgets.settings import Choice, Fold, float_field, linked, setting, whole_field
from atomnb.widgets.simulate_request import detectors_of
from atomnb.widgets.simulate_state import SimulateState

ENGINES = (("Instant", "fast"), ("Multislice", "multislice"))
METHODS = (("PRISM", "prism"), ("full multislice", "multislice"))
ABOUT = {
    "fast": "Every atom blurred by the probe: right for sheets and thin crystals.",
    "multislice": "The electron wave through the crystal, by abTEM: channelling, thickness, ABF and BF.",
}


class MicroscopePanel(widgets.VBox):
    """Chooses engine and optics of `state`, and runs multislice."""

    def __init__(self, state: SimulateState) -> None:
        self.state = state
        self.engine = widgets.ToggleButtons(options=ENGINES, style={"button_width": "auto"})
        self.engine.add_class("an-segments")
        self.about = widgets.HTML()
        self.detector = Choice(on_choose=lambda name: setattr(state, "detector", name))
        self.energy = linked(state, "energy_kev", float_field(10, 1500))
        self.semiangle = linked(state, "semiangle_mrad", float_field(1, 100))
        self.defocus = linked(state, "defocus", float_field(-5000, 5000))
        self.cs = linked(state, "cs_um", float_field(-5000, 5000))
        self.source = linked(state, "source_fwhm", float_field(0, 10))
        self.method = linked(state, "method", widgets.Dropdown(options=METHODS))
        self.phonons = linked(state, "phonons", whole_field(0, 100))
        self.multislice = widgets.VBox(self._multislice_rows())
        super().__init__(
            [
                widgets.HTML("<h2><i>2</i>Microscope</h2>"),
                self.engine,
                self.about,
                setting("Detector", self.detector, unit=" "),
                setting("Beam energy", self.energy, unit="kV"),
                setting("Convergence", self.semiangle, unit="mrad", tip="Semi-angle of the probe"),
                Fold(
                    "Focus and source",
                    [
                        setting("Defocus", self.defocus, unit="Å", tip="Positive is underfocus"),
                        setting("Spherical aberration C30", self.cs, unit="µm"),
                        setting("Source width", self.source, unit="Å", tip="Full width at half maximum"),
                    ],
                ),
                self.multislice,
            ]
        )
        self.add_class("an-panel")
        self.engine.observe(lambda change: state.choose_engine(change["new"]), "value")
        state.observe(lambda _: self._show_engine(), ["engine", "detector"])
        state.observe(lambda _: self._show_estimate(), [*_DEPENDS, "estimate", "shown"])
        state.observe(lambda _: self._show_about(), "shown")
        state.jobs.observe(lambda _: self._show_estimate(), "busy")
        self._show_engine()
        self._show_estimate()

    def _multislice_rows(self) -> list[widgets.Widget]:
        state = self.state
        self.estimate = widgets.Button(description="Estimate time and memory")
        self.estimate.add_class("an-estimate")
        self.run = widgets.Button(description="Run multislice")
        self.run.add_class("an-go")
        self.note = widgets.HTML()
        self.progress = ProgressBar(state.jobs, titles=("Estimating", "Multislice"))
        doing = guarded(state.show_report, "starting multislice")
        self.estimate.on_click(doing(lambda _: state.estimate_multislice()))
        self.run.on_click(doing(lambda _: state.run_multislice()))
        return [
            setting("Method", self.method, wide=True),
            setting("Phonon configurations", self.phonons, unit=" ", tip="Averaged; 0 keeps the atoms at rest"),
            self.estimate,
            self.note,
            self.run,
            self.progress,
        ]

    def _show_engine(self) -> None:
        state = self.state
        self.engine.value = state.engine
        self._show_about()
        self.detector.offer([(name.upper(), name) for name in detectors_of(state.engine)], state.detector)
        self.multislice.layout.display = None if state.engine == "multislice" else "none"

    def _show_about(self) -> None:
        """What the engine does, and why not to trust it for the structure shown."""
        from atomnb.simulate.convolution import convolution_doubt

        state = self.state
        text = f'<p class="an-muted">{ABOUT[state.engine]}</p>'
        if state.engine == "fast" and state.shown is not None:
            doubt = convolution_doubt(state.shown.structure)
            text += "" if doubt is None else f'<p class="an-warning">{doubt[0].upper()}{escape(doubt[1:])}</p>'
        self.about.value = text

    def _show_estimate(self) -> None:
        state = self.state
        if state.engine != "multislice":
            return
        found = state.estimate if state.estimate and _same(state.estimate[0], state.request) else None
        busy, waits = state.jobs.busy, state.awaits_multislice
        self.estimate.layout.display = None if waits and found is None and not busy else "none"
        self.run.layout.display = None if waits and not busy else "none"
        self.run.disabled = found is None or not found[1].fits
        self.note.value = f'<p class="an-muted">{escape(self._says(found, waits))}</p>' if not busy else ""

    @staticmethod
    def _says(found, waits: bool) -> str:
        if not waits:
            return "The image shown is by multislice; dose and distortions change at once."
        if found is None:
            return "Estimate first: a simulation takes seconds to hours."
        estimate = found[1]
        memory = f"{estimate.memory_bytes / 1e9:.2g} GB of memory"
        if not estimate.fits:
            free = f"{(estimate.free_bytes or 0) / 1e9:.2g} GB"
            return f"Needs {memory}, and {free} are free: make the structure smaller or thinner."
        return f"Takes about {time_text(estimate.seconds)} and {memory}."


_DEPENDS = (
    *("structure", "size", "seed", "options", "engine", "detector", "energy_kev", "semiangle_mrad", "defocus"),
    *("cs_um", "source_fwhm", "method", "phonons"),
)


def _same(one, other) -> bool:
    return (one.structure, one.microscope) == (other.structure, other.microscope)
