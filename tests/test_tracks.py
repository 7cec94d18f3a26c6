"""The files of a scan: narrowPeak rows, bigWig tracks, their names, and the shards in between."""

import numpy as np
import pyBigWig
import pytest

from tcnfast import tracks
from tcnfast.errors import TcnfastError
from tcnfast.peaks import Runs
from tcnfast.tracks import TrackShard, file_names, narrowpeak_lines, probability, write_bigwig


def sigmoid(logit):
    return 1 / (1 + np.exp(-np.asarray(logit, np.float64)))


def runs(rows):
    """Runs of (first, last, best, best_at) rows of label 0."""
    first, last, best, best_at = zip(*rows, strict=True)
    columns = (np.zeros(len(rows), np.int32), *map(np.int64, (first, last)))
    return Runs(*columns, np.float32(best), np.int64(best_at))


def narrowpeak(rows, size, stride=32):
    calls = runs(rows)
    end = np.minimum((calls.last + 1) * stride, size)
    lines = list(narrowpeak_lines("chr7", "A@B", calls, calls.first * stride, end, stride))
    assert all(line.endswith("\n") for line in lines)
    return [line[:-1].split("\t") for line in lines]


# probabilities


def test_probability_is_the_logistic_function_without_overflow():
    logits = np.float32([-1e30, -200, -30, -1, 0, 0.5, 30, 200, 1e30, np.inf, -np.inf])
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(probability(logits), sigmoid(logits), rtol=1e-9, atol=1e-12)
    assert np.isnan(probability(np.nan))


# narrowPeak


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
    empty = np.empty(0, np.int64)
    assert list(narrowpeak_lines("chr1", "A", Runs.empty(), empty, empty, 32)) == []


# file names


def test_file_names():
    labels = ["CTCF@K562", "a b/c", "H3K4me3+", "x:y", "NKX2-5"]
    assert file_names(labels) == ["CTCF@K562", "a_b_c", "H3K4me3+", "x_y", "NKX2-5"]


def test_labels_that_share_a_file_name_raise():
    with pytest.raises(TcnfastError, match="labels 'a/b' and 'a:b' share a file name"):
        file_names(["a/b", "c", "a:b"])


# shards


def test_a_shard_gives_back_what_was_written(tmp_path):
    rng = np.random.default_rng(0)
    logits = rng.normal(scale=4, size=(1000, 3)).astype(np.float32)
    logits[100:120] = np.nan
    shard = TrackShard(tmp_path / "s", 3, 1000)
    shard.create()
    for first in (0, 700, 300):  # any order; 550 to 700 is never written
        shard.write(first, logits[first : first + 250 + 50 * (first == 700)])
    want = sigmoid(logits).astype(np.float16).astype(np.float32).T
    want[:, 250:300] = want[:, 550:700] = np.nan
    for track in range(3):
        np.testing.assert_array_equal(shard.read(track, 0, 1000), want[track])
        np.testing.assert_array_equal(shard.read(track, 237, 451), want[track, 237:688])
    assert (tmp_path / "s").stat().st_size == 3 * 1000 * 2


def test_a_new_shard_holds_no_score_anywhere(tmp_path, monkeypatch):
    monkeypatch.setattr(tracks, "CHUNK_STEPS", 7)
    shard = TrackShard(tmp_path / "s", 3, 50)
    shard.create()
    assert (tmp_path / "s").stat().st_size == 300
    assert all(np.isnan(shard.read(track, 0, 50)).all() for track in range(3))


def test_a_shard_is_not_mapped_into_memory(tmp_path, monkeypatch):
    """A full disk under a mapped file kills the process; under a written one it is an error."""
    monkeypatch.setattr(np, "memmap", None)
    shard = TrackShard(tmp_path / "s", 2, 100)
    shard.create()
    shard.write(0, np.zeros((100, 2), np.float32))
    assert type(shard.read(1, 0, 100)) is np.ndarray and (shard.read(1, 0, 100) == 0.5).all()


def test_another_process_sees_the_shard(tmp_path):
    shard = TrackShard(tmp_path / "s", 2, 10)
    shard.create()
    shard.write(3, np.float32([[0, 100]]))
    again = TrackShard(tmp_path / "s", 2, 10)
    assert again.read(0, 3, 1) == 0.5 and again.read(1, 3, 1) == 1


# bigWig


def bigwig(tmp_path, sizes, logits, stride=32):
    """Path of the bigWig of track 1 of two; ``logits``: contig to (steps,)."""
    shards = []
    for index, (chrom, values) in enumerate(logits.items()):
        shard = TrackShard(tmp_path / f"{index}", 2, len(values))
        shard.create()
        shard.write(0, np.stack([np.full(len(values), 9.0), values], 1).astype(np.float32))
        shards.append((chrom, shard))
    path = tmp_path / "x.bw"
    write_bigwig(path, sizes, shards, 1, stride)
    return path


def values_of(path, chrom):
    with pyBigWig.open(str(path)) as file:
        return file.values(chrom, 0, file.chroms(chrom), numpy=True)


@pytest.mark.parametrize("stride", [1, 32])
@pytest.mark.parametrize("chunk", [64, 2**20])
def test_a_bigwig_has_the_score_of_its_step_at_every_base(tmp_path, monkeypatch, stride, chunk):
    monkeypatch.setattr(tracks, "CHUNK_STEPS", chunk)
    rng = np.random.default_rng(0)
    sizes = {"chr2": 300 * stride, "chr10": 200 * stride - stride // 2, "chr1": stride, "e": 1}
    logits = {chrom: rng.normal(size=-(-n // stride)) * 3 for chrom, n in sizes.items()}
    for gap in (slice(0, 3), slice(60, 70), slice(100, 101), slice(150, 152)):
        logits["chr2"][gap] = np.nan
    logits["chr10"][190:] = np.nan
    path = bigwig(tmp_path, sizes, logits, stride)
    for chrom, size in sizes.items():
        want = np.repeat(sigmoid(np.float32(logits[chrom])), stride)[:size]
        got = values_of(path, chrom)
        np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
        np.testing.assert_allclose(got, want, rtol=2**-11, atol=2**-24)


def test_the_last_step_is_clipped_to_the_contig(tmp_path):
    path = bigwig(tmp_path, {"a": 65, "b": 96, "c": 5}, {"a": [0, 1, 2], "b": [0, 1, 2], "c": [3]})
    with pyBigWig.open(str(path)) as file:
        assert [row[:2] for row in file.intervals("a")] == [(0, 32), (32, 64), (64, 65)]
        assert [row[:2] for row in file.intervals("b")] == [(0, 32), (32, 64), (64, 96)]
        assert [row[:2] for row in file.intervals("c")] == [(0, 5)]


def test_one_value_per_step(tmp_path):
    """Equal neighbours are not joined: the file says what the spacing of the scores was."""
    path = bigwig(tmp_path, {"a": 320}, {"a": np.zeros(10)})
    with pyBigWig.open(str(path)) as file:
        assert file.intervals("a") == tuple((32 * i, 32 * i + 32, 0.5) for i in range(10))


def test_the_header_keeps_the_order_of_the_contigs(tmp_path):
    """libBigWig numbers contigs by the header, and rows must follow the same order."""
    sizes = {"chr10": 64, "chr2": 64, "chr1": 64}
    path = bigwig(tmp_path, sizes, {chrom: [0, 1] for chrom in sizes})
    with pyBigWig.open(str(path)) as file:
        assert list(file.chroms().items()) == list(sizes.items())


def test_contigs_without_a_score_are_in_the_header(tmp_path):
    sizes = {"empty": 0, "gap": 640, "a": 64, "unscanned": 99}
    logits = {"empty": [], "gap": np.full(20, np.nan), "a": [0, 0]}
    path = bigwig(tmp_path, sizes, logits)
    with pyBigWig.open(str(path)) as file:
        assert file.chroms() == sizes and file.intervals("gap") is None
        assert len(file.intervals("a")) == 2


def test_a_track_without_any_score_can_be_opened(tmp_path):
    path = bigwig(tmp_path, {"gap": 640}, {"gap": np.full(20, np.nan)})
    with pyBigWig.open(str(path)) as file:
        assert file.chroms() == {"gap": 640} and file.intervals("gap") is None


def test_zoom_levels_summarise_a_long_contig(tmp_path):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=50_000)
    path = bigwig(tmp_path, {"a": 1_600_000}, {"a": logits})
    with pyBigWig.open(str(path)) as file:
        assert file.header()["nLevels"] > 0
        assert file.header()["nBasesCovered"] == 1_600_000
        mean = sigmoid(np.float32(logits)).astype(np.float16).astype(np.float64).mean()
        assert file.stats("a", 0, 1_600_000)[0] == pytest.approx(mean, rel=1e-3)
