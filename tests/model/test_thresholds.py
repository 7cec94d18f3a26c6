"""thresholds.tsv and the rules of --cutoff."""

import math

import pytest

from tcnfast.base.errors import TcnfastError
from tcnfast.model.cutoffs import choose_cutoffs
from tcnfast.model.model_folder import ModelFolder
from tcnfast.model.thresholds import (
    Cutoff,
    Threshold,
    parse_cutoff,
    read_thresholds,
    write_thresholds,
)

ROWS = {
    "a": Threshold("a", 0.25, 0.5, 0.75, 30, {0.5: Cutoff(0.3, 0.6, 0.7), 0.9: None}),
    "b": Threshold(
        "b", 0.125, 0.4, 0.1, 8, {0.5: Cutoff(0.5, 0.7, 0.2), 0.9: Cutoff(0.8, 1.0, 0.0)}
    ),
}
OLD = "label\tthreshold\tprecision\trecall\tpositives\na\t0.25\t0.5\t0.75\t30\n"


def same(found, wanted):
    """NaN counts as NaN, which dataclasses no longer say from Python 3.13 on."""
    return {x: repr(row) for x, row in found.items()} == {x: repr(row) for x, row in wanted.items()}


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "thresholds.tsv"
    write_thresholds(path, ["a", "b"], ROWS)
    assert same(read_thresholds(path, ["b", "a"]), ROWS)
    header, first, _ = path.read_text().splitlines()
    columns = "label", "threshold", "precision", "recall", "positives"
    rules = [f"{name}@precision={p}" for p in ("0.5", "0.9") for name in columns[1:4]]
    assert header.split("\t") == [*columns, *rules]
    assert first.split("\t")[-3:] == ["NA"] * 3


def test_a_table_of_an_older_model_knows_f1_alone(tmp_path):
    path = tmp_path / "thresholds.tsv"
    path.write_text(OLD)
    rows = read_thresholds(path, ["a"])
    assert rows == {"a": Threshold("a", 0.25, 0.5, 0.75, 30)}
    assert same(choose_cutoffs(rows, ["a"], "f1"), {"a": Cutoff(0.25, 0.5, 0.75)})
    with pytest.raises(TcnfastError, match=r"precision=0.9 \(fdr=0.1\).*holds only f1; give one"):
        choose_cutoffs(rows, ["a"], "precision=0.9")
    write_thresholds(path, ["a"], rows)
    assert read_thresholds(path, ["a"]) == rows


@pytest.mark.parametrize(
    "old, new, complaint",
    [
        ("threshold@precision=0.5", "threshold@precision=half", "names no precision"),
        ("threshold@precision=0.5", "threshold@precision=1.5", "names no precision"),
        ("recall@precision=0.9", "recall@fdr=0.1", "column 'recall@precision=0.9' is missing"),
        ("\t0.3\t", "\t1.3\t", ":2: threshold 1.3 is no probability"),
        ("\t0.3\t", "\thigh\t", ":2: could not convert"),
        ("a\t0.25", "a\tNA", ":2: threshold NA is no probability"),
    ],
)
def test_a_table_that_is_wrong_is_named(tmp_path, old, new, complaint):
    path = tmp_path / "thresholds.tsv"
    write_thresholds(path, ["a", "b"], ROWS)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(TcnfastError, match="thresholds.tsv") as error:
        read_thresholds(path, ["a", "b"])
    assert complaint in str(error.value) and str(error.value).count("thresholds.tsv") == 1


@pytest.mark.parametrize(
    "rule, spelling",
    [
        ("best", "best"),
        ("f1", "f1"),
        ("Recall=.30", "recall=0.3"),
        (" F1 ", "f1"),
        ("precision=0.5", "precision=0.5"),
        ("precision=.50", "precision=0.5"),
        ("fdr=0.5", "precision=0.5"),
        ("fdr=0.1", "precision=0.9"),
        ("FDR=0.05", "precision=0.95"),
        ("0.3", "0.3"),
        (0.25, "0.25"),
    ],
)
def test_rules_have_one_spelling(rule, spelling):
    assert parse_cutoff(rule) == spelling == parse_cutoff(spelling)


@pytest.mark.parametrize(
    "rule",
    ["", *"f2 0 1 1.5 -0.1 nan fdr=0 precision=1 fdr recall=1.5 precision= 0.3= =0.3".split()],
)
def test_what_is_no_rule_raises(rule):
    with pytest.raises(
        TcnfastError, match="give best, f1, precision=P, fdr=P, recall=P, or a probability P"
    ):
        parse_cutoff(rule)


def test_cutoffs_of_each_rule():
    assert same(choose_cutoffs(ROWS, ["b"], "f1"), {"b": Cutoff(0.125, 0.4, 0.1)})
    both = {"a": Cutoff(0.3, 0.6, 0.7), "b": Cutoff(0.5, 0.7, 0.2)}
    assert same(choose_cutoffs(ROWS, ["a", "b"], "precision=0.5"), both)
    got = choose_cutoffs(ROWS, ["a", "b"], parse_cutoff("fdr=0.1"))
    assert same(got, {"a": None, "b": Cutoff(0.8, 1.0, 0.0)})
    for thresholds in (ROWS, None):
        (cutoff,) = choose_cutoffs(thresholds, ["a"], "0.3").values()
        assert cutoff.threshold == 0.3 and math.isnan(cutoff.precision)
    with pytest.raises(TcnfastError, match="no thresholds.tsv; give a probability"):
        choose_cutoffs(None, ["a"], "precision=0.5")
    with pytest.raises(TcnfastError, match="holds only f1, precision=0.5, precision=0.9"):
        choose_cutoffs(ROWS, ["a"], "precision=0.7")


@pytest.mark.parametrize("name", ModelFolder.bundled())
def test_bundled_models_can_be_read(name):
    folder = ModelFolder(name)
    assert list(choose_cutoffs(folder.thresholds, folder.labels, "f1"))
