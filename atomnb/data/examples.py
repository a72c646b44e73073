"""Sample images by name: measured ones carried by atomnb, simulated ones made when asked, others by download."""

from __future__ import annotations

import csv
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from atomnb.data.atoms import AtomTable
from atomnb.data.micrograph import Micrograph
from atomnb.errors import AtomnbError, FileFormatError

_HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Sample:
    """A sample image: what it shows and whose it is.

    Parameters
    ----------
    name : str
        By which `sample_image` finds it.
    title, summary : str
        One line each, for pages.
    licence, author, source : str
        To be named wherever the image is shown.
    pixel_size : float or None
        Å; None when the file states none that can be trusted.
    file : str or None
        Name in atomnb/data/samples; None for a simulated sample.
    """

    name: str
    title: str
    summary: str
    licence: str
    author: str
    source: str
    pixel_size: float | None = None
    file: str | None = None

    @property
    def is_simulated(self) -> bool:
        return self.file is None

    @property
    def credit(self) -> str:
        """Author, source and licence in one line."""
        return f"{self.author}; {self.source}; {self.licence}"


@dataclass(frozen=True)
class Example:
    """A file that `fetch_example` downloads: `bytes` and `sha256` are checked on arrival."""

    name: str
    bytes: int
    sha256: str
    url: str
    licence: str
    source: str
    shows: str


_ATOMSEGNET = {
    "licence": "MIT",
    "author": "R. Lin, R. Zhang, C. Wang, X.-Q. Yang, H. L. Xin, Scientific Reports 11, 5386 (2021)",
    "source": "github.com/xinhuolin/AtomSegNet",
}
_SIMULATED = {"licence": "GPL-3.0-or-later", "author": "atomnb", "source": "simulated by atomnb"}

_SAMPLES = (
    Sample(
        name="si-110",
        title="Silicon [110]",
        summary="Dumbbells 1.36 Å apart, measured HAADF. The file states no scale.",
        file="Si110_5nmX25us_03_none_none.png",
        **_ATOMSEGNET,
    ),
    Sample(
        name="dysco3",
        title="DyScO3",
        summary="A perovskite with bright and faint columns, measured HAADF; 8 nm field of view.",
        pixel_size=80.0 / 1024,
        file="10_dso_8nm_none_none.png",
        **_ATOMSEGNET,
    ),
    Sample(
        name="perovskite-adf",
        title="Perovskite oxide",
        summary="Bright A and fainter B columns, measured ADF. The file gives its scale without a unit: it is nm.",
        licence="GPL-3.0",
        author="M. Nord and the atomap developers",
        source="github.com/atomap-dev/atomap",
        pixel_size=0.09326270238006416,
        file="test_ADF_cropped.hdf5",
    ),
    Sample(
        name="graphene-si",
        title="Graphene with silicon",
        summary="A carbon lattice with silicon dopants, simulated; every atom is known.",
        **_SIMULATED,
    ),
    Sample(
        name="graphene-defects",
        title="Graphene with defects",
        summary="A Stone–Wales rotation, a 5-8-5 divacancy, single silicon atoms and a trimer, relaxed and simulated; "
        "every atom is known.",
        **_SIMULATED,
    ),
    Sample(
        name="mos2",
        title="MoS2 with sulfur vacancies",
        summary="A monolayer with light and heavy columns and missing sulfur, simulated; every atom is known.",
        **_SIMULATED,
    ),
    Sample(
        name="perovskite",
        title="Perovskite, simulated",
        summary="Heavy and light columns of a cubic perovskite, simulated; every atom is known.",
        **_SIMULATED,
    ),
)


def list_samples() -> list[Sample]:
    """The samples that come with atomnb; none needs a network.

    Returns
    -------
    list of Sample
    """
    return list(_SAMPLES)


def sample_image(name: str) -> Micrograph:
    """A sample image; its credit stands in the metadata.

    Parameters
    ----------
    name : str
        One of `list_samples()`.

    Returns
    -------
    Micrograph

    Raises
    ------
    AtomnbError
        If there is no sample of that name.

    Examples
    --------
    >>> sample_image("dysco3")
    Micrograph('dysco3', 1024 × 1024 px, 0.07812 Å/px)
    """
    sample = _sample(name)
    credit = {"sample": sample.title, "licence": sample.licence, "author": sample.author, "source": sample.source}
    if sample.is_simulated:
        scene = _scene(name)
        return Micrograph(scene.image, pixel_size=scene.pixel_size, name=name, metadata=credit)
    read = _read(sample)
    return Micrograph(read.data, pixel_size=read.pixel_size, name=name, metadata={**read.metadata, **credit})


def sample_truth(name: str) -> AtomTable | None:
    """The true atoms of a simulated sample, None for a measured one.

    Parameters
    ----------
    name : str
        One of `list_samples()`.

    Returns
    -------
    AtomTable or None
        With y, x (px) and species.
    """
    import pandas as pd

    if not _sample(name).is_simulated:
        return None
    scene = _scene(name)
    y, x = scene.positions_yx.T
    df = pd.DataFrame({"y": y, "x": x, "species": scene.species})
    return AtomTable(df, pixel_size=scene.pixel_size, shape=scene.image.shape)


def sample_path(name: str) -> Path:
    """The file of a measured sample.

    Parameters
    ----------
    name : str
        A measured one of `list_samples()`.

    Raises
    ------
    AtomnbError
        If there is none, or it is simulated and so has no file.
    """
    sample = _sample(name)
    if sample.is_simulated:
        raise AtomnbError(f"sample {name!r} is simulated and has no file: use sample_image({name!r}).")
    return _HERE / "samples" / sample.file


def list_examples() -> list[Example]:
    """The real files that `fetch_example` downloads, all under an open licence.

    Returns
    -------
    list of Example
    """
    return list(_examples().values())


def fetch_example(name: str, *, cache_dir=None, downloader: Callable[[str, str, object], None] | None = None) -> Path:
    """Download a real microscope file from its authors' repository, once, and check it.

    Parameters
    ----------
    name : str
        One of `list_examples()`.
    cache_dir : str or path, optional
        Where to keep it; by default the user's cache folder.
    downloader : callable, optional
        `downloader(url, output_file, pooch)` in place of pooch's own, for mirrors and tests.

    Returns
    -------
    Path
        The file; open it with `atomnb.read_image`.

    Raises
    ------
    AtomnbError
        If there is no example of that name.
    FileFormatError
        If what arrives is not the file that is expected.
    ConnectionError
        If it cannot be downloaded; the message tells where to get it.
    """
    import pooch
    from requests import RequestException

    example = _examples().get(name)
    if example is None:
        raise AtomnbError(f"there is no example {name!r}; there are {', '.join(_examples())}.")
    folder = Path(pooch.os_cache("atomnb") if cache_dir is None else cache_dir)
    logger = pooch.get_logger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        fetched = pooch.retrieve(
            example.url, f"sha256:{example.sha256}", fname=name, path=folder, downloader=downloader
        )
    except (RequestException, OSError) as error:
        raise ConnectionError(
            f"{name} could not be downloaded ({type(error).__name__}). Get it from {example.url} by a browser and "
            f"save it as {folder / name}, then ask again."
        ) from error
    except ValueError as error:
        raise FileFormatError(
            f"what arrived from {example.url} is not {name} as it is known (its SHA-256 differs): the download was "
            "disturbed or the file has changed. Try again, or get it by a browser."
        ) from error
    finally:
        logger.setLevel(level)
    return Path(fetched)


def _sample(name: str) -> Sample:
    for sample in _SAMPLES:
        if sample.name == name:
            return sample
    raise AtomnbError(f"there is no sample {name!r}; there are {', '.join(s.name for s in _SAMPLES)}.")


def _read(sample: Sample) -> Micrograph:
    from atomnb.io.stem import read_image

    return read_image(_HERE / "samples" / sample.file, pixel_size=sample.pixel_size)


def _scene(name: str):
    from atomnb.simulate.scene import sample_scene

    return sample_scene(name)


@cache
def _examples() -> dict[str, Example]:
    with (_HERE / "examples.tsv").open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t")
        return {row["name"]: Example(**{**row, "bytes": int(row["bytes"])}) for row in rows}
