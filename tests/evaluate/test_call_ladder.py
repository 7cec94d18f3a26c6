"""What calls are worth: measured as a scan calls, against counts made the plain way."""

import numpy as np
import pytest
from support.scan import FP32, calling_model, small_genome, write_fasta
from support.scan import calls_of as rows_of

import tcnfast
from tcnfast.base.logits import logit
from tcnfast.data.dataset import Dataset
from tcnfast.engines.plan import Plan
from tcnfast.evaluate.call_ladder import (
    LENT,
    count_calls,
    measure_ladders,
    stretches_of,
    tilted,
)
from tcnfast.evaluate.predict import predict
from tcnfast.genome.genome import Genome, Region
from tcnfast.genome.intervals import Intervals

STRIDE = 32


def intervals(chrom, start, end, label=None):
    start, end = np.array(start, np.int64), np.array(end, np.int64)
    label = None if label is None else np.array(label, object)
    return Intervals(np.full(len(start), chrom, object), start, end, np.full(len(start), -1), label)


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """A scan of a small genome, peaks drawn half from its calls, and the logits of a region."""
    home = tmp_path_factory.mktemp("calls")
    contigs = {"chr20": small_genome()["chr20"]}
    path = write_fasta(home / "g.fa", contigs)
    model = calling_model()
    folder = tcnfast.scan(path, model, home / "scan", **FP32).path
    rng = np.random.default_rng(1)
    start, end, label = [], [], []
    for name in model.labels:
        calls = rows_of(folder / "peaks" / f"{name}.narrowPeak")
        some = [calls[i] for i in rng.permutation(len(calls))[: len(calls) // 2]]
        start += [a + 10 for _, a, _ in some] + rng.integers(0, 99_000, 20).tolist()
        label += [name] * (len(some) + 20)
        end = [x + 50 for x in start]
    genome = Genome(path)
    masked = intervals("chr20", [60_000], [63_000])
    dataset = Dataset(genome, intervals("chr20", start, end, label), model.labels, None, masked)
    region = Region("chr20", 0, 100_000)
    plan = Plan(model, stride=STRIDE, strand="both", **FP32)
    logits, _ = predict(plan, dataset, [region])
    stretches = stretches_of(dataset, [region], logits, plan.receptive_field, STRIDE)
    yield model, folder, dataset, stretches
    genome.close()


def touches(a, b):
    return a[0] < b[1] and b[0] < a[1]


def test_calls_are_those_of_a_scan_and_counted_right(scored):
    model, folder, dataset, stretches = scored
    cutoffs = logit(np.array([model.thresholds[x].threshold for x in model.labels]))
    cutoffs[2] = np.nan
    found = count_calls(dataset, stretches, STRIDE, cutoffs)
    first, last = stretches[0].centres[[0, -1]]
    masked = (60_000, 63_000)
    for index, label in enumerate(model.labels[:2]):
        mine = dataset.bound.label == label
        peaks = list(zip(dataset.bound.start[mine], dataset.bound.end[mine], strict=True))
        calls = [(a, b) for _, a, b in rows_of(folder / "peaks" / f"{label}.narrowPeak")]
        calls = [x for x in calls if first <= x[0] and x[1] <= last and not touches(x, masked)]
        inside = [x for x in peaks if first <= sum(x) // 2 <= last and not touches(x, masked)]
        right = sum(any(touches(x, y) for y in peaks) for x in calls)
        hit = sum(any(touches(x, y) for y in calls) for x in inside)
        assert abs(found.calls[index] - len(calls)) <= 2  # a call may be cut by an end
        assert found.precision[index] == pytest.approx(right / len(calls), abs=0.02)
        assert found.peaks[index] == len(inside)
        assert found.recall[index] == pytest.approx(hit / len(inside), abs=0.02)
    assert found.calls[2] == 0 and np.isnan(found.precision[2])


def test_a_ladder_rises_and_holds_what_was_counted(scored):
    model, _, dataset, stretches = scored
    ladders, peaks = measure_ladders(dataset, stretches, STRIDE)
    for index, label in enumerate(model.labels):
        one = ladders[label]
        assert (np.diff(one.threshold) > 0).all() and (np.diff(one.precision) >= 0).all()
        assert (np.diff(one.recall) <= 0).all() and (np.diff(one.share) <= 0).all()
        assert (one.precision_low <= one.precision).all()
        assert (one.precision <= one.precision_high).all()
        assert np.isnan(one.relaxed_precision).all(), "there are no relaxed peaks"
        rung = len(one.threshold) // 2
        cutoffs = np.full(len(model.labels), np.nan)
        cutoffs[index] = logit(one.threshold[rung])
        found = count_calls(dataset, stretches, STRIDE, cutoffs)
        assert found.calls[index] == one.calls[rung] and found.peaks[index] == peaks[label]
        assert found.recall[index] == pytest.approx(one.recall[rung])
        # half of the calls are right; lent calls and smoothing move that little
        n = one.calls[rung]
        assert abs(one.precision[rung] - found.precision[index]) < 0.1 + LENT / (n + LENT)


def test_within_regions_nothing_is_called_outside(scored):
    model, _, dataset, stretches = scored
    regions, logits = [stretches[0].region], stretches[0].logits
    inside = intervals("chr20", [10_000, 70_000], [30_000, 90_000])
    plan = Plan(model, stride=STRIDE, strand="both", **FP32)
    part = stretches_of(dataset, regions, logits, plan.receptive_field, STRIDE, inside)
    centres = part[0].centres
    want = ((centres >= 10_000) & (centres < 30_000)) | ((centres >= 70_000) & (centres < 90_000))
    want &= stretches[0].within
    assert (part[0].within == want).all()
    cutoffs = logit(np.array([model.thresholds[x].threshold for x in model.labels]))
    fewer, all_ = (count_calls(dataset, x, STRIDE, cutoffs).calls for x in (part, stretches))
    assert (fewer < all_).all() and (fewer > 0).all()


def test_steps_of_nothing_but_n_are_not_called(scored):
    *_, stretches = scored
    centres = stretches[0].centres
    gap = (centres >= 40_100) & (centres < 42_900)
    assert not stretches[0].within[gap].any() and stretches[0].within[~gap].mean() > 0.98


def test_weights_have_the_mean_density_that_is_wanted():
    density = np.random.default_rng(0).gamma(2, 1, 40)
    for wanted in (0.8 * density.mean(), density.mean(), 1.2 * density.mean()):
        weight = tilted(density, wanted)
        assert weight.mean() == pytest.approx(1) and (weight > 0).all()
        assert (weight * density).mean() == pytest.approx(wanted, rel=1e-6)
    far = tilted(density, 100.0)
    assert (far * density).mean() > density.mean()
    assert far.sum() ** 2 / (far**2).sum() >= 0.499 * len(far), "no few blocks stand for all"
    assert (tilted(density, np.nan) == 1).all() and (tilted(np.ones(3), 2.0) == 1).all()
