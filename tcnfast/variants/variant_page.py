"""One HTML page about the alleles with the largest effects: what every base around them contributes
with REF and with ALT, and the known motifs that come or go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from ..base.errors import TcnfastError
from ..base.options import setting
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
    def allele(self) -> Allele:
        return Allele(0, self.chrom, self.pos, self.id, self.ref.encode(), self.alt.encode())


@dataclass(frozen=True)
class Shown:
    """A :class:`Top` with its drawings and the names of the motifs that it makes and breaks."""

    top: Top
    logos: list[tuple[str, object]]
    made: list[str]
    broken: list[str]


def require_page() -> None:
    """Raise TcnfastError where the library that the page needs is missing."""
    if find_spec("jinja2") is None:
        raise TcnfastError(f"{setting('explain')} needs jinja2: pip install 'tcnfast[motifs]'")


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
    page = render_page(
        "variants.html",
        shown=[_show(top, model, genome, mutagenesis, finder) for top in tops],
        reach=REACH,
        p_value=f"{P_VALUE:g}",
    )
    path.write_text(page, encoding="utf-8")


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
    for name, drawn, logit in zip(("REF", "ALT"), heights, explained.logit, strict=True):
        words = f"contributions to {top.label} with {name}"
        logo = draw_logo(drawn, words, height=60, top=top_edge, bottom=bottom_edge)
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
