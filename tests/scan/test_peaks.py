"""Calls against a loop over steps, with the words of MACS3 bdgpeakcall."""

import pickle

import numpy as np
import pytest

from tcnfast.scan import peaks
from tcnfast.scan.peaks import RUN, PeakCaller, join_runs, run_bases

NAN = np.nan


def oracle(logits, cutoffs, stride, size, min_length, max_gap, allowed=None):
    """Calls as (label, first base, last base + 1, best logit, best step), label by label."""
    calls = []
    for label, cutoff in enumerate(cutoffs):
        regions = []
        for step, value in enumerate(logits[:, label]):
            if not value >= cutoff or (allowed is not None and not allowed[step]):
                continue
            start, end = step * stride, min((step + 1) * stride, size)
            if regions and start - regions[-1][1] <= max_gap:
                region = regions[-1]
                region[1] = end
                if value > region[2]:
                    region[2:] = value, step
            else:
                regions.append([start, end, value, step])
        calls += [(label, *region) for region in regions if region[1] - region[0] >= min_length]
    return calls


def called(caller):
    return rows(caller.finish(), caller.stride, caller.size)


def rows(runs, stride, size):
    start, end = run_bases(runs, stride, size)
    columns = (runs["label"], start, end, runs["best"], runs["best_at"])
    return list(zip(*(column.tolist() for column in columns), strict=True))


def call(logits, cutoffs, stride=32, size=None, min_length=1, max_gap=0, cuts=(), allowed=None):
    """Feed ``logits`` cut at ``cuts``."""
    logits, cutoffs = np.float32(logits), np.float32(cutoffs)
    size = len(logits) * stride if size is None else size
    caller = PeakCaller(cutoffs, stride, size, min_length, max_gap)
    edges = [0, *cuts, len(logits)]
    for first, last in zip(edges, edges[1:], strict=False):
        mask = None if allowed is None else allowed[first:last]
        caller.add(first, logits[first:last], mask)
    return called(caller)


def one(values, **options):
    """(start, end, best, best step) of the calls of one label with cutoff 1."""
    options = {"stride": 10, **options}
    return [row[1:] for row in call(np.array(values)[:, None], [1.0], **options)]


def random_case(seed):
    rng = np.random.default_rng(seed)
    steps, labels = int(rng.integers(1, 400)), int(rng.integers(1, 5))
    stride = int(2 ** rng.integers(0, 7))
    # few levels, so that maxima tie and values stand on the cutoff
    logits = rng.integers(-3, 4, (steps, labels)).astype(np.float32)
    logits = np.maximum(logits, np.roll(logits, 1, 0)) if seed % 2 else logits
    logits[rng.random(logits.shape) < 0.05] = NAN
    logits[rng.random(steps) < 0.05] = NAN
    return dict(
        logits=logits,
        cutoffs=np.float32(rng.integers(0, 4, labels)),
        stride=stride,
        size=(steps - 1) * stride + int(rng.integers(1, stride + 1)),
        min_length=int(rng.integers(1, 6 * stride)),
        max_gap=int(rng.integers(0, 5 * stride)),
        allowed=rng.random(steps) < 0.8 if seed % 3 else None,
    ), rng


@pytest.mark.parametrize("seed", range(40))
def test_calls_equal_the_loop_over_steps_however_they_are_fed(seed):
    case, rng = random_case(seed)
    want = oracle(**case)
    steps = len(case["logits"])
    assert call(**case) == want
    assert call(**case, cuts=range(1, steps)) == want
    for _ in range(3):
        cuts = np.unique(rng.integers(0, steps + 1, int(rng.integers(1, 20)))).tolist()
        assert call(**case, cuts=cuts) == want


@pytest.mark.parametrize("seed", range(20))
def test_segments_that_are_not_fed_have_no_calls(seed):
    case, rng = random_case(seed)
    logits = case["logits"]
    case["allowed"] = None
    edges = np.unique(np.r_[0, rng.integers(0, len(logits) + 1, 12), len(logits)])
    caller = PeakCaller(*(case[x] for x in ("cutoffs", "stride", "size", "min_length", "max_gap")))
    left_out = np.full_like(logits, NAN)
    for first, last in zip(edges, edges[1:], strict=False):
        if rng.random() < 0.6:
            caller.add(int(first), logits[first:last], None)
            left_out[first:last] = logits[first:last]
    assert called(caller) == oracle(**{**case, "logits": left_out})


def test_the_cutoff_itself_is_called():
    below = np.nextafter(np.float32(1), np.float32(0))
    assert one([0, 1, below, 2, 0]) == [(10, 20, 1, 1), (30, 40, 2, 3)]


@pytest.mark.parametrize("gap, calls", [(19, 2), (20, 1), (21, 1)])
def test_stretches_at_most_max_gap_apart_are_one_call(gap, calls):
    assert len(one([1, 0, 0, 1], max_gap=gap)) == calls


def test_the_gap_is_measured_between_neighbours_and_chains():
    assert one([1, 0, 1, 0, 1, 0, 0, 1], max_gap=10) == [(0, 50, 1, 0), (70, 80, 1, 7)]


@pytest.mark.parametrize("length, calls", [(29, 1), (30, 1), (31, 0)])
def test_joined_calls_are_measured_against_min_length_with_their_gaps(length, calls):
    assert len(one([0, 1, 0, 1, 0], max_gap=10, min_length=length)) == calls


def test_short_calls_are_dropped_after_joining_not_before():
    assert one([1, 0, 1, 0, 1], max_gap=10, min_length=50) == [(0, 50, 1, 0)]


def test_the_first_of_equal_maxima_is_the_summit():
    values = [1, 3, 2, 3, 0, 3, 0]
    for cuts in ((), (2,), (3,), (4, 5)):
        assert one(values, max_gap=10, cuts=cuts) == [(0, 60, 3, 1)]


def test_the_last_step_ends_with_the_contig():
    assert one([0, 1, 1], size=23) == [(10, 23, 1, 1)]
    assert one([0, 0, 1], size=23, min_length=3) == [(20, 23, 1, 2)]
    assert one([0, 0, 1], size=23, min_length=4) == []


def test_no_score_is_no_call_and_counts_as_a_gap():
    assert one([1, NAN, 1]) == [(0, 10, 1, 0), (20, 30, 1, 2)]
    assert one([1, NAN, 1], max_gap=10) == [(0, 30, 1, 0)]
    assert one([NAN, NAN]) == []


def test_a_masked_step_is_no_call_nor_a_summit():
    allowed = np.array([True, False, True])
    assert one([1, 9, 2], max_gap=10, allowed=allowed) == [(0, 30, 2, 2)]
    assert one([1, 9, 2], allowed=~allowed) == [(10, 20, 9, 1)]


def test_a_call_may_span_many_segments():
    assert one([2] * 9 + [5] + [2] * 90, cuts=range(1, 100)) == [(0, 1000, 5, 9)]


def test_infinite_scores_and_cutoffs():
    assert one([0, np.inf, -np.inf, 1]) == [(10, 20, np.inf, 1), (30, 40, 1, 3)]
    assert call([[5.0], [9.0]], [np.inf]) == []


def test_labels_do_not_touch_each_other():
    calls = call([[1, 0], [0, 1], [1, 0]], [1, 1], stride=1)
    assert calls == [(0, 0, 1, 1, 0), (0, 2, 3, 1, 2), (1, 1, 2, 1, 1)]


def test_a_contig_without_steps_or_calls_has_no_calls():
    caller = PeakCaller(np.zeros(2), 32, 0, 64, 64)
    assert called(caller) == [] and len(caller.finish()) == 0
    assert call(np.full((50, 3), -1), [0, 0, 0]) == []


def test_only_calls_are_kept():
    """Memory is the calls, and one open stretch a label at most."""
    caller = PeakCaller(np.zeros(3), 1, 10**6, 10, 2)
    rng, empty = np.random.default_rng(0), len(pickle.dumps(caller))
    for first in range(0, 100_000, 1000):
        caller.add(first, rng.normal(size=(1000, 3)).astype(np.float32) - 1)
    kept = len(pickle.dumps(caller)) - empty
    calls = len(caller.finish())
    assert 3 < calls < 3 * 100_000 / 10
    assert kept <= calls * RUN.itemsize + 100 * 200  # and of each array what pickle adds


@pytest.mark.parametrize("labels", [1, 3, 9, 112])
@pytest.mark.parametrize("at_once", [1, 113, 500])
def test_more_runs_may_close_than_leave_the_loop_together(monkeypatch, labels, at_once):
    monkeypatch.setattr(peaks, "RUNS_AT_ONCE", at_once)
    logits = np.random.default_rng(labels).normal(size=(700, labels)).astype(np.float32)
    case = dict(logits=logits, cutoffs=np.float32([0] * labels), stride=4, size=2799)
    case |= dict(min_length=5, max_gap=4)
    want = oracle(**case)
    assert len(want) > 50 * labels and call(**case, cuts=(10, 300, 301)) == want


def test_a_label_with_cutoff_nan_is_not_called():
    logits = [[9, 9, np.inf], [9, -9, NAN]]
    assert [row[0] for row in call(logits, [NAN, 1, NAN])] == [1]


def test_logits_may_be_read_only_or_a_view():
    wide = np.random.default_rng(0).normal(size=(50, 8)).astype(np.float32)
    view = wide[:, 1:7:2]
    want = call(view.copy(), [0, 0, 0])
    locked = view.copy()
    locked.flags.writeable = False
    for logits in (view, locked):
        caller = PeakCaller(np.zeros(3), 32, 1600, 1, 0)
        caller.add(0, logits)
        assert called(caller) == want


def test_calls_of_a_long_contig_need_64_bits():
    step = 2**31 // 32 + 5
    caller = PeakCaller(np.zeros(1), 32, 2**32, 1, 0)
    caller.add(step, np.ones((1, 1), np.float32))
    assert called(caller) == [(0, step * 32, step * 32 + 32, 1, step)]


# stretches


def hits_of(logits, cutoffs):
    """Places and values of logits that reach the cutoffs."""
    with np.errstate(invalid="ignore"):
        at = np.flatnonzero(logits >= cutoffs)
    return at, logits.ravel()[at]


def joined(case, edges, rng, hits=False):
    """Calls of stretches between ``edges``, each fed in random pieces, put together."""
    logits, allowed = np.float32(case["logits"]), case["allowed"]
    options = [case[name] for name in ("stride", "size", "min_length", "max_gap")]
    parts = []
    for first, last in zip(edges, edges[1:], strict=False):
        caller = PeakCaller(case["cutoffs"], *options, first, last)
        cuts = np.unique([first, last, *rng.integers(first, last + 1, 2)]).tolist()
        for begin, end in zip(cuts, cuts[1:], strict=False):
            mask = None if allowed is None else allowed[begin:end]
            if hits:
                caller.add_hits(begin, *hits_of(logits[begin:end], case["cutoffs"]), mask)
            else:
                caller.add(begin, logits[begin:end], mask)
        parts.append(caller.finish())
    return parts, join_runs(parts, *options)


@pytest.mark.parametrize("hits", [False, True])
@pytest.mark.parametrize("seed", range(60))
def test_calls_of_stretches_are_those_of_the_contig(seed, hits):
    """However many seams a run, a gap or a call goes across."""
    case, rng = random_case(1000 + seed)
    steps = len(case["logits"])
    want = oracle(**case)
    for n in (0, 1, 5, 40, 400):
        edges = [0, *np.unique(rng.integers(1, max(2, steps), n)).tolist(), steps]
        edges = sorted({edge for edge in edges if edge <= steps})
        _, runs = joined(case, edges, rng, hits)
        assert rows(runs, case["stride"], case["size"]) == want


def test_a_stretch_keeps_no_more_than_may_grow():
    """Of what is too short, only what is within reach of a seam."""
    rng = np.random.default_rng(0)
    logits = np.where(rng.random((3000, 1)) < 0.05, 1, -1).astype(np.float32)
    case = dict(logits=logits, cutoffs=np.zeros(1, np.float32), stride=32, size=96_000)
    case |= dict(min_length=10_000, max_gap=64, allowed=None)
    parts, runs = joined(case, [0, 1000, 2000, 3000], rng)
    assert len(runs) == 0 and 0 < sum(map(len, parts)) <= 4
    assert all(
        part["first"][0] % 1000 <= 2 or part["last"][0] % 1000 >= 997 for part in parts if len(part)
    )


def test_joining_nothing_is_nothing():
    assert len(join_runs([], 32, 100, 1, 0)) == 0
    assert len(join_runs([np.empty(0, RUN)] * 3, 32, 100, 1, 0)) == 0


@pytest.mark.parametrize("at_once", [1, 113])
def test_more_runs_of_hits_may_close_than_leave_the_loop_together(monkeypatch, at_once):
    monkeypatch.setattr(peaks, "RUNS_AT_ONCE", at_once)
    logits = np.random.default_rng(9).normal(size=(700, 3)).astype(np.float32)
    case = dict(logits=logits, cutoffs=np.zeros(3, np.float32), stride=4, size=2799)
    case |= dict(min_length=5, max_gap=4, allowed=None)
    _, runs = joined(case, [0, 300, 700], np.random.default_rng(0), hits=True)
    assert rows(runs, 4, 2799) == oracle(**case)
