"""The middle and right of Train: what the network sees, its curve, and the code."""

from __future__ import annotations

import ipywidgets as widgets
import numpy as np

from atomnb.widgets.curve import LearningCurve
from atomnb.widgets.parts import CodePanel
from atomnb.widgets.pictures import Pictures, colour_of_class, grey, mixed, picture
from atomnb.widgets.report import guarded
from atomnb.widgets.samples import SampleViewer
from atomnb.widgets.settings import Choice, setting, with_button
from atomnb.widgets.train_preview import Preview
from atomnb.widgets.train_state import TrainState

VIEWS = ("Curve", "Code")
EMPTY = (
    '<div class="an-invite"><div><b>What the network sees shows up here.</b><br>'
    "A simulated scene it has never learnt from, and a frame of your choice: watch both get better.</div></div>"
)
WAITING = '<div class="{}">The first look comes after the first steps …</div>'


class SightPanel(widgets.VBox):
    """Shows what the network of `state` sees."""

    def __init__(self, state: TrainState) -> None:
        self.state = state
        self.invite = widgets.HTML()
        self.samples = SampleViewer(guard=guarded(state.show_report, "showing the set"))
        self.pictures = Pictures(per_row=2)
        self.pictures.add_class("an-four")
        self.note = widgets.HTML()
        super().__init__([self.invite, self.samples, self.pictures, self.note])
        self.add_class("an-sight")
        state.observe(guarded(state.show_report, "showing the preview")(lambda _: self._show()), "preview")
        showing = guarded(state.show_report, "showing the set")
        state.observe(showing(lambda _: self._show_samples()), ["source", "set_path", "preview"])
        state.observe(lambda _: self._show_invite(), "status")
        self._show()
        self._show_samples()

    def _show_samples(self) -> None:
        """Before there is anything to see of the network: what it is to learn from."""
        state = self.state
        wanted = state.source == "set" and state.set_path and state.preview is None
        self.samples.show(state.folder.resolve(state.set_path) if wanted else None)
        self._show_invite()

    def _show_invite(self) -> None:
        state = self.state
        waiting = state.preview is None
        beside = self.samples.layout.display is None
        self.invite.layout.display = None if waiting and (state.busy or not beside) else "none"
        self.invite.value = EMPTY if not state.busy else WAITING.format("an-muted" if beside else "an-invite")

    def _show(self) -> None:
        preview = self.state.preview
        self.pictures.pictures = [] if preview is None else _pictures(preview, self._names(preview))
        note = "" if preview is None else preview.note
        self.note.value = f'<p class="an-warning">{note}</p>' if note else ""

    def _names(self, preview: Preview) -> list[str]:
        from atomnb.train.job import read_job

        count = len(preview.scene_probability) - 1
        names = list(read_job(self.state.run_dir).classes[1:])
        return names if len(names) == count else [f"class {k}" for k in range(1, count + 1)]


class CurvePanel(widgets.VBox):
    """Shows how `state` learns, chooses the frame to watch, and shows the code."""

    def __init__(self, state: TrainState) -> None:
        self.state = state
        self.view = widgets.ToggleButtons(options=VIEWS, style={"button_width": "auto"})
        self.view.add_class("an-segments")
        self.numbers = widgets.HTML()
        self.curve = LearningCurve()
        self.frame = Choice(on_choose=guarded(state.show_report, "opening the frame")(state.choose_frame))
        self.list_frames()
        self.code = CodePanel()
        frame_row = setting("Frame", self.frame, tip="A sample or an image of the data folder", wide=True)
        frame_row.add_class("an-broad")
        listing = guarded(state.show_report, "listing the frames")
        with_button(frame_row, "↻", "List the images of the data folder again", listing(self.list_frames))
        hint = widgets.HTML(
            '<p class="an-muted">The network looks at it again with every point of the lower curve.</p>'
        )
        self.boxes = {
            "Curve": widgets.VBox([self.numbers, self.curve.widget, frame_row, hint]),
            "Code": widgets.VBox([self.code]),
        }
        super().__init__([self.view, *self.boxes.values()])
        self.add_class("an-panel")
        self.add_class("an-results")
        self.view.observe(lambda _: self._show(), "value")
        names = ["history", "steps", "recipe", "source", "set_path", "architecture", "minutes", "model_name", "run"]
        state.observe(lambda _: self.list_frames(), "frame")
        state.observe(guarded(state.show_report, "showing the curve")(lambda _: self._show()), names)
        self._show()

    def list_frames(self) -> None:
        """Offer the samples and the images there are now."""
        self.frame.offer(self.state.frames(), self.state.frame)

    def _show(self) -> None:
        for name, box in self.boxes.items():
            box.layout.display = None if name == self.view.value else "none"
        state = self.state
        if self.view.value == "Code":
            self.code.code = state.code()
            return
        self.numbers.value = _numbers(state.history)
        self.curve.show(state.history, steps=state.steps)


def _numbers(history: list[dict]) -> str:
    if not history:
        return '<p class="an-muted">Loss and score show up here.</p>'
    last = history[-1]
    scored = [record["score"] for record in history if "score" in record]
    facts = [
        ("loss", f"{last['loss']:.3g}", "Cross-entropy of the last steps"),
        (
            "F1",
            f"{scored[-1]:.3f}" if scored else "–",
            "Atoms found at their place and with their class, unseen scenes",
        ),
        ("best F1", f"{max(scored):.3f}" if scored else "–", "The model saved is the one of this score"),
        ("images/s", f"{last['images_per_second']:.3g}", "Training speed"),
    ]
    html = "".join(f'<div title="{tip}"><b>{value}</b>{name}</div>' for name, value, tip in facts)
    return f'<div class="an-numbers">{html}</div>'


def _pictures(preview: Preview, names: list[str]) -> list[dict]:
    legend = [(name, colour_of_class(k)) for k, name in enumerate(names, start=1)]
    shown = [
        picture("Unseen scene and its truth", grey(preview.scene), marks=preview.truth, legend=legend),
        picture("What the network sees", mixed(preview.scene_probability), legend=legend, filled=True),
    ]
    if preview.real.size:
        count = f"{len(preview.found)} atoms found"
        shown += [
            picture("Frame and atoms found", grey(preview.real), marks=preview.found, note=count),
            picture("What the network sees", mixed(np.asarray(preview.real_probability))),
        ]
    return shown
