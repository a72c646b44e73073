"""Checks that a file is what it claims to be before a reader touches it: nothing is unpickled or unpacked blindly."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np

from atomnb.errors import FileFormatError

MAX_FRAME_PIXELS = 2**30
"""Pixels of the largest single image that is read (32768 × 32768)."""

MAX_EXPANSION = 100
"""Bytes of pixels per byte of file beyond which a big image is taken for a bomb; noise never packs so well."""

BOMB_MIN_BYTES = 2**27
"""Images below this size (128 MB) are never a danger, however well they compress."""

SAFE_CODECS = frozenset(
    {
        "blosc", "bytes", "bz2", "crc32", "crc32c", "delta", "fixedscaleoffset", "gzip", "json2", "lz4", "lzma",
        "msgpack2", "sharding_indexed", "shuffle", "transpose", "vlen-array", "vlen-bytes", "vlen-utf8", "zlib", "zstd",
    }
)  # fmt: skip
"""Zarr codecs that only decode numbers and text; 'pickle' runs code and is not among them."""

_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\x89HDF\r\n\x1a\n", "hdf5"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpg"),
    (b"II*\x00", "tif"),
    (b"MM\x00*", "tif"),
    (b"II+\x00", "tif"),
    (b"MM\x00+", "tif"),
    (b"\x93NUMPY", "npy"),
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
    (b"\x00\x00\x00\x03", "dm"),
    (b"\x00\x00\x00\x04", "dm"),
    (b"II\x97\x01", "ser"),
    (b"\x80\x02", "pickle"),
    (b"\x80\x03", "pickle"),
    (b"\x80\x04", "pickle"),
    (b"\x80\x05", "pickle"),
    (b"\x1f\x8b", "gzip"),
)


_MRC_BYTES = {0: 1, 1: 2, 2: 4, 3: 4, 4: 8, 6: 2, 12: 2}
"""Bytes per pixel of the modes of MRC."""


def require_file(path: Path) -> None:
    """Raise unless `path` is an existing, non-empty file.

    Raises
    ------
    FileNotFoundError, FileFormatError
    """
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path}: check the spelling and the folder.")
    if path.is_dir():
        raise FileFormatError(f"{path.name} is a folder: pass one microscope file (only .zspy images are folders).")
    if path.stat().st_size == 0:
        raise FileFormatError(f"{path.name} is empty (0 bytes): copy it again from the microscope.")


def sniff(path: Path) -> str | None:
    """What the first bytes say the file is ('hdf5', 'tif', 'dm', 'zip', 'pickle', …), or None."""
    with path.open("rb") as file:
        head = file.read(212)
    if head[208:212] == b"MAP ":
        return "mrc"
    return next((kind for magic, kind in _MAGIC if head.startswith(magic)), None)


def check_frame(shape: tuple[int, ...], dtype: np.dtype, stored: int, *, name: str) -> None:
    """Refuse one image whose declared size cannot be true.

    Parameters
    ----------
    shape : (int, int)
        Declared (H, W), px.
    dtype : numpy.dtype
    stored : int
        Bytes in the file.

    Raises
    ------
    FileFormatError
    """
    pixels = int(np.prod([int(n) for n in shape[-2:]], dtype=object))
    size = pixels * np.dtype(dtype).itemsize
    if pixels > MAX_FRAME_PIXELS:
        raise FileFormatError(
            f"{name} declares an image of {' × '.join(map(str, shape[-2:]))} px, more than the "
            f"{MAX_FRAME_PIXELS**0.5:.0f} × {MAX_FRAME_PIXELS**0.5:.0f} px that are read: crop it, or check that the "
            "file is not damaged."
        )
    if size > BOMB_MIN_BYTES and size > MAX_EXPANSION * stored:
        raise FileFormatError(
            f"{name} declares {size / 1e6:.0f} MB of pixels in a file of {stored / 1e3:.0f} kB: it is damaged or a "
            "decompression bomb and is not opened."
        )


def check_complete(nbytes: int, stored: int, *, name: str) -> None:
    """Refuse an uncompressed file that is shorter than its pixels.

    Raises
    ------
    FileFormatError
    """
    if nbytes > stored:
        raise FileFormatError(
            f"{name} is truncated: it declares {nbytes} bytes of pixels but the file has {stored}. Copy it again "
            "from the microscope."
        )


def check_mrc(path: Path) -> None:
    """Refuse an MRC file whose header declares more pixels than it has; the reader would try to index them all.

    Raises
    ------
    FileFormatError
    """
    with path.open("rb") as file:
        header = file.read(1024)
    if len(header) < 1024:
        raise FileFormatError(f"{path.name} is truncated: an .mrc file begins with a header of 1024 bytes.")
    columns, rows, frames, mode = (int(n) for n in np.frombuffer(header[:16], "<u4"))
    declared = columns * rows * frames * _MRC_BYTES.get(mode, 1)
    check_complete(declared, path.stat().st_size - 1024, name=path.name)


def check_hdf5(file, *, name: str) -> None:
    """Refuse an open HDF5 file whose pixels lie in other files.

    Raises
    ------
    FileFormatError
    """
    import h5py

    def inspect(path: str, item) -> None:
        if isinstance(item, h5py.Dataset) and item.external:
            raise FileFormatError(f"{name}: dataset {path} points to another file, which is not followed.")
        if isinstance(item, h5py.Group):
            for key in item:
                if isinstance(item.get(key, getlink=True), h5py.ExternalLink):
                    raise FileFormatError(f"{name}: {path}/{key} points to another file, which is not followed.")

    inspect("", file)
    file.visititems(inspect)


def check_zarr(path: Path) -> None:
    """Refuse a Zarr store (folder or zip) that asks for a codec able to run code.

    Raises
    ------
    FileFormatError
    """
    for member, text in _zarr_descriptions(path):
        try:
            found = set(_codec_names(json.loads(text)))
        except (ValueError, RecursionError) as error:
            raise FileFormatError(f"{path.name}: {member} is not valid JSON; the file is damaged.") from error
        if found - SAFE_CODECS:
            raise FileFormatError(
                f"{path.name}: {member} asks for the codec {sorted(found - SAFE_CODECS)}, which can run code or is "
                "unknown; the file is not opened. Save it again from HyperSpy as .hspy."
            )


def _zarr_descriptions(path: Path):
    names = (".zarray", ".zmetadata", "zarr.json")
    if path.is_dir():
        for file in sorted(path.rglob("*")):
            if file.name in names:
                yield str(file.relative_to(path)), file.read_text(encoding="utf-8", errors="replace")
        return
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            check_frame(
                (1, info.file_size),
                np.dtype("u1"),
                info.compress_size + 1,
                name=f"{path.name}/{info.filename}",
            )
            if info.filename.rsplit("/", 1)[-1] in names:
                yield info.filename, archive.read(info).decode("utf-8", errors="replace")


def _codec_names(node):
    """Names of all codecs in a Zarr description, format 2 ('id' of filters, compressor) or 3 ('name' of codecs)."""
    if isinstance(node, list):
        for item in node:
            yield from _codec_names(item)
    elif isinstance(node, dict):
        for key, value in node.items():
            entries = value if isinstance(value, list) else [value]
            if key in ("filters", "compressor", "codecs", "index_codecs"):
                yield from (str(e.get("id", e.get("name"))) for e in entries if isinstance(e, dict))
            yield from _codec_names(value)
