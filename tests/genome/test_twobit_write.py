"""FASTA files written as UCSC .2bit, byte by byte, and what cannot be written."""

import gzip
import os
import random
import tempfile
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from support.fasta import error_of, naive, sequence, wrap
from support.twobit import SIZES, twobit

from tcnfast.genome import fasta_text, twobit_write
from tcnfast.genome.genome import Genome
from tcnfast.genome.twobit_write import write_twobit

CHR20 = Path(__file__).resolve().parents[3] / "shared/data/genome/hg19.chr20.fa.gz"


@pytest.mark.parametrize("chunk", [5, 64, 1 << 18])
@pytest.mark.parametrize(
    "how, pack",
    [
        ({}, bytes),
        ({"width": 7, "end": "\r\n", "final": False}, bytes),
        ({"width": lambda line: 1 + line % 9}, gzip.compress),
    ],
)
def test_writes_the_format(write, seqs, monkeypatch, tmp_path, how, pack, chunk):
    monkeypatch.setattr(fasta_text, "CHUNK", chunk)
    fasta, out, read = write(pack(wrap(seqs, **how))), tmp_path / "x.2bit", []
    written = write_twobit(fasta, out, read.append)
    assert out.read_bytes() == twobit(seqs)
    assert written == (len(SIZES), sum(SIZES), {}, 0)
    assert sum(read) == fasta.stat().st_size
    assert {path.name for path in tmp_path.iterdir()} == {"x.fa", "x.2bit"}


def test_offsets_of_64_bits_where_32_do_not_reach(write, seqs, monkeypatch, tmp_path):
    monkeypatch.setattr(twobit_write, "LARGEST_OFFSET", 1000)
    assert write_twobit(write(wrap(seqs)), tmp_path / "y.2bit").version == 1
    assert (tmp_path / "y.2bit").read_bytes() == twobit(seqs, version=1)
    assert write_twobit(write(b">a\n" + b"A" * 9000), tmp_path / "y.2bit").version == 0


def test_other_programs_read_it(write, seqs, tmp_path):
    py2bit = pytest.importorskip("py2bit")
    twobitreader = pytest.importorskip("twobitreader")
    seqs = {name: seq for name, seq in seqs.items() if seq}
    path = tmp_path / "x.2bit"
    write_twobit(write(wrap(seqs)), path)
    theirs, others = py2bit.open(str(path), True), twobitreader.TwoBitFile(str(path))
    assert theirs.chroms() == others.sequence_sizes() == {c: len(s) for c, s in seqs.items()}
    for chrom, seq in seqs.items():
        # py2bit shows no case of N
        assert theirs.sequence(chrom) == seq.replace("n", "N")
        assert others[chrom][:] == seq
    theirs.close()


def test_other_letters_become_n_and_are_counted(write, tmp_path):
    seq = sequence(random.Random(9), 3000)
    written = write_twobit(write(wrap({"a": seq})), tmp_path / "y.2bit")
    assert Genome(tmp_path / "y.2bit").codes("a").tolist() == naive(seq)
    want = {c: seq.upper().count(c) for c in "RYKMSWBDHVX-."}
    assert written.others == want


@pytest.mark.parametrize(
    "data, word",
    [
        (b">a\nACGU\n", "a:4: 'U' is no nucleotide"),
        (b">a\n>b\n", "no sequence under its 2 headers"),
        (b">a\nAC\n>a\nAC\n", "second contig named 'a'"),
        (b">" + b"n" * 256 + b"\nACGT\n", "longer than .2bit's 255 bytes"),
        (b"", "empty file"),
    ],
)
def test_what_cannot_be_written(write, tmp_path, data, word):
    assert word in error_of(write_twobit, write(data), tmp_path / "x.2bit")
    assert [path.name for path in tmp_path.iterdir()] == ["x.fa"]


def test_a_contig_too_long_for_the_format(write, tmp_path, monkeypatch):
    monkeypatch.setattr(twobit_write, "LARGEST_SIZE", 8)
    assert write_twobit(write(b">a\nACGTACGT\n"), tmp_path / "x.2bit").bases == 8
    message = error_of(write_twobit, write(b">a\nACGTACGTA\n"), tmp_path / "x.2bit")
    assert "a has over 8 bases, too many for .2bit" in message


@pytest.mark.parametrize("what", ["TemporaryFile", "mkstemp"])
def test_full_disk_and_folders_that_cannot_be_written(write, tmp_path, monkeypatch, what):
    def refuse(number):
        def call(*_, **__):
            raise OSError(number, os.strerror(number))

        return call

    fasta = write(b">a\nACGT\n")
    monkeypatch.setattr(tempfile, what, refuse(28))
    assert "x.2bit: no space left" in error_of(write_twobit, fasta, tmp_path / "x.2bit")
    monkeypatch.setattr(tempfile, what, refuse(13))
    message = error_of(write_twobit, fasta, tmp_path / "x.2bit")
    assert "x.2bit: cannot be written: Permission denied" in message
    assert [path.name for path in tmp_path.iterdir()] == ["x.fa"]


def test_writing_holds_no_chromosome(write, tmp_path):
    path = write(b">a\n" + (b"ACGTA" * 60 + b"acgt" * 50) * 50_000 + b"\n")
    write_twobit(write(b">a\nACGT\n", "y.fa"), tmp_path / "y.2bit")
    tracemalloc.start()
    written = write_twobit(path, tmp_path / "x.2bit")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert written.bases == 25_000_000 and peak < 8e6


def test_real_chr20(tmp_path):
    if not CHR20.exists():
        pytest.skip("the shared genome is not here")
    path = tmp_path / "chr20.2bit"
    write_twobit(CHR20, path)
    with Genome(path) as ours, Genome(CHR20) as fasta:
        assert np.array_equal(ours.codes("chr20"), fasta.codes("chr20"))
