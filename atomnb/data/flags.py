"""Flag: the one list of quality flags an atom can carry."""

from enum import IntFlag


class Flag(IntFlag):
    """Quality flags of an atom; `flags == 0` means nothing to remark."""

    BORDER = 1
    """Closer to the border than its fitting window."""
    NOT_CONVERGED = 2
    """The refinement did not converge: the position is the network's, the error is not reliable."""
    MOVED_FAR = 4
    """The refinement moved too far and was undone: the position is the network's."""
    OVERLAP = 8
    """A neighbour is so near that the two were fitted jointly with strong correlation."""
    SATURATED = 16
    """Pixels under the atom are clipped by the detector."""
    LOW_SIGNAL = 32
    """Too few counts for an unbiased fit to improve on the network's position, which was kept."""

    @classmethod
    def describe(cls, value: int) -> str:
        """The flags in `value` in words, for example 'border, overlap'."""
        return ", ".join(f.name.lower().replace("_", " ") for f in cls if f & value)
