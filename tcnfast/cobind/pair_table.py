"""Co-occurrence of every pair of labels: what is observed, and how far from each null."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import networkx
import numpy as np
from scipy.stats import false_discovery_control, spearmanr

from .null import NULLS, null_counts, nulls_for, shared_bins
from .occupancy import Occupancy

if TYPE_CHECKING:
    import pandas as pd

STATISTICS = ("odds_ratio", "phi", "jaccard", "pmi")
OF_NULL = ("expected", "fold", "z", "p", "q")


@dataclass(frozen=True, eq=False)
class PairTable:
    """Pairs of ``labels`` i < j, all columns float64 or int64 (pairs,), in order of i, then j.

    ``columns`` holds those of the statistics and, for each null in ``nulls``, ``<null>_expected``
    (its mean), ``_fold`` (observed over expected, each plus a half), ``_z``, ``_p`` (two-sided,
    see :meth:`NullCounts.p_value`) and ``_q`` (Benjamini-Hochberg over all pairs).
    """

    labels: list[str]
    sites: np.ndarray
    first: np.ndarray
    second: np.ndarray
    n_bins: int
    nulls: tuple[str, ...]
    columns: dict[str, np.ndarray]

    @property
    def strictest(self) -> str:
        """The null that keeps most."""
        return self.nulls[-1]

    @property
    def same_factor(self) -> np.ndarray:
        """Whether both labels are of one factor, in two cells: bool (pairs,)."""
        return self._same(0)

    @property
    def same_cell(self) -> np.ndarray:
        """Whether both labels are of one cell: bool (pairs,)."""
        return self._same(2)

    def _same(self, part: int) -> np.ndarray:
        words = np.array([label.partition("@")[part] for label in self.labels], object)
        known = words != ""
        return (words[self.first] == words[self.second]) & known[self.first]

    def square(self, column: str) -> np.ndarray:
        """A column as a symmetric matrix (labels, labels), NaN on the diagonal."""
        out = np.full((len(self.labels),) * 2, np.nan)
        out[self.first, self.second] = out[self.second, self.first] = self.columns[column]
        return out

    def significant(self, fdr: float, fold: float) -> np.ndarray:
        """Pairs that meet more often than under each null, at that FDR, and by ``fold`` under the
        strictest: bool (pairs,). Not pairs of one factor in two cells."""
        kept = (self.columns[f"{self.strictest}_fold"] >= fold) & ~self.same_factor
        for null in self.nulls:
            kept &= (self.columns[f"{null}_q"] <= fdr) & (self.columns[f"{null}_z"] > 0)
        return kept

    @property
    def table(self) -> pd.DataFrame:
        """A pair a row, the most surprising ones first."""
        import pandas as pd

        ends = {"a": self.first, "b": self.second}
        columns = {f"label_{x}": np.array(self.labels, object)[i] for x, i in ends.items()}
        columns |= {f"sites_{x}": self.sites[i] for x, i in ends.items()} | self.columns
        columns |= {"same_factor": self.same_factor + 0, "same_cell": self.same_cell + 0}
        return pd.DataFrame(columns).iloc[
            np.argsort(-self.columns[f"{self.strictest}_z"], kind="stable")
        ]

    def graph(self, fdr: float, fold: float) -> networkx.Graph:
        """The significant pairs: nodes with ``factor``, ``cell`` and ``sites``, edges with
        ``weight``, the log2 of the fold under the strictest null, its ``q``, ``phi``, and the bins
        of ``both``."""
        graph = networkx.Graph()
        for label, sites in zip(self.labels, self.sites.tolist(), strict=True):
            factor, _, cell = label.partition("@")
            graph.add_node(label, factor=factor, cell=cell, sites=sites)
        edges = {
            "weight": np.log2(self.columns[f"{self.strictest}_fold"]),
            "q": self.columns[f"{self.strictest}_q"],
            "phi": self.columns["phi"],
            "both": self.columns["both"],
        }
        for pair in np.flatnonzero(self.significant(fdr, fold)).tolist():
            ends = self.labels[self.first[pair]], self.labels[self.second[pair]]
            graph.add_edge(*ends, **{name: values[pair].item() for name, values in edges.items()})
        return graph


def measure_pairs(found: Occupancy, replicates: int, seed: int) -> PairTable:
    """Statistics of all pairs of labels and their distance from the nulls."""
    shared = shared_bins(found)
    first, second = np.triu_indices(len(found.labels), 1)
    columns = {"both": shared[first, second]}
    columns |= statistics(columns["both"], found.counts[first], found.counts[second], found.n_bins)
    nulls = nulls_for(len(found.labels))
    for null in nulls:
        counts = null_counts(found, null, shared, replicates, seed)
        mean, sd = counts.mean[first, second], counts.sd[first, second]
        p = counts.p_value(shared)[first, second]
        both = columns["both"]
        values = {
            "expected": mean,
            "fold": (both + 0.5) / (mean + 0.5),
            # a count that never varied still has the resolution of one in the replicates
            "z": (both - mean) / np.maximum(sd, np.sqrt(1 / replicates)),
            "p": p,
            "q": false_discovery_control(p) if len(p) else p,
        }
        columns |= {f"{null}_{name}": values[name] for name in OF_NULL}
    return PairTable(found.labels, found.counts, first, second, found.n_bins, nulls, columns)


def statistics(
    both: np.ndarray, sites_a: np.ndarray, sites_b: np.ndarray, n_bins: int
) -> dict[str, np.ndarray]:
    """STATISTICS of 2 x 2 tables, each float64 of the shape of ``both``: bins of both labels, of
    either, and of all.

    The odds ratio has a half added to every cell (Haldane and Anscombe). Phi is Pearson's
    correlation of the two labels over bins; PMI (pointwise mutual information) the log2 of the
    shared bins over those of independent labels, -inf where they share none.
    """
    both, a, b = (np.asarray(x, np.float64) for x in (both, sites_a, sites_b))
    neither = n_bins - a - b + both
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            "odds_ratio": (both + 0.5) * (neither + 0.5) / ((a - both + 0.5) * (b - both + 0.5)),
            "phi": (both * n_bins - a * b) / np.sqrt(a * b * (n_bins - a) * (n_bins - b)),
            "jaccard": both / (a + b - both),
            "pmi": np.log2(both * n_bins / (a * b)),
        }


def agreement(observed: PairTable, predicted: PairTable) -> dict:
    """How well predicted co-occurrence follows the observed one: Spearman's correlation of the
    folds over pairs that both tables have, without pairs of one factor."""
    known = {
        (predicted.labels[a], predicted.labels[b]): pair
        for pair, (a, b) in enumerate(zip(predicted.first, predicted.second, strict=True))
    }
    here, there = [], []
    for pair in np.flatnonzero(~observed.same_factor).tolist():
        names = observed.labels[observed.first[pair]], observed.labels[observed.second[pair]]
        other = known.get(names, known.get(names[::-1]))
        if other is not None:
            here.append(pair)
            there.append(other)
    out: dict = {"pairs": len(here)}
    common = [null for null in NULLS if null in observed.nulls and null in predicted.nulls]
    for null in common if len(here) > 2 else ():
        pair = observed.columns[f"{null}_fold"][here], predicted.columns[f"{null}_fold"][there]
        out[f"{null}_spearman"] = round(float(spearmanr(*pair).statistic), 4)
    return out
