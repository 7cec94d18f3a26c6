"""The bigWig of a track, as pyBigWig reads it."""

import errno
import os
import struct
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyBigWig
import pytest
from full_disk import FullDisk
from support.track import rounded, shard_of

from tcnfast.base import disk
from tcnfast.scan import track_bigwig, track_shards
from tcnfast.scan.track_bigwig import Track, TrackReader, write_bigwig

NAN = np.nan


def bigwig(tmp_path, sizes, logits, stride=32, floor=-np.inf):
    """Path of the bigWig of track 1 of two; ``logits``: contig to (steps,)."""
    shards = []
    for index, values in enumerate(logits.values()):
        both = np.stack([np.full(len(values), 9.0), values], 1)
        shards.append([str(shard_of(tmp_path / f"{index}", both, [0, floor]))])
    path = tmp_path / "x.bw"
    write_bigwig(Track(str(path), sizes, shards, 2, 1, stride))
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
    monkeypatch.setattr(track_shards, "CHANGES_AT_ONCE", room)
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


@pytest.mark.parametrize("n", [2726, 2727, 2728, 2729])
def test_contigs_that_fill_a_block_of_the_file(tmp_path, n):
    """libBigWig compresses 2,728 intervals together, of one contig."""
    logits = np.float32(np.arange(n) % 2)
    path = bigwig(tmp_path, {"a": 32 * n, "b": 32 * n}, {"a": logits, "b": logits})
    for chrom in "ab":
        np.testing.assert_array_equal(values_of(path, chrom), np.repeat(rounded(logits), 32))


def test_many_contigs(tmp_path):
    sizes = {f"contig_{7919 * i % 100_003}": 100 + i for i in range(1_000)}
    logits = {name: [i / 300, NAN, 0] for i, name in enumerate(sizes)}
    path = bigwig(tmp_path, sizes, logits)
    with pyBigWig.open(str(path)) as file:
        assert list(file.chroms().items()) == list(sizes.items())
        for name, (first, _, last) in logits.items():
            want = ((0, 32, rounded(np.float32(first))), (64, 96, rounded(np.float32(last))))
            assert file.intervals(name) == want


def test_positions_beyond_31_bits(tmp_path):
    shard, first, size = track_shards.TrackShard(tmp_path / "s", np.array([0.0])), 2**31, 2**32 - 1
    shard.add(0, np.full((2, 1), 2, np.float32))
    shard.add(first // 32, np.ones((1, 1), np.float32))
    shard.add(size // 32, np.zeros((1, 1), np.float32))
    shard.finish()
    write_bigwig(Track(str(tmp_path / "x.bw"), {"a": size}, [[str(tmp_path / "s")]], 1, 0, 32))
    with pyBigWig.open(str(tmp_path / "x.bw")) as file:
        for start, end, logit in [(0, 64, 2), (first, first + 32, 1), (size - 31, size, 0)]:
            ((begin, stop, value),) = file.intervals("a", start, end)
            # pyBigWig shows positions as int32
            assert (begin % 2**32, stop % 2**32) == (start, end)
            assert value == rounded(np.float32(logit))


def test_zoom_levels_summarise_a_long_contig(tmp_path):
    """But for one bin in 1,023 and the last, of which libBigWig 0.4.10 loses the sum."""
    logits = np.float32(np.random.default_rng(0).normal(size=2**16))
    size = 32 * len(logits)
    path = bigwig(tmp_path, {"a": size}, {"a": logits})
    values = rounded(logits).astype(np.float64)
    with pyBigWig.open(str(path)) as file:
        assert file.header()["nLevels"] == 3 and file.header()["nBasesCovered"] == size
        for bins in (1, 8, 64):
            parts = values.reshape(bins, -1)
            for kind, want in [("mean", parts.mean(1)), ("max", parts.max(1))]:
                got = np.array(file.stats("a", 0, size, nBins=bins, type=kind))
                rest = slice(None if bins == 1 else -1)
                np.testing.assert_allclose(got[rest], want[rest], rtol=0.01, err_msg=kind)
                got = file.stats("a", 0, size, nBins=bins, type=kind, exact=True)
                np.testing.assert_allclose(got, want, rtol=1e-6, err_msg=kind)


# room on the disk


RANDOM = {
    "dense": (60_000, 0),
    "sparse": (200_000, 2.2),
    "isolated": (3_000_000, 3.5),
    "short contigs": (60_000, 1),
    "empty": (1000, 99),
}


@pytest.mark.parametrize("shape", RANDOM)
@pytest.mark.parametrize("stride", [1, 32])
def test_the_room_held_is_enough_and_the_rest_is_given_back(tmp_path, monkeypatch, shape, stride):
    steps, floor = RANDOM[shape]
    logits = np.abs(np.float32(np.random.default_rng(0).normal(size=steps)))
    contigs = {f"c{i}": x for i, x in enumerate(np.array_split(logits, 500))}
    if shape != "short contigs":
        contigs = {"a": logits}
    sizes = {name: stride * len(x) for name, x in contigs.items()}
    held = []
    monkeypatch.setattr(os, "posix_fallocate", lambda file, begin, n: held.append(n))
    want = bigwig(tmp_path, sizes, contigs, stride, floor).read_bytes()
    monkeypatch.undo()
    path = bigwig(tmp_path, sizes, contigs, stride, floor)
    assert path.read_bytes() == want and len(want) < held[0] < 2**19 + 4 * len(want)
    assert 512 * path.stat().st_blocks < len(want) + 2**16


def test_a_disk_that_cannot_hold_room_is_filled_with_zeros(tmp_path, monkeypatch):
    want = bigwig(tmp_path, {"a": 640}, {"a": [1] * 20}).read_bytes()

    def cannot(*_):
        raise OSError(errno.EOPNOTSUPP, "not supported")

    monkeypatch.setattr(os, "posix_fallocate", cannot)
    assert bigwig(tmp_path, {"a": 640}, {"a": [1] * 20}).read_bytes() == want
    room = lambda *args: FullDisk(open(*args), 1000)  # noqa: E731
    monkeypatch.setattr(disk, "open", room, raising=False)
    with pytest.raises(OSError, match="No space left"):
        bigwig(tmp_path, {"a": 640}, {"a": [1] * 20})


@pytest.mark.parametrize("cut", [0, 3, 64, -5, -1])
def test_a_file_without_its_end_is_an_error(tmp_path, monkeypatch, cut):
    """libBigWig reports no write that failed: what it wrote is cut here."""
    real = pyBigWig.open

    @contextmanager
    def cutting(name, mode):
        with real(name, mode) as file:
            yield file
        path = Path(name)
        data = path.read_bytes()
        path.write_bytes(data.rstrip(b"\0")[:cut].ljust(len(data), b"\0"))

    monkeypatch.setattr(pyBigWig, "open", cutting)
    with pytest.raises(OSError, match="not written whole; is the disk full") as caught:
        bigwig(tmp_path, {"a": 640}, {"a": [1] * 20})
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename == str(tmp_path / "x.bw")


def test_an_error_of_pybigwig_without_words_gets_them(tmp_path, monkeypatch):
    def fails(*_):
        raise SystemError("error return without exception set")

    monkeypatch.setattr(TrackReader, "runs", fails)
    with pytest.raises(OSError, match="not written whole; is the disk full"):
        bigwig(tmp_path, {"a": 640}, {"a": [1] * 20})


def test_the_program_starts_without_the_heavy_modules():
    code = "import sys, tcnfast.scan.track_bigwig; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not {"torch", "numba", "pandas", "scipy"} & set(done.stdout.split())


def found_in_index(data, name):
    """(id, bases) of a contig as genome browsers look it up: down the tree of names, at each node
    into the last child whose first name is not above; None where it is not there."""
    (at,) = struct.unpack_from("<Q", data, 8)
    _, _, key_size, _, items = struct.unpack_from("<IIIIQ", data, at)
    at += 32
    while True:
        leaf, _, count = struct.unpack_from("<BBH", data, at)
        step = key_size + 8
        places = [at + 4 + i * step for i in range(count)]
        keys = [data[x : x + key_size].rstrip(b"\0") for x in places]
        if leaf:
            if name not in keys:
                return None
            return struct.unpack_from("<II", data, places[keys.index(name)] + key_size)
        below = [i for i, key in enumerate(keys) if key <= name]
        (at,) = struct.unpack_from("<Q", data, places[below[-1] if below else 0] + key_size)


def test_names_of_many_contigs_are_found(tmp_path, monkeypatch):
    """libBigWig keeps the order it is given, and readers look for a name by its place."""
    count = track_bigwig.INDEX_BLOCK + 1
    sizes = {f"scaffold{i}": 64 + i for i in range(count, 0, -1)}
    names = ["scaffold1", "scaffold9", "scaffold32768", "scaffold10000", "scaffold2", "scaffold999"]
    shards = [[] for _ in sizes]
    for label, name in enumerate(names):
        value = np.float32([[label - 2.0]])
        shards[list(sizes).index(name)] = [str(shard_of(tmp_path / name, value, [-9]))]
    path = tmp_path / "x.bw"
    write_bigwig(Track(str(path), sizes, shards, 1, 0, 32))
    data = path.read_bytes()
    for label, name in enumerate(names):
        number, size = found_in_index(data, name.encode())
        assert size == sizes[name]
        assert sorted(sizes)[number] == name
        assert values_of(path, name)[0] == rounded(np.float32(label - 2.0))
    assert found_in_index(data, b"scaffold") is None
    few = {"chr2": 5, "chr10": 6, "chr1": 7}
    assert list(track_bigwig.header_sizes(few)) == list(few)
