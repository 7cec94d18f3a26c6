import gzip
import logging
from pathlib import Path

import numpy as np
import pytest

from tcnfast.base.errors import TcnfastError
from tcnfast.genome.intervals import IntervalError, Intervals, mask_of, read_bed, read_labelled

PEAKS = Path(__file__).resolve().parents[3] / "shared" / "data" / "peaks"
SIZES = {"chr1": 1000, "chr2": 500}


@pytest.fixture
def write(tmp_path):
    def write(data, name="x.bed"):
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return write


def error_of(read, *args, **kwargs):
    """Message of the one-line IntervalError that `read` raises."""
    with pytest.raises(IntervalError) as info:
        read(*args, **kwargs)
    message = str(info.value)
    assert "\n" not in message and isinstance(info.value, TcnfastError)
    return message


def test_every_dialect_reads_alike(write):
    rows = [b"chr1\t10\t20\tname with blanks\t0\t+", b"chr2\t0\t500\tb\t1\t-", b"chr1\t5\t7"]
    talk = [b"browser position chr1", b'track name="x"', b"# talk", b"", b"   "]
    files = [
        b"\n".join(rows),
        b"\n".join(talk + rows) + b"\n",
        b"\r\n".join(talk + rows) + b"\r\n",
        b"\xef\xbb\xbf" + b"\n".join(rows),
        b"\n".join(b"  ".join(row.split(b"\t")[:3]) + b"  " for row in rows),
        gzip.compress(b"\n".join(rows[:1])) + gzip.compress(b"\n" + b"\n".join(rows[1:])),
    ]
    for data in files:
        got = read_bed(write(data), SIZES)
        assert got.chrom.tolist() == ["chr1", "chr2", "chr1"] and len(got) == 3
        assert got.start.tolist() == [10, 0, 5] and got.end.tolist() == [20, 500, 7]
        assert got.summit.tolist() == [-1, -1, -1] and got.label is None
        assert got.start.dtype == got.end.dtype == got.summit.dtype == np.int64


def test_contigs_named_like_talk_are_contigs(write):
    assert read_bed(write(b"track7\t1\t2\nbrowserA\t1\t2\n")).chroms == ["track7", "browserA"]


def test_narrowpeak_summits(write):
    tail = b"\tp\t1000\t.\t5.1\t-1\t-1\t"
    data = b"chr1\t10\t20" + tail + b"4\nchr1\t30\t40" + tail + b"-1\nchr1\t3\t9" + tail + b"0\n"
    assert read_bed(write(data), summits=True).summit.tolist() == [14, -1, 3]
    first = b"chr1\t10\t20" + tail + b"4\n"
    for row, words in (
        (b"chr1\t10\t20" + tail + b"11", ":2: summit offset 11 lies outside"),
        (b"chr1\t10\t20" + tail + b"x", "summit 'x' is no integer"),
        (b"chr1\t10\t20" + tail + b"9" * 5000, "summit '99999999999999999...' is no integer"),
        (b"chr1\t10\t20", ":2: 3 columns, a row of a narrowPeak file has 10"),
    ):
        assert words in error_of(read_bed, write(first + row), summits=True)
        assert read_bed(write(first + row)).summit.tolist() == [-1, -1]


@pytest.mark.parametrize(
    "row",
    [
        b"chr1\t10\t20\tn\t0\t+\t10\t20\t0\t1\t10\t0",  # BED12: a number of blocks
        b"chr1\t10\t20\tEH38\t0\t.\t10\t20\t225,225,225\tpELS,CTCF-bound\tx",  # ENCODE cCRE
        b"chr1\t10\t20\tEH38\t0\t.\t10\t20\t255,205,0\tdELS",
        b"chr1\t10\t20\tname\tchr1\t5\t30\tother\t0\t+",  # a join of two tables
        b"chr1\t10\t20\tp\t1\t.\t5.1\t-1\t-1\t4\tchr1\t5\t30",  # of a narrowPeak file
        b"chr1\t10\t20\t.\t0\t.\t3.1\t-1\t-1\thotspot",
    ],
)
def test_ten_columns_of_other_kinds_have_no_summit(write, row):
    got = read_bed(write(row + b"\n" + row), SIZES, summits=True)
    assert got.start.tolist() == [10, 10] and got.summit.tolist() == [-1, -1]


def test_on_sorts_one_contig(write):
    data = b"#chrom\tstart\tend\tlabel\nb\t9\t12\tx\na\t5\t6\ty\nb\t3\t30\tz\nb\t9\t11\tw\n"
    got = read_labelled(write(data)).on("b")
    assert got.start.tolist() == [3, 9, 9] and got.label.tolist() == ["z", "x", "w"]
    assert len(got.on("nothing")) == 0 and got.chroms == ["b"]


def test_labelled_headers(write):
    full = b"#chrom\tstart\tend\ttf\tcell\tsummit\nchr1\t1\t9\tCTCF\tK562\t4\n"
    got = read_labelled(write(full))
    assert got.label.tolist() == ["CTCF@K562"] and got.summit.tolist() == [4]
    mid = b"# chrom\tstart\tend\tmid\tcell\ttf\r\nchr1\t1\t9\t5\tK562\tMAX\r\n"
    got = read_labelled(write(mid))
    assert got.label.tolist() == ["MAX@K562"] and got.summit.tolist() == [5]
    got = read_labelled(write(b"#chrom start end label tf cell\nchr1 1 9 mine a b\n"))
    assert got.label.tolist() == ["mine"] and got.summit.tolist() == [-1]
    got = read_labelled(write(b"#chrom\tstart\tend\ttf\nchr1\t1\t9\tCTCF\n"))
    assert got.label.tolist() == ["CTCF"]
    got = read_labelled(write(b"chr1\t1\t9\tCTCF\nchr1\t3\t9\tMAX\n"))
    assert got.label.tolist() == ["CTCF", "MAX"] and got.start.tolist() == [1, 3]


@pytest.mark.parametrize(
    "data, word",
    [
        (b"", "first line must name"),
        (b"chr1\t1\t9\ta\t0\n", "first line must name"),
        (b"chr1\t1\t9\ta\nchr1\t1\t9\n", ":2: 3 columns, needs 4"),
        (b"".join(b"chr1\t1\t9\tpeak%d\n" % i for i in range(101)), "names each of the 101 rows"),
        (b"#chrom\tstart\tend\tcell\nchr1\t1\t2\tc\n", "first line must name"),
        (b"#chrom\tstart\tend\tlabel\n", "no intervals"),
        (b"#chrom\tstart\tend\ttf\tcell\nchr1\t1\t2\tCTCF\n", ":2: 4 columns, needs 5"),
        (b"#chrom\tstart\tend\tlabel\nchr1\t1\t2\t\n", ":2: empty label"),
        (b"#chrom\tstart\tend\tlabel\tsummit\nchr1\t1\t2\ta\tq\n", ":2: summit 'q'"),
    ],
)
def test_bad_labelled(write, data, word):
    assert word in error_of(read_labelled, write(data))


@pytest.mark.parametrize(
    "line, word",
    [
        (b"chr1\t9\t5", "start 9 is not below end 5"),
        (b"chr1\t9\t9", "start 9 is not below end 9"),
        (b"chr1\t-3\t9", "start -3 is negative"),
        (b"chr1\t3\t-9", "end -9 is negative"),
        (b"chr1\t3.0\t9", "start '3.0' is no integer"),
        (b"chr1\t1_0\t90", "start '1_0' is no integer"),
        (b"chr1\t3\t1e4", "end '1e4' is no integer"),
        (b"chr1\t3\t", "end '' is no integer"),
        (b"chr1\t3", "2 columns"),
        (b"chr1:3-9", "1 column;"),
        (b"chr1\t3\t" + b"9" * 5000, "end 99999999999999999... is beyond every contig"),
        (b"chr1\t" + b"9" * 19 + b"\t5", "start 9999999999999999999 is beyond"),
        (b"chr1\t3\t1001", "beyond chr1, which has 1000 bp"),
        (b"chr9\t3\t10", "no contig 'chr9'"),
    ],
)
def test_bad_lines_name_path_and_line(write, line, word):
    path = write(b"# talk\nchr1\t1\t2\n\n" + line + b"\nchr1\t5\t6\n")
    message = error_of(read_bed, path, SIZES)
    assert message.startswith(f"{path}:4: ") and word in message


def test_header_without_hash_is_explained(write):
    message = error_of(read_bed, write(b"chrom\tstart\tend\nchr1\t1\t2\n"))
    assert ":1: start 'start' is no integer; begin header lines with '#'" in message


@pytest.mark.parametrize("allow", [False, True])
def test_chr_against_no_chr(write, allow):
    path = write(b"chr20\t1\t2\nchrX\t1\t2\n")
    message = error_of(read_bed, path, {"20": 99, "X": 99}, allow_missing=allow)
    assert "'chr20' is called '20'" in message and "sed 's/^chr//'" in message
    path = write(b"20\t1\t2\n")
    message = error_of(read_bed, path, {"chr20": 99}, allow_missing=allow)
    assert "'20' is called 'chr20'" in message and "sed 's/^/chr/'" in message


def test_allow_missing_drops_rows_and_says_so(write, caplog):
    path = write(b"chr9\t1\t2\nchr1\t1\t2\nchr8\t1\t2\nchr9\t5\t9\n")
    with caplog.at_level(logging.WARNING):
        got = read_bed(path, SIZES, allow_missing=True)
    assert got.chroms == ["chr1"]
    words = "dropped 3 of 4 rows, on 2 contigs that the genome lacks: chr9, chr8"
    assert words in caplog.text
    path = write(b"chr1\t1\t2\n2\t1\t2\n")
    assert ":2: contig '2' is called 'chr2'" in error_of(read_bed, path, SIZES, allow_missing=True)


def test_bad_files(write, tmp_path):
    assert "no such file" in error_of(read_bed, tmp_path / "nothing.bed")
    assert "cannot be read" in error_of(read_bed, tmp_path)
    assert "no intervals" in error_of(read_bed, write(b""))
    assert "no intervals" in error_of(read_bed, write(b"# only talk\n\n"))
    rows = b"".join(b"chr1\t%d\t%d\n" % (i, i + 1 + i * i % 7) for i in range(5000))
    packed = gzip.compress(rows)
    assert "truncated gzip" in error_of(read_bed, write(packed[:-9]))
    assert "damaged gzip" in error_of(read_bed, write(packed[:5000] + b"junk" + packed[5004:]))


@pytest.mark.parametrize("seed", range(5))
def test_mask_of_agrees_with_naive(seed):
    rng = np.random.default_rng(seed)
    start = rng.integers(0, 900, 20)
    end = start + rng.integers(1, 60, 20)
    rows = Intervals(np.array(["c"] * 20, object), start, end, np.full(20, -1))
    positions = rng.integers(-5, 1000, 500)
    want = [bool(((start <= p) & (p < end)).any()) for p in positions]
    assert mask_of(rows, positions).tolist() == want
    assert not mask_of(rows.on("nothing"), positions).any()


def test_mask_of_refuses_several_contigs():
    rows = Intervals(np.array(["a", "b"], object), *(np.array([1, 2]) for _ in range(3)))
    assert ".on(chrom)" in error_of(mask_of, rows, np.array([1]))


def test_real_tables():
    if not PEAKS.exists():
        pytest.skip("the shared peaks are not here")
    sizes = {"chr20": 63_025_520, "chrX": 155_270_560}
    peaks = read_labelled(PEAKS / "dream_conservative.hg19.chr20_X.bed.gz", sizes)
    assert len(peaks) == 133_998 and len(set(peaks.label)) == 109
    # a handful of the published summits lie outside their peaks
    assert ((peaks.summit >= peaks.start) & (peaks.summit < peaks.end)).mean() > 0.999
    assert len(read_bed(PEAKS / "blacklist.hg19.chr20_X.bed.gz", sizes)) == 81
    gm = read_labelled(PEAKS / "precisetad_gm12878_26tf.hg19.chr20_X.bed.gz", sizes)
    assert len(gm) == 16_068 and "CTCF@GM12878" in gm.label
