"""The report of prepare: every count against a plain loop over the bins."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support.prepare import LABELS

from tcnfast.data.data_report import report_text
from tcnfast.data.prepared import open_prepared
from tcnfast.genome.labels import AMBIGUOUS, BOUND, UNBOUND


@pytest.fixture
def folder(run, lab, monkeypatch):
    # some N, and chunks that do not divide the regions
    path = lab.folder / "g.fa"
    text = path.read_text()
    at = text.index("\n") + 1
    path.write_text(text[: at + 30_000] + "N" * 900 + text[at + 30_900 :])
    monkeypatch.setattr("tcnfast.data.data_report.CHUNK", 17)
    files = {"peaks": "peaks.bed", "ambiguous": "relaxed.bed", "blacklist": "blacklist.bed"}
    words = [word for role, name in files.items() for word in (f"--{role}", lab.folder / name)]
    words += ["--min-peaks", 25]
    code, out, err = run(*lab.words("-o", "data", *words, "--report"))
    assert code == 0, err
    return Path("data"), out


def plain_counts(folder):
    """[(part, labels of the bin, GC, CpG, known)] of every bin that is not all N."""
    dataset, split, _ = open_prepared(folder)
    rows = []
    for part, regions in split.items():
        for chrom, first, last in regions:
            for start in range(first, last - 199, 200):
                codes = dataset.genome.codes(chrom, start, start + 200).tolist()
                known = sum(code < 4 for code in codes)
                cpg = sum(a == 1 and b == 2 for a, b in zip(codes, codes[1:], strict=False))
                if known:
                    labels = dataset.targets(chrom, np.array([start + 100]))[0].tolist()
                    rows.append((part, labels, codes.count(1) + codes.count(2), cpg, known))
    return rows


def test_counts(folder):
    folder, _ = folder
    report, bins = json.loads((folder / "report.json").read_text()), plain_counts(folder)
    assert len(bins) < (60_000 + 20_000) // 200
    for i, label in enumerate(LABELS):
        row = report["labels"][i]
        assert row["label"] == label
        for part in ("train", "valid", "test"):
            kinds = [labels[i] for name, labels, *_ in bins if name == part]
            bound, ambiguous = kinds.count(BOUND), kinds.count(AMBIGUOUS)
            assert (row[f"{part}_bound"], row[f"{part}_ambiguous"]) == (bound, ambiguous)
            assert row[f"{part}_density"] == pytest.approx(bound / (len(kinds) - ambiguous))
            assert report["parts"][part]["bins"] == len(kinds)
        for kind, word in ((BOUND, "bound"), (UNBOUND, "unbound")):
            mine = [x for x in bins if x[1][i] == kind]
            known = sum(x[4] for x in mine)
            assert row[f"gc_{word}"] == pytest.approx(sum(x[2] for x in mine) / known)
            assert row[f"cpg_{word}"] == pytest.approx(sum(x[3] for x in mine) / known)


def test_cooccurrence(folder):
    folder, _ = folder
    table = pd.read_csv(folder / "report.cooccurrence.tsv", sep="\t", index_col=0)
    assert list(table.index) == list(table.columns) == LABELS
    bound = np.array([[x == BOUND for x in labels] for _, labels, *_ in plain_counts(folder)])
    np.testing.assert_array_equal(table.to_numpy(), bound.T.astype(int) @ bound.astype(int))
    assert table.to_numpy()[0, 1] > 0


def test_tables_and_text(folder):
    folder, out = folder
    report = json.loads((folder / "report.json").read_text())
    table = pd.read_csv(folder / "report.labels.tsv", sep="\t", keep_default_na=False)
    assert table["label"].tolist() == LABELS
    assert table["train_bound"].tolist() == [row["train_bound"] for row in report["labels"]]
    trained = [row["train_peaks"] for row in report["labels"]]
    assert report["dropped"] == [x for x, n in zip(LABELS, trained, strict=True) if n < 25] != []
    for label in report["dropped"]:
        row = report["labels"][LABELS.index(label)]
        assert row["dropped"] == f"{row['train_peaks']} training peaks, fewer than 25"
        assert f"{label}: {row['dropped']}" in out
    assert out == report_text(report) + "\n"
    size = sum(report["bytes"].values())
    named = {path for path in folder.iterdir() if not path.name.startswith(("report", "run"))}
    assert size == sum(path.stat().st_size for path in named)


def test_pairs_are_those_that_share_most():
    from tcnfast.data.data_report import overlapping_pairs

    both = np.array([[100, 60, 49, 0], [60, 80, 55, 50], [49, 55, 1000, 0], [0, 50, 0, 50]])
    pairs = [
        (x["a"], x["b"], x["bins"], x["jaccard"])
        for x in overlapping_pairs(list("abcd"), both, 20, 50)
    ]
    assert pairs == [
        ("b", "d", 50, 50 / 80),
        ("a", "b", 60, 60 / 120),
        ("b", "c", 55, 55 / 1025),
    ]
