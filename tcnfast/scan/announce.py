"""The first lines of a scan: what runs, how fast, how long."""

from __future__ import annotations

import logging
import time

import numpy as np

from ..base import run_record
from ..base.errors import some
from ..base.options import setting
from .pieces import Batch
from .pipeline import Pipeline

log = logging.getLogger(__name__)

PROBE_BASES = 2**18  # on a processor; a GPU is asked for a whole segment


def announce(job, pipeline: Pipeline | None) -> None:
    """Say what a :class:`tcnfast.scan.scan_genome.ScanJob` will do."""
    plan = job.scorer.plan
    labels = len(job.model.labels)
    log.info("model %s: %d labels, a score sees %d bp", job.name, labels, plan.receptive_field)
    backend = plan.backend + (f" ({plan.instructions})" if plan.instructions else "")
    where = "device " + run_record.device_words(plan.device)
    if len(job.devices) > 1:
        names = ", ".join(job.devices)
        where = f"{len(job.devices)} devices ({names}), the first {where.removeprefix('device ')}"
    log.info("%s, backend %s, precision %s", where, backend, plan.precision)
    if plan.symmetric:
        log.info("symmetric network: both strands score the same, one pass gives both")
    for reason in plan.passed_over:
        log.warning("WARNING: %s", reason)
    unused = run_record.unused_gpu(plan.device)
    if unused:
        log.warning("WARNING: %s", unused)
    _announce_cutoffs(job)
    _announce_skipped(job)
    words = f"{job.bases / 1e6:.1f} Mb in {len(job.chroms)} contigs"
    if pipeline is None and plan.device.type == "cpu":  # several that share its threads
        pipeline = Pipeline(job.scorer, job.genome, None, batch_size=job.run.batch_size)
    if pipeline is None:
        log.info("%s", words)
        return
    speed = probe_speed(pipeline)
    log.info("%s: at %.1f Mb/s about %d s", words, speed / 1e6, round(job.bases / speed))


def announce_motifs(job) -> None:
    """Say what a :class:`tcnfast.scan.motif_run.MotifJob` will do."""
    shares = ", ".join(
        f"{base} {share:.4f}" for base, share in zip("ACGT", job.background, strict=True)
    )
    of = "of the scanned contigs" if job.options.background is None else "given"
    words = "%d motifs of %s, p-value %g, background %s (%s, both strands)"
    log.info(words, len(job.motifs), job.meme.name, job.p_value, shares, of)
    none = job.without_hits
    if none:
        words = "WARNING: even the best site of %d motifs has a higher p-value: no hits of %s"
        log.warning(words, len(none), some(none))
    _announce_skipped(job)
    device = run_record.device_words(job.device)
    log.info("%.1f Mb in %d contigs, device %s", job.bases / 1e6, len(job.chroms), device)


def _announce_skipped(job) -> None:
    if job.skipped:
        words = "%d contigs skipped (%s); %s scans them"
        log.info(words, len(job.skipped), some(job.skipped), setting("chroms", "all"))


def _announce_cutoffs(job) -> None:
    if job.uncalled:
        words = "WARNING: no calls of %d of %d labels, which never reached %s on validation: %s"
        uncalled, cutoff = ", ".join(job.uncalled), job.options.cutoff
        log.warning(words, len(job.uncalled), len(job.labels), cutoff, uncalled)
    elif all(np.isnan(job.rules[label].precision) for label in job.labels):
        log.info("cutoff %s: no expected precision is known for it", job.options.cutoff)


def probe_speed(pipeline: Pipeline) -> float:
    """Bases a second of the second of two equal batches (the first warms up)."""
    window, steps = pipeline.window, pipeline.segment_steps
    if not pipeline.compacts:
        steps = max(1, min(steps, PROBE_BASES // window.stride))
    for _ in range(2):
        codes, unknown, slot = pipeline.device.buffers(
            pipeline.batch_size, window.length(steps), steps
        )
        codes[:] = np.random.default_rng(0).integers(0, 4, codes.shape, np.uint8)
        unknown[:] = False
        started = time.perf_counter()
        pipeline.device.submit(Batch([0] * len(codes), codes, unknown, slot)).result()
        seconds = time.perf_counter() - started
    return len(codes) * steps * window.stride / seconds
