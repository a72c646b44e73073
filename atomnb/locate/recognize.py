"""Which model and rules suit an image: the universal model looks at its middle, and the lattice is recognised."""

from __future__ import annotations

from dataclasses import replace

from atomnb.data.atoms import AtomTable
from atomnb.data.micrograph import Micrograph, as_micrograph
from atomnb.locate.crystal import Crystal, crystal_of
from atomnb.locate.messages import NO_LATTICE
from atomnb.locate.pipeline import analyze
from atomnb.said import gathered_warnings
from atomnb.scale import estimate_scale

SIDE = 640
"""Part of the image that is looked at, px, at least."""

SPACINGS = 24
"""And this many distances of neighbours."""


def recognize_crystal(image, *, pixel_size: float | None = None, contrast: str = "auto") -> Crystal | None:
    """The crystal that an image looks like, and the model and the rules that suit it; None if it is no known one.

    Takes about as long as analysing 640² px. For a stack the first frame is looked at.

    Parameters
    ----------
    image, pixel_size, contrast : as for `atomnb.analyze`

    Raises
    ------
    ImageError, CalibrationError

    Examples
    --------
    >>> import atomnb
    >>> atomnb.recognize_crystal(atomnb.sample_image("si-110")).model
    'dumbbell'
    """
    atoms = look_at_middle(as_micrograph(image, pixel_size=pixel_size), contrast=contrast)
    return None if atoms is None else crystal_of(atoms)


def look_at_middle(image: Micrograph, *, contrast: str = "auto") -> AtomTable | None:
    """The atoms in the middle of an image by the universal model; None where it shows no lattice."""
    middle = _middle(image)
    if middle.data.min() == middle.data.max():
        return None
    with gathered_warnings():
        found = analyze(middle, model="universal", contrast=contrast)
    return None if NO_LATTICE in found.messages else found.atoms


def _middle(image: Micrograph) -> Micrograph:
    """One frame's middle, large enough to hold the lattice many times."""
    pixels = image.frame(0)
    spacing = estimate_scale(pixels).spacing_px or 0.0
    side = max(SIDE, int(SPACINGS * spacing))
    start = [max(0, (n - side) // 2) for n in pixels.shape]
    return replace(image, data=pixels[start[0] : start[0] + side, start[1] : start[1] + side])
