"""The recipes of the shipped models: which scenes, in which order, for how many steps."""

from __future__ import annotations

from dataclasses import dataclass, replace

from atomnb.errors import ModelError
from atomnb.simulate.layout import SceneConfig
from atomnb.simulate.materials import label_names
from atomnb.train.patches import Curriculum


@dataclass(frozen=True)
class Recipe:
    """What `python -m atomnb.train NAME` does.

    curriculum : pairs of (first batch, scenes from there on)
    steps : batches in all
    net : a key of `atomnb.nets.registry.ARCHITECTURES`
    """

    curriculum: Curriculum
    steps: int
    net: str = "unet"

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, background first."""
        return ("background", *label_names(self.curriculum[0][1]))


_DENSE = SceneConfig(
    typical_spacing=7.5,
    spacing=(4.9, 20.0),
    sigma=(0.95, 4.0),
    share_low_dose=0.5,
    share_crystal=0.46,
    share_sparse=0.10,
)

_HARDEST = replace(
    _DENSE,
    typical_spacing=7.0,
    visible_over_texture=3.2,
    share_low_dose=0.6,
    low_dose=(25.0, 180.0),
    share_crystal=0.52,
    share_honeycomb=0.3,
    share_sparse=0.16,
)

UNIVERSAL = Recipe(
    curriculum=(
        (0, SceneConfig()),
        # Once the shapes are learnt, what is left to learn is in the noise, and in more of the lattice seen at once.
        (4800, _DENSE),
        # Single atoms on a rough support: call only what stands out of the roughness.
        (5300, replace(_DENSE, visible_over_texture=3.2, share_sparse=0.16)),
        # The hardest: dense lattices at the lowest doses.
        (8900, _HARDEST),
        # Last, beside them, surfaces under a tunnelling tip.
        (12500, replace(_HARDEST, share_stm=0.15)),
    ),
    steps=16000,
)


def _of_material(scenes: SceneConfig, *, steps: int = 2500) -> Recipe:
    """First at any dose, then half of them at low ones.

    2500 steps take half an hour on two cores, half of that where the processor knows bfloat16.
    """
    return Recipe(((0, scenes), (1200, replace(scenes, share_low_dose=0.5))), steps=steps)


_SHEET = SceneConfig(
    sigma=(0.95, 4.0), low_dose=(30.0, 400.0), counts_per_column=(30.0, 20000.0), share_inverted=0.02, share_bent=0.0
)

_WHOLE_SHEET = replace(_SHEET, shoulders=True)
"""Sheets in which those atoms are taught, too, that are mere shoulders of brighter ones beside them."""

RECIPES = {
    "universal": UNIVERSAL,
    "graphene-si": _of_material(
        replace(
            _WHOLE_SHEET,
            material="graphene-si",
            typical_spacing=7.0,
            spacing=(4.9, 10.0),
            spacing_over_sigma=(2.6, 4.6),
            low_dose=(18.0, 400.0),
        ),
        steps=12000,
    ),
    "tmd": _of_material(
        replace(_WHOLE_SHEET, material="tmd", typical_spacing=7.5, spacing=(4.9, 11.0), spacing_over_sigma=(2.65, 6.0)),
        steps=6000,
    ),
    "perovskite": _of_material(
        replace(
            _SHEET,
            material="perovskite",
            typical_spacing=6.0,
            spacing=(4.0, 10.0),
            spacing_over_sigma=(2.4, 6.0),
            share_inverted=0.3,
        ),
        steps=4000,
    ),
    "dumbbell": _of_material(
        replace(
            _WHOLE_SHEET, material="dumbbell", typical_spacing=6.8, spacing=(4.9, 10.0), spacing_over_sigma=(2.5, 6.0)
        ),
        steps=8000,
    ),
}
"""Recipes of the shipped models by name."""


def recipe(name: str) -> Recipe:
    """The recipe of a shipped model.

    Raises
    ------
    ModelError
    """
    if name not in RECIPES:
        raise ModelError(f"there is no recipe {name!r}: choose one of {', '.join(RECIPES)}.")
    return RECIPES[name]
