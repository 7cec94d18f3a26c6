"""Room on a disk, held before it is written to. Imports nothing heavy."""

from __future__ import annotations

import errno
import io
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

_FREE = " bytes are free)"
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # numbers of errors of a disk without room


def hold(path: str | Path, n_bytes: int, mode: str = "wb") -> None:
    """Make a file so long, with room on the disk. Raises OSError that tells how much is missing."""
    try:
        with open(path, mode) as file:
            try:
                os.posix_fallocate(file.fileno(), 0, n_bytes)
            except OSError as error:
                if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
                    raise
                # a disk that cannot promise room can be filled
                for at in range(0, n_bytes, 2**20):
                    file.write(bytes(min(2**20, n_bytes - at)))
    except OSError as error:
        raise named(error, path, n_bytes) from None


@contextmanager
def writing(path: str | Path, needed: int | None = None) -> Iterator[Path]:
    """A block that writes the file ``path``, which it is given. What fails for want of room is
    raised as the OSError of :func:`named`: libraries, and ``write`` itself, name no file."""
    try:
        yield Path(path)
    except OSError as error:
        if error.errno not in FULL or _FREE in (error.strerror or ""):
            raise
        raise named(error, path, needed) from None


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write a file whole. Raises OSError; of a full disk as :func:`named` tells it."""
    with writing(path, len(data)) as file:
        file.write_bytes(data)


def write_text(path: str | Path, text: str) -> None:
    """The same of a text, in UTF-8 and with the line ends that it has."""
    write_bytes(path, text.encode())


def save_array(path: str | Path, array: np.ndarray) -> None:
    """The same of an array, as a .npy file of just this name."""
    import numpy as np

    with writing(path, array.nbytes + 128), open(path, "wb") as file:
        # to a file that it knows NumPy writes by itself, and forgets why a write failed
        np.save(SimpleNamespace(write=file.write), array)


def save_arrays(path: str | Path, arrays: Mapping[str, np.ndarray]) -> None:
    """The same of arrays by name, as a compressed .npz file."""
    import numpy as np

    with writing(path), open(path, "wb") as file:
        np.savez_compressed(file, **arrays)


def new_array(path: str | Path, dtype: type, shape: tuple[int, ...]) -> np.memmap:
    """A new .npy file of zeros as a map to write to. Its room is held first: to write to a map of a
    file with holes, on a full disk, kills the process (SIGBUS). Raises OSError as :func:`hold`."""
    import numpy as np

    dtype, head = np.dtype(dtype), io.BytesIO()
    about = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(head, about)
    hold(path, head.tell() + dtype.itemsize * int(np.prod(shape, dtype=np.int64)))
    with open(path, "r+b") as file:
        file.write(head.getvalue())
    return np.lib.format.open_memmap(path, "r+")


def named(error: OSError, path: str | Path, needed: int | None = None) -> OSError:
    """The same error with the file, or folder, that it is about. Of a disk without room: with the
    bytes that are free, and those that are ``needed``."""
    words = error.strerror
    if error.errno in FULL:
        need = "" if needed is None else f"{needed:,} bytes are needed, "
        words += f" ({need}{_free(path):,}{_FREE}"
    return OSError(error.errno, words, str(path))


def _free(path: str | Path) -> int:
    """Bytes that may be written to the disk of a file or folder."""
    place = Path(path).absolute()
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free


def remove(path: Path) -> None:
    """Delete a file, a link itself, or a folder with all that is in it."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
