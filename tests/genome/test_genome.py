"""Regions, contig names, and sequences of FASTA files of every layout, sound and damaged."""

import gzip
import io
import logging
import os
import pickle
import random
import re
import struct
import tempfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from support.fasta import error_of, naive, sequence, wrap

from tcnfast.genome import fasta, fasta_index, fasta_text
from tcnfast.genome.genome import Genome, Region, match_chroms, parse_region, split_chroms
from tcnfast.genome.sequence_files import Parts

CHR20 = Path(__file__).resolve().parents[3] / "shared/data/genome/hg19.chr20.fa.gz"


def bgzip(data, block=1000):
    """Blocked gzip, with the end mark."""
    out = b""
    for i in [*range(0, len(data), block), None]:
        part = b"" if i is None else data[i : i + block]
        packer = zlib.compressobj(6, zlib.DEFLATED, -15)
        body = packer.compress(part) + packer.flush()
        extra = b"BC" + struct.pack("<HH", 2, len(body) + 25)
        out += b"\x1f\x8b\x08\x04" + bytes(5) + b"\xff" + struct.pack("<H", 6) + extra
        out += body + struct.pack("<II", zlib.crc32(part), len(part))
    return out


# regions and names


@pytest.mark.parametrize(
    "text, want",
    [
        ("chr20:1-30,000,000", ("chr20", 0, 30_000_000)),
        (" chr20:5-5 ", ("chr20", 4, 5)),
        ("chr20", ("chr20", 0, None)),
        ("HLA-A*01:01", ("HLA-A*01:01", 0, None)),
        ("HLA-A*01:01:2-9", ("HLA-A*01:01", 1, 9)),
    ],
)
def test_parse_region(text, want):
    assert parse_region(text) == Region(*want)


@pytest.mark.parametrize(
    "text", ["chr20:0-5", "chr20:6-5", "chr20:5", "c:-5", "c:a-b", "", ":1-2", "c:1-2:3", "c:,-5"]
)
def test_bad_regions(text):
    assert repr(text) in error_of(parse_region, text)


def test_match_chroms_tells_how_to_mend():
    match_chroms(["a", "b"], {"a": 1, "b": 2}, "x.bed")
    assert "'chr20' is called '20'" in error_of(match_chroms, ["chr20"], {"20": 1}, "x.bed")
    assert "'20' is called 'chr20'" in error_of(match_chroms, ["20"], {"chr20": 1}, "x.bed")
    assert "'chrM' is called 'MT'" in error_of(match_chroms, ["chrM"], {"MT": 1}, "x.bed")
    assert "no contig 'x'" in error_of(match_chroms, ["x"], {"y": 1}, "x.bed")


@pytest.mark.parametrize(
    "wanted, known",
    [
        (["MT"], ["chrM"]),
        (["M"], ["chrM"]),
        (["chrM"], ["MT"]),
        (["chrMT"], ["chrM"]),
        (["1", "MT"], ["chr1", "chrM"]),
        (["chr1", "chrM"], ["1", "MT"]),
        (["MT", "1", "MU07"], ["chr1", "chrM", "chrMU07"]),
    ],
)
def test_the_advised_edit_makes_names_fit(wanted, known):
    message = error_of(match_chroms, wanted, dict.fromkeys(known, 1), "x.bed")
    edits = re.findall(r"s/([^/]*)/([^/]*)/", message)
    assert edits and not any("chrMT" in new for _, new in edits)
    for pattern, new in edits:
        wanted = [re.sub(pattern, new, name) for name in wanted]
    assert set(wanted) <= set(known), message
    message = error_of(match_chroms, ["p", "q", "p"], dict.fromkeys("abcdefg", 1), "x.bed")
    assert message == "x.bed: no contig 'p' and 1 more in the genome, which has a, b, c, d, e, ..."


def test_split_chroms():
    kept = ["chr1", "chrX", "2", "Y", "scaffold_7", "NC_000001.11", "MTF1", "chr1_hap1"]
    skipped = (
        "chr1_KI270706v1_random chrUn_GL000195v1 chr6_GL000256v2_alt chrM chrMT M MT hs37d5 Un_x "
        "chr1_KN196472v1_fix chr6_apd_hap1 chr17_ctg5_hap1 chrUn_KN707606v1_decoy GL000191.1 "
        "KI270302.1"
    ).split()
    names = [name for pair in zip(kept, skipped, strict=False) for name in pair]
    names += skipped[len(kept) :]
    got = split_chroms(dict.fromkeys(names, 1))
    assert got[0] == kept and set(got[1]) == set(skipped)
    assert split_chroms({"chrM": 1, "GL000191.1": 1}) == (["chrM", "GL000191.1"], [])


# files


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_blanks_and_byte_order_marks(tmp_path, pack):
    path = tmp_path / "g.fa"
    for text in (
        b"\xef\xbb\xbf>a words\nACGTN\nACG\n>b\nGG\n",
        b">a words\nACG TN\nAC G\n>b\nGG\n",
        b">a words\nACGTN \nACG\t\r\n \n>b\n G G\n",
        b">a words\nACGTN\nACG \n>b\nGG",
    ):
        path.write_bytes(pack(text))
        with Genome(path) as genome:
            assert genome.sizes == {"a": 8, "b": 2}
            assert genome.codes("a").tolist() == [0, 1, 2, 3, 4, 0, 1, 2]
            assert genome.codes("b").tolist() == [2, 2]
        assert not Path(f"{path}.fai").exists()
    path.write_bytes(pack(b">a\nAC \x01G\n"))
    assert "a:3: '\\x01' is no nucleotide" in error_of(Genome, path)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_line_ends_of_old_macs_are_named(tmp_path, pack):
    path = tmp_path / "g.fa"
    words = ":{}: lines end in carriage returns alone, as on an old Mac; convert it: tr"
    for text, line in (
        (b">a words\r" + b"ACGT\r" * 10, 1),
        (b">a words\r" + b"ACGT\r" * 2_000_000, 1),
        (b">a\nACGTACGT\n>b\rACGT\rACGT\n", 3),
    ):
        path.write_bytes(pack(text))
        assert words.format(line) in error_of(Genome, path), text[:40]
    path.write_bytes(pack(b"\xff\xfe>\0a\0\n\0A\0"))
    assert "is UTF-16 text" in error_of(Genome, path)
    path.write_bytes(pack(b">a\nACGT\n>" + b"x" * 3_000_000 + b"\nAC\n"))
    assert ":3: the header has more than a million letters" in error_of(Genome, path)


def layouts():
    """Name, how to wrap, how to pack, and whether an index can describe it."""
    random_width = random.Random(3)
    yield "plain", {}, bytes, True
    yield "long lines", {"width": 10**6}, bytes, True
    yield "one base a line", {"width": 1}, bytes, True
    yield "crlf", {"end": "\r\n", "width": 50}, bytes, True
    yield "no final newline", {"final": False}, bytes, True
    yield "crlf, no final newline", {"end": "\r\n", "final": False}, bytes, True
    yield "leading empty lines", {}, b"\r\n\n".__add__, True
    yield "trailing empty lines", {}, lambda data: data + b"\n\n\n", True
    yield "empty header at the end", {}, lambda data: data + b">empty", False
    yield "ragged", {"width": lambda _: random_width.randint(1, 90)}, bytes, False
    yield "empty lines", {"width": lambda line: 70 * (line % 5 > 0)}, bytes, False
    yield "gzip", {}, gzip.compress, False
    yield "bgzip", {"width": 61}, bgzip, False
    yield "two members", {}, lambda data: gzip.compress(data[:99]) + gzip.compress(data[99:]), False
    yield "gzip crlf ragged", {"end": "\r\n", "width": lambda i: i % 7}, gzip.compress, False


@pytest.mark.parametrize("chunk", [64, 1 << 18])
@pytest.mark.parametrize(
    "how, pack, indexed", [pytest.param(*row[1:], id=row[0]) for row in layouts()]
)
def test_every_layout_reads_alike(request, write, monkeypatch, how, pack, indexed, chunk):
    for module in (fasta, fasta_index, fasta_text):
        monkeypatch.setattr(module, "CHUNK", chunk)
    rng = random.Random(1)
    seqs = {f"c{i}": sequence(rng, n) for i, n in enumerate([1000, 1, 0, 60, 61, 377])}
    path = write(pack(wrap(seqs, **how)))
    if "empty header" in request.node.name:
        seqs["empty"] = ""
    with Genome(path) as genome:
        assert genome.sizes == {chrom: len(seq) for chrom, seq in seqs.items()}
        assert list(genome.sizes) == list(seqs) and genome.paths == (path,)
        for chrom, seq in seqs.items():
            want = naive(seq)
            assert genome.codes(chrom).tolist() == want
            for _ in range(25):
                start = rng.randint(-80, len(seq) + 80)
                end = start + rng.randint(0, 200)
                inside = [want[i] if 0 <= i < len(seq) else 4 for i in range(start, end)]
                assert genome.codes(chrom, start, end).tolist() == inside
    assert os.path.exists(f"{path}.fai") == indexed


def test_codes_outside_and_bad_requests(write):
    genome = Genome(write(b">c\nACGT\n"))
    assert genome.codes("c", -5, -2).tolist() == [4] * 3
    assert genome.codes("c", 7, 9).tolist() == [4] * 2
    assert genome.codes("c", 2).tolist() == [2, 3] and genome.codes("c", 3, 3).size == 0
    assert "end 1 lies before start 2" in error_of(genome.codes, "c", 2, 1)
    assert "no contig 'd'" in error_of(genome.codes, "d")
    assert "called 'c'" in error_of(genome.codes, "chrc")


def test_several_files(write):
    first, second = write(b">a\nAC\n>b\nGT\n", "1.fa"), write(gzip.compress(b">c\nTT\n"), "2.fa.gz")
    genome = Genome(first, str(second))
    assert genome.sizes == {"a": 2, "b": 2, "c": 2} and genome.codes("c").tolist() == [3, 3]
    assert "contig 'b' is in" in error_of(Genome, first, write(b">b\nA\n", "3.fa"))
    assert "at least one" in error_of(Genome)
    again = pickle.loads(pickle.dumps(genome))
    assert again.sizes == genome.sizes and again.codes("b").tolist() == [2, 3]
    genome.close()
    genome.close()


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize(
    "data, word",
    [
        (b"", "empty file"),
        (b"\n\n", "empty file"),
        (b"ACGT\nACGT\n", "no FASTA header"),
        (b"; talk\n>a\nACGT\n", "no FASTA header"),
        (b"@read\nACGT\n+\nIIII\n", "FASTQ"),
        (b"\x7fELF\0\0\0\0", "binary"),
        (b"BZh91AY&SY", "bzip2"),
        (b"\x43\x27\x41\x1a\0\0\0\0", ".2bit"),
        (b">\nACGT\n", ":1: '>' without a contig name"),
        (b">a\nAC\n> \nACGT\n", ":3: '>' without a contig name"),
        (b">a\nAC\n>b\nAC\n>a x\nACGT\n", ":5: second contig named 'a'"),
        (b">a\n>b\n", "no sequence under its 2 headers"),
        (b">p\nMKVLAAGIVG\n", "p:4: 'L' is no nucleotide; a protein"),
        (b">a\nACGT\n>p\nAC*\n", "p:3: '*' is no nucleotide; a protein"),
        (b">r\nACGUACGU\n", "r:4: 'U' is no nucleotide; this is RNA"),
        (b">a\n1 ACGT\n", "a:1: '1' is no nucleotide; clean"),
        (b">a\nACGT~\n", "a:5: '~' is no nucleotide; clean"),
    ],
)
def test_bad_files(write, pack, data, word):
    path = write(pack(data))
    message = error_of(Genome, path)
    assert message.startswith(str(path)) and word in message
    assert not os.path.exists(f"{path}.fai") or "nucleotide" in word or "headers" in word


def test_bad_paths(tmp_path):
    assert "no such file" in error_of(Genome, tmp_path / "nothing.fa")
    assert "is a folder" in error_of(Genome, tmp_path)
    os.mkfifo(tmp_path / "pipe")
    assert "no regular file" in error_of(Genome, tmp_path / "pipe")


@pytest.mark.parametrize("pack", [gzip.compress, bgzip])
def test_truncated_and_damaged_gzip(write, pack):
    packed = pack(wrap({"a": sequence(random.Random(0), 30_000)}))
    for cut in (len(packed) // 2, len(packed) - 1, 15):
        assert "truncated" in error_of(Genome, write(packed[:cut]))
    middle = len(packed) // 2
    damaged = packed[:middle] + bytes(b ^ 255 for b in packed[middle : middle + 8])
    assert "damaged gzip" in error_of(Genome, write(damaged + packed[middle + 8 :]))


def test_bgzip_cut_between_blocks(write):
    packed = bgzip(b">a\n" + b"ACGT" * 1000)
    with gzip.open(io.BytesIO(packed[:-28])) as file:
        assert len(file.read()) == 4003
    assert "truncated (no bgzip end mark)" in error_of(Genome, write(packed[:-28]))


def test_illegal_letter_far_inside_a_regular_file(write, monkeypatch):
    monkeypatch.setattr(fasta, "CHUNK", 100)
    path = write(wrap({"a": "ACGT" * 100, "b": "A" * 250 + "q" + "A" * 50}))
    genome = Genome(path)
    assert genome.codes("b", 0, 250).size == 250
    assert "b:251: 'q' is no nucleotide" in error_of(genome.codes, "b")


def test_disk_full(write, monkeypatch):
    class Full(io.BytesIO):
        def write(self, _):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", Full)
    assert "TMPDIR" in error_of(Genome, write(gzip.compress(b">a\nACGT\n")))


def test_decoding_is_announced(write, caplog):
    with caplog.at_level(logging.INFO):
        Genome(write(gzip.compress(b">a\nACGT\n"))).close()
    assert caplog.text.count("decoding it into a temporary file") == 1


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_threads_share_a_genome(write, pack):
    rng = random.Random(5)
    seq = sequence(rng, 50_000)
    want = np.array(naive(seq), np.uint8)
    genome = Genome(write(pack(wrap({"a": seq}))))

    def check(seed):
        rng = random.Random(seed)
        for _ in range(50):
            start = rng.randrange(len(seq))
            end = min(start + rng.randrange(20_000), len(seq))
            np.testing.assert_array_equal(genome.codes("a", start, end), want[start:end])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(check, range(8)))


def test_real_chr20():
    if not CHR20.exists():
        pytest.skip("the shared genome is not here")
    with Genome(CHR20) as genome:
        assert genome.sizes == {"chr20": 63_025_520}
        assert int((genome.codes("chr20") == 4).sum()) == 3_520_000


@pytest.mark.parametrize("letters", ["ACGTN", "ACGTNacgtnRYK"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_parts_of_many_contigs_read_as_each_by_itself(write, pack, letters):
    rng = random.Random(2)
    contigs = {f"c{i}": "".join(rng.choices(letters, k=n)) for i, n in enumerate([1, 59, 60, 61])}
    contigs |= {f"d{i}": "".join(rng.choices("ACGT", k=250 + i)) for i in range(40)}
    contigs |= {"far": "A" * 2_000_000} | {f"e{i}": "ACGTN" for i in range(5)}
    one = write(pack(wrap(contigs)), "1.fa")
    genome = Genome(one, write(b">z\nGATTACA\n", "2.fa"))
    names = [name for name in contigs if name != "far"] + ["z"]
    parts = [(name, rng.randrange(genome.sizes[name])) for name in names]
    sizes = np.array([rng.randint(1, genome.sizes[name] - start) for name, start in parts])
    starts, places = np.array([start for _, start in parts]), np.cumsum(sizes + 3) - sizes
    codes = np.full(int(places[-1] + sizes[-1]) + 2, 9, np.uint8)
    genome.read_parts(Parts(names, starts, sizes, places), codes)
    for (name, start), size, place in zip(parts, sizes, places, strict=True):
        want = genome.codes(name, start, start + size)
        assert codes[place : place + size].tolist() == want.tolist()
        codes[place : place + size] = 9
    assert (codes == 9).all()


def test_an_illegal_letter_in_one_of_many_parts(write):
    contigs = {"far": "A" * 300_000, "a": "ACGTN", "b": "ACEGT", "c": "ACGT"}
    genome = Genome(write(wrap(contigs)))
    parts = np.zeros(3, np.int64), np.array([5, 5, 4]), np.array([0, 5, 10])
    complaint = error_of(genome.read_parts, Parts(list("abc"), *parts), np.empty(14, np.uint8))
    assert "b:3: 'E' is no nucleotide" in complaint


def test_more_files_than_descriptors(tmp_path):
    """1,500 FASTA files are read where 1,024 may be open."""
    import resource

    paths = [tmp_path / f"{i}.fa" for i in range(1500)]
    for i, path in enumerate(paths):
        path.write_text(f">c{i}\nACGT{'ACGT'[i % 4]}\n")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 1024), hard))
    try:
        with Genome(*paths) as genome:
            for i in range(1500):
                assert genome.codes(f"c{i}").tolist() == [0, 1, 2, 3, i % 4]
            with pickle.loads(pickle.dumps(genome)) as again:
                assert again.codes("c1499", 4).tolist() == [3]
            paths[7].unlink()
            assert "7.fa: cannot be read: No such file" in error_of(genome.codes, "c7")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
