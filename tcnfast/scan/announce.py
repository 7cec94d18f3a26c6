"""The first lines of a scan: what runs, how fast, how long."""

from __future__ import annotations

import logging
import time

import numpy as np

from ..base import run_record
from .reading import Batch
from .scanner import Pipeline

log = logging.getLogger(__name__)

PROBE_BASES = 2**18  # on a processor; a GPU is asked for a whole segment


def announce(job, name: str, pipeline: Pipeline | None) -> None:
    """Say what a :class:`tcnfast.scan.scan_job.ScanJob` with the model ``name`` will do."""
    plan = job.scorer.plan
    log.info("model %s: %d labels, a score sees %d bp", name, len(job.model.labels),
             plan.receptive_field)  # fmt: skip
    backend = plan.backend + (f" ({plan.instructions})" if plan.instructions else "")
    several = f"{len(job.devices)} devices ({', '.join(job.devices)}), the first " \
        if len(job.devices) > 1 else "device "  # fmt: skip
    where = several + run_record.device_words(plan.device)
    log.info("%s, backend %s, precision %s", where, backend, plan.precision)
    for reason in plan.passed_over:
        log.warning("WARNING: %s", reason)
    unused = run_record.unused_gpu(plan.device)
    if unused:
        log.warning("WARNING: %s", unused)
    _announce_cutoffs(job)
    _announce_skipped(job)
    words = f"{job.bases / 1e6:.1f} Mb in {len(job.chroms)} contigs"
    if pipeline is None and plan.device.type == "cpu":  # several that share its threads
        pipeline = Pipeline(job.scorer, job.genome, None, batch_size=job.batch_size)
    if pipeline is None:
        log.info("%s", words)
        return
    speed = probe_speed(pipeline)
    log.info("%s: at %.1f Mb/s about %d s", words, speed / 1e6, round(job.bases / speed))


def announce_motifs(job) -> None:
    """Say what a :class:`tcnfast.scan.motif_job.MotifJob` will do."""
    shares = ", ".join(
        f"{base} {share:.4f}" for base, share in zip("ACGT", job.background, strict=True)
    )
    of = "of the scanned contigs" if job.options.background is None else "given"
    log.info("%d motifs of %s, p-value %g, background %s (%s, both strands)", len(job.motifs),
             job.meme.name, job.options.p_value, shares, of)  # fmt: skip
    none = job.without_hits
    if none:
        shown = ", ".join(none[:5]) + (", ..." if len(none) > 5 else "")
        log.warning("WARNING: even the best site of %d motifs has a higher p-value: no hits of %s",
                    len(none), shown)  # fmt: skip
    _announce_skipped(job)
    log.info("%.1f Mb in %d contigs, device %s", job.bases / 1e6, len(job.chroms),
             run_record.device_words(job.device))  # fmt: skip


def _announce_skipped(job) -> None:
    if job.skipped:
        shown = ", ".join(job.skipped[:5]) + (", ..." if len(job.skipped) > 5 else "")
        log.info("%d contigs skipped (%s); --chroms all scans them", len(job.skipped), shown)


def _announce_cutoffs(job) -> None:
    if job.uncalled:
        log.warning(
            "WARNING: no calls of %d of %d labels, which never reached %s on validation: %s",
            len(job.uncalled), len(job.labels), job.options.cutoff, ", ".join(job.uncalled),
        )  # fmt: skip
    elif all(np.isnan(job.rules[label].precision) for label in job.labels):
        log.info("cutoff %s: no precision to expect was measured", job.options.cutoff)


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
