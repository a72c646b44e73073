"""The left side of Train: what to learn, the network and its budget, the run, and the model to save."""

from __future__ import annotations

from html import escape

import ipywidgets as widgets

from atomnb.nets.registry import ARCHITECTURES
from atomnb.train.cards import SUMMARY
from atomnb.train.recipes import RECIPES
from atomnb.widgets.progress import ProgressBar, time_text
from atomnb.widgets.report import guarded
from atomnb.widgets.settings import Choice, float_field, linked, setting, whole_field, with_button
from atomnb.widgets.train_state import TrainState

SOURCES = (("Recipe", "recipe"), ("Labelled set", "set"))
NAMES = {"unet": "U-Net", "resunet": "residual U-Net", "dilated": "dilated FCN", "encoder-decoder": "encoder–decoder"}
NEW = ""


class SourcePanel(widgets.VBox):
    """Chooses what `state` learns."""

    def __init__(self, state: TrainState) -> None:
        self.state = state
        self.kind = linked(state, "source", widgets.ToggleButtons(options=SOURCES, style={"button_width": "auto"}))
        self.kind.add_class("an-segments")
        self.recipe = linked(state, "recipe", widgets.Dropdown(options=list(RECIPES)))
        self.set = Choice(on_choose=lambda path: setattr(state, "set_path", path))
        self.about = widgets.HTML()
        self.recipe_row = setting("Recipe", self.recipe, wide=True)
        listing = guarded(state.show_report, "listing the sets")
        self.set_row = with_button(
            setting("Set", self.set, below=True), "↻", "List the sets again", listing(self.list_sets)
        )
        super().__init__(
            [widgets.HTML("<h2><i>1</i>What to learn</h2>"), self.kind, self.recipe_row, self.set_row, self.about]
        )
        self.add_class("an-panel")
        state.observe(lambda _: self._show(), ["source", "recipe", "set_path"])
        self.list_sets()

    def list_sets(self) -> None:
        """Offer the sets there are now."""
        sets = self.state.sets()
        if sets and self.state.set_path not in sets:
            self.state.set_path = sets[0]
        self.set.offer([(path.rpartition("/")[2].removesuffix(".h5"), path) for path in sets], self.state.set_path)
        self._show()

    def _show(self) -> None:
        state = self.state
        self.recipe_row.layout.display = None if state.source == "recipe" else "none"
        self.set_row.layout.display = None if state.source == "set" and state.set_path else "none"
        if state.source == "recipe":
            steps = RECIPES[state.recipe].steps
            text = f"{SUMMARY[state.recipe]} The shipped model took {steps} steps."
        elif state.set_path:
            text = self._set_text()
            self.set.offer(list(self.set.options), state.set_path)
        else:
            text = "There is no labelled set in the data folder yet: build one with Simulate."
        self.about.value = f'<p class="an-muted">{escape(text)}</p>'

    def _set_text(self) -> str:
        from atomnb.data.labelled_set import open_labelled_set

        found = open_labelled_set(self.state.folder.resolve(self.state.set_path))
        told = f"{len(found)} images of {len(set(found.groups))} structures; classes {', '.join(found.classes)}."
        return f"{self.state.set_path}: {told}"


class NetworkPanel(widgets.VBox):
    """Chooses the network and how long `state` trains it."""

    def __init__(self, state: TrainState) -> None:
        import torch

        devices = [("this computer's CPU", "cpu")] + ([("GPU", "cuda")] if torch.cuda.is_available() else [])
        options = [(NAMES.get(name, name), name) for name in ARCHITECTURES]
        self.architecture = linked(state, "architecture", widgets.Dropdown(options=options))
        self.steps = linked(state, "steps", whole_field(1, 1_000_000))
        self.minutes = linked(state, "minutes", float_field(0, 10_000))
        self.device = linked(state, "device", widgets.Dropdown(options=devices))
        super().__init__(
            [
                widgets.HTML("<h2><i>2</i>Network</h2>"),
                setting("Architecture", self.architecture, wide=True),
                setting("Steps", self.steps, unit=" ", tip="Batches of 16 images"),
                setting("Time limit (0: none)", self.minutes, unit="min", tip="Stops then, and can go on later"),
                *([setting("Trains on", self.device, wide=True)] if len(devices) > 1 else []),
            ]
        )
        self.add_class("an-panel")


class RunPanel(widgets.VBox):
    """Starts, stops and resumes the training of `state`."""

    def __init__(self, state: TrainState) -> None:
        self.state = state
        doing = guarded(state.show_report, "starting the training")
        self.earlier = Choice(on_choose=doing(self._choose))
        self.earlier_row = setting("Run", self.earlier, below=True)
        self.train, self.resume, self.stop = (widgets.Button(description=text) for text in ("Train", "Resume", "Stop"))
        self.train.add_class("an-go")
        self.resume.add_class("an-resume")
        self.stop.add_class("an-stop")
        self.bar = widgets.FloatProgress(min=0, max=1)
        self.note = widgets.HTML()
        line = widgets.HBox([self.note, self.stop])
        line.add_class("an-line")
        self.progress = widgets.VBox([self.bar, line])
        self.progress.add_class("an-progress")
        super().__init__(
            [widgets.HTML("<h2><i>3</i>Train</h2>"), self.earlier_row, self.train, self.resume, self.progress]
        )
        self.add_class("an-panel")
        self.train.on_click(doing(lambda _: state.train()))
        self.resume.on_click(doing(lambda _: state.resume()))
        self.stop.on_click(lambda _: state.stop())
        state.observe(lambda _: self._show(), ["status", "history", "kept", "steps", "run"])
        state.observe(lambda _: self.list_runs(), ["status", "run"])
        self.list_runs()
        self._show()

    def list_runs(self) -> None:
        """Offer the runs there are now."""
        runs = self.state.runs()
        if self.state.run and self.state.run not in runs:
            runs = [self.state.run, *runs]
        self.earlier.offer([("New run", NEW), *((name, name) for name in runs)], self.state.run)
        self.earlier_row.layout.display = None if runs and not self.state.busy else "none"

    def _choose(self, name: str) -> None:
        if name == NEW:
            self.state.new_run()
        else:
            self.state.open_run(name)

    def _show(self) -> None:
        state = self.state
        self.train.layout.display = None if not state.busy and not state.run else "none"
        self.resume.layout.display = None if state.run and not state.busy else "none"
        self.progress.layout.display = None if state.run else "none"
        self.stop.layout.display = None if state.busy else "none"
        self.stop.disabled = state.status == "stopping"
        step = state.history[-1]["step"] if state.history else 0
        self.resume.disabled = state.kept >= state.steps
        self.resume.tooltip = "Ask for more steps to go on" if self.resume.disabled else f"Go on from step {state.kept}"
        self.bar.value = step / max(1, state.steps)
        (self.progress.remove_class if state.busy else self.progress.add_class)("an-still")
        self.note.value = f'<span class="an-muted">{escape(self._text(step))}</span>'

    def _text(self, step: int) -> str:
        state = self.state
        if state.status == "starting":
            return "starting the training process"
        if state.status == "waiting":
            return "this run is being trained already, by another page perhaps: waiting for the end of that"
        words = {"stopping": "stopping, saving a checkpoint", "stopped": "stopped", "done": "finished"}
        left = state.seconds_left
        end = words.get(state.status) or (f"{time_text(left)} left" if left is not None else "first batches")
        if not state.busy and state.kept < step:
            from_there = f"saved until step {state.kept}: Resume goes on from there"
            end += f", {from_there}" if state.kept else ", nothing saved yet: Resume begins anew"
        return f"{step} of {state.steps} steps · {end}"


class SavePanel(widgets.VBox):
    """Saves the model of `state`'s run."""

    def __init__(self, state: TrainState) -> None:
        self.state = state
        self.name = linked(state, "model_name", widgets.Text(continuous_update=False))
        self.button = widgets.Button(description="Save the model")
        self.button.add_class("an-save")
        self.progress = ProgressBar(state.jobs, titles=("Saving",))
        self.why, self.result = widgets.HTML(), widgets.HTML()
        super().__init__(
            [
                widgets.HTML("<h2><i>4</i>Save</h2>"),
                setting("Name", self.name, below=True),
                self.button,
                self.why,
                self.progress,
                self.result,
            ]
        )
        self.add_class("an-panel")
        self.button.on_click(guarded(state.show_report, "saving the model")(lambda _: state.save()))
        state.observe(lambda _: self._show(), ["status", "run", "saved", "kept"])
        state.jobs.observe(lambda _: self._show(), "busy")
        self._show()

    def _show(self) -> None:
        state = self.state
        ready = bool(state.run) and not state.busy and state.kept > 0
        self.name.placeholder = state.default_name
        self.button.disabled = not ready or state.jobs.busy
        why = "" if ready else "Train first; a run that was stopped can be saved too."
        if state.run and not state.busy and not ready:
            why = "This run ended before its first checkpoint: there is no model to save yet."
        self.why.value = f'<p class="an-muted">{why}</p>' if why else ""
        saved = state.saved
        if saved is None:
            self.result.value = ""
            return
        link = f'<a href="/apps/find_atoms?model={escape(saved.name)}" target="_blank">Use it in Find atoms →</a>'
        self.result.value = (
            f'<div class="an-done" data-model="{escape(saved.name)}"><b>{escape(saved.name)} is saved</b><br>'
            f"{escape(str(saved.path.parent))}<br>{link}</div>"
        )
