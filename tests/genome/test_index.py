"""``tcnfast index``: what it writes, says and refuses; the other commands read it."""

import gzip
import os

import pytest
from support.cli import assert_nothing_written, fails, scan_words
from support.fasta import wrap
from support.twobit import twobit

import tcnfast
from tcnfast.genome.genome import Genome

SEQS = {"a": "ACGTacgtNN", "b": "TTTTT"}


@pytest.fixture(name="fasta")
def fixture_fasta(tmp_path):
    path = tmp_path / "x.fa"
    path.write_bytes(wrap(SEQS))
    return path


def test_writes_a_twobit_beside_each(run, fasta, tmp_path):
    other = tmp_path / "y.fasta.gz"
    other.write_bytes(gzip.compress(wrap({"c": "ACGTRRYnnx"})))
    code, out, err = run("index", fasta, other)
    assert code == 0 and out == ""
    assert (tmp_path / "x.2bit").read_bytes() == twobit(SEQS)
    assert (tmp_path / "y.2bit").read_bytes() == twobit({"c": "ACGTNNNnnn"})
    assert f"{tmp_path / 'x.2bit'}: 2 contigs, 0.0 Mb" in err
    assert "letters other than ACGTN became N: R 2, X 1, Y 1" in err
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"x.fa", "y.fasta.gz", "x.2bit", "y.2bit"}


def test_another_name(run, fasta, tmp_path):
    assert run("index", fasta, "-o", "other.2bit")[0] == 0
    assert [path.name for path in tmp_path.glob("*.2bit")] == ["other.2bit"]
    assert Genome(tmp_path / "other.2bit").sizes == {"a": 10, "b": 5}
    fails(run("index", fasta, fasta, "-o", "third.2bit"), "-o/--output: names one file")


def test_one_that_is_there(run, fasta, tmp_path):
    out = tmp_path / "x.2bit"
    run("index", fasta)
    before = out.stat().st_mtime_ns
    code, _, err = run("index", fasta)
    assert code == 0 and "x.2bit is complete already (names, sizes and 15 bases agree)" in err
    assert out.stat().st_mtime_ns == before
    assert run("index", fasta, "--force")[0] == 0 and out.stat().st_mtime_ns > before
    out.write_bytes(twobit({**SEQS, "b": "TTTTG"}))
    fails(run("index", fasta), "b:5 is G in it and T in the FASTA file", "--force writes")
    out.write_bytes(out.read_bytes()[:-1])
    fails(run("index", fasta), "truncated", "--force writes")
    assert run("index", fasta, "--force")[0] == 0 and out.read_bytes() == twobit(SEQS)


def test_what_it_refuses(run, fasta, tmp_path):
    (tmp_path / "z.2bit").write_bytes(twobit(SEQS))
    fails(run("index", "z.2bit", "--force"), "z.2bit: is a .2bit file already")
    fails(run("index", fasta, "-o", fasta, "--force"), "x.fa: exists and is no .2bit file")
    fails(run("index", "none.fa"), "none.fa: no such file")
    fails(run("index", fasta, "-o", "none/x.2bit"), "cannot be written: No such file")
    (tmp_path / "protein.fa").write_text(">p\nMKVLAAGIVG\n")
    fails(run("index", "protein.fa"), "p:4: 'L' is no nucleotide")
    assert_nothing_written(tmp_path, "x.fa", "z.2bit", "protein.fa")


def test_a_file_of_more_than_4_gib_is_announced(run, fasta, monkeypatch, tmp_path):
    monkeypatch.setattr("tcnfast.genome.twobit_write.LARGEST_OFFSET", 50)
    code, _, err = run("index", fasta, "-q")
    assert code == 0 and "x.2bit passes 4 GiB, so it is of version 1" in err
    assert (tmp_path / "x.2bit").read_bytes() == twobit(SEQS, version=1)


def test_in_python(fasta, tmp_path):
    assert tcnfast.index(fasta) == [tmp_path / "x.2bit"]
    assert tcnfast.index(str(fasta), tmp_path / "y.2bit") == [tmp_path / "y.2bit"]
    with pytest.raises(tcnfast.TcnfastError, match="^out: names one file"):
        tcnfast.index([fasta, fasta], tmp_path / "z.2bit")
    with pytest.raises(tcnfast.TcnfastError, match="choose another out$"):
        tcnfast.index(fasta, fasta)


def test_a_scan_of_it_calls_the_same_and_one_of_the_fasta_reads_the_fasta(run, home, tmp_path):
    assert run(*scan_words(home, "by-fasta"))[0] == 0
    (tmp_path / "genome.fa").write_bytes((home / "genome.fa").read_bytes())
    assert run("index", "genome.fa")[0] == 0
    for genome in ("genome.fa", "genome.2bit"):
        out = tmp_path / genome.replace(".", "-")
        assert run("scan", genome, "-m", home / "model", "-o", out)[0] == 0
        for name in ("summary.tsv", *(f"peaks/{p}" for p in os.listdir("by-fasta/peaks"))):
            assert (out / name).read_bytes() == (tmp_path / "by-fasta" / name).read_bytes()
        assert f'"{genome}"' in (out / "run.json").read_text()
