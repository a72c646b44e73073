"""The tab *Rules*: the YAML of the rules in use, checked while it is edited, kept as rules of one's own."""

from __future__ import annotations

from html import escape

import ipywidgets as widgets

from atomnb.graph.rules import user_rules_folder
from atomnb.widgets.debounce import debounced
from atomnb.widgets.defects_state import DefectsState
from atomnb.widgets.report import guarded

HELP = (
    '<details class="an-about"><summary>What may stand here</summary>'
    "<div><b>host</b>: motif (honeycomb, square, triangular), bond in Å, sites.</div>"
    "<div><b>species</b>: valence, the site it is at home on; without a site it is a dopant.</div>"
    "<div><b>bonds</b>: shortest and longest of each pair, Å; flat pairs not listed take covalent radii.</div>"
    "<div><b>names</b>: a name with the formula or the rings it belongs to.</div></details>"
)


class RulesPanel(widgets.VBox):
    """Edits the rules of `state`."""

    def __init__(self, state: DefectsState) -> None:
        self.state = state
        self.title = widgets.HTML()
        self.text = widgets.Textarea(continuous_update=True, layout={"width": "100%", "height": "380px"})
        self.text.add_class("an-editor")
        self.verdict = widgets.HTML()
        self.name = widgets.Text(placeholder="my-rules", layout={"width": "100%"})
        self.save = widgets.Button(description="Save as mine", tooltip="Keep it under this name and use it")
        self.reset = widgets.Button(description="Reset", tooltip="Back to the text that is in use")
        for button in (self.save, self.reset):
            button.add_class("an-small")
        line = widgets.HBox([self.name, self.save, self.reset])
        line.add_class("an-line")
        self.where = widgets.HTML(
            f'<p class="an-muted">Your rules lie in {escape(str(user_rules_folder()))}; Python and '
            "<code>atomnb analyze --rules</code> find them by name.</p>"
        )
        super().__init__([self.title, self.text, self.verdict, line, self.where, widgets.HTML(HELP)])
        editing = guarded(state.show_report, "editing the rules")
        self._checked = debounced(editing(self._show_verdict))
        self.text.observe(editing(lambda change: setattr(state, "draft", change["new"])), "value")
        self.save.on_click(guarded(state.show_report, "saving the rules")(lambda _: state.save_draft(self.name.value)))
        self.reset.on_click(editing(lambda _: state.reset_draft()))
        state.observe(lambda _: self._show_draft(), "draft")
        state.observe(lambda _: self._show_title(), ["rules", "rules_version"])
        self._show_draft()
        self._show_title()

    def _show_title(self) -> None:
        self.title.value = f"The rules in use: <b>{escape(self.state.rules)}</b>"
        own = (user_rules_folder() / f"{self.state.rules}.yaml").exists()
        self.name.value = self.state.rules if own else f"my-{self.state.rules}"

    def _show_draft(self) -> None:
        if self.text.value != self.state.draft:
            self.text.value = self.state.draft
        self._checked()

    def _show_verdict(self, *_) -> None:
        problem = self.state.draft_problem
        self.save.disabled = bool(problem)
        good = '<p class="an-good">✓ These rules can be used.</p>'
        self.verdict.value = f'<p class="an-warning">{escape(problem)}</p>' if problem else good
