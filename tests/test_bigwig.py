"""bigWig files against what libBigWig reads in them."""

import struct

import numpy as np
import pyBigWig
import pytest
from full_disk import FullDisk

from tcnfast import bigwig
from tcnfast.bigwig import BigWigWriter


def write(path, sizes, intervals, first_zoom=64, chunk=None):
    """``intervals``: contig to (start, end, value) columns, added ``chunk`` at a time."""
    names = list(sizes)
    with BigWigWriter(path, sizes, first_zoom) as writer:
        for chrom, (start, end, value) in intervals.items():
            for i in range(0, len(start), chunk or max(1, len(start))):
                part = slice(i, i + (chunk or len(start)))
                values = np.float32(value)[part]
                writer.add(names.index(chrom), np.array(start)[part], np.array(end)[part], values)
    return path


def random_intervals(n, size, seed=0):
    """Sorted, apart or touching, within ``size`` bases."""
    rng = np.random.default_rng(seed)
    edges = np.sort(rng.choice(size + 1, 2 * n, replace=False))
    start, end = edges[::2], edges[1::2].copy()
    touch = np.flatnonzero(rng.random(n - 1) < 0.4)
    end[touch] = start[touch + 1]
    return start, end, rng.integers(0, 100, n) / 99


def values_of(path, chrom):
    with pyBigWig.open(str(path)) as file:
        return file.values(chrom, 0, file.chroms(chrom), numpy=True)


def dense(size, start, end, value):
    out = np.full(size, np.nan, np.float32)
    for a, b, x in zip(start, end, value, strict=True):
        out[a:b] = x
    return out


SIZES = {"chr2": 40_000, "chr10": 70_001, "none": 0, "chr1": 333, "x": 1}


@pytest.fixture
def intervals():
    counts = {"chr2": 1024, "chr10": 3_000, "chr1": 5}
    found = {name: random_intervals(n, SIZES[name], n) for name, n in counts.items()}
    return found | {"x": ([0], [1], [0.25])}


@pytest.mark.parametrize("chunk", [None, 1, 7, 1024, 1500])
def test_every_base_has_its_value(tmp_path, intervals, chunk):
    path = write(tmp_path / "x.bw", SIZES, intervals, chunk=chunk)
    for chrom, columns in intervals.items():
        np.testing.assert_array_equal(values_of(path, chrom), dense(SIZES[chrom], *columns))
    with pyBigWig.open(str(path)) as file:
        assert list(file.chroms().items()) == list(SIZES.items())
        assert len(file.intervals("chr10")) == 3_000


def test_chunks_do_not_change_the_bytes(tmp_path, intervals):
    whole = write(tmp_path / "a.bw", SIZES, intervals).read_bytes()
    for chunk in (1, 100, 1024, 1777):
        assert write(tmp_path / "b.bw", SIZES, intervals, chunk=chunk).read_bytes() == whole


def test_the_header_sums_up_the_whole_file(tmp_path, intervals):
    path = write(tmp_path / "x.bw", SIZES, intervals)
    every = np.concatenate([dense(SIZES[chrom], *x) for chrom, x in intervals.items()])
    every = every[~np.isnan(every)].astype(np.float64)
    with open(path, "rb") as file:
        file.seek(44)
        (at,) = struct.unpack("<Q", file.read(8))
        file.seek(at)
        covered, *rest = struct.unpack("<Qdddd", file.read(40))
    assert covered == len(every)
    want = [every.min(), every.max(), every.sum(), (every**2).sum()]
    np.testing.assert_allclose(rest, want, rtol=1e-9)


def test_zoom_levels_sum_up_what_they_cover(tmp_path):
    """Statistics of bins as wide as those of a zoom level are those of the bases."""
    size = 2**20
    columns = random_intervals(20_000, size)
    path = write(tmp_path / "x.bw", {"a": size}, {"a": columns}, chunk=999)
    bases = dense(size, *columns).astype(np.float64)
    with pyBigWig.open(str(path)) as file:
        assert file.header()["nLevels"] == 7
        for width in (1024, 4096, 2**16, 2**20):
            bins = bases.reshape(-1, width)
            for kind, want in (
                ("mean", np.nanmean(bins, 1)),
                ("min", np.nanmin(bins, 1)),
                ("max", np.nanmax(bins, 1)),
                ("coverage", (~np.isnan(bins)).mean(1)),
                ("std", np.nanstd(bins, 1, ddof=1)),
            ):
                got = file.stats("a", 0, size, type=kind, nBins=len(bins))
                np.testing.assert_allclose(got, want, rtol=1e-4, err_msg=f"{kind} {width}")


def test_a_long_interval_is_shared_out_over_zoom_bins(tmp_path):
    path = write(tmp_path / "x.bw", {"a": 100_000}, {"a": ([10], [99_990], [0.5])})
    with pyBigWig.open(str(path)) as file:
        means = file.stats("a", 0, 65_536, nBins=64)
        np.testing.assert_allclose(means, 0.5, rtol=1e-6)
        assert file.stats("a", 0, 1024, type="coverage")[0] == pytest.approx(1 - 10 / 1024)


def test_more_sections_than_a_node_of_the_index_holds(tmp_path, monkeypatch):
    monkeypatch.setattr(bigwig, "SECTION_ITEMS", 8)
    sizes = {"a": 400_000, "b": 300_000}
    columns = {name: random_intervals(30_000, size) for name, size in sizes.items()}
    monkeypatch.setattr(bigwig, "NODE_ITEMS", 4)  # six levels
    path = write(tmp_path / "x.bw", sizes, columns)
    for chrom, size in sizes.items():
        np.testing.assert_array_equal(values_of(path, chrom), dense(size, *columns[chrom]))
        with pyBigWig.open(str(path)) as file:
            for start in range(0, size - 100, 9_999):
                got = file.values(chrom, start, start + 100, numpy=True)
                want = dense(size, *columns[chrom])[start : start + 100]
                np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("contigs", [1, 256, 257, 1_000])
def test_many_contigs(tmp_path, contigs):
    sizes = {f"contig_{7919 * i % 100_003}": 100 + i for i in range(contigs)}
    columns = {name: ([5, 60], [9, 70], [i, 0.5]) for i, name in enumerate(sizes)}
    path = write(tmp_path / "x.bw", sizes, columns)
    with pyBigWig.open(str(path)) as file:
        assert list(file.chroms().items()) == list(sizes.items())
        for i, name in enumerate(sizes):
            assert file.intervals(name) == ((5, 9, i), (60, 70, 0.5))


def test_names_are_sorted_in_the_tree(tmp_path):
    """UCSC's tools search it."""
    sizes = {name: 10 for name in ("chr2", "chr10", "chr1", "b", "chr1_alt")}
    path = write(tmp_path / "x.bw", sizes, {})
    with open(path, "rb") as file:
        file.seek(8)
        (at,) = struct.unpack("<Q", file.read(8))
        file.seek(at + 8)
        key_size, value_size, n = struct.unpack("<IIQ", file.read(16))
        file.seek(at + 32 + 4)
        rows = [struct.unpack(f"<{key_size}sII", file.read(key_size + 8)) for _ in range(n)]
    assert (key_size, value_size) == (8, 8)
    keys = [key.rstrip(b"\0").decode() for key, _, _ in rows]
    assert keys == sorted(sizes) and [list(sizes)[i] for _, i, _ in rows] == keys


def test_a_file_without_intervals_can_be_opened(tmp_path):
    path = write(tmp_path / "x.bw", {"gap": 640}, {})
    with pyBigWig.open(str(path)) as file:
        assert file.chroms() == {"gap": 640} and file.intervals("gap") is None
        assert file.header()["nBasesCovered"] == 0
        assert file.stats("gap", 0, 640) == [None]


def test_positions_beyond_31_bits(tmp_path):
    size = 2**32 - 1
    start = np.array([2**31 - 5, 2**31 + 7, size - 3])
    path = write(tmp_path / "x.bw", {"a": size}, {"a": (start, start + 3, [1, 2, 3])})
    with pyBigWig.open(str(path)) as file:
        for at, value in zip(start.tolist(), [1, 2, 3], strict=True):
            ((first, end, got),) = file.intervals("a", at, at + 3)
            # pyBigWig shows positions as int32
            assert (first % 2**32, end % 2**32, got) == (at, at + 3, value)


@pytest.mark.parametrize("room", [10, 1_000, 20_000, 40_000])
def test_a_full_disk_is_an_error(tmp_path, intervals, monkeypatch, room):
    path = tmp_path / "x.bw"
    assert write(path, SIZES, intervals).stat().st_size > 40_000
    monkeypatch.setattr(bigwig, "open", lambda *args: FullDisk(open(*args), room), raising=False)
    with pytest.raises(OSError, match="No space left"):
        write(path, SIZES, intervals)


def test_a_full_disk_under_the_zoom_levels_is_an_error(tmp_path, intervals, monkeypatch):
    class Spool(FullDisk):
        def __init__(self, *_, **__):
            super().__init__(open(tmp_path / "spool", "w+b"), 100)

    monkeypatch.setattr(bigwig.tempfile, "SpooledTemporaryFile", Spool)
    with pytest.raises(OSError, match="No space left"):
        write(tmp_path / "x.bw", SIZES, intervals)


def test_nothing_temporary_is_left(tmp_path, intervals, monkeypatch):
    monkeypatch.setattr(bigwig, "SPOOL_BYTES", 100)
    write(tmp_path / "x.bw", SIZES, intervals)
    assert [path.name for path in tmp_path.iterdir()] == ["x.bw"]
