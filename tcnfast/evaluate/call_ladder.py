"""What calls are worth: regions with known binding, called at a ladder of cutoffs as a scan calls
them, and compared with peaks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..base.logits import logit, probability
from ..data.dataset import Dataset
from ..genome.genome import Region
from ..genome.intervals import Intervals, touched
from ..genome.labels import BOUND
from ..model.grades import Calls, grade
from ..model.ladder import Ladder, rounded
from ..scan.peaks import PeakCaller, run_bases
from .bootstrap import LEVEL, MIN_BLOCKS, block_ids, draw_blocks

RUNGS = 32
FEWEST_STEPS = 10  # steps at or above the highest rung
MOST_STEPS = 0.05  # share of steps at or above the lowest
RESAMPLES = 200
# calls that a label is lent at the precision that all labels have at the cutoff. Of random halves
# of encode-v1's validation blocks, the precision of the best F1's cutoff that one half chooses and
# expects is .027 higher than the other finds with 0 lent calls, .020 with 20, .004 with 80
LENT = 20
MIN_LENGTH, MAX_GAP = 64, 64  # of calls: the defaults of a scan


@dataclass(frozen=True)
class Stretch:
    """A region that was scored: ``centres`` int64 (steps,) of consecutive steps, their ``logits``
    float32 (steps, labels), and ``within`` bool (steps,): which may be called."""

    region: Region
    centres: np.ndarray
    logits: np.ndarray
    within: np.ndarray


@dataclass(frozen=True)
class FoundCalls:
    """What calling at one cutoff a label found: arrays (labels,). ``precision`` is the share of
    ``calls`` that touch a peak, ``recall`` the share of ``peaks`` that a call touches; NaN where
    there are none, or the label was not called."""

    calls: np.ndarray
    precision: np.ndarray
    recall: np.ndarray
    peaks: np.ndarray


@dataclass(frozen=True)
class _Counts:
    """Of one label, float64: ``calls``, those that are ``right`` and those that touch a ``relaxed``
    peak, and the peaks ``found``, (rungs, blocks); ``peaks`` (blocks,)."""

    calls: np.ndarray
    right: np.ndarray
    relaxed: np.ndarray
    found: np.ndarray
    peaks: np.ndarray


def stretches_of(
    dataset: Dataset,
    regions: list[Region],
    logits: np.ndarray,
    receptive_field: int,
    stride: int,
    within: Intervals | None = None,
) -> list[Stretch]:
    """``logits`` of :func:`predict` (n, labels) by region. A step is not called if its
    label bin holds only N, or if its centre lies outside of ``within``."""
    found, first = [], 0
    for region in regions:
        centres = dataset.centres(region, receptive_field, stride)
        allowed = dataset.known_bins(region, centres)
        if within is not None:
            here = within.on(region.chrom)
            allowed &= touched(centres, centres + 1, here.start, here.end)
        part = logits[first : first + len(centres)]
        found.append(Stretch(region, centres, part, allowed))
        first += len(centres)
    return found


def graded(
    ladders: dict[str, Ladder],
    peaks: dict[str, int],
    ap: np.ndarray,
    motif_ap: np.ndarray | None = None,
) -> Calls:
    """Ladders with their grades. ``ap`` float64 (labels,) is that of a label's windows on the same
    regions, ``motif_ap`` that of its best single motif."""
    motif_ap = np.full(len(ap), np.nan) if motif_ap is None else motif_ap
    rows = zip(ladders, ap.tolist(), motif_ap.tolist(), strict=True)
    return Calls(ladders, {x: grade(ladders[x], peaks[x], *aps) for x, *aps in rows}, {})


def count_calls(
    dataset: Dataset, stretches: list[Stretch], stride: int, cutoffs: np.ndarray
) -> FoundCalls:
    """What calls at ``cutoffs`` are worth, logits (labels,), NaN for labels that are not called."""
    blocks = _Blocks(dataset, stretches, [])
    rows = []
    for index, cutoff in enumerate(cutoffs):
        rung = probability(np.array([np.inf if np.isnan(cutoff) else cutoff]))
        count = _count(dataset, stretches, blocks, index, rung, stride)
        rows.append([x.sum() for x in (count.calls, count.right, count.found, count.peaks)])
    calls, right, found, peaks = np.array(rows).T
    called = ~np.isnan(cutoffs)
    return FoundCalls(
        calls.astype(np.int64),
        np.where(called & (calls > 0), right / np.maximum(calls, 1), np.nan),
        np.where(called & (peaks > 0), found / np.maximum(peaks, 1), np.nan),
        peaks.astype(np.int64),
    )


def measure_ladders(
    dataset: Dataset,
    stretches: list[Stretch],
    stride: int,
    train: list[Region] = (),
    seed: int = 0,
) -> tuple[dict[str, Ladder], dict[str, int]]:
    """The ladder of every label of ``dataset`` on ``stretches``, and its number of peaks there.

    A call is right if it touches a peak of its label by a base. Calls that touch the blacklist are
    left out. Blocks of a megabase are weighed so that they hold as many peaks in the mean as a
    megabase of ``train``: precision falls where peaks are rare. Intervals are over blocks.
    """
    blocks = _Blocks(dataset, stretches, train)
    steps = sum(int(stretch.within.sum()) for stretch in stretches)
    thresholds, counts, shares = [], [], []
    for index in range(len(dataset.labels)):
        column = np.concatenate([x.logits[x.within, index] for x in stretches])
        rungs, share = _rungs(column)
        thresholds.append(rungs)
        shares.append(share)
        counts.append(_count(dataset, stretches, blocks, index, rungs, stride))
    usual = _usual_precision(thresholds, counts, blocks.weight)
    ladders = {}
    bases = blocks.weight @ blocks.steps * stride if steps else 1.0
    draws = draw_blocks(blocks.n, RESAMPLES if blocks.n >= MIN_BLOCKS else 0, seed).T
    for label, rungs, count, share in zip(dataset.labels, thresholds, counts, shares, strict=True):
        lent = np.interp(logit(rungs), *usual)
        columns = _climb(count, lent, blocks.weight, draws)
        per_mb = count.calls @ blocks.weight / bases * 1e6
        known = count.relaxed.sum() > count.right.sum()
        relaxed = np.fmax(columns["relaxed"] if known else np.nan, columns["precision"])
        ladders[label] = Ladder(
            label,
            rungs,
            columns["precision"],
            columns["low"],
            columns["high"],
            relaxed if known else np.full(len(rungs), np.nan),
            columns["recall"],
            columns["recall_low"],
            per_mb,
            count.calls.sum(1),
            share,
        )
    peaks = {x: int(y.peaks.sum()) for x, y in zip(dataset.labels, counts, strict=True)}
    return ladders, peaks


class _Blocks:
    """Megabases of the stretches: ``of`` finds that of positions, ``weight`` float64 (n,) has the
    mean 1, ``steps`` is how many of the steps that may be called each holds."""

    def __init__(self, dataset: Dataset, stretches: list[Stretch], train: list[Region]) -> None:
        ids = block_ids([x.region.chrom for x in stretches], [x.centres for x in stretches])
        ends = np.cumsum([len(x.centres) for x in stretches])
        self._ids = np.split(ids, ends[:-1])
        self._centres = [x.centres for x in stretches]
        self.n = int(ids.max(initial=-1)) + 1
        allowed = np.concatenate([x.within for x in stretches])
        self.steps = np.bincount(ids, allowed, self.n)
        peaks = np.zeros(self.n)
        for number, stretch in enumerate(stretches):
            middles = dataset.peak_middles(stretch.region)[1]
            peaks += np.bincount(self.of(number, middles), minlength=self.n)
        bases = sum(region.end - region.start for region in train)
        dense = peaks / np.maximum(np.bincount(ids, minlength=self.n), 1)
        wanted = dataset.count_peaks(list(train)).sum() / bases if bases else np.nan
        step = int(np.diff(self._centres[0][:2])[0]) if len(self._centres[0]) > 1 else 1
        self.weight = tilted(dense / step, wanted)

    def of(self, number: int, places: np.ndarray) -> np.ndarray:
        """Blocks of positions on stretch ``number``: those of the nearest steps before them."""
        at = np.searchsorted(self._centres[number], places, side="right") - 1
        return self._ids[number][np.clip(at, 0, len(self._ids[number]) - 1)]


def tilted(density: np.ndarray, wanted: float) -> np.ndarray:
    """Weights float64 (n,) with the mean 1 under which the mean of ``density`` is ``wanted``.

    They are exponential in the density, and stop short of it where they would count for fewer than
    half of the blocks (Kish's effective number); all 1 where nothing is wanted.
    """
    n = len(density)
    if n < 2 or not density.std() > 0 or not np.isfinite(wanted):
        return np.ones(n)
    z = (density - density.mean()) / density.std()
    target = (wanted - density.mean()) / density.std()

    def weights(slope: float) -> np.ndarray:
        w = np.exp(slope * z - (slope * z).max())
        return w * n / w.sum()

    far, near = np.sign(target) * 20.0, 0.0
    for _ in range(60):
        middle = (near + far) / 2
        w = weights(middle)
        fits = abs((w * z).mean()) <= abs(target) and 2 * w.sum() ** 2 / (w**2).sum() >= n
        near, far = (middle, far) if fits else (near, middle)
    return weights(near)


def _rungs(column: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rising probabilities, of the logits (steps,) of one label, and the share at or above each."""
    most = max(1, int(MOST_STEPS * len(column)))
    ranks = np.unique(np.geomspace(min(FEWEST_STEPS, most), most, RUNGS).astype(np.int64))
    top = -np.sort(-column)
    chosen = [rounded(x) for x in probability(top[ranks - 1]).tolist()] if len(top) else [0.5]
    rungs = np.unique(chosen)
    cutoffs = logit(rungs).astype(np.float32)
    above = len(top) - np.searchsorted(top[::-1], cutoffs)
    return rungs, np.maximum(above, 1) / max(len(top), 1)


def _count(
    dataset: Dataset,
    stretches: list[Stretch],
    blocks: _Blocks,
    index: int,
    rungs: np.ndarray,
    stride: int,
) -> _Counts:
    shape = len(rungs), blocks.n
    calls, right, relaxed, found = (np.zeros(shape) for _ in range(4))
    peaks = np.zeros(blocks.n)
    for number, stretch in enumerate(stretches):
        rung, start, end = _call(stretch, index, rungs, stride)
        peak, either = _peaks(dataset, stretch.region.chrom, index)
        masked = _masked(dataset, stretch.region.chrom)
        kept = ~touched(start, end, *masked)
        rung, start, end = rung[kept], start[kept], end[kept]
        block = blocks.of(number, (start + end) // 2)
        np.add.at(calls, (rung, block), 1)
        np.add.at(right, (rung, block), touched(start, end, *peak))
        np.add.at(relaxed, (rung, block), touched(start, end, *either))
        middle = (peak[0] + peak[1]) // 2
        first, last = (stretch.centres[0], stretch.centres[-1]) if len(stretch.centres) else (1, 0)
        here = (middle >= first) & (middle <= last) & ~touched(*peak, *masked)
        peak, block = (peak[0][here], peak[1][here]), blocks.of(number, middle[here])
        peaks += np.bincount(block, minlength=blocks.n)
        for k in range(len(rungs)):
            mine = rung == k
            hit = touched(*peak, start[mine], end[mine])
            found[k] += np.bincount(block[hit], minlength=blocks.n)
    return _Counts(calls, right, relaxed, found, peaks)


def _call(stretch: Stretch, index: int, rungs: np.ndarray, stride: int) -> tuple:
    """Calls of one label at every rung: rung, start and end, int64 (calls,)."""
    cutoffs = logit(rungs).astype(np.float32)
    column = stretch.logits[:, index]
    rows = np.flatnonzero((column >= cutoffs[0]) & stretch.within)
    size = 1 << 60  # the end of the contig is not in sight
    caller = PeakCaller(cutoffs, stride, size, MIN_LENGTH, MAX_GAP)
    if len(rows):
        reached = np.searchsorted(cutoffs, column[rows], side="right")
        within = np.arange(reached.sum()) - np.repeat(np.cumsum(reached) - reached, reached)
        at = np.repeat(rows * len(rungs), reached) + within
        caller.add_hits(int(stretch.centres[0]) // stride, at, np.repeat(column[rows], reached))
    runs = caller.finish()
    return runs["label"].astype(np.int64), *run_bases(runs, stride, size)


def _peaks(dataset: Dataset, chrom: str, index: int) -> tuple:
    """Starts and ends of the peaks of a label, and of these with its relaxed ones."""
    table = dataset.table(chrom)
    mine = table.label == index
    kinds = (mine & (table.kind == BOUND), mine)
    return tuple((table.start[x].astype(np.int64), table.end[x].astype(np.int64)) for x in kinds)


def _masked(dataset: Dataset, chrom: str) -> tuple[np.ndarray, np.ndarray]:
    if dataset.blacklist is None:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    here = dataset.blacklist.on(chrom)
    return here.start, here.end


def _usual_precision(
    thresholds: list[np.ndarray], counts: list[_Counts], weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Logits and the precision of all labels' calls at cutoffs there, each label counting for at
    most 50 calls a rung."""
    x = logit(np.concatenate(thresholds))
    calls = np.concatenate([count.calls @ weight for count in counts])
    right = np.concatenate([count.right @ weight for count in counts])
    order = np.argsort(x, kind="stable")
    share, heavy = (right / np.maximum(calls, 1e-9))[order], np.minimum(calls, 50)[order] + 1e-6
    return x[order], _isotonic(share, heavy)


def _climb(
    count: _Counts, lent: np.ndarray, weight: np.ndarray, draws: np.ndarray
) -> dict[str, np.ndarray]:
    """Precision, recall and their intervals at every rung (rungs,). ``draws`` (resamples, blocks):
    how often a replicate holds each block."""
    from scipy.stats import beta

    def curve(w: np.ndarray, right: np.ndarray) -> np.ndarray:
        calls = count.calls @ w + LENT
        return _isotonic((right @ w + LENT * lent) / calls, calls)

    def recalled(w: np.ndarray) -> np.ndarray:
        share = count.found @ w / np.maximum(count.peaks @ w, 1e-9)
        return np.minimum.accumulate(share)

    precision, recall = curve(weight, count.right), recalled(weight)
    tails = (1 - LEVEL) / 2, (1 + LEVEL) / 2
    # few calls in few blocks differ less than they would from draw to draw: the wider of two
    n, peaks = count.calls.sum(1) + LENT, count.peaks.sum()
    low, high = (beta.ppf(q, precision * n + 0.5, (1 - precision) * n + 0.5) for q in tails)
    recall_low = beta.ppf(tails[0], recall * peaks + 0.5, (1 - recall) * peaks + 0.5)
    if len(draws):
        drawn = np.quantile([curve(weight * d, count.right) for d in draws], tails, axis=0)
        low, high = np.minimum(low, drawn[0]), np.maximum(high, drawn[1])
        found = np.quantile([recalled(weight * d) for d in draws], tails[0], axis=0)
        recall_low = np.minimum(recall_low, found)
    return {
        "precision": precision,
        "low": np.maximum.accumulate(np.minimum(low, precision)),
        "high": np.maximum.accumulate(np.maximum(high, precision)),
        "relaxed": curve(weight, count.relaxed),
        "recall": recall,
        "recall_low": np.minimum.accumulate(np.minimum(recall_low, recall)),
    }


def _isotonic(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    from sklearn.isotonic import isotonic_regression

    return isotonic_regression(values, sample_weight=weights)
