"""--no-test: trials and teachers leave the test part alone."""

import math

import pytest
from support.cli import QUICK, data_words, fails
from support.scan import files_in, run_record_of

from tcnfast.base.errors import TcnfastError
from tcnfast.evaluate import predict as predicting
from tcnfast.model.load_model import load_model
from tcnfast.model.model_folder import ModelFolder
from tcnfast.train import publish

TESTED = {"scores.test.tsv", "thresholds.tsv", "run.json", "README.md", "train.tsv"}


@pytest.fixture
def looked_at(lesson, monkeypatch):
    """Parts of the split whose windows were scored at the end, in order."""
    seen = []

    def predict(plan, dataset, regions):
        seen.append(regions[0])
        return predicting.predict(plan, dataset, regions)

    monkeypatch.setattr(publish, "predict", predict)
    return seen


def test_a_trial_never_looks_at_test(run, lesson, tmp_path, looked_at):
    words = ["train", *data_words(lesson), *QUICK, "-q"]
    assert run(*words, "-o", "trial", "--no-test")[0] == 0
    assert len(looked_at) == 1
    assert run(*words, "-o", "whole")[0] == 0
    assert looked_at[1] == looked_at[0] != looked_at[2] and len(looked_at) == 3

    trial, whole = files_in("trial"), files_in("whole")
    assert whole.keys() - trial.keys() == {"scores.test.tsv"}
    assert {name: trial[name] for name in trial.keys() - TESTED} == {
        name: whole[name] for name in whole.keys() - TESTED
    }
    model, other = load_model("trial"), load_model("whole")
    for label, row in model.thresholds.items():
        assert row.threshold == other.thresholds[label].threshold
        assert math.isnan(row.precision) and math.isnan(row.recall) and row.positives == 0
    with pytest.raises(TcnfastError, match="scores.test.tsv: cannot be read"):
        ModelFolder("trial").scores("test")
    assert set(run_record_of(tmp_path / "trial")) >= {"valid_macro_ap"}
    assert "test_macro_ap" not in run_record_of(tmp_path / "trial")
    assert "test_macro_ap" in run_record_of(tmp_path / "whole")


def test_its_card_says_so(run, lesson, tmp_path):
    assert run("train", *data_words(lesson), *QUICK, "-q", "-o", "trial", "--no-test")[0] == 0
    card = (tmp_path / "trial" / "README.md").read_text()
    assert "left alone (`--no-test`)" in card and "measured on the test regions" not in card
    header = next(line for line in card.splitlines() if line.startswith("| label "))
    assert header == "| label | valid pos | chance | AP | AUROC | threshold |"
    rows = [line for line in card.splitlines() if line.startswith("| CTCF@here ")]
    assert [line.count("|") for line in rows] == [header.count("|")]
    assert "scores.valid.tsv" in card and "scores.test.tsv" not in card
    out = run("info", "-m", "trial")[1]
    assert "CTCF@here\t0." in out and "\tNA\tNA" in out and "nan" not in out
    code, _, err = run("evaluate", *data_words(lesson), "-m", "trial", "--part", "test", "-q")
    assert code == 0, err


def test_a_finished_trial_is_not_taken_for_a_scored_model(run, lesson):
    words = ["train", *data_words(lesson), *QUICK, "-q", "-o", "m"]
    assert run(*words, "--no-test")[0] == 0
    fails(run(*words, "--resume"), "another run")
    assert run(*words, "--no-test", "--resume")[0] == 0


def test_an_average_of_trials(run, lesson, looked_at):
    words = [*data_words(lesson), "-q"]
    for name, seed in (("a", 1), ("b", 2)):
        assert run("train", *words, *QUICK, "-o", name, "--seed", seed, "--no-test")[0] == 0
    exact = ["--precision", "fp32", "--device", "cpu"]
    assert run("average", "a", "b", *words, *exact, "-o", "trial", "--no-test")[0] == 0
    assert len(set(looked_at)) == 1
    assert "left alone" in files_in("trial")["README.md"].decode()
    assert "nan" not in files_in("trial")["thresholds.tsv"].decode()
    assert run("average", "a", "b", *words, *exact, "-o", "whole")[0] == 0
    assert "measured on the test regions" in files_in("whole")["README.md"].decode()
    assert files_in("whole").keys() - files_in("trial").keys() == {"scores.test.tsv"}
