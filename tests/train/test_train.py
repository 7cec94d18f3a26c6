"""The training loop: its loss and schedule, and that it finds a motif that was planted."""

import numpy as np
import pytest
import torch
from support.train import SHORT, TRAIN, VALID, before_each_step, new_model, score
from torch.utils._python_dispatch import TorchDispatchMode

from tcnfast.base.errors import TcnfastError
from tcnfast.data.dataset import Dataset
from tcnfast.data.tile_options import TileOptions
from tcnfast.data.training_tiles import TileSampler
from tcnfast.engines import cpu_engine
from tcnfast.engines.plan import Plan
from tcnfast.evaluate.predict import evaluate
from tcnfast.genome.genome import Region
from tcnfast.genome.labels import AMBIGUOUS, BOUND, UNBOUND
from tcnfast.train.fit import fit
from tcnfast.train.losses import masked_bce
from tcnfast.train.optimisers import decay_groups
from tcnfast.train.train_config import TrainConfig
from tcnfast.train.training import label_rates, learning_rate_at

# loss


def test_loss_is_the_mean_over_known_labels():
    logits = torch.randn(2, 3, 5)
    targets = torch.randint(0, 3, (2, 5, 3), dtype=torch.uint8)
    total, count = 0.0, 0
    for n in range(2):
        for label in range(3):
            for position in range(5):
                target = targets[n, position, label]
                if target != AMBIGUOUS:
                    p = torch.sigmoid(logits[n, label, position])
                    total -= torch.log(p if target == BOUND else 1 - p).item()
                    count += 1
    assert 0 < count < 30
    assert masked_bce(logits, targets).item() == pytest.approx(total / count, rel=1e-5)


def test_ambiguous_labels_have_no_gradient():
    logits = torch.randn(4, 3, 6, requires_grad=True)
    targets = torch.randint(0, 3, (4, 6, 3), dtype=torch.uint8)
    masked_bce(logits, targets).backward()
    hidden = (targets == AMBIGUOUS).transpose(1, 2)
    assert (logits.grad[hidden] == 0).all() and (logits.grad[~hidden] != 0).all()
    bound = (targets == BOUND).transpose(1, 2)
    unbound = (targets == UNBOUND).transpose(1, 2)
    assert (logits.grad[bound] < 0).all() and (logits.grad[unbound] > 0).all()


def test_loss_of_ambiguous_labels_alone_is_zero():
    targets = torch.full((2, 5, 3), AMBIGUOUS, dtype=torch.uint8)
    assert masked_bce(torch.randn(2, 3, 5), targets) == 0


# settings


@pytest.mark.parametrize("steps, warmup", [(1000, 0.05), (100, 0.5), (10, 0.0), (1, 0.05)])
def test_learning_rate_rises_then_falls_to_zero(steps, warmup):
    config = TrainConfig(steps=steps, warmup=warmup)
    rates = np.array([learning_rate_at(step, config) for step in range(steps)])
    peak = int(rates.argmax())
    assert rates.max() == 1 and rates.min() > 0
    assert (np.diff(rates[: peak + 1]) > 0).all() and (np.diff(rates[peak + 2 :]) < 0).all()
    assert peak == pytest.approx(warmup * steps, abs=1)
    if steps == 1000:
        assert rates[0] == pytest.approx(1 / 50) and rates[-1] < 1e-4
        assert rates[49 + (1000 - 50) // 2] == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(
    "change, word",
    [
        (dict(steps=0), "steps 0: must be at least 1"),
        (dict(batch_size=-3), "batch_size -3"),
        (dict(enriched=1.5), "enriched 1.5: must be within 0 and 1"),
        (dict(warmup=-0.1), "warmup -0.1"),
    ],
    ids=["steps", "batch_size", "enriched", "warmup"],
)
def test_settings_out_of_range_raise(change, word):
    with pytest.raises(TcnfastError, match=word):
        TrainConfig(**change)


@pytest.mark.parametrize("norm", ["batch", "weight"])
def test_biases_and_norms_do_not_decay(norm):
    model = new_model(norm=norm)
    decayed, free = decay_groups(model, 0.05)
    assert decayed["weight_decay"] == 0.05 and free["weight_decay"] == 0
    names = {id(p): name for name, p in model.named_parameters()}
    of = {"decayed": decayed["params"], "free": free["params"]}
    decayed, free = ({names.pop(id(p)) for p in group} for group in of.values())
    assert not names, "parameters in no group"
    # weight norm keeps its gains as original0

    def scales(name):
        return name.endswith(("bias", "original0")) or ".norm" in name

    assert all(map(scales, free)) and not any(map(scales, decayed))
    assert "head.weight" in decayed and any("conv2" in name for name in decayed)


def test_label_rates_are_those_of_the_tiles(dataset):
    sampler = TileSampler(dataset, TRAIN, 137, TileOptions(batch_size=16, tile_steps=4))
    targets = np.concatenate([sampler.batch(step)[1] for step in range(16)]).reshape(-1, 2)
    want = (targets == BOUND).sum(0) / (targets != AMBIGUOUS).sum(0)
    np.testing.assert_allclose(label_rates(sampler, 16).numpy(), want, atol=2e-3)


# the loop


def test_a_planted_motif_is_learned(dataset):
    model = new_model()
    untrained = score(model, dataset)
    config = TrainConfig(
        steps=160,
        epoch_steps=80,
        batch_size=32,
        tile_steps=8,
        learning_rate=1e-2,
        precision="fp32",
        mutate=0.0,
    )
    epochs = fit(model, dataset, TRAIN, VALID, config, device="cpu", progress=False)
    trained = score(model, dataset)
    assert (trained.positives >= 100).all() and (trained.chance < 0.15).all()
    assert (untrained.ap < 0.25).all()
    assert (trained.ap > 0.75).all() and (trained.auroc > 0.9).all()
    assert [epoch.step for epoch in epochs] == [80, 160]
    assert epochs[-1].loss < 0.6 * epochs[0].loss
    assert trained.macro("ap") == pytest.approx(max(e.scores.macro("ap") for e in epochs), abs=1e-6)
    # the other motif is no evidence: each label learned its own
    both = Plan(model, device="cpu", precision="fp32", stride=32)
    swapped = Dataset(dataset.genome, dataset.bound, dataset.labels[::-1], None, None, 100, 50)
    assert (evaluate(both, swapped, VALID).ap < 0.2).all()


def trained_state(dataset, seed, **change):
    model = new_model(seed, dropout=0.2)
    config = TrainConfig(**SHORT | dict(seed=seed) | change)
    fit(model, dataset, TRAIN, VALID, config, device="cpu", progress=False)
    return model.state_dict()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_same_seed_gives_the_same_weights(dataset, precision):
    first, again, other = (trained_state(dataset, s, precision=precision) for s in (3, 3, 4))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["head.weight"], other["head.weight"])
    assert all(tensor.isfinite().all() for tensor in first.values())


def test_the_best_epoch_is_kept(dataset):
    seen = []

    def on_epoch(model, epoch, is_best):
        state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        seen.append((epoch.scores.macro("ap"), is_best, state))

    model = new_model()
    config = TrainConfig(**SHORT | dict(steps=10, epoch_steps=3, learning_rate=0.05))
    epochs = fit(model, dataset, TRAIN, VALID, config, "cpu", on_epoch, progress=False)
    assert [epoch.step for epoch in epochs] == [3, 6, 9, 10], "the last epoch may be short"
    aps = [ap for ap, _, _ in seen]
    assert [flag for _, flag, _ in seen] == [ap > max([-1, *aps[:i]]) for i, ap in enumerate(aps)]
    best = seen[int(np.argmax(aps))][2]
    assert all(torch.equal(tensor, best[name]) for name, tensor in model.state_dict().items())
    assert not model.training


def test_training_starts_at_the_rates_of_the_labels(dataset):
    model, rates = new_model(), []
    config = TrainConfig(**SHORT | {"steps": 1, "epoch_steps": 1})
    with before_each_step(lambda _: rates.append(model.head.bias.detach().sigmoid())):
        fit(model, dataset, TRAIN, VALID, config, "cpu", progress=False)
    assert len(rates) == 1 and ((0.05 < rates[0]) & (rates[0] < 0.5)).all()


def test_a_loss_that_is_not_finite_raises(dataset):
    model = new_model()
    model.head.weight.data.fill_(float("nan"))
    with pytest.raises(TcnfastError, match="loss is nan at step 1; lower learning_rate"):
        fit(model, dataset, TRAIN, VALID, TrainConfig(**SHORT), "cpu", progress=False)


def test_validation_without_bound_windows_raises_before_training(dataset):
    steps = []
    match = "validation regions hold .* bound"
    with before_each_step(steps.append), pytest.raises(TcnfastError, match=match):
        nothing = [Region("chr1", 130_000, 130_500)]
        fit(new_model(), dataset, TRAIN, nothing, TrainConfig(**SHORT), "cpu", progress=False)
    assert not steps, "it trained for nothing"


def test_training_takes_no_precision_it_does_not_run():
    with pytest.raises(TcnfastError, match="precision fp64: training takes auto, fp32 or bf16"):
        TrainConfig(precision="fp64")


class Convolutions(TorchDispatchMode):
    """Counts the convolutions of PyTorch that run."""

    count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += function is torch.ops.aten.convolution.default
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_steps_run_on_the_backend_that_is_named_and_say_so(dataset, monkeypatch, caplog, backend):
    if backend == "cpu" and cpu_engine.why_not("fp32"):
        pytest.skip(cpu_engine.why_not("fp32"))
    monkeypatch.setenv("TCNFAST_BACKEND", backend)
    model, config = new_model(), TrainConfig(**SHORT | {"steps": 2, "epoch_steps": 2})
    before = model.head.weight.clone()
    with caplog.at_level("INFO", logger="tcnfast.train.training"), Convolutions() as plain:
        fit(model, dataset, TRAIN, VALID, config, "cpu", progress=False)
    assert (plain.count > 0) == (backend == "reference")
    assert f"backend {backend}, precision" in caplog.text
    assert model.engine and not model.training and not torch.equal(model.head.weight, before)
