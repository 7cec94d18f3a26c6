"""Splits, label bins and tiles, against brute force on a small random genome."""

import json

import numpy as np
import pytest

from tcnfast.dataset import Dataset, read_split
from tcnfast.errors import TcnfastError
from tcnfast.genome import Genome, Region
from tcnfast.intervals import Intervals
from tcnfast.labels import AMBIGUOUS, BOUND, UNBOUND
from tcnfast.tiles import TileSampler

SIZES = {"chr20": 30_000, "chrX": 9_000}
LABELS = ["common", "rare", "never"]
RF, STRIDE, STEPS = 61, 32, 8
TILE = RF + (STEPS - 1) * STRIDE
REGIONS = [Region("chr20", 1_000, 20_000), Region("chrX", 500, 8_500)]


def intervals(rows):
    """Intervals of (chrom, start, end) or (chrom, start, end, label) rows."""
    columns = list(zip(*rows, strict=True))
    label = np.array(columns[3], object) if len(columns) > 3 else None
    start, end = (np.array(column, np.int64) for column in columns[1:3])
    return Intervals(np.array(columns[0], object), start, end, np.full(len(rows), -1), label)


def peaks(rng, label, number, chrom="chr20"):
    starts = rng.integers(0, SIZES[chrom] - 500, number)
    return [(chrom, int(s), int(s + rng.integers(50, 400)), label) for s in starts]


@pytest.fixture(scope="module")
def genome(tmp_path_factory):
    rng = np.random.default_rng(5)
    path = tmp_path_factory.mktemp("genome") / "genome.fa"
    letters = np.frombuffer(b"ACGT", np.uint8)
    with path.open("wb") as file:
        for chrom, size in SIZES.items():
            file.write(b">%s\n%s\n" % (chrom.encode(), letters[rng.integers(0, 4, size)].tobytes()))
    with Genome(path) as genome:
        yield genome


@pytest.fixture
def rows():
    rng = np.random.default_rng(6)
    bound = peaks(rng, "common", 40) + peaks(rng, "common", 10, "chrX") + peaks(rng, "rare", 3)
    relaxed = peaks(rng, "common", 20) + peaks(rng, "never", 6, "chrX")
    blacklist = [("chr20", 5_000, 5_300), ("chr20", 18_000, 18_001), ("chrX", 0, 600)]
    return bound, relaxed, blacklist


@pytest.fixture
def dataset(genome, rows):
    bound, relaxed, blacklist = map(intervals, rows)
    return Dataset(genome, bound, LABELS, relaxed, blacklist)


def label_by_hand(rows, chrom, centre, label, label_bin=200, min_overlap=100):
    bound, relaxed, blacklist = rows
    start, end = centre - label_bin // 2, centre - label_bin // 2 + label_bin

    def overlap(row):
        return min(end, row[2]) - max(start, row[1]) if row[0] == chrom else 0

    if any(overlap(row) > 0 for row in blacklist):
        return AMBIGUOUS
    mine = [row for row in bound if row[3] == label and overlap(row) > 0]
    if any(overlap(row) >= min(min_overlap, row[2] - row[1]) for row in mine):
        return BOUND
    if mine or any(row[3] == label and overlap(row) > 0 for row in relaxed):
        return AMBIGUOUS
    return UNBOUND


# splits


@pytest.fixture
def split(tmp_path):
    def write(**parts):
        path = tmp_path / "split.json"
        path.write_text(json.dumps({"train": [], "valid": [], "test": []} | parts))
        return path

    return write


def test_split_regions_are_half_open(split):
    path = split(train=["chr20:1-10,000", "chr20:20001-30000"], valid=["chr20:10001-20000"])
    assert read_split(path, SIZES) == {
        "train": [("chr20", 0, 10_000), ("chr20", 20_000, 30_000)],
        "valid": [("chr20", 10_000, 20_000)],
        "test": [],
    }
    assert read_split(split(test=["chrX"]), SIZES)["test"] == [("chrX", 0, 9_000)]


@pytest.mark.parametrize(
    "parts, words",
    [
        (dict(train=["chr20:1-100"], valid=["chr20:100-200"]), "train and valid overlap at chr20:"),
        (dict(train=["chr20"], test=["chr20:50-60"]), "train and test overlap at chr20:50"),
        (dict(valid=["chrX", "chrX:5-9"]), "valid and valid overlap at chrX:5"),
        (dict(train=["chr20:1-30001"]), "ends beyond chr20, which has 30000 bases"),
        (dict(train=["20:1-100"]), "contig '20' is called 'chr20' in the genome"),
        (dict(train=["chr21"]), "no contig 'chr21'"),
        (dict(train=["chr20:9-5"]), "1 <= start <= end"),
        (dict(train="chr20"), '"train"'),
        (dict(train=7), '"train"'),
        (dict(train=[20]), '"train"'),
        (dict(holdout=["chr20"]), '"train", "valid" and "test"'),
    ],
    ids=[
        "overlap-by-one",
        "nested",
        "overlap-within-a-part",
        "beyond-the-end",
        "chr-prefix",
        "unknown",
        "backwards",
        "a-string",
        "a-number",
        "a-list-of-numbers",
        "a-fourth-part",
    ],
)
def test_bad_splits(split, parts, words):
    path = split(**parts)
    with pytest.raises(TcnfastError) as info:
        read_split(path, SIZES)
    message = str(info.value)
    assert words in message and str(path) in message and "\n" not in message


@pytest.mark.parametrize(
    "text, words",
    [
        ("{'train': []}", "not JSON"),
        ("[]", "must hold lists"),
        ('{"train": [], "valid": []}', "must hold lists"),
        (None, "cannot be read"),
    ],
    ids=["not-json", "a-list", "part-missing", "no-file"],
)
def test_bad_split_files(tmp_path, text, words):
    path = tmp_path / "split.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(TcnfastError, match=words) as info:
        read_split(path, SIZES)
    assert str(info.value).startswith(f"{path}: ")


def test_split_without_chr_prefix_in_the_genome(split):
    with pytest.raises(TcnfastError, match="contig 'chr20' is called '20' in the genome"):
        read_split(split(train=["chr20:1-100"]), {"20": 1000})


# label bins


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


# tiles


def locate(genome, tile):
    """(chrom, start, is reverse complement) of a tile, found by its bases."""
    reverse = bytes(3 - base for base in reversed(tile.tobytes()))
    for chrom in SIZES:
        text = genome.codes(chrom).tobytes()
        for flipped, bases in ((False, tile.tobytes()), (True, reverse)):
            if (start := text.find(bases)) >= 0:
                return chrom, start, flipped
    raise AssertionError("the tile is not in the genome")


def sampler_of(dataset, regions=REGIONS, tiles=100, **options):
    return TileSampler(dataset, regions, RF, STRIDE, tiles, STEPS, **options)


def test_tiles_by_brute_force(genome, dataset, rows):
    codes, targets = sampler_of(dataset).batch(3)
    assert codes.shape == (100, TILE) and codes.dtype == np.uint8
    assert targets.shape == (100, STEPS, 3) and targets.dtype == np.uint8
    flips, chroms = [], []
    for tile, labels in zip(codes, targets, strict=True):
        chrom, start, flipped = locate(genome, tile)
        centres = start + RF // 2 + STRIDE * np.arange(STEPS)
        region = next(r for r in REGIONS if r.chrom == chrom)
        assert region.start <= min(start, centres[0] - 100)
        assert max(start + TILE, centres[-1] + 100) <= region.end
        want = [[label_by_hand(rows, chrom, c, label) for label in LABELS] for c in centres]
        np.testing.assert_array_equal(labels, want[::-1] if flipped else want)
        flips.append(flipped)
        chroms.append(chrom)
    assert 25 < sum(flips) < 75 and 0 < chroms.count("chrX") < 100
    assert set(np.unique(targets)) == {UNBOUND, BOUND, AMBIGUOUS}


def test_tiles_reach_both_ends_of_a_region_and_no_further(genome, dataset):
    # the label bins, 200 bp, are wider than the windows, 61 bp
    region = Region("chr20", 2_000, 2_000 + TILE + 2 * 70 + 10)
    codes, _ = sampler_of(dataset, [region], tiles=400, enriched=0.0).batch(0)
    starts = {locate(genome, tile)[1] for tile in codes}
    assert starts == set(range(2_070, 2_081))


def test_a_region_for_exactly_one_tile(genome, dataset):
    region = Region("chr20", 2_000, 2_000 + TILE + 2 * 70)
    codes, _ = sampler_of(dataset, [region], tiles=5, enriched=0.0).batch(0)
    assert {locate(genome, tile)[1] for tile in codes} == {2_070}
    # a window wider than the label bin leaves no room at all
    sampler = TileSampler(dataset, [Region("chr20", 5, 306)], 301, 32, 3, 1, enriched=0.0)
    assert {locate(genome, tile)[1] for tile in sampler.batch(0)[0]} == {5}


def test_a_batch_depends_on_seed_and_step_alone(dataset):
    first, again, other = (sampler_of(dataset, seed=seed) for seed in (4, 4, 5))
    for step in (0, 7):
        again.batch(step + 1)  # whatever was drawn before
        for a, b in zip(first.batch(step), again.batch(step), strict=True):
            np.testing.assert_array_equal(a, b)
    assert (first.batch(0)[0] != first.batch(7)[0]).any()
    assert (first.batch(0)[0] != other.batch(0)[0]).any()


@pytest.fixture
def two_labels(genome):
    """Far-apart peaks: 90 of `common` on chr20, 10 of `rare` on chrX."""
    common = [("chr20", 1_500 + 200 * i, 1_550 + 200 * i, "common") for i in range(90)]
    rare = [("chrX", 1_000 + 600 * i, 1_200 + 600 * i, "rare") for i in range(10)]
    return Dataset(genome, intervals(common + rare), LABELS)


def test_the_enriched_share_holds_a_bound_bin(genome):
    bound = [("chr20", 4_000 + 4_000 * i, 4_100 + 4_000 * i, "common") for i in range(4)]
    dataset = Dataset(genome, intervals(bound), LABELS)
    shares = {}
    for enriched in (0.0, 0.7, 1.0):
        _, targets = sampler_of(dataset, tiles=500, enriched=enriched).batch(0)
        shares[enriched] = (targets == BOUND).any((1, 2)).mean()
    assert shares[1.0] == 1.0
    by_chance = 4 * (STRIDE * STEPS + 150) / 26_000
    assert shares[0.0] == pytest.approx(by_chance, abs=0.04)
    assert shares[0.7] == pytest.approx(0.7 + 0.3 * by_chance, abs=0.06)


def test_the_peak_of_an_enriched_tile_lies_at_any_step(genome):
    dataset = Dataset(genome, intervals([("chr20", 9_999, 10_001, "common")]), LABELS)
    codes, targets = sampler_of(dataset, tiles=400, enriched=1.0).batch(0)
    starts = np.array([locate(genome, tile)[1] for tile in codes])
    # the middle, 10,000, is under the first centre at the earliest, and one stride after the last
    assert starts.max() <= 10_000 - RF // 2
    assert starts.min() > 10_000 - RF // 2 - STRIDE * STEPS
    bins = np.bincount((10_000 - RF // 2 - starts) // STRIDE, minlength=STEPS)
    assert bins.min() > 25


@pytest.mark.parametrize("power, share", [(1, 0.1), (0.5, 0.25), (0, 0.5)])
def test_label_power_favours_rare_labels(two_labels, power, share):
    # draws are proportional to count^power: 10^p / (10^p + 90^p)
    sampler = sampler_of(two_labels, tiles=600, enriched=1.0, label_power=power)
    _, targets = sampler.batch(0)
    rare = (targets[..., 1] == BOUND).any(1)
    common = (targets[..., 0] == BOUND).any(1)
    assert (rare != common).all()
    assert rare.mean() == pytest.approx(share, abs=0.06)


def test_regions_are_drawn_by_their_room(genome, two_labels):
    regions = [Region("chr20", 0, 2_000), Region("chr20", 5_000, 13_000), Region("chrX", 0, 2_000)]
    codes, _ = sampler_of(two_labels, regions, tiles=600, enriched=0.0).batch(0)
    starts = [locate(genome, tile) for tile in codes]
    shares = [
        np.mean([chrom == r.chrom and r.start <= start < r.end for chrom, start, _ in starts])
        for r in regions
    ]
    room = np.array([r.end - r.start - TILE - 140 for r in regions])
    np.testing.assert_allclose(shares, room / room.sum(), atol=0.05)


def test_regions_that_hold_nothing_raise(genome, two_labels):
    with pytest.raises(TcnfastError, match=f"no training region holds a tile of {TILE} bases"):
        sampler_of(two_labels, [Region("chr20", 0, TILE + 100)])
    with pytest.raises(TcnfastError, match="no bound peak"):
        sampler_of(two_labels, [Region("chr20", 21_000, 25_000)])
    # without enrichment no peak is needed
    _, targets = sampler_of(two_labels, [Region("chr20", 21_000, 25_000)], enriched=0.0).batch(0)
    assert not (targets == BOUND).any()


def test_short_regions_are_left_out(genome, two_labels):
    regions = [Region("chrX", 0, TILE), Region("chr20", 3_000, 4_000)]
    codes, _ = sampler_of(two_labels, regions, tiles=40).batch(0)
    assert {locate(genome, tile)[0] for tile in codes} == {"chr20"}
