"""The streaming scan: binding called along a genome, or hits of motifs found in it."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from ..base.errors import TcnfastError
from ..base.options import (
    Options,
    Run,
    names,
    option,
    setting,
    strand_option,
    stride_option,
    targets_option,
)
from ..base.talk import count
from ..base.verb import DEFAULT_MODEL, OUT, File, Files, Input, verb
from ..model.thresholds import parse_cutoff
from ..pwm import MOTIF_FILE, P_VALUE

if TYPE_CHECKING:
    from ..model.ensemble import Ensemble
    from ..model.tcn import TCN
    from .many_genomes import GenomesFolder
    from .scan_folder import ScanFolder
    from .shard_folder import ShardFolder

GENOME = Input(
    "genome",
    "FASTA (plain, gzip or bgzip) or .2bit files",
    many=True,
    unit="FASTA",
    unless="genomes",
)
_MODEL_HELP = f"model folder or bundled name (default {DEFAULT_MODEL})"
MODEL = Input("model", _MODEL_HELP, ("-m", "--model"), unit="MODEL")
PAGE = "index.html"
ZARR_KINDS = {"zarr": "uint8", "zarr-fp16": "fp16"}  # by track format
OF_MOTIFS = ("motifs", "p_value", "background")  # the rest is of models, but for OF_BOTH
OF_BOTH = ("genomes", "per_contig", "targets", "chroms", "within", "no_page")


def shares(value: str | Sequence[float]) -> tuple[float, ...]:
    """Kind of an option: shares of A, C, G and T, as "0.3,0.2,0.2,0.3", or "uniform"."""
    if value == "uniform":
        return (0.25,) * 4
    parts = value.split(",") if isinstance(value, str) else value
    try:
        made = tuple(float(share) for share in parts)
    except (TypeError, ValueError):
        made = ()
    if len(made) != 4:
        raise ValueError("give four shares, as 0.3,0.2,0.2,0.3, or uniform")
    return made


def assembly_name(value: str) -> str:
    """Kind of an option: UCSC's name of an assembly, or auto."""
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]*", str(value)):
        raise ValueError("give UCSC's name of the assembly, as hg38, or auto")
    return str(value)


@dataclass(frozen=True)
class ScanOptions(Options):
    """What a scan's result depends on, beside genome, model and device."""

    genomes: str | None = option(
        None,
        "many genomes instead of one: a table with the columns name, path and maybe model and "
        "bed; each gets a folder in the output",
        unit="TSV",
        group="input and output",
    )
    targets: tuple[str, ...] | None = targets_option(
        "labels to report, by name, factor, @cell or pattern; or motifs by id or name "
        "(default: labels of grade A to C, all motifs)"
    )
    chroms: tuple[str, ...] | None = option(
        None,
        "contigs, or all (default: no alternative, unplaced, random or mitochondrial ones)",
        kind=names,
        unit="NAMES",
        short="-c",
    )
    within: str | None = option(
        None, "call only inside these regions, e.g. open chromatin", unit="BED"
    )
    stride: int = stride_option()
    strand: str = strand_option()
    cutoff: str = option(
        "best",
        "call at best (the best F1 of calls with half of them right), precision=P, fdr=P, "
        "recall=P, f1 (of windows) or a probability P",
        kind=parse_cutoff,
        unit="RULE",
    )
    min_length: int = option(64, "shortest call, as in MACS3 bdgpeakcall", unit="BP", least=1)
    max_gap: int = option(
        64, "widest gap within a call, as in MACS3 bdgpeakcall", unit="BP", least=0
    )
    tracks: tuple[str, ...] | None = option(
        None, "also write tracks of these labels, or of all", kind=names, unit="LABELS"
    )
    track_format: str = option(
        "bigwig",
        "bigwig for browsers; zarr (8 bits) or zarr-fp16 for programs",
        choices=("bigwig", *ZARR_KINDS),
        unit="FORMAT",
    )
    track_floor: float = option(
        0.01, "bigWigs hold probabilities of P and more; 0: all", unit="P", least=0, below=1
    )
    no_page: bool = option(False, "leave out index.html, the page that shows the calls or hits")
    page_labels: tuple[str, ...] | None = option(
        None,
        "labels that the page shows first, with all of their calls (default: the best)",
        kind=names,
        unit="LABELS",
    )
    hub: str | None = option(
        None,
        "also write hub.txt and bigBeds for the UCSC Genome Browser; the genome's name there, or "
        "auto: recognise it by the sizes of its contigs",
        kind=assembly_name,
        unit="hg38",
    )
    per_contig: bool = option(
        False, "rows of each contig in summary.tsv, also of more than a thousand contigs"
    )
    motifs: str | None = option(
        None,
        f"find the hits of motifs instead of scoring with a model: a {MOTIF_FILE}",
        unit="FILE|NAME",
        group="scan for motifs",
    )
    p_value: float | None = option(
        None,
        f"highest p-value of a hit (default {P_VALUE:g})",
        kind=float,
        unit="P",
        group="scan for motifs",
    )
    background: tuple[float, ...] | None = option(
        None,
        "shares of A,C,G,T, or uniform (default: those of the scanned contigs)",
        kind=shares,
        unit="SHARES",
        group="scan for motifs",
    )

    def check(self) -> None:
        if self.p_value is not None and not 0 < self.p_value <= 0.01:
            raise TcnfastError(
                f"{setting('p_value')} {self.p_value}: must be above 0 and at most 0.01"
            )
        wrong = OF_MOTIFS
        if self.motifs is not None:
            wrong = {field.name for field in fields(self)} - {*OF_MOTIFS, *OF_BOTH}
        for field in fields(self):
            if field.name in wrong and getattr(self, field.name) != field.default:
                self._refuse(field.name)

    def _refuse(self, name: str) -> None:
        if self.motifs is None:
            raise TcnfastError(f"{setting(name)} needs {setting('motifs')}")
        raise TcnfastError(
            f"{setting(name)} is for models; it does not go with {setting('motifs')}"
        )

    def check_run(self, model: object, run: Run) -> None:
        """Raise TcnfastError where a model, or how to run one, is named in a scan for motifs."""
        if self.motifs is not None:
            if model is not None:
                self._refuse("model")
            for name in ("devices", "batch_size", "precision", "cluster"):
                if getattr(run, name) != getattr(Run, name):
                    self._refuse(name)


def say_shard(result: object) -> None:
    """Say what is to be done with a shard."""
    from .shard_folder import ShardFolder

    if isinstance(result, ShardFolder):
        words = "%s in %s; tcnfast merge puts all %d together"
        logging.info(words, result.words, result.path, result.of)


def say_how_many(scan: ScanFolder | ShardFolder | GenomesFolder) -> None:
    from .announce import last_words
    from .many_genomes import GenomesFolder
    from .shard_folder import ShardFolder

    if isinstance(scan, GenomesFolder):
        total = int(scan.summary["calls"].sum())
        genomes = count(len(scan.summary), "genome")
        logging.info("%s, %s or hits in %s", genomes, count(total, "call"), scan.path)
        return

    if isinstance(scan, ShardFolder):
        say_shard(scan)
        return
    for line in last_words(scan):
        logging.info("%s", line)
    if (scan.path / PAGE).exists():
        logging.info("to see them, open %s in a browser", scan.path / PAGE)


@verb(
    "call binding along a genome",
    GENOME,
    MODEL,
    OUT,
    options=ScanOptions,
    run=(
        *("device", "devices", "precision", "backend", "batch_size"),
        *("cluster", "workers", "time_limit", "store", "shard", "force", "resume"),
    ),
    show=say_how_many,
    examples=(
        ("hg38.2bit -o calls", "call every label of grade A to C along a genome"),
        (
            "hg38.2bit -t CTCF -c chr20 --tracks CTCF --cutoff precision=0.7 -o ctcf",
            "CTCF in every cell, on one chromosome, with tracks for a browser",
        ),
        (
            "hg38.2bit --motifs jaspar -t CTCF -o sites",
            "sites of the CTCF matrix of JASPAR instead of a model's calls",
        ),
    ),
)
def scan(
    genome: Files | None = None,
    model: TCN | Ensemble | File | None = None,
    out: File = "scan/",
    *,
    options: ScanOptions,
    run: Run,
) -> ScanFolder | ShardFolder | GenomesFolder:
    """Call binding of every label along a genome and write the folder ``out``.

    ``model``: a TCN or an Ensemble, a model folder, or a bundled name; the default of the command
    if None. With ``within`` only steps whose centre lies in a region are called.

    Calls are runs of steps at or above the label's cutoff, joined by ``max_gap`` and filtered by
    ``min_length`` as in MACS3 bdgpeakcall. All but "f1" and a probability are read off what calls
    of each label were worth on validation. A label that never reached the precision gets no
    narrowPeak file, and a warning names it. Labels of grade D, of which no cutoff has half of the
    calls right, are called where ``targets`` names them or a precision that they reach is asked
    for. The expected precision in ``summary.tsv`` is the share of calls that touches a peak of the
    label; it is blank where nothing was measured, and in a genome unlike that of the training.

    With ``motifs`` no model is used: the scan finds every site whose log-odds score has a p-value
    of at most ``p_value`` on its strand. A site with N is none; with ``within``, a hit lies wholly
    in a region.

    ``devices`` runs one process each and changes no byte. Memory does not grow with the contigs.
    What is finished when a scan stops stays in ``<out>.partial``; ``resume`` goes on with it.

    ``cluster="ray"`` shares the stretches among ``workers`` of a Ray cluster; one that is lost, or
    takes longer than ``time_limit`` over a stretch, loses nothing: another does it again. Where
    nodes share no disk, what they finish goes through ``store``, a URL that fsspec opens, and the
    genome to each of them once. On a cluster, genome and model may be URLs.

    ``shard`` ("3/10", or (3, 10)) scans one part of the genome, into a folder of its own or to a
    URL as ``s3://bucket/3``; parts may run anywhere and at any time, and :func:`tcnfast.merge`
    makes the scan of them.
    ``genomes``, a table, in place of ``genome``: each is scanned into a folder of its name in
    ``out``. One that fails is named at the end and in ``genomes.tsv``, and stops no other.

    Writes ``peaks/<label>.narrowPeak`` and, if asked for, ``tracks/<label>.bw`` or ``tracks.zarr``;
    with ``motifs``, ``hits/<motif>.bed.gz``; and ``summary.tsv`` and ``run.json``. A scan with a
    model also gets ``index.html``, which shows its calls in any browser (``no_page``: it does
    not), ``igv_session.xml``, ``jbrowse.json`` and ``tcnfast_mqc.tsv``; with ``hub``, also
    ``hub.txt`` and ``hub/<label>.bb`` for the UCSC Genome Browser.

    Returns:
        ScanFolder: reads the folder; ``summary``, ``calls()`` and ``hits()`` are pandas tables. Of
            a part of a genome a ShardFolder, of many genomes a GenomesFolder.

    Raises:
        TcnfastError: for bad input, before anything is scanned where it can be known.
    """
    from .store_shards import shard_at

    return shard_at(out, run, lambda folder: _scan(genome, model, folder, options, run))


def _scan(
    genome: object, model: object, out: File, options: ScanOptions, run: Run
) -> ScanFolder | ShardFolder | GenomesFolder:
    if (genome is None) == (options.genomes is None):
        raise TcnfastError(f"{setting('genomes')}: give it or one genome, one of the two")
    if options.genomes is not None:
        from .many_genomes import scan_genomes

        return scan_genomes(model, out, options, run)
    options.check_run(model, run)
    if options.motifs is not None:
        from .motif_run import scan_motifs

        return scan_motifs(genome, out, options, run)
    from .scan_genome import scan_genome

    return scan_genome(genome, DEFAULT_MODEL if model is None else model, out, options, run)
