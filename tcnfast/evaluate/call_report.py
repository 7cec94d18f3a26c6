"""Calls in an evaluation: what the calls of a part are worth, beside what the model expects; and
the ladders and grades that ``--grade`` writes into a model folder."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import numpy as np

from ..base.options import chosen_labels
from ..base.tables import replace_file
from ..base.talk import count
from ..data.source import Source
from ..genome.intervals import Intervals
from ..model.grades import Calls, calls_words, renewed_card, write_calls
from ..model.home_genome import HomeGenome, write_home
from ..model.model_folder import CARD, ModelFolder
from ..model.thresholds import Cutoff
from . import EvaluateOptions
from .call_ladder import FoundCalls, count_calls, graded, measure_ladders, stretches_of

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CallReport:
    """Calls at the cutoff of each label: what was ``found``, and the precision that the model
    ``expected``, float64 (labels,), NaN where it says nothing."""

    found: FoundCalls
    expected: np.ndarray

    def columns(self) -> dict[str, np.ndarray]:
        """For a table of labels."""
        return {
            "calls": self.found.calls,
            "call_precision": self.found.precision,
            "call_precision_expected": self.expected,
            "call_recall": self.found.recall,
            "peaks": self.found.peaks,
        }

    def words(self) -> list[str]:
        """A line or two for a reader; none where nothing was called."""
        found, least = self.found, 20
        total = int(found.calls.sum())
        if not total:
            return []
        right = np.nansum(found.calls * found.precision) / total
        recall = np.nansum(found.peaks * found.recall) / max(found.peaks.sum(), 1)
        lines = [
            f"{count(total, 'call')}, of which {right:.3f} touch a peak of their label; they touch "
            f"{recall:.3f} of the peaks"
        ]
        judged = (found.calls >= least) & ~np.isnan(self.expected)
        if judged.any():
            wrong = np.abs(self.expected - found.precision)[judged].mean()
            lines.append(
                f"precision of calls: expected {self.expected[judged].mean():.3f}, found "
                f"{found.precision[judged].mean():.3f}, apart by {wrong:.3f} in the mean over "
                f"{count(int(judged.sum()), 'label')} with {least} calls"
            )
        return lines


def report_calls(
    source: Source,
    rules: list[Cutoff | None],
    known: bool,
    logits: np.ndarray,
    cutoffs: np.ndarray,
    reach: int,
    within: Intervals | None,
    options: EvaluateOptions,
) -> CallReport:
    """Calls of ``logits`` (n, labels) of :func:`predict` at ``cutoffs`` (labels,), logits, against
    what ``rules`` expect where that is ``known`` to be of calls."""
    stride, regions = options.stride, source.split[options.part]
    stretches = stretches_of(source.dataset, regions, logits, reach, stride, within)
    found = count_calls(source.dataset, stretches, stride, cutoffs)
    expected = [rule.precision if known and rule else np.nan for rule in rules]
    return CallReport(found, np.array(expected, np.float64))


def grade_model(
    folder: ModelFolder,
    source: Source,
    logits: np.ndarray,
    reach: int,
    within: Intervals | None,
    options: EvaluateOptions,
    ap: np.ndarray,
    motif_ap: np.ndarray | None,
) -> Calls:
    """Measure ladders and grades on the validation regions and write them into the model folder,
    and into its card, if it has one.

    With ``within``, ladders of calls in there too, of the labels of ``within_targets``.
    """
    regions, stride, dataset = source.split["valid"], options.stride, source.dataset
    train = source.split["train"]
    stretches = stretches_of(dataset, regions, logits, reach, stride)
    calls = graded(*measure_ladders(dataset, stretches, stride, train), ap, motif_ap)
    if within is not None:
        wanted = chosen_labels(dataset.labels, options.within_targets or ["all"], "within_targets")
        stretches = stretches_of(dataset, regions, logits, reach, stride, within)
        ladders, _ = measure_ladders(dataset, stretches, stride, train)
        calls = replace(calls, within={label: ladders[label] for label in wanted})
    genome, card = dataset.genome, folder.path / CARD
    home = HomeGenome.of(genome.sizes, genome.codes, train, regions)
    write_calls(folder.path, calls)
    write_home(folder.path, home)
    if card.exists():
        words = calls_words(calls, home.measured_on)
        replace_file(card, renewed_card(card.read_bytes(), words))
    counts = ", ".join(f"{n} {grade}" for grade, n in calls.counts().items())
    labels = count(len(calls.grades), "label")
    log.info("grades of %s written into %s: %s", labels, folder.path, counts)
    return calls
