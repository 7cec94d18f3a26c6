"""Many tracks at a time, each in a process of its own: pyBigWig lets no other thread run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import asdict
from pathlib import Path
from threading import Event

from ..base.errors import TcnfastError
from . import track_bigwig
from .track_bigwig import FAILED, Track, write_bigwig

# of shards for each track, 8 an interval: with less, starting processes (0.1 s each) costs more
# than they save
WORTH_A_PROCESS = 2**19


def write_bigwigs(tracks: Sequence[Track], processes: int) -> None:
    """The bigWigs of ``tracks``, which are of the same shards, ``processes`` at a time.

    Without processes where there is one track, where one process is allowed, and where the shards
    hold less than WORTH_A_PROCESS a track. Raises OSError when the disk is full and TcnfastError
    when a process was killed; the others are ended then, as they are when this is interrupted.
    """
    size = sum(os.path.getsize(path) for shards in tracks[0].shards for path in shards)
    if min(processes, len(tracks)) == 1 or size < WORTH_A_PROCESS * len(tracks):
        for track in tracks:
            write_bigwig(track)
        return
    running = _Running()
    with ThreadPoolExecutor(processes, thread_name_prefix="tracks") as pool:
        try:
            written = [pool.submit(running.write, track) for track in tracks]
            for done in wait(written, return_when=FIRST_EXCEPTION).done:
                done.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            running.end()
            raise


class _Running:
    """The processes that run now."""

    def __init__(self) -> None:
        self._ended = Event()
        self._processes: set[subprocess.Popen] = set()

    def write(self, track: Track) -> None:
        """Run the process of a track and wait for it."""
        process = subprocess.Popen(
            [sys.executable, "-P", track_bigwig.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},  # numpy starts as many as cores
        )
        self._processes.add(process)
        if self._ended.is_set():
            process.kill()
        output, errors = process.communicate(json.dumps(asdict(track)))
        self._processes.discard(process)
        _check(track, process.returncode, output, errors)

    def end(self) -> None:
        """Kill them, and those that are about to start."""
        self._ended.set()
        for process in self._processes.copy():
            process.kill()


def _check(track: Track, code: int, output: str, errors: str) -> None:
    """Raise what went wrong in the process of a track."""
    if code == FAILED:
        raise OSError(*json.loads(output))
    if code == -signal.SIGINT:  # it saw Ctrl-C first
        raise KeyboardInterrupt
    name = Path(track.path).name
    if code < 0:
        raise TcnfastError(
            f"{name}: the process that wrote it was killed ({signal.Signals(-code).name}); is "
            "memory short? --threads sets how many run at a time"
        )
    if code:
        last = errors.strip().splitlines()[-1:] or [f"exit status {code}"]
        raise RuntimeError(f"{name}: {last[0]}")
