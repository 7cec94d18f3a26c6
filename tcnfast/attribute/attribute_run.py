"""A run of ``tcnfast attribute``: from sites to files, batch by batch, so that memory does not grow
with the number of windows."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, fields, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from ..base import run_record
from ..base.disk import new_array, write_text, writing
from ..base.file_names import file_names
from ..base.finite import check_scores
from ..base.options import Run, labels_in_turn
from ..base.progress import Progress
from ..base.run_folder import RECORD, RunFolder, file_hash
from ..base.talk import count
from ..engines import cpu_engine
from ..engines.backend import choose_device
from ..genome.genome import Genome
from ..genome.intervals import Intervals
from ..model.model_folder import ModelFolder
from ..scan.part_files import Part, do_parts, publish_parts, read_parts, spread
from ..scan.shard_folder import END, ShardFolder, Whole, check_key, whole_path
from . import AttributeOptions, SiteOptions
from . import attribution_files as files
from . import attribution_folder as folders
from .attribution_folder import AttributionFolder
from .attributions import Attributions
from .explained import Explained, Explainer
from .methods import tcn_explainer
from .regions import describe, find_sites, window_codes
from .window_parts import MakeWindows, WindowMaker, read_explained, window_parts

log = logging.getLogger(__name__)

DONE = ".rows"  # ends the name of a label's rows of the table, written when it is finished
KEPT = f"*{DONE}", "part.*.npz"  # what a run that stopped goes on after


def explain_sites(
    make: Callable[[ModelFolder, SiteOptions, Run], Explainer],
    model: str | Path,
    genome: str | Path | Sequence[str | Path],
    out: str | Path,
    options: SiteOptions,
    run: Run,
    command: str = "attribute",
    shards: Sequence[ShardFolder] = (),
) -> AttributionFolder | ShardFolder:
    """Write what the explainer that ``make`` returns says of the sites to ``out``.

    ``options``: the sites, and all that the method depends on. ``command``: whose output it is.
    ``shards``: folders that hold what was found already, all of it. Raises TcnfastError for bad
    input.
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
            "device": shards[0].key["device"] if shards else choose_device(run.device).type,
            **method,
            **({} if run.shard is None else {"shard": list(run.shard)}),
        }

    with RunFolder(
        out,
        command if run.shard is None else f"{command}{END}",
        run,
        key=key,
        resumable=True,
        worth_keeping=lambda: any(any(output.work.rglob(pattern)) for pattern in KEPT),
    ) as output:
        if not output.complete:
            cpu_engine.keep_freed_memory()
            with Genome(*paths) as opened:
                sites = find_sites(options, labels, opened.sizes, folder)
                explainer = make(folder, options, run)
                output.settle()
                _announce(folder.name, explainer, sites)
                job = AttributeJob(opened, explainer, sites, output)
                if spread(run):
                    files = str(model), tuple(map(str, paths))
                    job.do_parts(MakeWindows(make, *files, options, run, sites), run)
                _publish(job, run, shards, _asked(model, paths, options, explainer))
    if run.shard is not None:
        return ShardFolder(output.path)
    log.info("attributions in %s", output.path)
    return AttributionFolder(output.path)


def _publish(job: AttributeJob, run: Run, shards: Sequence[ShardFolder], asked: dict) -> None:
    """Write what is asked for and make it the output; ``asked``: what a shard tells."""
    if run.shard is not None:
        publish_parts(job.parts, job.output, run, asked)
        return
    device = run_record.device_words(job.explainer.device)
    if shards:
        device = "; ".join(sorted({shard.record["device"] for shard in shards}))
        check_key(job.output.key, shards[0])
        job.files = read_parts(job.parts, shards)
    job.run(run.progress)
    job.output.publish(
        {
            "device": device,
            "threads": torch.get_num_threads(),
            "method": job.explainer.words,
            "one_pass": job.explainer.one_pass,
            "windows": {label: len(found) for label, found in job.sites.items()},
        }
    )


def _asked(model: str | Path, paths: list, options: SiteOptions, explainer: Explainer) -> dict:
    """What :func:`tcnfast.merge` needs to know."""
    options = replace(
        options, **{name: whole_path(getattr(options, name)) for name in ("bed", "scan")}
    )
    genome = [str(Path(path).absolute()) for path in paths]
    asked = {"genome": genome, "model": whole_path(model), "options": asdict(options)}
    return {"asked": asked, "device": run_record.device_words(explainer.device)}


def merge_attributions(whole: Whole) -> AttributionFolder:
    """Make the output of one process of all shards, in order; see :func:`tcnfast.merge`."""
    run, options = whole.run, whole.options(AttributeOptions)
    how = Run(device="cpu", force=run.force, resume=run.resume, progress=run.progress)
    given = whole.named("model"), whole.named("genome"), whole.out
    return explain_sites(tcn_explainer, *given, options, how, shards=whole.shards)


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
        self.output, self.result = output, output.result
        self.scratch = output.work / "parts"
        self.files: list[Path] = []  # of ``parts``, where they are done already

    @cached_property
    def parts(self) -> list[Part]:
        """All windows of all labels in parts, as clusters and shards do them."""
        groups = list(self._groups(list(self.sites)))
        return window_parts(groups, self.sites, self.explainer.batch)

    def do_parts(self, make: MakeWindows, run: Run) -> None:
        """Explain the parts of this run."""
        maker = WindowMaker(self.genome, self.explainer, self.sites)
        needs = [path for path in (*make.genome, make.model) if Path(path).exists()]
        do_parts(self.parts, maker, make, needs, self.output, run, "window")
        self.files = [part.file(self.output.work) for part in self.parts]

    def run(self, progress: bool) -> None:
        """Write the files of every label; one that is there already is left."""
        for folder in (self.scratch, self.result / "tracks"):
            folder.mkdir(exist_ok=True)
        todo = [label for label in self.sites if self.files or not self._rows(label).exists()]
        if len(todo) < len(self.sites):
            log.info("%s there already", count(len(self.sites) - len(todo), "label"))
        total, started = sum(len(self.sites[label]) for label in todo), time.monotonic()
        with Progress(total, "window", progress) as bar:
            for group in self._groups(todo):
                self._run_group(group, bar, started)
        with writing(self.result / folders.TABLE) as path, open(path, "w") as out:
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
        codes = new_array(self.scratch / "codes.npy", np.uint8, (n, width))
        paths = [self.scratch / f"{self.names[label]}.npy" for label in labels]
        stores = [new_array(path, np.float32, (n, 4, width)) for path in paths]
        logits, gaps = np.empty((2, n, len(labels)), np.float32)
        at = 0
        for windows, found in self._explained(labels, sites):
            part = slice(at, at := at + len(windows))
            codes[part] = windows
            for i, of_label in enumerate(found):
                check_scores(torch.as_tensor(of_label.logit), "the model")
                stores[i][part] = of_label.hypothetical
                logits[part, i], gaps[part, i] = of_label.logit, of_label.gap
            bar.update(len(windows) * len(labels), _rate(bar, started))
        words, first = self.explainer.words, sites.centre - width // 2
        for label, store, logit, gap in zip(labels, stores, logits.T, gaps.T, strict=True):
            found = Attributions(label, words, sites.chrom, first, codes, store, logit)
            self._write(found, sites, gap)
        for path in (*paths, self.scratch / "codes.npy"):
            path.unlink()

    def _explained(
        self, labels: list[str], sites: Intervals
    ) -> Iterator[tuple[np.ndarray, list[Explained]]]:
        """Windows in order, a few at a time, and what is found of each label."""
        if self.files:
            ours = [part.number for part in self.parts if set(labels) <= set(part.what[0])]
            places = [self.parts[number].what[0] for number in ours]
            for names, (codes, found) in zip(
                places, read_explained([self.files[number] for number in ours]), strict=True
            ):
                yield codes, [found[names.index(label)] for label in labels]
            return
        wanted = [self.explainer.labels.index(label) for label in labels]
        for at in range(0, len(sites), self.explainer.batch):
            rows = range(at, min(at + self.explainer.batch, len(sites)))
            codes = window_codes(self.genome, sites, self.explainer.receptive_field, rows)
            yield codes, self.explainer.explain(codes, wanted)

    def _write(self, attributions: Attributions, sites: Intervals, gap: np.ndarray) -> None:
        label, sizes = attributions.label, self.genome.sizes
        paths = folders.label_files(self.result, self.names[label])
        attributions.save(paths.arrays)
        files.write_bigwig(paths.track, attributions, sizes)
        words = describe(sites, sizes, attributions.codes)
        if self.explainer.by_base and not files.why_no_seqlets():
            paths.seqlets.parent.mkdir(exist_ok=True)
            words.append(count(files.write_seqlets(paths.seqlets, attributions), "seqlet"))
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
        write_text(temporary, "".join(lines))
        temporary.rename(self._rows(label))


def _rate(bar: Progress, started: float) -> str:
    return f"{bar.done / max(1e-9, time.monotonic() - started):.3g} windows/s"
