"""Several models of the same classes as one: their mean, and how far they disagree where none of them has learnt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from atomnb.errors import ModelError
from atomnb.nets.checkpoint import Model
from atomnb.nets.mean_net import MeanNet
from atomnb.nets.registry import describe_net


class EnsembleMaps(NamedTuple):
    """What an ensemble says of an image.

    probability : (C, H, W), the members' mean
    entropy : (H, W) nats, of the mean: all the uncertainty there is
    information : (H, W) nats, its epistemic part: the entropy of the mean less the members' mean entropy, zero where
        all agree, even on a doubtful pixel
    """

    probability: np.ndarray
    entropy: np.ndarray
    information: np.ndarray


def combine_models(models: Sequence[Model], *, name: str) -> Model:
    """An ensemble that can be used wherever a model can: `atomnb.analyze` adds to each atom how far its members differ.

    Saved as one model (`atomnb.nets.checkpoint.save_model(ensemble.net, ensemble.card, folder)`, members loaded with
    `fused=False`), it has a name of its own for the pages and the command line.

    Raises
    ------
    ModelError
        If there are fewer than two models, or they differ in classes or working scale.

    Examples
    --------
    >>> models = [atomnb.load_model(name, fused=False) for name in ("mine-1", "mine-2")]  # doctest: +SKIP
    >>> atomnb.analyze(image, model=combine_models(models, name="mine")).atoms.df["score_spread"]  # doctest: +SKIP
    """
    if len(models) < 2:
        raise ModelError(f"an ensemble needs at least two models, got {len(models)}.")
    first = models[0].card
    for model in models[1:]:
        if model.classes != first.classes or dict(model.card.working) != dict(first.working):
            raise ModelError(
                f"{model.card.name} and {first.name} differ in classes or working scale: an ensemble needs models of "
                "one recipe, trained from different seeds."
            )
    names = ", ".join(model.card.name for model in models)
    net = MeanNet([model.net for model in models]).eval().requires_grad_(False)
    card = replace(first, name=name, summary=f"Mean of {names}.", architecture=describe_net(net), sha256="")
    return Model(net, card)


def combine_maps(maps: Sequence[np.ndarray]) -> EnsembleMaps:
    """Mean probability and uncertainty from the members' maps (C, H, W) of one image at one zoom.

    The information is the mutual information between the class and the member (Houlsby et al. 2011, arXiv:1112.5745).

    Raises
    ------
    ModelError
        If there are fewer than two maps, or their shapes differ.

    Examples
    --------
    >>> maps = combine_maps([predict_probability(image, model, zoom=zoom) for model in models])  # doctest: +SKIP
    """
    shapes = {np.shape(probability) for probability in maps}
    if len(maps) < 2 or len(shapes) > 1:
        raise ModelError(f"expected at least two maps (C, H, W) of one shape, got {len(maps)} of {sorted(shapes)}.")
    mean = np.mean(maps, axis=0, dtype=np.float32)
    total = entropy(mean)
    own = np.mean([entropy(probability) for probability in maps], axis=0, dtype=np.float32)
    return EnsembleMaps(mean, total, np.maximum(total - own, 0))


def entropy(probability: np.ndarray) -> np.ndarray:
    """-Σ p ln p over the classes of a map (C, H, W), in nats."""
    return -(probability * np.log(np.maximum(probability, 1e-12))).sum(axis=0)
