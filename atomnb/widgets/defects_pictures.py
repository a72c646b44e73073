"""Pictures of types of defects: an example at once, then the average of members laid on one another, made in a job."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from atomnb.errors import AtomnbError
from atomnb.widgets.defects_state import DefectsState
from atomnb.widgets.jobs import Jobs

MOST = 16
"""Members of a type that are averaged, the most certain."""

LARGE = 30
"""Atoms in its formula from which on a defect is shown by an example: boundaries are never twice the same."""

SIDE = 132
"""Largest side of a picture, px."""

AROUND = 3.0
"""Å shown beyond the atoms of the defect."""


class TypePictures:
    """Gives the pictures of types of defects of `state`.

    Parameters
    ----------
    state : DefectsState
    jobs : Jobs
        Averages beside the page's own work.
    on_change : callable
        Called when better pictures are there.
    """

    def __init__(self, state: DefectsState, *, jobs: Jobs, on_change: Callable[[], None]) -> None:
        self.state, self.jobs, self.on_change = state, jobs, on_change
        self._kept: dict[tuple, np.ndarray] = {}
        self._found = None

    def of(self, names: Sequence[str]) -> list[np.ndarray]:
        """A picture (H, W) for each type by its name."""
        if self._found is not self.state.found:
            self.jobs.cancel()
            self._found, self._kept = self.state.found, {}
        listed = self.state.listed
        shown, wanted = [], {}
        for name in names:
            members = listed[listed["name"] == name].head(MOST)
            key = tuple(members.index)
            if key not in self._kept:
                (example,) = _records(self.state, members.head(1), margin=1.1 * AROUND)
                self._kept[key] = _framed(example)
                # fewer atoms around are laid on one another sooner
                records = _records(self.state, members, margin=0.5 * AROUND)
                if len(records) > 1 and records[0].counted.sum() < LARGE:
                    wanted[key] = records
            shown.append(self._kept[key])
        if wanted:
            self.jobs.cancel()
            self.jobs.run("Averaging", lambda progress: _averaged(wanted, progress), done=self._take, failed=_ignored)
        return shown

    def _take(self, averaged: dict[tuple, np.ndarray]) -> None:
        self._kept |= averaged
        self.on_change()


def _ignored(_error: Exception) -> None:
    """The examples stay."""


def _records(state: DefectsState, members, *, margin: float) -> list:
    from atomnb.graph.cutout import records_from

    records = records_from(state.analysis(members), margin_angstrom=margin)
    return [record for record in records if record.formula == records[0].formula]


def _averaged(wanted, progress) -> dict[tuple, np.ndarray]:
    from atomnb.graph.averages import average_class

    found = {}
    for number, (key, records) in enumerate(wanted.items()):
        progress(number / len(wanted), "averaging")
        try:
            image = average_class(records, mirror=True, pixel_size=_pixel(records[0])).image
        except AtomnbError:  # too few atoms to lay one on the other
            continue
        found[key] = np.where(np.isfinite(image), image, np.nanmedian(image))
    return found


def _framed(record) -> np.ndarray:
    """A square of the record's picture round its counted atoms, as coarse as need be."""
    from scipy.ndimage import map_coordinates

    yx = record.positions_px[record.counted]
    pixel = _pixel(record) / record.pixel_size
    half = (np.hypot(*(yx - yx.mean(axis=0)).T).max() * record.pixel_size + AROUND) / record.pixel_size
    steps = np.arange(-half, half, pixel)
    grid = yx.mean(axis=0)[:, None, None] + np.stack(np.meshgrid(steps, steps, indexing="ij"))
    return map_coordinates(record.patch.astype(float), grid, order=1, mode="constant", cval=np.median(record.patch))


def _pixel(record) -> float:
    """Å; pixels of the record, or coarser ones where its picture would be large."""
    yx = record.positions_yx[record.counted]
    side = 2 * (np.hypot(*(yx - yx.mean(axis=0)).T).max() + AROUND)
    return max(record.pixel_size, side / SIDE)
