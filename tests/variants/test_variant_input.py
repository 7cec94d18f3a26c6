"""What ``tcnfast variants`` reads, skips, and refuses."""

import gzip
import json
import os

import pytest
from support.cli import fails
from support.scan import read_rows
from support.variant import VCF_HEAD, random_alleles, rows_of, vcf

from tcnfast.base.errors import TcnfastError
from tcnfast.variants import records, variants
from tcnfast.variants.effects import EffectScorer


def test_nothing_is_lost(score, letters):
    """What is not scored is in skipped.tsv with its reason."""
    ref = letters["chr1"][99]
    alt = "A" if ref != "A" else "C"
    good = ("chr1", 100, ref, alt)
    rows = [
        good,
        ("chr1", 100, ref, f"*,<DEL>,{alt}"),
        ("chr1", 100, ref, f"{ref}[chr2:50["),
        ("chrX", 100, ref, alt),
        ("chr2", 301, ref, alt),
        ("chr1", 0, ref, alt),
        ("chr1", "x", ref, alt),
        ("chr1", 100, "R", alt),
        ("chr1", 100, ref, "."),
        ("chr1", 100, ref, ref.lower()),
        ("chr1", 100, ref, "p@q"),
        "chr1 100 rs A C",
        good,
    ]
    told, folder = score(rows)
    assert len(told) == 3 and len({json.dumps(r | {"id": ""}) for r in told}) == 1
    lines = read_rows(folder / "skipped.tsv")[1:]
    reasons = {int(line[0]): line[1] for line in lines}
    first = VCF_HEAD.count("\n") + 1
    words = {
        1: "allele|symbolic",
        2: "breakend",
        3: "not in the genome",
        4: "beyond",
        5: "position '0'",
        6: "position 'x'",
        7: "REF 'R' is an IUPAC",
        8: "no alternative",
        9: "ALT is REF",
        10: "ALT 'p@q' is no DNA",
        11: "1 column,",
    }
    assert set(reasons) == {first + at for at in words}
    for at, word in words.items():
        assert any(part in reasons[first + at] for part in word.split("|")), (at, reasons)
    counts = json.loads((folder / "run.json").read_text())["counts"]
    assert counts["records"] == 13 and counts["alleles scored"] == 3 and counts["skipped"] == 12


def test_a_wrong_ref_is_not_scored(score, letters):
    right = letters["chr1"][99]
    wrong = "A" if right != "A" else "C"
    alt = next(base for base in "ACGT" if base not in (right, wrong))
    rows = [("chr1", 100, wrong, alt), ("chr1", 100, right, alt), ("chr1", 6_000, "A" * 9, "C")]
    rows += [("chr1", 2_001, "A", "C"), ("chr1", 2_001, "N", "C")] + [rows[1]] * 40
    told, _ = score(rows)
    assert [row["ref_match"] for row in told[:5]] == ["no", "yes", "no", "no", "yes"]
    assert told[0]["top_label"] == "NA" and told[0]["gained"] == "."
    assert all(v == "NA" for k, v in told[0].items() if k.startswith("delta_logit:"))


def test_another_assembly_is_refused(run, letters, fasta, saved, tmp_path):
    rows = [("chr1", p + 1, "ACGT"[p % 4], "ACGT"[(p + 1) % 4]) for p in range(0, 1500)]
    path = vcf(tmp_path / "v.vcf", rows)
    result = run("variants", path, "-g", fasta, "-m", saved, "--device", "cpu", "-q")
    fails(result, "v.vcf", "of another assembly", "chr1:")
    assert not (tmp_path / "variants").exists()


def test_another_assembly_is_refused_before_anything_is_scored(
    run, fasta, saved, tmp_path, monkeypatch
):
    """Also by a short list; and nobody is told to go on with it."""
    rows = [("chr1", p + 1, "ACGT"[p % 4], "ACGT"[(p + 1) % 4]) for p in range(0, 200)]
    words = ["variants", vcf(tmp_path / "v.vcf", rows), "-g", fasta, "-m", saved, "-q"]
    monkeypatch.setattr(EffectScorer, "__call__", lambda *_: pytest.fail("was scored"))
    for more in ([], ["--resume"]):
        fails(run(*words, *more), "of 200 REF alleles are not in the genome", "another assembly")
        assert sorted(os.listdir(tmp_path)) == ["v.vcf"]


@pytest.mark.parametrize(
    "row, words",
    [
        ("chr1 100 . A C", ":2: 1 column, a record has 5: are they tab-separated?; no record"),
        ("chr1\t1e3\t.\tA\tC", ":2: position '1e3' is no number from 1 on; no record"),
        ("chr1\t" + "9" * 5_000 + "\t.\tA\tC", ":2: position '99999999999999999...' is no number"),
    ],
)
def test_a_file_of_which_no_record_can_be_read_is_refused(run, fasta, saved, tmp_path, row, words):
    path = vcf(tmp_path / "v.vcf", [])
    start = path.read_text()
    path.write_text(f"{start}{row}\n{row}\n")
    words = words.replace(":2:", f":{start.count(chr(10)) + 1}:")
    fails(run("variants", path, "-g", fasta, "-m", saved, "-q"), words)
    assert not list(tmp_path.glob("variants*"))


@pytest.mark.parametrize("alt, pos", [("<DEL>", 5), ("*", 5), (".", 5), ("C", 10**6)])
def test_a_file_without_an_allele_to_score_says_so(score, caplog, alt, pos):
    with caplog.at_level("WARNING"):
        told, _ = score([("chr1", pos, "A", alt)])
    assert told == [] and "no allele can be scored; the first, " in caplog.text


def test_nothing_is_kept_of_a_file_of_other_contigs(run, fasta, saved, tmp_path):
    path = vcf(tmp_path / "v.vcf", [("chrZ", 5, "A", "C")] * 3)
    fails(run("variants", path, "-g", fasta, "-m", saved, "-q"), "no contig 'chrZ'")
    assert not list(tmp_path.glob("variants*"))


@pytest.mark.parametrize("late", ["alleles", "contigs"])
def test_what_is_seen_late_leaves_nothing_to_go_on_with(
    run, letters, fasta, saved, tmp_path, monkeypatch, late
):
    """Half of a list is right, then the file is of another assembly, or of other names."""
    monkeypatch.setattr(records, "CHUNK_ALLELES", 100)
    good = [("chr1", p + 1, letters["chr1"][p], "N") for p in range(1_200)]
    good = [(c, p, ref, next(x for x in "ACGT" if x != ref)) for c, p, ref, _ in good]
    name = "chr1" if late == "alleles" else "1"
    bad = [(name, p + 1, "ACGT"[p % 4], "ACGT"[(p + 1) % 4]) for p in range(3_000)]
    path = vcf(tmp_path / "v.vcf", good + bad)
    result = run("variants", path, "-g", fasta, "-m", saved, "--device", "cpu", "-q")
    fails(result, "v.vcf", "of another assembly" if late == "alleles" else "chr1")
    assert sorted(os.listdir(tmp_path)) == ["v.vcf"]


def test_a_short_list_may_hold_some_wrong_alleles(score, letters, caplog):
    def rows(number, wrong):
        for index in range(number):
            ref = letters["chr1"][100 + index]
            a, b, c = (x for x in "ACGT" if x != ref)
            yield ("chr1", 101 + index, a if index < wrong else ref, b)

    with caplog.at_level("WARNING"):
        told, _ = score(list(rows(12, 8)), "some")
    assert [row["ref_match"] for row in told] == ["no"] * 8 + ["yes"] * 4
    assert "8 of 12 REF alleles are not in the genome (chr1:101 REF" in caplog.text
    score(list(rows(1, 1)), "one")
    for number, wrong in ((30, 18), (5, 5)):
        with pytest.raises(TcnfastError, match=f"{wrong} of {number} REF .*another assembly"):
            score(list(rows(number, wrong)), f"of {number}")


def test_a_whole_genome_file_with_a_part_of_the_genome(score, letters, monkeypatch, caplog):
    monkeypatch.setattr(records, "CHUNK_ALLELES", 7)
    found = rows_of(random_alleles(letters, 9))
    others = [(f"chr{name}", 5, "A", "C") for name in [*range(5, 23), "X"]]
    with caplog.at_level("WARNING"):
        told, folder = score([*others, *found, *others])
    assert [(r["chrom"], int(r["pos"]), r["ref"], r["alt"]) for r in told] == found
    assert "skipped 38 alleles on 19 contigs that the genome lacks: chr5, chr6" in caplog.text
    assert len(read_rows(folder / "skipped.tsv")) == 1 + 38
    assert json.loads((folder / "run.json").read_text())["skipped_contigs"]["chrX"] == 2
    with pytest.raises(TcnfastError, match="no contig 'chr5' and 18 more in the genome"):
        score(others, "none")
    with pytest.raises(TcnfastError, match="contig '1' is called 'chr1'"):
        score([*others, *found, ("1", 5, "A", "C")], "mixed")


def test_a_byte_order_mark_changes_nothing(score, letters, fasta, saved, tmp_path):
    found = rows_of(random_alleles(letters, 5))
    told, _ = score(found)
    text = vcf(tmp_path / "v.vcf", found).read_bytes()
    for name, data in (
        ("bom.vcf", b"\xef\xbb\xbf" + text),
        ("bom.vcf.gz", gzip.compress(b"\xef\xbb\xbf" + text)),
    ):
        (tmp_path / name).write_bytes(data)
        folder = variants(
            tmp_path / name, fasta, saved, tmp_path / f"{name}.out", device="cpu"
        ).path
        head, *body = read_rows(folder / "variants.tsv")
        assert [dict(zip(head, row, strict=True)) for row in body] == told


def test_bcf_is_named(fasta, saved, tmp_path):
    for name, data in (("a.bcf", b"BCF\2\2"), ("b.bcf", gzip.compress(b"BCF\2\2\n\n"))):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(TcnfastError, match="is BCF; convert it: bcftools view"):
            variants(tmp_path / name, fasta, saved, tmp_path / "out", device="cpu")


def test_names_of_another_style_are_refused(run, fasta, saved, tmp_path):
    path = vcf(tmp_path / "v.vcf", [("1", 100, "A", "C")])
    fails(run("variants", path, "-g", fasta, "-m", saved), "'1' is called 'chr1'")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "neither VCF"),
        ("hello\n", "neither VCF"),
        ("##fileformat=VCFv4.3\nchr1\t1\t.\tA\tC\n", "no #CHROM line"),
        (VCF_HEAD, "holds no variant"),
        ("chrom,pos,ref,alt\nchr1,1,A,C\n", "neither VCF"),
    ],
)
def test_files_that_are_no_variants(run, fasta, saved, tmp_path, text, words):
    (tmp_path / "v.vcf").write_text(text)
    fails(run("variants", tmp_path / "v.vcf", "-g", fasta, "-m", saved), "v.vcf", words)


def test_other_bad_input(run, fasta, saved, tmp_path):
    path = vcf(tmp_path / "v.vcf", [("chr1", 100, "A", "C")])
    words = ["variants", path, "-g", fasta, "-m", saved]
    fails(run(*words, "-t", "nobody"), "--targets", "'nobody'")
    for flag, value, told in (
        ("--columns", "delta", "no column 'delta'; mode centre has delta_logit"),
        ("--cutoff", "high", "give best, f1, precision=P"),
        ("--explain", "201", "must be below 201"),
    ):
        code, out, err = run(*words, flag, value)
        assert code == 2 and out == "" and flag in err and told in err, err
    fails(run("variants", tmp_path / "none.vcf", "-g", fasta, "-m", saved), "none.vcf", "No such")
    packed = tmp_path / "cut.vcf.gz"
    packed.write_bytes(gzip.compress(path.read_bytes())[:-9])
    fails(run("variants", packed, "-g", fasta, "-m", saved), "cut.vcf.gz", "truncated")
    table = tmp_path / "t.tsv"
    table.write_text("chrom\tpos\tref\talt\nchr1\t1\tA\tC\n")
    fails(run("variants", table, "-g", fasta, "-m", saved, "--format", "vcf"), "needs a VCF")


def test_tables_and_gzip(score, letters, fasta, saved, tmp_path):
    found = rows_of(random_alleles(letters, 12))
    told, _ = score(found)
    lines = ["chrom\tpos\tref\talt\tid"]
    lines += [f"{c}\t{p}\t{r.lower()}\t{a}\tid{i}" for i, (c, p, r, a) in enumerate(found)]
    path = tmp_path / "t.tsv.gz"
    path.write_bytes(gzip.compress(("\r\n".join(lines) + "\r\n").encode()))
    folder = variants(path, fasta, saved, tmp_path / "t", device="cpu").path
    head, *body = read_rows(folder / "variants.tsv")
    assert [dict(zip(head, row, strict=True)) for row in body] == told
