"""The alternative the method rejected: a classifier of whole images whose class-activation maps point at defects.

It learns from labels of images ("there is a vacancy somewhere"), never of pixels. After Zhou et al., arXiv:1512.04150:
the mean of a feature over the image enters the class score with a weight; the same weights on the features themselves
show where the score comes from.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import nn

from atomnb.errors import ImageError, ModelError
from atomnb.nets.normalize import normalize

PEAK_SHARE = 0.5
"""The centre of a peak is that of the part above this share of its height over the map's lowest value."""


@dataclass(frozen=True)
class CamConfig:
    """Number of classes, and filters of the three convolutions."""

    n_classes: int = 5
    widths: tuple[int, int, int] = (64, 128, 256)


class CamClassifier(nn.Module):
    """Normalised images (B, 1, H, W) to class logits (B, C).

    The published classifier of defects in WS2: 3 × 3 convolutions with ReLU, pooling after the first and the second,
    global average pooling, softmax (in the loss); 371 k parameters for five classes.
    """

    stride = 4

    def __init__(self, config: CamConfig | None = None):
        super().__init__()
        self.config = config = config or CamConfig()
        first, second, third = config.widths
        self.features = nn.Sequential(
            *(nn.Conv2d(1, first, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2)),
            *(nn.Conv2d(first, second, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2)),
            *(nn.Conv2d(second, third, 3, padding=1), nn.ReLU(inplace=True)),
        )
        self.head = nn.Linear(third, config.n_classes)
        for layer in self.features[::3]:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(images).mean(dim=(2, 3)))


def create_classifier(options: dict | None = None) -> CamClassifier:
    """A new classifier with random weights.

    Parameters
    ----------
    options : fields of `CamConfig`; unknown ones are an error

    Raises
    ------
    ModelError
    """
    known = {f.name for f in fields(CamConfig)}
    unknown = set(options or {}) - known
    if unknown:
        raise ModelError(f"the classifier has no option {sorted(unknown)}: it knows {sorted(known)}.")
    return CamClassifier(CamConfig(**(options or {})))


@torch.inference_mode()
def classify(net: CamClassifier, images: np.ndarray) -> np.ndarray:
    """Class probabilities (B, C) of images (B, H, W)."""
    return torch.softmax(net(_normalized(images)), dim=1).numpy()


@torch.inference_mode()
def class_activation_map(net: CamClassifier, image: np.ndarray) -> np.ndarray:
    """How much each place of the image adds to the score of each class.

    Parameters
    ----------
    net : the classifier, in evaluation mode
    image : (H, W)

    Returns
    -------
    (C, H, W) float32, enlarged from a quarter of the size; its mean over the image is the logit without the bias,
    but for what enlarging changes.

    Raises
    ------
    ImageError
        If the image is not (H, W), or its sides are no multiples of 4.
    """
    image = np.asarray(image)
    if image.ndim != 2 or image.shape[0] % net.stride or image.shape[1] % net.stride:
        raise ImageError(
            f"a class-activation map needs an image (H, W) whose sides are multiples of {net.stride} px, got shape "
            f"{image.shape}: cut it."
        )
    features = net.features(_normalized(image[None]))
    maps = torch.einsum("ck,bkhw->bchw", net.head.weight, features)
    return F.interpolate(maps, size=image.shape, mode="bilinear", align_corners=False)[0].numpy()


def locate_activation(activation: np.ndarray) -> np.ndarray:
    """Position (2,) px of the highest peak of a map (H, W): the centre of mass of its upper half."""
    height = activation - activation.min()
    top = np.unravel_index(height.argmax(), height.shape)
    parts, _ = ndimage.label(height >= PEAK_SHARE * height[top])
    return np.array(ndimage.center_of_mass(height - PEAK_SHARE * height[top], parts, parts[top]))


def _normalized(images: np.ndarray) -> torch.Tensor:
    return normalize(torch.from_numpy(np.array(images, np.float32))[:, None])
