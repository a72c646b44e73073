"""The Python behind the defects on the page."""

from __future__ import annotations

from typing import NamedTuple

from atomnb.widgets.find_atoms_code import Request, analysis_lines


class DefectsRequest(NamedTuple):
    """The settings by which defects are found: those of the atoms, the rules by name, and their text at that time."""

    atoms: Request
    rules: str
    text: str

    @property
    def frame(self) -> int | None:
        """Which frame is analysed; None for a single image or a whole stack."""
        return self.atoms.frame


def defects_code(request: DefectsRequest, *, confidence: float, named: bool, rejected: list[int]) -> str:
    """Python that gives the same table of defects.

    Parameters
    ----------
    request : what was analysed
    confidence : the lowest listed
    named : whether names of the user's own are in use
    rejected : rows the user has rejected
    """
    lines = analysis_lines(request.atoms, rules=request.rules)
    if named:
        lines.insert(1, "from atomnb.graph.names import (\n    apply_names,\n    load_names,\n)")
        lines += ["defects = apply_names(\n    analysis.defects, load_names()\n)"]
    else:
        lines += ["defects = analysis.defects"]
    if rejected:
        lines += [f"defects = defects.drop({rejected})"]
    lines += [f'sure = defects["confidence"] >= {confidence:.2f}', "defects = defects[sure]", ""]
    return "\n".join([*lines, 'defects.to_csv("defects.csv", index=False)'])
