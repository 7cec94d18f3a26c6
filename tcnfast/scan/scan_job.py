"""A scan with a model: what is asked, checked before anything is written."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from ..base import run_record
from ..base.errors import TcnfastError
from ..base.file_names import file_names
from ..base.logits import logit
from ..base.options import Run, chosen_labels, setting
from ..engines.backend import choose_device
from ..genome.genome import Genome
from ..model.cutoffs import choose_cutoffs
from ..model.ensemble import Ensemble
from ..model.load_model import load_model
from ..model.model_folder import ModelFolder
from ..model.tcn import TCN
from . import ScanOptions
from .cluster_device import ran_on_cluster
from .expectation import Expectation
from .job import Job
from .pieces import Wanted
from .pipeline import Scorer
from .stretch_worker import Ran
from .stretch_writer import ScanSpec
from .ucsc_hub import assembly_of, check_hub

BIGWIG_BASES = 2**32 - 1  # of a contig


class OpenModel(NamedTuple):
    """A model with a name for it, its hash, and what finds it again: the path of its folder, a
    bundled name, or None of an object."""

    model: TCN | Ensemble
    name: str
    hash: str
    source: str | None


def open_model(model: TCN | Ensemble | str | Path, cutoff: str) -> OpenModel:
    """A model for a scan with ``cutoff``. Raises TcnfastError where it has no thresholds for it."""
    name, folder, source = "given", None, None
    if not isinstance(model, (TCN, Ensemble)):
        source = str(Path(model).absolute()) if Path(model).exists() else str(model)
        folder = ModelFolder(model)
        model, name = load_model(folder), folder.name
    if model.thresholds is None and cutoff in ("best", "f1"):
        raise TcnfastError(
            f"model {folder.path if folder else ''}: has no thresholds.tsv, so it cannot call peaks"
        )
    return OpenModel(model, name, folder.hash if folder else run_record.state_hash(model), source)


class ScanJob(Job):
    """A job with a model ready to run.

    ``name``, ``model_hash`` and ``source`` are the model's. ``devices``: names; with several, a
    process each scans, and ``scorer`` is of the first. ``ran``: what scored the stretches, where
    all are scored already; nothing is made ready then, nor where a cluster has the device and this
    machine has not: ``scorer`` is None.
    """

    input_name = "genome"

    def __init__(
        self,
        genome: Genome,
        model: TCN | Ensemble,
        options: ScanOptions,
        run: Run,
        model_hash: str = "",
        name: str = "given",
        source: str | None = None,
        ran: Ran | None = None,
    ) -> None:
        self.model, self.model_hash, self.name, self.source = model, model_hash, name, source
        self.devices = chosen_devices(run)
        self.scorer: Scorer | None = None
        try:
            found = [choose_device(device) for device in self.devices]
        except TcnfastError:  # it is not here
            if run.cluster is None or not run.device.startswith("cuda"):
                raise
            ran = ran_on_cluster(model, options, run)
            self.ran_on = f"{ran.device}, of a cluster"
            found = [torch.device(ran.device)]
        super().__init__(genome, options, run, options.stride, _gap(model, options))
        self.device = found[0]
        if ran is None:
            self.scorer = self._scorer()
            ran = Ran.of(self.scorer.plan)
        self.ran = ran
        self.labels, self.tracks = self._asked(model.labels), []
        self.left_out = [label for label in model.labels if label not in self.labels]
        if options.targets is not None:
            self.labels, self.left_out = chosen_labels(model.labels, options.targets, "targets"), []
        if not self.labels:
            raise TcnfastError(
                f"model {name}: has no label of grade A to C, and others are called where they are "
                f"named: {setting('targets', 'all')} calls all"
            )
        if options.tracks is not None:
            self.tracks = chosen_labels(model.labels, options.tracks, "tracks")
        self.page_labels = []
        if options.page_labels is not None:
            self.page_labels = chosen_labels(self.labels, options.page_labels, "page_labels")
        self.names = file_names(self.labels)
        if self.tracks and options.track_format == "bigwig":
            check_bigwig_lengths(self.sizes)
        self.assembly = None  # UCSC's name of it, for a hub
        if options.hub is not None:
            check_hub(self.sizes)
            self.assembly = assembly_of(options.hub, self.sizes.values())
        about = model.calls, self.within is not None
        self.rules = choose_cutoffs(model.thresholds, model.labels, options.cutoff, *about)
        self.uncalled = [label for label in self.labels if self.rules[label] is None]
        if len(self.uncalled) == len(self.labels):
            raise TcnfastError(
                f"{setting('cutoff', options.cutoff)}: no label reached it on validation; give "
                "another"
            )
        self.cutoffs, self.floors = self._logits()
        verdict = model.home.judge(self.sizes, genome.codes) if model.home else None
        self.expectation = Expectation(model, self.rules, options, verdict)

    def _scorer(self) -> Scorer:
        return Scorer(
            self.model,
            self.options.strand,
            stride=self.options.stride,
            device=self.devices[0],
            precision=self.run.precision,
            backend=self.run.backend,
        )

    def _asked(self, labels: list[str]) -> list[str]:
        """Labels that are called unasked: those of grade A to C, unless a precision decides."""
        calls = self.model.calls
        if calls is None or self.options.cutoff.startswith("precision="):
            return list(labels)
        return [label for label in labels if calls.trusted(label)]

    def _logits(self) -> tuple[np.ndarray, np.ndarray]:
        """Cutoffs and floors over all labels of the model, NaN where not asked for: nothing is
        copied out of the logits."""
        labels = self.model.labels
        rules = [self.rules[label] for label in labels]
        thresholds = np.array([np.nan if rule is None else rule.threshold for rule in rules])
        called, tracked = (np.isin(labels, names) for names in (self.labels, self.tracks))
        # every call is to be seen on its track
        floors = logit(np.fmin(self.options.track_floor, thresholds))
        return np.where(called, logit(thresholds), np.nan), np.where(tracked, floors, np.nan)

    @property
    def about(self) -> dict:
        """What :func:`tcnfast.merge` needs to know of a shard, beside genome and options."""
        return {"model": self.source, "ran": self.ran._asdict()}

    def own_key(self) -> dict:
        ran, options = self.ran, self.options
        return {
            "model": self.model_hash,
            "targets": self.labels,
            "tracks": self.tracks,
            "track_floor": options.track_floor,
            "track_format": options.track_format,
            "cutoff": options.cutoff,
            "stride": options.stride,
            "strand": options.strand,
            "min_length": options.min_length,
            "max_gap": options.max_gap,
            "no_page": options.no_page,
            "page_labels": list(self.page_labels),
            "hub": options.hub,
            "device": ran.device,
            "backend": ran.backend,
            "instructions": ran.instructions,
            "precision": ran.precision,
        }

    @property
    def wanted(self) -> Wanted:
        """What is needed of the logits."""
        return self.spec(Path()).wanted

    def spec(self, work: Path) -> ScanSpec:
        """What scanning a stretch takes; ``work``: where its shards go."""
        return ScanSpec(
            options=self.options,
            batch_size=self.run.batch_size,
            sizes=self.laid.sizes,
            cutoffs=self.cutoffs,
            floors=self.floors,
            within=self.laid.within(self.within),
            work=work.absolute(),
            inputs=self.inputs,
        )


def _gap(model: TCN | Ensemble, options: ScanOptions) -> int:
    """Bases of N between small contigs: what a score sees on a side, and what joins no calls. With
    tracks every contig is scanned by itself."""
    if options.tracks is not None:
        return 0
    sees = max(member.config.receptive_field for member in model.members)
    return max(sees // 2, model.config.label_bin // 2, options.max_gap) + options.stride


def chosen_devices(run: Run) -> list[str]:
    """``devices`` as names, a process each; a bare number is a GPU. The one ``device`` if None."""
    if run.devices is None:
        return [run.device]
    names = [f"cuda:{name}" if name.isdigit() else name for name in run.devices]
    if run.device != "auto":
        raise TcnfastError(f"{setting('device')} and {setting('devices')}: give one of the two")
    if not names or "auto" in names:
        raise TcnfastError(
            f"{setting('devices')}: name each device, as in cuda:0,cuda:1 or cpu,cpu"
        )
    gpus = [name for name in names if name.startswith("cuda")]
    if len(set(gpus)) < len(gpus) or (gpus and len(gpus) < len(names)):
        given = setting("devices", ",".join(names))
        raise TcnfastError(f"{given}: each GPU once, and not together with a processor")
    return names


def check_bigwig_lengths(sizes: dict[str, int]) -> None:
    """Raise TcnfastError for a contig that is too long for a bigWig."""
    for chrom, size in sizes.items():
        if size > BIGWIG_BASES:
            raise TcnfastError(
                f"{setting('tracks')}: {chrom} has {size} bases, a bigWig at most {BIGWIG_BASES}; "
                f"{setting('track_format', 'zarr')} has no such limit"
            )
