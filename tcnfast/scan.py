"""Scan a genome for binding: ``tcnfast.scan("hg38.fa")``, ``tcnfast scan hg38.fa`` and
``python -m tcnfast.scan hg38.fa`` are all this. The module itself is callable."""

from __future__ import annotations

import logging
import os
import sys
import time
import types
from dataclasses import dataclass
from pathlib import Path

from .errors import TcnfastError
from .genome import Genome
from .model import TCN, load_model
from .network.ensemble import Ensemble
from .network.store import folder_hash, model_folder
from .outputs import OutputFolder
from .run_record import state_hash
from .scanner import Scorer
from .scanning.scan_job import ScanJob, ScanOptions, read_summary

log = logging.getLogger(__name__)

DEFAULT_MODEL = "encode-v1"


@dataclass(frozen=True)
class ScanResult:
    """Where a scan wrote, and the rows of its summary.tsv."""

    folder: Path
    summary: list[dict]


def scan(
    genome: str | Path | list[str | Path],
    model: TCN | Ensemble | str | Path | None = None,
    out: str | Path = "scan/",
    *,
    stride: int = 32,
    rc: str = "mean",
    chroms: str | list[str] | None = None,
    targets: str | list[str] | None = None,
    tracks: str | list[str] | None = None,
    track_floor: float = ScanOptions.track_floor,
    within: str | Path | None = None,
    min_length: int = ScanOptions.min_length,
    max_gap: int = ScanOptions.max_gap,
    cutoff: str | float = ScanOptions.cutoff,
    batch_size: int = 1,
    device: str = "auto",
    precision: str = "auto",
    backend: str = "auto",
    force: bool = False,
    resume: bool = False,
    progress: bool = False,
) -> ScanResult:
    """Call binding of every label along a genome and write the output folder ``out``.

    ``genome``: path of a FASTA file (plain, gzip, bgzip), or several. ``model``: a TCN or an
    Ensemble, a model folder, or a bundled name; "encode-v1" if None. ``chroms``: names, or "all";
    None leaves out alternative, unplaced, random and mitochondrial contigs. ``targets``: labels to
    report, all if None. ``tracks``: labels to write bigWig tracks of, or "all"; they show the
    probability of steps at or above ``track_floor`` (0: of every scored step), or at or above the
    label's threshold where that is lower. ``within``: BED file; only steps whose centre lies in it
    are called.
    ``rc``: "none", "mean" or "max" over strands, of logits. ``min_length`` and ``max_gap``
    (bases) as in MACS3 bdgpeakcall; two steps each by default: a lone step is mostly noise, and a
    dip of two steps does not make two sites.
    ``cutoff``: call at the best F1 ("f1"), where a share of the calls is right ("precision=0.5")
    or wrong ("fdr=0.1", which is precision=0.9), both chosen for each label on validation; or at a
    probability, the same for all labels, without an expected precision. A label that never reached
    the precision is not called: it gets no narrowPeak file, and a warning names it.
    ``batch_size``: segments scored in one call; it changes no score.

    Writes ``peaks/<label>.narrowPeak``, ``tracks/<label>.bw`` where asked for, ``summary.tsv`` and
    ``run.json``. Memory does not grow with the contigs. Raises TcnfastError for bad input, as far
    as it can be known before anything is written.
    """
    started = time.monotonic()
    options = ScanOptions(
        stride, rc, chroms, targets, tracks, track_floor, within, min_length, max_gap, cutoff
    )
    folder = None
    if not isinstance(model, (TCN, Ensemble)):
        folder = model_folder(model or DEFAULT_MODEL)
        model = load_model(folder)
    if model.thresholds is None and options.cutoff == "f1":
        raise TcnfastError(f"model {folder or ''}: has no thresholds.tsv, so it cannot call peaks")
    scorer = Scorer(model, rc, device=device, precision=precision, stride=stride, backend=backend)
    paths = [genome] if isinstance(genome, (str, os.PathLike)) else list(genome)
    with Genome(*paths) as opened:
        job = ScanJob(opened, model, scorer, options, batch_size)
        key = job.key(folder_hash(folder) if folder else state_hash(model))
        output = OutputFolder(out, key, force, resume)
        if output.complete:
            log.info("%s is complete already", output.folder)
            return ScanResult(output.folder, read_summary(output.folder / "summary.tsv"))
        try:
            job.announce(folder.name if folder else "given")
            job.run(output.work, progress)
            summary = job.assemble(output, started)
        except BaseException:
            if job.any_finished(output.work):
                log.warning("finished contigs are kept in %s; go on with --resume", output.work)
            else:
                output.discard()
            raise
    return ScanResult(output.folder, summary)


class _CallableModule(types.ModuleType):
    def __call__(self, *args, **kwargs) -> ScanResult:
        return scan(*args, **kwargs)


if __name__ == "__main__":
    from .cli import main

    sys.exit(main(["scan", *sys.argv[1:]]))

sys.modules[__name__].__class__ = _CallableModule
