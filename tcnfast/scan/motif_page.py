"""index.html of a scan for motifs: those with most hits for what chance gives, and where the hits
are. The page is that of a scan with a model, in other words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup

from ..base.file_names import inert
from ..base.logo import draw_logo
from ..base.page_table import Cell, Column, Table, number_cell
from ..base.pages import render_page, script_json
from ..base.tables import replace_file
from ..base.talk import count
from ..genome.intervals import joined
from ..pwm.log_odds import UNITS_PER_BIT
from ..pwm.meme import Motif, information
from ..pwm.packed_hits import motif_bounds, unpack
from . import PAGE
from .browser_files import IGV_SESSION, around, igv_session, relative_paths
from .call_columns import CallColumns
from .igv_source import igv_source, igv_version
from .page_calls import PageCalls, Shown
from .scan_folder import hits_file

if TYPE_CHECKING:
    from .motif_run import MotifJob

MOTIFS = 100  # on the page
SHOWN_AT_FIRST = 3  # rows of the browser when the page is opened
IN_SESSION = 12  # tracks of the session of IGV
HIT_BYTES = 6_000_000  # of the page: whole hits
PER_BIT = 100  # scores are in hundredths of a bit, as in the files
WORDS = {
    "kind": "motif scan",
    "one": "motif",
    "Many": "Motifs",
    "calls": "hits",
    "score": "Score, bits",
    "digits": 2,
    "per": PER_BIT,
    "rows": "Hits of the motifs below. Other hits, and files of your own, can be added from disk",
}
FILES = [
    ("hits/", "the hits of each motif: BED with score in bits, strand and p-value"),
    (IGV_SESSION, "a session of IGV"),
    ("summary.tsv", "hits of each motif, in all and on each contig"),
]
MOTIF = Column("Motif", "name")
LOGO = Column("Bits", "bits", wide=True, about="height of a letter: its share of the information")
HITS = Column("Hits", "hits", number=True)
CHANCE_WORDS = "hits for each that as many random bases of this composition hold"
CHANCE = Column("× chance", "chance", number=True, about=CHANCE_WORDS)
THRESHOLD = Column("Threshold", "threshold", number=True, wide=True, about="bits")


def write_motif_page(job: MotifJob, work: Path, result: Path, out: Path, hits: np.ndarray) -> None:
    """Write the page, and the session of IGV, into ``result``, which will lie at ``out``.

    ``work``: where the hits of the stretches are; ``hits``: of each motif in all, int64 (motifs,).
    """
    ratios = hits / _expected(job)
    ranked = sorted(np.flatnonzero(hits).tolist(), key=lambda i: (-ratios[i], i))[:MOTIFS]
    shown = Shown.of(job.sizes)
    calls = PageCalls(shown, 1, HIT_BYTES)
    first = None
    for index in ranked:
        found = hits_of(job, work, index)
        first = found if first is None else first
        calls.add(found)
    units, packed = calls.packed()
    title = ", ".join(path.name for path in job.genome.paths)
    facts = {
        "title": title,
        "contigs": list(shown.sizes.items()),
        "stride": 1,
        "bin": shown.width,
        "bins": shown.bins,
        "labels": [{"name": title_of(job.motifs[index])} for index in ranked],
        "best": calls.best,
        "units": units,
        "tracks": [],
        "at_first": list(range(min(SHOWN_AT_FIRST, len(ranked)))),
        "words": WORDS,
    }
    page = render_page(
        "scan.html",
        title=title,
        facts=script_json(facts),
        calls=Markup(packed),
        igv=igv_source(),
        tiles=_tiles(job, hits),
        sentences=_sentences(job, shown, int(np.count_nonzero(hits)), len(ranked)),
        warnings=[],
        labels=_table(job, ranked, hits, ratios),
        files=FILES,
        words=WORDS,
        igv_version=igv_version(),
    )
    replace_file(result / PAGE, page.encode(errors="replace"))
    tracks = [
        (inert(title_of(job.motifs[i])), f"hits/{hits_file(result, job.names[i]).name}", "bed")
        for i in ranked[:IN_SESSION]
    ]
    locus = around(first, job.sizes) if first is not None else None
    replace_file(
        result / IGV_SESSION, igv_session(tracks, relative_paths(job.genome.paths, out), locus)
    )


def title_of(motif: Motif) -> str:
    """Name and id of a motif."""
    return motif.name if motif.name == motif.id else f"{motif.name} {motif.id}"


def _expected(job: MotifJob) -> np.ndarray:
    """Hits of each motif in as many random bases of the same composition, float64 (motifs,)."""
    bases = job.bases
    if job.within is not None:
        bases = sum(int((end - start).sum()) for start, end in _regions(job))
    return np.maximum(2.0 * bases * job.finder.rates, 1e-9)


def _regions(job: MotifJob) -> list[tuple[np.ndarray, np.ndarray]]:
    return [joined(job.within.on(chrom)) for chrom in job.within.chroms]


def hits_of(job: MotifJob, work: Path, index: int) -> CallColumns:
    """The hits of one motif, from the finished stretches; scores in hundredths of a bit."""
    names, columns, lengths = [], [], []
    for stretch in job.stretches:
        hits = np.load(stretch.calls_file(work), mmap_mode="r")
        first, last = motif_bounds(hits, len(job.motifs))[[index, index + 1]].tolist()
        _, start, _, lacks = unpack(np.array(hits[first:last]))
        shelf = job.laid.shelves.get(stretch.chrom)
        here, of = [stretch.chrom], np.zeros(len(start), np.int64)
        if shelf is not None:
            here, of = shelf.names, shelf.contig_of(start)
            start -= shelf.firsts[of]
        columns.append((stretch.first + start, lacks))
        for chrom, n in zip(here, np.bincount(of, minlength=len(here)).tolist(), strict=True):
            if n and names and names[-1] == chrom:
                lengths[-1] += n
            elif n:
                names.append(chrom)
                lengths.append(n)
    start, lacks = (np.concatenate(x) for x in zip(*columns, strict=True))
    score = np.rint((job.finder.highest[index] - lacks) * (PER_BIT / UNITS_PER_BIT))
    ends = start + job.finder.widths[index]
    first = np.array([0, *np.cumsum(lengths)], np.int64)
    return CallColumns(names, first, start, ends, score.clip(0, 2**16 - 1).astype(np.int64))


def _table(job: MotifJob, ranked: Sequence[int], hits: np.ndarray, ratios: np.ndarray) -> Table:
    thresholds = job.finder.thresholds
    rows = []
    for index in ranked:
        motif = job.motifs[index]
        logo = draw_logo(information(motif.probabilities), f"logo of {title_of(motif)}", top=2)
        name = Markup('{} <span class="muted">{}</span>').format(motif.name, motif.id)
        rows.append(
            [
                Cell(name if motif.name != motif.id else motif.name, title_of(motif)),
                Cell(logo, float(information(motif.probabilities).sum())),
                number_cell(int(hits[index]), ","),
                number_cell(float(ratios[index]), ".2f"),
                number_cell(float(thresholds[index]), ".2f"),
            ]
        )
    columns = [MOTIF, LOGO, HITS, CHANCE, THRESHOLD]
    return Table("table", columns, rows, find="CTCF, MA0139.2, ...", pressed=True)


def _tiles(job: MotifJob, hits: np.ndarray) -> list[tuple[str, str]]:
    return [
        ("bases scanned", f"{job.bases:,}"),
        ("contigs", f"{len(job.sizes):,}"),
        ("motifs with hits", f"{np.count_nonzero(hits)} of {len(hits)}"),
        ("hits", f"{int(hits.sum()):,}"),
    ]


def _sentences(job: MotifJob, shown: Shown, some: int, listed: int) -> list[str]:
    """What was looked for, in plain words."""
    shares = ", ".join(f"{b} {x:.3f}" for b, x in zip("ACGT", job.background, strict=True))
    of = "of the scanned contigs" if job.options.background is None else "given"
    words = [
        f"Every site of {count(len(job.motifs), 'motif')} of {job.meme.name} whose "
        f"log-odds score has a p-value of at most {job.p_value:g} on its strand; bases {shares} "
        f"({of}). A hit is a likeness to the motif, and no evidence that anything binds there.",
    ]
    if job.within is not None:
        words.append("Only hits inside the regions of a BED file were kept.")
    if some > listed:
        words.append(
            f"This page shows the {listed} of {some} motifs with most hits for what chance "
            "gives; summary.tsv has them all."
        )
    if job.skipped:
        words.append(f"{count(len(job.skipped), 'contig')} left out: see run.json.")
    if len(shown.sizes) < len(job.sizes):
        words.append(f"This page draws the {len(shown.sizes)} longest contigs.")
    return words
