"""Labelled sets on disk: images with classes, positions and species, read one scene at a time.

The file is HDF5, readable without atomnb (all lengths in px unless said otherwise, origin at the centre of the top-left
pixel)::

    /                       attributes: format = "atomnb-labelled-set", version = 1,
                            classes = JSON list of the classes after the background,
                            provenance = JSON object (what made the set), complete = True (written last)
    /groups                 (S,) text: the structure each scene shows, in the scenes' order
    /scenes/00000000/       attributes: pixel_size (Å), group (text), details = JSON object (dose, distortions, seed)
        image               (H, W) float32, as the detector gave it; each scene has its own H and W
        class_map           (H, W) uint8: 0 background, k = class k of the list (from 1), 255 = not to be learnt from
        positions_yx        (N, 2) float64: columns, and defects without one
        species             (N,) text: content of the column or name of the defect
        column_class        (N,) uint8, coded as class_map

Pixels carry checksums (Fletcher-32), so that damage is found when they are read. `atomnb.data.labelled_writer` writes
such files.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from atomnb.data.labelled_scene import LabelledScene, check_classes
from atomnb.errors import AtomnbError, FileFormatError

FORMAT_NAME = "atomnb-labelled-set"
VERSION = 1
"""Of the layout above; a file of another version is refused."""

SPLITS = ("train", "validation", "test")
SPLIT_SHARES = (0.8, 0.1, 0.1)


class LabelledSet(Sequence):
    """A labelled set on disk; scenes are read when asked for. Made by `open_labelled_set`.

    Attributes
    ----------
    path : pathlib.Path
    classes : tuple of str
        After the background.
    provenance : dict
    groups : tuple of str
        The structure of each scene.
    """

    def __init__(self, path: Path, classes, provenance: dict, groups, indices: Sequence[int] | None = None):
        self.path, self.classes, self.provenance = path, tuple(classes), provenance
        self._all_groups = tuple(groups)
        self._indices = range(len(self._all_groups)) if indices is None else tuple(indices)
        self.groups = tuple(self._all_groups[i] for i in self._indices)
        self._file, self._owner = None, None

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: int) -> LabelledScene:
        """Scene number `index`.

        Raises
        ------
        FileFormatError
            If it is damaged.
        AtomnbError
            If its labels are not in the class list.
        """
        number = self._indices[index]
        try:
            scene = _read_scene(self._open_file()[scene_name(number)])
        except (KeyError, OSError, RuntimeError, json.JSONDecodeError) as error:
            raise FileFormatError(
                f"image {number} of {self.path.name} is damaged ({error}): copy the file again, or write the set anew."
            ) from error
        check_classes(scene, self.classes)
        return scene

    def split(self, which: str, *, shares: tuple[float, float, float] = SPLIT_SHARES) -> LabelledSet:
        """The scenes for training, validation or test; every structure is in one of them only.

        Structures are put in the order of a hash of their names and divided by `shares`, at least one each: the same
        structures are always divided in the same way, whatever the order or number of their images.

        Parameters
        ----------
        which : {'train', 'validation', 'test'}
        shares : of the structures, in that order

        Raises
        ------
        AtomnbError
            If there are fewer structures than parts.
        """
        if which not in SPLITS:
            raise AtomnbError(f"which must be one of {', '.join(SPLITS)}, got {which!r}.")
        chosen = split_groups(self.groups, shares=shares)[which]
        indices = [i for i, group in zip(self._indices, self.groups, strict=True) if group in chosen]
        return LabelledSet(self.path, self.classes, self.provenance, self._all_groups, indices)

    def close(self) -> None:
        """Close the file; it opens again when a scene is asked for."""
        if self._file is not None and self._owner == os.getpid():
            self._file.close()
        self._file = None

    def __enter__(self) -> LabelledSet:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_file": None}

    def __repr__(self) -> str:
        structures = len(set(self.groups))
        return f"LabelledSet({self.path.name!r}, {len(self)} images of {structures} structures, {list(self.classes)})"

    def _open_file(self):
        import h5py

        if self._file is None or self._owner != os.getpid():  # a handle must not be shared with a forked process
            self._file, self._owner = h5py.File(self.path, "r"), os.getpid()
        return self._file


def open_labelled_set(path) -> LabelledSet:
    """Open a labelled set without reading its images.

    Raises
    ------
    FileFormatError
        If the file is missing, no labelled set, truncated, unfinished, or of another version.
    """
    import h5py

    path = Path(path)
    if not path.is_file():
        raise FileFormatError(f"there is no file {path}: write a labelled set with write_labelled_set first.")
    try:
        with h5py.File(path, "r") as file:
            _check_header(path, file.attrs)
            classes, provenance = json.loads(file.attrs["classes"]), json.loads(file.attrs["provenance"])
            groups = file["groups"].asstr()[:]
    except (KeyError, OSError, RuntimeError, json.JSONDecodeError) as error:
        raise FileFormatError(
            f"{path.name} cannot be read as a labelled set ({error}): it is truncated, damaged or no HDF5 file. "
            "Copy it again, or write the set anew."
        ) from error
    return LabelledSet(path, classes, provenance, groups)


def split_groups(
    groups: Iterable[str], *, shares: tuple[float, float, float] = SPLIT_SHARES
) -> dict[str, frozenset[str]]:
    """Which structures are for training, validation and test; see `LabelledSet.split`."""
    if len(shares) != len(SPLITS) or min(shares) <= 0 or abs(sum(shares) - 1) > 1e-6:
        raise AtomnbError(f"shares must be three positive numbers that sum to 1, got {shares}.")
    ordered = sorted(set(groups), key=lambda name: hashlib.sha256(name.encode()).digest())
    count = len(ordered)
    if count < len(SPLITS):
        raise AtomnbError(
            f"the set shows {count} structure{'s' * (count != 1)} ({', '.join(ordered)}), but training, validation and "
            "test need one each at least: simulate more structures (other seeds will do), or use the whole set."
        )
    validation, test = (max(1, round(share * count)) for share in shares[1:])
    train = max(1, count - validation - test)
    validation = min(validation, count - train - 1)
    return {
        "train": frozenset(ordered[:train]),
        "validation": frozenset(ordered[train : train + validation]),
        "test": frozenset(ordered[train + validation :]),
    }


def scene_name(number: int) -> str:
    """Where scene `number` lies in the file."""
    return f"scenes/{number:08d}"


def _read_scene(group) -> LabelledScene:
    return LabelledScene(
        group["image"][:],
        group["class_map"][:],
        group["positions_yx"][:],
        group["species"].asstr()[:],
        group["column_class"][:],
        float(group.attrs["pixel_size"]),
        str(group.attrs["group"]),
        json.loads(group.attrs["details"]),
    )


def _check_header(path: Path, attributes) -> None:
    if attributes.get("format") != FORMAT_NAME:
        raise FileFormatError(f"{path.name} is an HDF5 file but no labelled set of atomnb.")
    version = int(attributes["version"])
    if version != VERSION:
        raise FileFormatError(
            f"{path.name} is a labelled set of version {version}; this atomnb reads version {VERSION}. "
            + ("Update atomnb." if version > VERSION else "Write the set anew.")
        )
    if not attributes.get("complete"):
        raise FileFormatError(f"{path.name} was never finished: write the set anew.")
