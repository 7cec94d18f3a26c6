"""One run over a file of variants: its chunks, kept as they are finished, and what they become."""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ..base import run_record
from ..base.errors import TcnfastError
from ..base.logits import logit
from ..base.progress import Progress
from ..base.run_folder import OutputFolder, file_hash
from ..genome.genome import Genome, match_chroms
from ..model.ensemble import Ensemble
from ..model.tcn import TCN
from ..model.thresholds import choose_cutoffs, parse_cutoff
from .alleles import ReferenceCheck
from .effect_rows import COLUMNS, Rows, make_rows
from .effects import EffectScorer
from .records import Chunk, Skipped, VariantFile
from .variant_page import Top, require_page, write_page
from .writers import WRITERS

log = logging.getLogger(__name__)

MOST_EXPLAINED = 200  # alleles of a page
MISMATCHES = "alleles whose REF is not in the genome"  # of the counts in run.json


@dataclass(frozen=True)
class VariantOptions:
    """What a user may ask for and the result depends on; see ``tcnfast.variants.variants_run``."""

    mode: str = "centre"
    stride: int = 32
    rc: str = "mean"
    targets: tuple[str, ...] | None = None
    cutoff: str = "f1"
    format: str = "tsv"
    columns: tuple[str, ...] | None = None
    explain: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "cutoff", parse_cutoff(self.cutoff))
        if self.format not in WRITERS:
            raise TcnfastError(f"format {self.format!r}: must be one of {', '.join(WRITERS)}")
        if self.explain and not 0 < self.explain <= MOST_EXPLAINED:
            raise TcnfastError(f"explain {self.explain}: from 1 to {MOST_EXPLAINED}")
        if self.explain:
            require_page()
        known = COLUMNS.get(self.mode, COLUMNS["centre"])
        columns = tuple(self.columns or known[:1])
        for name in columns:
            if name not in known:
                raise TcnfastError(f"column {name!r}: mode {self.mode} has {', '.join(known)}")
        object.__setattr__(self, "columns", columns)


class VariantJob:
    """A file, a genome and a model, checked before anything is written."""

    def __init__(
        self,
        file: VariantFile,
        genome: Genome,
        model: TCN | Ensemble,
        scorer: EffectScorer,
        options: VariantOptions,
    ) -> None:
        self.file, self.genome, self.scorer, self.options = file, genome, scorer, options
        self.model = model
        labels = list(model.labels)
        wanted = labels if options.targets is None else list(options.targets)
        for name in wanted:
            if name not in labels:
                raise TcnfastError(f"--targets: the model has no label {name!r}; see tcnfast info")
        self.labels = labels
        self.keep = np.array([index for index, name in enumerate(labels) if name in set(wanted)])
        if not len(self.keep):
            raise TcnfastError("--targets: names no label")
        self.cutoffs = self._cutoffs(model)
        names = [labels[index] for index in self.keep]
        self.writer = WRITERS[options.format](names, options.columns, file.header)
        self.check = ReferenceCheck(genome, str(file.path))
        self.records = 0
        for chunk in file.chunks():
            if not self.records:
                self._check_contigs(chunk)
            self.records += len(chunk.lines)
        if not self.records:
            raise TcnfastError(f"{file.path}: holds no variant")

    def _cutoffs(self, model: TCN | Ensemble) -> np.ndarray:
        """Logits at which labels are called, NaN where they are not."""
        if model.thresholds is None and self.options.cutoff == "f1":
            log.warning("WARNING: the model has no thresholds: no calls are gained or lost")
            return np.full(len(self.keep), np.nan)
        rules = choose_cutoffs(model.thresholds, self.labels, self.options.cutoff)
        rules = [rules[self.labels[index]] for index in self.keep]
        return logit(np.array([np.nan if rule is None else rule.threshold for rule in rules]))

    def _check_contigs(self, chunk: Chunk) -> None:
        """At least one contig of the first records must be known."""
        chroms = list(dict.fromkeys(allele.chrom for allele in chunk.alleles))
        if chroms and not any(chrom in self.genome.sizes for chrom in chroms):
            match_chroms(chroms, self.genome.sizes, str(self.file.path))

    def key(self, model_hash: str) -> dict:
        """What the bytes of the result depend on."""
        options = self.options
        return {
            "command": "variants",
            "tcnfast": run_record.version(),
            "model": model_hash,
            "variants": [self.file.path.name, file_hash(self.file.path)],
            "genome": [[path.name, file_hash(path)] for path in self.genome.paths],
            "mode": options.mode,
            "stride": options.stride if options.mode == "full" else None,
            "rc": options.rc,
            "targets": [self.labels[index] for index in self.keep],
            "cutoff": options.cutoff,
            "format": options.format,
            "columns": list(options.columns),
            "explain": options.explain,
            "device": self.scorer.device.type,
            "backend": self.scorer.backend,
        }

    def run(self, work: Path, progress: bool) -> None:
        """Score every chunk that is not there yet."""
        words = "%d records; %s mode, float32; backend %s"
        log.info(words, self.records, self.options.mode, self.scorer.backend)
        with Progress(self.records, "records", progress, scale=True) as bar:
            for index, chunk in enumerate(self.file.chunks()):
                if _marker(work, index).exists():
                    self._remember_check(work, index)
                else:
                    self._score_chunk(work, index, chunk)
                bar.update(len(chunk.lines))
        self.check.stop_if_wrong(finished=True)

    def _remember_check(self, work: Path, index: int) -> None:
        """What comparing REF with the genome gave for a chunk that was finished before."""
        counts = json.loads(_marker(work, index).read_text())["counts"]
        self.check.mismatches += counts[MISMATCHES]
        self.check.checked += counts[MISMATCHES] + counts["alleles scored"]

    def _score_chunk(self, work: Path, index: int, chunk: Chunk) -> None:
        skipped = list(chunk.skipped)
        alleles = []
        for allele in chunk.alleles:
            size = self.genome.sizes.get(allele.chrom)
            reason = "contig is not in the genome" if size is None else "beyond the contig's end"
            if size is not None and allele.pos < size:
                alleles.append(allele)
                continue
            shown = b"\t".join(chunk.lines[allele.record].split(b"\t")[:5])
            skipped.append(Skipped(chunk.first_line + allele.record, shown, reason))
        matches = np.array([self.check.matches(allele) for allele in alleles], bool)
        self.check.stop_if_wrong()
        fitting = [allele for allele, same in zip(alleles, matches, strict=True) if same]
        scored = self.scorer(self.genome, fitting)
        effects = scored.spread(matches)
        rows = make_rows(alleles, matches, effects, self.options.mode, self.labels, self.keep,
                         self.cutoffs)  # fmt: skip
        self.writer.write_part(_part(work, index), chunk, rows)
        skipped.sort(key=lambda row: row.line)
        _skipped(work, index).write_bytes(b"".join(_skipped_line(row) for row in skipped))
        counts = _counts(chunk, rows, skipped)
        top = [asdict(x) for x in _top(rows, self.options.explain)]
        temporary = _marker(work, index).with_suffix(".tmp")
        temporary.write_text(json.dumps({"counts": counts, "top": top}))
        temporary.rename(_marker(work, index))

    def assemble(self, output: OutputFolder, started: float) -> None:
        """Make the result of the parts and publish it."""
        work, result = output.work, output.work / "result"
        result.mkdir(exist_ok=True)
        n = len(list(work.glob("part.*.json")))
        self.writer.join([_part(work, index) for index in range(n)], result / self.writer.name)
        with open(result / "skipped.tsv", "wb") as file:
            file.write(b"line\treason\trecord\n")
            for index in range(n):
                file.write(_skipped(work, index).read_bytes())
        total, top = Counter(), []
        for index in range(n):
            marker = json.loads(_marker(work, index).read_text())
            total.update(marker["counts"])
            top += [Top(**x) for x in marker["top"]]
        if self.options.explain:
            top = sorted(top, key=lambda x: -abs(x.change))[: self.options.explain]
            write_page(result / "top.html", top, self.model, self.genome, self.options.rc)
        log.info("%s", ", ".join(f"{count} {name}" for name, count in total.items()))
        record = {
            "versions": run_record.versions(),
            "device": run_record.device_words(self.scorer.device),
            "counts": dict(total),
            "seconds": round(time.monotonic() - started, 1),
        }
        output.publish(result, record)


def _counts(chunk: Chunk, rows: Rows, skipped: list[Skipped]) -> dict[str, int]:
    counts = Counter({"records": len(chunk.lines), "alleles scored": int(rows.matches.sum())})
    counts[MISMATCHES] = int((~rows.matches).sum())
    counts["calls gained"] = int((rows.calls > 0).sum())
    counts["calls lost"] = int((rows.calls < 0).sum())
    counts["skipped"] = len(skipped)
    return dict(counts)


def _top(rows: Rows, number: int) -> list[Top]:
    """The alleles of some rows that change a probability most, and of which label."""
    size = np.abs(np.nan_to_num(rows.change))
    label = size.argmax(1) if len(size) else np.empty(0, int)
    size = size[np.arange(len(size)), label]
    best = [row for row in np.argsort(-size, kind="stable")[:number] if size[row] > 0]
    return [
        Top(
            *(rows.alleles[row].chrom, rows.alleles[row].pos, rows.alleles[row].id),
            *(letters.decode() for letters in rows.alleles[row][-2:]),
            label=rows.labels[label[row]],
            effect=float(rows.effect[row, label[row]]),
            change=float(rows.change[row, label[row]]),
            ref_prob=float(rows.columns["ref_prob"][row, label[row]]),
            gained=rows.named(row, 1),
            lost=rows.named(row, -1),
        )
        for row in best
    ]


def _skipped_line(row: Skipped) -> bytes:
    return b"\t".join([str(row.line).encode(), row.reason.encode(), row.fields]) + b"\n"


def _part(work: Path, index: int) -> Path:
    return work / f"part.{index}.rows"


def _skipped(work: Path, index: int) -> Path:
    return work / f"part.{index}.skipped"


def _marker(work: Path, index: int) -> Path:
    return work / f"part.{index}.json"
