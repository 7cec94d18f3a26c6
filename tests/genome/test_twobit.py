"""UCSC .2bit files as genomes: read at any place, damaged, shared by threads."""

import gzip
import os
import pickle
import random
import struct
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from support.fasta import error_of, naive
from support.twobit import patchy, twobit

from tcnfast.genome import twobit as twobit_module
from tcnfast.genome.genome import Genome


@pytest.mark.parametrize("chunk", [3, 1 << 18])
@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize("order", ["<", ">"])
def test_reads_what_was_packed(write, seqs, monkeypatch, order, version, chunk):
    monkeypatch.setattr(twobit_module, "CHUNK", chunk)
    rng = random.Random(chunk)
    path = write(twobit(seqs, order, version), "x.2bit")
    with Genome(path) as genome:
        assert genome.sizes == {chrom: len(seq) for chrom, seq in seqs.items()}
        assert list(genome.sizes) == list(seqs) and genome.paths == (path,)
        for chrom, seq in seqs.items():
            want = naive(seq)
            assert genome.codes(chrom).tolist() == want
            for _ in range(60):
                start = rng.randint(-80, len(seq) + 80)
                end = start + rng.randint(0, 200)
                inside = [want[i] if 0 <= i < len(seq) else 4 for i in range(start, end)]
                assert genome.codes(chrom, start, end).tolist() == inside


def test_codes_into_an_array(write, seqs):
    genome = Genome(write(twobit(seqs), "x.2bit"))
    out = np.full(300, 9, np.uint8)
    assert genome.codes("c0", 7, 207, out=out[50:250]) is not None
    assert out[50:250].tolist() == naive(seqs["c0"])[7:207]
    assert (out[:50] == 9).all() and (out[250:] == 9).all()
    for wrong in (out[:199], out[:400:2], np.empty(200, np.int8), out.reshape(2, 150)):
        with pytest.raises(ValueError, match="out: must be contiguous uint8"):
            genome.codes("c0", 7, 207, out=wrong)


def test_a_file_is_known_by_its_signature_too(write, seqs):
    assert Genome(write(twobit(seqs), "genome.bin")).sizes["c6"] == 4001


def test_threads_share_a_file_and_pickles_open_it_again(write):
    rng = random.Random(5)
    seq = patchy(rng, 50_000)
    want = np.array(naive(seq), np.uint8)
    genome = pickle.loads(pickle.dumps(Genome(write(twobit({"a": seq}), "x.2bit"))))

    def check(seed):
        rng = random.Random(seed)
        for _ in range(50):
            start = rng.randrange(len(seq))
            end = min(start + rng.randrange(20_000), len(seq))
            np.testing.assert_array_equal(genome.codes("a", start, end), want[start:end])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(check, range(8)))
    genome.close()
    genome.close()


# damage


def test_every_truncation_is_seen(write, seqs):
    data = twobit({name: seqs[name] for name in ("c3", "c1", "c4")})
    for cut in range(len(data)):
        message = error_of(Genome, write(data[:cut], "x.2bit"))
        assert "truncated" in message or (cut < 4 and ("signature" in message or cut == 0))
    assert "empty file" in error_of(Genome, write(b"", "x.2bit"))


def test_a_damaged_file_is_an_error_or_another_genome(write, seqs):
    data = bytearray(twobit(seqs))
    rng, refused = random.Random(2), 0
    for _ in range(400):
        at = rng.randrange(200) if rng.random() < 0.7 else rng.randrange(len(data))
        damaged = bytearray(data)
        damaged[at] = rng.randrange(256)
        path = write(bytes(damaged), "x.2bit")
        try:
            with Genome(path) as genome:
                for chrom, size in genome.sizes.items():
                    assert genome.codes(chrom).size == size
        except ValueError as error:
            assert str(path) in str(error) and "\n" not in str(error)
            refused += 1
    assert refused > 100


def record(size, blocks=(), masks=0):
    starts, sizes = [start for start, _ in blocks], [size for _, size in blocks]
    words = [size, len(blocks), *starts, *sizes, masks, *[0] * (2 * masks), 0]
    return struct.pack(f"<{len(words)}I", *words) + bytes((size + 3) // 4)


def one_contig(contig, name=b"a"):
    head = struct.pack("<4I", 0x1A412743, 0, 1, 0)
    return head + bytes([len(name)]) + name + struct.pack("<I", 21 + len(name)) + contig


@pytest.mark.parametrize(
    "data, word",
    [
        (b">a\nACGT\n", "is named .2bit but is none"),
        (struct.pack("<4I", 0x1A412743, 2, 1, 0), "version 2; 0 and 1 can be read"),
        (struct.pack("<4I", 0x1A412743, 0, 0, 0), "no sequence under its 0 names"),
        (one_contig(record(0)), "no sequence under its 1 names"),
        (one_contig(record(9, [(0, 4), (3, 2)])), "the blocks of N of a overlap or pass its 9"),
        (one_contig(record(9, [(5, 2), (1, 2)])), "overlap or pass its 9"),
        (one_contig(record(9, [(5, 5)])), "overlap or pass its 9"),
        (one_contig(record(9, [(2**32 - 1, 2**32 - 1)])), "overlap or pass its 9"),
        (one_contig(record(9), b""), "a contig has no name"),
        (one_contig(record(9), b"\xff"), "a contig name is no text"),
        (one_contig(record(9)[:4] + b"\xff" * 4 + record(9)[8:]), "truncated or damaged"),
        (one_contig(record(9)[:8] + b"\xff" * 4 + record(9)[12:]), "truncated or damaged"),
        (b"\x43\x27\x41\x1a" + struct.pack("<3I", 0, 2**32 - 1, 0), "truncated or damaged"),
    ],
)
def test_damaged_files(write, data, word):
    path = write(data, "x.2bit")
    message = error_of(Genome, path)
    assert message.startswith(f"{path}: ") and word in message


def test_records_that_share_bytes(write):
    data = bytearray(twobit({"a": "ACGT" * 20, "b": "TTTT" * 20}))
    first = struct.unpack_from("<I", data, 18)[0]
    struct.pack_into("<I", data, 24, first)
    assert "b overlaps a" in error_of(Genome, write(bytes(data), "x.2bit"))
    struct.pack_into("<I", data, 24, 3)
    assert "b overlaps the index" in error_of(Genome, write(bytes(data), "x.2bit"))
    twice = twobit({"a": "ACGT", "b": "ACGT"}).replace(b"\1b", b"\1a")
    assert "second contig named 'a'" in error_of(Genome, write(twice, "x.2bit"))


def test_paths_that_are_no_file(tmp_path, write):
    assert "no such file" in error_of(Genome, tmp_path / "x.2bit")
    (tmp_path / "y.2bit").mkdir()
    assert "is a folder" in error_of(Genome, tmp_path / "y.2bit")
    assert "compressed .2bit" in error_of(Genome, write(gzip.compress(twobit({"a": "A"})), "z.fa"))


def test_a_file_that_shrinks_under_us(write):
    path = write(twobit({"a": "ACGT" * 1000}), "x.2bit")
    genome = Genome(path)
    os.truncate(path, 500)
    assert genome.codes("a", 0, 400).tolist() == [0, 1, 2, 3] * 100
    assert "became shorter" in error_of(genome.codes, "a")
