"""Many windows through one model: the logit at the centre of each, both strands averaged."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

from ..base import run_record
from ..base.finite import check_scores
from ..base.options import Run
from ..base.run_folder import named_hash
from ..engines.backend import SCAN, choose, choose_device
from ..engines.cpu_engine import Substitutions
from ..engines.plan import Plan
from ..engines.strands import stacks_of
from ..model.ensemble import Ensemble
from ..model.load_model import load_model
from ..model.model_folder import ModelFolder
from ..model.tcn import TCN

# windows of one call. Tried by hand on one core of an AMD EPYC (encode-v1, bf16, 2026-11-21): 64
# gave 168,000 windows a minute, 512 190,000, this 237,000
BATCH = 2048

# codes written over a window from a base on; 4 leaves the letter that is there
Edit = tuple[int, np.ndarray]
# offsets, places and bases, see Substitutions.changes
Changes = tuple[np.ndarray, np.ndarray, np.ndarray]


class WindowScorer:
    """``scorer(codes)`` maps uint8 (n, RF) to float32 logits (n, labels).

    The plan's stride is that of the whole stack, so that of each window only what its one score
    needs is computed. On the C++ engine in fp32, which precision "auto" means here, a window with
    some other bases is scored by what these change (:class:`ChangedWindows`).
    """

    def __init__(
        self,
        model: TCN | Ensemble,
        device: str = "auto",
        precision: str = "auto",
        backend: str = "auto",
    ) -> None:
        stride = 2 ** max(member.config.blocks for member in model.members)
        if precision == "auto" and _on_engine(model, device, backend, stride):
            precision = "fp32"
        how = dict(precision=precision, backend=backend)
        self.plan = Plan(model, device, stride=stride, strand="both", **how)
        changes_alone = self.plan.backend == "cpu" and self.plan.precision == "fp32"
        self._changed = ChangedWindows(model) if changes_alone else None
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

    def copies(self, windows: np.ndarray, copies: np.ndarray) -> np.ndarray:
        """Logits float32 (draws, n, labels) of ``copies``, uint8 (draws, n, RF), each of which is
        one of the ``windows``, uint8 (n, RF), but for a few bases."""
        if self._changed is None:
            return self(copies.reshape(-1, self.width)).reshape(*copies.shape[:2], -1)
        draws = np.arange(len(copies) + 1)

        def changes(i: int) -> Changes:
            draw, place = np.nonzero(copies[:, i] != windows[i])
            return np.searchsorted(draw, draws), place, copies[draw, i, place]

        out = np.empty((*copies.shape[:2], len(self.labels)), np.float32)
        for i, logits in enumerate(self._changed(windows, changes)):
            out[:, i] = logits
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
            "inputs": [named_hash(path) for path in files],
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
        if self._changed is not None:
            changes = _written(edits)
            for i, logits in enumerate(self._changed(backgrounds, lambda _: changes)):
                out[:, i] = logits
                done(len(edits))
            return out
        at = 0
        for windows in _batches(backgrounds, edits):
            sets = len(windows) // len(backgrounds)
            out[at : at + sets] = self(windows).reshape(sets, len(backgrounds), -1)
            at += sets
            done(len(windows))
        return out


class ChangedWindows:
    """Windows with some other bases, both strands averaged, on the C++ engine in fp32: only what
    the bases change passes through the layers, one window a thread. (For encode-v1, see
    benchmarks/results/cobind.csv.)"""

    def __init__(self, model: TCN | Ensemble) -> None:
        members = ((m.folded(), m.config.grid(2**m.config.blocks)) for m in model.members)
        stacks = stacks_of(members, "both")
        self._runs = [(Substitutions(weights, grid), count) for weights, grid, count in stacks]
        self._total = sum(count for _, count in self._runs)

    def __call__(
        self, windows: np.ndarray, changes: Callable[[int], Changes]
    ) -> Iterator[np.ndarray]:
        """Of every window, uint8 (n, RF), in turn, the logits (changes, labels) of what
        ``changes(i)`` makes of it."""

        def score(i: int) -> np.ndarray:
            total, made = 0, changes(i)
            for run, count in self._runs:
                logits, gained = run.changes(windows[i], *made, threads=1)
                total += count * (logits + gained)
            check_scores(total, "the model")
            return (total / self._total).numpy()

        with ThreadPoolExecutor(torch.get_num_threads()) as pool:
            yield from pool.map(score, range(len(windows)))


def _on_engine(model: TCN | Ensemble, device: str, backend: str, stride: int) -> bool:
    """Whether a plan of the best precision would run on the C++ engine."""
    grids = tuple(member.config.grid(stride) for member in model.members)
    channels = max(member.config.channels for member in model.members)
    here = choose_device(device)
    return choose(SCAN, backend, here, "auto", grids=grids, channels=channels).backend == "cpu"


def _written(edits: Sequence[Sequence[Edit]]) -> Changes:
    """What each set of edits writes; of two at one place the later."""
    written = []
    for edit in edits:
        bases: dict[int, int] = {}
        for start, codes in edit:
            at = np.flatnonzero(codes < 4)
            bases |= zip((start + at).tolist(), codes[at].tolist(), strict=True)
        written.append(sorted(bases.items()))
    offsets = np.cumsum([0, *map(len, written)])
    flat = np.array([item for one in written for item in one], np.int64).reshape(-1, 2)
    return offsets, flat[:, 0], flat[:, 1].astype(np.uint8)


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
