"""``tcnfast models`` and ``tcnfast labels``, and the names that stand for labels."""

import pytest
from support.models import random_model

from tcnfast.base.errors import TcnfastError
from tcnfast.base.options import chosen_labels, labels_in_turn
from tcnfast.base.verb import DEFAULT_MODEL

LABELS = ["CTCF@K562", "CTCF@GM12878", "E2F1@K562", "E2F6@A549", "REST"]


def table(text):
    header, *rows = (line.split("\t") for line in text.splitlines())
    return [dict(zip(header, row, strict=True)) for row in rows]


def test_models(run):
    code, out, _ = run("models")
    rows = table(out)
    assert code == 0 and [row["model"] for row in rows] == ["encode-v1", "encode-v2"]
    assert [row["model"] for row in rows if row["default"] == "yes"] == [DEFAULT_MODEL]
    code, out, _ = run("info")
    models = [line for line in out.splitlines() if line.startswith("model\t")]
    assert [line.split("\t")[1] for line in models if "the default" in line] == [DEFAULT_MODEL]
    for row in rows:
        assert (row["species"], row["assembly"]) == ("human", "hg19")
        assert sum(int(row[grade]) for grade in "ABCD") == int(row["labels"]) == 112


def test_labels(run):
    code, out, _ = run("labels")
    rows = table(out)
    assert code == 0 and len(rows) == 112
    ctcf = next(row for row in rows if row["label"] == "CTCF@K562")
    assert (ctcf["factor"], ctcf["cell"], ctcf["grade"]) == ("CTCF", "K562", "A")
    assert float(ctcf["precision"]) >= 0.5 and float(ctcf["calls_per_mb"]) > 1
    code, out, _ = run("labels", "e2f*")
    assert {row["factor"] for row in table(out)} == {"E2F1", "E2F6"}
    code, out, err = run("labels", "CTFC")
    assert code == 1 and out == "" and "no label 'CTFC'; did you mean CTCF" in err


def test_labels_of_a_model_of_which_nothing_was_measured(run, tmp_path):
    random_model(labels=["CTCF@K562", "REST"]).save(tmp_path / "m")
    code, out, _ = run("labels", "-m", tmp_path / "m")
    rows = table(out)
    assert code == 0 and [row["cell"] for row in rows] == ["K562", "NA"]
    assert {row["grade"] for row in rows} == {"NA"}


@pytest.mark.parametrize(
    "wanted, found",
    [
        (["all"], LABELS),
        (["REST", "CTCF@K562"], ["CTCF@K562", "REST"]),
        (["ctcf"], LABELS[:2]),
        (["@k562"], ["CTCF@K562", "E2F1@K562"]),
        (["E2F*"], LABELS[2:4]),
        (["*@GM*", "rest"], ["CTCF@GM12878", "REST"]),
        (["@*12878"], ["CTCF@GM12878"]),
        (["e2f?@a549"], ["E2F6@A549"]),
    ],
)
def test_names_that_stand_for_labels(wanted, found):
    assert chosen_labels(LABELS, wanted) == found
    assert labels_in_turn(LABELS, None) == LABELS


def test_labels_in_turn():
    in_turn = ["REST", "CTCF@K562", "CTCF@GM12878", "E2F1@K562"]
    assert labels_in_turn(LABELS, ["REST", "CTCF", "@K562"]) == in_turn


@pytest.mark.parametrize(
    "name, words",
    [
        ("CTFC", "no label 'CTFC'; did you mean CTCF"),
        ("@K526", "did you mean @K562"),
        ("e2f1@k56", "did you mean E2F1@K562"),
        ("XYZ", "tcnfast labels lists them"),
        ("Q*", "no label 'Q\\*'"),
    ],
)
def test_a_name_that_stands_for_none_is_told_with_near_ones(name, words):
    with pytest.raises(TcnfastError, match=words):
        chosen_labels(LABELS, ["REST", name])
