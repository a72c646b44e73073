"""How good a network is while it learns: its score on unseen scenes, and what it sees in one and in a real frame."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from atomnb.errors import AtomnbError
from atomnb.io.atomic import atomic_path
from atomnb.locate.peaks import find_peaks
from atomnb.metrics import match_positions
from atomnb.nets.checkpoint import Model
from atomnb.nets.normalize import normalize
from atomnb.said import gathered_warnings
from atomnb.simulate.batch import Batch

PREVIEW_FILE, FRAME_FILE = "preview.npz", "frame.npz"
BORDER = 6
"""px; atoms so near the border of a scene are not counted."""

TOLERANCE = 2.2
"""px at the network's scale within which a peak is the atom."""

REAL_SIDE = 384
"""px of a real frame that are looked at, from its middle."""


class Preview(NamedTuple):
    """Unseen scene and real frame, and what the network sees: probabilities (K + 1, H, W), atoms (N, 3) y, x, class.

    The real frame's arrays are empty where there is none, or where it could not be analysed (`note` says why).
    """

    scene: np.ndarray
    truth: np.ndarray
    scene_probability: np.ndarray
    real: np.ndarray
    real_probability: np.ndarray
    found: np.ndarray
    note: str = ""


@torch.inference_mode()
def score(net: nn.Module, batches: list[Batch]) -> float:
    """F1 of atoms found at their place and with their class."""
    hits = found_in_all = true_in_all = 0
    for batch in batches:
        for probability, labels, weights in zip(predicted(net, batch.images), batch.labels, batch.weights, strict=True):
            found = atoms_in(probability, weights.numpy())
            true = atoms_in(with_background(labels.numpy()), weights.numpy())
            pairs = match_positions(found[:, :2], true[:, :2], tolerance=TOLERANCE).pairs
            hits += int((found[pairs[:, 0], 2] == true[pairs[:, 1], 2]).sum())
            found_in_all += len(found)
            true_in_all += len(true)
    return 2 * hits / max(1, found_in_all + true_in_all)


@torch.inference_mode()
def predicted(net: nn.Module, images: torch.Tensor) -> np.ndarray:
    """Class probabilities (B, K + 1, H, W) of images (B, H, W)."""
    device = next(net.parameters()).device
    logits = net(normalize(images[:, None]).to(device, memory_format=torch.channels_last))
    return torch.softmax(logits.float(), dim=1).cpu().numpy()


def with_background(labels: np.ndarray) -> np.ndarray:
    """Labels (K, H, W) with the background before them, (K + 1, H, W)."""
    return np.concatenate([np.clip(1 - labels.sum(axis=0, keepdims=True), 0, None), labels])


def atoms_in(probability: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Atoms (N, 3) as y, x, class from 0 in probabilities (K + 1, H, W), away from the border and from doubt."""
    peaks = find_peaks(1 - probability[0], threshold=0.5).positions_yx
    shape = np.array(probability.shape[1:])
    index = np.round(peaks).astype(int).clip(0, shape - 1)
    kept = ((index >= BORDER) & (index < shape - BORDER)).all(axis=1)
    if weights is not None:
        kept &= weights[tuple(index.T)] > 0
    kind = probability[1:, index[:, 0], index[:, 1]].argmax(axis=0) if len(index) else np.zeros(0)
    return np.column_stack([peaks, kind])[kept]


def preview_of(net: nn.Module, card, batch: Batch, run_dir: Path) -> Preview:
    """What the network sees now; `card` tells how frames are brought to it."""
    probability = predicted(net, batch.images[:1])[0]
    truth = atoms_in(with_background(batch.labels[0].numpy()))
    empty = (np.zeros((0, 0)), np.zeros((0, 0, 0)), np.zeros((0, 3)))
    real, note = empty, ""
    try:
        frame, pixel_size = read_frame(run_dir)
        if frame.size:
            real = _look(net, card, frame, pixel_size)
    except (AtomnbError, OSError) as error:
        note = str(error)
    return Preview(batch.images[0].numpy(), truth, probability, *real, note)


def _look(net: nn.Module, card, frame: np.ndarray, pixel_size: float | None):
    import atomnb

    with gathered_warnings():  # an unfinished network's complaints about the scale say nothing about the frame
        found = atomnb.analyze(frame, model=Model(net, card), pixel_size=pixel_size, refine=False, threshold=0.5)
    df = found.atoms.df
    kinds = {name: k for k, name in enumerate(card.classes[1:])}
    marks = np.column_stack([df["y"], df["x"], [kinds.get(name, 0) for name in df["species"]]])
    return frame, np.asarray(found.probability, np.float32), marks


def write_frame(run_dir: Path, image: np.ndarray, pixel_size: float | None) -> None:
    """Keep the middle of a real frame where the run looks for it."""
    middle = tuple(slice(max(0, (n - REAL_SIDE) // 2), max(0, (n - REAL_SIDE) // 2) + REAL_SIDE) for n in image.shape)
    with atomic_path(Path(run_dir) / FRAME_FILE) as path:
        np.savez(path, image=np.asarray(image, np.float32)[middle], pixel_size=pixel_size or 0.0)


def read_frame(run_dir: Path) -> tuple[np.ndarray, float | None]:
    """The real frame (empty when there is none) and its pixel size."""
    path = Path(run_dir) / FRAME_FILE
    if not path.exists():
        return np.zeros((0, 0), np.float32), None
    with np.load(path, allow_pickle=False) as held:
        return held["image"], float(held["pixel_size"]) or None


def write_preview(run_dir: Path, preview: Preview) -> None:
    """Keep the preview for the page."""
    with atomic_path(Path(run_dir) / PREVIEW_FILE) as path:
        np.savez(path, **preview._asdict())


def read_preview(run_dir: Path) -> Preview | None:
    """The last preview of a run; None when there is none."""
    path = Path(run_dir) / PREVIEW_FILE
    if not path.exists():
        return None
    with np.load(path, allow_pickle=False) as held:
        values = {name: held[name] for name in Preview._fields}
    return Preview(**values | {"note": str(values["note"])})
