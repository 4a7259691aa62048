"""NPZ archives from elsewhere: arrays of numbers and strings, their sizes known before any is made."""

from __future__ import annotations

import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from infoagent.parsing import FILE_BYTES, MIB, limit_bytes, over_limit

Arrays = dict[str, NDArray[Any]]
KINDS = "biufUS"
"""Of numpy: booleans, whole and real numbers, strings. Objects are programs, and nothing here is complex."""
MOST_ARRAYS = 100
_DIMENSIONS = 3


def read_arrays(path: str | Path) -> Arrays:
    """The arrays of an .npz by name. Raises ValueError for anything else, for arrays of other KINDS, and for a few packed
    bytes that claim to be gigabytes."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if len(members) > MOST_ARRAYS:
                raise ValueError(f"it holds {len(members)} files; at most {MOST_ARRAYS} are read")
            _check_sizes(members, Path(path).stat().st_size)
            return {member.filename.removesuffix(".npy"): _array(archive, member) for member in members}
    except (
        OSError,
        EOFError,
        TypeError,
        LookupError,
        AttributeError,
        ArithmeticError,
        SyntaxError,
        RuntimeError,
        RecursionError,
        zipfile.BadZipFile,
        zlib.error,
        tokenize.TokenError,
        ValueError,
    ) as error:
        # damaged headers break zipfile and numpy in whatever place they happen to be
        said = " ".join(str(error).split())[:200] or type(error).__name__
        raise ValueError(f"not an .npz file of arrays: {said}") from error


def _check_sizes(members: list[zipfile.ZipInfo], on_disk: int) -> None:
    limit = limit_bytes(FILE_BYTES)
    kept = sum(member.file_size for member in members if member.compress_type == zipfile.ZIP_STORED)
    if kept > on_disk:
        raise ValueError(f"its arrays claim {kept} bytes, and it holds {on_disk}")
    if sum(member.file_size for member in members) - kept > limit:
        raise ValueError(over_limit(limit))


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> NDArray[Any]:
    name = member.filename.removesuffix(".npy")
    with archive.open(member) as stream:
        version = npy.read_magic(stream)
        readers: dict[tuple[int, int], Any] = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
        if version not in readers:
            raise ValueError(f"its array {name!r} is of format {version}, which is not read")
        shape, columns_first, dtype = readers[version](stream)
        if dtype.kind not in KINDS or len(shape) > _DIMENSIONS:
            raise ValueError(f"its array {name!r} is of type {dtype} and shape {shape}; needed are numbers or strings")
        count = 1
        for length in shape:
            if not 0 <= length <= member.file_size:
                raise ValueError(f"its array {name!r} claims the shape {shape}")
            count *= length
        size = count * dtype.itemsize
        if size > member.file_size:
            raise ValueError(f"its array {name!r} claims {size // MIB} MiB, and holds {member.file_size // MIB}")
        if not dtype.itemsize or not count:
            return np.zeros(shape, dtype)
        return _filled(stream, shape, columns_first, dtype, size)


def _filled(stream: IO[bytes], shape: Any, columns_first: bool, dtype: Any, size: int) -> NDArray[Any]:
    content = stream.read(size)
    if len(content) < size or stream.read(1):
        raise EOFError("an array is cut off, or longer than it says")
    array = np.frombuffer(content, dtype).reshape(shape, order="F" if columns_first else "C")
    if dtype.kind == "U" and (np.ascontiguousarray(array).view(np.dtype("<u4")) > 0x10FFFF).any():
        raise ValueError("a string of it holds no characters")
    return array.astype(dtype.newbyteorder("="))
