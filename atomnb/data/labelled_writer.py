"""Writing labelled sets: one scene at a time, and the file appears whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from atomnb.data.labelled_scene import LabelledScene, check_classes
from atomnb.data.labelled_set import FORMAT_NAME, VERSION, scene_name
from atomnb.errors import AtomnbError

SPARE_BYTES = 2**22
"""Free space asked for beyond a scene's pixels: positions, names, HDF5's own tables."""

_ZEROS = bytes(2**20)


class LabelledSetWriter:
    """Takes scenes one at a time; made by `labelled_set_writer`."""

    def __init__(self, file, path: Path, classes: tuple[str, ...]):
        self._file, self._path, self._classes, self._groups = file, path, classes, []

    def __len__(self) -> int:
        return len(self._groups)

    def append(self, scene: LabelledScene) -> None:
        """Write one scene.

        Raises
        ------
        AtomnbError
            If its labels are not in the class list.
        OSError
            If the disk is full.
        """
        check_classes(scene, self._classes)
        _reserve(self._path.parent, scene.image.nbytes + scene.class_map.nbytes + SPARE_BYTES)
        group = self._file.create_group(scene_name(len(self)))
        for name in ("image", "class_map"):
            group.create_dataset(
                name, data=getattr(scene, name), compression="gzip", compression_opts=1, shuffle=True, fletcher32=True
            )
        group["positions_yx"] = scene.positions_yx
        group["column_class"] = scene.column_class
        _write_text(group, "species", scene.species)
        group.attrs["pixel_size"] = float(scene.pixel_size)
        group.attrs["group"] = scene.group
        group.attrs["details"] = json.dumps(dict(scene.details))
        self._file.flush()
        self._groups.append(scene.group)

    def _finish(self) -> None:
        if not self._groups:
            raise AtomnbError("a labelled set needs at least one scene, got none.")
        _write_text(self._file, "groups", self._groups)
        self._file.attrs["complete"] = True


@contextmanager
def labelled_set_writer(
    path, *, classes: Sequence[str], provenance: Mapping[str, Any] | None = None
) -> Iterator[LabelledSetWriter]:
    """Write a set scene by scene; it appears under its name when the block ends without an error, or not at all.

    Parameters
    ----------
    path : str or path
        Replaced if it exists.
    classes : sequence of str
        After the background.
    provenance : mapping, optional
        What made the set (structures, optics, versions, seeds), JSON-able; the version of atomnb is added.

    Raises
    ------
    OSError
        If the disk is full or the folder cannot be written.
    """
    import h5py

    from atomnb.io.atomic import atomic_path

    names = _class_names(classes)
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["format"], file.attrs["version"], file.attrs["complete"] = FORMAT_NAME, VERSION, False
        file.attrs["classes"] = json.dumps(names)
        file.attrs["provenance"] = json.dumps({"atomnb": _own_version(), **(provenance or {})})
        writer = LabelledSetWriter(file, temporary, names)
        yield writer
        writer._finish()


def write_labelled_set(
    path,
    scenes: Iterable[LabelledScene],
    *,
    classes: Sequence[str],
    provenance: Mapping[str, Any] | None = None,
    total: int | None = None,
    progress: Callable[[float, str], None] | None = None,
) -> Path:
    """Write `scenes`, which may be a generator: only one is held in memory.

    Parameters
    ----------
    path, classes, provenance : see `labelled_set_writer`
    scenes : iterable of LabelledScene
    total : int, optional
        How many there will be, for the progress of a generator.
    progress : called with (share done, message); raise CancelledError in it to stop, and nothing is written

    Returns
    -------
    pathlib.Path
    """
    count = total if total is not None else len(scenes) if hasattr(scenes, "__len__") else None
    with labelled_set_writer(path, classes=classes, provenance=provenance) as writer:
        for scene in scenes:
            writer.append(scene)
            if progress:
                of = f" of {count}" if count else ""
                progress(min(1.0, len(writer) / count) if count else 0.0, f"{len(writer)}{of} images written")
    return Path(path)


def _write_text(group, name: str, values) -> None:
    import h5py

    group.create_dataset(name, data=[str(v) for v in values], shape=(len(values),), dtype=h5py.string_dtype())


def _class_names(classes: Sequence[str]) -> tuple[str, ...]:
    names = tuple(classes)
    if isinstance(classes, str) or not names or len(set(names)) < len(names):
        raise AtomnbError(f"classes must be different names, at least one, without the background; got {classes!r}.")
    return names


def _reserve(folder: Path, needed: int) -> None:
    """Make sure of `needed` bytes on the disk by taking them for a moment: HDF5 kills the process if a write fails.

    Raises
    ------
    OSError
        If they cannot be had.
    """
    try:
        with tempfile.TemporaryFile(dir=folder) as trial:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(trial.fileno(), 0, needed)
            else:
                for _ in range(-(-needed // len(_ZEROS))):
                    trial.write(_ZEROS)
                trial.flush()
    except OSError as error:
        free = shutil.disk_usage(folder).free
        raise OSError(
            error.errno,
            f"no room for the labelled set ({os.strerror(error.errno)}; {free / 1e6:.0f} MB free in {folder}): nothing "
            "was kept. Free some space, or choose another folder",
        ) from error


def _own_version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("atomnb")
    except PackageNotFoundError:
        return "unknown"
