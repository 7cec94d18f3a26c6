"""The bigWigs of tracks, made by pyBigWig of the shards of their contigs' stretches.

Many are made at a time, in processes, as pyBigWig lets no other thread run. So that they start
fast, this module needs neither PyTorch nor numba.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import numpy as np

from ..base.disk import hold
from .child import ONE_THREAD, Child, Parent, serve

# what a track may show: two decimals from 0.1 up, three below. Half a hundredth is half a pixel of
# a track of 100 pixels, and the rare labels, whose calls begin at 0.005, keep their shape
VALUES = np.concatenate([np.arange(100) / 1000, np.arange(10, 101) / 100]).astype(np.float32)
NOTHING = 255  # the level of a step without a value; the others are places in VALUES

# more than libBigWig writes of random values and gaps (measured: 7.1, 19, 79)
INTERVAL_BYTES, BIN_BYTES, CONTIG_BYTES = 9, 24, 160

INDEX_BLOCK = 2**15 - 1  # contigs to a block of a bigWig's index of names

# of shards for each process, 8 an interval: with less, starting them (0.2 s each) costs more than
# they save
WORTH_A_PROCESS = 2**19
WRITER = __name__  # the module whose ``main`` a process runs


@dataclass(frozen=True)
class Track:
    """What one bigWig is made of.

    ``sizes``: contig to bases, for the header; ``shards``: of each, in that order, the finished
    shards of its stretches, of ``labels`` labels, of which this is the track of number ``label``;
    ``stride``: bases of a step.
    """

    path: str
    sizes: dict[str, int]
    shards: list[list[str]]
    labels: int
    label: int
    stride: int


class TrackReader:
    """The tracks of a contig: of finished :class:`tcnfast.scan.track_shards.TrackShard` files of
    ``labels`` labels, its stretches in their order."""

    def __init__(self, paths: Sequence[str | Path], labels: int) -> None:
        # of each block its file, where its changes lie, and the first of each label among them
        self._blocks: list[tuple[str | Path, int, np.ndarray]] = []
        for path in paths:
            at, size = 0, os.path.getsize(path)
            while at < size:
                counts = np.fromfile(path, np.int64, labels, offset=at)
                at += counts.nbytes
                firsts = np.concatenate([[0], np.cumsum(counts)])
                self._blocks.append((path, at, firsts))
                at += 8 * int(firsts[-1])

    def changes(self, label: int) -> int:
        """How many there are: no fewer than runs."""
        return sum(int(firsts[label + 1] - firsts[label]) for _, _, firsts in self._blocks)

    def runs(self, label: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """First step, last step + 1 and value of the runs of equal value, a block at a time."""
        held = np.empty(0, np.uint64)
        for path, at, firsts in self._blocks:
            first, n = int(firsts[label]), int(firsts[label + 1] - firsts[label])
            changes = np.fromfile(path, np.uint64, n, offset=at + 8 * first)
            changes = _seamless(np.concatenate([held, changes]))
            # the last may yet be taken back, and then what is before it goes on
            held = changes[-2:]
            yield _runs(changes[:-1])
        yield _runs(held)


def _seamless(changes: np.ndarray) -> np.ndarray:
    """Without what is no change where two blocks meet: one that another at the same step takes
    back, and one to the level that was there before."""
    if not len(changes):
        return changes
    step = changes >> np.uint64(8)
    changes = changes[np.append(step[1:] != step[:-1], True)]
    level = changes & np.uint64(255)
    return changes[np.append(True, level[1:] != level[:-1])]


def _runs(changes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What lies between changes and has a value."""
    step, level = (changes >> np.uint64(8)).astype(np.int64), changes & np.uint64(255)
    valued = np.flatnonzero(level[:-1] != NOTHING)
    return step[valued], step[valued + 1], VALUES[level[valued].astype(np.int64)]


def write_bigwig(track: Track) -> None:
    """One interval for each run of equal value; gaps, and what no run covers, have no value.
    Raises OSError as :func:`whole_bigwig`."""
    shards, sizes = dict(zip(track.sizes, track.shards, strict=True)), header_sizes(track.sizes)
    readers = [TrackReader(shards[chrom], track.labels) for chrom in sizes]
    n_intervals = sum(reader.changes(track.label) for reader in readers)
    room = _most_bytes(n_intervals, track.sizes, track.stride)
    with whole_bigwig(track.path, room) as bigwig:
        bigwig.addHeader(list(sizes.items()))
        for (chrom, size), reader in zip(sizes.items(), readers, strict=True):
            for first, end, value in reader.runs(track.label):
                if len(first):
                    start = (first * track.stride).astype(np.uint32)
                    end = np.minimum(end * track.stride, size).astype(np.uint32)
                    bigwig.addEntries([chrom] * len(start), start, ends=end, values=value)


@contextmanager
def whole_bigwig(path: str, room: int) -> Iterator:
    """A bigWig to write, which is whole when the block has ended. ``room``: the most bytes that it
    may take.

    libBigWig reports no failed write, and may crash over one, so room for the file is held before
    anything is written, and its end is looked for after. Raises OSError where the disk is full or
    the file may not grow.
    """
    import pyBigWig  # here, for nothing else of a scan needs it

    hold(path, room, "wb")  # so that no full disk is met once libBigWig has begun
    try:
        with pyBigWig.open(path, "w") as bigwig:
            hold(path, room, "r+b")  # as pyBigWig has emptied the file
            yield bigwig
    except SystemError:  # all that pyBigWig makes of libBigWig's errors
        raise _not_whole(path) from None
    _trim(path)


def most_bytes_of_bases(bases: int, stretches: int, sizes: Mapping[str, int]) -> int:
    """More than a bigWig of a value at each of ``bases``, in ``stretches``, takes."""
    bins = sum(bases / width + 2 * stretches for width in 16 * 4.0 ** np.arange(10))
    contig_bytes = CONTIG_BYTES + max(map(len, sizes), default=0)
    return 2**16 + INTERVAL_BYTES * bases + int(BIN_BYTES * bins) + contig_bytes * len(sizes)


def header_sizes(sizes: Mapping[str, int]) -> dict[str, int]:
    """Contigs and lengths in the order of a bigWig: their own if its index is one block, else by
    the bytes of their names. Of several blocks, readers search the last one whose first name is not
    above the name they want, and libBigWig does not sort."""
    if len(sizes) <= INDEX_BLOCK:
        return dict(sizes)
    return {name: sizes[name] for name in sorted(sizes, key=str.encode)}


def _most_bytes(n_intervals: int, sizes: dict[str, int], stride: int) -> int:
    """More than a bigWig takes. Bins of the finest zoom level are 16 times the mean interval, of
    the next ones four times as wide each, and only those with a value are written."""
    widths = 16 * max(1, stride - 1) * 4.0 ** np.arange(10)
    bins = np.minimum(1.1 * n_intervals, sum(sizes.values()) / widths + len(sizes)).sum()
    contig_bytes = CONTIG_BYTES + max(map(len, sizes), default=0)
    body = INTERVAL_BYTES * n_intervals + BIN_BYTES * int(bins) + contig_bytes * len(sizes)
    return 2**16 + body


def _trim(path: str) -> None:
    """Cut the zeros of room that was not needed, after the magic number that ends a bigWig.

    Raises OSError where it does not end so.
    """
    with open(path, "r+b") as file:
        magic, end = file.read(4), os.path.getsize(path)
        written = np.empty(0, int)
        while end and not len(written):
            begin = max(0, end - 2**20)
            file.seek(begin)
            written = np.flatnonzero(np.frombuffer(file.read(end - begin), np.uint8))
            end = begin + (int(written[-1]) + 1 if len(written) else 0)
        file.seek(max(0, end - 4))
        if end < 64 or file.read(4) != magic:
            raise _not_whole(path)
        file.truncate(end)


def _not_whole(path: str) -> OSError:
    return OSError(errno.ENOSPC, "not written whole; is the disk full, or memory short?", path)


def write_bigwigs(tracks: Sequence[Track], processes: int) -> None:
    """The bigWigs of ``tracks``, which are of the same shards, ``processes`` at a time.

    Without processes where there is one track, where one process is allowed, and where the shards
    hold less than WORTH_A_PROCESS a process. Raises OSError when the disk is full and TcnfastError
    when a process was killed; the others are ended then, as they are when this is interrupted.
    """
    size = sum(os.path.getsize(path) for shards in tracks[0].shards for path in shards)
    processes = min(processes, len(tracks))
    if processes == 1 or size < WORTH_A_PROCESS * processes:
        for track in tracks:
            write_bigwig(track)
        return
    todo, children, ended = iter(tracks), set(), Event()

    def work() -> None:
        child = Child(WRITER, "tracks", "fewer --threads need less", ONE_THREAD)
        children.add(child)
        try:
            for track in todo:
                if ended.is_set():
                    return
                child.name = Path(track.path).name
                child.send(track)
                child.receive()
        finally:
            child.end()

    with ThreadPoolExecutor(processes, thread_name_prefix="tracks") as pool:
        try:
            started = [pool.submit(work) for _ in range(processes)]
            for done in wait(started, return_when=FIRST_EXCEPTION).done:
                done.result()
        except BaseException:
            ended.set()
            for child in children.copy():
                child.process.kill()
            raise


def main(number: int) -> None:
    """What a process of :func:`write_bigwigs` runs."""
    serve(number, _write_several)


def _write_several(parent: Parent) -> None:
    while True:
        track = parent.receive()
        try:
            write_bigwig(track)
        except MemoryError:
            raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM), track.path) from None
        parent.send(None)
