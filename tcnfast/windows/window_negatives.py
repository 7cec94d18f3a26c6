"""Windows that no label binds: matched in GC, beside sites, and bound only in other cell lines."""

from __future__ import annotations

import numpy as np

from ..base.jit import jit
from ..genome.intervals import Intervals
from .window_ground import Ground, Spans, by_contig, join
from .window_set import PARTS

GC_BINS = 50  # of 2 % each
FLANK_REACH = 4  # windows: how far from a site the middle of a flank may lie
_TRIES = 16
_CANDIDATES = 2_000_000  # places looked at for GC in a part: beyond, a random choice of them
_SHIFTS = 5  # places per window length


def dealt(n: int, wanted: int, rng: np.random.Generator) -> np.ndarray:
    """``wanted`` of range(n), n > 0: each as often as any other, but for the remainder."""
    turns = [rng.permutation(n) for _ in range(-(-wanted // n))]
    return np.concatenate([np.empty(0, np.int64), *turns])[:wanted]


def flanks(
    ground: Ground, sites: Spans, wanted: int, every: dict[str, Intervals], rng: np.random.Generator
) -> Spans:
    """Up to ``wanted`` windows beside ``sites`` (starts of windows, of one part), in that part.

    Their middles lie 1 to FLANK_REACH windows from a site, on either side; they touch no peak of
    ``every`` and not each other. A site beside which nothing is free has none; the other sites give
    its share.
    """
    length, n = ground.length, len(sites)
    if not n or not wanted:
        return join([])
    part = ground.part_of(sites)
    owners = np.repeat(rng.permutation(n), -(-wanted // n))
    kept = join([])
    for _ in range(_TRIES):
        shift = rng.integers(length, FLANK_REACH * length + 1, owners.size)
        shift *= rng.choice(np.array([-1, 1]), owners.size)
        tried = Spans(sites.chrom[owners], sites.start[owners] + shift)
        good = ground.part_of(tried) == part[owners]
        good[good] = ~ground.touch(tried.take(good), every)
        good[good] = ground.clean(tried.take(good))
        good[good] = _apart(tried.take(good), kept, length)
        kept = join([kept, tried.take(good)])
        owners = owners[~good]
    return kept.take(np.sort(rng.permutation(len(kept))[:wanted]))


def _apart(spans: Spans, others: Spans, length: int) -> np.ndarray:
    """Which spans to keep, bool (n,), so that none overlaps another one kept or any of ``others``.
    Of spans that overlap the first is kept."""
    keep = np.ones(len(spans), bool)
    for chrom in np.unique(spans.chrom):
        here = np.flatnonzero(spans.chrom == chrom)
        taken = np.sort(others.start[others.chrom == chrom])
        at = np.searchsorted(taken, spans.start[here])
        before = np.append(-(1 << 62), taken)[at]
        after = np.append(taken, 1 << 62)[at]
        free = (spans.start[here] - before >= length) & (after - spans.start[here] >= length)
        keep[here] = free
        order = here[free][np.argsort(spans.start[here[free]], kind="stable")]
        last = -(1 << 62)
        for i in order.tolist():
            keep[i] = spans.start[i] - last >= length
            last = spans.start[i] if keep[i] else last
    return keep


def elsewhere(
    ground: Ground,
    middles: Spans,
    part: int,
    wanted: int,
    own: dict[str, Intervals],
    rng: np.random.Generator,
) -> Spans:
    """Up to ``wanted`` windows around ``middles`` of sites that are not the recipe's, in a part.

    They touch no peak of ``own``, bound or relaxed, of the labels of the recipe.
    """
    spans = Spans(middles.chrom, middles.start - ground.length // 2)
    spans = spans.take(ground.part_of(spans) == part)
    spans = spans.take(~ground.touch(spans, own))
    spans = spans.take(ground.clean(spans))
    return spans.take(np.sort(rng.permutation(len(spans))[:wanted]))


def gc_matched(
    ground: Ground,
    part: int,
    gc: np.ndarray,
    wanted: int,
    every: dict[str, Intervals],
    avoid: Spans,
    rng: np.random.Generator,
) -> tuple[Spans, int]:
    """Up to ``wanted`` windows of a part whose GC shares are spread as ``gc``, float64 (sites,).

    They touch no peak of ``every``, no window of ``avoid`` and not each other. Where a bin of GC
    has too few, the nearest ones give the rest: also returned is how many came from there.
    """
    if not gc.size or not wanted:
        return join([]), 0
    places, order = _places(ground, part, every, avoid, rng)
    bins = _bin(ground.content(places)[0])
    missing = np.bincount(_bin(gc[dealt(gc.size, wanted, rng)]), minlength=GC_BINS)
    by_bin = [order[bins[order] == i] for i in range(GC_BINS)]
    chosen = np.zeros(len(places), bool)
    chrom, start = places.chrom, places.start
    off = 0
    for distance in range(GC_BINS):
        for i in np.flatnonzero(missing):
            for other in {i - distance, i + distance}:
                if 0 <= other < GC_BINS and missing[i]:
                    got = _pick(by_bin[other], chrom, start, ground.length, missing[i], chosen)
                    missing[i] -= got
                    off += got if distance else 0
        if not missing.any():
            break
    return places.take(chosen), off


def _bin(gc: np.ndarray) -> np.ndarray:
    return np.minimum((gc * GC_BINS).astype(np.int64), GC_BINS - 1)


def _places(
    ground: Ground, part: int, every: dict[str, Intervals], avoid: Spans, rng: np.random.Generator
) -> tuple[Spans, np.ndarray]:
    """Clean windows of a part away from peaks and ``avoid``, sorted, and a random order of them."""
    step = max(1, ground.length // _SHIFTS)
    regions = [r for r in ground.split[PARTS[part]] if r.end - r.start >= ground.length]
    found = []
    for region in regions:
        first = region.start + int(rng.integers(step))
        starts = np.arange(first, region.end - ground.length + 1, step, dtype=np.int64)
        chrom = np.full(starts.size, ground.chroms.index(region.chrom), np.int16)
        found.append(Spans(chrom, starts))
    spans = join(found)
    if len(spans) > _CANDIDATES:
        spans = spans.take(rng.permutation(len(spans))[:_CANDIDATES])
    spans = spans.take(np.lexsort((spans.start, spans.chrom)))
    taken = Intervals(
        np.array(ground.chroms, object)[avoid.chrom],
        avoid.start,
        avoid.start + ground.length,
        np.full(len(avoid), -1),
    )
    for intervals in (every, by_contig(taken, ground.chroms)):
        spans = spans.take(~ground.touch(spans, intervals))
    spans = spans.take(ground.clean(spans))
    return spans, rng.permutation(len(spans))


@jit
def _pick(order, chrom, start, length, wanted, chosen):
    """Choose up to ``wanted`` places in this order that overlap no chosen one; returns how many."""
    got = 0
    for place in order:
        if got == wanted:
            break
        free = not chosen[place]
        for way in (-1, 1):
            i = place + way
            while free and 0 <= i < start.size and chrom[i] == chrom[place]:
                if abs(start[i] - start[place]) >= length:
                    break
                free = not chosen[i]
                i += way
        if free:
            chosen[place] = True
            got += 1
    return got
