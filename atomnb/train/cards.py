"""The cards of the shipped models: what each is for, in words."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from atomnb.nets.checkpoint import ModelCard
from atomnb.nets.registry import describe_net
from atomnb.train.recipes import recipe

WORKING = {"pixel_size": 0.22, "spacing_px": [6.0, 8.2], "spacing_range_px": [4.9, 20.0]}
"""How images are brought to the networks; every recipe's scenes lie around it."""

SUMMARY = {
    "universal": "Atomic columns of any lattice, STEM or STM: one class, no element.",
    "graphene-si": "Graphene with silicon: carbon and silicon atoms, told from contamination.",
    "tmd": "MoS2, WS2, WSe2 monolayers: metal, chalcogen pairs, single chalcogens, empty sites.",
    "perovskite": "Perovskites along [001]: A columns, B columns, and oxygen where it shows.",
    "dumbbell": "Si, Ge, III–V and II–VI crystals along [110]: columns of dumbbells, heavier and lighter in compounds.",
}

NOT_FOR = {
    "universal": "Telling elements (use the groups, or a material's own model); images whose neighbouring columns have "
    "no maximum of their own; phase-contrast HRTEM; diffraction patterns. Single atoms on a rough support are found "
    "with many misses and false alarms: check them by eye.",
    "graphene-si": "Other lattices; other dopants, which it calls silicon when they are brighter than carbon.",
    "tmd": "Single sulfur beside the bright tungsten of WS2 below about 1000 electrons per column; MoSe2 and "
    "tellurides, whose chalcogen pairs are brighter than the metal (the names are swapped); bilayers; other polytypes "
    "than 1H; telling the metals or the chalcogens apart.",
    "perovskite": "Other zone axes than [001]; materials whose A and B columns are equally bright; telling B from O "
    "in lead and bismuth titanates, where B is faint; counting vacancies below some 100 electrons per column, where "
    "many are filled. Oxygen in HAADF is placed by the lattice rather than seen.",
    "dumbbell": "Other zone axes than [110]; dumbbells that are not resolved. All dumbbells of a grain vote on its "
    "polarity; where they leave it open, all are 'column': often in InSb, and in GaAs in grains of some 30 dumbbells "
    "or below some 300 electrons per column. The species_score of 'column' says whether they are alike or undecided. "
    "A single antisite is told only where the two elements differ by several times the scatter of a column (InAs, not "
    "GaAs).",
}


TRAINED_ON = {
    "universal": "Fast simulated scenes: crystals of all 2-D symmetries, random crystals, polycrystals, random "
    "networks and sparse atoms, with defects, strain, scan distortion and background; in the last stage surfaces under "
    "a tunnelling tip too.",
}
"""Of recipes whose scenes are not of the material in their name."""

SHIPPED_RUN = {
    "universal": " (the shipped run: on a GPU, --workers 8)",
    "tmd": " (the shipped run: on a GPU, --workers 5)",
    "perovskite": " (the shipped run: on a GPU, --workers 8)",
    "dumbbell": " (the shipped run: on a GPU, --workers 4)",
    "graphene-si": " (the shipped run: on a GPU, --workers 10)",
}
"""How a shipped run differs from its recipe as it is now."""


def model_card(
    name: str,
    net: nn.Module,
    *,
    calibration: Mapping[str, tuple[float, float]],
    accuracy: Mapping[str, str] | None = None,
) -> ModelCard:
    """The card of a model trained by its recipe.

    Parameters
    ----------
    name : of the recipe
    net : trained
    calibration : slope and offset of its scores for "lattice", "single" and "beside …" (`atomnb.locate.calibrate`)
    accuracy : measured, in words, with its source
    """
    chosen = recipe(name)
    scenes = chosen.curriculum[-1][1]
    counts = scenes.counts_per_column
    ranges: dict[str, object] = {
        "neighbour_distance_px_at_network_scale": list(scenes.spacing),
        "electrons_per_column": [min(counts[0], scenes.low_dose[0]), counts[1]],
    }
    if not scenes.material:
        ranges["faintest_column_beside_brightest"] = scenes.faintest_species
        ranges["pixels_per_neighbour_distance_in_the_image"] = "at least 3.2"
    return ModelCard(
        name=name,
        summary=SUMMARY[name],
        classes=chosen.classes,
        architecture=describe_net(net),
        working=WORKING,
        calibration=calibration,
        trained_on=TRAINED_ON.get(name, "Fast simulated scenes of the recipe (atomnb.train.recipes).")
        + " No experimental image.",
        ranges=ranges,
        accuracy=accuracy or {},
        not_for=NOT_FOR[name],
        recipe=f"python -m atomnb.train {name}" + SHIPPED_RUN.get(name, ""),
    )
