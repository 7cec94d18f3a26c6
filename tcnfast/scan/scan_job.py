"""What is asked of a scan, checked before anything is written."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path

import numpy as np

from ..base import run_record
from ..base.errors import TcnfastError
from ..base.file_names import file_names
from ..base.logits import logit
from ..base.run_folder import file_hash
from ..genome.genome import Genome
from ..genome.intervals import read_bed
from ..model.ensemble import Ensemble
from ..model.tcn import TCN
from ..model.thresholds import choose_cutoffs
from .devices import Wanted
from .inputs import InputFiles
from .scan_options import ScanOptions, check_bigwig_lengths, chosen_chroms, chosen_labels
from .scanner import Scorer
from .stretch_writer import ZARR_KINDS, Task
from .stretches import stretches


class ScanJob:
    """A genome, a model ready to run, and the options.

    ``devices``: names; with several, a process each scans, and ``scorer`` is of the first.
    """

    def __init__(
        self,
        genome: Genome,
        model: TCN | Ensemble,
        scorer: Scorer,
        options: ScanOptions,
        batch_size: int,
        devices: list[str],
        model_hash: str = "",
    ) -> None:
        self.genome, self.inputs, self.model = genome, InputFiles(genome.paths), model
        self.scorer, self.options = scorer, options
        self.batch_size, self.devices, self.model_hash = batch_size, devices, model_hash
        self.chroms, self.skipped = chosen_chroms(genome, options.chroms)
        self.sizes = {chrom: genome.sizes[chrom] for chrom in self.chroms}
        self.stretches = stretches(self.sizes, options.stride)
        targets = "all" if options.targets is None else options.targets
        self.labels = chosen_labels(model.labels, targets, "--targets")
        self.names = file_names(self.labels)
        self.tracks = chosen_labels(model.labels, options.tracks, "--tracks")
        self.dense_tracks = bool(self.tracks) and options.track_format in ZARR_KINDS
        self.sparse_tracks = bool(self.tracks) and not self.dense_tracks
        if self.sparse_tracks:
            check_bigwig_lengths(self.sizes)
        self.within = read_bed(options.within, genome.sizes) if options.within else None
        self.rules = choose_cutoffs(model.thresholds, model.labels, options.cutoff)
        self.uncalled = [label for label in self.labels if self.rules[label] is None]
        if len(self.uncalled) == len(self.labels):
            raise TcnfastError(
                f"--cutoff {options.cutoff}: no label reached it on validation; give another"
            )
        self.cutoffs, self.floors = self._logits()

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

    def key(self, genome_hashes: Future) -> dict:
        """What the bytes of the result depend on."""
        plan, options = self.scorer.plan, self.options
        return {
            "command": "scan",
            "tcnfast": run_record.version(),
            "model": self.model_hash,
            "genome": genome_hashes.result(),
            "chroms": self.chroms,
            "targets": self.labels,
            "tracks": self.tracks,
            "track_floor": options.track_floor,
            "track_format": options.track_format,
            "cutoff": options.cutoff,
            "within": file_hash(options.within) if options.within else None,
            "stride": options.stride,
            "rc": options.rc,
            "min_length": options.min_length,
            "max_gap": options.max_gap,
            "device": plan.device.type,
            "backend": plan.backend,
            "instructions": plan.instructions,
            "precision": plan.precision,
        }

    @property
    def bases(self) -> int:
        return sum(self.sizes.values())

    @property
    def wanted(self) -> Wanted:
        """What is needed of the logits."""
        return self.task(Path()).wanted

    def any_finished(self, work: Path) -> bool:
        """Whether a stretch is finished, so that there is something to resume."""
        return any(stretch.finished(work) for stretch in self.stretches)

    def task(self, work: Path) -> Task:
        """What scanning a stretch takes; ``work``: where its shards go."""
        options = self.options
        return Task(
            sizes=self.sizes,
            stride=options.stride,
            min_length=options.min_length,
            max_gap=options.max_gap,
            cutoffs=self.cutoffs,
            floors=self.floors,
            within=self.within,
            track_format=options.track_format if self.tracks else None,
            batch_size=self.batch_size,
            work=work.absolute(),
            inputs=self.inputs,
        )

    @property
    def runs(self) -> tuple[str, str, str | None]:
        """Backend, precision and instructions."""
        plan = self.scorer.plan
        return plan.backend, plan.precision, plan.instructions
