"""What ``tcnfast scan`` takes: contigs, labels, options; refused before anything is written."""

import logging

import pyBigWig
import pytest
from support.scan import (
    FP32,
    LABELS,
    SCANNED,
    SIZES,
    partial,
    random_letters,
    read_rows,
    run_record_of,
    write_fasta,
)

import tcnfast
from tcnfast.base.errors import TcnfastError
from tcnfast.scan.scan_job import check_bigwig_lengths

pytestmark = pytest.mark.usefixtures("small_segments")


def test_alternative_unplaced_and_mitochondrial_contigs_are_skipped_and_named(
    fasta, model, out, caplog
):
    with caplog.at_level(logging.INFO, "tcnfast"):
        result = tcnfast.scan(fasta, model, out, **FP32)
    assert set(result.summary["chrom"]) == {"all", *SCANNED}
    words = "3 contigs skipped (chrUn_x, chr1_alt, chrM); chroms='all' scans them"
    assert words in caplog.text


@pytest.mark.parametrize(
    "chroms, want",
    [
        ("all", list(SIZES)),
        (["all"], list(SIZES)),
        ("chrM", ["chrM"]),
        (["chr21", "chr1_alt"], ["chr1_alt", "chr21"]),  # in the order of the genome
    ],
)
def test_chosen_contigs(fasta, model, out, chroms, want, caplog):
    with caplog.at_level(logging.INFO, "tcnfast"):
        result = tcnfast.scan(fasta, model, out, chroms=chroms, **FP32)
    assert result.summary["chrom"][: len(want) + 1].tolist() == ["all", *want]
    assert "skipped" not in caplog.text and run_record_of(out)["skipped_contigs"] == []


@pytest.mark.parametrize("name", ["#1", "track", "browser"])
def test_contigs_that_a_bed_file_cannot_name_are_refused(model, tmp_path, name):
    """Every reader, our own too, would take the rows of their calls for comments."""
    path = write_fasta(tmp_path / "g.fa", {"track_1": random_letters(90), name: random_letters(90)})
    with pytest.raises(TcnfastError, match=f"contig '{name}': readers of BED files"):
        tcnfast.scan(path, model, tmp_path / "out", chroms="all", **FP32)
    assert not list(tmp_path.glob("out*"))
    tcnfast.scan(path, model, tmp_path / "out", chroms="track_1", **FP32)


def test_a_contig_alone_is_scored_as_in_company(scanned, fasta, model, out):
    tcnfast.scan(fasta, model, out, chroms="chr21", **FP32)
    for label in LABELS:
        name = f"peaks/{label}.narrowPeak"
        want = [row for row in read_rows(scanned.path / name) if row[0] == "chr21"]
        assert read_rows(out / name) == want


@pytest.mark.parametrize(
    "options, words",
    [
        (dict(chroms="20"), "chroms: contig '20' is called 'chr20' in the genome"),
        (dict(chroms=["chr20", "chr99"]), "chroms: no contig 'chr99' in the genome, which has"),
        (dict(chroms=[]), "chroms: names no contig"),
        (dict(targets="GATA1"), "targets: the model has no label 'GATA1'"),
        (dict(tracks=["REST", "GATA1"]), "tracks: the model has no label 'GATA1'"),
        (dict(min_length=0), "min_length 0: must be at least 1"),
        (dict(max_gap=-1), "max_gap -1: must be at least 0"),
        (dict(track_floor=-0.1), "track_floor -0.1: must be at least 0"),
        (dict(track_floor=float("nan")), "track_floor nan: must be at least 0"),
        (dict(track_floor=1.0), "track_floor 1.0: must be below 1"),
        (dict(track_format="wig"), "track_format 'wig': must be one of bigwig, zarr, zarr-fp16"),
        (dict(strand="sum"), "strand 'sum': must be one of +, -, both, max"),
        (dict(stride=33), "stride 33: must be a power of two"),
        (dict(within="nowhere.bed"), "nowhere.bed: no such file"),
        (dict(force=True, resume=True), "force=True and resume=True: give one of the two"),
    ],
)
def test_bad_options_are_known_before_anything_is_written(fasta, model, out, options, words):
    with pytest.raises(TcnfastError) as info:
        tcnfast.scan(fasta, model, out, **FP32, **options)
    assert words in str(info.value) and "\n" not in str(info.value)
    assert not out.exists() and not partial(out).exists()


def test_an_empty_contig_among_others(model, tmp_path, out):
    contigs = {"chr1": random_letters(5_000), "chr2": b"", "chr3": b"A", "chr4": b"NN"}
    path = write_fasta(tmp_path / "x.fa", contigs)
    result = tcnfast.scan(path, model, out, tracks="all", track_floor=0, **FP32)
    assert result.summary["chrom"][:5].tolist() == ["all", *contigs]
    with pyBigWig.open(str(out / "tracks" / "REST.bw")) as file:
        assert file.chroms() == {"chr1": 5_000, "chr2": 0, "chr3": 1, "chr4": 2}
        assert len(file.intervals("chr3")) == 1 and file.intervals("chr4") is None


def test_names_of_contigs_of_any_length_and_with_commas(model, tmp_path, out):
    names = ["c" + "n" * 5_000, "a,b", "chr1_hap1"]
    path = write_fasta(tmp_path / "x.fa", {name: random_letters(9_000) for name in names})
    result = tcnfast.scan(path, model, out, tracks="REST", track_floor=0, **FP32)
    assert result.summary["chrom"][:4].tolist() == ["all", *names]
    with pyBigWig.open(str(out / "tracks" / "REST.bw")) as file:
        assert file.chroms() == dict.fromkeys(names, 9_000)
        assert all(file.intervals(name) for name in names)
    result = tcnfast.scan(path, model, tmp_path / "some", chroms="a,b,chr1_hap1", **FP32)
    assert result.summary["chrom"][:3].tolist() == ["all", "a,b", "chr1_hap1"]


def test_a_contig_too_long_for_a_bigwig_is_known_beforehand():
    check_bigwig_lengths({"a": 2**32 - 1})
    with pytest.raises(TcnfastError, match="tracks: b has 4294967296 bases, a bigWig at most"):
        check_bigwig_lengths({"a": 5, "b": 2**32})
