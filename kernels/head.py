"""The head: features to logits, one matrix product in a fixed order; and what a scan keeps of them,
found where they are computed, so that no logit is stored.

A logit of two stacks is the mean of theirs, or the larger one. A hit is a logit that reaches its
label's cutoff; it takes two kernels, ``count_hits`` and, once sums of the counts say where the hits
of each row go, ``write_hits``. Both make the bits of ``head``, so that a row has as many hits in
one as in the other.
"""

import triton
import triton.language as tl

from .halved import load_pairs
from .tiles import load_rows


@triton.jit
def load_features(x, at, length, inside, C: tl.constexpr, PAIRS: tl.constexpr):
    """Tile (M, C) of ``x`` (length, C); PAIRS: the sums of pairs, of ``x`` (length, 2 C)."""
    if PAIRS:
        u, v = load_pairs(x, at, length, inside, C)
        rows = (u.to(tl.float32) + v.to(tl.float32)).to(u.dtype)
    else:
        rows = load_rows(x, at, length, inside, C)
    return rows


@triton.jit
def load_head(w, b, first, padded, LABELS: tl.constexpr, C: tl.constexpr):
    """From label ``first`` on a tile (C, LABELS) of ``w`` (C, padded), and of ``b`` (padded,)."""
    label = first + tl.arange(0, LABELS)
    return tl.load(w + tl.arange(0, C)[:, None] * padded + label[None, :]), tl.load(b + label)


@triton.jit
def load_heads(w, b, first, padded, TILES: tl.constexpr, LABELS: tl.constexpr, C: tl.constexpr):
    """TILES of them."""
    weights, biases = (), ()
    for i in tl.static_range(TILES):
        weight, bias = load_head(w, b, first + i * LABELS, padded, LABELS, C)
        weights, biases = weights + (weight,), biases + (bias,)
    return weights, biases


@triton.jit
def logits_of(rows, weights, bias, INPUTS: tl.constexpr):
    return tl.dot(rows, weights, input_precision=INPUTS) + bias[None, :]


@triton.jit
def together(logits, others, MAXIMUM: tl.constexpr):
    """The mean of two stacks' logits, or the larger."""
    if MAXIMUM:
        both = tl.maximum(logits, others, propagate_nan=tl.PropagateNan.ALL)
    else:
        both = (logits + others) * 0.5
    return both


@triton.jit
def head(
    x0,
    x1,
    y,
    w0,
    w1,
    b0,
    b1,
    unknown,
    length0,
    length1,
    outputs,
    labels,
    padded,
    sample,
    C: tl.constexpr,
    LABELS: tl.constexpr,
    M: tl.constexpr,
    INPUTS: tl.constexpr,
    PAIRS: tl.constexpr,
    STACKS: tl.constexpr,
    MAXIMUM: tl.constexpr,
    UNKNOWN: tl.constexpr,
):
    """``x0`` (N, length0, C), every ``sample``-th position -> ``y`` (N, outputs, labels) float32;
    ``w0`` (C, padded) and ``b0`` (padded,) float32, ``padded`` being a multiple of LABELS. Of a
    second stack, where STACKS is 2, ``x1`` to ``b1``. PAIRS: the sums of pairs are read, of ``x0``
    (N, length0, 2 C). UNKNOWN: NaN where ``unknown`` uint8 (N, outputs) is not 0."""
    WIDTH: tl.constexpr = 2 * C if PAIRS else C
    tiles = tl.cdiv(outputs, M)
    n = (tl.program_id(0) // tiles).to(tl.int64)
    at = tl.program_id(0) % tiles * M + tl.arange(0, M).to(tl.int64)
    inside = at < outputs
    first = tl.program_id(1) * LABELS
    rows = load_features(x0 + n * length0 * WIDTH, at * sample, length0, inside, C, PAIRS)
    weights, bias = load_head(w0, b0, first, padded, LABELS, C)
    logits = logits_of(rows, weights, bias, INPUTS)
    if STACKS == 2:
        rows = load_features(x1 + n * length1 * WIDTH, at * sample, length1, inside, C, PAIRS)
        weights, bias = load_head(w1, b1, first, padded, LABELS, C)
        logits = together(logits, logits_of(rows, weights, bias, INPUTS), MAXIMUM)
    if UNKNOWN:
        known = tl.load(unknown + n * outputs + at, mask=inside, other=1) == 0
        logits = tl.where(known[:, None], logits, float("nan"))
    label = first + tl.arange(0, LABELS)
    pointers = y + (n * outputs + at[:, None]) * labels + label[None, :]
    tl.store(pointers, logits, mask=inside[:, None] & (label < labels)[None, :])


@triton.jit
def count_hits(
    x0,
    x1,
    w0,
    w1,
    b0,
    b1,
    cutoffs,
    unknown,
    counts,
    totals,
    length0,
    length1,
    outputs,
    sample,
    groups,
    walked,
    C: tl.constexpr,
    LABELS: tl.constexpr,
    TILES: tl.constexpr,
    M: tl.constexpr,
    INPUTS: tl.constexpr,
    PAIRS: tl.constexpr,
    STACKS: tl.constexpr,
    HEADS: tl.constexpr,
    MAXIMUM: tl.constexpr,
):
    """How many logits reach their cutoffs: ``counts`` uint8 (N, outputs, groups * TILES), of each
    row and LABELS labels; ``totals`` int32 (N, tiles, groups), of M rows and a group.

    A group is TILES * LABELS labels, and ``w0``, ``b0`` are padded to whole groups. ``x0``, ``x1``
    (N, length0, C), (N, length1, C): features of STACKS stacks, as ``head`` takes them, that have
    HEADS heads: both strands of a network have one. ``cutoffs`` (labels, padded) float32, NaN for
    none; ``unknown`` uint8 (N, outputs): rows without a score. A program walks ``walked`` tiles.
    """
    WIDTH: tl.constexpr = 2 * C if PAIRS else C
    group = tl.program_id(0) % groups
    tiles = tl.cdiv(outputs, M)
    parts = tl.cdiv(tiles, walked)
    part = tl.program_id(0) // groups
    n, begin = (part // parts).to(tl.int64), part % parts * walked
    x0 += n * length0 * WIDTH
    first, padded = group * (TILES * LABELS), groups * (TILES * LABELS)
    weights0, biases0 = load_heads(w0, b0, first, padded, TILES, LABELS, C)
    weights1, biases1 = weights0, biases0
    if STACKS == 2:
        x1 += n * length1 * WIDTH
    if HEADS == 2:
        weights1, biases1 = load_heads(w1, b1, first, padded, TILES, LABELS, C)
    limits = ()
    for i in tl.static_range(TILES):
        limits = limits + (tl.load(cutoffs + first + i * LABELS + tl.arange(0, LABELS)),)
    unknown += n * outputs
    at = begin * M + tl.arange(0, M).to(tl.int64)
    ahead = tl.load(unknown + at, mask=at < outputs, other=1)  # a tile before it is needed
    for tile in range(begin, min(begin + walked, tiles)):
        inside = at < outputs
        known = ahead == 0
        ahead = tl.load(unknown + at + M, mask=at + M < outputs, other=1)
        rows0 = load_features(x0, at * sample, length0, inside, C, PAIRS)
        if STACKS == 2:
            rows1 = load_features(x1, at * sample, length1, inside, C, PAIRS)
        total = tl.zeros((M,), tl.int32)
        for i in tl.static_range(TILES):
            logits = logits_of(rows0, weights0[i], biases0[i], INPUTS)
            if STACKS == 2:
                others = logits_of(rows1, weights1[i], biases1[i], INPUTS)
                logits = together(logits, others, MAXIMUM)
            hit = known[:, None] & (logits >= limits[i][None, :])
            found = tl.sum(hit.to(tl.int32), 1)
            total += found
            pointers = counts + ((n * outputs + at) * groups + group) * TILES + i
            tl.store(pointers, found.to(tl.uint8), mask=inside)
        tl.store(totals + (n * tiles + tile) * groups + group, tl.sum(total, 0))
        at += M


@triton.jit
def write_hits(
    x0,
    x1,
    w0,
    w1,
    b0,
    b1,
    cutoffs,
    unknown,
    counts,
    active,
    begins,
    places,
    values,
    length0,
    length1,
    outputs,
    sample,
    parts,
    labels,
    first_place,
    C: tl.constexpr,
    LABELS: tl.constexpr,
    PARTS: tl.constexpr,
    M: tl.constexpr,
    INPUTS: tl.constexpr,
    PAIRS: tl.constexpr,
    STACKS: tl.constexpr,
    MAXIMUM: tl.constexpr,
):
    """The hits of one sequence, in order: ``places`` int64 (hits,) in flat (outputs, labels), whose
    first is ``first_place``, and ``values`` float32 (hits,).

    A program takes one of the ``parts`` of LABELS labels, PARTS at most, of an ``active`` tile of M
    rows, int64 (tiles that have a hit,); ``begins`` int64 (tiles,): how many hits are before.
    ``counts`` uint8 (outputs, parts) of ``count_hits``, and the rest as there, without N.
    """
    part = tl.program_id(0) % parts
    tile = tl.load(active + tl.program_id(0) // parts)
    at = tile * M + tl.arange(0, M)
    inside = at < outputs
    each = tl.arange(0, PARTS)
    there = inside[:, None] & (each < parts)[None, :]
    found = tl.load(counts + at[:, None] * parts + each[None, :], mask=there, other=0)
    found = found.to(tl.int32)
    mine = tl.where((each == part)[None, :], found, 0)
    if tl.sum(tl.sum(mine, 1), 0) > 0:
        total = tl.sum(found, 1)
        earlier = tl.sum(tl.where((each < part)[None, :], found, 0), 1)
        row_begin = tl.cumsum(total, 0) - total + earlier  # behind what is before the tile
        begin = tl.load(begins + tile)
        known = tl.load(unknown + at, mask=inside, other=1) == 0
        first, padded = part * LABELS, parts * LABELS
        rows = load_features(x0, at * sample, length0, inside, C, PAIRS)
        weights, bias = load_head(w0, b0, first, padded, LABELS, C)
        logits = logits_of(rows, weights, bias, INPUTS)
        if STACKS == 2:
            rows = load_features(x1, at * sample, length1, inside, C, PAIRS)
            weights, bias = load_head(w1, b1, first, padded, LABELS, C)
            logits = together(logits, logits_of(rows, weights, bias, INPUTS), MAXIMUM)
        label = first + tl.arange(0, LABELS)
        hit = known[:, None] & (logits >= tl.load(cutoffs + label)[None, :])
        ones = hit.to(tl.int32)
        to = row_begin[:, None] + tl.cumsum(ones, 1) - ones
        tl.store(places + begin + to, (first_place + at * labels)[:, None] + label, mask=hit)
        tl.store(values + begin + to, logits, mask=hit)
