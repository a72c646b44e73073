"""Analyse many files: one folder of results for each, one summary over all, no bad file stops the rest."""

from __future__ import annotations

import csv
import glob
import os
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from atomnb.errors import AtomnbError, CancelledError, RangeWarning
from atomnb.io.atomic import atomic_path
from atomnb.said import gathered_warnings, warn

SUMMARY = "summary.csv"
"""Name of the table over all results of an output folder."""

RESULT = "result.json"
"""The file by which a folder is known to hold a result of atomnb; `Analysis.save` writes it last."""

AUTO = "auto"
"""Instead of a model or rules: those that suit the crystal of each image."""

SKIPPED_ENDINGS = frozenset({".emi"})
"""Endings not taken from a folder: an .emi describes the .ser files beside it, which hold the images."""

DONE, FAILED, KEPT = "done", "failed", "kept"
"""What became of a file: a new result, an error, or an older result that was not overwritten."""


@dataclass(frozen=True)
class BatchRow:
    """What became of one file; one line of `summary.csv` (except `traceback`).

    `pixel_size` is in Å; `spacing_px` and `spacing_angstrom` are the nearest-neighbour spacing estimated from
    the image; `defects` counts those found, by name ('6 × three-fold Si; 1 × Si trimer'; empty without rules);
    `seconds` is the time taken. Unknown numbers are None.
    """

    folder: str
    file: str
    status: str
    atoms: int | None = None
    pixel_size: float | None = None
    spacing_px: float | None = None
    spacing_angstrom: float | None = None
    defects: str = ""
    messages: tuple[str, ...] = ()
    error: str = ""
    seconds: float | None = None
    traceback: str = ""

    @property
    def ok(self) -> bool:
        """Whether a new result was written."""
        return self.status == DONE


def analyze_files(
    paths: Iterable[str | Path],
    out_dir: str | Path,
    *,
    model: str = "universal",
    pixel_size: float | None = None,
    threshold: float = 0.5,
    contrast: str = "auto",
    rules: str | None = None,
    overwrite: bool = False,
    progress: Callable[[float, str], None] | None = None,
    on_row: Callable[[BatchRow], None] | None = None,
) -> list[BatchRow]:
    """Analyse files and write `OUT_DIR/NAME/` for each and `OUT_DIR/summary.csv` over all.

    A folder of results appears whole or not at all. The summary is brought up to date after every file, and
    keeps the lines of earlier runs.

    Parameters
    ----------
    paths : iterable of str or Path
        Files, folders (the images directly in them) and patterns such as ``'data/**/*.dm3'``.
    out_dir : str or Path
        Made if it does not exist.
    model : str
        Name of the model, or 'auto': the one that suits the crystal of each image (`atomnb.recognize_crystal`).
    pixel_size : float, optional
        Å; replaces the scale of every file.
    threshold : float
        Probability above which a peak counts as an atom.
    contrast : {'auto', 'bright', 'dark'}
        Whether atoms are bright (HAADF, ADF) or dark (BF, ABF).
    rules : str, optional
        Name or file of the rules by which bonds are drawn and defects named, or 'auto' like `model`.
    overwrite : bool
        Replace results that exist; otherwise such a file is left alone and its row says so (status 'kept').
    progress : callable, optional
        ``progress(fraction, message)`` over the whole batch; raising `CancelledError` from it stops there.
    on_row : callable, optional
        Called with the row of each file as soon as it is done.

    Returns
    -------
    list of BatchRow
        One for each file, in order.

    Raises
    ------
    AtomnbError
        If there is nothing to analyse, or `out_dir` cannot be used.
    CancelledError
        If `progress` raised it; what was finished before stays.
    """
    files = expand_inputs(paths)
    out_dir = _output_folder(out_dir)
    known = read_summary(out_dir)
    names = folder_names(files, {row.folder: row.file for row in known.values()})
    rows = []
    for i, (file, name) in enumerate(zip(files, names, strict=True)):
        row = _analyze_one(
            file,
            out_dir / name,
            options={
                "model": model,
                "pixel_size": pixel_size,
                "threshold": threshold,
                "contrast": contrast,
                "rules": rules,
            },
            overwrite=overwrite,
            progress=_share(progress, i, len(files), file.name),
        )
        rows.append(row)
        if row.status != KEPT or name not in known:
            known[name] = row
        _write_summary(out_dir, known.values())
        if on_row is not None:
            on_row(row)
    return rows


def expand_inputs(paths: Iterable[str | Path]) -> list[Path]:
    """The files that `paths` name: each once, folders and patterns replaced by what they hold.

    A path that does not exist stays in the list (its row will say so); earlier results of atomnb are left out
    of folders and patterns.

    Raises
    ------
    AtomnbError
        If a folder or pattern holds no image, or `paths` is empty.
    """
    found: dict[Path, Path] = {}
    for path in paths:
        for file in _files_of(str(path)):
            found.setdefault(file.resolve(), file)
    if not found:
        raise AtomnbError("no files were given: name files, folders or patterns such as 'data/*.dm3'.")
    return list(found.values())


def folder_names(files: Iterable[Path], taken: dict[str, str] | None = None) -> list[str]:
    """A distinct folder name for each file: its stem, numbered where another file has it already.

    `taken` maps the names of an earlier run to their files, so that the same file gets the same name again.
    """
    owner = {SUMMARY: ""} | {name.casefold(): file for name, file in (taken or {}).items()}
    names = []
    for file in files:
        source, stem = _source(file), file.stem or file.name
        name, number = stem, 1
        while owner.get(name.casefold(), source) != source:
            number += 1
            name = f"{stem}-{number}"
        owner[name.casefold()] = source
        names.append(name)
    return names


def read_summary(out_dir: Path) -> dict[str, BatchRow]:
    """The rows of an earlier `summary.csv` by folder name; empty when there is none.

    Raises
    ------
    AtomnbError
        If the file is not a summary of atomnb.
    """
    path = out_dir / SUMMARY
    if not path.exists():
        return {}
    with path.open(newline="", encoding="utf-8") as handle:
        reader = csv.DictReader(handle)
        if reader.fieldnames != _COLUMNS:
            raise AtomnbError(
                f"{path} is not a summary that atomnb wrote (expected the columns {', '.join(_COLUMNS)}): "
                "choose another output folder."
            )
        return {line["folder"]: _row(line) for line in reader}


_COLUMNS = [f.name for f in fields(BatchRow) if f.name != "traceback"]
_BETWEEN_MESSAGES = " | "
_NUMBERS = {"atoms": int} | dict.fromkeys(("pixel_size", "spacing_px", "spacing_angstrom", "seconds"), float)


def _files_of(text: str) -> list[Path]:
    path = Path(text)
    if path.is_dir() and path.suffix.lower() != ".zspy":
        return _images_in(path)
    if path.exists() or not glob.has_magic(text):
        return [path]
    files = sorted(p for p in map(Path, glob.glob(text, recursive=True)) if p.is_file() and _is_input(p))
    if not files:
        raise AtomnbError(f"no file matches the pattern {text!r}.")
    return files


def _images_in(folder: Path) -> list[Path]:
    from atomnb.io.formats import EXTENSIONS, known_endings

    wanted = set(EXTENSIONS) - SKIPPED_ENDINGS
    files = sorted(p for p in folder.iterdir() if p.suffix.lower() in wanted and _is_input(p))
    if not files:
        raise AtomnbError(f"the folder {folder} holds no image files (looked for {known_endings()}).")
    return files


def _is_input(path: Path) -> bool:
    return not path.name.startswith(".") and not (path.parent / RESULT).exists()


def _source(file: Path) -> str:
    return str(file.resolve())


def _output_folder(out_dir: str | Path) -> Path:
    path = Path(out_dir)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise AtomnbError(f"the output folder {path} is a file: choose another name.") from None
    except OSError as error:
        raise AtomnbError(f"cannot make the output folder {path} ({error.strerror}): choose another.") from error
    return path


def _share(progress, index: int, count: int, name: str):
    """The part of `progress` that belongs to file `index` of `count`."""
    if progress is None:
        return None

    def report(fraction: float, message: str) -> None:
        progress((index + min(max(fraction, 0.0), 1.0)) / count, f"{name}: {message}")

    return report


def _analyze_one(file: Path, folder: Path, *, options: dict, overwrite: bool, progress) -> BatchRow:
    start = time.perf_counter()
    row = BatchRow(folder=folder.name, file=_source(file), status=FAILED)
    if folder.exists() and not overwrite:
        return replace(
            row,
            status=KEPT,
            error=f"{folder} exists already: ask to overwrite it, or choose another output folder",
        )
    try:
        with gathered_warnings() as said:
            analysis = _analyze(file, options, progress)
        _save_whole(analysis, folder)
    except CancelledError:
        raise
    except Exception as error:
        return replace(
            row,
            error=one_line(error),
            traceback=traceback.format_exc(),
            seconds=round(time.perf_counter() - start, 3),
        )
    return replace(
        row,
        status=DONE,
        atoms=len(analysis.atoms),
        pixel_size=analysis.pixel_size,
        spacing_px=analysis.scale.spacing_px,
        spacing_angstrom=analysis.scale.spacing_angstrom,
        defects="" if analysis.defects is None else count_by_name(analysis.defects),
        messages=tuple(dict.fromkeys([*said, *analysis.messages])),
        seconds=round(time.perf_counter() - start, 3),
    )


def count_by_name(defects) -> str:
    """A table of defects in one line, the most frequent first: '6 × three-fold Si; 1 × Si trimer'.

    Long names, as those of boundaries that go through all their rings, are shortened as in pictures.
    """
    from atomnb.viz.outlines import short_label

    counts = Counter(short_label(name, kind) for name, kind in zip(defects["name"], defects["kind"], strict=True))
    return "; ".join(f"{counts[name]} × {name}" for name in sorted(counts, key=lambda n: (-counts[n], n)))


def one_line(error: BaseException) -> str:
    """An error in one line: our own messages as they are, others after the name of their type."""
    text = " ".join(str(error).split())
    if isinstance(error, (AtomnbError, ImportError)) and text:
        return text
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    if isinstance(error, FileNotFoundError) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _analyze(file: Path, options: dict, progress):
    # Looked up here, so that `atomnb --help` needs neither HyperSpy nor torch.
    import atomnb

    image = atomnb.read_image(file, pixel_size=options["pixel_size"])
    model, rules = options["model"], options["rules"]
    if AUTO in (model, rules):
        model, rules = _suited(image, model, rules, options["contrast"])
    return atomnb.analyze(
        image,
        model=model,
        threshold=options["threshold"],
        contrast=options["contrast"],
        rules=rules,
        progress=progress,
    )


def _suited(image, model: str, rules: str | None, contrast: str) -> tuple[str, str | None]:
    """Model and rules, 'auto' replaced by what suits the crystal of the image; what it is goes to the messages."""
    import atomnb
    from atomnb.locate.crystal import UNKNOWN

    crystal = atomnb.recognize_crystal(image, contrast=contrast)
    warn("the crystal was not recognised." if crystal is None else str(crystal), RangeWarning)
    suited = crystal or UNKNOWN
    return suited.model if model == AUTO else model, suited.rules if rules == AUTO else rules


def _save_whole(analysis, folder: Path) -> None:
    """Save into a hidden folder beside `folder`, then move it into place."""
    if folder.exists() and not (folder / RESULT).exists():
        raise AtomnbError(
            f"{folder} holds no result of atomnb, so it is not overwritten: choose another output folder."
        )
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".atomnb-") as scratch:
        fresh, old = Path(scratch) / "fresh", Path(scratch) / "old"
        analysis.save(fresh)
        if folder.exists():
            os.replace(folder, old)
        try:
            os.replace(fresh, folder)
        except OSError:
            if old.exists():
                os.replace(old, folder)
            raise


def _write_summary(out_dir: Path, rows: Iterable[BatchRow]) -> None:
    with (
        atomic_path(out_dir / SUMMARY) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as handle,
    ):
        writer = csv.DictWriter(handle, _COLUMNS)
        writer.writeheader()
        writer.writerows(map(_line, rows))


def _line(row: BatchRow) -> dict[str, Any]:
    values = {name: getattr(row, name) for name in _COLUMNS}
    return values | {"messages": _BETWEEN_MESSAGES.join(row.messages)}


def _row(line: dict[str, str]) -> BatchRow:
    """What `_line` made a line of."""
    values = {k: (_NUMBERS[k](v) if v else None) if k in _NUMBERS else v for k, v in line.items()}
    messages = tuple(line["messages"].split(_BETWEEN_MESSAGES)) if line["messages"] else ()
    return BatchRow(**values | {"messages": messages})
