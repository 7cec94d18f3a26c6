"""calls.tsv: what to expect of calls at any cutoff: a ladder of cutoffs for each label.

A rung is a probability and what calling at it gave on regions that the model was not trained on,
called as a scan calls them: the share of calls that touch a peak, the share of peaks that a call
touches, calls a megabase. :mod:`tcnfast.evaluate.call_ladder` measures it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from ..base.errors import TcnfastError
from ..base.logits import logit
from ..base.tables import as_cell, as_number, read_table, replace_file
from .thresholds import Cutoff

MIN_CALLS = 20  # calls of a rung from which its interval says that a precision was reached
HALF = 0.5  # precision from which the default cutoff calls a label


@dataclass(frozen=True, eq=False)
class Ladder:
    """The rungs of one label: float64 arrays (rungs,), ``threshold`` rising.

    ``precision`` never falls along it and ``recall`` never rises; ``precision_low`` and
    ``precision_high`` are the ends of the 95 % interval, ``recall_low`` the lower end.
    ``relaxed_precision`` counts calls that touch a peak or a relaxed peak, NaN where none are
    known. ``calls`` is how many were counted, ``share`` the share of steps at or above the
    threshold.
    """

    label: str
    threshold: np.ndarray
    precision: np.ndarray
    precision_low: np.ndarray
    precision_high: np.ndarray
    relaxed_precision: np.ndarray
    recall: np.ndarray
    recall_low: np.ndarray
    calls_per_mb: np.ndarray
    calls: np.ndarray
    share: np.ndarray

    def at(self, threshold: float) -> Cutoff:
        """What calling at a probability gives, between rungs along the logit. NaN below the lowest
        rung, where nothing was measured; above the highest, what that gave."""
        if threshold < self.threshold[0]:
            return Cutoff(threshold, np.nan, np.nan)
        # in the order of Cutoff
        names = ("precision", "recall", "precision_low", "precision_high", "relaxed_precision")
        x, rungs = logit(np.float64(threshold)), logit(self.threshold)
        values = (np.interp(x, rungs, getattr(self, name)) for name in (*names, "calls_per_mb"))
        return Cutoff(float(threshold), *map(float, values))

    def at_precision(self, precision: float) -> Cutoff | None:
        """The lowest cutoff whose calls have this precision; None where no rung of MIN_CALLS calls
        has reached it with the lower end of its interval."""
        reached = (self.precision_low >= precision) & (self.calls >= MIN_CALLS)
        return self.at(self._crossing(self.precision, precision)) if reached.any() else None

    def at_recall(self, recall: float) -> Cutoff | None:
        """The highest cutoff whose calls find this share of the peaks; None where the lowest rung
        does not with the lower end of its interval."""
        if not self.recall_low[0] >= recall:
            return None
        return self.at(self._crossing(-self.recall, -recall, last=True))

    def best(self) -> Cutoff:
        """The best F1 of calls, among cutoffs with at least half of the calls right where there
        are any."""
        total = self.precision + self.recall
        f1 = 2 * self.precision * self.recall / np.where(total > 0, total, 1)
        at = self.threshold[int(np.argmax(f1))]
        half = self.at_precision(HALF)
        return self.at(max(at, half.threshold) if half else float(at))

    def percentile(self, probability: np.ndarray) -> np.ndarray:
        """Percentiles of probabilities: see :func:`percentile`."""
        return percentile(probability, self.threshold, self.share)

    def _crossing(self, rising: np.ndarray, value: float, last: bool = False) -> float:
        """The probability at which ``rising``, straight between rungs, reaches ``value``: the
        lowest, or the ``last`` before it is passed. The lowest rung where that is above it."""
        above = rising > value if last else rising >= value
        k = int(np.argmax(above)) if above.any() else len(rising)
        if k == 0 or k == len(rising):
            return float(self.threshold[min(k, len(rising) - 1)])
        part = (value - rising[k - 1]) / (rising[k] - rising[k - 1])
        low, high = logit(self.threshold[k - 1 : k + 1])
        return rounded(float(1 / (1 + np.exp(-(low + part * (high - low))))))


NUMBERS = tuple(field.name for field in fields(Ladder) if field.name != "label")


def percentile(probability: np.ndarray, rungs: np.ndarray, share: np.ndarray) -> np.ndarray:
    """The share of steps, in per cent, whose score is below these probabilities: float64 of their
    shape, NaN below the lowest of ``rungs``.

    ``share`` (rungs,) of the steps are at or above each. Between rungs and beyond the highest the
    logarithm of the share is straight in the logit.
    """
    x, at, above = logit(probability), logit(rungs), np.log(share)
    found = np.interp(x, at, above)
    if len(at) > 1:
        slope = (above[-1] - above[-2]) / max(at[-1] - at[-2], 1e-9)
        found = np.where(x > at[-1], above[-1] + slope * (x - at[-1]), found)
    return np.where(x < at[0], np.nan, 100 * (1 - np.exp(found)))


def rounded(probability: float) -> float:
    """A probability of six digits, strictly within 0 and 1."""
    return min(max(float(f"{probability:.6g}"), 1e-12), 1 - 1e-6)


def write_ladders(path: Path, ladders: dict[str, Ladder]) -> None:
    """Write the table, a row a rung."""
    rows = ["\t".join(("label", *NUMBERS))]
    for label, ladder in ladders.items():
        columns = [getattr(ladder, name) for name in NUMBERS]
        for first, *rest in zip(*columns, strict=True):
            cells = [f"{first:.6g}", *(as_cell(x, ".4g") for x in rest)]
            rows.append("\t".join((label, *cells)))
    replace_file(path, ("\n".join(rows) + "\n").encode())


def read_ladders(path: Path, labels: list[str], every: bool = True) -> dict[str, Ladder]:
    """The ladders of ``labels``, ``every`` one of them or those that are there; TcnfastError that
    names the line at fault."""
    rows: dict[str, list[list[float]]] = {}
    for number, row in enumerate(read_table(path, ("label", *NUMBERS)), 2):
        try:
            values = [as_number(row[name]) for name in NUMBERS]
            before = rows.setdefault(row["label"], [])
            if not 0 < values[0] < 1 or (before and values[0] <= before[-1][0]):
                raise ValueError(f"threshold {row['threshold']} is no probability, or out of order")
        except ValueError as error:
            raise TcnfastError(f"{path}:{number}: {error}") from None
        before.append(values)
    absent = [label for label in labels if label not in rows]
    if absent and every:
        raise TcnfastError(f"{path}: no ladder for label {absent[0]!r}")
    return {
        label: Ladder(label, *np.array(rows[label], np.float64).T)
        for label in labels
        if label in rows
    }
