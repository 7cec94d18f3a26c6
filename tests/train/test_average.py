"""``tcnfast average``: from models and data to the averaged model."""

import numpy as np
import pytest
import torch
from support.cli import data_words, fails
from support.models import random_model
from support.scan import FP32, calling_model, files_in, read_rows, run_record_of

import tcnfast
from tcnfast.data.source import open_source
from tcnfast.engines.plan import Plan
from tcnfast.evaluate.predict import predict
from tcnfast.model.ensemble import Ensemble
from tcnfast.model.load_model import load_model
from tcnfast.model.model_folder import ModelFolder
from tcnfast.model.tcn import TCN


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Two models of one shape, one of another and a fourth with other labels, that call."""
    folder = tmp_path_factory.mktemp("home")
    for name, seed, config in (("a", 1, {}), ("b", 2, {}), ("wide", 3, dict(channels=8))):
        model = calling_model(**config)
        torch.manual_seed(seed)
        torch.nn.init.normal_(model.head.weight, std=0.5)
        model.save(folder / name)
    random_model(labels=("X", "Y")).save(folder / "labels")
    return folder


def average(run, home, *words):
    models = [home / word if (home / str(word)).is_dir() else word for word in words]
    return run("average", *models, "-o", "mean", "-q")


def test_without_data_it_is_not_calibrated(run, home, tmp_path):
    code, out, err = average(run, home, "a", "wide", "b")
    assert code == 0 and out == "" and "mean is not calibrated: it has no thresholds" in err
    model = load_model(tmp_path / "mean")
    assert isinstance(model, Ensemble) and model.thresholds is None
    assert [member.config.channels for member in model.members] == [5, 8, 5]
    for name, member in zip(("a", "wide", "b"), model.members, strict=True):
        want = load_model(home / name).state_dict()
        assert all(torch.equal(tensor, want[key]) for key, tensor in member.state_dict().items())
    record = run_record_of(tmp_path / "mean")["key"]
    assert record["models"] == [[x, ModelFolder(home / x).hash] for x in ("a", "wide", "b")]
    card = (tmp_path / "mean" / "README.md").read_text()
    assert "mean of the logits of 3 networks" in card and "Not calibrated" in card
    (tmp_path / "g.fa").write_text(">a\n" + "ACGT" * 40 + "\n")
    fails(run("scan", tmp_path / "g.fa", "-m", "mean"), "has no thresholds.tsv")
    assert "batch norm" not in err
    code, _, err = run("average", home / "a", home / "b", "-o", "one", "--how", "weights", "-q")
    assert code == 0 and "its batch norm holds the mean of its members' statistics" in err


def test_an_ensemble_counts_as_its_members(run, home, tmp_path):
    average(run, home, "a", "b")
    code, _, _ = run("average", "mean", home / "wide", "-o", "three", "-q")
    assert code == 0
    assert len(load_model(tmp_path / "three").members) == 3
    code, _, _ = run("average", "mean", "-o", "one", "--how", "weights", "-q")
    assert code == 0 and isinstance(load_model(tmp_path / "one"), TCN)
    found = run("average", "mean", home / "wide", "-o", "x", "--how", "weights")
    fails(found, "channels is 8", "mean, member 1")


@pytest.mark.parametrize(
    "models, words",
    [
        (["a"], "is one network"),
        (["a", "b", "a"], "is given twice"),
        (["a", "labels"], "its label 'X' is not in"),
        (["a", "nonesuch"], "model nonesuch: no such folder"),
        (["a", "wide", "--how", "weights"], "weights are averaged over one shape"),
        (["a", "b", "--peaks", "p.bed"], ""),
    ],
    ids=["one", "twice", "labels", "missing", "shapes", "half-the-data"],
)
def test_what_cannot_be_averaged(run, home, tmp_path, models, words):
    if words:
        fails(average(run, home, *models), words)
    else:
        code, _, err = average(run, home, *models)
        assert code == 2 and "--genome is required" in err
    assert not [path for path in tmp_path.iterdir()]


@pytest.fixture
def models(tmp_path):
    """Two models of the labels of the lesson. What they learned does not matter here."""
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        random_model(labels=("CTCF@here", "MAX@here", "other"), blocks=3).save(folder)
    return folders


@pytest.mark.parametrize("how", ["logits", "weights"])
def test_with_data_it_is_calibrated_and_goes_everywhere(run, lesson, models, tmp_path, how):
    fp32 = ["--precision", "fp32", "--device", "cpu"]
    words = ["-o", "mean", "--how", how, *data_words(lesson), *fp32]
    code, out, err = run("average", *models, *words)
    assert (code, out) == (0, "") and "not calibrated" not in err
    model = load_model(tmp_path / "mean")
    assert set(model.thresholds) == set(model.labels)
    assert "## Scores" in (tmp_path / "mean" / "README.md").read_text()

    with opened(lesson) as source:
        dataset = source.dataset.select(model.labels)
        plan = Plan(model, strand="both", **FP32)
        logits, targets = predict(plan, dataset, source.split["valid"])
    known = targets[:, 0] != 2
    rate = (targets[known, 0] == 1).mean()
    assert abs((1 / (1 + np.exp(-logits[known, 0]))).mean() - rate) < 0.01, "not calibrated"

    code, out, _ = run("evaluate", "-m", "mean", *data_words(lesson), *fp32)
    assert code == 0 and out.startswith("label\tAP")
    code, out, _ = run("info", "-m", "mean")
    assert code == 0 and ("ensemble of 2" in out.splitlines()[0]) == (how == "logits")
    assert model.calls.counts()["D"] == len(model.labels), "few peaks: nothing is called unasked"
    complaint = "mean: has no label of grade A to C"
    fails(run("scan", lesson / "g.fa", "-m", "mean", *fp32, "-q"), complaint)
    code, _, err = run("scan", lesson / "g.fa", "-m", "mean", "-t", "all", *fp32, "-q")
    assert code == 0
    mean = load_model("mean")
    result = tcnfast.scan(lesson / "g.fa", mean, tmp_path / "again", targets="all", **FP32)
    assert files_in("scan") == files_in(result.path)
    assert len(read_rows(tmp_path / "scan" / "summary.tsv")) > len(model.labels)
    fails(run("average", *models, *words), "mean: exists")


def opened(lesson):
    return open_source(
        genome=[lesson / "g.fa"], peaks=[lesson / "peaks.bed"], split=lesson / "split.json"
    )


def test_batch_norm_gets_the_statistics_of_the_mean_weights(run, lesson, models, tmp_path):
    words = ["--how", "weights", "-q", "--device", "cpu", "--precision", "fp32"]
    assert run("average", *models, "-o", "raw", *words)[0] == 0
    assert run("average", *models, "-o", "cooked", *words, *data_words(lesson))[0] == 0
    raw, cooked = (load_model(tmp_path / name) for name in ("raw", "cooked"))
    for name, tensor in cooked.state_dict().items():
        statistic = "running" in name or "num_batches" in name
        if not name.startswith("head"):  # which is calibrated
            assert torch.equal(tensor, raw.state_dict()[name]) != statistic, name
    with torch.no_grad():
        # what reaches the second block's first norm has the mean and variance that it holds
        with opened(lesson) as source:
            codes = torch.from_numpy(source.dataset.genome.codes("chr1", 0, 60_000))[None]
        seen = []
        norm = cooked.blocks[1].norm1
        norm.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        cooked.dense(codes, 32)
    mean = seen[0].mean((0, 2, 3))
    for model, near in ((cooked, True), (raw, False)):
        off = (model.blocks[1].norm1.running_mean - mean).abs() / seen[0].std((0, 2, 3))
        assert (off.max() < 0.15) == near, off
