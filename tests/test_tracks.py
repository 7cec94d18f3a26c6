"""Tracks: their values, the shards they wait in, and the bigWigs made of them."""

import numpy as np
import pyBigWig
import pytest

from tcnfast import tracks
from tcnfast.errors import TcnfastError
from tcnfast.tracks import (
    BEGINS,
    CELLS,
    CELLS_PER_LOGIT,
    VALUES,
    TrackReader,
    TrackShard,
    _level,
    file_names,
    logit,
    probability,
    write_bigwigs,
)

NAN = np.nan


def sigmoid(logit):
    return 1 / (1 + np.exp(-np.asarray(logit, np.float64)))


def rounded(logits):
    """Two decimals from 0.1 up, three below, by searching the edges."""
    return VALUES[np.searchsorted(BEGINS[:-1], logits, side="right")]


def shard_of(path, logits, floors, cuts=()):
    """A finished shard of ``logits`` cut at ``cuts``."""
    logits = np.float32(logits)
    shard = TrackShard(path, np.array(floors, float))
    edges = [0, *cuts, len(logits)]
    for first, last in zip(edges, edges[1:], strict=False):
        shard.add(first, logits[first:last])
    shard.finish()
    return path


def dense(path, labels, label, steps):
    """Values of a track step by step; checks that its runs are sorted, apart and longest."""
    out, end, value = np.full(steps, NAN, np.float32), 0, NAN
    for columns in TrackReader(path, labels).runs(label):
        for first, last, x in zip(*(column.tolist() for column in columns), strict=True):
            assert end <= first < last <= steps and (end < first or x != value)
            out[first:last] = x
            end, value = last, x
    return out


# probabilities


def test_probability_is_the_logistic_function_without_overflow():
    logits = np.float32([-1e30, -200, -30, -1, 0, 0.5, 30, 200, 1e30, np.inf, -np.inf])
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(probability(logits), sigmoid(logits), rtol=1e-9, atol=1e-12)
    assert np.isnan(probability(NAN))


def test_logit_is_its_inverse():
    p = np.array([1e-9, 0.01, 0.5, 0.99])
    np.testing.assert_allclose(probability(logit(p)), p, rtol=1e-6)
    assert logit(0) == -np.inf and logit(1) == np.inf


def test_values_are_rounded_to_what_the_eye_sees():
    logits = np.float32(np.random.default_rng(0).normal(scale=5, size=50_000))
    value = np.array([VALUES[_level(x)] for x in logits])
    p = sigmoid(logits)
    want = np.where(p >= 0.0995, np.round(p, 2), np.round(p, 3))
    np.testing.assert_allclose(value, want, atol=1e-6)
    assert np.abs(value - p)[p < 0.0995].max() <= 0.0005 + 1e-6


def test_levels_begin_exactly_at_their_edges():
    edges = BEGINS[:-1]
    assert (np.diff(edges) > 0).all() and len(edges) == len(VALUES) - 1
    for near in (np.nextafter(edges, np.float32(-99)), edges, np.nextafter(edges, np.float32(99))):
        got = [_level(x) for x in near]
        assert got == np.searchsorted(edges, near, side="right").tolist()
    ends = np.float32([-np.inf, -1e30, 1e30, np.inf])
    assert [VALUES[_level(x)] for x in ends] == [0, 0, 1, 1]


def test_at_most_one_level_begins_in_a_cell():
    """What lets a level be found without a search."""
    cells = ((BEGINS[:-1] - BEGINS[0]) * CELLS_PER_LOGIT).astype(int)
    assert (np.diff(cells) > 0).all() and cells[-1] == CELLS - 1


# file names


def test_file_names():
    labels = ["CTCF@K562", "a b/c", "H3K4me3+", "x:y", "NKX2-5"]
    assert file_names(labels) == ["CTCF@K562", "a_b_c", "H3K4me3+", "x_y", "NKX2-5"]


def test_labels_that_share_a_file_name_raise():
    with pytest.raises(TcnfastError, match="labels 'a/b' and 'a:b' share a file name"):
        file_names(["a/b", "c", "a:b"])


# shards


def random_logits(steps, labels, seed=0):
    """Random walks with gaps, so that neighbours are often of equal value."""
    rng = np.random.default_rng(seed)
    logits = np.cumsum(rng.normal(scale=0.3, size=(steps, labels)), 0).astype(np.float32)
    logits[rng.random(logits.shape) < 0.02] = NAN
    logits[rng.random(steps) < 0.02] = NAN
    return logits


@pytest.mark.parametrize("labels", [1, 3, 8, 9, 112])
@pytest.mark.parametrize("room", [2**20, 1])
def test_a_shard_gives_back_the_rounded_values_above_the_floors(
    tmp_path, monkeypatch, labels, room
):
    monkeypatch.setattr(tracks, "CHANGES_AT_ONCE", room)
    logits = random_logits(150, labels, labels)
    floors = np.float32(np.random.default_rng(1).normal(size=labels))
    floors[labels // 2] = -np.inf
    path = shard_of(tmp_path / "s", logits, floors, cuts=(1, 57, 120))
    with np.errstate(invalid="ignore"):
        want = np.where(logits >= floors, rounded(logits), NAN)
    for label in range(labels):
        np.testing.assert_array_equal(dense(path, labels, label, 150), want[:, label])


def test_the_floor_itself_is_kept_and_no_score_is_not(tmp_path):
    below = np.nextafter(np.float32(1), np.float32(0))
    path = shard_of(tmp_path / "s", np.array([[1, below, NAN, np.inf, -np.inf, 1]]).T, [1])
    assert (~np.isnan(dense(path, 1, 0, 6))).tolist() == [True, False, False, True, False, True]
    path = shard_of(tmp_path / "s", np.array([[-np.inf, NAN, -99]]).T, [-np.inf])
    np.testing.assert_array_equal(dense(path, 1, 0, 3), [0, NAN, 0])


def test_cuts_do_not_change_the_bytes(tmp_path):
    logits = random_logits(300, 5)
    whole = shard_of(tmp_path / "a", logits, [0] * 5).read_bytes()
    for cuts in (range(1, 300), (150,), (0, 0, 7, 7, 300)):
        assert shard_of(tmp_path / "b", logits, [0] * 5, cuts).read_bytes() == whole


def test_a_run_may_span_many_segments(tmp_path):
    path = shard_of(tmp_path / "s", np.zeros((1000, 2)), [-1, 1], cuts=range(1, 1000))
    ((first, end, value),) = TrackReader(path, 2).runs(0)
    assert (first.tolist(), end.tolist(), value.tolist()) == ([0], [1000], [0.5])
    assert all(len(first) == 0 for first, _, _ in TrackReader(path, 2).runs(1))
    assert path.stat().st_size == 2 * 8 + 2 * 8  # two counts, two changes


def test_a_floor_of_nan_is_no_track(tmp_path):
    path = shard_of(tmp_path / "s", [[np.inf, 0]] * 9, [NAN, -np.inf])
    assert np.isnan(dense(path, 2, 0, 9)).all() and (dense(path, 2, 1, 9) == 0.5).all()


def test_segments_left_out_have_no_score(tmp_path):
    shard = TrackShard(tmp_path / "s", np.array([-np.inf]))
    for first, n in ((3, 4), (7, 2), (15, 1), (16, 1)):
        shard.add(first, np.zeros((n, 1), np.float32))
    shard.finish()
    scored = ~np.isnan(dense(tmp_path / "s", 1, 0, 20))
    assert np.flatnonzero(scored).tolist() == [3, 4, 5, 6, 7, 8, 15, 16]


def test_a_contig_without_steps_has_no_runs(tmp_path):
    path = shard_of(tmp_path / "s", np.empty((0, 2)), [0, 0])
    assert np.isnan(dense(path, 2, 1, 3)).all()


def test_a_new_shard_replaces_what_was_left_of_an_old_one(tmp_path):
    shard_of(tmp_path / "s", random_logits(100, 2), [0, 0])
    path = shard_of(tmp_path / "s", np.zeros((10, 2)), [0, 0])
    assert (dense(path, 2, 1, 10) == 0.5).all()


def test_steps_beyond_32_bits(tmp_path):
    shard, first = TrackShard(tmp_path / "s", np.array([0.0])), 2**33
    shard.add(first, np.ones((2, 1), np.float32))
    shard.finish()
    ((start, end, _),) = TrackReader(tmp_path / "s", 1).runs(0)
    assert (start[0], end[0]) == (first, first + 2)


# bigWigs


def bigwig(tmp_path, sizes, logits, stride=32, floor=-np.inf):
    """Path of the bigWig of track 1 of two; ``logits``: contig to (steps,)."""
    readers = []
    for index, values in enumerate(logits.values()):
        both = np.stack([np.full(len(values), 9.0), values], 1)
        readers.append(TrackReader(shard_of(tmp_path / f"{index}", both, [0, floor]), 2))
    path = tmp_path / "x.bw"
    write_bigwigs({1: path}, sizes, readers, stride, threads=1)
    return path


def values_of(path, chrom):
    with pyBigWig.open(str(path)) as file:
        return file.values(chrom, 0, file.chroms(chrom), numpy=True)


@pytest.mark.parametrize("stride", [1, 32])
@pytest.mark.parametrize("room", [64, 2**20])
@pytest.mark.parametrize("floor", [-np.inf, 0.25])
def test_a_bigwig_has_the_score_of_its_step_at_every_base(
    tmp_path, monkeypatch, stride, room, floor
):
    monkeypatch.setattr(tracks, "CHANGES_AT_ONCE", room)
    rng = np.random.default_rng(0)
    sizes = {"chr2": 300 * stride, "chr10": 200 * stride - stride // 2, "chr1": stride, "e": 1}
    logits = {c: np.float32(rng.normal(size=-(-n // stride)) * 3) for c, n in sizes.items()}
    for gap in (slice(0, 3), slice(60, 70), slice(100, 101), slice(150, 152)):
        logits["chr2"][gap] = NAN
    logits["chr10"][190:] = NAN
    path = bigwig(tmp_path, sizes, logits, stride, floor)
    for chrom, size in sizes.items():
        want = np.where(logits[chrom] >= floor, rounded(logits[chrom]), NAN)
        np.testing.assert_array_equal(values_of(path, chrom), np.repeat(want, stride)[:size])


def test_the_last_step_is_clipped_to_the_contig(tmp_path):
    path = bigwig(tmp_path, {"a": 65, "b": 96, "c": 5}, {"a": [0, 1, 2], "b": [0, 1, 2], "c": [3]})
    with pyBigWig.open(str(path)) as file:
        assert [row[:2] for row in file.intervals("a")] == [(0, 32), (32, 64), (64, 65)]
        assert [row[:2] for row in file.intervals("b")] == [(0, 32), (32, 64), (64, 96)]
        assert [row[:2] for row in file.intervals("c")] == [(0, 5)]


def test_neighbours_of_equal_value_are_one_interval(tmp_path):
    path = bigwig(tmp_path, {"a": 320}, {"a": [0, 0, 0.001, 1, 1, -1, NAN, -1, -1, -1]})
    with pyBigWig.open(str(path)) as file:
        spans = [row[:2] for row in file.intervals("a")]
    assert spans == [(0, 96), (96, 160), (160, 192), (224, 320)]


def test_contigs_without_a_score_are_in_the_header_in_order(tmp_path):
    sizes = {"empty": 0, "gap": 640, "b": 64, "a": 64}
    path = bigwig(tmp_path, sizes, {"empty": [], "gap": [NAN] * 20, "b": [0, 0], "a": [0, 1]})
    with pyBigWig.open(str(path)) as file:
        assert list(file.chroms().items()) == list(sizes.items())
        assert file.intervals("gap") is None
        assert len(file.intervals("b")) == 1 and len(file.intervals("a")) == 2


def test_a_track_without_any_score_can_be_opened(tmp_path):
    path = bigwig(tmp_path, {"gap": 640}, {"gap": [NAN] * 20})
    with pyBigWig.open(str(path)) as file:
        assert file.chroms() == {"gap": 640} and file.intervals("gap") is None


def test_zoom_levels_summarise_a_long_contig(tmp_path):
    logits = np.float32(np.random.default_rng(0).normal(size=50_000))
    path = bigwig(tmp_path, {"a": 1_600_000}, {"a": logits})
    with pyBigWig.open(str(path)) as file:
        assert file.header()["nLevels"] == 5 and file.header()["nBasesCovered"] == 1_600_000
        mean = rounded(logits).astype(np.float64).mean()
        assert file.stats("a", 0, 1_600_000)[0] == pytest.approx(mean, rel=1e-5)


# many labels, several threads


@pytest.fixture
def many(tmp_path):
    """Paths, sizes and readers of twelve tracks over three contigs."""
    sizes = {"a": 32_000, "b": 32, "c": 16_000}
    readers = []
    for index, (chrom, size) in enumerate(sizes.items()):
        logits = random_logits(size // 32, 12, index)
        readers.append(TrackReader(shard_of(tmp_path / chrom, logits, [-2] * 12), 12))
    return {label: tmp_path / f"{label}.bw" for label in range(12)}, sizes, readers


def test_threads_and_other_tracks_do_not_change_the_bytes(tmp_path, monkeypatch, many):
    paths, sizes, readers = many
    write_bigwigs(paths, sizes, readers, 32, threads=1)
    want = [path.read_bytes() for path in paths.values()]
    write_bigwigs(paths, sizes, readers, 32, threads=5)
    assert [path.read_bytes() for path in paths.values()] == want
    monkeypatch.setattr(tracks, "CHANGES_AT_ONCE", 50)
    floors = np.where(np.arange(12) == 7, -2, NAN)
    alone = [
        TrackReader(shard_of(tmp_path / f"{chrom}.7", random_logits(size // 32, 12, i), floors), 12)
        for i, (chrom, size) in enumerate(sizes.items())
    ]
    write_bigwigs({7: tmp_path / "7"}, sizes, alone, 32, threads=1)
    assert (tmp_path / "7").read_bytes() == want[7]


class Endless:
    """Tracks that never end, but for one that fails."""

    def __init__(self, error):
        self.error = error

    def runs(self, label):
        while label != 2:
            yield np.empty(0, int), np.empty(0, int), np.empty(0, np.float32)
        raise self.error


@pytest.mark.parametrize("error", [OSError("full"), KeyboardInterrupt("full")], ids=repr)
def test_an_error_in_one_track_ends_them_all(tmp_path, error):
    paths = {label: tmp_path / f"{label}.bw" for label in range(9)}
    with pytest.raises(type(error), match="full"):
        write_bigwigs(paths, {"a": 100}, [Endless(error)], 32, threads=3)
    # the thread of the one that failed may have begun another
    assert len(list(tmp_path.iterdir())) < len(paths)
