"""Where to call each label by a rule, and what to expect of its calls there."""

from __future__ import annotations

import math

from ..base.errors import TcnfastError
from .grades import CALLS, Calls
from .thresholds import Cutoff, Threshold, held_cutoffs


def choose_cutoffs(
    thresholds: dict[str, Threshold] | None,
    labels: list[str],
    rule: str,
    calls: Calls | None = None,
    within: bool = False,
) -> dict[str, Cutoff | None]:
    """The cutoff of each label by a rule as :func:`parse_cutoff` spells it. None where validation
    never reached the precision, or the recall.

    With ``calls``, what a model knows of its calls, any precision and recall can be asked for, and
    what is expected is of calls; ``within``: of calls in open chromatin, for the labels for which
    that was measured. Without, ``best`` is the best F1 of windows, precisions are those that
    thresholds.tsv holds, and precision and recall are of windows; NaN at a given probability.

    Raises TcnfastError where the model holds no such cutoffs.
    """
    kind, equals, value = rule.partition("=")
    if calls is not None:
        return {label: _on_ladder(thresholds, calls, label, rule, within) for label in labels}
    if not equals and rule not in ("best", "f1"):
        return {label: Cutoff(float(rule), math.nan, math.nan) for label in labels}
    if thresholds is None:
        raise TcnfastError(
            f"cutoff {rule}: the model has no thresholds.tsv; give a probability, as 0.5"
        )
    rows = {label: thresholds[label] for label in labels}
    if not equals:
        return {label: row.best for label, row in rows.items()}
    held = held_cutoffs(thresholds)
    if rule not in held:
        words = f" (fdr={1 - float(value):g})" if kind == "precision" else ""
        raise TcnfastError(
            f"cutoff {rule}{words}: the model has no {CALLS}, and its thresholds.tsv holds only "
            f"{', '.join(held)}; give one of these, or a probability, as 0.5"
        )
    return {label: row.at_precision[float(value)] for label, row in rows.items()}


def _on_ladder(
    thresholds: dict[str, Threshold] | None, calls: Calls, label: str, rule: str, within: bool
) -> Cutoff | None:
    inside = calls.ladder(label, within)
    ladder = inside or calls.ladder(label)
    kind, equals, value = rule.partition("=")
    if rule == "best":
        cutoff = ladder.best()
    elif equals:
        find = ladder.at_precision if kind == "precision" else ladder.at_recall
        cutoff = find(float(value))
    else:
        cutoff = ladder.at(thresholds[label].threshold if rule == "f1" else float(rule))
    if inside is None and cutoff:  # measured elsewhere: it says where to call, not what to expect
        return Cutoff(cutoff.threshold, math.nan, math.nan)
    return cutoff
