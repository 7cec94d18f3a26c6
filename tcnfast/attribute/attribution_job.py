"""From sites to files, batch by batch: memory does not grow with the number of windows."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..base.errors import TcnfastError
from ..base.progress import Progress
from ..genome.genome import Genome
from ..scan.tracks import file_names
from ..windows.grad_cam import GradCam
from . import attribution_files as files
from .attributions import Attributions
from .explained import Explained
from .ig_baselines import BASELINES
from .integrated_gradients import corrected_gradient, integrated_gradients_of
from .mutagenesis import Mutagenesis
from .networks import Networks
from .regions import Sites, count_n, describe

log = logging.getLogger(__name__)

METHODS = ("ig", "ism", "gradient", "gradcam")
BATCH = {
    "ig": 8,
    "ism": 1,
    "gradient": 64,
    "gradcam": 32,
}  # windows at once: what of them fits the cache
# labels of the same windows at once: all by mutagenesis, whose cost is that of one; by integrated
# gradients so many that the forward pass hardly counts, and that a run that is stopped has some
TOGETHER = {"ig": 8, "ism": None, "gradient": 1, "gradcam": None}
TABLE = "attributions.tsv"
COLUMNS = ("label", "chrom", "start", "end", "summit", "logit", "completeness_gap")


@dataclass(frozen=True)
class AttributeOptions:
    """How logits are attributed. ``steps``, ``baseline``, ``shuffles`` and ``seed`` are of
    integrated gradients, ``layers`` of Grad-CAM (none: the last)."""

    method: str = "ig"
    baseline: str = "zeros"
    steps: int = 50
    shuffles: int = 10
    seed: int = 0
    layers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise TcnfastError(f"method {self.method!r}: must be one of {', '.join(METHODS)}")
        if self.baseline not in BASELINES:
            raise TcnfastError(f"baseline {self.baseline!r}: must be one of {', '.join(BASELINES)}")
        for name in ("steps", "shuffles"):
            if getattr(self, name) < 1:
                raise TcnfastError(f"{name} {getattr(self, name)}: must be at least 1")

    def words(self) -> str:
        """The method, as npz files have it."""
        if self.method == "gradcam":
            return f"Grad-CAM of {', '.join(self.layers) or 'the last layer'}"
        if self.method != "ig":
            names = {"ism": "in-silico mutagenesis", "gradient": "gradient, simplex-corrected"}
            return names[self.method]
        draws = f" x {self.shuffles} (seed {self.seed})" if self.baseline == "shuffles" else ""
        return f"integrated gradients, {self.steps} steps from {self.baseline}{draws}"


class AttributeJob:
    """``sites``: of each label, by name, in the order they are done in."""

    def __init__(
        self,
        genome: Genome,
        networks: Networks | GradCam,
        sites: dict[str, Sites],
        options: AttributeOptions,
    ) -> None:
        self.genome, self.networks, self.sites, self.options = genome, networks, sites, options
        self.names = dict(zip(sites, file_names(list(sites)), strict=True))
        mutagenesis = Mutagenesis(networks) if options.method == "ism" else None
        self._explain: Callable[[np.ndarray, list[int]], list[Explained]] = {
            "ism": mutagenesis.explain if mutagenesis else None,
            "ig": self._integrated_gradients,
            "gradient": self._gradient,
            "gradcam": getattr(networks, "explain", None),
        }[options.method]

    def run(self, work: Path, result: Path, progress: bool) -> None:
        """Write the files of every label to ``result``; a label that is there already is left."""
        for folder in (work / "parts", result / "tracks"):
            folder.mkdir(parents=True, exist_ok=True)
        todo = [label for label in self.sites if not self._finished(result, label)]
        if len(todo) < len(self.sites):
            log.info("%d labels are there already", len(self.sites) - len(todo))
        total, started = sum(len(self.sites[label]) for label in todo), time.monotonic()
        with Progress(total, "window", progress) as bar:
            for group in self._groups(todo):
                self._run_group(group, work / "parts", result, bar, started)

    def table(self, result: Path) -> None:
        """Put the tables of the labels together."""
        with open(result / TABLE, "w") as out:
            out.write("\t".join(COLUMNS) + "\n")
            for name in self.names.values():
                part = result / f"{name}.rows"
                out.write(part.read_text())
                part.unlink()

    def any_finished(self, result: Path) -> bool:
        return any(self._finished(result, label) for label in self.sites)

    def _finished(self, result: Path, label: str) -> bool:
        return (result / f"{self.names[label]}.rows").exists()

    def _groups(self, labels: list[str]) -> Iterator[list[str]]:
        """Labels that are explained together, because they share their windows."""
        left = list(labels)
        while left:
            first = self.sites[left[0]]
            together = [label for label in left if self.sites[label] is first]
            group = together[: TOGETHER[self.options.method]]
            left = [label for label in left if label not in group]
            yield group

    def _run_group(
        self, labels: list[str], parts: Path, result: Path, bar: Progress, started: float
    ) -> None:
        sites, width = self.sites[labels[0]], self.networks.receptive_field
        n = len(sites)
        codes = _on_disk(parts / "codes.npy", np.uint8, (n, width))
        stores = {
            label: _on_disk(parts / f"{self.names[label]}.npy", np.float32, (n, 4, width))
            for label in labels
        }
        logits, gaps = np.empty((2, n, len(labels)), np.float32)
        wanted = [self.networks.labels.index(label) for label in labels]
        for at in range(0, n, BATCH[self.options.method]):
            rows = range(at, min(at + BATCH[self.options.method], n))
            part = slice(rows.start, rows.stop)
            codes[part] = sites.codes(self.genome, width, rows)
            for i, explained in enumerate(self._explain(codes[part], wanted)):
                stores[labels[i]][part] = explained.hypothetical
                logits[part, i], gaps[part, i] = explained.logit, explained.gap
            bar.update(len(rows) * len(labels), _rate(bar, started))
        for i, label in enumerate(labels):
            attributions = Attributions(
                label, self.options.words(), sites.chrom, sites.centre - width // 2,
                codes, stores[label], logits[:, i],
            )  # fmt: skip
            self._write(attributions, sites, gaps[:, i], result)
            (parts / f"{self.names[label]}.npy").unlink()
        (parts / "codes.npy").unlink()

    def _write(
        self, attributions: Attributions, sites: Sites, gap: np.ndarray, result: Path
    ) -> None:
        label = attributions.label
        name = self.names[label]
        attributions.save(result / f"{name}.npz")
        files.write_bigwig(result / "tracks" / f"{name}.bw", attributions, self.genome.sizes)
        words = describe(sites, self.genome.sizes, attributions.width)
        if with_n := count_n(attributions.codes):
            words.append(f"{with_n} hold N, which gets nothing")
        # Grad-CAM tells stretches from one another, not bases
        if self.options.method != "gradcam" and not files.why_no_seqlets():
            (result / "seqlets").mkdir(exist_ok=True)
            n_seqlets = files.write_seqlets(result / "seqlets" / f"{name}.bed", attributions)
            words.append(f"{n_seqlets} seqlets")
        if np.isfinite(gap).any():
            size = np.abs(gap)
            words.append(
                f"completeness gap {np.median(size):.3g} (median) to {size.max():.3g} logits"
            )
        log.info("%s: %d windows%s", label, len(sites), "".join(f"; {word}" for word in words))
        lines = [
            f"{label}\t{chrom}\t{start}\t{end}\t{centre}\t{logit:.6g}\t{short:.4g}\n"
            for chrom, start, end, centre, logit, short in zip(
                sites.chrom, sites.start, sites.end, sites.centre, attributions.logit, gap,
                strict=True,
            )
        ]  # fmt: skip
        (result / f"{name}.rows.tmp").write_text("".join(lines))
        (result / f"{name}.rows.tmp").rename(result / f"{name}.rows")

    def _integrated_gradients(self, codes: np.ndarray, labels: list[int]) -> list[Explained]:
        options = self.options
        return integrated_gradients_of(
            self.networks, codes, labels, baseline=options.baseline, steps=options.steps,
            shuffles=options.shuffles, seed=options.seed,
        )  # fmt: skip

    def _gradient(self, codes: np.ndarray, labels: list[int]) -> list[Explained]:
        return [corrected_gradient(self.networks, codes, label) for label in labels]


def _on_disk(path: Path, dtype: type, shape: tuple[int, ...]) -> np.ndarray:
    return np.lib.format.open_memmap(path, "w+", dtype, shape)


def _rate(bar: Progress, started: float) -> str:
    return f"{bar.done / max(1e-9, time.monotonic() - started):.3g} windows/s"
