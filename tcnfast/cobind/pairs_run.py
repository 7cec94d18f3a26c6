"""``tcnfast cobind pairs``: from peaks and the calls of a scan to tables, a heat map, a network."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ..base import run_record
from ..base.errors import TcnfastError
from ..base.figure import why_not
from ..base.run_folder import RECORD, file_hash
from ..data.dataset import Dataset, open_dataset
from ..data.source import open_source
from ..genome.genome import Genome, Region
from ..genome.intervals import read_bed
from ..scan.scan_folder import ScanFolder
from .occupancy import occupancy, whole_contigs
from .pair_table import PairTable, agreement, measure_pairs
from .result_folder import result_folder
from .scan_calls import scan_calls

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PairsOptions:
    """What co-occurrence depends on, besides its data. ``bin`` and ``block`` in bases: of what two
    labels must share, and of what changes places under a null. ``fdr`` and ``fold`` choose the
    edges of the network."""

    targets: tuple[str, ...] | None = None
    part: str | None = None
    bin: int = 200
    block: int = 1000
    replicates: int = 1000
    seed: int = 0
    min_sites: int = 20
    fdr: float = 0.05
    fold: float = 1.5

    def __post_init__(self) -> None:
        if self.block % self.bin:
            raise TcnfastError(f"block {self.block}: must be a multiple of the bin, {self.bin} bp")
        if self.replicates < 20:
            raise TcnfastError(f"replicates {self.replicates}: fewer than 20 give no p value")
        if not 0 < self.fdr < 1:
            raise TcnfastError(f"fdr {self.fdr}: must lie between 0 and 1")


def co_occurrence(
    data: dict,
    out: str | Path,
    scan: str | Path | None = None,
    options: PairsOptions | None = None,
    *,
    force: bool = False,
) -> dict[str, PairTable]:
    """Co-occurrence of all label pairs, "observed" of peaks and "predicted" of a scan's calls.

    ``data``: ``data``, a folder of tcnfast prepare; or ``genome`` (paths) with ``peaks`` (paths;
    none: only the scan is looked at), ``blacklist`` and ``split``. Writes, for each of the two, a
    table, a heat map and a network to the folder ``out``, and summary.json.
    """
    options = options or PairsOptions()
    with _open(data, options.part) as (dataset, split, inputs):
        sources = _sources(dataset, scan, options)
        key = {
            "command": "cobind pairs",
            "tcnfast": run_record.version(),
            "inputs": inputs,
            "scan": file_hash(Path(scan) / RECORD) if scan else None,
            **asdict(options),
        }
        with result_folder(out, key, force) as (result, _):
            tables = {
                name: _measure(name, source, split, options) for name, source in sources.items()
            }
            summary = _write(tables, result, options)
    log.info("%s", json.dumps(summary))
    return tables


@contextmanager
def _open(data: dict, part: str | None) -> Iterator[tuple[Dataset, list[Region] | None, list]]:
    """A dataset, without peaks where none were named; the regions of the part; hashed inputs."""
    if part is not None and not (data.get("data") or data.get("split")):
        raise TcnfastError("--part needs --split, or a prepared folder")
    if data.get("data"):
        with open_source(data=data["data"]) as source:
            yield source.dataset, source.split[part] if part else None, source.inputs
        return
    if not data.get("genome"):
        raise TcnfastError("no genome: name FASTA files with --genome, or a prepared folder")
    if data.get("split"):
        if not data.get("peaks"):
            raise TcnfastError("--split goes with --peaks, or use a prepared folder")
        with open_source(**data) as source:
            yield source.dataset, source.split[part] if part else None, source.inputs
        return
    blacklist, peaks = data.get("blacklist"), list(data.get("peaks") or ())
    with Genome(*data["genome"]) as genome:
        if peaks:
            dataset = open_dataset(genome, peaks, [], blacklist)
        else:
            masked = read_bed(blacklist, genome.sizes, allow_missing=True) if blacklist else None
            dataset = Dataset(genome, None, [], None, masked)
        paths = [*data["genome"], *peaks, *([blacklist] if blacklist else [])]
        yield dataset, None, [(Path(path).name, file_hash(path)) for path in paths]


def _sources(dataset: Dataset, scan: str | Path | None, options: PairsOptions) -> dict:
    """Datasets of what is to be looked at, by name, with the labels asked for."""
    targets = options.targets
    known = list(dataset.labels)
    scanned = None if scan is None else ScanFolder(scan)
    if scanned is not None:
        known += scanned.labels
    for label in targets or ():
        if label not in known:
            raise TcnfastError(f"--targets: no label {label!r} in the peaks or the scan")
    sources = {}
    if dataset.labels:
        labels = [x for x in dataset.labels if targets is None or x in targets]
        sources["observed"] = dataset.select(labels)
    if scanned is not None:
        calls = scan_calls(scanned, dataset.genome.sizes)
        labels = [x for x in scanned.labels if targets is None or x in targets]
        sources["predicted"] = Dataset(dataset.genome, calls, labels, None, dataset.blacklist)
    if not sources:
        raise TcnfastError("nothing to look at: name --peaks, a prepared folder, or --scan")
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
            "out, or lower --min-sites; pairs need two labels"
        )
    if rare:
        log.warning("WARNING: %s: left out for fewer than %d bound bins: %s", name,
                    options.min_sites, ", ".join(rare))  # fmt: skip
        found = found.select(~few)
    if len(found.labels) < 2:
        raise TcnfastError(f"{name}: only label {found.labels[0]}; pairs need two")
    log.info("%s: %d labels, %d bins of %d bp", name, len(found.labels), found.n_bins, options.bin)
    return measure_pairs(found, options.replicates, options.seed)


def _write(tables: dict[str, PairTable], folder: Path, options: PairsOptions) -> dict:
    """Everything but run.json; returns the summary."""
    summary: dict = {}
    reason = why_not()
    if reason:
        log.warning("WARNING: no pictures: %s", reason)
    for name, table in tables.items():
        (folder / f"{name}.tsv").write_text("\n".join(table.rows()) + "\n")
        kept = table.significant(options.fdr, options.fold)
        summary[name] = {
            "labels": len(table.labels),
            "bins": table.n_bins,
            "pairs": len(kept),
            "partners": int(kept.sum()),
            "strictest_null": table.strictest,
        }
        _write_graph(table, name, folder, options, pictures=not reason)
    if len(tables) == 2:
        summary["agreement"] = agreement(tables["observed"], tables["predicted"])
    (folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    return summary


def _write_graph(
    table: PairTable, name: str, folder: Path, options: PairsOptions, pictures: bool
) -> None:
    from . import pair_graph

    graph = pair_graph.of_table(table, options.fdr, options.fold)
    pair_graph.write(graph, folder / f"{name}.graphml")
    if not pictures:
        return
    from . import pair_plots

    title = f"{name}: {len(table.labels)} labels"
    pair_plots.draw_heat_map(table, title).savefig(folder / f"{name}.heatmap.png", dpi=130)
    network = pair_plots.draw_network(graph, title)
    network.savefig(folder / f"{name}.network.png", dpi=130)
