"""tcnfast variants, from the file to the table and back into the VCF."""

import gzip
import json
import os
import re

import numpy as np
import pytest
from support.cli import fails
from support.models import random_model
from support.scan import files_in, read_rows
from support.variant import random_alleles

from tcnfast.base.errors import TcnfastError
from tcnfast.variants import records, variants
from tcnfast.variants.effects import EffectScorer
from tcnfast.variants.variant_page import changed
from tcnfast.variants.variants_run import counted
from tcnfast.variants.writers import rows_as_text

VCF_HEAD = "##fileformat=VCFv4.3\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"


def vcf(path, rows, head=VCF_HEAD):
    """``rows``: chrom, 1-based pos, ref, alt; or whole lines."""
    lines = []
    for number, row in enumerate(rows):
        if not isinstance(row, str):
            chrom, pos, ref, alt = row
            row = f"{chrom}\t{pos}\tid{number}\t{ref}\t{alt}\t.\tPASS\tDP={number}"
        lines.append(row)
    path.write_text(head + "".join(line + "\n" for line in lines))
    return path


def rows_of(found):
    return [(a.chrom, a.pos + 1, a.ref.decode(), a.alt.decode()) for a in found]


@pytest.fixture(name="saved", scope="module")
def fixture_saved(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "model"
    model.save(folder)
    return folder


@pytest.fixture(name="score")
def fixture_score(fasta, saved, tmp_path):
    """score(rows, **options) -> rows of the table as dicts, the folder."""

    def score(rows, out="out", **options):
        path = vcf(tmp_path / f"{out}.vcf", rows)
        folder = variants(path, fasta, saved, tmp_path / out, device="cpu", **options).path
        head, *body = read_rows(folder / "variants.tsv")
        return [dict(zip(head, row, strict=True)) for row in body], folder

    return score


@pytest.mark.parametrize("mode", ["centre", "full"])
def test_the_table(score, letters, genome, model, mode):
    """Every allele in input order, with the numbers of EffectScorer; in chunks or in one."""
    found = random_alleles(letters, 50)
    told, _ = score(rows_of(found), mode=mode, stride=16)
    assert [(r["chrom"], int(r["pos"]), r["ref"], r["alt"]) for r in told] == rows_of(found)
    columns = EffectScorer(model, mode, 16, device="cpu")(genome, found)
    name = "delta_logit" if mode == "centre" else "max_delta_logit"
    want = columns.get(name, columns["alt_logit"] - columns["ref_logit"])
    got = np.array([[float(r[f"{name}:{label}"]) for label in model.labels] for r in told])
    np.testing.assert_allclose(got, want, atol=2e-4)
    cutoffs = np.array([model.thresholds[label].threshold for label in model.labels])
    cutoffs = np.log(cutoffs) - np.log1p(-cutoffs)
    for row, ref, alt in zip(told, columns["ref_logit"], columns["alt_logit"], strict=True):
        top = np.array(model.labels)[np.abs(want[told.index(row)]).argmax()]
        assert row["top_label"] == top
        gained, lost = (alt >= cutoffs) & (ref < cutoffs), (ref >= cutoffs) & (alt < cutoffs)
        for key, call in (("gained", gained), ("lost", lost)):
            names = [label for label, yes in zip(model.labels, call, strict=True) if yes]
            assert row[key] == (",".join(names) or ".")
    assert any(row["gained"] != "." for row in told) and any(row["lost"] != "." for row in told)


def test_chunks_change_no_byte(score, letters, monkeypatch):
    found = rows_of(random_alleles(letters, 50))
    _, whole = score(found, "whole")
    monkeypatch.setattr(records, "CHUNK_ALLELES", 7)
    _, chunked = score(found, "chunked")
    assert files_in(whole) == files_in(chunked)


def test_multi_allelic_records_are_their_alleles(score, letters):
    ref = letters["chr1"][499]
    others = [base for base in "ACGT" if base != ref]
    together, _ = score([("chr1", 500, ref, ",".join([*others, ref + "GG"]))], "together")
    apart, _ = score([("chr1", 500, ref, alt) for alt in [*others, ref + "GG"]], "apart")
    for row in together + apart:
        del row["id"]
    assert together == apart and len(together) == 4


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
        11: "1 columns",
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
        ("chr1 100 . A C", ":2: 1 columns, a record has 5: are they tab-separated?; no record"),
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


def test_the_vcf_keeps_every_record(letters, fasta, saved, tmp_path):
    ref = letters["chr1"][99]
    alt, other = [base for base in "ACGT" if base != ref][:2]
    rows = [
        ("chr1", 100, ref, f"{alt},*,{other}"),
        ("chr1", 100, alt, ref),  # REF is not in the genome
        ("chrX", 5, "A", "C"),
        f"chr1\t100\t.\t{ref}\t{alt}\t.\tPASS\t.\tGT\t0/1",
        *[("chr1", 100, ref, alt)] * 20,
    ]
    path = vcf(tmp_path / "v.vcf", rows)
    options = dict(format="vcf", device="cpu", cutoff="0.5")
    out = variants(path, fasta, saved, tmp_path / "out", **options).path / "variants.vcf"
    before, after = path.read_text().splitlines(), out.read_text().splitlines()
    own = [line for line in after if line.startswith("##INFO=<ID=TCN_")]
    assert len(own) == 6 and after[0] == before[0]
    after = [line for line in after if line not in own]
    assert len(after) == len(before)
    for old, new in zip(before, after, strict=True):
        old, new = old.split("\t"), new.split("\t")
        assert old[:7] == new[:7] and old[8:] == new[8:]
    records_ = [line.split("\t")[7].split(";") for line in after if not line.startswith("#")]
    fields = dict(x.split("=") for x in records_[0])
    assert records_[0][0] == "DP=0" and fields["TCN_LABEL"].count(",") == 2
    assert fields["TCN_DELTA"].split(",")[1] == "."
    assert "TCN_REF_MISMATCH" in records_[1] and records_[2] == ["DP=2"]
    assert records_[3][0].startswith("TCN_LABEL=")
    told = variants(path, fasta, saved, tmp_path / "tsv", **{**options, "format": "tsv"}).path
    row = read_rows(told / "variants.tsv")[1]
    assert fields["TCN_DELTA"].split(",")[0] == row[8]


def test_parquet(letters, fasta, saved, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    path = vcf(tmp_path / "v.vcf", rows_of(random_alleles(letters, 12)))
    columns = ("delta_prob", "alt_prob")
    options = dict(columns=columns, device="cpu")
    tsv = variants(path, fasta, saved, tmp_path / "tsv", **options).path / "variants.tsv"
    out = variants(path, fasta, saved, tmp_path / "pq", format="parquet", **options).path
    table = parquet.read_table(out / "variants.parquet").to_pydict()
    head, *body = read_rows(tsv)
    assert list(table) == head
    for name, values in zip(head, zip(*body, strict=True), strict=True):
        if ":" in name:
            np.testing.assert_allclose(table[name], np.array(values, float), atol=6e-5)
    assert [str(x) for x in table["pos"]] == [row[1] for row in body]


def test_a_killed_run_goes_on(score, letters, fasta, saved, tmp_path, monkeypatch):
    """The second chunk fails; with resume the first is not scored again, and no byte differs."""
    found = rows_of(random_alleles(letters, 30))
    monkeypatch.setattr(records, "CHUNK_ALLELES", 10)
    _, whole = score(found, "whole")
    path, scored = vcf(tmp_path / "v.vcf", found), []
    real = EffectScorer.__call__

    def counted(self, genome, wanted):
        if len(scored) == 1 and not resumed:
            raise KeyboardInterrupt
        scored.append(len(wanted))
        return real(self, genome, wanted)

    monkeypatch.setattr(EffectScorer, "__call__", counted)
    resumed = False
    with pytest.raises(KeyboardInterrupt):
        variants(path, fasta, saved, tmp_path / "out", device="cpu")
    resumed = True
    with pytest.raises(TcnfastError, match="resume=True"):
        variants(path, fasta, saved, tmp_path / "out", device="cpu")
    folder = variants(path, fasta, saved, tmp_path / "out", device="cpu", resume=True).path
    assert scored == [10, 10, 10] and files_in(folder) == files_in(whole)


def test_an_existing_output_is_refused_before_anything_is_read(score, letters, tmp_path):
    _, folder = score(rows_of(random_alleles(letters, 3)))
    with pytest.raises(TcnfastError, match="exists; choose another out"):
        variants("no.vcf", "no.fa", "no model", folder)


def test_counts_of_an_empty_chunk(score, letters):
    """A file whose alleles are all skipped still says so."""
    told, folder = score([("chr1", 100, "A", "*"), ("chr1", 101, "A", "<DUP>")])
    assert told == [] and len(read_rows(folder / "skipped.tsv")) == 3


def test_the_page(score, letters, model):
    """It shows the alleles that change a probability most, whatever chunk they are of."""
    found = rows_of(random_alleles(letters, 40))
    columns = ("delta_logit", "delta_prob")
    told, folder = score(found, explain=5, columns=columns)
    page = (folder / "top.html").read_text()
    size = [max(abs(float(r[f"delta_prob:{x}"])) for x in model.labels) for r in told]
    best = np.argsort(-np.array(size), kind="stable")[:5]
    shown = [f"{told[i]['chrom']}:{int(told[i]['pos']):,} {told[i]['ref']}" for i in best]
    shown = [words if len(words.split()[1]) < 13 else words[:12] for words in shown]
    assert all(words in page for words in shown) and page.count('<figure class="locus"') == 5
    assert page.count('class="changed') == 10, "in REF and in ALT"
    assert page.count("<svg") >= 10 and "http" not in page.replace("http://www.w3.org", "")
    links = re.findall(r'href="#(variant-\d)"', page)
    assert links == re.findall(r'<figure class="locus" id="([^"]+)"', page)


@pytest.mark.parametrize(
    "ref, alt, found",
    [
        ("A", "G", (0, 1, 1)),
        ("A", "ACG", (1, 1, 3)),
        ("ACG", "A", (1, 3, 1)),
        ("CAT", "CGT", (1, 2, 2)),
        ("AA", "AAAA", (2, 2, 4)),
        ("ACG", "TT", (0, 3, 2)),
    ],
)
def test_where_alleles_differ(ref, alt, found):
    assert changed(ref, alt) == found


def test_names_on_the_page_are_text(letters, fasta, tmp_path):
    evil = '<img/src=x/onerror="alert(1)">&'
    network = random_model([f"A{evil}@x", f"B{evil}@x"], blocks=3)
    base = letters["chr1"][2_000]
    path = vcf(tmp_path / "v.vcf", [f"chr1\t2001\t{evil}\t{base}\t{'AC'[base == 'A']}\t.\t.\t."])
    folder = variants(path, fasta, network, tmp_path / "out", explain=1, device="cpu").path
    page = (folder / "top.html").read_text()
    assert "<img" not in page and page.count("&lt;img/src=x") >= 3


def test_numbers_as_text():
    values = np.array([[0, -0.00001, 1.23456, -12.5], [np.nan, 99999.99995, 0.5, -3]], np.float32)
    first, second = rows_as_text(values)
    assert first == b"\t0.0000\t0.0000\t1.2346\t-12.5000"
    assert second == b"\tNA\t100000.0000\t0.5000\t-3.0000"
    assert rows_as_text(np.empty((0, 4), np.float32)) == []
    assert rows_as_text(np.empty((2, 0), np.float32)) == [b"", b""]


def test_kinds():
    pairs = ("A C", "AC GT", "A AT", "AT A", "AT CGG")
    found = [records.Allele(0, "c", 0, ".", *pair.encode().split()) for pair in pairs]
    assert [x.kind for x in found] == ["snv", "mnv", "insertion", "deletion", "indel"]


@pytest.mark.parametrize(
    "n, name, words",
    [
        (1, "alleles scored", "1 allele scored"),
        (0, "calls gained", "0 calls gained"),
        (1, "records", "1 record"),
        (1, "skipped", "1 skipped"),
    ],
)
def test_counts_have_their_plural(n, name, words):
    assert counted(n, name) == words
