"""Layouts of one material each, with classes of its own, for models that name what they see."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from atomnb.simulate.layout import Layout, SceneConfig, random_layout
from atomnb.simulate.materials import dumbbell, graphene_si, perovskite, tmd
from atomnb.simulate.stm_scenes import stm_layout


class Material(NamedTuple):
    """How scenes of a material are laid out, and what its classes are called (without the background)."""

    lay_out: Callable[[np.random.Generator, SceneConfig], Layout]
    labels: tuple[str, ...]
    outshining: str | None = None
    """The rare class that is so much brighter than the others that its neighbours are mere shoulders of it."""


ANY = Material(random_layout, ("column",))
"""Any lattice: one class."""

MATERIALS = {
    "": ANY,
    "graphene-si": Material(graphene_si.lay_out, graphene_si.LABELS, outshining="Si"),
    "tmd": Material(tmd.lay_out, tmd.LABELS),
    "perovskite": Material(perovskite.lay_out, perovskite.LABELS),
    "dumbbell": Material(dumbbell.lay_out, dumbbell.LABELS),
}
"""By the `material` of a `SceneConfig`."""


def draw_layout(rng: np.random.Generator, config: SceneConfig) -> Layout:
    """A layout of the kind the config asks for."""
    if config.share_stm and rng.random() < config.share_stm:
        return stm_layout(rng, config)._replace(by_tip=True)
    return MATERIALS[config.material].lay_out(rng, config)


def label_names(config: SceneConfig) -> tuple[str, ...]:
    """Names of the classes after the background."""
    return MATERIALS[config.material].labels
