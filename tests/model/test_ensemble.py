"""Several networks as one model: an ensemble wherever a model goes, and the mean of weights."""

import copy
import json

import numpy as np
import pytest
import torch
from support.models import random_model
from support.scan import LABELS
from support.scanner import contig, scorer_of, scores

from tcnfast.base.errors import TcnfastError
from tcnfast.base.run_record import state_hash
from tcnfast.engines import backend as backends
from tcnfast.engines.plan import Plan
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


def test_hashes_see_every_digit_of_what_calls_are_worth():
    """NumPy's text of an array has eight digits, and of a long one its ends alone."""
    model, hashes = load_model("encode-v1"), []
    ladder = next(iter(model.calls.ladders.values()))
    for change in (0, 1e-12):
        arrays = [x for x in vars(ladder).values() if isinstance(x, np.ndarray) and x.size > 2]
        arrays[0].flat[1] += change
        hashes.append(state_hash(model))
    assert len(set(hashes)) == 2


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
