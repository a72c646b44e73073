"""The architectures by name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields

import torch
from torch import nn

from atomnb.errors import ModelError
from atomnb.nets.dilated import DilatedConfig, DilatedFCN
from atomnb.nets.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from atomnb.nets.mean_net import MeanNet
from atomnb.nets.resunet import ResUNet, ResUNetConfig
from atomnb.nets.unet import UNet, UNetConfig

ARCHITECTURES = {
    "unet": (UNet, UNetConfig),
    "resunet": (ResUNet, ResUNetConfig),
    "dilated": (DilatedFCN, DilatedConfig),
    "encoder-decoder": (EncoderDecoder, EncoderDecoderConfig),
}
"""Network and frozen config by name. Each network takes normalised images (B, 1, H, W), gives logits (B, C, H, W) of
the same size, and holds its `config` and its `stride`, of which H and W must be multiples."""

ENSEMBLE = "ensemble"
"""Name of several networks used as one; its only option is `members`, what `describe_net` says of each."""


def create_net(name: str = "unet", options: dict | None = None, *, seed: int | None = None) -> nn.Module:
    """A new network with random weights.

    Parameters
    ----------
    name : a key of `ARCHITECTURES`, or 'ensemble'
    options : fields of the architecture's config; unknown ones are an error
    seed : the same one gives the same weights, others to each member of an ensemble; None goes on with torch's stream
        of random numbers

    Raises
    ------
    ModelError
    """
    if seed is not None:
        with seeded(seed):
            return create_net(name, options)
    if name == ENSEMBLE:
        return MeanNet([create_net(member["name"], member["options"]) for member in (options or {})["members"]])
    if name not in ARCHITECTURES:
        raise ModelError(f"unknown architecture {name!r}: choose one of {sorted(ARCHITECTURES)}.")
    net, config = ARCHITECTURES[name]
    known = {f.name for f in fields(config)}
    unknown = set(options or {}) - known
    if unknown:
        raise ModelError(f"{name} has no option {sorted(unknown)}: it knows {sorted(known)}.")
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in (options or {}).items()}
    return net(config(**values))


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Random numbers of torch from `seed` within, and outside as if nothing had been drawn."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def describe_net(net: nn.Module) -> dict:
    """Name and options from which `create_net` makes the same network."""
    if isinstance(net, MeanNet):
        return {"name": ENSEMBLE, "options": {"members": [describe_net(member) for member in net.members]}}
    for name, (kind, _) in ARCHITECTURES.items():
        if isinstance(net, kind):
            return {"name": name, "options": asdict(net.config)}
    raise ModelError(f"{type(net).__name__} is not in the registry: add it to ARCHITECTURES.")
