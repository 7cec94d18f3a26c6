"""Made-up ladders of calls."""

import numpy as np

from tcnfast.model.grades import Calls, Grade
from tcnfast.model.ladder import Ladder


def ladder(label="a", precision=(0.2, 0.4, 0.6, 0.8), recall=(0.8, 0.6, 0.4, 0.2), **change):
    """A ladder of even steps of the logit, whose intervals are .1 to either side."""
    rungs = len(precision)
    precision, recall = np.array(precision), np.array(recall)
    columns = dict(
        threshold=1 / (1 + np.exp(-np.arange(rungs, dtype=float))),
        precision=precision,
        precision_low=precision - 0.1,
        precision_high=precision + 0.1,
        relaxed_precision=precision + 0.05,
        recall=recall,
        recall_low=recall - 0.1,
        calls_per_mb=np.geomspace(100, 10, rungs),
        calls=np.full(rungs, 100.0),
        share=np.geomspace(0.05, 0.001, rungs),
    )
    return Ladder(label, **columns | change)


def calls_of(ladders, grades, within=()):
    """Calls of ladders; ``grades``: the letters, a label each."""
    rows = {x.label: Grade(x.label, g, 50, 0.4, 0.1) for x, g in zip(ladders, grades, strict=True)}
    return Calls({x.label: x for x in ladders}, rows, {x.label: x for x in within})
