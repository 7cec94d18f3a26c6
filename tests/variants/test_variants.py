"""tcnfast variants, from the file to the table and back into the VCF."""

import re

import numpy as np
import pytest
from support.models import random_model
from support.scan import files_in, read_rows
from support.variant import random_alleles, rows_of, vcf

from tcnfast.base.errors import TcnfastError
from tcnfast.variants import records, variants
from tcnfast.variants.effects import EffectScorer
from tcnfast.variants.variant_page import changed
from tcnfast.variants.variants_run import counted
from tcnfast.variants.writers import rows_as_text


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
