"""The right side of Defects: types, the defect looked at, the rules, files and the code."""

from __future__ import annotations

import ipywidgets as widgets

from atomnb.widgets.debounce import debounced
from atomnb.widgets.defects_detail import DetailPanel
from atomnb.widgets.defects_export import ExportPanel
from atomnb.widgets.defects_rules import RulesPanel
from atomnb.widgets.defects_state import REJECTED, DefectsState
from atomnb.widgets.defects_types import TypesPanel
from atomnb.widgets.jobs import Jobs
from atomnb.widgets.parts import CodePanel, TitleBar
from atomnb.widgets.report import guarded

VIEWS = ("Types", "Defect", "Rules", "Export", "Code")
WITHOUT_SEARCH = ("Rules",)
"""Views that have something to show before anything was found."""

STALE = '<p class="an-warning">Found with earlier settings: press <b>Find defects again</b>.</p>'
NOT_YET = '<p class="an-muted">Types of defects show up here.</p>'


class ResultPanel(widgets.VBox):
    """Shows what `state` found.

    Parameters
    ----------
    page : TitleBar
        Saves files.
    averaging : Jobs
        Makes the average pictures of types.
    """

    def __init__(self, state: DefectsState, *, page: TitleBar, averaging: Jobs) -> None:
        self.state = state
        self.summary = widgets.HTML()
        self.stale = widgets.HTML(STALE)
        self.view = widgets.ToggleButtons(options=VIEWS, style={"button_width": "auto"})
        self.view.add_class("an-segments")
        self.types = TypesPanel(state, averaging=averaging)
        self.detail = DetailPanel(state)
        self.rules = RulesPanel(state)
        self.export = ExportPanel(state, page=page)
        self.code = CodePanel()
        self.boxes = {
            "Types": self.types,
            "Defect": self.detail,
            "Rules": self.rules,
            "Export": self.export,
            "Code": widgets.VBox([self.code]),
        }
        super().__init__([widgets.HTML("<h2>Result</h2>"), self.summary, self.stale, self.view, *self.boxes.values()])
        self.add_class("an-panel")
        self.add_class("an-results")
        showing = guarded(state.show_report, "showing the result")
        later = debounced(showing(self._show))
        state.observe(later, ["found", "confidence", "names", "status", "chosen", "opened", "pixel_size", "model"])
        state.observe(later, ["contrast", "whole_stack", "rules", "rules_version"])
        state.observe(showing(lambda change: self._look(change["new"])), "current")
        self.view.observe(showing(lambda _: self._show()), "value")
        self._show()

    def _look(self, index: int) -> None:
        """Bring the defect that was clicked into sight."""
        if index >= 0 and self.view.value not in ("Defect", "Export"):
            self.view.value = "Defect"
        self._show()

    def _show(self) -> None:
        found = self.state.found is not None
        view = self.view.value
        self.stale.layout.display = None if self.state.stale else "none"
        self.summary.value = self._summary() if found else NOT_YET
        for name, box in self.boxes.items():
            box.layout.display = None if name == view and (found or name in WITHOUT_SEARCH) else "none"
        if not found:
            return
        if view == "Types":
            self.types.show()
        elif view == "Defect":
            self.detail.show()
        elif view == "Export":
            self.export.show()
        elif view == "Code":
            self.code.code = self.state.code()

    def _summary(self) -> str:
        state = self.state
        listed = state.listed
        kept = listed[listed["status"] != REJECTED]
        atoms = len(state.found.analysis.atoms)
        facts = [
            ("atoms", f"{atoms:,}".replace(",", " "), "In all frames analysed"),
            (
                "defect" if len(kept) == 1 else "defects",
                str(len(kept)),
                "As certain as asked for, without the rejected ones",
            ),
            ("type" if kept["name"].nunique() == 1 else "types", str(kept["name"].nunique()), "Different names"),
        ]
        if len(kept) < len(listed):
            facts.append(("rejected", str(len(listed) - len(kept)), "By you"))
        html = "".join(f'<div title="{tip}"><b>{value}</b>{name}</div>' for name, value, tip in facts)
        return f'<div class="an-numbers">{html}</div>'
