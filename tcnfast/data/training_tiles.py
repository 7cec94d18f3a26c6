"""Tiles of the genome for training: over bound peaks, at random, and where a model was wrong; at
any base, on both strands. Drawn, cut out and labelled in numba, without the interpreter lock."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..base.errors import TcnfastError
from ..base.jit import jit
from ..genome.genome import Region
from ..genome.labels import AMBIGUOUS, BOUND, sweep
from .dataset import Dataset
from .tile_options import TileOptions
from .unlabelled import UnlabelledTiles

# share of a bound bin that a peak must cover where edges are masked: halfway between what the usual
# label rule asks for and all
WELL_COVERED = 0.75

ALL = slice(None)
MUTATED = 0.9  # share of the batches in which bases are drawn anew, where that is asked for


class Batch(NamedTuple):
    """``codes`` uint8 (tiles, bases); ``targets`` uint8 (tiles, steps, labels), UNBOUND, BOUND or
    AMBIGUOUS; ``cover`` float32, alike: the share of a bound bin that its best peak covers, which
    is 1 where a bin holds the whole peak and 0 where nothing is bound; or None."""

    codes: np.ndarray
    targets: np.ndarray
    cover: np.ndarray | None


class Places(NamedTuple):
    """Bases to lay tiles over, (places,): index of the region, the base, and the cumulative
    probability to be drawn."""

    region: np.ndarray
    middle: np.ndarray
    weight: np.ndarray

    @classmethod
    def of(cls, region: np.ndarray, middle: np.ndarray, weight: np.ndarray) -> Places:
        """Places drawn in proportion to ``weight``."""
        share = np.cumsum(weight / weight.sum()) if len(weight) else np.zeros(0)
        return cls(region.astype(np.int64), middle.astype(np.int64), share)


class TileSampler:
    """Tiles of the genome with a label at every step, for dense supervision, as ``options`` say.

    A tile gives ``tile_steps`` scores ``stride`` bases apart, so it is
    ``receptive_field + (tile_steps - 1) * stride`` bases long and lies, with its label bins, wholly
    inside one region, at any base. A share ``enriched`` of the tiles is laid over a bound peak at a
    random step; its label is drawn with probability proportional to (peaks of the label)^
    ``label_power``: 1 draws peaks evenly, 0 labels evenly. A share ``hard`` is laid likewise over
    the places of :meth:`set_hard`, once there are some. The other tiles fall evenly. Half of all
    tiles are reverse-complemented; unless ``strands`` is "one", the second half of a batch holds
    the other strands of the first.

    ``mutate``: share of bases that are drawn anew, evenly from ACGT, in the first of ``batches``
    batches; the mean over tiles, each of which has a share of its own from none to twice the mean.
    It falls linearly to none, so that training ends on true sequence. N stays N.

    ``reach``: bases more on either side of each tile, for networks that look further than
    ``receptive_field``; N outside its region. ``unlabelled``: where the last tiles of a batch come
    from, a share ``unlabelled_share``; all their targets are AMBIGUOUS.

    ``sampler.batch(index)`` depends on the seed, the index and the hard
    places alone; ``sampler.batch(index, rows)`` is those rows of it.
    """

    def __init__(
        self,
        dataset: Dataset,
        regions: list[Region],
        receptive_field: int,
        options: TileOptions,
        batches: int = 0,
        reach: int = 0,
        unlabelled: UnlabelledTiles | None = None,
    ) -> None:
        self.dataset, self.options, self.reach = dataset, options, reach
        self.unlabelled = unlabelled
        share = options.unlabelled_share if unlabelled else 0.0
        self._labelled = options.batch_size - round(share * options.batch_size)
        self.mutated = MUTATED * batches
        self.half = receptive_field // 2
        self.tile_length = receptive_field + (options.tile_steps - 1) * options.stride
        self.bin_reach = max(0, dataset.label_bin // 2 - self.half)
        needed = self.tile_length + 2 * self.bin_reach
        self.regions = [region for region in regions if region.end - region.start >= needed]
        if not self.regions:
            raise TcnfastError(f"no training region holds a tile of {self.tile_length} bases")
        self._codes = [dataset.genome.codes(*region) for region in self.regions]
        self._tables = {r.chrom: _label_arrays(dataset, r.chrom) for r in self.regions}
        room = np.array([r.end - r.start - needed + 1 for r in self.regions], np.float64)
        self._region_weight = np.cumsum(room / room.sum())
        first = np.array([r.start for r in self.regions], np.int64) + self.bin_reach
        self._bounds = first, first + room.astype(np.int64) - 1
        self._peaks = self._peak_places(options.label_power)
        if options.enriched > 0 and not len(self._peaks.middle):
            raise TcnfastError("no bound peak lies in the training regions")
        self.set_hard(None)

    def _peak_places(self, label_power: float) -> Places:
        peaks = [self.dataset.peak_middles(region) for region in self.regions]
        label = np.concatenate([labels for labels, _ in peaks])
        middle = np.concatenate([middles for _, middles in peaks])
        region = np.repeat(np.arange(len(peaks)), [len(m) for _, m in peaks])
        counts = np.bincount(label, minlength=len(self.dataset.labels)).astype(np.float64)
        weight = np.maximum(counts, 1) ** (label_power - 1)
        return Places.of(region, middle, weight[label])

    def set_hard(self, places: Places | None) -> None:
        """Lay the share ``hard`` of the tiles over ``places``, of regions as in ``self.regions``;
        until the next call. Without places those tiles fall evenly."""
        none = np.zeros(0, np.int64)
        self.hard_places = places
        self._hard = places or Places(none, none, np.zeros(0))

    def batch(self, index: int, rows: slice = ALL) -> Batch:
        """The batch of this number: ``batch_size`` tiles of ``tile_length`` bases, and ``reach`` on
        either side; of these the ``rows``."""
        options, tiles = self.options, self._labelled
        rng = np.random.default_rng([options.seed, index])
        shares = options.enriched, options.hard if len(self._hard.middle) else 0.0
        paired = options.strands != "one"
        places = (*self._peaks, *self._hard, self._region_weight, *self._bounds)
        span = options.tile_steps * options.stride
        distinct = tiles // 2 if paired else tiles
        region, start, flip = _draw(rng, distinct, *shares, *places, self.half, span)
        if paired:
            region, start = np.tile(region, 2), np.tile(start, 2)
            flip = np.concatenate([flip, ~flip])
        shape = options.batch_size, options.tile_steps, len(self.dataset.labels)
        codes = np.empty((shape[0], self.tile_length + 2 * self.reach), np.uint8)
        targets = np.zeros(shape, np.uint8)
        cover = np.zeros(shape if options.edge != "hard" else (0, 0, 0), np.float32)
        rule = self.dataset.label_bin, self.dataset.min_overlap, options.edge == "mask"
        centre = start + self.half
        mutated = options.mutate and index < self.mutated
        wanted = np.zeros(tiles, bool)
        wanted[rows] = True
        for area in np.unique(region):
            chrom, first, _ = self.regions[area]
            here, table = region == area, self._tables[chrom]
            # how many bases are drawn anew depends on the tiles before
            cut = here if mutated else here & wanted
            _cut(self._codes[area], first + self.reach, cut, start, flip, codes[:tiles])
            labels = targets[:tiles], cover[:tiles]
            _label(*table, here & wanted, centre, flip, options.stride, *rule, *labels)
        if tiles < len(codes):
            codes[tiles:] = self.unlabelled.draw(rng, len(codes) - tiles)
            targets[tiles:] = AMBIGUOUS
        if mutated:
            _mutate(rng, 2 * options.mutate * (1 - index / self.mutated), codes)
        if rows != ALL:
            codes, targets, cover = (np.ascontiguousarray(x[rows]) for x in (codes, targets, cover))
        return Batch(codes, targets, cover if options.edge == "soft" else None)


def _label_arrays(dataset: Dataset, chrom: str) -> tuple[np.ndarray, ...]:
    """What decides the labels of a contig: the columns of its peak table, then starts of the
    blacklist and the furthest end so far, with one entry in front that reaches nowhere."""
    table = dataset.table(chrom)
    start, reach = np.zeros(0, np.int64), np.full(1, np.iinfo(np.int64).min)
    if dataset.blacklist is not None:
        masked = dataset.blacklist.on(chrom)
        order = np.argsort(masked.start, kind="stable")
        start = masked.start[order].astype(np.int64)
        reach = np.maximum.accumulate(np.append(reach, masked.end[order]))
    return table.start, table.end, table.label, table.kind, table.reach, start, reach


@jit
def _pick(rng: np.random.Generator, weight: np.ndarray) -> int:
    """An index drawn by cumulative probability."""
    return min(np.searchsorted(weight, rng.random()), weight.size - 1)


@jit
def _draw(
    rng,
    tiles,
    enriched,
    hard,
    peak_region,
    peak_middle,
    peak_weight,
    hard_region,
    hard_middle,
    hard_weight,
    region_weight,
    first,
    last,
    half,
    span,
):
    """Region, first base and strand of each tile."""
    region, start = np.empty(tiles, np.int64), np.empty(tiles, np.int64)
    flip = np.empty(tiles, np.bool_)
    for tile in range(tiles):
        kind = rng.random()
        if kind < enriched:
            place = _pick(rng, peak_weight)
            region[tile] = peak_region[place]
            begin = peak_middle[place] - (half + rng.integers(0, span))
        elif kind < enriched + hard:
            place = _pick(rng, hard_weight)
            region[tile] = hard_region[place]
            begin = hard_middle[place] - (half + rng.integers(0, span))
        else:
            region[tile] = _pick(rng, region_weight)
            begin = rng.integers(first[region[tile]], last[region[tile]] + 1)
        start[tile] = min(max(begin, first[region[tile]]), last[region[tile]])
        flip[tile] = rng.random() < 0.5
    return region, start, flip


@jit
def _cut(area, area_start, chosen, start, flip, codes):
    """Bases of the chosen tiles, out of the codes of their region; N outside of it."""
    length = codes.shape[1]
    for tile in range(codes.shape[0]):
        if not chosen[tile]:
            continue
        offset = start[tile] - area_start
        for base in range(length):
            code = area[offset + base] if 0 <= offset + base < area.size else 4
            if flip[tile]:
                codes[tile, length - 1 - base] = 3 - code if code < 4 else code
            else:
                codes[tile, base] = code


@jit
def _mutate(rng, most, codes):
    """Draw bases of ``codes`` anew, of each tile a share between 0 and ``most``."""
    for tile in range(codes.shape[0]):
        share = most * rng.random()
        for base in range(codes.shape[1]):
            if rng.random() < share and codes[tile, base] < 4:
                codes[tile, base] = rng.integers(0, 4)


@jit
def _label(
    peak_start,
    peak_end,
    peak_label,
    peak_kind,
    reach,
    masked_start,
    masked_reach,
    chosen,
    centre,
    flip,
    stride,
    label_bin,
    min_overlap,
    mask_edges,
    targets,
    cover,
):
    """Labels of the chosen tiles, whose first steps are centred on ``centre``."""
    steps = targets.shape[1]
    begin, end = np.empty(steps, np.int64), np.empty(steps, np.int64)
    for tile in range(targets.shape[0]):
        if not chosen[tile]:
            continue
        for step in range(steps):
            begin[step] = centre[tile] + step * stride - label_bin // 2
            end[step] = begin[step] + label_bin
        out = targets[tile]
        sweep(begin, end, peak_start, peak_end, peak_label, peak_kind, reach, min_overlap, out)
        if cover.size:
            columns = peak_start, peak_end, peak_label, peak_kind, reach
            _cover(begin, end, *columns, out, cover[tile])
        for step in range(steps):
            before = np.searchsorted(masked_start, end[step], side="left")
            if masked_reach[before] > begin[step]:
                out[step] = AMBIGUOUS
            elif mask_edges:
                for label in range(out.shape[1]):
                    if out[step, label] == BOUND and cover[tile, step, label] < WELL_COVERED:
                        out[step, label] = AMBIGUOUS
        if flip[tile]:
            out[:] = out[::-1].copy()
            if cover.size:
                cover[tile] = cover[tile, ::-1].copy()


@jit
def _cover(begin, end, peak_start, peak_end, peak_label, peak_kind, reach, targets, cover):
    """Share of each bound bin that its best peak covers; of a peak shorter than the bin, the share
    of the peak."""
    for peak in range(np.searchsorted(reach, begin[0], side="right"), peak_start.size):
        if peak_start[peak] >= end[-1]:
            return
        if peak_kind[peak] != BOUND:
            continue
        label, length = peak_label[peak], peak_end[peak] - peak_start[peak]
        for step in range(begin.size):
            overlap = min(end[step], peak_end[peak]) - max(begin[step], peak_start[peak])
            share = overlap / min(length, end[step] - begin[step])
            if targets[step, label] == BOUND and share > cover[step, label]:
                cover[step, label] = share
