"""Calls as narrowPeak lines, against Python's own formatting."""

import numpy as np
import pytest

from tcnfast.scan.narrowpeak import narrowpeak_lines
from tcnfast.scan.peaks import RUN


def sigmoid(logit):
    return 1 / (1 + np.exp(-np.asarray(logit, np.float64)))


def runs(rows):
    """RUN of (first, last, best, best_at) rows of label 0."""
    calls = np.zeros(len(rows), RUN)
    for name, column in zip(
        ("first", "last", "best", "best_at"), zip(*rows, strict=True), strict=True
    ):
        calls[name] = column
    return calls


def narrowpeak(rows, size, stride=32, chrom="chr7"):
    text = narrowpeak_lines(chrom, "A@B", runs(rows), stride, size).decode()
    assert text.endswith("\n")
    return [line.split("\t") for line in text[:-1].split("\n")]


def test_a_narrowpeak_row():
    (row,) = narrowpeak([(10, 12, 0.4, 11)], size=10_000)
    p = sigmoid(np.float32(0.4))
    head, tail = ["chr7", "320", "416", "A@B"], ["-1", "-1"]
    # the summit is the middle of step 11
    assert row == [*head, str(round(1000 * p)), ".", f"{p:.4f}", *tail, "48"]


@pytest.mark.parametrize("logit, score", [(-50, 0), (-1, 269), (0, 500), (3, 953), (50, 1000)])
def test_the_score_is_a_thousand_times_p(logit, score):
    (row,) = narrowpeak([(0, 0, logit, 0)], size=100)
    assert int(row[4]) == score and float(row[6]) == pytest.approx(sigmoid(logit), abs=5e-5)


def test_many_lines_are_what_python_formats():
    rng = np.random.default_rng(0)
    calls = np.zeros(20_000, RUN)
    calls["first"] = np.sort(rng.integers(0, 2 ** rng.integers(1, 36, len(calls))))
    calls["last"] = calls["first"] + rng.integers(0, 2 ** rng.integers(1, 20, len(calls)))
    calls["best_at"] = rng.integers(calls["first"], calls["last"] + 1)
    calls["best"] = rng.normal(scale=6, size=len(calls))
    calls["best"][:6] = -np.inf, np.inf, -200, 200, 0, 1e-8
    size = int(calls["last"].max()) * 32 + 7
    start, end = calls["first"] * 32, np.minimum((calls["last"] + 1) * 32, size)
    summit = np.minimum(calls["best_at"] * 32 + 16, end - 1) - start
    p = 0.5 * (1 + np.tanh(0.5 * calls["best"].astype(np.float64)))
    want = "".join(
        f"chr€\t{a}\t{b}\tX\t{round(1000 * x)}\t.\t{x:.4f}\t-1\t-1\t{at}\n"
        for a, b, x, at in zip(*(c.tolist() for c in (start, end, p, summit)), strict=True)
    )
    assert narrowpeak_lines("chr€", "X", calls, 32, size) == want.encode()


@pytest.mark.parametrize("size", [3201, 3202, 3216, 3217, 3231, 3232, 4000])
@pytest.mark.parametrize("stride", [1, 32])
def test_summits_lie_inside_their_calls(size, stride):
    last = (size - 1) // stride
    rows = [(0, 0, 1, 0), (5, 9, 1, 5), (20, 29, 1, 29), (last, last, 2, last)]
    table = narrowpeak(rows, size, stride)
    assert len(table) == 4 and all(len(row) == 10 for row in table)
    for row in table:
        start, end, offset = int(row[1]), int(row[2]), int(row[9])
        assert 0 <= start <= start + offset < end <= size


def test_no_calls_no_rows():
    assert narrowpeak_lines("chr1", "A", np.empty(0, RUN), 32, 100) == b""
