"""Every pair of some motifs inserted into backgrounds, and what came of it as tables."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import false_discovery_control

from ..base.errors import TcnfastError
from ..base.progress import Progress
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

    def rows(self) -> list[str]:
        """Lines of cooperation.tsv, its header first: each pair with each label, the surest
        interactions first. q is Benjamini-Hochberg over all rows."""
        p = np.stack([pair.cooperation.p for pair in self.pairs])
        q = false_discovery_control(p, axis=None).reshape(p.shape)
        lines = [
            "motif_a\tmotif_b\tlabel\tverdict\tinteraction\tlow\thigh\tsd\tp\tq\ta\tb\tboth\t"
            "arrangement\tgap\tgap_from\tgap_to\tmedian\teverywhere\thelix\thelix_p\tperiod"
        ]
        size = np.stack([pair.cooperation.least for pair in self.pairs])
        for flat in np.argsort(-size, axis=None, kind="stable").tolist():
            index, label = divmod(flat, len(self.labels))
            pair = self.pairs[index]
            c = pair.cooperation
            names = pair.first.name, pair.second.name, self.labels[label]
            numbers = (c.interaction, c.low, c.high, c.sd, c.p, q[index], c.first, c.second, c.both)
            arrangement = NAMES[c.arrangement[label]]
            gaps = (c.gap, c.gap_from, c.gap_to)
            rest = (c.median, c.everywhere.astype(int), pair.helix, pair.helix_p, pair.period)
            cells = [*names, c.verdict(self.margin)[label]]
            cells += [f"{column[label]:.4g}" for column in numbers]
            cells += [arrangement, *(str(column[label]) for column in gaps)]
            cells += [f"{column[label]:.4g}" for column in rest]
            lines.append("\t".join(cells))
        return lines

    def profiles(self) -> list[str]:
        """Lines of profiles.tsv: each pair's interaction with the label that reacts most, at every
        arrangement and gap, with an interval."""
        lines = ["motif_a\tmotif_b\tlabel\tarrangement\tgap\tinteraction\tlow\thigh"]
        for pair in self.pairs:
            head = f"{pair.first.name}\t{pair.second.name}\t{self.labels[pair.reacting]}"
            mean, error = (x[..., pair.reacting] for x in (pair.interaction, pair.error))
            for name, row, errors in zip(NAMES, mean, error, strict=True):
                for gap, (value, e) in enumerate(zip(row.tolist(), errors.tolist(), strict=True)):
                    low, high = value - _NORMAL * e, value + _NORMAL * e
                    lines.append(f"{head}\t{name}\t{gap}\t{value:.4f}\t{low:.4f}\t{high:.4f}")
        return lines

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
        raise TcnfastError(f"{len(backgrounds)} backgrounds: at least 8 are needed for an interval")
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
                f"than the model's window of {width}; lower --max-gap"
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
