"""Scan a genome for binding: ``tcnfast.scan("hg38.fa")``, ``tcnfast scan hg38.fa`` and
``python -m tcnfast.scan hg38.fa`` are all this."""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

from ..base.errors import TcnfastError
from ..base.run_folder import OutputFolder
from ..base.run_record import device_words, state_hash, versions
from ..engines.backend import choose_device
from ..genome.genome import Genome
from ..model.ensemble import Ensemble
from ..model.load_model import load_model
from ..model.model_folder import ModelFolder
from ..model.tcn import TCN
from .announce import announce, announce_motifs
from .assembly import assemble
from .motif_files import summary_rows, write_hits
from .motif_job import MotifJob, MotifScanOptions
from .motif_run import scan_stretches
from .scan_folder import ScanFolder, write_summary
from .scan_job import ScanJob
from .scan_options import ScanOptions, chosen_devices
from .scan_run import run_stretches
from .scanner import Pipeline, Scorer
from .stages import Stages

log = logging.getLogger(__name__)

DEFAULT_MODEL = "encode-v1"


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
    track_format: str = ScanOptions.track_format,
    within: str | Path | None = None,
    min_length: int = ScanOptions.min_length,
    max_gap: int = ScanOptions.max_gap,
    cutoff: str | float = ScanOptions.cutoff,
    batch_size: int = 1,
    device: str = "auto",
    devices: str | list[str] | None = None,
    precision: str = "auto",
    backend: str = "auto",
    force: bool = False,
    resume: bool = False,
    progress: bool = False,
) -> ScanFolder:
    """Call binding of every label along a genome and write the output folder ``out``.

    ``genome``: path of a FASTA file (plain, gzip, bgzip) or a .2bit file, or several. ``model``: a
    TCN or an Ensemble, a model folder, or a bundled name; "encode-v1" if None. ``chroms``: names,
    or "all"; None leaves out alternative, unplaced, random and mitochondrial contigs. ``targets``:
    labels to report, all if None. ``tracks``: labels to write tracks of, or "all";
    ``track_format``: "bigwig" shows the probability of steps at or above ``track_floor`` (0: of
    every scored step), or at or above the label's threshold where that is lower; "zarr" (8 bits)
    and "zarr-fp16" hold every score, for programs. ``within``: BED file; only steps whose centre
    lies in it are called.
    ``rc``: "none", "mean" or "max" over strands, of logits. ``min_length`` and ``max_gap``
    (bases) as in MACS3 bdgpeakcall; two steps each by default: a lone step is mostly noise, and a
    dip of two steps does not make two sites.
    ``cutoff``: call at the best F1 ("f1"), where a share of the calls is right ("precision=0.5")
    or wrong ("fdr=0.1", which is precision=0.9), both chosen for each label on validation; or at a
    probability, the same for all labels, without an expected precision. A label that never reached
    the precision is not called: it gets no narrowPeak file, and a warning names it.
    ``batch_size``: segments scored in one call; it changes no score. ``devices``: several, as
    "cuda:0,cuda:1", in place of ``device``: a process each, the same bytes. Each decodes a
    compressed FASTA for itself; a .2bit (``tcnfast index``) is read by all.

    Writes ``peaks/<label>.narrowPeak``, ``tracks/<label>.bw`` or ``tracks.zarr`` where asked for,
    ``summary.tsv`` and ``run.json``. Memory does not grow with the contigs. Raises TcnfastError for
    bad input, as far as it can be known before anything is written. What is finished when a scan
    stops stays in ``<out>.partial``; ``resume`` goes on with it.
    """
    started = time.monotonic()
    options = ScanOptions(
        stride, rc, chroms, targets, tracks, track_floor, track_format, within, min_length, max_gap,
        cutoff,
    )  # fmt: skip
    names = chosen_devices(device, devices)
    for name in names:
        choose_device(name)  # raises where it is not here
    model, model_name, model_hash = _open_model(model, options.cutoff)
    scorer = Scorer(model, rc, device=names[0], precision=precision, stride=stride, backend=backend)
    paths = [genome] if isinstance(genome, (str, os.PathLike)) else list(genome)
    with Genome(*paths) as opened:
        job = ScanJob(opened, model, scorer, options, batch_size, names, model_hash)
        hashes = job.inputs.hash_beside()
        output = OutputFolder(out, lambda: job.key(hashes), force, resume, "scan")
        if output.complete:
            log.info("%s is complete already", output.folder)
            return ScanFolder(output.folder)
        with _what_is_finished_is_kept(output, job, hashes):
            _carry_out(job, output, hashes, model_name, progress, started)
    return ScanFolder(output.folder)


def scan_motifs(
    genome: str | Path | list[str | Path],
    motifs: str | Path,
    out: str | Path = "scan/",
    *,
    p_value: float = MotifScanOptions.p_value,
    background: Sequence[float] | None = None,
    chroms: str | list[str] | None = None,
    targets: str | list[str] | None = None,
    within: str | Path | None = None,
    device: str = "auto",
    force: bool = False,
    resume: bool = False,
    progress: bool = False,
) -> ScanFolder:
    """Find every hit of the motifs of a MEME file along a genome, both strands.

    A hit is a site whose score has a p-value of at most ``p_value`` on its strand, in bases drawn
    from ``background`` (shares of A, C, G, T, averaged with their complement; None: the composition
    of the scanned contigs). Scores are log-odds over it in bits. A site with N is none.
    ``targets``: motifs by id or name, all if None. ``within``: BED file; only hits that lie wholly
    in a region count. ``genome``, ``chroms``, ``force`` and ``resume`` are those of :func:`scan`.

    Writes ``hits/<id>.<name>.bed.gz`` (chrom, start, end, id, score, strand, p-value, sorted),
    ``summary.tsv`` and ``run.json``; bytes do not depend on device or number of threads. Memory
    does not grow with the contigs.
    """
    started, stages = time.monotonic(), Stages()
    options = MotifScanOptions(p_value, background, chroms, targets, within)
    paths = [genome] if isinstance(genome, (str, os.PathLike)) else list(genome)
    with Genome(*paths) as opened:
        job = MotifJob(opened, motifs, options, device)
        hashes = job.inputs.hash_beside()
        output = OutputFolder(out, lambda: job.key(hashes), force, resume, "scan")
        if output.complete:
            log.info("%s is complete already", output.folder)
            return ScanFolder(output.folder)
        announce_motifs(job)
        with _what_is_finished_is_kept(output, job, hashes):
            scan_stretches(job, output.work, stages, progress,
                           lambda: hashes.done() and _settle(output, job, hashes))  # fmt: skip
            _settle(output, job, hashes)
            _publish_hits(job, output, stages, started)
    log.info("busy, some at the same time: %s", stages)
    return ScanFolder(output.folder)


def _publish_hits(job: MotifJob, output: OutputFolder, stages: Stages, started: float) -> None:
    result = output.work / "result"
    shutil.rmtree(result, ignore_errors=True)
    (result / "hits").mkdir(parents=True)
    with stages.timed("write"):
        write_summary(result, summary_rows(job, write_hits(job, output.work, result)))
    job.inputs.check()
    record = {
        "versions": versions(),
        "motif_file": job.meme.name,
        "p_value": job.options.p_value,
        "background": job.background.tolist(),
        "background_from": "the scanned contigs" if job.options.background is None else "given",
        "motifs_without_hits": job.without_hits,
        "device": device_words(job.device),
        "skipped_contigs": job.skipped,
        "stages": stages.seconds,
        "seconds": round(time.monotonic() - started, 1),
    }
    output.publish(result, record)


def _open_model(
    model: TCN | Ensemble | str | Path | None, cutoff: str
) -> tuple[TCN | Ensemble, str, str]:
    """A model with a name for it and its hash."""
    name, folder = "given", None
    if not isinstance(model, (TCN, Ensemble)):
        folder = ModelFolder(model or DEFAULT_MODEL)
        model, name = load_model(folder), folder.name
    if model.thresholds is None and cutoff == "f1":
        raise TcnfastError(
            f"model {folder.path if folder else ''}: has no thresholds.tsv, so it cannot call peaks"
        )
    return model, name, folder.hash if folder else state_hash(model)


def _carry_out(
    job: ScanJob,
    output: OutputFolder,
    hashes: Future,
    model_name: str,
    progress: bool,
    started: float,
) -> None:
    """Scan, and publish the output."""
    stages, pipeline = Stages(), None
    if len(job.devices) == 1:
        pipeline = Pipeline(
            job.scorer, job.genome, job.wanted, batch_size=job.batch_size, stages=stages
        )
    announce(job, model_name, pipeline)
    stages.clear()

    counts = run_stretches(
        job,
        output.work,
        pipeline,
        stages,
        progress,
        after_stretch=lambda: hashes.done() and _settle(output, job, hashes),
    )
    _settle(output, job, hashes)
    assemble(job, output, counts, stages, started)
    log.info("busy, some at the same time: %s", stages)


def _settle(output: OutputFolder, job: ScanJob | MotifJob, hashes: Future) -> None:
    """Let the work be gone on with. Raises TcnfastError where it is not known whether what was
    scanned is what was hashed."""
    if not output.settled:
        hashes.result()
        job.inputs.check()
        output.settle()


@contextmanager
def _what_is_finished_is_kept(
    output: OutputFolder, job: ScanJob | MotifJob, hashes: Future
) -> Iterator[None]:
    try:
        yield
    except BaseException:
        kept = job.any_finished(output.work)
        try:
            if kept:
                _settle(output, job, hashes)
        except Exception:
            kept = False
        if kept:
            log.warning("finished stretches are kept in %s; go on with --resume", output.work)
        else:
            output.discard()
        raise
