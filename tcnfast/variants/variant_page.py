"""One HTML page about the alleles with the largest effects: what every base around them contributes
with REF and with ALT, and the known motifs that come or go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from markupsafe import Markup

from ..base.disk import write_text
from ..base.page_table import Cell, Column, Table, breakable, number_cell
from ..genome.genome import Genome
from ..model.ensemble import Ensemble
from ..model.tcn import TCN
from ..pwm import P_VALUE
from ..pwm.hits import HitFinder
from ..pwm.meme import DATABASE, read_meme
from .effect_rows import Rows
from .haplotypes import haplotype
from .records import Allele

REACH = 25  # bases drawn on each side
# times the p-value (P_VALUE at most) of a motif that is there: one that is hardly there any more
WORSE = 10
NAMED = 6  # motifs at most
SHORT = 12  # bases of an allele that are written


@dataclass(frozen=True)
class Top:
    """An allele, the label whose probability it changes most, and the calls it changes."""

    chrom: str
    pos: int
    id: str
    ref: str
    alt: str
    label: str
    effect: float
    change: float
    ref_prob: float
    gained: list[str]
    lost: list[str]

    @property
    def name(self) -> str:
        """As a browser has it, alleles of many bases cut short."""
        ref, alt = (x if len(x) <= SHORT else f"{x[:SHORT]}\u2026" for x in (self.ref, self.alt))
        return f"{self.chrom}:{self.pos + 1:,} {ref}\u2192{alt}"

    @property
    def allele(self) -> Allele:
        return Allele(0, self.chrom, self.pos, self.id, self.ref.encode(), self.alt.encode())


@dataclass(frozen=True)
class Shown:
    """A :class:`Top` with its drawings and the names of the motifs that it makes and breaks."""

    top: Top
    logos: list[tuple[str, object]]
    made: list[str]
    broken: list[str]


def most_changed(rows: Rows, number: int) -> list[Top]:
    """The alleles of some rows that change a probability most, and of which label."""
    size = np.abs(np.nan_to_num(rows.change))
    label = size.argmax(1) if len(size) else np.empty(0, int)
    size = size[np.arange(len(size)), label]
    best = [row for row in np.argsort(-size, kind="stable")[:number] if size[row] > 0]
    numbers = rows.effect, rows.change, rows.columns["ref_prob"]
    found = []
    for row in best:
        allele, column = rows.alleles[row], label[row]
        place = allele.chrom, allele.pos, allele.id, allele.ref.decode(), allele.alt.decode()
        values = (float(x[row, column]) for x in numbers)
        calls = (rows.named(row, call) for call in (1, -1))
        found.append(Top(*place, rows.labels[column], *values, *calls))
    return found


def write_page(
    path: Path, tops: Sequence[Top], model: TCN | Ensemble, genome: Genome, strand: str
) -> None:
    """Write the page. Contributions are of in-silico mutagenesis, of the one ``strand``, or of the
    mean of both."""
    from ..attribute.mutagenesis import Mutagenesis
    from ..attribute.networks import Networks
    from ..base.pages import render_page

    mutagenesis = Mutagenesis(Networks(model, "+" if strand == "+" else "both", "cpu"))
    finder = HitFinder(read_meme(DATABASE), p_value=WORSE * P_VALUE)
    shown = [_show(top, model, genome, mutagenesis, finder) for top in tops]
    page = render_page(
        "variants.html",
        shown=shown,
        table=_table(shown),
        reach=REACH,
        p_value=f"{P_VALUE:g}",
    )
    write_text(path, page)


def _table(shown: Sequence[Shown]) -> Table:
    """The alleles of the page, each a row with a link to its drawings."""
    columns = [
        Column("Variant", "variant"),
        Column("ID", "id", wide=True),
        Column("Label", "label"),
        Column("Probability", "change", number=True, about="with ALT, less that with REF"),
        Column("Logit", "effect", number=True, wide=True, about="with ALT, less that with REF"),
        Column("Motifs made or broken", "motifs", wide=True),
    ]
    rows = []
    for index, item in enumerate(shown, 1):
        top = item.top
        link = Markup('<a href="#variant-{}">{}</a>').format(index, top.name)
        signs = [*(f"+{x}" for x in item.made), *(f"\u2212{x}" for x in item.broken)]
        rows.append(
            [
                Cell(link, top.name),
                Cell("" if top.id == "." else top.id),
                Cell(breakable(top.label), top.label),
                number_cell(top.change, "+.3f"),
                number_cell(top.effect, "+.2f"),
                Cell(", ".join(signs)),
            ]
        )
    return Table("variants", columns, rows, find="rs12, CTCF, ...")


def changed(ref: str, alt: str) -> tuple[int, int, int]:
    """Where two alleles differ: the first base, and the base behind the last one, of each."""
    first = 0
    while first < min(len(ref), len(alt)) and ref[first] == alt[first]:
        first += 1
    same = 0
    while same < min(len(ref), len(alt)) - first and ref[-1 - same] == alt[-1 - same]:
        same += 1
    return first, len(ref) - same, len(alt) - same


def _show(top: Top, model, genome: Genome, mutagenesis, finder) -> Shown:
    from ..base.logo import draw_logo

    field, allele = model.receptive_field, top.allele
    half = field // 2
    both = np.stack(
        [haplotype(genome, allele, x, half, field) for x in (allele.ref, allele.alt)]
    )  # centred alike: both begin at the same base
    (explained,) = mutagenesis.explain(both, [model.labels.index(top.label)])
    around = slice(half - REACH, half + REACH + 1)
    codes = both[:, around]
    one_hot = np.eye(5, 4)[codes]
    heights = explained.hypothetical.transpose(0, 2, 1)[:, around] * one_hot
    top_edge = max(heights.clip(0).sum(2).max(), 1e-6)
    bottom_edge = min(heights.clip(max=0).sum(2).min(), 0)
    logos = []
    first, *ends = changed(top.ref, top.alt)
    edges = dict(height=60, top=top_edge, bottom=bottom_edge)
    sides = zip(("REF", "ALT"), heights, explained.logit, codes, ends, strict=True)
    for name, drawn, logit, bases, end in sides:
        words = f"contributions to {top.label} with {name}; what differs is marked"
        place = REACH + first, min(REACH + end, 2 * REACH + 1)
        logo = draw_logo(drawn, words, bases=bases, marked=place, **edges)
        logos.append((f"{name}, logit {logit:.2f}", logo))
    lengths = len(allele.ref), len(allele.alt)
    ref, alt = (motifs_at(x, REACH, n, finder) for x, n in zip(codes, lengths, strict=True))
    return Shown(top, logos, _stronger(alt, ref), _stronger(ref, alt))


def _stronger(here: dict[str, float], there: dict[str, float]) -> list[str]:
    """Motifs that are here and hardly there, the best first."""
    found = [x for x, p in here.items() if p <= P_VALUE and there.get(x, 1) >= WORSE * p]
    return sorted(found, key=here.get)[:NAMED]


def motifs_at(codes: np.ndarray, at: int, length: int, finder: HitFinder) -> dict[str, float]:
    """p-values of the best hit of each known motif over bases ``at`` to ``at + length``."""
    import pandas as pd

    hits = finder.hits(codes)
    over = (hits.start < at + length) & (hits.end > at)
    names = [finder.motifs[motif].name for motif in hits.motif[over]]
    return pd.Series(hits.p[over], dtype=float).groupby(names, sort=False).min().to_dict()
