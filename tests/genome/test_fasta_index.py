"""The index beside a FASTA file (.fai): made, reused, rebuilt, and that of pyfaidx."""

import logging
import multiprocessing
import os
import random
import tempfile
import tracemalloc
from pathlib import Path

import pytest
from pyfaidx import Faidx, Fasta
from support.fasta import error_of, naive, sequence, wrap

from tcnfast.genome import fasta_index
from tcnfast.genome.fasta_index import build_index
from tcnfast.genome.genome import Genome


def test_index_is_samtools_format_and_reused(write):
    path = write(wrap({"a": "A" * 100, "b": "C" * 7}, width=60))
    Genome(path).close()
    fai = Path(f"{path}.fai")
    assert fai.read_text() == "a\t100\t14\t60\t61\nb\t7\t130\t7\t8\n"
    before = fai.stat().st_mtime_ns
    Genome(path).close()
    assert fai.stat().st_mtime_ns == before
    assert sorted(p.name for p in path.parent.iterdir()) == ["x.fa", "x.fa.fai"]


@pytest.mark.parametrize("newer_index", [False, True])
@pytest.mark.parametrize(
    "other",
    [
        {"a": "C" * 100, "b": "C" * 7},
        {"a": "A" * 100},
        {"a": "A" * 100, "b": "C" * 7, "d": "T"},
        {"a": "A" * 40, "z": "A" * 20, "b": "C" * 40},
        {"b": "A" * 100, "a": "C" * 7},
    ],
)
def test_stale_index_is_rebuilt(write, other, newer_index):
    path = write(wrap({"a": "A" * 100, "b": "C" * 7}))
    Genome(path).close()
    path.write_bytes(wrap(other))
    times = (2e9, 2e9) if newer_index else (1e9, 1e9)
    os.utime(f"{path}.fai", times)
    genome = Genome(path)
    assert genome.sizes == {name: len(seq) for name, seq in other.items()}
    for name, seq in other.items():
        assert genome.codes(name).tolist() == naive(seq)
    fai = Path(f"{path}.fai")
    assert [line.split("\t")[0] for line in fai.read_text().splitlines()] == list(other)
    assert newer_index or fai.stat().st_mtime_ns >= path.stat().st_mtime_ns


@pytest.mark.parametrize("junk", [b"", b"junk\n", b"a\t1\t2\n", b"a\t5\t0\t0\t0\n", b"\xff\xfe\0"])
def test_broken_index_is_rebuilt(write, junk):
    path = write(b">a\nACGT\n")
    write(junk, "x.fa.fai")
    assert Genome(path).codes("a").tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("number", ["18446744073709551616", "9" * 40, "-5", "9223372036854775807"])
@pytest.mark.parametrize("column", [1, 2, 3, 4])
def test_an_index_with_absurd_numbers_is_rebuilt(write, column, number):
    path = write(b">a\nACGT\n>b\nAC\n")
    rows = [["a", "4", "3", "4", "5"], ["b", "2", "11", "2", "3"]]
    rows[1][column] = number
    write("".join("\t".join(row) + "\n" for row in rows).encode(), "x.fa.fai")
    genome = Genome(path)
    assert [genome.codes(name).tolist() for name in "ab"] == [[0, 1, 2, 3], [0, 1]]


@pytest.mark.parametrize("module, call", [(tempfile, "mkstemp"), (os, "replace")])
def test_read_only_folder(write, monkeypatch, caplog, module, call):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(module, call, refuse)
    path = write(b">a\nACGT\n")
    with caplog.at_level(logging.INFO):
        assert Genome(path).codes("a").tolist() == [0, 1, 2, 3]
    assert "kept in memory" in caplog.text
    assert [p.name for p in path.parent.iterdir()] == ["x.fa"]


@pytest.mark.parametrize("chunk", [8, 64, 1 << 18])
@pytest.mark.parametrize(
    "how",
    [
        {},
        {"width": 1},
        {"width": 10**6},
        {"final": False},
        {"end": "\r\n"},
        {"end": "\r\n", "final": False},
        {"width": 10**6, "final": False},
    ],
)
def test_index_is_that_of_pyfaidx_and_pyfaidx_reads_it(write, monkeypatch, how, chunk):
    monkeypatch.setattr(fasta_index, "CHUNK", chunk)
    rng = random.Random(chunk)
    seqs = {f"c{i}": sequence(rng, n) for i, n in enumerate([500, 1, 0, 60, 61, 377])}
    path = write(wrap(seqs, **how))
    Faidx(str(path), indexname=f"{path}.theirs").close()
    Genome(path).close()
    assert Path(f"{path}.fai").read_text() == Path(f"{path}.theirs").read_text()
    with Fasta(str(path), as_raw=True, rebuild=False, build_index=False) as reader:
        assert list(reader.keys()) == list(seqs)
        for name, seq in seqs.items():
            assert not seq or reader[name][:] == seq


def lines_of(data):
    """Sequences of a FASTA by its lines; None if a line other than a contig's last with bases
    differs from its first."""
    seqs, widths = {}, []
    for line in data.split(b"\n"):
        if line.startswith(b">"):
            seqs[line[1:].split()[0].decode()] = b""
            widths = []
            continue
        line = line.removesuffix(b"\r")
        if widths and line and (widths[-1] != widths[0] or len(line) > widths[0]):
            return None
        widths.append(len(line))
        seqs[list(seqs)[-1]] += line
    return seqs


def test_index_of_random_layouts(write, monkeypatch):
    rng = random.Random(7)
    kinds = {True: 0, False: 0}
    for _ in range(400):
        data = b""
        for i in range(rng.randint(1, 4)):
            end = rng.choice([b"\n", b"\r\n"])
            widths = [rng.choice([3, 3, 3, 5])] * rng.randint(0, 4) + [rng.randint(0, 5)]
            if rng.random() < 0.2:
                rng.shuffle(widths)
            data += b">%d x" % i + end + b"".join(b"ACGTA"[:width] + end for width in widths)
        # with bases in the last line, its end may be missing
        data = data[: len(data) - rng.choice([0, 0, 1])] if b">" not in data[-9:] else data
        path, want = write(data), lines_of(data)
        found = []
        for chunk in (3, 64):
            monkeypatch.setattr(fasta_index, "CHUNK", chunk)
            found.append(build_index(path))
        assert found[0] == found[1]
        kinds[want is not None] += 1
        if want is None:
            assert found[0] is None
            continue
        assert {name: contig.size for name, contig in found[0].items()} == {
            name: len(seq) for name, seq in want.items()
        }
        for name, contig in found[0].items():
            got = bytes(data[contig.byte(i)] for i in range(contig.size))
            assert got == want[name], data
    assert min(kinds.values()) > 50


def test_index_of_many_contigs(write):
    n = 30_000
    path = write(b"".join(b">scaffold_%d words\nACGT\nAC\n" % i for i in range(n)))
    for _ in range(2):
        with Genome(path) as genome:
            assert len(genome.sizes) == n and set(genome.sizes.values()) == {6}
            assert genome.codes(f"scaffold_{n - 1}").tolist() == [0, 1, 2, 3, 0, 1]


def test_index_holds_no_chromosome(write):
    path = write(b">a\n" + b"ACGT" * 8_000_000 + b"\n")
    build_index(path)
    tracemalloc.start()
    contigs = build_index(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert contigs["a"].size == 32_000_000 and peak < 8e6


def test_name_that_pyfaidx_takes_for_compressed(write):
    path = write(b">a\nACGT\n", "x.fa.GZ")
    assert Genome(path).codes("a").tolist() == [0, 1, 2, 3]


def test_file_that_shrinks_or_changes_under_us(write):
    path = write(wrap({"a": "ACGT" * 100}))
    genome = Genome(path)
    os.truncate(path, 50)
    assert "became shorter" in error_of(genome.codes, "a")
    path.write_bytes(wrap({"a": "ACGT" * 100}, width=50))
    assert "does not fit the index" in error_of(genome.codes, "a")


def _open_and_read(path):
    with Genome(path) as genome:
        return int(genome.codes("b").sum())


def test_processes_may_index_at_once(write):
    path = write(wrap({"a": "A" * 5000, "b": "T" * 3000}))
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        assert pool.map(_open_and_read, [path] * 6) == [9000] * 6
    assert sorted(p.name for p in path.parent.iterdir()) == ["x.fa", "x.fa.fai"]
