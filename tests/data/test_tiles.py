"""Tiles for training, against brute force on a small random genome."""

import numpy as np
import pytest
from support.dataset import LABELS, REGIONS, SIZES, intervals, label_by_hand

from tcnfast.base.errors import TcnfastError
from tcnfast.data.dataset import Dataset
from tcnfast.data.tile_options import TileOptions
from tcnfast.data.training_tiles import Places, TileSampler
from tcnfast.genome.genome import Genome, Region
from tcnfast.genome.labels import AMBIGUOUS, BOUND, UNBOUND

RF, STRIDE, STEPS = 61, 32, 8
TILE = RF + (STEPS - 1) * STRIDE


def locate(genome, tile):
    """(chrom, start, is reverse complement) of a tile, found by its bases."""
    reverse = bytes(3 - base for base in reversed(tile.tobytes()))
    for chrom in SIZES:
        text = genome.codes(chrom).tobytes()
        for flipped, bases in ((False, tile.tobytes()), (True, reverse)):
            if (start := text.find(bases)) >= 0:
                return chrom, start, flipped
    raise AssertionError("the tile is not in the genome")


def sampler_of(dataset, regions=REGIONS, tiles=100, batches=0, **options):
    options = TileOptions(stride=STRIDE, batch_size=tiles, tile_steps=STEPS, **options)
    return TileSampler(dataset, regions, RF, options, batches)


def test_tiles_by_brute_force(genome, dataset, rows):
    codes, targets, _ = sampler_of(dataset).batch(3)
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
    codes = sampler_of(dataset, [region], tiles=400, enriched=0.0).batch(0).codes
    starts = {locate(genome, tile)[1] for tile in codes}
    assert starts == set(range(2_070, 2_081))


def test_a_region_for_exactly_one_tile(genome, dataset):
    region = Region("chr20", 2_000, 2_000 + TILE + 2 * 70)
    codes = sampler_of(dataset, [region], tiles=5, enriched=0.0).batch(0).codes
    assert {locate(genome, tile)[1] for tile in codes} == {2_070}
    # a window wider than the label bin leaves no room at all
    one = TileOptions(batch_size=3, tile_steps=1, enriched=0.0)
    sampler = TileSampler(dataset, [Region("chr20", 5, 306)], 301, one)
    assert {locate(genome, tile)[1] for tile in sampler.batch(0)[0]} == {5}


def test_a_batch_depends_on_seed_and_step_alone(dataset):
    first, again, other = (sampler_of(dataset, seed=seed) for seed in (4, 4, 5))
    for step in (0, 7):
        again.batch(step + 1)  # whatever was drawn before
        for a, b in zip(first.batch(step)[:2], again.batch(step)[:2], strict=True):
            np.testing.assert_array_equal(a, b)
    assert (first.batch(0)[0] != first.batch(7)[0]).any()
    assert (first.batch(0)[0] != other.batch(0)[0]).any()


def starts_by_hand(dataset, regions, index, tiles, enriched, hard, places, seed):
    """The tiles that a batch draws: region, first base and strand, by numpy's own generator."""
    rng = np.random.default_rng([seed, index])
    peaks = [
        (i, m, x)
        for i, r in enumerate(regions)
        for x, m in zip(*dataset.peak_middles(r), strict=True)
    ]
    counts = np.bincount([x for _, _, x in peaks], minlength=3)
    power = np.maximum(counts, 1) ** -0.5
    peak_share = np.cumsum([power[x] for _, _, x in peaks] / (power * counts).sum())
    reach = 100 - RF // 2
    room = [r.end - r.start - TILE - 2 * reach + 1 for r in regions]
    room_share = np.cumsum(np.array(room) / sum(room))

    def pick(share):
        return min(int(np.searchsorted(share, rng.random())), len(share) - 1)

    for _ in range(tiles):
        kind, area, first = rng.random(), None, None
        if kind < enriched:
            area, middle, _ = peaks[pick(peak_share)]
        elif kind < enriched + hard:
            area, middle = places[pick(np.cumsum(np.full(len(places), 1 / len(places))))]
        else:
            area = pick(room_share)
        lowest = regions[area].start + reach
        if kind < enriched + hard:
            first = middle - RF // 2 - rng.integers(STEPS * STRIDE)
        else:
            first = rng.integers(lowest, lowest + room[area])
        first = np.clip(first, lowest, lowest + room[area] - 1)
        yield regions[area].chrom, int(first), bool(rng.random() < 0.5)


@pytest.mark.parametrize("enriched, hard", [(0.7, 0.0), (0.3, 0.4), (0.0, 0.0)])
def test_the_tiles_of_a_seed_by_hand(genome, dataset, enriched, hard):
    sampler = sampler_of(dataset, tiles=40, enriched=enriched, hard=hard, seed=9)
    places = [(0, 7_000), (1, 8_490), (0, 1_000)]
    sampler.set_hard(Places.of(*np.array(places).T, np.ones(3)))
    for index in (0, 11):
        want = starts_by_hand(dataset, REGIONS, index, 40, enriched, hard, places, 9)
        assert [locate(genome, tile) for tile in sampler.batch(index).codes] == list(want)


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
        targets = sampler_of(dataset, tiles=500, enriched=enriched).batch(0).targets
        shares[enriched] = (targets == BOUND).any((1, 2)).mean()
    assert shares[1.0] == 1.0
    by_chance = 4 * (STRIDE * STEPS + 150) / 26_000
    assert shares[0.0] == pytest.approx(by_chance, abs=0.04)
    assert shares[0.7] == pytest.approx(0.7 + 0.3 * by_chance, abs=0.06)


def test_the_peak_of_an_enriched_tile_lies_at_any_step(genome):
    dataset = Dataset(genome, intervals([("chr20", 9_999, 10_001, "common")]), LABELS)
    codes = sampler_of(dataset, tiles=400, enriched=1.0).batch(0).codes
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
    targets = sampler.batch(0).targets
    rare = (targets[..., 1] == BOUND).any(1)
    common = (targets[..., 0] == BOUND).any(1)
    assert (rare != common).all()
    assert rare.mean() == pytest.approx(share, abs=0.06)


def test_regions_are_drawn_by_their_room(genome, two_labels):
    regions = [Region("chr20", 0, 2_000), Region("chr20", 5_000, 13_000), Region("chrX", 0, 2_000)]
    codes = sampler_of(two_labels, regions, tiles=600, enriched=0.0).batch(0).codes
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
    empty = sampler_of(two_labels, [Region("chr20", 21_000, 25_000)], enriched=0.0)
    assert not (empty.batch(0).targets == BOUND).any()


def test_short_regions_are_left_out(genome, two_labels):
    regions = [Region("chrX", 0, TILE), Region("chr20", 3_000, 4_000)]
    codes = sampler_of(two_labels, regions, tiles=40).batch(0).codes
    assert {locate(genome, tile)[0] for tile in codes} == {"chr20"}


# the edges of peaks


def cover_by_hand(rows, chrom, centre, label, label_bin=200):
    """Share of the bin, or of a shorter peak, that the label's best bound peak covers."""
    start, end = centre - label_bin // 2, centre - label_bin // 2 + label_bin
    shares = [
        (min(end, row[2]) - max(start, row[1])) / min(label_bin, row[2] - row[1])
        for row in rows[0]
        if row[0] == chrom and row[3] == label
    ]
    return max([0, *shares])


def test_covers_by_brute_force(genome, dataset, rows):
    plain, soft, mask = (
        sampler_of(dataset, tiles=60, edge=edge).batch(3) for edge in ("hard", "soft", "mask")
    )
    assert plain.cover is None and mask.cover is None
    np.testing.assert_array_equal(plain.targets, soft.targets)
    np.testing.assert_array_equal(plain.codes, mask.codes)
    seen = []
    for tile, labels, cover, masked in zip(
        soft.codes, soft.targets, soft.cover, mask.targets, strict=True
    ):
        chrom, start, flipped = locate(genome, tile)
        centres = start + RF // 2 + STRIDE * np.arange(STEPS)
        want = np.array([[cover_by_hand(rows, chrom, c, x) for x in LABELS] for c in centres])
        want = want[::-1] if flipped else want
        bound = labels == BOUND
        np.testing.assert_allclose(cover[bound], want[bound], rtol=1e-6)
        np.testing.assert_array_equal(
            masked, np.where(bound & (want < 0.75), AMBIGUOUS, labels), "edges are left out"
        )
        seen.extend(cover[bound])
    seen = np.array(seen)
    assert seen.min() >= 0.5 and ((0.5 < seen) & (seen < 0.75)).sum() > 20 and (seen == 1).any()


def test_a_pair_is_a_tile_and_its_other_strand(genome, dataset):
    single, paired = (
        sampler_of(dataset, tiles=n, strands="both" if n > 20 else "one") for n in (20, 40)
    )
    codes, targets, _ = paired.batch(5)
    np.testing.assert_array_equal(codes[:20], single.batch(5).codes)
    np.testing.assert_array_equal(codes[20:], 3 - codes[:20, ::-1])
    np.testing.assert_array_equal(targets[20:], targets[:20, ::-1])


def changed(dataset, index, mutate, batches=100):
    """Share of the bases of each tile (tiles,) of a batch that drawing anew changed."""
    plain = sampler_of(dataset).batch(index)
    sampler = sampler_of(dataset, mutate=mutate, batches=batches)
    mutated = sampler.batch(index)
    np.testing.assert_array_equal(mutated.targets, plain.targets)
    np.testing.assert_array_equal(mutated.codes == 4, plain.codes == 4)
    np.testing.assert_array_equal(mutated.codes, sampler.batch(index).codes)
    assert mutated.codes.max() <= 4
    return (mutated.codes != plain.codes).mean(1)


def test_bases_drawn_anew_at_first_and_never_in_the_end(dataset):
    # a quarter of those drawn anew stay what they were
    share = changed(dataset, 0, 0.2)
    assert abs(share.mean() - 0.15) < 0.02
    assert share.min() < 0.03 and 0.25 < share.max() < 0.35, "each tile has a share of its own"
    assert abs(changed(dataset, 45, 0.2).mean() - 0.075) < 0.015
    assert not changed(dataset, 90, 0.2).any()
    assert not changed(dataset, 0, 0.0).any()


def test_n_stays_n_on_both_strands(tmp_path, rows):
    rng = np.random.default_rng(8)
    letters = np.frombuffer(b"ACGTN", np.uint8)[rng.integers(0, 5, 30_000)]
    path = tmp_path / "n.fa"
    path.write_bytes(b">chr20\n" + letters.tobytes() + b"\n")
    with Genome(path) as genome:
        dataset = Dataset(genome, intervals(rows[0]), LABELS)
        codes = sampler_of(dataset, [Region("chr20", 0, 30_000)], tiles=10, strands="both").batch(
            0
        )[0]
        text = genome.codes("chr20").tobytes()
    complement = np.array([3, 2, 1, 0, 4], np.uint8)
    np.testing.assert_array_equal(codes[5:], complement[codes[:5, ::-1]])
    assert all((a.tobytes() in text) != (b.tobytes() in text) for a, b in zip(codes[:5], codes[5:]))  # noqa: B905
