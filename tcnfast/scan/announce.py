"""The first lines of a scan: what runs, how fast, how long."""

from __future__ import annotations

import logging
import math
import time

import numpy as np

from ..base import run_record
from ..base.errors import some
from ..base.options import setting
from ..base.talk import count
from .pieces import Batch
from .pipeline import Pipeline

log = logging.getLogger(__name__)

PROBE_BASES = 2**18  # on a processor; a GPU is asked for a whole segment


def announce(job, pipeline: Pipeline | None) -> None:
    """Say what a :class:`tcnfast.scan.scan_job.ScanJob` will do."""
    labels = count(len(job.model.labels), "label")
    log.info("model %s: %s, a score sees %d bp", job.name, labels, job.model.receptive_field)
    _announce_genome(job)
    if job.scorer is None:
        log.info("workers on %s, this machine has none; %s", job.ran.device, job.ran.words())
    else:
        _announce_plan(job)
    _announce_cutoffs(job)
    _announce_skipped(job)
    words = f"{job.bases / 1e6:.1f} Mb in {count(len(job.chroms), 'contig')}"
    if job.run.cluster is not None:
        log.info("%s, on a cluster", words)
        return
    # several devices that share its threads
    if pipeline is None and job.scorer.plan.device.type == "cpu":
        pipeline = Pipeline(job.scorer, job.genome, None, batch_size=job.run.batch_size)
    if pipeline is None:
        log.info("%s", words)
        return
    speed = probe_speed(pipeline)
    log.info("%s: at %.1f Mb/s about %d s", words, speed / 1e6, round(job.bases / speed))


def _announce_plan(job) -> None:
    plan = job.scorer.plan
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


def announce_motifs(job) -> None:
    """Say what a :class:`tcnfast.scan.motif_run.MotifJob` will do."""
    shares = ", ".join(
        f"{base} {share:.4f}" for base, share in zip("ACGT", job.background, strict=True)
    )
    of = "of the scanned contigs" if job.options.background is None else "given"
    words = "%s of %s, p-value %g, background %s (%s, both strands)"
    log.info(words, count(len(job.motifs), "motif"), job.meme.name, job.p_value, shares, of)
    none = job.without_hits
    if none:
        words = "WARNING: even the best site of %s has a higher p-value: no hits of %s"
        log.warning(words, count(len(none), "motif"), some(none))
    _announce_skipped(job)
    device = run_record.device_words(job.device)
    contigs = count(len(job.chroms), "contig")
    log.info("%.1f Mb in %s, device %s", job.bases / 1e6, contigs, device)


def _announce_skipped(job) -> None:
    if job.skipped:
        skipped = count(len(job.skipped), "contig")
        words = "%s skipped (%s); %s scans them"
        log.info(words, skipped, some(job.skipped), setting("chroms", "all"))


def _announce_genome(job) -> None:
    if job.options.hub is not None and job.assembly is None:
        words = "WARNING: the contigs are of no assembly that is known by its sizes: %s names it"
        log.warning(words + ", or you do in hub.txt", setting("hub", "hg38"))
    home, verdict = job.model.home, job.expectation.verdict
    if home is None:
        log.info("what the model was trained on is not known: no genome.json in its folder")
        return
    log.info("trained on %s (%s)", home.name, ", ".join(home.contigs))
    for warning in job.expectation.warnings:
        log.warning("WARNING: %s", warning)
    if verdict.words and not verdict.foreign:
        log.info("%s", verdict.words)


def last_words(scan) -> list[str]:
    """What a reader should know of the calls, or hits, of a :class:`ScanFolder`."""
    if scan.of_motifs:
        return [f"{count(sum(row['hits'] for row in scan.totals), 'hit')} in {scan.path}"]
    total = sum(row["calls"] for row in scan.totals)
    lines = [f"{count(total, 'call')} in {scan.path}"]
    left_out, warnings = scan.record.get("left_out_labels", []), scan.record.get("warnings", [])
    expected = [
        (row["calls"], row["calls"] * row["expected_precision"])
        for row in scan.totals
        if row["calls"] and not math.isnan(row["expected_precision"])
    ]
    if expected:
        known, right = map(sum, zip(*expected, strict=True))
        of = scan.record["expected_precision_of"]
        share = right / known
        some = "" if known == total else f" {known} of these calls,"
        lines.append(f"about {right:.0f} ({share:.0%}) are expected to be right:{some} {of}")
        within = "" if scan.record["key"]["within"] else f"{setting('within')} open chromatin, "
        lines.append(f"what raises that: {within}{setting('cutoff', 'precision=0.7')} or higher")
    elif total:
        why = f": {warnings[0].partition(':')[0]}" if warnings else ""
        lines.append(f"how many of them are right is not known{why}")
    if left_out:
        lines.append(
            f"{count(len(left_out), 'label')} of grade D left out: not half of the calls would be "
            f"right; {setting('targets')} calls those that it names"
        )
    return lines


def _announce_cutoffs(job) -> None:
    if job.uncalled:
        words = "WARNING: no calls of %d of %s, which never reached %s on validation: %s"
        uncalled, cutoff = ", ".join(job.uncalled), job.options.cutoff
        labels = count(len(job.labels), "label")
        log.warning(words, len(job.uncalled), labels, cutoff, uncalled)
    elif job.expectation.changed and not job.expectation.foreign:
        words = "no expected precision: it was measured with the default %s"
        log.info(words, setting(job.expectation.changed))
    elif not job.expectation.foreign and all(
        np.isnan(job.expectation.of(label)[0]) for label in job.labels
    ):
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
