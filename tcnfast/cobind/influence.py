"""What a motif does to a label where that label really binds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from ..base.errors import TcnfastError
from ..base.progress import Progress
from ..pwm.meme import Motif
from . import InfluenceOptions
from .interaction import LEVEL
from .scrambles import best_sites, scrambled, scrambled_elsewhere
from .window_scores import WindowScorer

NUMBERS = ("sites", "with_motif", "motif_change", "control_change", "difference", "low", "high")


@dataclass(frozen=True)
class Influence:
    """One motif at the sites of one label; changes are of that label's logit, means over sites.

    ``sites`` were looked at, ``with_motif`` have it. ``motif_change``: the motif's letters
    permuted; ``control_change``: those of random pieces as wide, of the same sites. ``low`` to
    ``high`` is the interval of their ``difference``, ``p`` that of Wilcoxon's signed-rank test over
    the sites, two-sided. NaN where fewer sites than asked for have the motif.
    """

    motif: Motif
    label: str
    sites: int
    with_motif: int
    motif_change: float = np.nan
    control_change: float = np.nan
    difference: float = np.nan
    low: float = np.nan
    high: float = np.nan
    p: float = np.nan

    @property
    def own(self) -> bool:
        """Whether the motif is named for the label's factor."""
        return self.motif.is_named(self.label.partition("@")[0])


def measure_influence(
    scorer: WindowScorer,
    sites: Mapping[str, np.ndarray],
    motifs: Sequence[Motif],
    options: InfluenceOptions,
    progress: bool = False,
) -> list[Influence]:
    """Every motif at the sites of every label; ``sites``: label to windows uint8 (n, RF), with the
    summit in the middle.

    Raises TcnfastError for a motif that leaves no room within the reach for a control piece.
    """
    for motif in motifs:
        width = len(motif.probabilities)
        if 3 * width > 2 * options.reach + 1:
            raise TcnfastError(
                f"motif {motif.id} ({width} bp) is too wide for a reach of {options.reach} bp "
                "around a summit; a control piece needs room beside it"
            )
    if 2 * options.reach + 1 > scorer.width:
        raise TcnfastError(f"reach {options.reach}: the model's window has {scorer.width} bp")
    found = []
    with Progress(len(sites) * len(motifs), "test", progress) as bar:
        for number, (label, windows) in enumerate(sites.items()):
            column = scorer.labels.index(label)
            before = scorer(windows)[:, column]
            for motif in motifs:
                rng = np.random.default_rng([options.seed, number, _number(motif)])
                found.append(_one(scorer, column, windows, before, motif, options, rng))
                bar.update(1, label)
    return found


def _number(motif: Motif) -> int:
    """A number of the motif's own, so that its draws do not depend on the other motifs."""
    return int.from_bytes(motif.id.encode()[:12], "big")


def _one(
    scorer: WindowScorer,
    column: int,
    windows: np.ndarray,
    before: np.ndarray,
    motif: Motif,
    options: InfluenceOptions,
    rng: np.random.Generator,
) -> Influence:
    label = scorer.labels[column]
    best = best_sites(windows, motif, options.reach, rng)
    n = int(best.present.sum())
    if n < options.min_sites:
        return Influence(motif, label, len(windows), n)
    here, start, width = windows[best.present], best.start[best.present], len(motif.probabilities)

    scrambles = [
        scrambled(here, start, motif, options.draws, rng),
        scrambled_elsewhere(here, start, width, options.reach, options.draws, rng),
    ]
    logits = scorer.copies(here, np.concatenate(scrambles))[..., column]
    # means over the draws, float64 (n,): of the motif, of pieces elsewhere
    means = logits.reshape(2, options.draws, n).mean(1, dtype=np.float64)
    motif_change, control = means - before[best.present]
    difference = motif_change - control
    reach = stats.t.ppf((1 + LEVEL) / 2, n - 1) * difference.std(ddof=1) / np.sqrt(n)
    mean = float(difference.mean())
    p = 1.0 if not difference.any() else float(stats.wilcoxon(difference).pvalue)
    changes = float(motif_change.mean()), float(control.mean())
    return Influence(motif, label, len(windows), n, *changes, mean, mean - reach, mean + reach, p)


@dataclass(frozen=True, eq=False)
class InfluenceTable:
    """Every motif at the sites of every label, in ``rows``."""

    rows: list[Influence]

    @property
    def table(self) -> pd.DataFrame:
        """A row for each label and motif, the strongest falls first: the columns of influence.tsv.
        q is Benjamini-Hochberg over the tests that were made; NaN for the others."""
        rows = [
            {"motif": row.motif.name, "label": row.label, "own": row.own}
            | {x: getattr(row, x) for x in (*NUMBERS, "p")}
            for row in self.rows
        ]
        table = pd.DataFrame(rows).assign(q=q_values(self.rows))
        return table.sort_values("difference", kind="stable")  # NaN last


def q_values(found: Sequence[Influence]) -> np.ndarray:
    """Benjamini-Hochberg over the tests that were made; NaN for the others."""
    p = np.array([row.p for row in found])
    q = np.full(len(p), np.nan)
    tested = ~np.isnan(p)
    if tested.any():
        q[tested] = stats.false_discovery_control(p[tested])
    return q
