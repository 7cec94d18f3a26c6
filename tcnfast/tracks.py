"""What a scan writes: narrowPeak calls and bigWig tracks, and the shards they are made from."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from .errors import TcnfastError
from .peaks import Runs

SHARD_DTYPE = np.dtype(np.float16)  # of probabilities: steps of at most 0.0005
BIGWIG_STEP_BYTES = 8  # more than a step of random values takes with its zoom levels, about 5.2
CHUNK_STEPS = 2**20  # values of one track in memory at once


def probability(logit: np.ndarray) -> np.ndarray:
    """Logistic function, float64, without overflow."""
    return 0.5 * (1 + np.tanh(0.5 * np.asarray(logit, np.float64)))


def file_names(labels: list[str]) -> list[str]:
    """A file name for each label: what no file system minds stays as it is.

    Raises TcnfastError where two labels would share a file.
    """
    safe = ["".join(c if c.isalnum() or c in "@._+-" else "_" for c in x) for x in labels]
    for index, name in enumerate(safe):
        other = safe.index(name)
        if other != index:
            raise TcnfastError(f"labels {labels[other]!r} and {labels[index]!r} share a file name")
    return safe


def narrowpeak_lines(
    chrom: str, label: str, calls: Runs, start: np.ndarray, end: np.ndarray, stride: int
) -> Iterator[str]:
    """Calls of one label as narrowPeak rows.

    score = round(1000 p), signalValue = p, p the largest probability in the call; p- and q-value
    are -1 (not given); the summit is the centre of the best step, as an offset from the start.
    """
    largest = probability(calls.best)
    summit = np.minimum(calls.best_at * stride + stride // 2, end - 1) - start
    for row in range(len(calls)):
        p = largest[row]
        yield (
            f"{chrom}\t{start[row]}\t{end[row]}\t{label}\t{round(1000 * p)}\t.\t{p:.4f}"
            f"\t-1\t-1\t{summit[row]}\n"
        )


class TrackShard:
    """Probabilities of some labels along one contig, float16, track after track in one raw file."""

    def __init__(self, path: Path, n_tracks: int, n_steps: int) -> None:
        self.path, self.n_tracks, self.n_steps = path, n_tracks, n_steps

    def create(self) -> None:
        """Lay out the file, every value NaN (no score)."""
        blank = np.full(min(self.n_steps, CHUNK_STEPS), np.nan, SHARD_DTYPE).tobytes()
        left = self.n_tracks * self.n_steps * SHARD_DTYPE.itemsize
        with open(self.path, "wb") as file:
            while left > 0:
                left -= file.write(blank[:left])

    def write(self, first_step: int, logits: np.ndarray) -> None:
        """``logits`` (steps, tracks): each track goes to its own place."""
        values = np.ascontiguousarray(probability(logits).T.astype(SHARD_DTYPE))
        with open(self.path, "r+b", buffering=0) as file:
            for track, row in enumerate(values):
                view, at = memoryview(row.tobytes()), self._offset(track, first_step)
                while view:
                    written = os.pwrite(file.fileno(), view, at)
                    view, at = view[written:], at + written

    def read(self, track: int, first_step: int, n: int) -> np.ndarray:
        offset = self._offset(track, first_step)
        return np.fromfile(self.path, SHARD_DTYPE, n, offset=offset).astype(np.float32)

    def _offset(self, track: int, step: int) -> int:
        return (track * self.n_steps + step) * SHARD_DTYPE.itemsize


def write_bigwig(
    path: Path,
    sizes: dict[str, int],
    shards: Sequence[tuple[str, TrackShard]],
    track: int,
    stride: int,
) -> None:
    """One label's bigWig: one value per step, gaps where there is no score.

    ``sizes`` gives the header; ``shards`` come in its order.
    """
    import pyBigWig

    _reserve(path, BIGWIG_STEP_BYTES * sum(shard.n_steps for _, shard in shards) + 2**20)
    with pyBigWig.open(str(path), "w") as bigwig:
        bigwig.addHeader(list(sizes.items()))
        for chrom, shard in shards:
            for first in range(0, shard.n_steps, CHUNK_STEPS):
                values = shard.read(track, first, min(CHUNK_STEPS, shard.n_steps - first))
                _add_steps(bigwig, chrom, sizes[chrom], first, values, stride)
    _check_whole(path)


def _reserve(path: Path, n_bytes: int) -> None:
    """Raise OSError now if the disk has no room: libBigWig does not notice a write that fails."""
    with open(path, "wb") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, n_bytes)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):  # what some disks cannot do
                raise OSError(error.errno, error.strerror, str(path)) from None
    path.unlink()


def _check_whole(path: Path) -> None:
    """Raise OSError for a file without the magic number that ends a bigWig."""
    with open(path, "rb") as file:
        magic = file.read(4)
        file.seek(-4, os.SEEK_END)
        if file.read() != magic:
            raise OSError(errno.ENOSPC, "not written whole; is the disk full?", str(path))


def _add_steps(bigwig, chrom: str, size: int, first: int, values: np.ndarray, stride: int) -> None:
    """Add scored steps as fixed-step runs; a partial last step gets an interval of its own."""
    scored = ~np.isnan(values)
    edges = np.flatnonzero(np.diff(np.r_[False, scored, False].astype(np.int8)))
    for begin, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        partial = (first + end) * stride > size
        whole = end - 1 if partial else end
        if whole > begin:
            at = (first + begin) * stride
            run = values[begin:whole]
            bigwig.addEntries(chrom, at, values=run, span=stride, step=stride)
        if partial:
            at = (first + whole) * stride
            bigwig.addEntries([chrom], [at], ends=[size], values=[float(values[whole])])
