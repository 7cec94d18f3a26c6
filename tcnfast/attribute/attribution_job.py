"""From sites to files, batch by batch: memory does not grow with the number of windows."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..base.file_names import file_names
from ..base.progress import Progress
from ..genome.genome import Genome
from . import attribution_files as files
from .attributions import Attributions
from .explained import Explainer
from .regions import Sites, count_n, describe

log = logging.getLogger(__name__)

TABLE = "attributions.tsv"
COLUMNS = ("label", "chrom", "start", "end", "summit", "logit", "completeness_gap")


class AttributeJob:
    """``sites``: of each label, by name, in the order they are done in."""

    def __init__(self, genome: Genome, explainer: Explainer, sites: dict[str, Sites]) -> None:
        self.genome, self.explainer, self.sites = genome, explainer, sites
        self.names = dict(zip(sites, file_names(list(sites)), strict=True))

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
            group = together[: self.explainer.together]
            left = [label for label in left if label not in group]
            yield group

    def _run_group(
        self, labels: list[str], parts: Path, result: Path, bar: Progress, started: float
    ) -> None:
        sites, width = self.sites[labels[0]], self.explainer.receptive_field
        n = len(sites)
        codes = _on_disk(parts / "codes.npy", np.uint8, (n, width))
        stores = {
            label: _on_disk(parts / f"{self.names[label]}.npy", np.float32, (n, 4, width))
            for label in labels
        }
        logits, gaps = np.empty((2, n, len(labels)), np.float32)
        wanted = [self.explainer.labels.index(label) for label in labels]
        batch = self.explainer.batch
        for at in range(0, n, batch):
            rows = range(at, min(at + batch, n))
            part = slice(rows.start, rows.stop)
            codes[part] = sites.codes(self.genome, width, rows)
            for i, explained in enumerate(self.explainer.explain(codes[part], wanted)):
                stores[labels[i]][part] = explained.hypothetical
                logits[part, i], gaps[part, i] = explained.logit, explained.gap
            bar.update(len(rows) * len(labels), _rate(bar, started))
        for i, label in enumerate(labels):
            attributions = Attributions(
                label, self.explainer.words, sites.chrom, sites.centre - width // 2,
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
        if self.explainer.by_base and not files.why_no_seqlets():
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


def _on_disk(path: Path, dtype: type, shape: tuple[int, ...]) -> np.ndarray:
    return np.lib.format.open_memmap(path, "w+", dtype, shape)


def _rate(bar: Progress, started: float) -> str:
    return f"{bar.done / max(1e-9, time.monotonic() - started):.3g} windows/s"
