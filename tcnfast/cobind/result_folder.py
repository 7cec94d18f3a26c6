"""An output folder written at one go, with what ran in its run.json."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..base import run_record
from ..base.run_folder import OutputFolder


@contextmanager
def result_folder(out: str | Path, key: dict, force: bool) -> Iterator[tuple[Path, dict]]:
    """An empty folder that becomes ``out`` once the block is through, or nothing if it raises; and
    a dict, for run.json, that the block may add to. ``key`` as of :class:`OutputFolder`."""
    started = time.monotonic()
    output = OutputFolder(out, key, force, resume=None)
    record: dict = {"versions": run_record.versions()}
    try:
        result = output.work / "result"
        result.mkdir()
        yield result, record
    except BaseException:
        output.discard()
        raise
    output.publish(result, record | {"seconds": round(time.monotonic() - started, 1)})
