"""``tcnfast cobind pairs``: from peaks and the calls of a scan to tables, a heat map, a network."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import networkx
import numpy as np

from ..base import run_record
from ..base.disk import write_text
from ..base.errors import TcnfastError
from ..base.options import Run, setting
from ..base.run_folder import RECORD, RunFolder, file_hash, named_hash
from ..base.tables import write_frame
from ..base.talk import count
from ..data.dataset import Dataset, open_dataset
from ..data.source import open_source
from ..genome.genome import Genome, Region
from ..genome.intervals import read_bed
from ..scan.scan_folder import ScanFolder
from . import PairsOptions
from .cobind_pages import write_pair_page
from .occupancy import occupancy, whole_contigs
from .pair_table import PairTable, agreement, measure_pairs

log = logging.getLogger(__name__)

FILES = ("genome", "peaks", "split", "blacklist")


def co_occurrence(
    data: str | Path | None, out: str | Path, options: PairsOptions, run: Run
) -> dict[str, PairTable]:
    """See :func:`tcnfast.cobind.pairs`."""
    scan = ScanFolder(options.scan) if options.scan else None
    with _open(data, options) as (dataset, split, inputs):

        def key() -> dict:
            return {
                "tcnfast": run_record.version(),
                "inputs": inputs(),
                "scan": file_hash(scan.path / RECORD) if scan else None,
                **{k: v for k, v in asdict(options).items() if k not in ("scan", *FILES)},
            }

        with RunFolder(out, "cobind pairs", run, key=key) as folder:
            sources = _sources(dataset, scan, options)
            tables = {
                name: _measure(name, source, split, options) for name, source in sources.items()
            }
            summary = _write(tables, folder.result, options)
            folder.publish()
    for name in tables:
        partners, all_pairs = summary[name]["partners"], summary[name]["pairs"]
        words = "%s: %s of %s together more often than by chance"
        log.info(words, name, partners, count(all_pairs, "pair"))
    log.info("tables and a page, index.html, in %s", folder.path)
    return tables


@contextmanager
def _open(
    data: str | Path | None, options: PairsOptions
) -> Iterator[tuple[Dataset, list[Region] | None, Callable[[], list]]]:
    """A dataset, without peaks where none were named; the regions of the part; what hashes the
    inputs."""
    files = {name: getattr(options, name) for name in FILES}
    part, genome, peaks, blacklist = options.part, options.genome, options.peaks, options.blacklist
    if part is not None and not (data or options.split):
        raise TcnfastError(f"{setting('part')} needs {setting('split')}, or a prepared folder")
    if data or (options.split and peaks and genome):
        with open_source(None if data is None else str(data), **files) as source:
            yield source.dataset, source.split[part] if part else None, lambda: source.inputs
        return
    if not genome:
        raise TcnfastError(
            f"no genome: name FASTA files with {setting('genome')}, or a prepared folder"
        )
    if options.split:
        raise TcnfastError(
            f"{setting('split')} goes with {setting('peaks')}, or use a prepared folder"
        )
    with Genome(*genome) as opened:
        if peaks:
            dataset = open_dataset(opened, list(peaks), [], blacklist)
        else:
            masked = read_bed(blacklist, opened.sizes, allow_missing=True) if blacklist else None
            dataset = Dataset(opened, None, [], None, masked)
        paths = [*genome, *peaks, *([blacklist] if blacklist else [])]
        yield dataset, None, lambda: [named_hash(path) for path in paths]


def _sources(dataset: Dataset, scan: ScanFolder | None, options: PairsOptions) -> dict:
    """Datasets of what is to be looked at, by name, with the labels asked for."""
    targets = options.targets
    known = [*dataset.labels, *(scan.labels if scan else [])]
    for label in targets or ():
        if label not in known:
            raise TcnfastError(f"{setting('targets')}: no label {label!r} in the peaks or the scan")
    sources = {}
    if dataset.labels:
        labels = [x for x in dataset.labels if targets is None or x in targets]
        sources["observed"] = dataset.select(labels)
    if scan is not None:
        calls = scan.sites(dataset.genome.sizes)
        labels = [x for x in scan.labels if targets is None or x in targets]
        sources["predicted"] = Dataset(dataset.genome, calls, labels, None, dataset.blacklist)
    if not sources:
        wanted = f"{setting('peaks')}, a prepared folder, or {setting('scan')}"
        raise TcnfastError(f"nothing to look at: name {wanted}")
    return sources


def _measure(
    name: str, dataset: Dataset, split: list[Region] | None, options: PairsOptions
) -> PairTable:
    regions = split or whole_contigs(dataset)
    found = occupancy(dataset, regions, options.bin, options.block // options.bin)
    few = found.counts < options.min_sites
    rare = [f"{found.labels[i]} ({found.counts[i]})" for i in np.flatnonzero(few).tolist()]
    if rare and (options.targets is not None or (~few).sum() < 2):
        raise TcnfastError(
            f"{name}: fewer than {options.min_sites} bound bins of {', '.join(rare)}; leave them "
            f"out, or lower {setting('min_sites')}; pairs need two labels"
        )
    if rare:
        words = "WARNING: %s: left out for fewer than %d bound bins: %s"
        log.warning(words, name, options.min_sites, ", ".join(rare))
        found = found.select(~few)
    if len(found.labels) < 2:
        raise TcnfastError(f"{name}: only label {found.labels[0]}; pairs need two")
    labels = count(len(found.labels), "label")
    log.info("%s: %s, %d bins of %d bp", name, labels, found.n_bins, options.bin)
    return measure_pairs(found, options.replicates, options.seed)


def _write(tables: dict[str, PairTable], folder: Path, options: PairsOptions) -> dict:
    """Everything but run.json; returns the summary."""
    summary: dict = {}
    graphs = {}
    for name, table in tables.items():
        write_frame(folder / f"{name}.tsv", table.table)
        kept = table.significant(options.fdr, options.fold)
        summary[name] = {
            "labels": len(table.labels),
            "bins": table.n_bins,
            "pairs": len(kept),
            "partners": int(kept.sum()),
            "strictest_null": table.strictest,
        }
        graphs[name] = table.graph(options.fdr, options.fold)
        networkx.write_graphml_xml(graphs[name], folder / f"{name}.graphml")
    if len(tables) == 2:
        summary["agreement"] = agreement(tables["observed"], tables["predicted"])
    write_text(folder / "summary.json", json.dumps(summary, indent=2) + "\n")
    write_pair_page(folder, tables, graphs, summary)
    return summary
