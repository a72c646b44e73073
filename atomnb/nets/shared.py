"""Models for analysis: loaded once, and with their weights in the number format that is fastest here."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import torch

from atomnb.nets.checkpoint import Model, load_model, weights_path


def shared_model(name: str | Path = "universal") -> Model:
    """The model that `load_model(name)` gives, kept for as long as its files stay as they are; not to be changed.

    Raises
    ------
    ModelError
    """
    weights = weights_path(name).absolute()
    return _load_once(weights, _stamp(weights), _stamp(weights.with_suffix(".json")))


def has_fast_bf16(device: torch.device) -> bool:
    """Whether bfloat16 is faster than float32 here: on GPUs, and on CPUs with instructions for it."""
    if device.type == "cpu":
        return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return True


@lru_cache(maxsize=4)
def _load_once(weights: Path, _weights_stamp: tuple[int, int], _card_stamp: tuple[int, int]) -> Model:
    model = load_model(weights)
    if has_fast_bf16(torch.device("cpu")):
        model.net.to(torch.bfloat16)  # as autocast would with every image
    return model


def _stamp(path: Path) -> tuple[int, int]:
    """What changes when a file is written anew; a file that is not there is for `load_model` to report."""
    if not path.is_file():
        return (0, 0)
    status = path.stat()
    return (status.st_mtime_ns, status.st_size)
