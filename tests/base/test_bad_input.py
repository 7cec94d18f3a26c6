"""Bad input through the command line: one line, exit 1 (2 for options alone), nothing left."""

import gzip
import importlib
import json
import shutil

import pytest
import torch
from support.cli import QUICK, assert_nothing_written, data_words, fails, refused, scan_words
from support.scan import calling_model, files_in

from tcnfast.base.errors import TcnfastError
from tcnfast.base.tables import read_object
from tcnfast.model import model_folder as names

PROTEIN = b">sp|P49711|CTCF_HUMAN\nMEGDAVEAIVEESETFIKGKERKTYQRRREGGQEEDACHLPQNQTDGGEVVQDVNSSVQMV\n"
DNA = b">chr1\n" + b"ACGTTGCA" * 100 + b"\n"

GENOMES = {
    "missing": (None, "no such file"),
    "empty": (b"", "empty file"),
    "blank": (b"\n \n", "empty file"),
    "truncated gzip": (gzip.compress(DNA, mtime=0)[:-12], "truncated gzip"),
    "damaged gzip": (gzip.compress(DNA, mtime=0)[:20] + b"\xff" * 30, "gzip"),
    "binary": (bytes(range(256)) * 9, "binary file"),
    "text": (b"Dear reader,\n", "no FASTA header"),
    "protein": (PROTEIN, "no nucleotide; a protein FASTA?"),
    "rna": (b">chr1\nACGU\n", "this is RNA"),
    "header-less": (b"ACGTACGT\n", "no FASTA header"),
    "headers alone": (b">chr1\n>chr2\n", "no sequence under its 2 headers"),
    "fastq": (b"@read\nACGT\n+\nIIII\n", "FASTQ"),
    "folder": ("folder", "is a folder"),
    "duplicate contig": (DNA + DNA, "second contig named 'chr1'"),
    "late protein": (b">chr1\n" + b"ACGT" * 200_000 + b"MEGDAVE\n", "no nucleotide"),
}


@pytest.mark.parametrize("what", GENOMES)
def test_bad_genomes(run, home, tmp_path, what):
    data, words = GENOMES[what]
    path = tmp_path / ("x.fa.gz" if "gzip" in what else "x.fa")
    if data == "folder":
        path.mkdir()
    elif data is not None:
        path.write_bytes(data)
    complaint = fails(run("scan", path, "-m", home / "model", "-o", "out", "-q"), words)
    assert str(path) in complaint
    assert_nothing_written(tmp_path, path.name)


@pytest.mark.parametrize("name", ["", "."])
def test_a_genome_without_a_name(run, home, tmp_path, name):
    fails(run("scan", name, "-m", home / "model", "-o", "out"), "is a folder; name the FASTA")
    assert_nothing_written(tmp_path)


def test_a_working_folder_that_is_gone_is_named(run, home, tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    words = "the folder that you are in is not there any more; cd into another"
    fails(run("scan", home / "genome.fa", "-m", home / "model", "-o", "out", "-q"), words)


def test_the_same_genome_twice(run, home, tmp_path):
    words = ["scan", home / "genome.fa", home / "genome.fa", "-m", home / "model", "-q"]
    fails(run(*words), "contig 'chr20' is in", "leave one out")
    assert_nothing_written(tmp_path)


BEDS = {
    "missing": (None, "no such file"),
    "empty": ("", "no intervals"),
    "end before start": ("chr20\t500\t100\n", ":1: start 500 is not below end 100"),
    "beyond the chromosome": (
        "chr20\t1\t9\nchr20\t99000\t200000\n",
        ":2: end 200000 lies beyond chr20, which has 100000 bp; is it the right assembly?",
    ),
    "other names": (
        "20\t100\t200\n",
        ":1: contig '20' is called 'chr20' in the genome; rename one side "
        "(for a BED file: sed 's/^/chr/')",
    ),
    "unknown chromosome": ("chr77\t1\t9\n", ":1: no contig 'chr77' in the genome"),
    "no numbers": ("chrom\tstart\tend\n", "start 'start' is no integer"),
    "two columns": ("chr20\t100\n", ":1: 2 columns; needs chrom, start, end"),
    "negative": ("chr20\t-5\t100\n", ":1: start -5 is negative"),
}


@pytest.mark.parametrize("what", BEDS)
def test_bad_regions(run, home, tmp_path, what):
    text, words = BEDS[what]
    bed = tmp_path / "x.bed"
    if text is not None:
        bed.write_text(text)
    complaint = fails(run(*scan_words(home, "out", "-q", "--within", bed)), words)
    assert str(bed) in complaint
    assert_nothing_written(tmp_path, "x.bed")


def other_weights(folder):
    calling_model(channels=7).save(folder / "other")
    shutil.move(folder / "other" / names.WEIGHTS, folder / names.WEIGHTS)


def rewrite(name, old, new):
    def damage(folder):
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new, 1))

    return damage


def older(damage):
    """The damage done to a folder whose labels are not yet bound to its head."""

    def both(folder):
        config = json.loads((folder / names.CONFIG).read_text())
        del config[names.LABELS_HASH]
        (folder / names.CONFIG).write_text(json.dumps(config))
        damage(folder)

    return both


MODELS = {
    "no weights": (lambda f: (f / names.WEIGHTS).unlink(), "model.safetensors is missing"),
    "no config": (
        lambda f: (f / names.CONFIG).unlink(),
        "model: no model folder, config.json is missing\n",
    ),
    "no labels": (lambda f: (f / names.LABELS).unlink(), "labels.tsv is missing"),
    "no thresholds": (lambda f: (f / names.THRESHOLDS).unlink(), "has no thresholds.tsv"),
    "text for weights": (
        lambda f: (f / names.WEIGHTS).write_text("version https://git-lfs.github.com/spec/v1\n"),
        "model.safetensors: no safetensors file",
    ),
    "a pickle for weights": (
        lambda f: torch.save({"x": torch.zeros(3)}, f / names.WEIGHTS),
        "model.safetensors: no safetensors file",
    ),
    "empty weights": (lambda f: (f / names.WEIGHTS).write_bytes(b""), "no safetensors file"),
    "weights of another model": (other_weights, "model.safetensors: tensor "),
    "foreign config": (
        lambda f: (f / names.CONFIG).write_text('{"architectures": ["BertModel"]}'),
        "config.json: not a tcnfast model configuration",
    ),
    "broken config": (lambda f: (f / names.CONFIG).write_text("{"), "config.json: not JSON"),
    "config of the future": (
        rewrite(names.CONFIG, '"format": 1', '"format": 9'),
        "another tcnfast",
    ),
    "unknown field": (rewrite(names.CONFIG, '"blocks"', '"layers"'), "config.json: "),
    "bad field": (rewrite(names.CONFIG, '"blocks": 4', '"blocks": "4"'), "config.json: "),
    "a label less": (rewrite(names.LABELS, "REST\tREST\t\n", ""), "labels.tsv: its labels are not"),
    "another label": (rewrite(names.LABELS, "REST\t", "RXRA\t"), "labels.tsv: its labels are not"),
    "a label less in an older folder": (
        older(rewrite(names.LABELS, "REST\tREST\t\n", "")),
        "model.safetensors: tensor head",
    ),
    "another label in an older folder": (
        older(rewrite(names.LABELS, "REST\t", "RXRA\t")),
        "no threshold for label 'RXRA'",
    ),
    "impossible threshold": (
        lambda f: (f / names.THRESHOLDS).write_text(
            "label\tthreshold\tprecision\trecall\tpositives\nREST\t1.5\t0\t0\t1\n"
        ),
        "thresholds.tsv:2: threshold 1.5 is no probability",
    ),
    "binary thresholds": (
        lambda f: (f / names.THRESHOLDS).write_bytes(b"\xff\xfe\x00"),
        "thresholds.tsv: not a text table",
    ),
}


@pytest.mark.parametrize("what", MODELS)
def test_bad_models(run, home, tmp_path, what):
    damage, words = MODELS[what]
    folder = tmp_path / "model"
    shutil.copytree(home / "model", folder)
    damage(folder)
    complaint = fails(run("scan", home / "genome.fa", "-m", folder, "-o", "out", "-q"), words)
    assert str(folder) in complaint
    assert_nothing_written(tmp_path, "model")


def test_no_such_model(run, home, tmp_path):
    (tmp_path / "weights.pt").write_bytes(b"x")
    reasons = {
        "encode-v99": "no such folder, nor a bundled model",
        "weights.pt": "is a file; a model is a folder",
    }
    for name, words in reasons.items():
        fails(run("scan", home / "genome.fa", "-m", name, "-o", "out", "-q"), words, name)
    assert_nothing_written(tmp_path, "weights.pt")


@pytest.mark.parametrize(
    "flags, words",
    [
        (["-c", "20"], "contig '20' is called 'chr20'"),
        (["-c", "chr20,chr77"], "no contig 'chr77'"),
        (["-c", ","], "--chroms"),
        (["-t", "GATA1"], "the model has no label 'GATA1'; tcnfast labels lists them"),
        (["-t", ","], "--targets"),
        (["--stride", "33"], "stride 33: must be a power of two"),
        (["--device", "abacus"], "device 'abacus': must be auto, cpu"),
        (["--backend", "magic"], "backend 'magic' is not in this build"),
        (["--precision", "fp8"], "precision 'fp8': must be auto"),
    ],
)
def test_bad_flags(run, home, tmp_path, flags, words):
    fails(run(*scan_words(home, "out", "-q", *flags)), words)
    assert_nothing_written(tmp_path)


@pytest.mark.parametrize(
    "flags, words",
    [
        (["--max-gap", "-1"], "--max-gap -1: must be at least 0"),
        (["--force", "--resume"], "--force and --resume: give one of the two"),
    ],
)
def test_bad_options_are_usage_errors(run, home, tmp_path, flags, words):
    refused(run(*scan_words(home, "out", "-q", *flags)), words)
    assert_nothing_written(tmp_path)


def test_an_output_that_exists(run, home, tmp_path):
    assert run(*scan_words(home, "out", "-q", "-c", "chrM"))[0] == 0
    before = files_in(tmp_path, but=())
    words = "out: exists; choose another -o/--output, or --force to replace it"
    fails(run(*scan_words(home, "out", "-q", "-c", "chrM")), words)
    assert files_in(tmp_path, but=()) == before
    assert run(*scan_words(home, "out", "-q", "-c", "chrM", "--force")) == (0, "", "")


def test_an_output_that_cannot_be_made(run, home, tmp_path):
    (tmp_path / "file").write_text("x")
    fails(run(*scan_words(home, "file/out", "-q", "-c", "chrM")), "file/out")
    assert_nothing_written(tmp_path, "file")


def test_a_run_record_that_is_no_json(run, home, tmp_path):
    assert run(*scan_words(home, "out", "-q", "-c", "chrM"))[0] == 0
    (tmp_path / "out" / "run.json").write_text("")
    fails(run(*scan_words(home, "out", "-q", "-c", "chrM", "--resume")), "out")


def test_verbose_shows_where(run, home, tmp_path):
    code, out, err = run("scan", "nowhere.fa", "-m", home / "model", "-q", "-v")
    assert code == 1 and out == "" and "Traceback (most recent call last)" in err
    assert err.splitlines()[-1] == "tcnfast: error: nowhere.fa: no such file"


def test_an_error_that_is_not_the_users_says_so(run, home, monkeypatch, tmp_path):
    def broken(*_, **__):
        raise IndexError("list index\nout of range")

    monkeypatch.setattr(importlib.import_module("tcnfast.scan.scan_genome"), "scan_genome", broken)
    code, _, err = run(*scan_words(home, "out", "-q"))
    words = "IndexError: list index out of range (a defect of tcnfast? -v shows where)"
    assert code == 1 and err == f"tcnfast: error: {words}\n"


# training


REGIONS = {"train": ["chr1:1-60000"], "valid": ["chr1:60001-90000"], "test": ["chr1:90001-120000"]}


@pytest.mark.parametrize(
    "split, words",
    [
        ({x: REGIONS[x] for x in ("train", "valid")}, 'must hold lists called "train", "valid"'),
        ({**REGIONS, "holdout": []}, "must hold lists called"),
        ("{", "not JSON"),
        ({**REGIONS, "valid": ["chr1:59000-70000"]}, "overlap at chr1:59000"),
        ({**REGIONS, "test": ["chr1:90001-120001"]}, "ends beyond chr1, which has 120000 bases"),
        ({**REGIONS, "test": ["1:90001-100000"]}, "contig '1' is called 'chr1'"),
        ({**REGIONS, "test": ["chr1:500-100"]}, "needs 1 <= start <= end"),
        ({**REGIONS, "train": []}, "train"),
        ({**REGIONS, "valid": []}, "valid"),
        ({**REGIONS, "test": []}, "test"),
        ({**REGIONS, "test": ["chr1:90001-90050"]}, "test"),
        ({**REGIONS, "valid": "chr1:60001-90000"}, "valid"),
        ({**REGIONS, "valid": [7]}, "split.json"),
    ],
)
def test_bad_splits_are_known_before_training(run, lesson, tmp_path, split, words, monkeypatch):
    def fit(*_, **__):
        raise AssertionError("training began")

    monkeypatch.setattr(importlib.import_module("tcnfast.train.train_run"), "fit", fit)
    path = tmp_path / "split.json"
    path.write_text(split if isinstance(split, str) else json.dumps(split))
    fails(run("train", *data_words(lesson, split=path), *QUICK, "-o", "made", "-q"), words)
    assert_nothing_written(tmp_path, "split.json")


PEAKS = {
    "missing": (None, "no such file"),
    "no header": ("chr1\t1\t200\tCTCF\t0\n", "the first line must name the columns"),
    "no label": ("#chrom\tstart\tend\n", "the first line must name the columns"),
    "none in training": (
        "#chrom\tstart\tend\tlabel\n" + "chr1\t70000\t70200\tCTCF\n" * 20,
        "no label has 10 peaks in the training regions",
    ),
    "too few": (
        "#chrom\tstart\tend\tlabel\n" + "chr1\t1000\t1200\tCTCF\n" * 9,
        "no label has 10 peaks in the training regions",
    ),
    "other names": (
        "#chrom\tstart\tend\tlabel\n1\t5\t90\tCTCF\n",
        "is called 'chr1' in the genome",
    ),
    "end before start": ("#chrom\tstart\tend\tlabel\nchr1\t90\t5\tCTCF\n", ":2: start 90 is not"),
}


@pytest.mark.parametrize("what", PEAKS)
def test_bad_peaks_are_known_before_training(run, lesson, tmp_path, what):
    text, words = PEAKS[what]
    path = tmp_path / "p.bed"
    if text is not None:
        path.write_text(text)
    fails(run("train", *data_words(lesson, peaks=path), *QUICK, "-o", "made", "-q"), words)
    assert_nothing_written(tmp_path, "p.bed")


@pytest.mark.parametrize(
    "flags, words",
    [
        (["--stride", "12"], "stride 12: must be a power of two"),
        (["--tile-steps", "9999"], "no training region holds a tile"),
    ],
)
def test_bad_training_flags(run, lesson, tmp_path, flags, words):
    fails(run("train", *data_words(lesson), *QUICK, "-o", "made", "-q", *flags), words)
    assert_nothing_written(tmp_path)


@pytest.mark.parametrize(
    "flags, words",
    [
        (["--dropout", "1.5"], "dropout 1.5 must be in [0, 1)"),
        (["--norm", "layer"], "norm 'layer' must be one of"),
        (["--first-kernel", "4"], "first_kernel 4 must exceed"),
        (["--enriched", "2"], "enriched 2.0: must be within 0 and 1"),
    ],
)
def test_bad_training_options_are_usage_errors(run, lesson, tmp_path, flags, words):
    refused(run("train", *data_words(lesson), *QUICK, "-o", "made", "-q", *flags), words)
    assert_nothing_written(tmp_path)


def test_a_file_of_json_that_cannot_be_opened_is_not_called_broken():
    with pytest.raises(TcnfastError) as caught:
        read_object("https://example.org/recipe.json")
    assert "download it first" in str(caught.value) and "not JSON" not in str(caught.value)
