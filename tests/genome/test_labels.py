from pathlib import Path

import bioframe
import numpy as np
import pandas as pd
import pytest

from tcnfast.base.errors import TcnfastError
from tcnfast.genome.intervals import Intervals, read_labelled, touched
from tcnfast.genome.labels import AMBIGUOUS, BOUND, UNBOUND, PeakTable, label_matrix

# bioframe, the oracle, still uses what pandas deprecates
pytestmark = pytest.mark.filterwarnings("ignore:The inplace keyword")

PEAKS = Path(__file__).resolve().parents[3] / "shared" / "data" / "peaks"


def intervals(rows):
    """Intervals of (chrom, start, end, label) rows."""
    chrom, start, end, label = zip(*rows, strict=True) if rows else ((), (), (), ())
    start, end = np.array(start, np.int64), np.array(end, np.int64)
    summit = np.full(start.size, -1, np.int64)
    return Intervals(np.array(chrom, object), start, end, summit, np.array(label, object))


def random_rows(rng, n, labels, span=5000, longest=600):
    start = rng.integers(0, span, n)
    end = start + rng.integers(1, longest, n)
    return [("c", int(s), int(e), str(rng.choice(labels))) for s, e in zip(start, end, strict=True)]


def naive(starts, ends, bound, relaxed, labels, min_overlap):
    out = np.full((len(starts), len(labels)), UNBOUND, np.uint8)
    for w, (ws, we) in enumerate(zip(starts, ends, strict=True)):
        for rows, kind in ((relaxed, AMBIGUOUS), (bound, BOUND)):
            for _, s, e, label in rows:
                overlap = min(e, we) - max(s, ws)
                if overlap <= 0:
                    continue
                j = labels.index(label)
                if kind == BOUND and overlap >= min(min_overlap, e - s):
                    out[w, j] = BOUND
                elif out[w, j] == UNBOUND:
                    out[w, j] = AMBIGUOUS
    return out


def with_bioframe(starts, ends, bound, relaxed, labels, min_overlap):
    bins = pd.DataFrame({"chrom": "c", "start": starts, "end": ends, "w": np.arange(len(starts))})
    rows = [(*row, BOUND) for row in bound] + [(*row, AMBIGUOUS) for row in relaxed]
    peaks = pd.DataFrame(rows, columns=["chrom", "start", "end", "label", "kind"])
    peaks["j"] = [labels.index(label) for label in peaks["label"]]
    pairs = bioframe.overlap(bins, peaks, how="inner", suffixes=("", "_"))
    overlap = np.minimum(pairs["end"], pairs["end_"]) - np.maximum(pairs["start"], pairs["start_"])
    enough = overlap >= np.minimum(min_overlap, pairs["end_"] - pairs["start_"])
    sure = enough & (pairs["kind_"] == BOUND)
    out = np.full((len(starts), len(labels)), UNBOUND, np.uint8)
    out[pairs["w"], pairs["j_"]] = AMBIGUOUS
    out[pairs["w"][sure], pairs["j_"][sure]] = BOUND
    return out


@pytest.mark.parametrize("oracle", [naive, with_bioframe])
@pytest.mark.parametrize("seed", range(12))
def test_label_matrix_agrees_with_an_oracle(oracle, seed):
    rng = np.random.default_rng(seed)
    labels = ["a", "b", "d"]
    bound = random_rows(rng, 40, labels)
    # duplicates, nested peaks and one that covers everything
    bound += bound[:5] + [("c", s + 1, e + 3, name) for _, s, e, name in bound[5:10]]
    relaxed = random_rows(rng, 60, labels, longest=900)
    if seed % 3 == 0:
        relaxed.append(("c", 0, 6000, "b"))
    starts = np.sort(rng.integers(0, 5500, 200))
    ends = starts + (200 if seed % 2 else rng.integers(1, 400, 200))
    table = PeakTable.build(intervals(bound), intervals(relaxed), labels, "c")
    got = label_matrix(np.column_stack([starts, ends]), table, min_overlap=(1, 50, 100)[seed % 3])
    want = oracle(starts, ends, bound, relaxed, labels, (1, 50, 100)[seed % 3])
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("seed", range(6))
def test_a_tile_in_the_middle_equals_its_part_of_the_whole(seed):
    rng = np.random.default_rng(seed)
    rows = random_rows(rng, 80, ["a", "b"]) + [("c", 10, 4000, "a")] * (seed % 2)
    table = PeakTable.build(intervals(rows), None, ["a", "b"], "c")
    starts = np.arange(0, 5600, 32)
    whole = label_matrix(np.column_stack([starts, starts + 200]), table)
    for i in range(0, starts.size, 7):
        part = starts[i : i + 16]
        np.testing.assert_array_equal(
            label_matrix(np.column_stack([part, part + 200]), table), whole[i : i + 16]
        )


@pytest.mark.parametrize(
    "peak, relaxed, want",
    [
        ((300, 400), False, BOUND),
        ((300, 401), False, BOUND),
        ((301, 401), False, AMBIGUOUS),
        ((350, 360), False, BOUND),
        ((395, 405), False, AMBIGUOUS),
        ((399, 800), False, AMBIGUOUS),
        ((400, 800), False, UNBOUND),
        ((100, 200), False, UNBOUND),
        ((100, 201), False, AMBIGUOUS),
        ((0, 9999), False, BOUND),
        ((200, 400), True, AMBIGUOUS),
    ],
)
def test_edges_of_the_rule(peak, relaxed, want):
    rows, none = intervals([("c", *peak, "a")]), intervals([])
    table = PeakTable.build(*((none, rows) if relaxed else (rows, None)), ["a"], "c")
    assert label_matrix([[200, 400]], table).tolist() == [[want]]


def test_bound_wins_whatever_the_order_of_peaks():
    bound, relaxed = intervals([("c", 50, 300, "a")]), intervals([("c", 0, 400, "a")])
    for pair in ((bound, relaxed), (bound, bound)):
        table = PeakTable.build(*pair, ["a"], "c")
        assert label_matrix([[100, 300]], table)[0, 0] == BOUND


def test_table_holds_one_contig_and_the_listed_labels():
    rows = intervals([("c", 5, 9, "a"), ("d", 1, 9, "a"), ("c", 2, 20, "z"), ("c", 3, 4, "b")])
    table = PeakTable.build(rows, None, ["b", "a", "none"], "c")
    assert table.start.tolist() == [3, 5] and table.label.tolist() == [0, 1]
    assert table.label.dtype == np.int32 and table.kind.dtype == np.uint8 and len(table) == 2
    assert label_matrix([[0, 9]], table).tolist() == [[1, 1, 0]]


def test_empty_sides():
    table = PeakTable.build(intervals([]), None, ["a", "b"], "c")
    assert label_matrix([[0, 9], [5, 9]], table).tolist() == [[0, 0], [0, 0]]
    assert label_matrix(np.empty((0, 2)), table).shape == (0, 2)


@pytest.mark.parametrize(
    "windows, word",
    [
        ([[5, 9], [4, 9]], "sort"),
        ([[5, 9], [6, 6]], "empty"),
        ([5, 9], "start, end"),
    ],
)
def test_bad_windows(windows, word):
    table = PeakTable.build(intervals([("c", 1, 2, "a")]), None, ["a"], "c")
    with pytest.raises(TcnfastError, match=word):
        label_matrix(windows, table)


def test_bad_arguments():
    rows = intervals([("c", 1, 2, "a")])
    with pytest.raises(TcnfastError, match="'a' is listed twice"):
        PeakTable.build(rows, None, ["a", "b", "a"], "c")
    with pytest.raises(TcnfastError, match="without labels"):
        PeakTable.build(Intervals(rows.chrom, rows.start, rows.end, rows.summit), None, ["a"], "c")
    with pytest.raises(TcnfastError, match="min_overlap"):
        label_matrix([[0, 1]], PeakTable.build(rows, None, ["a"], "c"), min_overlap=0)


@pytest.mark.parametrize("seed", range(5))
def test_touched_agrees_with_naive(seed):
    rng = np.random.default_rng(seed)
    s = rng.integers(0, 3000, 30)
    e = s + rng.integers(1, 300, 30)
    ws = rng.integers(0, 3400, 300)
    we = ws + rng.integers(1, 100, 300)
    want = [bool(((s < b) & (e > a)).any()) for a, b in zip(ws, we, strict=True)]
    assert touched(ws, we, s, e).tolist() == want
    assert not touched(ws, we, [], []).any()


@pytest.fixture(scope="module")
def chr20():
    path = PEAKS / "dream_conservative.hg19.chr20_X.bed.gz"
    if not path.exists():
        pytest.skip("the shared peaks are not here")
    return read_labelled(path)


def test_real_peaks_on_chr20(chr20):
    peaks = chr20.on("chr20")
    labels = sorted(set(peaks.label))
    table = PeakTable.build(chr20, None, labels, "chr20")
    assert len(table) == len(peaks) and "MAX@GM12878" in labels
    starts = np.arange(35_000_000, 35_200_000, 50)
    near = (peaks.start < 35_200_200) & (peaks.end > 35_000_000)
    rows = [
        ("c", int(s), int(e), name)
        for s, e, name in zip(peaks.start[near], peaks.end[near], peaks.label[near], strict=True)
    ]
    assert len(rows) > 50
    got = label_matrix(np.column_stack([starts, starts + 200]), table)
    np.testing.assert_array_equal(
        got, with_bioframe(starts, starts + 200, rows, rows[:0], labels, 100)
    )
