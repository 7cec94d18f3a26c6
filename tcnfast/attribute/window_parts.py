"""Windows explained in parts, for shards and clusters: which, how, and what is in their files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..base.options import Run
from ..base.run_record import version
from ..base.talk import count
from ..engines import cpu_engine
from ..genome.genome import Genome
from ..genome.intervals import Intervals
from ..model.model_folder import ModelFolder
from ..scan.part_files import Part
from ..scan.stretch_worker import Ran
from . import SiteOptions
from .explained import Explained, Explainer
from .regions import window_codes

WINDOWS = 128  # of a part, about


def window_parts(
    groups: Sequence[Sequence[str]], sites: dict[str, Intervals], batch: int
) -> list[Part]:
    """The windows of every group of labels that are explained together, some to a part, in order.
    ``what`` is the labels and the first window and the one behind the last."""
    step, parts = batch * -(-WINDOWS // batch), []
    for labels in groups:
        n = len(sites[labels[0]])
        for first in range(0, n, step):
            last = min(first + step, n)
            about = labels[0] if len(labels) == 1 else count(len(labels), "label")
            words = f"{about} from {labels[0]}, " if len(labels) > 1 else f"{about}, "
            words += f"windows {first + 1} to {last}"
            what = tuple(labels), first, last
            parts.append(Part(len(parts), words, what, (last - first) * len(labels)))
    return parts


class WindowMaker:
    """Explains the windows of a part."""

    def __init__(self, genome: Genome, explainer: Explainer, sites: dict[str, Intervals]) -> None:
        self._genome, self._explainer, self._sites = genome, explainer, sites
        device = explainer.device.type
        backend = "plain PyTorch" if explainer.why_slow else "compiled code"
        isa = cpu_engine.isa() if device == "cpu" and not explainer.why_slow else None
        self.ran = Ran(device, backend, explainer.words, isa, explainer.one_pass, version())

    def arrays(self, part: Part) -> dict[str, np.ndarray]:
        """uint8 ``codes`` (n, L), float32 ``hypothetical`` (labels, n, 4, L), ``logit`` and ``gap``
        (labels, n)."""
        labels, first, last = part.what
        explainer, sites = self._explainer, self._sites[labels[0]]
        wanted = [explainer.labels.index(label) for label in labels]
        codes, found = [], []
        for at in range(first, last, explainer.batch):
            rows = range(at, min(at + explainer.batch, last))
            codes.append(window_codes(self._genome, sites, explainer.receptive_field, rows))
            found.append(explainer.explain(codes[-1], wanted))
        arrays = {}
        for name in Explained._fields:
            of_labels = ([getattr(some[i], name) for some in found] for i in range(len(labels)))
            arrays[name] = np.stack([np.concatenate(pieces) for pieces in of_labels])
        return {"codes": np.concatenate(codes)} | arrays


@dataclass(frozen=True)
class MakeWindows:
    """Makes the maker of another process; picklable."""

    make: Callable[[ModelFolder, SiteOptions, Run], Explainer]
    model: str
    genome: tuple[str, ...]
    options: SiteOptions
    run: Run
    sites: dict[str, Intervals]

    def __call__(self) -> WindowMaker:
        explainer = self.make(ModelFolder(self.model), self.options, self.run)
        return WindowMaker(Genome(*self.genome), explainer, self.sites)


def read_explained(paths: Sequence[Path]) -> Iterator[tuple[np.ndarray, list[Explained]]]:
    """Codes and what was found of each label, file by file."""
    for path in paths:
        with np.load(path) as file:
            rows = zip(*(file[name] for name in Explained._fields), strict=True)
            yield file["codes"], [Explained(*row) for row in rows]
