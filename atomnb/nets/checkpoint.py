"""Models on disk: weights as safetensors, everything else as a JSON card beside them. Nothing is ever unpickled."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atomnb.errors import AtomnbWarning, ModelError
from atomnb.said import gathered_warnings, warn

if TYPE_CHECKING:
    from torch import nn

WEIGHTS_DIR = Path(__file__).with_name("weights")
MODELS_VARIABLE = "ATOMNB_MODELS"
"""Environment variable that names the folder of the user's own models."""

VACANCY = "vacancy"
"""Name of the class of empty sites, which are found but are no atoms."""

_MAPPINGS = ("architecture", "working", "calibration", "ranges", "accuracy")
_TEXTS = ("name", "summary", "trained_on", "not_for", "recipe", "sha256")

FORMAT = 1
"""Version of the card layout; a card of another version is refused with a clear error."""


@dataclass(frozen=True)
class ModelCard:
    """What a model is, what it was trained on, how well it does, and when not to use it."""

    name: str
    summary: str
    classes: tuple[str, ...]
    architecture: Mapping[str, Any]
    working: Mapping[str, Any]
    """How images are brought to the network: `pixel_size` Å, the `spacing_px` it likes, `spacing_range_px`."""
    calibration: Mapping[str, tuple[float, float]] = field(
        default_factory=lambda: {"lattice": (1.0, 0.0), "single": (1.0, 0.0)}
    )
    """Slope and offset that turn the logit of a peak's summed probability into that of an atom being there, on a
    lattice, for single atoms on a support, and where it has such an entry beside a brighter class ("beside Si")."""
    trained_on: str = ""
    ranges: Mapping[str, Any] = field(default_factory=dict)
    accuracy: Mapping[str, Any] = field(default_factory=dict)
    not_for: str = ""
    recipe: str = ""
    sha256: str = ""
    format: int = FORMAT

    def to_dict(self) -> dict[str, Any]:
        return {k: (list(v) if isinstance(v, tuple) else v) for k, v in self.__dict__.items()}


@dataclass(frozen=True, eq=False)
class Model:
    """A network ready for inference, with its card."""

    net: nn.Module
    card: ModelCard

    @property
    def classes(self) -> tuple[str, ...]:
        return self.card.classes

    @property
    def atom_classes(self) -> list[int]:
        """Indices of the classes that are atoms: neither the background nor an empty site."""
        return [i for i, name in enumerate(self.classes) if i > 0 and name != VACANCY]


def user_models_folder() -> Path:
    """Where the user's own models lie: the environment variable ATOMNB_MODELS, else ~/.local/share/atomnb/models.

    The folder need not exist.
    """
    own = os.environ.get(MODELS_VARIABLE)
    return Path(own).expanduser() if own else Path.home() / ".local" / "share" / "atomnb" / "models"


def list_models(folder: Path | None = None) -> list[ModelCard]:
    """Cards of the models in `folder`; by default of those shipped with atomnb, then of the user's own.

    A user's model of a shipped name is hidden, because `load_model` gives the shipped one; a card of the user's that
    cannot be read is left out with a warning.
    """
    if folder is not None:
        return [read_card(path) for path in sorted(folder.glob("*.json"))]
    shipped = list_models(WEIGHTS_DIR)
    return shipped + _user_cards(hidden={card.name for card in shipped})


def _user_cards(*, hidden: set[str]) -> list[ModelCard]:
    cards = []
    for path in sorted(user_models_folder().glob("*.json")):
        try:
            card = read_card(path)
            if card.name != path.stem:
                raise ModelError(f"{path} is the card of {card.name!r}: name both of its files after the model.")
        except ModelError as error:
            warn(f"a model of yours was left out: {error}", AtomnbWarning, stacklevel=3)
            continue
        if card.name not in hidden and path.with_suffix(".safetensors").is_file():
            cards.append(card)
    return cards


def load_model(name: str | Path = "universal", *, device: str = "cpu", fused: bool = True) -> Model:
    """A model by name, shipped with atomnb or in `user_models_folder()`, or any by the path of its `.safetensors` file.

    Parameters
    ----------
    fused : fold the batch normalisation into the convolutions, for speed; False to train or save the network again

    Raises
    ------
    ModelError
        If there is no such model, its card is damaged or of another version, or the weights do not fit the card.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load

    from atomnb.nets.registry import create_net

    weights = weights_path(name)
    card = read_card(weights.with_suffix(".json"))
    content = weights.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if card.sha256 and digest != card.sha256:
        raise ModelError(f"{weights.name} does not match its card (SHA-256 {digest[:12]}…): copy both files again.")
    net = create_net(card.architecture["name"], dict(card.architecture["options"]))
    try:
        net.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in load(content).items()})
    except (SafetensorError, RuntimeError) as error:
        raise ModelError(f"{weights.name} cannot be loaded into {card.architecture['name']}: {error}") from error
    net.eval().requires_grad_(False)
    if fused:
        fuse_batch_norm(net)
    return Model(net.to(device=device, memory_format=torch.channels_last), card)


def fuse_batch_norm(net: nn.Module) -> None:
    """Fold each batch normalisation into the convolution before it, in place: the same function, a fifth faster."""
    from torch import nn
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    for block in list(net.modules()):
        if isinstance(block, nn.Sequential) and len(block) > 1 and isinstance(block[1], nn.BatchNorm2d):
            block[0] = fuse_conv_bn_eval(block[0], block[1])
            block[1] = nn.Identity()


def save_model(net: nn.Module, card: ModelCard, folder: Path) -> Path:
    """Write `<name>.safetensors` (half precision) and `<name>.json`; returns the path of the weights."""
    from dataclasses import replace

    from safetensors.torch import save

    from atomnb.io.atomic import atomic_path

    state = {
        k: v.detach().cpu().half().contiguous() if v.is_floating_point() else v.cpu()
        for k, v in net.state_dict().items()
    }
    content = save(state)
    card = replace(card, sha256=hashlib.sha256(content).hexdigest())
    path = Path(folder) / f"{card.name}.safetensors"
    text = json.dumps(card.to_dict(), indent=2, ensure_ascii=False) + "\n"
    with atomic_path(path) as weights, atomic_path(path.with_suffix(".json")) as described:
        weights.write_bytes(content)
        described.write_text(text, encoding="utf-8")
    return path


def read_card(path: Path) -> ModelCard:
    """The card in a JSON file.

    Raises
    ------
    ModelError
    """
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"))
        if values.get("format") != FORMAT:
            raise ModelError(
                f"{path} has card format {values.get('format')!r}, not {FORMAT}: update atomnb or the model."
            )
        values["classes"] = tuple(values["classes"])
        card = ModelCard(**values)
    except (OSError, AttributeError, TypeError, KeyError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ModelError(f"{path} is not a readable model card ({error}).") from error
    wrong = [k for k in _MAPPINGS if not isinstance(getattr(card, k), dict)]
    wrong += [k for k in _TEXTS if not isinstance(getattr(card, k), str)]
    if wrong:
        raise ModelError(f"{path} is not a readable model card ({', '.join(wrong)} of another type than expected).")
    return card


def weights_path(name: str | Path) -> Path:
    """The `.safetensors` file of a model by name, or the path itself.

    Raises
    ------
    ModelError
        If there is none.
    """
    path = Path(name)
    if path.suffix == ".safetensors":
        if not path.is_file():
            raise ModelError(f"there is no model file {path}.")
        return path
    for folder in (WEIGHTS_DIR, user_models_folder()):
        path = folder / f"{name}.safetensors"
        if path.is_file() and path.parent == folder:
            return path
    with gathered_warnings():  # of models that cannot be read nobody asked here
        known = ", ".join(card.name for card in list_models())
    raise ModelError(
        f"there is no model {str(name)!r}: choose one of {known}, or give the path of a .safetensors file."
    )
