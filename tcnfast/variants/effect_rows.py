"""What is reported of scored alleles: differences of logits and probabilities, calls."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..base.logits import probability
from . import COLUMNS
from .records import Allele


@dataclass(frozen=True)
class Rows:
    """Alleles and their effects, row by row in input order.

    ``matches`` bool (n,): REF is in the genome; else nothing is scored. ``effect`` float32
    (n, labels): the difference of logits by which alleles are ranked; ``change`` the difference of
    probabilities. ``calls`` int8 (n, labels): 1 gained, -1 lost, 0 neither or no cutoff.
    """

    alleles: list[Allele]
    matches: np.ndarray
    columns: dict[str, np.ndarray]
    labels: list[str]
    calls: np.ndarray

    @property
    def effect(self) -> np.ndarray:
        return next(iter(self.columns.values()))

    @property
    def change(self) -> np.ndarray:
        return self.columns["delta_prob"]

    def top(self) -> np.ndarray:
        """Index of the label with the largest effect in size, int64 (n,), -1 where not scored."""
        size = np.abs(np.where(np.isnan(self.effect), -1, self.effect))
        return np.where(self.matches, size.argmax(1), -1)

    def named(self, row: int, call: int) -> list[str]:
        """Labels whose call is ``call`` (1 gained, -1 lost) in a row."""
        return [self.labels[index] for index in np.flatnonzero(self.calls[row] == call)]


def make_rows(
    alleles: list[Allele],
    matches: np.ndarray,
    scored: dict[str, np.ndarray],
    mode: str,
    labels: list[str],
    keep: np.ndarray,
    cutoffs: np.ndarray,
) -> Rows:
    """``scored``: columns float32 (alleles that match, labels); ``keep`` int64: the columns of the
    model's labels to report; ``cutoffs`` (labels kept,): logits, NaN where a label is not called.
    """
    raw = {name: np.full((len(matches), len(keep)), np.nan, np.float32) for name in scored}
    for name, values in scored.items():
        raw[name][matches] = values[:, keep]
    ref, alt = raw["ref_logit"], raw["alt_logit"]
    told = {"ref_prob": probability(ref), "alt_prob": probability(alt)}
    told["delta_prob"] = told["alt_prob"] - told["ref_prob"]
    told["delta_logit"] = alt - ref
    columns = {name: raw.get(name, told.get(name)).astype(np.float32) for name in COLUMNS[mode]}
    with np.errstate(invalid="ignore"):
        calls = (alt >= cutoffs).astype(np.int8) - (ref >= cutoffs).astype(np.int8)
    return Rows(alleles, matches, columns, [labels[index] for index in keep], calls)
