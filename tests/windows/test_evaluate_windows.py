"""``tcnfast windows evaluate``, and trainings that are not by gradient or not by our protocol."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, matthews_corrcoef, precision_score
from support.cli import fails
from support.study import of_labels, planted_set
from torch import nn

from tcnfast.base.errors import TcnfastError
from tcnfast.windows.architectures import ARCHITECTURES, Architecture, window_scorer
from tcnfast.windows.baseline_network import set_rates
from tcnfast.windows.window_config import ARTICLE, WindowConfig
from tcnfast.windows.window_fit import fit_windows, parts_to_fit
from tcnfast.windows.window_metrics import best_mcc_cutoff, f1_cutoffs
from tcnfast.windows.window_run import open_window_model
from tcnfast.windows.window_set import KINDS


class Counter(nn.Module):
    """Scores a window by a weight of each base; ``fit`` and ``start`` note what they were given."""

    both_strands = False

    def __init__(self, labels, length, mapping="one-hot", *, fitted=True):
        super().__init__()
        self.labels, self.length = list(labels), length
        self.weight = nn.Parameter(torch.zeros(len(labels), 5))
        self.frozen = nn.Parameter(torch.ones(3), requires_grad=False)
        self.bias = nn.Parameter(torch.zeros(len(labels)))
        self.seen = []
        if fitted:
            self.fit = self._fit

    def set_label_rates(self, rates):
        with torch.no_grad():
            set_rates(self.bias, rates)

    def start(self, train, seed):
        self.seen.append(("start", len(train), seed))

    def _fit(self, train, valid, config, work):
        self.seen.append(("fit", len(train), len(valid), config.seed))
        with torch.no_grad():
            self.weight[:, 2] = 0.01

    def forward(self, codes):
        counts = nn.functional.one_hot(codes.long(), 5).float().sum(1)
        return counts @ self.weight.T + self.bias


def test_a_model_that_fits_itself_is_one_epoch():
    windows, model, told = planted_set(), None, []
    model = Counter(windows.names, windows.length)
    config = WindowConfig(seed=5, max_windows=100)
    train, valid = parts_to_fit(windows, config)
    found = fit_windows(model, train, valid, config, "cpu", lambda *x: told.append(x))
    assert model.seen == [("fit", 100, 300, 5)]
    assert found.best == 0 and len(found.epochs) == 1 and told == [(found.epochs[0], True)]
    assert np.isnan(found.epochs[0].loss) and found.epochs[0].scores.labels == windows.names


def test_a_start_from_the_data_and_weights_that_stay():
    windows = planted_set()
    model = Counter(windows.names, windows.length, fitted=False)
    config = WindowConfig(epochs=1, seed=2, precision="fp32")
    fit_windows(model, *parts_to_fit(windows, config), config, "cpu")
    assert model.seen == [("start", 900, 2)]
    assert (model.frozen == 1).all() and (model.weight != 0).any()


def test_one_strand_where_a_network_says_so():
    windows = planted_set().select("valid")
    model = Counter(windows.names, windows.length)
    with torch.no_grad():
        model.weight[:, 0] = 1.0  # A, not T
    expected = np.repeat((windows.codes == 0).sum(1)[:, None], 3, 1)
    np.testing.assert_allclose(window_scorer(model, "cpu")(windows.codes), expected)
    model.both_strands = True
    expected = np.repeat((np.isin(windows.codes, (0, 3)) / 2).sum(1)[:, None], 3, 1)
    np.testing.assert_allclose(window_scorer(model, "cpu")(windows.codes), expected)


def test_the_protocol_of_the_article():
    """It trains on train and valid, and its epoch is the one of the best accuracy on test."""
    windows = planted_set(("TWO@x",), masked=0.1)
    config = WindowConfig(epochs=3, protocol=ARTICLE, precision="fp32", learning_rate=0.02)
    train, chosen_by = parts_to_fit(windows, config)
    assert len(train) == 1200 and (chosen_by.part == 2).all() and len(chosen_by) == 400
    model, accuracies = Counter(windows.names, windows.length, fitted=False), []

    def note(epoch, is_best):
        score = window_scorer(model, "cpu")(chosen_by.codes)
        known = chosen_by.labels != 2
        accuracies.append((((score > 0) == (chosen_by.labels == 1))[known].mean(), is_best))

    found = fit_windows(model, train, chosen_by, config, "cpu", note)
    assert found.best == int(np.argmax([a for a, _ in accuracies]))
    best = np.maximum.accumulate([-1.0, *(a for a, _ in accuracies)])
    assert [is_best for _, is_best in accuracies] == (np.diff(best) > 0).tolist()
    with pytest.raises(TcnfastError, match="protocol 'theirs': must be ours or article"):
        WindowConfig(protocol="theirs")


@pytest.fixture(name="model")
def fixture_model(tmp_path, run, monkeypatch):
    """A folder that the command trained, of an architecture of these tests."""
    monkeypatch.setitem(ARCHITECTURES, "counter", Architecture(Counter))
    planted_set().save(tmp_path / "set")
    code, _, err = run("windows", "train", "set", "--arch", "counter", "-o", "model")
    assert code == 0, err
    return tmp_path / "model"


@pytest.mark.parametrize("part", ["valid", "test"])
def test_the_command(run, model, part):
    words = ["windows", "evaluate", "set", "-m", "model", "--part", part, "-o", "out"]
    code, out, err = run(*words)
    assert code == 0, err
    lines = [line.split("\t") for line in out.splitlines()]
    rows = {line[0]: dict(zip(lines[0], line, strict=True)) for line in lines[1:]}
    windows = planted_set()
    here, valid = windows.select(part), windows.select("valid")
    score = window_scorer(open_window_model(model), "cpu")
    logits, tuned = score(here.codes), score(valid.codes)
    assert list(rows) == [*windows.names, "macro"]
    for i, name in enumerate(windows.names):
        known, row = here.labels[:, i] != 2, rows[name]
        truth, x = here.labels[known, i] == 1, logits[known, i]
        on = valid.labels[:, i] != 2
        f1_cutoff = f1_cutoffs(tuned, valid.labels)[i]
        mcc_cutoff = best_mcc_cutoff(tuned[on, i], valid.labels[on, i] == 1)
        expected = {
            "windows": known.sum(),
            "bound": truth.sum(),
            "ap": average_precision_score(truth, x),
            "precision": precision_score(truth, x >= f1_cutoff),
            "recall": (truth & (x >= f1_cutoff)).sum() / truth.sum(),
            "accuracy": (truth == (x >= f1_cutoff)).mean(),
            "mcc": matthews_corrcoef(truth, x >= mcc_cutoff),
        }
        for metric, value in expected.items():
            assert float(row[metric]) == pytest.approx(value, abs=6e-5), metric
    assert (model.parent / "out" / "scores.tsv").read_text() == out
    table = (model.parent / "out" / "predictions.tsv").read_text().splitlines()
    assert table[0].startswith("#chrom\tstart\tend\tkind\tONE@x truth\tONE@x logit")
    assert len(table) == len(here) + 1
    cells = table[7].split("\t")
    assert cells[:4] == ["chr1", str(here.start[6]), str(here.start[6] + 100), KINDS[here.kind[6]]]
    assert float(cells[5]) == pytest.approx(logits[6, 0], rel=1e-4)
    assert json.loads((model.parent / "out" / "run.json").read_text())["key"]["part"] == part
    fails(run("windows", "evaluate", "set", "-m", "model", "--part", part, "-o", "out"), "--force")


def test_what_does_not_fit(run, model, tmp_path):
    other = replace(planted_set(("ONE@x",)), names=["MAX@x"])
    other.save(tmp_path / "other")
    words = "model: has no label 'MAX@x', which other has"
    fails(run("windows", "evaluate", "other", "-m", "model"), words)
    planted_set(length=120).save(tmp_path / "long")
    words = "model: reads windows of 100 bp, those of long have 120"
    fails(run("windows", "evaluate", "long", "-m", "model"), words)
    planted_set(sizes={"train": 300, "valid": 100, "test": 0}).save(tmp_path / "none")
    words = "none: part test holds no window"
    fails(run("windows", "evaluate", "none", "-m", "model", "--part", "test"), words)
    code, _, err = run("windows", "evaluate", "set", "-m", "model", "--cutoff", "0.5")
    assert code == 2 and "unrecognized arguments: --cutoff" in err
    code, _, err = run("windows", "evaluate", "set")
    assert code == 2 and "-m/--model is required" in err


def test_every_network_knows_the_length_of_its_windows(run, tmp_path):
    planted_set().save(tmp_path / "set")
    planted_set(length=120).save(tmp_path / "long")
    shape = '{"filters": 8, "hidden": 4, "hidden_layer": 8}'
    words = ["windows", "train", "set", "--arch", "danq", "--shape", shape, "--epochs", 1]
    assert run(*words, "-o", "model", "--precision", "fp32")[0] == 0
    words = "model: reads windows of 100 bp, those of long have 120"
    fails(run("windows", "evaluate", "long", "-m", "model"), words)


def test_a_model_of_more_labels(run, model):
    """The set's labels are looked up among the model's."""
    of_labels(planted_set(), ["THREE@y", "ONE@x"]).save(model.parent / "two")
    outs = [run("windows", "evaluate", name, "-m", "model")[1] for name in ("set", "two")]
    rows = [{line.split("\t")[0]: line for line in out.splitlines()} for out in outs]
    assert rows[1]["ONE@x"] == rows[0]["ONE@x"] and rows[1]["THREE@y"] == rows[0]["THREE@y"]
    assert "TWO@x" not in rows[1]


def test_a_plain_tcn_is_scored_as_any_other(run, tmp_path):
    planted_set().save(tmp_path / "set")
    words = ["windows", "train", "set", "--epochs", 1, "--shape", '{"channels": 8}']
    assert run(*words, "-o", "model", "--precision", "fp32")[0] == 0
    code, out, err = run("windows", "evaluate", "set", "-m", "model", "--precision", "fp32")
    assert code == 0, err
    trained = (tmp_path / "model" / "scores.valid.tsv").read_text().splitlines()[1].split("\t")
    assert float(out.splitlines()[1].split("\t")[3]) == pytest.approx(float(trained[1]), abs=1e-3)


def test_faithful_is_of_one_network(run, tmp_path):
    planted_set().save(tmp_path / "set")
    words = ["windows", "train", "set", "--faithful", "-o", "model"]
    code, _, err = run(*words, "--arch", "pwm")
    assert code == 2 and "--faithful: goes with --arch wavelet" in err
    code, _, err = run(*words, "--arch", "wavelet", "--learning-rate", "0.1")
    assert code == 2 and "--learning-rate does not go with --faithful" in err
