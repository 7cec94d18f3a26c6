"""Why a model calls a site: attributions of its logits, as ``tcnfast attribute`` writes them."""

from __future__ import annotations

import logging
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from ..base import run_record
from ..base.errors import TcnfastError
from ..base.run_folder import RECORD, OutputFolder, file_hash
from ..engines import cpu_engine
from ..genome.genome import Genome
from ..model.load_model import load_model
from ..model.model_folder import ModelFolder
from .attribution_files import why_no_seqlets
from .attribution_job import AttributeJob
from .explained import Explainer
from .methods import AttributeOptions, TCNExplainer
from .networks import Networks
from .regions import Sites, sites_of_bed, sites_of_scan

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class AttributeResult:
    """Where attributions were written, and of which labels."""

    folder: Path
    labels: list[str]


def attribute(
    model: str | Path,
    genome: list[str | Path],
    out: str | Path,
    options: AttributeOptions | None = None,
    *,
    rc: str = "mean",
    device: str = "auto",
    **sites_and_run,
) -> AttributeResult:
    """Attribute a TCN's logits to the bases of their windows and write the output folder ``out``.

    ``rc``: "mean", the mean of both strands' logits as a scan has it, or "none", the plus strand's;
    either way values stand on the bases of the plus strand. The rest: see :func:`explain_sites`.
    """
    options = options or AttributeOptions()
    folder = ModelFolder(model)
    explainer = TCNExplainer(Networks(load_model(folder), rc, device), options)
    settings = {"rc": rc, **asdict(options)}
    return explain_sites(explainer, folder, genome, out, settings, **sites_and_run)


def explain_sites(
    explainer: Explainer,
    model: ModelFolder,
    genome: list[str | Path],
    out: str | Path,
    settings: dict,
    *,
    command: str = "attribute",
    regions: str | Path | None = None,
    scan: str | Path | None = None,
    targets: list[str] | None = None,
    top: int | None = None,
    force: bool = False,
    resume: bool = False,
    progress: bool = False,
) -> AttributeResult:
    """Write what ``explainer``, made from ``model``, says of windows to ``out``.

    One window a region, around its summit (column 10 of a narrowPeak file) or its middle; the logit
    there depends on nothing else. ``regions``: a BED file, explained for every label of ``targets``
    (names; all if None); or ``scan``: the folder of a scan, each label's own calls, best first.
    ``top``: of those rows the first this many. ``settings``: of the method, for the key in
    run.json. ``command``: whose output it is.

    Writes for each label ``<label>.npz`` (:class:`tcnfast.attribute.attributions.Attributions`),
    ``tracks/<label>.bw`` and, where tangermeme is installed, ``seqlets/<label>.bed``; besides
    ``attributions.tsv`` and ``run.json``. Labels that were finished are kept for ``resume``.
    Raises TcnfastError for bad input.
    """
    started = time.monotonic()
    if (regions is None) == (scan is None):
        raise TcnfastError("attribute: give regions or a scan, one of the two")
    if top is not None and top < 1:
        raise TcnfastError(f"top {top}: must be at least 1")
    labels = _chosen(explainer.labels, targets)
    cpu_engine.keep_freed_memory()
    with Genome(*genome) as opened:
        model_hash = model.hash
        sites = _sites(opened, labels, regions, scan, model_hash, top)
        key = {
            "command": command,
            "tcnfast": run_record.version(),
            "model": model_hash,
            "genome": [file_hash(path) for path in opened.paths],
            "regions": file_hash(regions) if regions else None,
            "scan": file_hash(Path(scan) / RECORD) if scan else None,
            "targets": labels,
            "top": top,
            "device": explainer.device.type,
            **settings,
        }
        output = OutputFolder(out, key, force, resume)
        if output.complete:
            log.info("%s is complete already", output.folder)
            return AttributeResult(output.folder, list(sites))
        job = AttributeJob(opened, explainer, sites)
        _announce(model.name, explainer, sites)
        result = _run(job, output, progress)
    record = {
        "versions": run_record.versions(),
        "device": run_record.device_words(explainer.device),
        "threads": torch.get_num_threads(),
        "windows": {label: len(found) for label, found in sites.items()},
        "seconds": round(time.monotonic() - started, 1),
    }
    output.publish(result, record)
    return AttributeResult(output.folder, list(sites))


def _run(job: AttributeJob, output: OutputFolder, progress: bool) -> Path:
    """The folder that holds the results; what is finished is kept where the job is stopped."""
    result = output.work / "result"
    try:
        job.run(output.work, result, progress)
        job.table(result)
    except BaseException:
        if job.any_finished(result):
            log.warning("finished labels are kept in %s; go on with --resume", output.work)
        else:
            output.discard()
        raise
    return result


def _chosen(known: list[str], targets: list[str] | None) -> list[str]:
    unknown = [label for label in targets or [] if label not in known]
    if unknown:
        some = ", ".join(known[:5]) + (", ..." if len(known) > 5 else "")
        raise TcnfastError(f"targets: the model has no label {unknown[0]!r}; it has {some}")
    return list(dict.fromkeys(targets)) if targets else known


def _sites(
    genome: Genome,
    labels: list[str],
    regions: str | Path | None,
    scan: str | Path | None,
    model_hash: str,
    top: int | None,
) -> dict[str, Sites]:
    if regions is not None:
        shared = sites_of_bed(regions, genome.sizes)
        found = dict.fromkeys(labels, shared)
    else:
        found = sites_of_scan(scan, labels, genome.sizes, model_hash)
    if top is None:
        return found
    first = {id(sites): sites.take(slice(top)) for sites in found.values()}
    return {label: first[id(sites)] for label, sites in found.items()}


def _announce(model: str, explainer: Explainer, sites: dict[str, Sites]) -> None:
    log.info(
        "%s: %d windows of %d bp of %d labels; %s; on %s",
        model,
        sum(map(len, sites.values())),
        explainer.receptive_field,
        len(sites),
        explainer.words,
        run_record.device_words(explainer.device),
    )
    unused = run_record.unused_gpu(explainer.device)
    if unused:
        log.warning("WARNING: %s", unused)
    if explainer.why_slow:
        log.warning("WARNING: %s", explainer.why_slow)
    if explainer.by_base and why_no_seqlets():
        log.warning("no seqlets will be called: %s", why_no_seqlets())
