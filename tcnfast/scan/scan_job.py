"""What is asked of a scan with a model, checked before anything is written."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path

import numpy as np

from ..base import run_record
from ..base.errors import TcnfastError
from ..base.file_names import file_names
from ..base.logits import logit
from ..base.options import Run, setting
from ..base.run_folder import file_hash
from ..engines.backend import choose_device
from ..genome.genome import Genome
from ..genome.intervals import read_bed
from ..model.ensemble import Ensemble
from ..model.tcn import TCN
from ..model.thresholds import choose_cutoffs
from . import ScanOptions
from .choices import check_bigwig_lengths, chosen_chroms, chosen_devices, chosen_labels
from .inputs import InputFiles
from .pieces import Wanted, stretches
from .pipeline import Scorer
from .stretch_writer import ScanSpec


class ScanJob:
    """A genome, a model ready to run, and the options.

    ``devices``: names; with several, a process each scans, and ``scorer`` is of the first.
    """

    def __init__(
        self,
        genome: Genome,
        model: TCN | Ensemble,
        options: ScanOptions,
        run: Run,
        model_hash: str = "",
    ) -> None:
        self.genome, self.inputs, self.model = genome, InputFiles(genome.paths), model
        self.options, self.run, self.model_hash = options, run, model_hash
        self.devices = chosen_devices(run)
        for name in self.devices:
            choose_device(name)  # raises where it is not here
        self.scorer = Scorer(
            model,
            options.strand,
            stride=options.stride,
            device=self.devices[0],
            precision=run.precision,
            backend=run.backend,
        )
        self.chroms, self.skipped = chosen_chroms(genome, options.chroms)
        self.sizes = {chrom: genome.sizes[chrom] for chrom in self.chroms}
        self.stretches = stretches(self.sizes, options.stride)
        self.labels, self.tracks = list(model.labels), []
        if options.targets is not None:
            self.labels = chosen_labels(model.labels, options.targets, "targets")
        if options.tracks is not None:
            self.tracks = chosen_labels(model.labels, options.tracks, "tracks")
        self.names = file_names(self.labels)
        if self.tracks and options.track_format == "bigwig":
            check_bigwig_lengths(self.sizes)
        self.within = read_bed(options.within, genome.sizes) if options.within else None
        self.rules = choose_cutoffs(model.thresholds, model.labels, options.cutoff)
        self.uncalled = [label for label in self.labels if self.rules[label] is None]
        if len(self.uncalled) == len(self.labels):
            raise TcnfastError(
                f"{setting('cutoff', options.cutoff)}: no label reached it on validation; give "
                "another"
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
        """What the bytes of the result depend on. Raises TcnfastError where it is not known
        whether what was scanned is what was hashed."""
        plan, options, hashes = self.scorer.plan, self.options, genome_hashes.result()
        self.inputs.check()
        return {
            "tcnfast": run_record.version(),
            "model": self.model_hash,
            "genome": hashes,
            "chroms": self.chroms,
            "targets": self.labels,
            "tracks": self.tracks,
            "track_floor": options.track_floor,
            "track_format": options.track_format,
            "cutoff": options.cutoff,
            "within": file_hash(options.within) if options.within else None,
            "stride": options.stride,
            "strand": options.strand,
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
        return self.spec(Path()).wanted

    def any_finished(self, work: Path) -> bool:
        """Whether a stretch is finished, so that there is something to resume."""
        return any(stretch.finished(work) for stretch in self.stretches)

    def spec(self, work: Path) -> ScanSpec:
        """What scanning a stretch takes; ``work``: where its shards go."""
        return ScanSpec(
            options=self.options,
            batch_size=self.run.batch_size,
            sizes=self.sizes,
            cutoffs=self.cutoffs,
            floors=self.floors,
            within=self.within,
            work=work.absolute(),
            inputs=self.inputs,
        )

    @property
    def runs(self) -> tuple[str, str, str | None]:
        """Backend, precision and instructions."""
        plan = self.scorer.plan
        return plan.backend, plan.precision, plan.instructions
