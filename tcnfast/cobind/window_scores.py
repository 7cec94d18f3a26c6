"""Many windows through one model: the logit at the centre of each, both strands averaged."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from ..base import run_record
from ..base.finite import check_scores
from ..base.options import Run
from ..base.run_folder import file_hash
from ..engines.plan import Plan
from ..model.ensemble import Ensemble
from ..model.load_model import load_model
from ..model.model_folder import ModelFolder
from ..model.tcn import TCN

# windows of one call. Tried by hand on one core of an AMD EPYC (encode-v1, bf16, 2026-11-21): 64
# gave 168,000 windows a minute, 512 190,000, this 237,000
BATCH = 2048

# codes written over a window from a base on; 4 leaves the letter that is there
Edit = tuple[int, np.ndarray]


class WindowScorer:
    """``scorer(codes)`` maps uint8 (n, RF) to float32 logits (n, labels).

    The plan's stride is that of the whole stack, so that of each window only what its one score
    needs is computed.
    """

    def __init__(self, model: TCN | Ensemble, **device: str) -> None:
        stride = 2 ** max(member.config.blocks for member in model.members)
        self.plan = Plan(model, stride=stride, strand="both", **device)
        self.labels = self.plan.labels
        self.width = self.plan.receptive_field

    def __call__(self, codes: np.ndarray) -> np.ndarray:
        out = np.empty((len(codes), len(self.labels)), np.float32)
        for first in range(0, len(codes), BATCH):
            part = slice(first, first + BATCH)
            logits = self.plan(codes[part])[:, 0].cpu()
            check_scores(logits, "the model")
            out[part] = logits.numpy()
        return out

    @classmethod
    def open(cls, model: str | Path, run: Run) -> WindowScorer:
        """Of a model's folder or bundled name, on the device that ``run`` names."""
        found = load_model(model)
        return cls(found, device=run.device, precision=run.precision, backend=run.backend)

    def key(self, model: str | Path, files: Sequence[str | Path]) -> dict:
        """What scores depend on, and the ``files`` that were read, for an output's key; ``model``:
        folder or bundled name."""
        return {
            "inputs": [(Path(path).name, file_hash(path)) for path in files],
            "tcnfast": run_record.version(),
            "model": ModelFolder(model).hash,
            "device": self.plan.device.type,
            "backend": self.plan.backend,
            "instructions": self.plan.instructions,
            "precision": self.plan.precision,
        }

    def edited(
        self,
        backgrounds: np.ndarray,
        edits: Sequence[Sequence[Edit]],
        done: Callable[[int], None] = lambda windows: None,
    ) -> np.ndarray:
        """Logits float32 (edits, backgrounds, labels) of every background under every set of
        edits; ``done`` is told how many windows were scored."""
        out = np.empty((len(edits), len(backgrounds), len(self.labels)), np.float32)
        at = 0
        for windows in _batches(backgrounds, edits):
            sets = len(windows) // len(backgrounds)
            out[at : at + sets] = self(windows).reshape(sets, len(backgrounds), -1)
            at += sets
            done(len(windows))
        return out


def _batches(backgrounds: np.ndarray, edits: Sequence[Sequence[Edit]]) -> Iterator[np.ndarray]:
    """Windows of as many sets of edits as fill a batch."""
    n = len(backgrounds)
    sets = max(1, BATCH // n)
    for first in range(0, len(edits), sets):
        some = edits[first : first + sets]
        windows = np.tile(backgrounds, (len(some), 1))
        for index, edit in enumerate(some):
            for start, codes in edit:
                written = np.flatnonzero(codes < 4)
                windows[index * n : (index + 1) * n, start + written] = codes[written]
        yield windows
