"""Every pair of some motifs inserted into backgrounds, and what came of it as tables."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control

from ..base.errors import TcnfastError
from ..base.options import setting
from ..base.progress import Progress
from ..base.talk import count
from .inserted_sites import Site
from .interaction import (
    ARRANGEMENTS,
    Cooperation,
    SingleResponses,
    judge,
    measure_responses,
    placements,
)
from .periodicity import helical
from .window_scores import WindowScorer

log = logging.getLogger(__name__)

NAMES = tuple(ARRANGEMENTS)
_NORMAL = 1.96  # half an interval of LEVEL 0.95, in standard errors, of the curves that are drawn


@dataclass(frozen=True, eq=False)
class PairResult:
    """One pair of sites: ``cooperation`` with each label; ``interaction`` float32 (arrangements,
    gaps, labels), its mean over all backgrounds, and ``error`` alike, its standard error;
    ``helix``, ``helix_p`` and ``period`` (labels,) as of :func:`periodicity.helical`."""

    first: Site
    second: Site
    cooperation: Cooperation
    interaction: np.ndarray
    error: np.ndarray
    helix: np.ndarray
    helix_p: np.ndarray
    period: np.ndarray

    @property
    def name(self) -> str:
        return f"{self.first.name} + {self.second.name}"

    @property
    def reacting(self) -> int:
        """The label that interacts most, by the end of its interval that is nearer to 0."""
        return int(self.cooperation.least.argmax())


@dataclass(frozen=True, eq=False)
class CooperationTable:
    """All pairs, with the labels and the margin (logits) that they are judged by."""

    labels: list[str]
    pairs: list[PairResult]
    margin: float
    windows: int

    @property
    def table(self) -> pd.DataFrame:
        """Each pair with each label, the surest interactions first. q is Benjamini-Hochberg over
        all rows."""
        parts = []
        for pair in self.pairs:
            c = pair.cooperation
            columns = {"motif_a": pair.first.name, "motif_b": pair.second.name}
            columns |= {"label": self.labels, "verdict": c.verdict(self.margin)}
            columns |= {x: getattr(c, x) for x in ("interaction", "low", "high", "sd", "p")}
            columns |= {"q": np.nan, "a": c.first, "b": c.second, "both": c.both}
            columns |= {"arrangement": [NAMES[i] for i in c.arrangement]}
            columns |= {x: getattr(c, x) for x in ("gap", "gap_from", "gap_to", "median")}
            columns |= {"everywhere": c.everywhere + 0}
            columns |= {x: getattr(pair, x) for x in ("helix", "helix_p", "period")}
            parts.append(pd.DataFrame(columns))
        table = pd.concat(parts, ignore_index=True)
        table["q"] = false_discovery_control(table["p"])
        size = np.concatenate([pair.cooperation.least for pair in self.pairs])
        return table.iloc[np.argsort(-size, kind="stable")]

    @property
    def profiles(self) -> pd.DataFrame:
        """Each pair's interaction with the label that reacts most, at every arrangement and gap,
        with an interval."""
        parts = []
        for pair in self.pairs:
            mean, error = (
                x[..., pair.reacting].astype(float) for x in (pair.interaction, pair.error)
            )
            gaps = mean.shape[1]
            columns = {"motif_a": pair.first.name, "motif_b": pair.second.name}
            columns |= {"label": self.labels[pair.reacting]}
            columns |= {"arrangement": np.repeat(NAMES, gaps)}
            columns |= {"gap": np.tile(np.arange(gaps), len(NAMES))}
            columns |= {"interaction": mean.ravel(), "low": (mean - _NORMAL * error).ravel()}
            columns |= {"high": (mean + _NORMAL * error).ravel()}
            parts.append(pd.DataFrame(columns))
        return pd.concat(parts, ignore_index=True)

    def arrays(self) -> dict[str, np.ndarray]:
        """What interaction.npz holds: means and standard errors float32 (pairs, arrangements, gaps,
        labels), and the names of each."""
        return {
            "interaction": np.stack([pair.interaction for pair in self.pairs]),
            "error": np.stack([pair.error for pair in self.pairs]),
            "pairs": np.array([pair.name for pair in self.pairs]),
            "arrangements": np.array(NAMES),
            "labels": np.array(self.labels),
        }


def measure_cooperation(
    scorer: WindowScorer,
    backgrounds: np.ndarray,
    pairs: Sequence[tuple[Site, Site]],
    max_gap: int,
    margin: float,
    *,
    permutations: int = 999,
    seed: int = 0,
    progress: bool = False,
) -> CooperationTable:
    """Insert both sites of each of ``pairs``, and each alone, at gaps of 0 to ``max_gap`` bases
    into all ``backgrounds``, uint8 (n, RF), and judge their interaction with every label.

    Raises TcnfastError for fewer than 8 backgrounds, and for pairs that the window cannot hold.
    """
    if len(backgrounds) < 8:
        words = count(len(backgrounds), "background")
        raise TcnfastError(f"{words}: at least 8 are needed for an interval")
    check_spans(pairs, max_gap, scorer.width)
    total = _count_windows(scorer, pairs, max_gap + 1) * len(backgrounds)
    singles = SingleResponses(scorer, backgrounds)
    results = []
    with Progress(total, "window", progress, scale=True) as bar:
        for first, second in pairs:
            responses = measure_responses(singles, first, second, max_gap + 1, bar.update)
            found = responses.interaction
            mean = found.mean(2)
            error = found.std(2, ddof=1) / np.sqrt(found.shape[2])
            wave = helical(mean, permutations, seed)
            results.append(PairResult(first, second, judge(responses), mean, error, *wave))
    return CooperationTable(scorer.labels, results, margin, total + len(backgrounds))


def check_spans(pairs: Sequence[tuple[Site, Site]], max_gap: int, width: int) -> None:
    """Raise TcnfastError for a pair that a window of ``width`` bases cannot hold."""
    for first, second in pairs:
        span = first.width + second.width + max_gap
        if span > width:
            raise TcnfastError(
                f"motifs {first.name} and {second.name} span {span} bp at a gap of {max_gap}, more "
                f"than the model's window of {width}; lower {setting('max_gap')}"
            )


def _count_windows(scorer: WindowScorer, pairs: Sequence[tuple[Site, Site]], gaps: int) -> int:
    """Windows of one background: of both sites, and of each site alone once for each place."""
    both, alone = 0, set()
    for first, second in pairs:
        places = placements(first, second, gaps, scorer.width)
        both += len(places)
        for a, b in places:
            alone |= {(first.motif.id, *a), (second.motif.id, *b)}
    return both + len(alone)
