"""Elements and column contents where the network only says "column": the site by geometry, the content by brightness.

In an annular dark-field image of a thin object a column is about as bright as Σ Z^1.7 over its atoms. On which kind of
site an atom stands is told by its neighbours; what stands there by its brightness against that of the usual content of
such sites, as the most probable component of a mixture whose centres the rules and Z^1.7 give.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix

from atomnb.data.atoms import AtomTable
from atomnb.data.elements import ATOMIC_NUMBERS
from atomnb.errors import AtomnbError
from atomnb.graph.rules import RuleSet, Species, load_rules

EXPONENT = 1.7
"""Brightness in an annular dark-field image goes with this power of the atomic number (1.6 to 1.8 by detector)."""

RARE = 0.01
"""Share expected beforehand of each content other than the usual one of a site."""

LEAST_SPREAD = 0.05
"""Standard deviation of ln(brightness) among equal columns, at least: their shapes and backgrounds differ."""

_ROUNDS = 3


def assign_species(atoms: AtomTable, *, rules, neighbors, exponent: float = EXPONENT) -> AtomTable:
    """The same table with `species` named by the rules, and `species_score`, the probability of that name.

    Parameters
    ----------
    atoms : AtomTable of one frame with `intensity`
    rules : name of a rule set, path of a YAML file, or RuleSet
    neighbors : Neighbors of these atoms, drawn without regard to their species
    exponent : of the atomic number, in brightness

    Raises
    ------
    AtomnbError
        Without intensities there is nothing to tell the species by.
    """
    rules = load_rules(rules)
    intensity = atoms.df["intensity"].to_numpy(float)
    if len(atoms) and not np.isfinite(intensity).any():
        raise AtomnbError(
            "the atoms have neither species nor intensities: use a model that names them, pass `species`, or analyse "
            "the image with refine=True."
        )
    bright = np.log(np.where(intensity > 0, intensity, np.nan))
    bright = np.where(np.isfinite(bright), bright, np.nanmin(bright) if np.isfinite(bright).any() else 0.0)
    sites = sites_by_contrast(bright, neighbors, rules, exponent)
    names, scores = _contents(bright, sites, rules, exponent)
    df = atoms.df.assign(species=names, species_score=scores)
    return AtomTable(df, atoms.pixel_size, atoms.shape, atoms.provenance)


def sites_by_contrast(bright: np.ndarray, neighbors, rules: RuleSet, exponent: float) -> np.ndarray:
    """Kind of host site (N,) from ln(brightness) (N,): whether an atom is brighter than its neighbours, by majority."""
    kinds = rules.host.sites
    if len(kinds) == 1 or not len(bright):
        return np.full(len(bright), kinds[0], object)
    i, j = neighbors.pairs.T
    n = len(bright)
    one = csr_matrix((np.ones(2 * len(i)), (np.concatenate([i, j]), np.concatenate([j, i]))), shape=(n, n))
    count = np.maximum(neighbors.coordination, 1)
    side = np.sign(bright - one @ bright / count)
    for _ in range(_ROUNDS):
        same = one @ (one @ side) - neighbors.coordination * side
        vote = same - 2 * (one @ side) + 0.5 * side
        side = np.where(vote == 0, side, np.sign(vote))
    brighter, fainter = kinds
    if expected_brightness(_usual(rules, kinds[1]), exponent) > expected_brightness(_usual(rules, kinds[0]), exponent):
        brighter, fainter = fainter, brighter
    return np.where(side > 0, brighter, fainter).astype(object)


def _usual(rules: RuleSet, site: str) -> Species:
    return next(s for s in rules.species.values() if s.site == site)


def expected_brightness(species: Species, exponent: float = EXPONENT) -> float:
    """Σ Z^exponent of a column; a letter that is no element ('M', 'X') counts as 1."""
    return sum(n * ATOMIC_NUMBERS.get(element, 1) ** exponent for element, n in species.content.items())


def _contents(bright: np.ndarray, sites: np.ndarray, rules: RuleSet, exponent: float):
    """Name and probability (N,) of each atom's species."""
    names = np.full(len(bright), "", object)
    scores = np.ones(len(bright))
    for site in rules.host.sites:
        here = np.flatnonzero(sites == site)
        if not len(here):
            continue
        usual = next(name for name, s in rules.species.items() if s.site == site)
        options = _options(rules, usual, exponent)
        centre = np.median(bright[here])
        spread = max(LEAST_SPREAD, 1.4826 * float(np.median(np.abs(bright[here] - centre))))
        means = centre + np.array([shift for _, shift in options])
        prior = np.log(np.array([1.0 - RARE * (len(options) - 1), *([RARE] * (len(options) - 1))]))
        log_p = prior - 0.5 * ((bright[here, None] - means) / spread) ** 2
        log_p -= np.logaddexp.reduce(log_p, axis=1, keepdims=True)
        best = log_p.argmax(axis=1)
        names[here] = [options[k][0] for k in best]
        scores[here] = np.exp(log_p[np.arange(len(here)), best])
    return names, scores


def _options(rules: RuleSet, usual: str, exponent: float) -> list[tuple[str, float]]:
    """The contents a site may have and ln of their brightness against the usual one's, which comes first."""
    base = expected_brightness(rules.species[usual], exponent)
    contents = {tuple(rules.species[usual].content.items()): usual}
    for name, species in rules.species.items():
        contents.setdefault(tuple(species.content.items()), name)
    return [
        (name, float(np.log(expected_brightness(rules.species[name], exponent) / base))) for name in contents.values()
    ]
