"""Label bins, against brute force on a small random genome."""

import numpy as np
import pytest
from support.dataset import LABELS, SIZES, intervals, label_by_hand

from tcnfast.data.dataset import Dataset
from tcnfast.genome.genome import Region
from tcnfast.genome.labels import AMBIGUOUS, BOUND, UNBOUND

RF, STRIDE = 61, 32


@pytest.mark.parametrize("label_bin, min_overlap", [(200, 100), (100, 30), (51, 1)])
def test_targets_by_brute_force(genome, rows, label_bin, min_overlap):
    options = dict(label_bin=label_bin, min_overlap=min_overlap)
    dataset = Dataset(genome, intervals(rows[0]), LABELS, *map(intervals, rows[1:]), **options)
    seen = set()
    for chrom in SIZES:
        centres = np.arange(150, SIZES[chrom] - 150, 37)
        want = [[label_by_hand(rows, chrom, c, x, **options) for x in LABELS] for c in centres]
        np.testing.assert_array_equal(dataset.targets(chrom, centres), want)
        seen |= {value for row in want for value in row}
    assert seen == {UNBOUND, BOUND, AMBIGUOUS}


def test_blacklisted_bins_are_ambiguous_for_every_label(genome):
    bound = intervals([("chr20", 2_000, 2_400, "common")])
    blacklist = intervals([("chr20", 2_300, 2_301)])
    masked = Dataset(genome, bound, LABELS, blacklist=blacklist)
    plain = Dataset(genome, bound, LABELS)
    centres = np.array([2_200, 2_201, 2_300, 2_400, 2_401, 2_600])
    hit = [False, True, True, True, False, False]
    assert plain.targets("chr20", centres)[:, 0].tolist() == [1, 1, 1, 1, 2, 0]
    want = plain.targets("chr20", centres)
    want[hit] = AMBIGUOUS
    np.testing.assert_array_equal(masked.targets("chr20", centres), want)


@pytest.mark.parametrize("stride", [1, 8, 32])
@pytest.mark.parametrize("label_bin", [20, 200, 201])
@pytest.mark.parametrize("rf", [61, 301])
def test_centres_are_the_steps_that_fit_the_region(genome, rows, rf, label_bin, stride):
    dataset = Dataset(genome, intervals(rows[0]), LABELS, label_bin=label_bin)
    for start in range(1000, 1040):
        region = Region("chr20", start, start + 700)
        want = []
        for step in range(0, 2000 // stride):
            centre = stride * step + stride // 2
            window = centre - rf // 2, centre + rf // 2 + 1
            bin_ = centre - label_bin // 2, centre - label_bin // 2 + label_bin
            if min(window[0], bin_[0]) >= start and max(window[1], bin_[1]) <= region.end:
                want.append(centre)
        assert dataset.centres(region, rf, stride).tolist() == want, f"region {region}"


def test_regions_too_short_for_a_window_have_no_centres(dataset):
    assert len(dataset.centres(Region("chr20", 100, 299), RF, STRIDE)) == 0


def test_peaks_belong_to_the_region_of_their_middle(genome):
    rows = [("chr20", 900, 1_100, "common"), ("chr20", 899, 1_100, "rare")]
    rows += [("chr20", 19_900, 20_099, "rare"), ("chr20", 19_900, 20_100, "rare")]
    dataset = Dataset(genome, intervals(rows + [("chrX", 1000, 1200, "rare")]), LABELS)
    assert dataset.count_peaks([Region("chr20", 1_000, 20_000)]).tolist() == [1, 1, 0]
    assert dataset.count_peaks([Region("chr20", 0, 1_000)]).tolist() == [0, 1, 0]
    labels, middles = dataset.peak_middles(Region("chr20", 1_000, 20_000))
    assert labels.tolist() == [0, 1] and middles.tolist() == [1_000, 19_999]


def test_relaxed_peaks_are_not_counted(genome, rows):
    dataset = Dataset(genome, intervals(rows[0]), LABELS, intervals(rows[1]))
    assert dataset.count_peaks([Region("chr20", 0, 30_000), Region("chrX", 0, 9_000)]).tolist() == [
        50,
        3,
        0,
    ]
