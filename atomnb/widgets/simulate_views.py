"""The right side of Simulate: class map and diffractogram, the training set, and the code."""

from __future__ import annotations

from html import escape

import ipywidgets as widgets
import numpy as np

from atomnb.widgets.parts import CodePanel
from atomnb.widgets.pictures import Pictures, grey, painted, picture
from atomnb.widgets.progress import ProgressBar
from atomnb.widgets.report import guarded
from atomnb.widgets.samples import SampleViewer, numbers_of_classes
from atomnb.widgets.settings import linked, setting, whole_field
from atomnb.widgets.simulate_request import DETECTED, DOSE_TEXTS, INCIDENT
from atomnb.widgets.simulate_state import FILE, Shown, SimulateState

VIEWS = ("Truth", "Training set", "Code")
NEEDED = 31.3
"""Å: frames smaller than this cannot be cut for the networks at their usual scale."""


class ViewPanel(widgets.VBox):
    """Shows the truth behind the image of `state`, builds sets, and shows the code of both."""

    def __init__(self, state: SimulateState) -> None:
        self.state = state
        self.view = widgets.ToggleButtons(options=VIEWS, style={"button_width": "auto"})
        self.view.add_class("an-segments")
        self.pictures = Pictures()
        self.pictures.add_class("an-two-high")
        self.numbers = widgets.HTML()
        self.image_code, self.set_code = CodePanel(), CodePanel()
        self.set = SetPanel(state)
        self.boxes = {
            "Truth": widgets.VBox([self.numbers, self.pictures]),
            "Training set": widgets.VBox([self.set]),
            "Code": widgets.VBox(
                [
                    widgets.HTML("<b>The image shown</b>"),
                    self.image_code,
                    widgets.HTML("<b>The training set</b>"),
                    self.set_code,
                ]
            ),
        }
        self.boxes["Truth"].add_class("an-truth")
        super().__init__([self.view, *self.boxes.values()])
        self.add_class("an-panel")
        self.add_class("an-results")
        self.view.observe(lambda _: self._show(), "value")
        showing = guarded(state.show_report, "showing the truth")
        state.observe(showing(lambda _: self._show()), "shown")
        set_traits = ("set_name", "set_structures", "set_images", "set_doses", "set_incident_doses")
        state.observe(
            showing(lambda _: self._show_code()), [*set_traits, "set_pixel_spread", "set_vary_optics", "detector"]
        )
        self._show()

    def _show(self) -> None:
        for name, box in self.boxes.items():
            box.layout.display = None if name == self.view.value else "none"
        shown = self.state.shown
        if shown is None:
            self.numbers.value = '<p class="an-muted">The truth shows up here.</p>'
            return
        if self.view.value == "Truth":
            self.numbers.value = numbers_of_classes(shown.classes)
            self.pictures.pictures = [_class_map(shown), _diffractogram(shown)]
        self._show_code()

    def _show_code(self) -> None:
        if self.view.value == "Code":
            self.image_code.code = self.state.code()
            self.set_code.code = self.state.set_code()


class SetPanel(widgets.VBox):
    """Builds a labelled set of structures like the one shown."""

    def __init__(self, state: SimulateState) -> None:
        self.state = state
        self.name = linked(state, "set_name", widgets.Text(continuous_update=False))
        self.structures = linked(state, "set_structures", whole_field(1, 500))
        self.images = linked(state, "set_images", whole_field(1, 1000))
        self.doses = {
            DETECTED: _doses_slider(1, 5, state.set_doses), INCIDENT: _doses_slider(2, 7, state.set_incident_doses)
        }  # fmt: skip
        self.doses_rows = {
            unit: setting("Doses", slider, tip=f"{DOSE_TEXTS[unit].capitalize()}, evenly in the logarithm", wide=True)
            for unit, slider in self.doses.items()
        }
        self.doses_text = widgets.HTML()
        self.spread = widgets.BoundedIntText(min=0, max=50, value=round(100 * state.set_pixel_spread))
        self.vary = linked(state, "set_vary_optics", widgets.Checkbox(indent=False))
        self.button = widgets.Button(description="Build the set")
        self.button.add_class("an-go")
        self.progress = ProgressBar(state.jobs, titles=("Building the set",))
        self.note, self.result = widgets.HTML(), widgets.HTML()
        self.samples = SampleViewer(guard=guarded(state.show_report, "showing the set"))
        super().__init__(
            [
                widgets.HTML(
                    '<p class="an-muted">Many structures like the one shown, each by chance, each seen several times; '
                    "training, validation and test never share a structure.</p>"
                ),
                setting("Name", self.name, wide=True),
                setting(
                    "Structures", self.structures, unit=" ", tip="Each with its own seed: other defects, other places"
                ),
                setting("Images of each", self.images, unit=" "),
                *self.doses_rows.values(),
                self.doses_text,
                setting("Pixel size varies by ±", self.spread, unit="%"),
                setting(
                    "Focus and probe vary", self.vary, unit=" ", tip="Each structure is seen by a microscope of its own"
                ),
                self.button,
                self.progress,
                self.note,
                self.result,
                self.samples,
            ]
        )
        for slider in self.doses.values():
            slider.observe(lambda _: self._take_doses(), "value")
        self.spread.observe(lambda change: setattr(state, "set_pixel_spread", change["new"] / 100), "value")
        self.button.on_click(guarded(state.show_report, "building the set")(lambda _: state.build_set()))
        names = ["set_structures", "set_images", "set_doses", "set_incident_doses", "set_pixel_spread", "frame"]
        names += ["pixel_size", "shown", "structure", "detector", "engine", "built", "estimate"]
        state.observe(lambda _: self._show(), names)
        state.observe(lambda _: self._show_samples(), "built")
        state.jobs.observe(lambda _: self._show(), "busy")
        self._show()

    def _take_doses(self) -> None:
        taken = {
            unit: tuple(float(f"{10**exponent:.3g}") for exponent in slider.value)
            for unit, slider in self.doses.items()
        }
        self.state.set_doses, self.state.set_incident_doses = taken[DETECTED], taken[INCIDENT]

    def _show(self) -> None:
        state = self.state
        low, high = state.set_doses_chosen
        for unit, row in self.doses_rows.items():
            row.layout.display = None if unit == state.dose_unit else "none"
        self.name.placeholder = state.default_set_name
        unit = DOSE_TEXTS[state.dose_unit]
        self.doses_text.value = f'<p class="an-muted">{low:g} to {high:g} {unit}</p>'
        self.button.disabled = state.jobs.busy or state.shown is None
        self.button.description = f"Build {state.plan.total} images"
        self.note.value = "".join(f'<p class="an-warning">{escape(text)}</p>' for text in self._warnings())
        built = state.built
        self.result.value = "" if built is None else _built(built)

    def _show_samples(self) -> None:
        built = self.state.built
        self.samples.show(None if built is None else self.state.folder.root / built.path)

    def _warnings(self) -> list[str]:
        state, found = self.state, []
        smallest = state.frame * state.pixel_size / (1 + state.set_pixel_spread)
        if smallest < NEEDED:
            found.append(
                f"The smallest frames would show {smallest:.0f} Å; Train needs {NEEDED:.0f} Å: take a larger frame or "
                "larger pixels."
            )
        if state.structure == FILE:
            found.append(
                "All structures of the set are your file (sites that elements share are filled anew): training, "
                "validation and test differ in microscope, angle, dose and noise only."
            )
        if state.set_structures < 3:
            found.append("Training, validation and test need a structure each: build at least 3.")
        if state.engine == "multislice":
            seconds = state.estimate[1].seconds if state.estimate else None
            each = f", about {seconds * state.set_structures / 60:.0f} min in all" if seconds else ""
            found.append(f"Each structure is a multislice simulation of its own{each}.")
        return found


def _doses_slider(low: int, high: int, doses: tuple[float, float]) -> widgets.FloatRangeSlider:
    """Exponents of ten from `low` to `high`."""
    slider = widgets.FloatRangeSlider(min=low, max=high, step=0.1, readout=False, continuous_update=False)
    slider.value = tuple(np.log10(doses))
    return slider


def _class_map(shown: Shown) -> dict:
    scene = shown.scene
    return picture("Class map", painted(scene.class_map), per_pixel=scene.pixel_size)


def _diffractogram(shown: Shown) -> dict:
    power, step = shown.power
    middle = len(power) // 2
    marks = np.column_stack([shown.spots / step + middle, np.zeros(len(shown.spots))])
    spacing = _largest_spacing(shown.spots)
    note = "No rings: this structure has no single lattice."
    if spacing:
        note = f"Rings: spots of the perfect crystal, the innermost at a spacing of {spacing:.2f} Å."
    elif shown.structure.lattices:
        note = "No rings: the image resolves none of the lattice's spots."
    pixels = grey(np.minimum(power, np.percentile(power, 99.8)), tails=(30, 100))
    return picture("Diffraction", pixels, smooth=True, per_pixel=step, unit="1/Å", marks=marks, note=note)


def _largest_spacing(spots: np.ndarray) -> float | None:
    distance = np.hypot(*spots.T) if len(spots) else np.zeros(0)
    return float(1 / distance.min()) if distance.size and distance.min() > 0 else None


def _built(built) -> str:
    size = f"{built.bytes / 1e6:.1f} MB"
    link = f'<a class="an-link" href="/apps/train?set={escape(built.path)}" target="_blank">Train a model on it →</a>'
    warned = "".join(f'<p class="an-warning">{escape(text)}</p>' for text in built.messages)
    return warned + (
        f'<div class="an-done" data-set="{escape(built.path)}"><b>{built.images} images written</b><br>'
        f"{escape(built.path)}, {size}, {len(built.classes)} classes in {built.structures} structures<br>{link}</div>"
    )
