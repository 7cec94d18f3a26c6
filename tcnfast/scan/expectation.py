"""What is expected of the calls of a scan: columns of the summary, percentiles, and words."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from ..base.tables import write_rows
from ..model.home_genome import Verdict
from ..model.thresholds import Cutoff
from . import ScanOptions

EXPECTED = ("expected_precision", "precision_low", "precision_high", "relaxed_precision")
# of the summary
COLUMNS = ("label", "chrom", "threshold", *EXPECTED, "calls", "bases", "grade", "percentile")
_PERCENTILES = ("label", "probability", "percentile")
AS_MEASURED = ("stride", "strand", "min_length", "max_gap")
BLANK = "nothing is known of its calls here, expected precision is left blank"


class Expectation:
    """Of a scan with ``model``, whose labels are called by ``rules``. Nothing is expected in a
    genome that the ``verdict`` calls foreign, nor where steps are called in another way than they
    were when precision was measured: another stride or strand, shorter or wider calls."""

    def __init__(
        self,
        model,
        rules: dict[str, Cutoff | None],
        options: ScanOptions,
        verdict: Verdict | None,
    ) -> None:
        self._model, self._rules, self.verdict = model, rules, verdict
        self.within = options.within is not None
        default = ScanOptions()
        changed = (x for x in AS_MEASURED if getattr(options, x) != getattr(default, x))
        self.changed = None if self._calls is None else next(changed, None)

    @property
    def _calls(self):
        return self._model.calls

    @property
    def foreign(self) -> bool:
        """Whether the genome is not like the model's."""
        return self.verdict is not None and self.verdict.foreign

    @property
    def known(self) -> bool:
        """Whether anything is known of calls."""
        return self._calls is not None and not self.foreign and self.changed is None

    def of(self, label: str) -> tuple[float, float, float, float]:
        """Precision of the label's calls, the ends of its interval, and the precision with relaxed
        peaks: NaN where nothing was measured."""
        rule = self._rules[label]
        if rule is None or not self.known:
            return (math.nan,) * 4
        return rule.precision, rule.low, rule.high, rule.relaxed

    @property
    def warnings(self) -> list[str]:
        """What a reader of the calls should be warned of."""
        return [f"{self.verdict.words}: {BLANK}"] if self.foreign else []

    @property
    def words(self) -> str:
        """What the expected precision is of; "" where none is known."""
        if not self.known:
            return ""
        home = self._model.home
        where = home.measured_on if home else "validation regions"
        inside = ", in open chromatin" if self.within else ""
        return f"calls that touch a peak of their label, measured on {where}{inside}"

    def grade(self, label: str) -> str | None:
        """The label's grade, None where the model has none."""
        return self._calls.grades[label].grade if self._calls else None

    def rows(self, label: str, counts: list[tuple[str, list[int]]]) -> list[tuple]:
        """Rows of the summary; ``counts``: calls and bases in "all" and by contig."""
        rule = self._rules[label]
        threshold = rule.threshold if rule else math.nan
        expected = [round(x, 4) for x in self.of(label)]
        percentile = math.nan
        if rule and self.known:
            percentile = float(self._calls.ladders[label].percentile(np.float64(threshold)))
        about = self.grade(label), round(percentile, 4)
        return [(label, chrom, threshold, *expected, *n, *about) for chrom, n in counts]

    def write_percentiles(self, path: Path, labels: list[str]) -> None:
        """Write what share of steps of the validation regions lie below probabilities of each
        label, in per cent; nothing where nothing is known."""
        if not self.known:
            return
        ladders = (self._calls.ladders[label] for label in labels)
        rows = (
            (x.label, f"{p:.6g}", f"{100 * (1 - share):.6f}")
            for x in ladders
            for p, share in zip(x.threshold.tolist(), x.share.tolist(), strict=True)
        )
        write_rows(path, _PERCENTILES, rows)
