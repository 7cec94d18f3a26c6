"""Features of many windows, computed a part at a time, so that a stop costs one part."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..base.arrays import read_arrays
from ..base.progress import Progress
from ..base.tables import replace_file

PART = 64  # windows
FEATURES = "features"  # folder of them in that of an unfinished run


@dataclass(frozen=True)
class Work:
    """Where a fit that takes minutes keeps what it has done (a folder of this very fit; None:
    nowhere), and whether it shows progress."""

    folder: Path | None = None
    progress: bool = False

    def is_begun(self) -> bool:
        """Whether something is kept, for a later fit to go on with."""
        return self.folder is not None and self.folder.is_dir() and any(self.folder.iterdir())


def features_of(
    compute: Callable[[np.ndarray], np.ndarray], codes: np.ndarray, work: Work
) -> tuple[np.ndarray, float]:
    """float32 (n, channels), which ``compute`` gives of uint8 codes (n, L), and the processor's
    seconds that earlier fits spent on what was found in ``work``."""
    parts, earlier = [], 0.0
    with Progress(len(codes), "window", work.progress) as bar:
        for start in range(0, len(codes), PART):
            here = codes[start : start + PART]
            path = None if work.folder is None else work.folder / f"{start:07d}.npz"
            if path is not None and path.exists():
                found = read_arrays(path, "features", "windows train")
                parts.append(found["features"])
                earlier += float(found["seconds"])
                bar.begin_at(len(here))
                continue
            worked = time.process_time()
            parts.append(compute(here))
            if path is not None:
                _keep(path, parts[-1], time.process_time() - worked)
            bar.update(len(here))
    return np.concatenate(parts), earlier


def _keep(path: Path, features: np.ndarray, seconds: float) -> None:
    path.parent.mkdir(exist_ok=True)
    data = io.BytesIO()
    np.savez(data, features=features, seconds=seconds)
    replace_file(path, data.getvalue())
