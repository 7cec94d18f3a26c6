"""Splits, from a file and by the name of an assembly."""

import json

import pytest

from tcnfast.base.errors import TcnfastError
from tcnfast.data.splits import SPLIT_NAMES, open_split, read_split

SIZES = {"chr20": 30_000, "chrX": 9_000}
HUMAN = {f"chr{name}": 1_000 for name in (*range(1, 23), "X", "Y", "M", "1_random")}
MOUSE = {f"chr{name}": 1_000 for name in (*range(1, 20), "X", "Y", "M")}


@pytest.fixture
def split(tmp_path):
    def write(**parts):
        path = tmp_path / "split.json"
        path.write_text(json.dumps({"train": [], "valid": [], "test": []} | parts))
        return path

    return write


def test_split_regions_are_half_open(split):
    path = split(train=["chr20:1-10,000", "chr20:20001-30000"], valid=["chr20:10001-20000"])
    assert read_split(path, SIZES) == {
        "train": [("chr20", 0, 10_000), ("chr20", 20_000, 30_000)],
        "valid": [("chr20", 10_000, 20_000)],
        "test": [],
    }
    assert read_split(split(test=["chrX"]), SIZES)["test"] == [("chrX", 0, 9_000)]


@pytest.mark.parametrize(
    "parts, words",
    [
        (dict(train=["chr20:1-100"], valid=["chr20:100-200"]), "train and valid overlap at chr20:"),
        (dict(train=["chr20"], test=["chr20:50-60"]), "train and test overlap at chr20:50"),
        (dict(valid=["chrX", "chrX:5-9"]), "valid and valid overlap at chrX:5"),
        (dict(train=["chr20:1-30001"]), "ends beyond chr20, which has 30000 bases"),
        (dict(train=["20:1-100"]), "contig '20' is called 'chr20' in the genome"),
        (dict(train=["chr21"]), "no contig 'chr21'"),
        (dict(train=["chr20:9-5"]), "1 <= start <= end"),
        (dict(train="chr20"), '"train"'),
        (dict(train=7), '"train"'),
        (dict(train=[20]), '"train"'),
        (dict(holdout=["chr20"]), '"train", "valid" and "test"'),
    ],
    ids=[
        "overlap-by-one",
        "nested",
        "overlap-within-a-part",
        "beyond-the-end",
        "chr-prefix",
        "unknown",
        "backwards",
        "a-string",
        "a-number",
        "a-list-of-numbers",
        "a-fourth-part",
    ],
)
def test_bad_splits(split, parts, words):
    path = split(**parts)
    with pytest.raises(TcnfastError) as info:
        read_split(path, SIZES)
    message = str(info.value)
    assert words in message and str(path) in message and "\n" not in message


@pytest.mark.parametrize(
    "text, words",
    [
        ("{'train': []}", "not JSON"),
        ("[]", "must hold lists"),
        ('{"train": [], "valid": []}', "must hold lists"),
        (None, "cannot be read"),
    ],
    ids=["not-json", "a-list", "part-missing", "no-file"],
)
def test_bad_split_files(tmp_path, text, words):
    path = tmp_path / "split.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(TcnfastError, match=words) as info:
        read_split(path, SIZES)
    assert str(info.value).startswith(f"{path}: ")


def test_split_without_chr_prefix_in_the_genome(split):
    with pytest.raises(TcnfastError, match="contig 'chr20' is called '20' in the genome"):
        read_split(split(train=["chr20:1-100"]), {"20": 1000})


def test_a_fold_of_whole_chromosomes(split):
    path = split(train=["chr20"], valid=["chrX"])
    assert open_split(path, SIZES)["train"] == [("chr20", 0, 30_000)]


# by name


@pytest.mark.parametrize(
    "name, sizes, valid, test, left_out",
    [
        ("hg19", HUMAN, {"chr11"}, {"chr1", "chr8", "chr21"}, {"chrY"}),
        ("GRCh38", HUMAN, {"chr8", "chr20"}, {"chr1", "chr3", "chr6"}, set()),
        ("hg38", HUMAN, {"chr8", "chr20"}, {"chr1", "chr3", "chr6"}, set()),
        ("mm10", MOUSE, {"chr8", "chr10"}, {"chr1"}, set()),
    ],
)
def test_named_splits(name, sizes, valid, test, left_out):
    split = open_split(name, sizes)
    chroms = {part: {region.chrom for region in regions} for part, regions in split.items()}
    assert chroms["valid"] == valid and chroms["test"] == test
    usual = {chrom for chrom in sizes if chrom not in ("chrM", "chr1_random")}
    assert chroms["train"] == usual - valid - test - left_out
    assert all(region[1:] == (0, 1_000) for regions in split.values() for region in regions)
    plain = {chrom.removeprefix("chr"): size for chrom, size in sizes.items()}
    short = open_split(name, plain)
    assert {r.chrom for r in short["valid"]} == {x.removeprefix("chr") for x in valid}


def test_every_name_is_known():
    for name in SPLIT_NAMES:
        assert set(open_split(name, HUMAN)) == {"train", "valid", "test"}


def test_named_splits_of_a_part_of_the_genome(caplog):
    part = {"chr1": 10, "chr8": 20, "chr20": 30, "chr2": 40}
    assert open_split("GRCh38", part)["train"] == [("chr2", 0, 40)]
    assert "the genome lacks chr3, chr4" in caplog.text
    with pytest.raises(TcnfastError, match=r"none of the chromosomes of 'valid' \(chr11\)"):
        open_split("hg19", part)


def test_a_name_that_is_none(tmp_path):
    with pytest.raises(TcnfastError, match="no such file; nor is it a split by name: hg19, GRCh38"):
        open_split(tmp_path / "hg99", HUMAN)


def test_contigs_that_the_genome_lacks_are_left_out_as_of_a_split_by_name(split, caplog):
    """A fold of the whole genome, and a FASTA of a part of it."""
    path = split(train=["chr20", "chr1", "chr2:5-9"], valid=["chr8"], test=["chrX", "chr3"])
    with pytest.raises(TcnfastError, match="no contig 'chr8'"):
        read_split(path, SIZES)
    path = split(train=["chr20:1-9", "chr1", "chr2:5-9"], valid=["chr20:10-19", "chr8"])
    assert read_split(path, SIZES) == {
        "train": [("chr20", 0, 9)],
        "valid": [("chr20", 9, 19)],
        "test": [],
    }
    assert f"split {path}: the genome lacks chr1, chr2, chr8" in caplog.text
    with pytest.raises(TcnfastError, match="contig 'X' is called 'chrX'"):
        read_split(split(train=["chr20", "X"]), SIZES)


# of other programs

FIT = {"n_filters": 64, "training_chroms": ["chr20"], "validation_chroms": ["chrX"]}
BPNET = {"train": ["chr20"], "val": ["chrX"], "test": ["chr21"]}


@pytest.mark.parametrize(
    "fold",
    [
        {"train": ["chr20"], "valid": ["chrX"], "test": ["chr21"]},  # ChromBPNet
        FIT,  # bpnet-lite leaves its test chromosomes open
        FIT | {"test_chroms": ["chr21"]},
        {"name": "x", "fit_parameters": FIT, "predict_parameters": {"chroms": ["chr1"]}},
        {"0": BPNET},
    ],
    ids=["chrombpnet", "bpnet-lite", "bpnet-lite with test", "bpnet-lite pipeline", "bpnet"],
)
def test_folds_of_other_programs(tmp_path, fold):
    (tmp_path / "fold.json").write_text(json.dumps(fold))
    sizes = SIZES | {"chr21": 500, "chrM": 16, "chr20_random": 90}
    assert read_split(tmp_path / "fold.json", sizes) == {
        "train": [("chr20", 0, 30_000)],
        "valid": [("chrX", 0, 9_000)],
        "test": [("chr21", 0, 500)],
    }


@pytest.mark.parametrize(
    "fold, words",
    [
        ({"0": BPNET, "1": BPNET}, "holds 2 folds"),
        (FIT | {"validation_chroms": None}, '"train", "valid" and "test"'),
        (FIT | {"training_chroms": ["20"]}, "is called 'chr20' in the genome"),
        ({"0": {"train": []}}, '"train", "valid" and "test"'),
    ],
)
def test_folds_that_cannot_be_used(tmp_path, fold, words):
    (tmp_path / "fold.json").write_text(json.dumps(fold))
    with pytest.raises(TcnfastError) as caught:
        read_split(tmp_path / "fold.json", SIZES)
    assert words in str(caught.value)
