"""``tcnfast evaluate``: from files on disk to a table of scores, and a folder of plots."""

from __future__ import annotations

import logging
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from ..base import run_record
from ..base.errors import TcnfastError
from ..base.logits import logit
from ..base.options import Run, setting
from ..base.run_folder import RunFolder, file_hash
from ..base.talk import count
from ..data.data_options import DataOptions
from ..data.dataset import Dataset
from ..data.source import Source, open_source
from ..engines.plan import Plan
from ..genome.genome import Region
from ..genome.intervals import read_bed
from ..model.cutoffs import choose_cutoffs
from ..model.load_model import load_model
from ..model.model_folder import ModelFolder
from ..pwm.motif_formats import motif_file, read_motifs
from . import EvaluateOptions
from .assessment import Assessment, Windows, assess
from .call_report import grade_model, report_calls
from .evaluation_page import PAGE
from .evaluation_report import Evaluation
from .floors import Floors, measure_floors
from .predict import describe_windows, predict

log = logging.getLogger(__name__)


class Contender:
    """A model made ready to be scored: ``network``, ``plan``, and the ``cutoffs`` it calls at, as
    logits (labels,), NaN for labels that it does not call."""

    def __init__(self, name: str | Path, options: EvaluateOptions, run: Run) -> None:
        folder = ModelFolder(name)
        self.name, self.hash = folder.name, folder.hash
        self.network = load_model(folder)
        self.plan = Plan(
            self.network,
            device=run.device,
            precision=run.precision,
            backend=run.backend,
            stride=options.stride,
            strand=options.strand,
        )
        if self.plan.symmetric:
            words = "model %s is symmetric: both strands score the same, one pass gives both"
            log.info(words, name)
        network, self.folder = self.network, folder
        self.cutoffs = np.full(len(network.labels), np.nan)
        self.rules = [None] * len(network.labels)
        if network.thresholds is None and options.cutoff in ("best", "f1"):
            log.warning("WARNING: model %s has no thresholds.tsv: no precision at a cutoff", name)
            return
        about = network.calls, options.within is not None
        rules = choose_cutoffs(network.thresholds, network.labels, options.cutoff, *about)
        self.rules = list(rules.values())
        thresholds = [rule.threshold if rule else np.nan for rule in self.rules]
        self.cutoffs = logit(np.array(thresholds))


def evaluate_model(
    data: str | Path | None,
    model: str | Path,
    out: str | Path | None,
    options: EvaluateOptions,
    run: Run,
) -> Evaluation:
    """What ``tcnfast evaluate`` does."""
    key = {}
    place = nullcontext() if out is None else RunFolder(out, "evaluate", run, key=lambda: key)
    with place as folder:
        contender = Contender(model, options, run)
        rival = Contender(options.against, options, run) if options.against else None
        motifs = read_motifs(options.motifs) if options.motifs else None
        config = contender.network.config
        if rival and rival.network.config.label_bin != config.label_bin:
            raise TcnfastError(
                f"{setting('against')} {rival.name}: its label bins have "
                f"{rival.network.config.label_bin} bp, those of {model} {config.label_bin}"
            )
        files = vars(options.narrowed(DataOptions))
        about = dict(labels=config.labels, label_bin=config.label_bin)
        with open_source(data, **files, **about) as source:
            evaluation = _evaluate(source, contender, rival, motifs, options)
            if folder:
                evaluation = replace(evaluation, path=folder.path)
                evaluation.write(folder.result)
                key |= _key(source, contender, rival, options)
                device = run_record.device_words(contender.plan.device)
                record = {"device": device, "threads": torch.get_num_threads()}
                folder.publish(record | {"one_pass": contender.plan.symmetric})
    for line in evaluation.words():
        log.info("%s", line)
    if folder:
        words = "scores and plots in %s; to see them, open %s in a browser"
        log.info(words, folder.path, folder.path / PAGE)
    return evaluation


def _evaluate(
    source: Source,
    contender: Contender,
    rival: Contender | None,
    motifs: list | None,
    options: EvaluateOptions,
) -> Evaluation:
    plans = [side.plan for side in (contender, rival) if side]
    reach = max(plan.receptive_field for plan in plans)
    regions, dataset = source.split[options.part], source.dataset
    logits, targets = predict(contender.plan, dataset, regions, reach)
    windows = describe_windows(dataset, regions, targets, reach, options.stride)
    draw = dict(resamples=options.resamples, seed=options.seed)
    assessment = assess(windows, logits, contender.cutoffs, **draw)
    other = _assess_rival(rival, dataset, regions, windows, reach, draw) if rival else None
    floors = _floors(dataset, regions, targets, motifs, reach, options) if motifs else None
    against = rival.name if rival else None
    about = (contender.name, options.part, options.cutoff)
    within = read_bed(options.within, dataset.genome.sizes) if options.within else None
    known = contender.network.calls is not None
    place = (source, contender.rules, known, logits, contender.cutoffs, reach, within, options)
    calls = report_calls(*place)
    if options.grade:
        aps = assessment.values["ap"], floors.best_ap if floors else None
        grade_model(contender.folder, source, logits, reach, within, options, *aps)
    return Evaluation(*about, assessment, against, other, floors, calls)


def _assess_rival(
    rival: Contender,
    dataset: Dataset,
    regions: list[Region],
    windows: Windows,
    reach: int,
    draw: dict,
) -> Assessment:
    """Of the labels that both models have, on the very same windows."""
    labels = rival.network.labels
    common = [label for label in windows.labels if label in labels]
    if not common:
        raise TcnfastError(f"{setting('against')} {rival.name}: has no label of the model")
    theirs = [labels.index(label) for label in common]
    logits = predict(rival.plan, dataset.select(common), regions, reach)[0][:, theirs]
    ours = [windows.labels.index(label) for label in common]
    both = Windows(common, windows.targets[:, ours], windows.block, windows.island)
    return assess(both, logits, rival.cutoffs[theirs], **draw)


def _floors(
    dataset: Dataset,
    regions: list[Region],
    targets: np.ndarray,
    motifs: list,
    reach: int,
    options: EvaluateOptions,
) -> Floors:
    log.info("%s on %d bins", count(len(motifs), "motif"), len(targets))
    bins = [
        (
            dataset.genome.codes(*region),
            dataset.centres(region, reach, options.stride) - dataset.label_bin // 2 - region.start,
        )
        for region in regions
    ]
    return measure_floors(dataset.labels, motifs, bins, targets, dataset.label_bin)


def _key(
    source: Source, contender: Contender, rival: Contender | None, options: EvaluateOptions
) -> dict:
    """What the bytes of the result depend on."""
    plan = contender.plan
    asked = ("part", "cutoff", "resamples", "seed", "stride", "strand")
    return {
        "tcnfast": run_record.version(),
        "model": contender.hash,
        "against": rival.hash if rival else None,
        "inputs": source.inputs,
        "motifs": file_hash(motif_file(options.motifs)) if options.motifs else None,
        "within": file_hash(options.within) if options.within else None,
        **{name: getattr(options, name) for name in asked},
        "device": plan.device.type,
        "backend": plan.backend,
        "instructions": plan.instructions,
        "precision": plan.precision,
    }
