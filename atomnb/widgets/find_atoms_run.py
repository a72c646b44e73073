"""The panel *Find atoms*: the model and its card, the button, progress and cancel, the threshold."""

from __future__ import annotations

import warnings
from html import escape

import ipywidgets as widgets

import atomnb
from atomnb.errors import AtomnbWarning
from atomnb.widgets.find_atoms_state import FLOOR, FindAtomsState
from atomnb.widgets.report import guarded

CONTRASTS = (("found by itself", "auto"), ("bright (HAADF, ADF)", "bright"), ("dark (BF, ABF)", "dark"))


class RunPanel(widgets.VBox):
    """Runs the analysis of `state`."""

    def __init__(self, state: FindAtomsState) -> None:
        self.state = state
        self.cards: dict = {}
        self.model = widgets.Dropdown(description="Model")
        self.card = widgets.HTML()
        self.left_out = widgets.HTML()
        self.list_models()
        self.contrast = widgets.Dropdown(description="Atoms are", options=CONTRASTS)
        self.whole = widgets.Checkbox(description="All frames of the stack", indent=False)
        self.button = widgets.Button(description="Find atoms")
        self.button.add_class("an-go")
        self.why = widgets.HTML()
        self.bar = widgets.FloatProgress(min=0, max=1)
        self.note = widgets.HTML()
        self.cancel = widgets.Button(description="Cancel")
        self.cancel.add_class("an-cancel")
        line = widgets.HBox([self.note, self.cancel])
        line.add_class("an-line")
        self.progress = widgets.VBox([self.bar, line])
        self.progress.add_class("an-progress")
        self.threshold = widgets.FloatSlider(
            description="Threshold", min=FLOOR, max=0.99, step=0.01, value=0.5, readout_format=".2f"
        )
        self.threshold.add_class("an-threshold")
        self.threshold.tooltip = "Lowest score at which an atom is listed; changes at once"
        super().__init__(
            [
                widgets.HTML("<h2><i>3</i>Atoms</h2>"),
                self.model,
                self.card,
                self.left_out,
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
            (self.model, "model"),
            (self.contrast, "contrast"),
            (self.whole, "whole_stack"),
            (self.threshold, "threshold"),
        ):
            traitlet_link(state, name, part)
        self.button.on_click(guarded(state.show_report, "finding the atoms")(lambda _: state.find()))
        self.cancel.on_click(lambda _: state.jobs.cancel())
        self.model.observe(lambda _: self._show_card(), "value")
        state.observe(lambda _: self._show(), ["opened", "found", "pixel_size", "model", "contrast", "whole_stack"])
        state.jobs.observe(lambda _: self._show_progress(), ["fraction", "message", "seconds_left", "busy"])
        self._show_card()
        self._show()
        self._show_progress()

    def list_models(self) -> None:
        """Offer the models there are now: the page may have been made ready long before it is opened."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", AtomnbWarning)
            self.cards = {card.name: card for card in atomnb.list_models()}
        chosen = self.model.value
        self.model.options = list(self.cards)
        if chosen in self.cards:
            self.model.value = chosen
        notes = [escape(str(w.message)) for w in caught if issubclass(w.category, AtomnbWarning)]
        self.left_out.value = "".join(f'<p class="an-warning">{note}</p>' for note in notes)
        self.left_out.layout.display = None if notes else "none"

    def _show_card(self) -> None:
        card = self.cards.get(self.model.value)
        self.card.value = "" if card is None else _card_html(card)

    def _show(self) -> None:
        state = self.state
        busy, nothing = state.jobs.busy, state.opened is None
        self.button.disabled = busy or nothing or not self.cards
        self.whole.layout.display = None if state.opened and state.opened.image.is_stack else "none"
        self.threshold.layout.display = None if state.found is not None else "none"
        self.button.description = "Find atoms again" if state.stale else "Find atoms"
        why = ""
        if not self.cards:
            why = "No model is installed: install atomnb again."
        elif nothing and not busy:
            why = "Open an image first."
        elif state.stale:
            why = "The settings have changed since: what you see was found with the earlier ones."
        self.why.value = f'<p class="an-muted">{why}</p>' if why else ""

    def _show_progress(self) -> None:
        jobs = self.state.jobs
        self.progress.layout.display = None if jobs.busy else "none"
        self.bar.value = jobs.fraction
        left = "" if jobs.seconds_left is None else f" · {_time_text(jobs.seconds_left)} left"
        self.note.value = f"{escape(jobs.title)}: {escape(jobs.message or 'starting')}{left}"
        self._show()


def traitlet_link(state, name: str, part: widgets.Widget) -> None:
    """Keep a trait of the state and the value of a widget equal."""
    from traitlets import link

    link((state, name), (part, "value"))


def _time_text(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def _card_html(card) -> str:
    ranges = "".join(f"<li>{escape(str(k))}: {escape(_plain(v))}</li>" for k, v in card.ranges.items())
    accuracy = "".join(f"<li>{escape(str(k))}: {escape(_plain(v))}</li>" for k, v in card.accuracy.items())
    parts = [("Trained on", escape(card.trained_on)), ("Not for", escape(card.not_for))]
    parts += [
        ("Range", f"<ul>{ranges}</ul>" if ranges else ""),
        ("Accuracy", f"<ul>{accuracy}</ul>" if accuracy else ""),
    ]
    body = "".join(f"<dt>{name}</dt><dd>{text}</dd>" for name, text in parts if text)
    return f'<details class="an-card-box"><summary>{escape(card.summary)}</summary><dl>{body}</dl></details>'


def _plain(value) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} {_plain(v)}" for k, v in value.items())
    if isinstance(value, list | tuple):
        return " – ".join(_plain(v) for v in value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)
