"""``tcnfast evaluate``: from files on disk to a table of scores, and a folder of plots."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from functools import cache
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
from ..scan.part_files import Part, do_parts, publish_parts, read_parts, spread
from ..scan.shard_folder import END, ShardFolder, Whole, check_key, whole_path
from . import EvaluateOptions
from .assessment import Assessment, Windows, assess
from .call_report import grade_model, report_calls
from .evaluation_page import PAGE
from .evaluation_report import Evaluation
from .floors import Floors, measure_floors
from .predict import describe_windows, predict
from .score_parts import MakeScores, ScoreMaker, score_parts, scored, segment_steps

log = logging.getLogger(__name__)

SCORED_BY = "device", "backend", "instructions", "precision"  # of a key


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
    shards: Sequence[ShardFolder] = (),
) -> Evaluation | ShardFolder:
    """What ``tcnfast evaluate`` does. ``shards``: folders that hold all scores already."""
    if spread(run) and out is None:
        asked = setting("cluster") if run.shard is None else setting("shard")
        raise TcnfastError(f"{asked} needs {setting('out')}")
    if run.resume and run.shard is None:
        raise TcnfastError(f"{setting('resume', True)} goes on with a {setting('shard')}")
    with ExitStack() as opened:

        @cache
        def job() -> _Job:  # made once the output folder was looked at
            return _open_job(data, model, options, run, opened)

        def some_are_scored() -> bool:
            return any(folder.work.glob("part.*.npz"))

        folder = None
        if out is not None:
            folder = RunFolder(
                out,
                "evaluate" if run.shard is None else f"evaluate{END}",
                run,
                key=lambda: job().key(run, shards),
                resumable=run.shard is not None,
                worth_keeping=some_are_scored,
            )
            opened.enter_context(folder)
            if folder.complete:
                return ShardFolder(folder.path)
        device = run_record.device_words(job().contender.plan.device)
        if folder and shards:
            check_key(folder.key, shards[0])
            device = "; ".join(sorted({shard.record["device"] for shard in shards}))
            job().take(shards)
        elif folder and spread(run):
            job().do_parts(data, model, folder, run)
        if folder and run.shard is not None:
            asked = job().asked(data, model) | {"device": device}
            return publish_parts(job().parts, folder, run, asked)
        evaluation = job().evaluate()
        if folder:
            evaluation = replace(evaluation, path=folder.path)
            evaluation.write(folder.result)
            record = {"device": device, "threads": torch.get_num_threads()}
            folder.publish(record | {"one_pass": job().contender.plan.symmetric})
    for line in evaluation.words():
        log.info("%s", line)
    if folder:
        words = "scores and plots in %s; to see them, open %s in a browser"
        log.info(words, folder.path, folder.path / PAGE)
    return evaluation


def _open_job(
    data: str | Path | None,
    model: str | Path,
    options: EvaluateOptions,
    run: Run,
    opened: ExitStack,
) -> _Job:
    """The models and the data; ``opened`` closes these."""
    contender, rival = _contenders(model, options, run)
    motifs = read_motifs(options.motifs) if options.motifs else None
    config = contender.network.config
    files = vars(options.narrowed(DataOptions))
    about = dict(labels=config.labels, label_bin=config.label_bin)
    source = opened.enter_context(open_source(data, **files, **about))
    return _Job(source, contender, rival, options, motifs)


def _contenders(
    model: str | Path, options: EvaluateOptions, run: Run
) -> tuple[Contender, Contender | None]:
    contender = Contender(model, options, run)
    rival = Contender(options.against, options, run) if options.against else None
    label_bin = contender.network.config.label_bin
    if rival and rival.network.config.label_bin != label_bin:
        raise TcnfastError(
            f"{setting('against')} {rival.name}: its label bins have "
            f"{rival.network.config.label_bin} bp, those of {model} {label_bin}"
        )
    return contender, rival


def merge_evaluations(whole: Whole) -> Evaluation:
    """Make the output of one process of all shards, in order; see :func:`tcnfast.merge`."""
    run, options = whole.run, whole.options(EvaluateOptions)
    if whole.genome is not None:
        options = replace(options, genome=tuple(map(str, whole.genome)))
    how = Run(device="cpu", precision="fp32", force=run.force, progress=run.progress)
    data, model = whole.shards[0].asked["data"], whole.named("model")
    return evaluate_model(data, model, whole.out, options, how, whole.shards)


def _open_scored(
    data: str | None, model: str, options: EvaluateOptions, run: Run
) -> tuple[list[Plan], Dataset, list[Region], int, ExitStack]:
    """What a worker of a cluster scores with, and what it scores."""
    opened = ExitStack()
    job = _open_job(data, model, options, run, opened)
    source = job.source
    return job.plans, source.dataset, source.split[options.part], job.reach, opened


class _Job:
    """What is scored: data that are open, a model, and maybe another."""

    def __init__(
        self,
        source: Source,
        contender: Contender,
        rival: Contender | None,
        options: EvaluateOptions,
        motifs: list | None,
    ) -> None:
        self.source, self.contender, self.rival = source, contender, rival
        self.motifs = motifs
        self.options, self.plans = options, [side.plan for side in (contender, rival) if side]
        self.reach = max(plan.receptive_field for plan in self.plans)
        self.segments = [segment_steps(plan) for plan in self.plans]
        self.parts: list[Part] = []
        self.files: list[Path] = []  # of the parts, where they are scored already

    def key(self, run: Run, shards: Sequence[ShardFolder]) -> dict:
        """What the bytes of the result depend on."""
        key = _key(self.source, self.contender, self.rival, self.options)
        if shards:  # what scored, not what merges
            key |= {name: shards[0].key[name] for name in SCORED_BY}
        return key if run.shard is None else key | {"shard": list(run.shard)}

    def _find_parts(self) -> None:
        regions = self.source.split[self.options.part]
        about = self.options.stride, self.source.dataset, regions, self.reach
        self.parts = score_parts(self.segments, *about)

    def do_parts(self, data: str | None, model: str | Path, folder: RunFolder, run: Run) -> None:
        """Score the parts of this run."""
        self._find_parts()
        dataset, regions = self.source.dataset, self.source.split[self.options.part]
        maker = ScoreMaker(self.plans, dataset, regions, self.reach)
        plan = self.contender.plan
        own = Run(device=run.device, precision=plan.precision, backend=plan.backend)
        make = MakeScores(_open_scored, (data, str(model), self.options, own))
        names = self.options.genome, self.options.peaks, (data, str(model))
        needs = [Path(x) for some in names for x in some if x and Path(x).exists()]
        do_parts(self.parts, maker, make, needs, folder, run, "b")
        self.files = [part.file(folder.work) for part in self.parts]

    def take(self, shards: Sequence[ShardFolder]) -> None:
        """Take the scores of shards for this job's."""
        self.segments = shards[0].asked["segments"]
        self._find_parts()
        self.files = read_parts(self.parts, shards)

    def asked(self, data: str | None, model: str | Path) -> dict:
        """What :func:`tcnfast.merge` needs to know."""
        options = asdict(self.options)
        for name in ("genome", "peaks", "ambiguous"):
            options[name] = [whole_path(path) for path in options[name]]
        for name in ("blacklist", "split", "against", "within", "motifs"):
            options[name] = whole_path(options[name])
        about = {"data": whole_path(data), "model": whole_path(model)}
        return {"asked": {**about, "options": options, "segments": self.segments}}

    def _known(self, side: int) -> Iterator[np.ndarray] | None:
        return scored(self.parts, self.files, side) if self.files else None

    def evaluate(self) -> Evaluation:
        """Score, and measure everything that is asked for."""
        source, contender, rival = self.source, self.contender, self.rival
        options, reach = self.options, self.reach
        regions, dataset = source.split[options.part], source.dataset
        logits, targets = predict(contender.plan, dataset, regions, reach, self._known(0))
        windows = describe_windows(dataset, regions, targets, reach, options.stride)
        draw = dict(resamples=options.resamples, seed=options.seed)
        assessment = assess(windows, logits, contender.cutoffs, **draw)
        other = None
        if rival:
            about = dataset, regions, windows, reach, draw
            other = _assess_rival(rival, *about, self._known(1))
        motifs = self.motifs
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
    known: Iterator[np.ndarray] | None,
) -> Assessment:
    """Of the labels that both models have, on the very same windows."""
    labels = rival.network.labels
    common = [label for label in windows.labels if label in labels]
    if not common:
        raise TcnfastError(f"{setting('against')} {rival.name}: has no label of the model")
    theirs = [labels.index(label) for label in common]
    logits = predict(rival.plan, dataset.select(common), regions, reach, known)[0][:, theirs]
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
    log.info("%s on %s", count(len(motifs), "motif"), count(len(targets), "bin"))
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
