"""Several networks as one model: an ensemble wherever a model goes, and the mean of weights."""

import copy
import json

import numpy as np
import pytest
import torch
from support.cli import data_words, fails
from support.models import random_model
from support.scan import FP32, LABELS, calling_model, files_in, read_rows, run_record_of
from support.scanner import contig, scorer_of, scores

import tcnfast
from tcnfast.base.errors import TcnfastError
from tcnfast.base.run_record import state_hash
from tcnfast.data.source import open_source
from tcnfast.engines import backend as backends
from tcnfast.engines.plan import Plan
from tcnfast.evaluate.predict import predict
from tcnfast.model.calibrate import scale_head
from tcnfast.model.ensemble import Ensemble, mean_weights
from tcnfast.model.load_model import load_model
from tcnfast.model.model_folder import ModelFolder
from tcnfast.model.tcn import TCN, TCNConfig
from tcnfast.model.thresholds import Threshold

# of one receptive field, 61, and different in all that may differ
SHAPES = (
    dict(),
    dict(channels=8, alignment="causal"),
    dict(kernel_size=2, first_kernel=32, blocks=4, norm="weight"),
    dict(kernel_size=5, blocks=3, first_kernel=9),
)
# not the kernels in Triton's interpreter, which takes minutes: test_triton_stack.py has small plans
BACKENDS = [name for name, devices in backends.DEVICES.items() if "cpu" in devices]


@pytest.fixture
def members():
    return [random_model(**shape) for shape in SHAPES]


@pytest.fixture
def ensemble(members):
    return Ensemble(members).eval()


def one_hot(codes):
    return torch.nn.functional.one_hot(codes.long(), 5)[..., :4].transpose(1, 2).float()


def mean_of(outputs):
    return torch.stack([x.double() for x in outputs]).mean(0).float()


def close(a, b):
    torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


# an ensemble is a model


@torch.no_grad()
def test_logits_are_the_mean_of_the_members(ensemble, members, make_codes):
    assert ensemble.receptive_field == 61 and ensemble.labels == LABELS
    codes = make_codes(2, 150)
    for x in (codes, one_hot(codes)):
        close(ensemble(x), mean_of([member(x) for member in members]))
        want = mean_of([member.dense(x, 4) for member in members])
        close(ensemble.dense(x, 4), want)
        assert (want - members[0].dense(x, 4)).abs().max() > 0.1


@pytest.mark.parametrize("strand", ["+", "-", "both"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_plan_averages_members_and_strands(ensemble, members, make_codes, backend, strand):
    options = dict(device="cpu", precision="fp32", stride=8, backend=backend, strand=strand)
    try:
        plan = Plan(ensemble, **options)
    except TcnfastError as error:
        pytest.skip(str(error))
    assert (plan.backend, plan.precision, plan.labels) == (backend, "fp32", LABELS)
    codes = make_codes(2, 200)
    close(plan(codes), mean_of([Plan(member, **options)(codes) for member in members]))


def test_an_ensemble_of_one_is_its_member(members, make_codes):
    codes = make_codes(2, 200)
    plans = [Plan(x, device="cpu", strand="both") for x in (members[0], Ensemble(members[:1]))]
    assert torch.equal(plans[0](codes), plans[1](codes))


def test_every_member_runs_on_one_backend_that_all_can_take(ensemble, monkeypatch):
    def why_not(spec):
        three = any(len(grid.blocks) == 3 for grid in spec.grids)
        return "it has three blocks" if three else None

    ways = backends.Implementation("cpu", why_not), backends.SCAN.implementations[-1]
    monkeypatch.setattr(backends, "SCAN", backends.Task("scan", ways))
    plan = Plan(ensemble, device="cpu", precision="fp32")
    assert plan.backend == "reference"
    assert plan.passed_over == ["backend cpu cannot run: it has three blocks"]
    with pytest.raises(TcnfastError, match="backend cpu cannot run: it has three blocks"):
        Plan(ensemble, device="cpu", backend="cpu")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_scores_do_not_depend_on_segments_or_batches(ensemble, precision):
    scorer, codes = scorer_of(ensemble, precision=precision), contig(6001, gaps=[(900, 1300)])
    if scorer.plan.backend != "cpu":
        pytest.skip("no C++ engine here: scores may differ in the last bit")
    want = scores(scorer, codes, segment_bases=6016)
    for segment_bases, batch_size in ((320, 1), (320, 5), (1056, 3)):
        got = scores(scorer, codes, segment_bases=segment_bases, batch_size=batch_size)
        np.testing.assert_array_equal(got, want)


def test_calibration_scales_the_mean(ensemble, make_codes):
    codes = make_codes(2, 200)
    options = dict(device="cpu", precision="fp32", strand="both")
    before = Plan(ensemble, **options)(codes)
    slopes, intercepts = np.array([0.5, 2.0, 1.0]), np.array([-1.0, 0.0, 3.0])
    scale_head(ensemble, slopes, intercepts)
    want = before * torch.tensor(slopes).float() + torch.tensor(intercepts).float()
    close(Plan(ensemble, **options)(codes), want)


# what cannot be averaged


def other(**config):
    return TCN(TCNConfig(**{"labels": LABELS, "channels": 5, "blocks": 4, **config}))


@pytest.mark.parametrize(
    "model, words",
    [
        (other(labels=LABELS[:2]), "member 2: lacks label 'REST' of member 1"),
        (other(labels=[*LABELS, "YY1"]), "member 2: its label 'YY1' is not in member 1"),
        (other(labels=LABELS[::-1]), "member 2: its labels are those of member 1 in another order"),
        (other(blocks=3), "member 2: its receptive field is 29 bp, that of member 1 61 bp"),
        (other(label_bin=100), "member 2: its label bin is 100 bp, that of member 1 200 bp"),
    ],
    ids=["fewer-labels", "more-labels", "order", "receptive-field", "label-bin"],
)
def test_members_must_agree(model, words):
    for make in (Ensemble, lambda models: mean_weights(["member 1", "member 2"], models)):
        with pytest.raises(TcnfastError) as info:
            make([other(), model])
        assert words in str(info.value) and "\n" not in str(info.value)


def test_an_ensemble_of_ensembles_is_one_of_all_networks(members, ensemble, make_codes):
    nested = Ensemble([Ensemble(members[:3]), members[3]])
    assert nested.config == ensemble.config
    codes = make_codes(2, 100)
    assert torch.equal(nested(codes), ensemble(codes))


def test_an_ensemble_of_nobody():
    with pytest.raises(TcnfastError, match="needs at least one member"):
        Ensemble([])


# its folder


@pytest.fixture
def saved(ensemble, tmp_path):
    ensemble.thresholds = {x: Threshold(x, 0.25, 0.5, 0.75, 30) for x in LABELS}
    ensemble.save(tmp_path / "model")
    return tmp_path / "model"


def test_round_trip(ensemble, saved, make_codes):
    loaded = load_model(saved)
    assert isinstance(loaded, Ensemble) and not loaded.training
    assert loaded.config == ensemble.config and loaded.thresholds == ensemble.thresholds
    codes = make_codes(2, 100)
    assert torch.equal(loaded(codes), ensemble(codes))
    names = {path.name for path in saved.iterdir()}
    assert names == {"model.safetensors", "config.json", "labels.tsv", "thresholds.tsv"}


def test_hashes_see_every_member(ensemble, saved, tmp_path):
    folders, states = {ModelFolder(saved).hash}, {state_hash(ensemble)}
    with torch.no_grad():
        ensemble.members[-1].head.bias[0] += 1
    ensemble.save(tmp_path / "other")
    folders.add(ModelFolder(tmp_path / "other").hash)
    states.add(state_hash(ensemble))
    causal = copy.deepcopy(ensemble.members[0])
    object.__setattr__(causal.config, "alignment", "causal")  # no weight tells
    states |= {state_hash(Ensemble([ensemble.members[0], x])) for x in (causal, other())}
    assert (len(folders), len(states)) == (2, 4)


def change_config(change):
    def apply(folder):
        config = json.loads((folder / "config.json").read_text())
        change(config)
        (folder / "config.json").write_text(json.dumps(config))

    return apply


@pytest.mark.parametrize(
    "fault, words",
    [
        (lambda c: c.update(members=[]), '"members" must be a list of configurations'),
        (lambda c: c.update(members={"0": {}}), '"members" must be a list of configurations'),
        (lambda c: c.update(members=["a"]), '"members" must be a list of configurations'),
        (lambda c: c.update(members=[{}] * 10**6), "lists 1,000,000 networks, model.safetensors"),
        (lambda c: c.update(channels=5), "with nothing beside it"),
        (lambda c: c["members"].pop(), "tensor members.3"),
        (lambda c: c["members"].append(c["members"][0]), "tensor members.4"),
        (lambda c: c["members"][1].update(channels=7), "tensor members.1"),
        (lambda c: c["members"][1].update(blocks=3), "its receptive field is 29 bp"),
        (lambda c: c["members"][1].update(colour="red"), "colour"),
        (lambda c: c["members"][1].update(members=[]), "members"),
    ],
)
def test_a_broken_folder_names_the_file_at_fault(saved, fault, words):
    change_config(fault)(saved)
    with pytest.raises(TcnfastError) as info:
        load_model(saved)
    message = str(info.value)
    assert str(saved) in message and words in message and "\n" not in message


# the mean of weights


@pytest.mark.parametrize("norm", ["batch", "weight"])
@torch.no_grad()
def test_the_mean_of_weights(norm, make_codes):
    models = [random_model(norm=norm, dropout=p) for p in (0.0, 0.1, 0.2)]
    before = [{k: v.clone() for k, v in model.state_dict().items()} for model in models]
    mean = mean_weights(["a", "b", "c"], models)
    assert not mean.training and mean.thresholds is None
    for key, tensor in mean.state_dict().items():
        if tensor.is_floating_point():
            torch.testing.assert_close(tensor, mean_of([state[key] for state in before]))
    for model, state in zip(models, before, strict=True):
        assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())
    # the logit is linear in the head: with one stack they are those of the ensemble
    twins = [copy.deepcopy(models[0]) for _ in range(2)]
    torch.nn.init.normal_(twins[1].head.weight)
    codes = make_codes(2, 100)
    close(mean_weights(["a", "b"], twins)(codes), Ensemble(twins)(codes))


def test_the_mean_of_one_and_the_same_is_it(make_model):
    model = make_model()
    mean = mean_weights(["a", "b", "c"], [model] * 3).state_dict()
    assert all(torch.equal(mean[key], tensor) for key, tensor in model.state_dict().items())


def test_weights_of_other_shapes_are_refused():
    words = "b: channels is 8, that of a 5; weights are averaged over one shape: average logits"
    with pytest.raises(TcnfastError, match=words):
        mean_weights(["a", "b"], [random_model(), random_model(channels=8)])


# the command


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
