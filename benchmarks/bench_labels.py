"""Label matrix of 1 M bins x 0.5 M peaks, against bioframe: `pytest benchmarks/bench_labels.py`."""

import bioframe
import numpy as np
import pandas as pd
import pytest
from record import record

from tcnfast.genome.labels import AMBIGUOUS, BOUND, PeakTable, label_matrix

# bioframe still uses what pandas deprecates
pytestmark = pytest.mark.filterwarnings("ignore:The inplace keyword")

BINS, PEAKS, LABELS, BIN = 1_000_000, 500_000, 8, 200


@pytest.fixture(scope="module")
def data():
    """Bins every 200 bp; peaks of 150 to 600 bp, two in five of them relaxed."""
    rng = np.random.default_rng(0)
    starts = BIN * np.arange(BINS)
    begin = np.sort(rng.integers(0, BIN * BINS, PEAKS))
    end = begin + rng.integers(150, 600, PEAKS)
    label = rng.integers(0, LABELS, PEAKS).astype(np.int32)
    kind = np.where(rng.random(PEAKS) < 0.6, BOUND, AMBIGUOUS).astype(np.uint8)
    table = PeakTable(begin, end, label, kind, np.maximum.accumulate(end), LABELS)
    bins = pd.DataFrame({"chrom": "c", "start": starts, "end": starts + BIN})
    peaks = pd.DataFrame({"chrom": "c", "start": begin, "end": end, "label": label, "kind": kind})
    return starts, table, bins, peaks


def with_bioframe(bins, peaks):
    pairs = bioframe.overlap(bins, peaks, how="inner", return_index=True, suffixes=("", "_"))
    start, end = pairs["start_"].to_numpy(np.int64), pairs["end_"].to_numpy(np.int64)
    overlap = np.minimum(pairs["end"].to_numpy(np.int64), end)
    overlap -= np.maximum(pairs["start"].to_numpy(np.int64), start)
    sure = (overlap >= np.minimum(100, end - start)) & (pairs["kind_"].to_numpy() == BOUND)
    row, column = pairs["index"].to_numpy(np.int64), pairs["label_"].to_numpy(np.int64)
    out = np.zeros((len(bins), LABELS), np.uint8)
    out[row, column] = AMBIGUOUS
    out[row[sure], column[sure]] = BOUND
    return out


medians = {}


@pytest.mark.parametrize("side", ["bioframe", "tcnfast"])
def test_label_matrix(benchmark, data, side):
    starts, table, bins, peaks = data
    if side == "bioframe":
        got = benchmark.pedantic(with_bioframe, (bins, peaks), rounds=5, warmup_rounds=1)
    else:
        args = np.column_stack([starts, starts + BIN]), table
        got = benchmark.pedantic(label_matrix, args, rounds=5, warmup_rounds=1)
        assert np.array_equal(got, with_bioframe(bins, peaks))
    medians[side] = benchmark.stats.stats.median
    if side == "tcnfast":
        assert medians["bioframe"] / medians["tcnfast"] > 5
        record("labels", "1 M bins x 0.5 M peaks, 8 labels", medians, "bioframe")


def test_tile_of_16_windows(benchmark, data):
    """What training calls thousands of times a second."""
    _, table, _, _ = data
    starts = 100_000_000 + 32 * np.arange(16)
    benchmark(label_matrix, np.column_stack([starts, starts + BIN]), table)
    seconds = benchmark.stats.stats.median
    assert seconds < 50e-6
    record("labels", "one tile of 16 windows", {"tcnfast": seconds}, "tcnfast")
