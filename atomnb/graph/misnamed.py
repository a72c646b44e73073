"""Names that cannot be: a network that called the brighter kind of column what the rules say is the fainter one.

A network taught that the metal of a dichalcogenide outshines the chalcogens names MoSe2 the wrong way round. Who gives
the rules of MoSe2 knows better.
"""

from __future__ import annotations

import numpy as np

from atomnb.data.atoms import AtomTable
from atomnb.graph.rules import RuleSet
from atomnb.graph.species import LEAST_COLUMNS, elements_known, expected_brightness

CLEAR = 0.15
"""ln of the ratio of brightness from which an order counts, expected or found."""


def is_misnamed(atoms: AtomTable, rules: RuleSet) -> bool:
    """Whether the two kinds of sites of the crystal, as named in the table, are bright in the order opposite to Z^1.7.

    Never where the names are not a network's, the rules name no elements, or one of the kinds hardly occurs.
    """
    known = "species_score" in atoms.df and len(rules.host.sites) == 2 and elements_known(rules)
    if not known or not rules.projected:
        return False
    found = [_brightness(atoms, rules, site) for site in rules.host.sites]
    if any(np.isnan(found)):
        return False
    usual = [next(s for s in rules.species.values() if s.site == site) for site in rules.host.sites]
    expected = np.log(expected_brightness(usual[0]) / expected_brightness(usual[1]))
    measured = found[0] - found[1]
    return bool(expected * measured < 0 and min(abs(expected), abs(measured)) > CLEAR)


def _brightness(atoms: AtomTable, rules: RuleSet, site: str) -> float:
    """Median of ln(brightness) of the columns named as those at home on a site; NaN if they are few."""
    home = [name for name, s in rules.species.items() if s.site == site]
    intensity = atoms.df["intensity"].to_numpy(float)[np.isin(atoms.df["species"].to_numpy(str), home)]
    seen = intensity[intensity > 0]
    return float(np.median(np.log(seen))) if len(seen) >= LEAST_COLUMNS else np.nan
