"""ModelPicker: the models there are, and the card of the one chosen."""

from __future__ import annotations

import threading
from html import escape

import ipywidgets as widgets

import atomnb
from atomnb.said import gathered_warnings
from atomnb.widgets.image_state import ImageState
from atomnb.widgets.settings import linked


class ModelPicker(widgets.VBox):
    """Chooses the model of `state`."""

    def __init__(self, state: ImageState) -> None:
        self.cards: dict = {}
        self.model = widgets.Dropdown(description="Model")
        self.card = widgets.HTML()
        self.left_out = widgets.HTML()
        self.list_models()
        super().__init__([self.model, self.card, self.left_out])
        linked(state, "model", self.model)
        self.model.observe(lambda _: self._show_card(), "value")
        self._show_card()

    def list_models(self) -> None:
        """Offer the models there are now: the page may have been made ready long before it is opened."""
        with gathered_warnings() as said:
            self.cards = {card.name: card for card in atomnb.list_models()}
        chosen = self.model.value
        self.model.options = list(self.cards)
        if chosen in self.cards:
            self.model.value = chosen
        self.left_out.value = "".join(f'<p class="an-warning">{escape(note)}</p>' for note in said)
        self.left_out.layout.display = None if said else "none"

    def choose_asked(self, asked: dict[str, list[str]]) -> None:
        """Offer the models there are, and choose the one that the query of the page's address names, if any."""
        self.list_models()
        wanted = asked.get("model", [""])[0]
        if wanted in self.cards:
            self.model.value = wanted

    def _show_card(self) -> None:
        card = self.cards.get(self.model.value)
        self.card.value = "" if card is None else _card_html(card)


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


def warm_up(model: str) -> None:
    """Load a model in a thread: the network's library takes seconds, and meanwhile the page is already there."""
    threading.Thread(target=_load, args=(model,), daemon=True).start()


def _load(model: str) -> None:
    try:
        atomnb.load_model(model)
    except Exception:
        # Whatever is wrong shows, with its remedy, when the user asks for atoms.
        return
