"""A run of ``tcnfast attribute``: from sites to files, batch by batch, so that memory does not grow
with the number of windows."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np
import torch

from ..base import run_record
from ..base.disk import new_array
from ..base.file_names import file_names
from ..base.options import Run, labels_in_turn
from ..base.progress import Progress
from ..base.run_folder import RECORD, RunFolder, file_hash
from ..base.talk import count
from ..engines import cpu_engine
from ..engines.backend import choose_device
from ..genome.genome import Genome
from ..genome.intervals import Intervals
from ..model.model_folder import ModelFolder
from . import SiteOptions
from . import attribution_files as files
from . import attribution_folder as folders
from .attribution_folder import AttributionFolder
from .attributions import Attributions
from .explained import Explainer
from .regions import describe, find_sites, window_codes

log = logging.getLogger(__name__)

DONE = ".rows"  # ends the name of a label's rows of the table, written when it is finished


def explain_sites(
    make: Callable[[ModelFolder, SiteOptions, Run], Explainer],
    model: str | Path,
    genome: str | Path | Sequence[str | Path],
    out: str | Path,
    options: SiteOptions,
    run: Run,
    command: str = "attribute",
) -> AttributionFolder:
    """Write what the explainer that ``make`` returns says of the sites to ``out``.

    ``options``: the sites, and all that the method depends on. ``command``: whose output it is.
    Raises TcnfastError for bad input.
    """
    folder = ModelFolder(model)
    labels = labels_in_turn(folder.labels, options.targets)
    paths = [genome] if isinstance(genome, (str, os.PathLike)) else list(genome)

    def key() -> dict:
        names = {field.name for field in fields(SiteOptions)} - {"strand"}
        method = {name: value for name, value in asdict(options).items() if name not in names}
        return {
            "tcnfast": run_record.version(),
            "model": folder.hash,
            "genome": [file_hash(path) for path in paths],
            "regions": file_hash(options.bed) if options.bed else None,
            "scan": file_hash(Path(options.scan) / RECORD) if options.scan else None,
            "targets": labels,
            "top": options.top,
            "device": choose_device(run.device).type,
            **method,
        }

    with RunFolder(
        out,
        command,
        run,
        key=key,
        resumable=True,
        worth_keeping=lambda: any(output.result.glob(f"*{DONE}")),
    ) as output:
        if not output.complete:
            cpu_engine.keep_freed_memory()
            with Genome(*paths) as opened:
                sites = find_sites(options, labels, opened.sizes, folder)
                explainer = make(folder, options, run)
                output.settle()
                _announce(folder.name, explainer, sites)
                AttributeJob(opened, explainer, sites, output).run(run.progress)
            output.publish(
                {
                    "device": run_record.device_words(explainer.device),
                    "threads": torch.get_num_threads(),
                    "method": explainer.words,
                    "one_pass": explainer.one_pass,
                    "windows": {label: len(found) for label, found in sites.items()},
                }
            )
    log.info("attributions in %s", output.path)
    return AttributionFolder(output.path)


def _announce(model: str, explainer: Explainer, sites: dict[str, Intervals]) -> None:
    log.info(
        "%s: %s of %d bp of %s; %s; on %s",
        model,
        count(sum(map(len, sites.values())), "window"),
        explainer.receptive_field,
        count(len(sites), "label"),
        explainer.words,
        run_record.device_words(explainer.device),
    )
    if explainer.one_pass:
        log.info("symmetric network: both strands are the same, and are explained in one pass")
    warnings = [run_record.unused_gpu(explainer.device), explainer.why_slow]
    for warning in filter(None, warnings):
        log.warning("WARNING: %s", warning)
    if explainer.by_base and files.why_no_seqlets():
        log.warning("no seqlets will be called: %s", files.why_no_seqlets())


class AttributeJob:
    """``sites``: of each label, by name, in the order they are done in."""

    def __init__(
        self, genome: Genome, explainer: Explainer, sites: dict[str, Intervals], output: RunFolder
    ) -> None:
        self.genome, self.explainer, self.sites = genome, explainer, sites
        self.names = dict(zip(sites, file_names(list(sites)), strict=True))
        self.result, self.parts = output.result, output.work / "parts"

    def run(self, progress: bool) -> None:
        """Write the files of every label; one that is there already is left."""
        for folder in (self.parts, self.result / "tracks"):
            folder.mkdir(exist_ok=True)
        todo = [label for label in self.sites if not self._rows(label).exists()]
        if len(todo) < len(self.sites):
            log.info("%s there already", count(len(self.sites) - len(todo), "label"))
        total, started = sum(len(self.sites[label]) for label in todo), time.monotonic()
        with Progress(total, "window", progress) as bar:
            for group in self._groups(todo):
                self._run_group(group, bar, started)
        with open(self.result / folders.TABLE, "w") as out:
            out.write("\t".join(folders.COLUMNS) + "\n")
            for label in self.sites:
                out.write(self._rows(label).read_text())
                self._rows(label).unlink()

    def _rows(self, label: str) -> Path:
        return self.result / f"{self.names[label]}{DONE}"

    def _groups(self, labels: list[str]) -> Iterator[list[str]]:
        """Labels that are explained together, because they share their windows."""
        left = list(labels)
        while left:
            first = self.sites[left[0]]
            together = [label for label in left if self.sites[label] is first]
            group = together[: self.explainer.together]
            left = [label for label in left if label not in group]
            yield group

    def _run_group(self, labels: list[str], bar: Progress, started: float) -> None:
        sites, width = self.sites[labels[0]], self.explainer.receptive_field
        n = len(sites)
        codes = new_array(self.parts / "codes.npy", np.uint8, (n, width))
        paths = [self.parts / f"{self.names[label]}.npy" for label in labels]
        stores = [new_array(path, np.float32, (n, 4, width)) for path in paths]
        logits, gaps = np.empty((2, n, len(labels)), np.float32)
        wanted = [self.explainer.labels.index(label) for label in labels]
        batch = self.explainer.batch
        for at in range(0, n, batch):
            rows = range(at, min(at + batch, n))
            part = slice(rows.start, rows.stop)
            codes[part] = window_codes(self.genome, sites, width, rows)
            for i, explained in enumerate(self.explainer.explain(codes[part], wanted)):
                stores[i][part] = explained.hypothetical
                logits[part, i], gaps[part, i] = explained.logit, explained.gap
            bar.update(len(rows) * len(labels), _rate(bar, started))
        words, first = self.explainer.words, sites.centre - width // 2
        for label, store, logit, gap in zip(labels, stores, logits.T, gaps.T, strict=True):
            found = Attributions(label, words, sites.chrom, first, codes, store, logit)
            self._write(found, sites, gap)
        for path in (*paths, self.parts / "codes.npy"):
            path.unlink()

    def _write(self, attributions: Attributions, sites: Intervals, gap: np.ndarray) -> None:
        label, sizes = attributions.label, self.genome.sizes
        paths = folders.label_files(self.result, self.names[label])
        attributions.save(paths.arrays)
        files.write_bigwig(paths.track, attributions, sizes)
        words = describe(sites, sizes, attributions.codes)
        if self.explainer.by_base and not files.why_no_seqlets():
            paths.seqlets.parent.mkdir(exist_ok=True)
            words.append(f"{files.write_seqlets(paths.seqlets, attributions)} seqlets")
        if np.isfinite(gap).any():
            size = np.abs(gap)
            words.append(
                f"completeness gap {np.median(size):.3g} (median) to {size.max():.3g} logits"
            )
        windows = count(len(sites), "window")
        log.info("%s: %s%s", label, windows, "".join(f"; {word}" for word in words))
        places = zip(sites.chrom, sites.start, sites.end, sites.centre, strict=True)
        lines = [
            "\t".join(map(str, (label, *place, f"{logit:.6g}", f"{short:.4g}"))) + "\n"
            for place, logit, short in zip(places, attributions.logit, gap, strict=True)
        ]
        temporary = self._rows(label).with_suffix(".tmp")
        temporary.write_text("".join(lines))
        temporary.rename(self._rows(label))


def _rate(bar: Progress, started: float) -> str:
    return f"{bar.done / max(1e-9, time.monotonic() - started):.3g} windows/s"
