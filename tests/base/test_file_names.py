"""Names of files that are named after labels."""

import json

import pytest
from support.cli import QUICK, data_words, fails

from tcnfast.base.errors import TcnfastError
from tcnfast.base.file_names import check_labels, file_names


def test_file_names():
    labels = ["CTCF@K562", "a b/c", "H3K4me3+", "x:y", "NKX2-5"]
    assert file_names(labels) == ["CTCF@K562", "a_b_c", "H3K4me3+", "x_y", "NKX2-5"]


def test_labels_that_share_a_file_name_raise():
    with pytest.raises(TcnfastError, match="labels 'a/b' and 'a:b' share a file name"):
        file_names(["a/b", "c", "a:b"])


BAD = {
    "comma": (["a,b"], "label 'a,b' has a comma, which separates labels"),
    "case": (["CTCF@K562", "MAX", "ctcf@K562"], "differ in upper and lower case alone"),
    "long": (["x" * 201], "names a file by 201 bytes; 200 are possible"),
    "long in bytes": (["\u00e9" * 101], "names a file by 202 bytes"),
    "one file": (["a/b", "a:b"], "share a file name"),
}


@pytest.mark.parametrize("what", BAD)
def test_labels_that_would_be_in_the_way_later(what):
    labels, words = BAD[what]
    check_labels(["CTCF@K562", "CTCF@HepG2", "x" * 200])
    with pytest.raises(TcnfastError) as caught:
        check_labels(labels)
    assert words in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("what", BAD)
@pytest.mark.parametrize("verb", ["prepare", "train", "windows prepare"])
def test_they_are_caught_before_the_work(run, lesson, tmp_path, verb, what):
    """Not by the scan, when the network was trained."""
    labels, words = BAD[what]
    rows = [
        f"chr1\t{start}\t{start + 200}\t{label}\n"
        for label in labels
        for start in range(500, 9_000, 400)
    ]
    (tmp_path / "p.bed").write_text("#chrom\tstart\tend\tlabel\n" + "".join(rows))
    more = QUICK if verb == "train" else []
    if verb == "windows prepare":
        (tmp_path / "r.json").write_text(json.dumps({"name": "r", "labels": labels}))
        more = [tmp_path / "r.json"]
    data = data_words(lesson, peaks="p.bed")
    fails(run(*verb.split(), *data, *more, "-o", "out", "-q"), words)
    assert {path.name for path in tmp_path.iterdir()} <= {"p.bed", "r.json"}
