"""A .2bit file against its FASTA file: the same sequence, or how it differs."""

import gzip
import pickle
import random
from pathlib import Path

import pytest
from support.fasta import error_of, naive, sequence, wrap
from support.twobit import twobit

from tcnfast.genome import fasta_text
from tcnfast.genome.genome import Genome
from tcnfast.genome.index_fasta import compare_files, twobit_path
from tcnfast.genome.twobit_write import write_twobit


@pytest.mark.parametrize(
    "fasta, want",
    [
        ("hg38.fa", "hg38.2bit"),
        ("hg38.fa.gz", "hg38.2bit"),
        ("GRCh38.p14.FASTA", "GRCh38.p14.2bit"),
        ("GCA_1.1.fna.bgz", "GCA_1.1.2bit"),
        ("genome", "genome.2bit"),
        ("v2.genome", "v2.genome.2bit"),
    ],
)
def test_where_it_lies(fasta, want):
    assert twobit_path(Path("a.fa") / fasta) == Path("a.fa") / want


@pytest.mark.parametrize("pack, name", [(bytes, "x.fa"), (gzip.compress, "x.fa.gz")])
def test_one_of_the_same_sequence(write, seqs, pack, name):
    fasta, path = write(pack(wrap(seqs)), name), write(twobit(seqs), "x.2bit")
    total = sum(map(len, seqs.values()))
    assert compare_files(fasta, path) == f"names, sizes and {total:,} bases"


def test_a_genome_reads_what_is_named(write, seqs):
    """Whatever lies beside it."""
    fasta, path = write(wrap(seqs)), write(twobit({"other": "ACGT"}), "x.2bit")
    genome = Genome(fasta)
    assert genome.paths == pickle.loads(pickle.dumps(genome)).paths == (fasta,)
    assert genome.sizes == {chrom: len(seq) for chrom, seq in seqs.items()}
    assert all(genome.codes(chrom).tolist() == naive(seq) for chrom, seq in seqs.items())
    assert Genome(path).sizes == {"other": 4}


def mutated(seqs, chrom, position):
    seq = seqs[chrom]
    base = "C" if seq[position] != "C" else "G"
    return {**seqs, chrom: seq[:position] + base + seq[position + 1 :]}


def moved_block(seqs):
    return {**seqs, "c6": "N" + seqs["c6"][:-1]}


@pytest.mark.parametrize("pack, name", [(bytes, "x.fa"), (gzip.compress, "x.fa.gz")])
@pytest.mark.parametrize(
    "change, words",
    [
        (lambda seqs: mutated(seqs, "c0", 0), ("c0:1 is C in it and",)),
        (lambda seqs: mutated(seqs, "c6", 4000), ("c6:4,001 is",)),
        (moved_block, ("c6:", " in it and ")),
        (lambda seqs: {**seqs, "c1": "AA"}, ("c1",)),
        (lambda seqs: {**seqs, "c6": seqs["c6"][:-1]}, ("c6 has 4,000 bases in it", "FASTA")),
        (lambda seqs: {**seqs, "d": "A"}, ("it has d, which the FASTA file lacks",)),
        (lambda seqs: {c: seqs[c] for c in seqs if c != "c3"}, ("it lacks c3",)),
        (lambda seqs: {c: seqs[c] for c in reversed(seqs)}, ("another order",)),
    ],
)
def test_one_of_another_sequence_is_refused(write, seqs, pack, name, change, words):
    fasta, path = write(pack(wrap(seqs)), name), write(twobit(change(seqs)), "x.2bit")
    message = error_of(compare_files, fasta, path)
    assert message.startswith(f"{path}: is not the sequence of {fasta}: ")
    assert message.endswith("; force=True writes it anew")
    assert all(word in message for word in words), message
    write_twobit(fasta, path)
    assert "bases" in compare_files(fasta, path)


@pytest.mark.parametrize("chunk", [64, 1 << 18])
def test_small_differences_are_seen(write, monkeypatch, chunk):
    monkeypatch.setattr(fasta_text, "CHUNK", chunk)
    rng = random.Random(4)
    seqs = {f"c{i}": sequence(rng, 20_000, "ACGT") for i in range(15)}
    for name in ("c3", "c7"):
        seqs[name] = seqs[name][:4321] + "N" * 5000 + seqs[name][9321:]
    fasta = write(wrap(seqs))
    changes = {
        "one base shifted": {**seqs, "c5": seqs["c5"][1:] + "A"},
        "N one base wider": {**seqs, "c7": seqs["c7"][:4320] + "N" + seqs["c7"][4321:]},
        "last base": mutated(seqs, "c9", 19_999),
        "another 3 kb": {**seqs, "c2": seqs["c2"][:3000] * 2 + seqs["c2"][6000:]},
    }
    for what, changed in changes.items():
        path = write(twobit(changed), "x.2bit")
        assert "is not the sequence" in error_of(compare_files, fasta, path), what


def test_a_damaged_one_says_how_to_mend_it(write, seqs):
    fasta, path = write(wrap(seqs)), write(twobit(seqs)[:-5], "x.2bit")
    message = error_of(compare_files, fasta, path)
    assert message.startswith(f"{path}: truncated") and message.endswith("writes it anew")
    assert "no such file" in error_of(compare_files, fasta.with_name("y.fa"), path)
