"""Arrays of files that may be a stranger's: data only, and never more of it than the file can hold.

numpy is imported when a file is read.
"""

from __future__ import annotations

import math
import os
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO

from .errors import TcnfastError
from .input_files import open_input

_MOST_RATIO = 1032  # of deflate: what claims to be longer is no archive of ours
_KINDS = "biufcSU"  # of numpy's types: numbers, truth values, text


def read_arrays(path: str | Path, what: str, command: str) -> dict:
    """The arrays of an npz file by name. ``what`` they are and the ``command`` that writes them,
    for TcnfastError where the file is missing or is none.

    Headers are looked at before an array is read: its type must be a number or text, and its length
    what the archive says. Pickles, encryption and other compression than deflate are refused.
    """
    try:
        with open_input(path) as file, zipfile.ZipFile(file) as archive:
            size = file.seek(0, os.SEEK_END)
            arrays = {}
            for member in archive.infolist():
                name = member.filename.removesuffix(".npy")
                if name in arrays:
                    raise ValueError(f"{name} is there twice")
                arrays[name] = _member(archive, member, size)
            return arrays
    except FileNotFoundError:
        raise TcnfastError(f"{path}: no such file; tcnfast {command} writes it") from None
    except (ValueError, EOFError, OSError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise TcnfastError(f"{path}: no {what} of tcnfast ({error})") from None


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, size: int):
    name = member.filename
    if member.flag_bits & 0x1 or member.compress_type not in (
        zipfile.ZIP_STORED,
        zipfile.ZIP_DEFLATED,
    ):
        raise ValueError(f"{name} is encrypted, or compressed in another way than numpy does")
    most = member.compress_size
    if member.compress_type == zipfile.ZIP_DEFLATED:
        most *= _MOST_RATIO
    if member.compress_size > size or member.file_size > most:
        raise ValueError(f"{name} claims {member.file_size:,} bytes, more than the file can hold")
    with archive.open(member) as file:
        return _array(file, name, member.file_size)


def _array(file: BinaryIO, name: str, size: int):
    """The array in a .npy file of ``size`` bytes. Raises ValueError for what is none."""
    import numpy as np
    from numpy.lib import format as npy

    version = npy.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"{name} is of another version of numpy's format")
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            shape, by_columns, dtype = read(file)
    except Exception as error:  # its text is Python, which may be broken in many ways
        raise ValueError(f"{name} has no header of numpy ({error})") from None
    if dtype.kind not in _KINDS or dtype.hasobject:
        raise ValueError(f"{name} holds {dtype}, neither numbers nor text")
    if any(n < 0 for n in shape) or len(shape) > 8:
        raise ValueError(f"{name} has the shape {shape}")
    length = math.prod(shape) * dtype.itemsize
    if length != size - file.tell():
        raise ValueError(f"{name} holds {size - file.tell():,} bytes, {shape} takes {length:,}")
    data = file.read(length)
    if len(data) != length:
        raise ValueError(f"{name} is cut short")
    array = np.frombuffer(bytearray(data), dtype)
    return array.reshape(shape, order="F" if by_columns else "C")


def read_array(path: str | Path):
    """The array of a .npy file, of numbers or text. Raises TcnfastError where it is none."""
    try:
        with open(path, "rb") as file:
            return _array(file, Path(path).name, os.fstat(file.fileno()).st_size)
    except OSError as error:
        raise TcnfastError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, EOFError) as error:
        raise TcnfastError(f"{path}: no array ({error})") from None
