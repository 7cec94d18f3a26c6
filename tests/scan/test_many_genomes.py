"""``tcnfast scan --genomes``: each genome its own folder, and a bad one loses no other."""

import json

import pytest
from support.scan import FP32, calling_model, files_in, partial, random_letters, write_fasta

import tcnfast
from tcnfast.base.errors import TcnfastError
from tcnfast.cli import main

pytestmark = pytest.mark.usefixtures("small_segments")


@pytest.fixture(name="table")
def fixture_table(tmp_path):
    """A table of two genomes; paths beside it."""
    for i, name in enumerate(("a", "b")):
        write_fasta(tmp_path / f"{name}.fa", {"chr1": random_letters(20_000 + i, i)})
    path = tmp_path / "genomes.tsv"
    path.write_text("name\tpath\nfirst\ta.fa\nsecond\tb.fa\n")
    return path


def add(table, *rows):
    table.write_text(table.read_text() + "".join("\t".join(row) + "\n" for row in rows))


def test_each_genome_is_scanned_as_if_alone(table, model, out, tmp_path):
    many = tcnfast.scan(model=model, out=out, genomes=table, **FP32)
    for name, path in (("first", "a.fa"), ("second", "b.fa")):
        alone = tcnfast.scan(tmp_path / path, model, tmp_path / name, **FP32)
        assert files_in(many[name].path) == files_in(alone.path)
        row = many.summary.set_index("name").loc[name]
        calls = alone.summary.query("chrom == 'all'")["calls"].sum()
        assert (row["state"], row["calls"], row["bases"]) == (
            "done",
            calls,
            20_000 + "ab".index(path[0]),
        )
    assert sorted(path.name for path in out.iterdir()) == ["first", "genomes.tsv", "second"]


def test_own_models_and_regions(table, model, out, tmp_path):
    calling_model(channels=6).save(tmp_path / "other")
    (tmp_path / "open.bed").write_text("chr1\t0\t4000\n")
    table.write_text(
        "name\tpath\tmodel\tbed\nfirst\ta.fa\tother\tNA\nboth\ta.fa,b2.fa\t\topen.bed\n"
    )
    write_fasta(tmp_path / "b2.fa", {"chr2": random_letters(9_000)})
    many = tcnfast.scan(model=model, out=out, genomes=table, **FP32)
    alone = tcnfast.scan(tmp_path / "a.fa", tmp_path / "other", tmp_path / "x", **FP32)
    assert files_in(many["first"].path) == files_in(alone.path)
    pair = [tmp_path / "a.fa", tmp_path / "b2.fa"]
    alone = tcnfast.scan(pair, model, tmp_path / "y", within=tmp_path / "open.bed", **FP32)
    assert files_in(many["both"].path) == files_in(alone.path)


def test_a_bad_genome_is_named_and_does_not_lose_the_others(table, model, out, tmp_path, scored):
    (tmp_path / "bad.fa").write_text(">chr1\nthis is no sequence!\n")
    table.write_text("name\tpath\nbad\tbad.fa\ngone\tgone.fa\nfirst\ta.fa\n")
    with pytest.raises(TcnfastError, match=r"2 of 3 genomes failed, .*: bad \(.*gone \(") as caught:
        tcnfast.scan(model=model, out=out, genomes=table, **FP32)
    assert "resume=True does what is left" in str(caught.value) and "\n" not in str(caught.value)
    rows = [line.split("\t")[:2] for line in (out / "genomes.tsv").read_text().splitlines()[1:]]
    assert rows == [["bad", "failed"], ["gone", "failed"], ["first", "done"]]
    first = files_in(out / "first", but=())
    write_fasta(tmp_path / "bad.fa", {"chr1": random_letters(5_000)})
    write_fasta(tmp_path / "gone.fa", {"chr1": random_letters(6_000)})
    scored.clear()
    many = tcnfast.scan(model=model, out=out, genomes=table, resume=True, **FP32)
    assert many.summary["state"].tolist() == ["done"] * 3
    assert files_in(out / "first", but=()) == first and len(scored) == 2


def test_a_stopped_run_goes_on_within_a_genome(table, model, out, tmp_path, interrupt, scored):
    write_fasta(tmp_path / "b.fa", {"chr1": random_letters(100_000, 1)})
    whole = tcnfast.scan(model=model, out=tmp_path / "whole", genomes=table, **FP32)
    interrupt(1 + 2 + 2)  # the first genome, the trial of the second, and half of it
    with pytest.raises(KeyboardInterrupt):
        tcnfast.scan(model=model, out=out, genomes=table, **FP32)
    assert (out / "first").exists() and partial(out / "second").exists()
    interrupt(10**6)
    scored.clear()
    tcnfast.scan(model=model, out=out, genomes=table, resume=True, **FP32)
    assert scored == [("chr1", 2048), ("chr1", 3072)]
    for name in ("first", "second"):
        assert files_in(out / name) == files_in(whole[name].path)


def test_an_existing_output_is_an_error(table, model, out):
    tcnfast.scan(model=model, out=out, genomes=table, **FP32)
    with pytest.raises(TcnfastError, match="exists; resume=True goes on with it, force=True"):
        tcnfast.scan(model=model, out=out, genomes=table, **FP32)
    tcnfast.scan(model=model, out=out, genomes=table, force=True, **FP32)
    (out / "genomes.tsv").unlink()
    with pytest.raises(TcnfastError, match="is no output of tcnfast scan --genomes"):
        tcnfast.scan(model=model, out=out, genomes=table, force=True, **FP32)
    assert json.loads((out / "first" / "run.json").read_text())["scanned_bases"] == 20_000


@pytest.mark.parametrize(
    "text, words",
    [
        ("name\tpath\n", "names no genome"),
        ("name\tfile\na\tb\n", "column 'path' is missing"),
        ("name\tpath\na\t\n", ":2: needs a name and a path"),
        ("name\tpath\n../a\tx.fa\n", ":2: '../a' cannot name a folder"),
        ("name\tpath\n..\tx.fa\n", ":2: '..' cannot name a folder"),
        ("name\tpath\na\tx.fa\nA\ty.fa\n", "genome a is there twice"),
    ],
)
def test_tables_that_cannot_be_read(table, model, out, text, words):
    table.write_text(text)
    with pytest.raises(TcnfastError, match=words):
        tcnfast.scan(model=model, out=out, genomes=table, **FP32)
    assert not out.exists()


def test_a_table_that_is_not_there_is_named(tmp_path, model, out):
    with pytest.raises(TcnfastError, match=r"none\.tsv: cannot be read \(No such file"):
        tcnfast.scan(genomes=tmp_path / "none.tsv", model=model, out=out)


def test_what_does_not_go_together(table, model, out, fasta):
    with pytest.raises(TcnfastError, match="genomes: give it or one genome"):
        tcnfast.scan(fasta, model, out, genomes=table)
    with pytest.raises(TcnfastError, match="genomes: give it or one genome"):
        tcnfast.scan(model=model, out=out)
    with pytest.raises(TcnfastError, match="shard: is a part of one genome; split the table"):
        tcnfast.scan(model=model, out=out, genomes=table, shard="1/2")


def test_the_command_line(table, model, out, capfd):
    words = ["-m", str(model), "--precision", "fp32", "--device", "cpu", "-q", "-o", str(out)]
    assert main(["scan", "--genomes", str(table), *words]) == 0
    add(table, ("third", "no.fa"))
    assert main(["scan", "--genomes", str(table), *words, "--resume"]) == 1
    lines = capfd.readouterr().err.splitlines()
    assert lines[0].startswith("tcnfast: genome third failed: ") and len(lines) == 2
    assert lines[1].startswith("tcnfast: error: 1 of 3 genomes failed, the others are in ")
    with pytest.raises(SystemExit) as stop:
        main(["scan", "-o", str(out)])
    assert stop.value.code == 2 and "FASTA is required" in capfd.readouterr().err
