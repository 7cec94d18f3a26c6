"""A run of ``tcnfast variants``: from the file to the table, chunk by chunk, so that memory does
not grow with the number of variants."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import numpy as np

from ..base import run_record
from ..base.disk import write_bytes, writing
from ..base.errors import TcnfastError, some
from ..base.input_files import input_name
from ..base.logits import logit
from ..base.options import Run, chosen_labels, setting
from ..base.progress import Progress
from ..base.run_folder import RunFolder, named_hash
from ..base.tables import replace_file
from ..base.talk import count
from ..genome.codes import encode
from ..genome.genome import Genome, match_chroms, renamed
from ..genome.sequence_files import GenomeError
from ..model.cutoffs import choose_cutoffs
from ..model.ensemble import Ensemble
from ..model.load_model import load_model
from ..model.model_folder import ModelFolder
from ..model.tcn import TCN
from . import VariantOptions
from .effect_rows import make_rows
from .effects import EffectScorer
from .records import Allele, Chunk, Skipped, VariantFile
from .variant_folder import VariantFolder
from .variant_page import Top, most_changed, write_page
from .writers import WRITERS

log = logging.getLogger(__name__)

MISMATCHES = "alleles whose REF is not in the genome"  # of the counts in run.json
CHECKED_FIRST = 1000  # alleles, before many mismatches stop a run
MISMATCHES_ALLOWED = 0.1  # of them; random bases mismatch at 0.75
ALLOWED_OF_FEW = 0.5  # of fewer alleles, and ten of them at least: a list may be wrong in some


def score_variants(
    variants: str | Path,
    genome: Sequence[str | Path],
    model: TCN | Ensemble | str | Path,
    out: str | Path,
    options: VariantOptions,
    run: Run,
) -> VariantFolder:
    """See :func:`tcnfast.variants`."""
    made: list[VariantJob] = []
    with ExitStack() as opened:

        @cache
        def job() -> VariantJob:  # made once the output folder was looked at
            made.append(_open_job(variants, genome, model, options, run, opened))
            return made[0]

        def worth_keeping() -> bool:
            return all(x.fits for x in made) and any(output.work.glob("part.*.json"))

        output = opened.enter_context(
            RunFolder(
                out,
                "variants",
                run,
                key=lambda: job().key(),
                resumable=True,
                worth_keeping=worth_keeping,
            )
        )
        if not output.complete:
            output.settle()
            job().score(output.work, run.progress)
            job().assemble(output)
    return VariantFolder(output.path)


def _open_job(
    variants: str | Path,
    genome: Sequence[str | Path],
    model: TCN | Ensemble | str | Path,
    options: VariantOptions,
    run: Run,
    opened: ExitStack,
) -> VariantJob:
    """The job of what was named; ``opened`` closes the genome."""
    if isinstance(model, (TCN, Ensemble)):
        model_hash = run_record.state_hash(model)
    else:
        folder = ModelFolder(model)
        model, model_hash = load_model(folder), folder.hash
    file = VariantFile(variants)
    if options.format == "vcf" and not file.is_vcf:
        raise TcnfastError(f"{file.path}: is a table; {setting('format', 'vcf')} needs a VCF")
    scorer = EffectScorer(model, options.mode, options.stride, options.strand, run.device)
    sequence = opened.enter_context(Genome(*genome))
    return VariantJob(file, sequence, model, model_hash, scorer, options)


class BrokenRecords(TcnfastError):
    """A file of which no record can be read."""


@dataclass
class ReferenceCheck:
    """Counts REF alleles that are in the genome and stops where they hardly ever are."""

    genome: Genome
    path: str
    checked: int = 0
    mismatches: int = 0
    example: str = ""

    def matches(self, allele: Allele) -> bool:
        """Whether the genome has REF at the allele's place; N matches N alone."""
        size = self.genome.sizes[allele.chrom]
        end = allele.pos + len(allele.ref)
        here = self.genome.codes(allele.chrom, allele.pos, end) if end <= size else None
        same = here is not None and np.array_equal(here, encode(allele.ref))
        self.checked += 1
        if not same:
            self.mismatches += 1
            if not self.example:
                found = "its end" if here is None else "".join("ACGTN"[code] for code in here[:20])
                self.example = (
                    f"{allele.chrom}:{allele.pos + 1} REF {allele.ref.decode()[:20]}, "
                    f"the genome has {found}"
                )
        return same

    def stop_if_wrong(self, finished: bool = False) -> None:
        """Raise GenomeError if too many REF alleles are not in the genome."""
        few = self.checked < CHECKED_FIRST
        if few and not finished:
            return
        allowed = (
            max(10, ALLOWED_OF_FEW * self.checked) if few else MISMATCHES_ALLOWED * self.checked
        )
        if self.mismatches > allowed or 1 < self.mismatches == self.checked:
            raise GenomeError(f"{self.path}: {self._words}; is it of another assembly?")

    def tell(self) -> None:
        """Warn of those that are not in the genome."""
        if self.mismatches:
            log.warning("WARNING: %s: %s; they have no scores", self.path, self._words)

    @property
    def _words(self) -> str:
        """How many are not there, and one of them."""
        example = f" ({self.example})" if self.example else ""
        return f"{self.mismatches} of {self.checked} REF alleles are not in the genome{example}"


class VariantJob:
    """A file, a genome and a model, checked before anything is written.

    ``fits``: the file and the genome are not known to disagree, so that a run with ``resume`` may
    use what was scored.
    """

    def __init__(
        self,
        file: VariantFile,
        genome: Genome,
        model: TCN | Ensemble,
        model_hash: str,
        scorer: EffectScorer,
        options: VariantOptions,
    ) -> None:
        self.file, self.genome, self.scorer, self.options = file, genome, scorer, options
        self.model, self.model_hash, self.labels = model, model_hash, list(model.labels)
        wanted = ["all"] if options.targets is None else options.targets
        names = chosen_labels(self.labels, wanted)
        self.keep = np.flatnonzero(np.isin(self.labels, names))
        self.cutoffs = self._cutoffs()
        self.writer = WRITERS[options.format](names, options.columns, file.header)
        self.check = ReferenceCheck(genome, str(file.path))
        self.fits = True
        self.off_genome: Counter[str] = Counter()  # alleles by contig that the genome lacks

    def _cutoffs(self) -> np.ndarray:
        """Logits at which labels are called, NaN where they are not."""
        thresholds, rule = self.model.thresholds, self.options.cutoff
        if thresholds is None and rule in ("best", "f1"):
            log.warning("WARNING: the model has no thresholds: no calls are gained or lost")
            return np.full(len(self.keep), np.nan)
        cutoffs = choose_cutoffs(thresholds, self.labels, rule, self.model.calls)
        kept = [cutoffs[self.labels[index]] for index in self.keep]
        return logit(np.array([np.nan if x is None else x.threshold for x in kept]))

    def key(self) -> dict:
        """What the bytes of the result depend on."""
        options = asdict(self.options)
        if self.options.mode != "full":
            del options["stride"]
        return {
            "tcnfast": run_record.version(),
            "model": self.model_hash,
            "variants": named_hash(self.file.path),
            "genome": [named_hash(path) for path in self.genome.paths],
            "device": self.scorer.device.type,
            "backend": self.scorer.backend,
            **options,
            "targets": [self.labels[index] for index in self.keep],
        }

    def score(self, work: Path, progress: bool) -> None:
        """Score every chunk that is not there yet. Raises GenomeError where the file does not fit
        the genome."""
        try:
            self._score_chunks(work, progress)
        except (GenomeError, BrokenRecords):
            self.fits = False
            raise

    def _score_chunks(self, work: Path, progress: bool) -> None:
        self._look_ahead()
        chunks, done, records, broken = 0, 0, 0, 0
        first: Skipped | None = None
        with Progress(self.file.bytes, "B", progress, scale=True) as bar:
            for index, chunk in enumerate(self.file.chunks()):
                self._count_off_genome(chunk)
                if index == 0:
                    words = "%s: %s mode, float32; backend %s"
                    log.info(
                        words, input_name(self.file.path), self.options.mode, self.scorer.backend
                    )
                    if self.scorer.symmetric:
                        log.info("symmetric network: both strands are the same, scored in one pass")
                if _file(work, index, "json").exists():
                    self._remember(work, index)
                else:
                    self._score_chunk(work, index, chunk)
                bar.update(chunk.end - done)
                chunks, done = index + 1, chunk.end
                records, broken = records + len(chunk.lines), broken + chunk.broken
                first = first or next(iter(chunk.skipped), None)
        if not chunks:
            raise TcnfastError(f"{self.file.path}: holds no variant")
        if broken == records and first is not None:
            words = f"{self.file.path}:{first.line}: {first.reason}"
            raise BrokenRecords(f"{words}; no record can be read")
        self.check.stop_if_wrong(finished=True)
        self.check.tell()
        self._tell_of_contigs()
        if not self.check.checked:
            why = f"line {first.line}: {first.reason}" if first else "beyond the contig's end"
            log.warning("WARNING: %s: no allele can be scored; the first, %s", self.file.path, why)

    def _look_ahead(self) -> None:
        """Compare the first alleles with the genome, before any is scored: those of a short list
        are all of them. Raises GenomeError as the check does."""
        ahead = ReferenceCheck(self.genome, str(self.file.path))
        for chunk in VariantFile(self.file.path).chunks():  # each is read once
            for allele in self._inside(chunk)[0]:
                ahead.matches(allele)
            if ahead.checked >= CHECKED_FIRST:
                break
        ahead.stop_if_wrong(finished=True)

    def _tell_of_contigs(self) -> None:
        """Say which contigs the genome lacks. Raises GenomeError if it has none of the file's."""
        if self.off_genome and not self.check.checked:
            match_chroms(self.off_genome, self.genome.sizes, str(self.file.path))
        if self.off_genome:
            words = "%s: skipped %s on %s that the genome lacks: %s"
            alleles = count(self.off_genome.total(), "allele")
            contigs = count(len(self.off_genome), "contig")
            log.warning(words, self.file.path, alleles, contigs, some(self.off_genome))

    def _remember(self, work: Path, index: int) -> None:
        """What comparing a chunk that was finished before with the genome gave."""
        counts = json.loads(_file(work, index, "json").read_text())["counts"]
        self.check.mismatches += counts[MISMATCHES]
        self.check.checked += counts[MISMATCHES] + counts["alleles scored"]

    def _count_off_genome(self, chunk: Chunk) -> None:
        """Count alleles of a chunk on contigs that the genome lacks. GenomeError where it has one
        by another name: the whole file calls it so."""
        sizes = self.genome.sizes
        off_genome = Counter(x.chrom for x in chunk.alleles if x.chrom not in sizes)
        match_chroms(renamed(off_genome, sizes), sizes, str(self.file.path))
        self.off_genome.update(off_genome)

    def _score_chunk(self, work: Path, index: int, chunk: Chunk) -> None:
        alleles, skipped = self._inside(chunk)
        matches = np.array([self.check.matches(allele) for allele in alleles], bool)
        self.check.stop_if_wrong()
        fitting = [allele for allele, same in zip(alleles, matches, strict=True) if same]
        scored = self.scorer(self.genome, fitting)
        mode = self.options.mode
        rows = make_rows(alleles, matches, scored, mode, self.labels, self.keep, self.cutoffs)
        self.writer.write_part(_file(work, index, "rows"), chunk, rows)
        write_bytes(_file(work, index, "skipped"), b"".join(row.as_line() for row in skipped))
        counts = {
            "records": len(chunk.lines),
            "alleles scored": int(rows.matches.sum()),
            MISMATCHES: int((~rows.matches).sum()),
            "calls gained": int((rows.calls > 0).sum()),
            "calls lost": int((rows.calls < 0).sum()),
            "skipped": len(skipped),
        }
        top = [asdict(x) for x in most_changed(rows, self.options.explain)]
        done = json.dumps({"counts": counts, "top": top})
        replace_file(_file(work, index, "json"), done.encode())

    def _inside(self, chunk: Chunk) -> tuple[list[Allele], list[Skipped]]:
        """The alleles of a chunk that lie in the genome, and all that is skipped, by line."""
        alleles, skipped = [], list(chunk.skipped)
        for allele in chunk.alleles:
            size = self.genome.sizes.get(allele.chrom)
            reason = "contig is not in the genome" if size is None else "beyond the contig's end"
            if size is not None and allele.pos < size:
                alleles.append(allele)
            else:
                skipped.append(chunk.skip(allele, reason))
        return alleles, sorted(skipped, key=lambda row: row.line)

    def assemble(self, output: RunFolder) -> None:
        """Make the result of the parts and publish it."""
        work, result = output.work, output.result
        n = len(list(work.glob("part.*.json")))
        self.writer.join(
            [_file(work, index, "rows") for index in range(n)], result / self.writer.name
        )
        with writing(result / "skipped.tsv") as path, open(path, "wb") as file:
            file.write(b"line\treason\trecord\n")
            for index in range(n):
                file.write(_file(work, index, "skipped").read_bytes())
        total, top = Counter(), []
        for index in range(n):
            marker = json.loads(_file(work, index, "json").read_text())
            total.update(marker["counts"])
            top += [Top(**x) for x in marker["top"]]
        if self.options.explain:
            top = sorted(top, key=lambda x: -abs(x.change))[: self.options.explain]
            write_page(result / "top.html", top, self.model, self.genome, self.options.strand)
        log.info("%s", ", ".join(counted(n, name) for name, n in total.items()))
        device = run_record.device_words(self.scorer.device)
        one_pass = self.scorer.symmetric
        record = {"device": device, "one_pass": one_pass, "counts": dict(total)}
        output.publish(record | {"skipped_contigs": dict(self.off_genome)})
        page = output.path / "top.html"
        look = f"; to see them, open {page} in a browser" if self.options.explain else ""
        log.info("effects in %s%s", output.path, look)


def counted(n: int, name: str) -> str:
    """``1 allele scored``, ``2 alleles scored``, ``1 skipped``."""
    what, _, rest = name.partition(" ")
    if not what.endswith("s"):
        return f"{n} {name}"
    return " ".join([count(n, what.removesuffix("s")), rest]).rstrip()


def _file(work: Path, index: int, kind: str) -> Path:
    """Of a chunk: its "rows" and its "skipped" alleles, and "json" once both are there."""
    return work / f"part.{index}.{kind}"
