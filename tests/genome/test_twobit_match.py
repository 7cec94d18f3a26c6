"""A .2bit file against its FASTA file: the same sequence, or how it differs."""

import gzip
import os
import pickle
import random
from pathlib import Path

import pytest
from support.fasta import error_of, naive, sequence, wrap
from support.twobit import twobit

from tcnfast.genome import fasta_text, twobit_match
from tcnfast.genome.genome import Genome
from tcnfast.genome.index_fasta import twobit_path
from tcnfast.genome.twobit_match import compare_files
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


@pytest.mark.parametrize("older", [False, True])
@pytest.mark.parametrize("pack, name", [(bytes, "x.fa"), (gzip.compress, "x.fa.gz")])
@pytest.mark.parametrize("whole", [0, 1 << 20])
def test_one_of_the_same_sequence(write, seqs, monkeypatch, pack, name, older, whole):
    monkeypatch.setattr(twobit_match, "_WHOLE", whole)
    monkeypatch.setattr(twobit_match, "_BEGINNING", 1001 + whole)
    fasta, path = write(pack(wrap(seqs)), name), write(twobit(seqs), "x.2bit")
    os.utime(path, (1e9, 1e9) if older else (3e9, 3e9))
    if older and name.endswith("gz"):
        assert "it is older" in error_of(compare_files, fasta, path)
    else:
        assert "bases" in compare_files(fasta, path)


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
@pytest.mark.parametrize("whole", [0, 1 << 20])
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
def test_one_of_another_sequence_is_refused(
    write, seqs, monkeypatch, pack, name, whole, change, words
):
    monkeypatch.setattr(twobit_match, "_WHOLE", whole)
    fasta, path = write(pack(wrap(seqs)), name), write(twobit(change(seqs)), "x.2bit")
    message = error_of(compare_files, fasta, path)
    assert message.startswith(f"{path}: is not the sequence of {fasta}: ")
    assert message.endswith("; force=True writes it anew")
    assert all(word in message for word in words), message
    write_twobit(fasta, path)
    assert "bases" in compare_files(fasta, path)


def test_of_a_compressed_file_the_beginning_is_compared(write, seqs, monkeypatch):
    monkeypatch.setattr(twobit_match, "_BEGINNING", 1050)
    monkeypatch.setattr(fasta_text, "_CHUNK", 64)
    fasta = write(gzip.compress(wrap(seqs)))
    path = write(twobit(mutated(seqs, "c3", 20)), "x.2bit")
    assert "c3:21 is" in error_of(compare_files, fasta, path)
    swapped = {c: seqs[c] for c in ("c0", "c1", "c3", "c2", "c4", "c5", "c6")}
    write(twobit(swapped), "x.2bit")
    assert "another order" in error_of(compare_files, fasta, path)
    write(twobit(mutated(seqs, "c6", 20)), "x.2bit")
    assert compare_files(fasta, path).startswith("the first ")


def test_sampled_places_see_small_differences(write, monkeypatch):
    monkeypatch.setattr(twobit_match, "_WHOLE", 0)
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
