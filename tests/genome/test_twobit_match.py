"""A .2bit file beside its FASTA file: read in its place, or refused."""

import gzip
import logging
import os
import pickle
import random
from pathlib import Path

import pytest
from support.fasta import error_of, naive, sequence, wrap
from support.twobit import twobit

from tcnfast.genome import fasta_text, twobit_match
from tcnfast.genome.genome import Genome
from tcnfast.genome.twobit_match import twobit_path
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
def test_it_is_read_in_place_of_its_fasta(
    write, seqs, monkeypatch, caplog, pack, name, older, whole
):
    monkeypatch.setattr(twobit_match, "_WHOLE", whole)
    monkeypatch.setattr(twobit_match, "_BEGINNING", 1001 + whole)
    fasta, path = write(pack(wrap(seqs)), name), write(twobit(seqs), "x.2bit")
    os.utime(path, (1e9, 1e9) if older else (3e9, 3e9))
    if older and name.endswith("gz"):
        assert "it is older" in error_of(Genome, fasta)
        return
    with caplog.at_level(logging.INFO):
        genome = Genome(fasta)
    assert f"{path} is read in place of {fasta}: " in caplog.text
    assert genome.paths == (path,) and genome.sizes == {c: len(s) for c, s in seqs.items()}
    assert all(genome.codes(chrom).tolist() == naive(seq) for chrom, seq in seqs.items())
    caplog.clear()
    with caplog.at_level(logging.INFO):
        assert Genome(fasta, use_twobit=False).paths == (fasta,)
    assert "in place of" not in caplog.text


def test_a_pickled_genome_opens_the_same_files(write, seqs):
    fasta = write(wrap(seqs))
    pickled = pickle.dumps(Genome(fasta))
    write(twobit({"other": "ACGT"}), "x.2bit")
    assert pickle.loads(pickled).paths == (fasta,)


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
    message = error_of(Genome, fasta)
    assert message.startswith(f"{path}: is not the sequence of {fasta}: ")
    assert message.endswith(f"tcnfast index --force {fasta} writes it anew, or move it away")
    assert all(word in message for word in words), message
    write_twobit(fasta, path)
    assert Genome(fasta).paths == (path,)


def test_of_a_compressed_file_the_beginning_is_compared(write, seqs, monkeypatch):
    monkeypatch.setattr(twobit_match, "_BEGINNING", 1050)
    monkeypatch.setattr(fasta_text, "_CHUNK", 64)
    fasta = write(gzip.compress(wrap(seqs)))
    write(twobit(mutated(seqs, "c3", 20)), "x.2bit")
    assert "c3:21 is" in error_of(Genome, fasta)
    swapped = {c: seqs[c] for c in ("c0", "c1", "c3", "c2", "c4", "c5", "c6")}
    write(twobit(swapped), "x.2bit")
    assert "another order" in error_of(Genome, fasta)
    write(twobit(mutated(seqs, "c6", 20)), "x.2bit")
    assert Genome(fasta).codes("c0").tolist() == naive(seqs["c0"])


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
        write(twobit(changed), "x.2bit")
        assert "is not the sequence" in error_of(Genome, fasta), what


def test_a_damaged_one_beside_says_how_to_mend_it(write, seqs):
    fasta, path = write(wrap(seqs)), write(twobit(seqs)[:-5], "x.2bit")
    message = error_of(Genome, fasta)
    assert message.startswith(f"{path}: truncated") and "tcnfast index --force" in message
    assert "no such file" in error_of(Genome, fasta.with_name("y.fa"))
