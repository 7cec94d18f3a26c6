"""``tcnfast evaluate``: from files on disk to a table of scores, and a folder of plots."""

from __future__ import annotations

import logging
import sys
import time
from dataclasses import dataclass

import numpy as np
import torch

from ..base import run_record
from ..base.errors import TcnfastError
from ..base.logits import logit
from ..base.run_folder import OutputFolder, file_hash
from ..data.dataset import Dataset
from ..data.source import Source, open_source
from ..engines.plan import Plan
from ..genome.genome import Region
from ..model.load_model import load_model
from ..model.model_folder import ModelFolder
from ..model.thresholds import choose_cutoffs, parse_cutoff
from ..pwm.meme import read_meme
from .assessment import Assessment, Windows, assess
from .evaluation_report import Evaluation
from .floors import Floors, measure_floors
from .predict import describe_windows, predict

log = logging.getLogger(__name__)

STRANDS = {"none": "+", "mean": "both"}


@dataclass(frozen=True)
class EvaluateOptions:
    """What an evaluation depends on, besides model and data. ``against``: another model;
    ``motifs``: a MEME file; ``cutoff``: as of a scan; ``resamples``: of blocks of a megabase."""

    part: str = "valid"
    against: str | None = None
    motifs: str | None = None
    cutoff: str = "f1"
    resamples: int = 1000
    seed: int = 0
    rc: str = "mean"
    stride: int = 32

    def __post_init__(self) -> None:
        object.__setattr__(self, "cutoff", parse_cutoff(self.cutoff))
        if self.rc not in STRANDS:
            raise TcnfastError(f"evaluate scores with --rc {' or '.join(STRANDS)}, not {self.rc}")
        if self.resamples < 0:
            raise TcnfastError(f"resamples {self.resamples}: must be at least 0 (no intervals)")


class Contender:
    """A model made ready to be scored: ``network``, ``plan``, and the ``cutoffs`` it calls at, as
    logits (labels,), NaN for labels that it does not call."""

    def __init__(self, name: str, options: EvaluateOptions, device: dict) -> None:
        folder = ModelFolder(name)
        self.name, self.hash = folder.name, folder.hash
        self.network = load_model(folder)
        self.plan = Plan(self.network, stride=options.stride, strand=STRANDS[options.rc], **device)
        self.cutoffs = np.full(len(self.network.labels), np.nan)
        if self.network.thresholds is None and options.cutoff == "f1":
            log.warning("WARNING: model %s has no thresholds.tsv: no precision at a cutoff", name)
            return
        rules = choose_cutoffs(self.network.thresholds, self.network.labels, options.cutoff)
        thresholds = [rule.threshold if rule else np.nan for rule in rules.values()]
        self.cutoffs = logit(np.array(thresholds))


def evaluate_model(
    model: str,
    data: dict,
    options: EvaluateOptions,
    out: str | None = None,
    *,
    device: str = "auto",
    precision: str = "auto",
    backend: str = "auto",
    force: bool = False,
) -> Evaluation:
    """Score every label of ``model`` on one part of the split, print the table to stdout, and write
    the folder ``out`` where given: scores.tsv, summary.json, plots and run.json.

    ``data``: arguments of :func:`source.open_source`.
    """
    started = time.monotonic()
    runs_on = dict(device=device, precision=precision, backend=backend)
    contender = Contender(model, options, runs_on)
    rival = Contender(options.against, options, runs_on) if options.against else None
    motifs = read_meme(options.motifs) if options.motifs else None
    config = contender.network.config
    if rival and rival.network.config.label_bin != config.label_bin:
        raise TcnfastError(
            f"--against {rival.name}: its label bins have {rival.network.config.label_bin} bp, "
            f"those of {model} {config.label_bin}"
        )
    with open_source(**data, labels=config.labels, label_bin=config.label_bin) as source:
        key = _key(source, contender, rival, options)
        output = OutputFolder(out, key, force, resume=None) if out else None
        try:
            evaluation = _evaluate(source, contender, rival, motifs, options)
            if output:
                evaluation.write(output.work / "result")
        except BaseException:
            if output:
                output.discard()
            raise
    if output:
        record = {
            "versions": run_record.versions(),
            "device": run_record.device_words(contender.plan.device),
            "threads": torch.get_num_threads(),
            "seconds": round(time.monotonic() - started, 1),
        }
        output.publish(output.work / "result", record)
    sys.stdout.write(evaluation.table())
    sys.stdout.flush()
    for line in evaluation.words():
        log.info("%s", line)
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
    return Evaluation(
        contender.name, options.part, options.cutoff, assessment,
        rival.name if rival else None, other, floors,
    )  # fmt: skip


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
        raise TcnfastError(f"--against {rival.name}: has no label of the model")
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
    log.info("%d motifs on %d bins", len(motifs), len(targets))
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
    return {
        "command": "evaluate",
        "tcnfast": run_record.version(),
        "model": contender.hash,
        "against": rival.hash if rival else None,
        "inputs": source.inputs,
        "motifs": file_hash(options.motifs) if options.motifs else None,
        "part": options.part,
        "cutoff": options.cutoff,
        "resamples": options.resamples,
        "seed": options.seed,
        "stride": options.stride,
        "rc": options.rc,
        "device": plan.device.type,
        "backend": plan.backend,
        "instructions": plan.instructions,
        "precision": plan.precision,
    }
