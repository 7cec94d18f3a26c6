"""Training at its edges: batches that are hardly there, inputs that make no sense, NaN, and a run
of the loop on the engine beside one in plain modules."""

import copy

import numpy as np
import pytest
import torch
from support.engine import ENGINES, needs_engine, random_codes
from support.train import TRAIN, VALID, new_model

from tcnfast.base.errors import TcnfastError
from tcnfast.engines import cpu_engine, ops
from tcnfast.engines.backend import TRAINING, why_not
from tcnfast.model.tcn import TCN, TCNConfig
from tcnfast.train.fit import fit
from tcnfast.train.train_config import TrainConfig

pytestmark = needs_engine

PRECISIONS = sorted({precision for _, precision in ENGINES})


def small_model(**config):
    torch.manual_seed(0)
    config = dict(labels=["a"], channels=4, blocks=2, dropout=0.0) | config
    return TCN(TCNConfig(**config)).train()


def both(model, codes, stride=1):
    """Logits and gradients on the engine, and in plain modules."""
    results = []
    for twin in (copy.deepcopy(model), copy.deepcopy(model.unfused())):
        logits = twin.dense(codes, stride)
        logits.square().sum().backward()
        results.append([logits.detach(), *(p.grad for p in twin.parameters())])
    return results


def close(a, b):
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


# batches


@pytest.mark.parametrize("norm", ["batch", "weight"])
def test_a_batch_of_one_sequence_trains(norm):
    model = small_model(norm=norm)
    close(*both(model, random_codes(1, model.receptive_field + 5)))


def test_a_batch_of_n_alone_trains():
    model = small_model(norm="weight")
    close(*both(model, torch.full((2, model.receptive_field + 5), 4, dtype=torch.uint8)))


def test_one_position_without_batch_norm_trains():
    model = small_model(norm="weight")
    close(*both(model, random_codes(1, model.receptive_field)))


def test_one_position_under_batch_norm_raises_as_plain_modules_do():
    model = small_model()
    codes = random_codes(1, model.receptive_field)
    for twin in (model.unfused(), model):
        with pytest.raises(ValueError, match="more than 1 value per channel"):
            twin.dense(codes)


def test_one_position_in_each_of_several_sequences_trains():
    model = small_model()
    close(*both(model, random_codes(5, model.receptive_field)))


def test_a_batch_of_nothing_gives_nothing():
    model = small_model(norm="weight")
    codes = random_codes(0, model.receptive_field)
    assert model.unfused().dense(codes).shape == (0, 1, 1)
    assert model.dense(codes).shape == (0, 1, 1)


# nonsense


@pytest.mark.parametrize("code", [5, 255])
@pytest.mark.parametrize("where", [0, -1])
def test_a_code_over_4_raises(code, where):
    model = small_model()
    codes = random_codes(2, model.receptive_field + 9)
    codes[1, where] = code
    with pytest.raises(ValueError, match="code.* more than 4"):
        model.dense(codes)


def test_too_few_bases_raise():
    model = small_model()
    with pytest.raises(TcnfastError, match="under the receptive field"):
        model.dense(random_codes(2, model.receptive_field - 1))


def arguments(**change):
    padded = cpu_engine.padded_channels(4, "fp32")
    given = dict(
        x=torch.rand(2, 20, padded),
        weight1=torch.rand(4, 4, 3),
        weight2=torch.rand(4, 4, 3),
        gain1=torch.rand(4),
        shift1=torch.rand(4),
        gain2=torch.rand(4),
        shift2=torch.rand(4),
        mask1=None,
        mask2=None,
        code_residual=None,
        dilation=1,
        stride=1,
        tap=2,
        eps=1e-5,
        precision="fp32",
    )
    return given | change


def test_rows_too_short_for_one_output_raise():
    assert ops.block(**arguments(x=arguments()["x"][:, :5]))[0].shape[1] == 1
    with pytest.raises((RuntimeError, ValueError), match="4 positions give no output"):
        ops.block(**arguments(x=arguments()["x"][:, :4]))


def with_rows(*shape, **kind):
    return dict(x=torch.zeros(*shape, **kind))


PADDED = cpu_engine.padded_channels(4, "fp32") if cpu_engine._C else 4
NONSENSE = {
    "x-float64": with_rows(2, 20, PADDED, dtype=torch.float64),
    "x-bf16": with_rows(2, 20, PADDED, dtype=torch.bfloat16),
    "x-int64": with_rows(2, 20, PADDED, dtype=torch.int64),
    "x-not-padded": with_rows(2, 20, PADDED - 1),
    "x-one-sequence": with_rows(20, PADDED),
    "x-codes-without-residual": with_rows(2, 20, dtype=torch.uint8),
    "weight1-float64": dict(weight1=torch.zeros(4, 4, 3).double()),
    "weight1-bf16": dict(weight1=torch.zeros(4, 4, 3).bfloat16()),
    "weight1-inputs": dict(weight1=torch.zeros(4, 3, 3)),
    "weight2-outputs": dict(weight2=torch.zeros(3, 4, 3)),
    "weight2-inputs": dict(weight2=torch.zeros(4, 3, 3)),
    "gain1-length": dict(gain1=torch.zeros(3)),
    "one-gain": dict(gain2=None),
    "shift2-length": dict(shift2=torch.zeros(3)),
    "mask1-shape": dict(mask1=torch.zeros(1, 4)),
    "mask2-float64": dict(mask2=torch.zeros(2, 4).double()),
    "tap-beyond": dict(tap=9),
    "tap-before": dict(tap=-1),
    "stride-0": dict(stride=0),
    "dilation-0": dict(dilation=0),
    "dilation-below-0": dict(dilation=-1),
}


@pytest.mark.parametrize("change", NONSENSE.values(), ids=NONSENSE)
def test_arguments_that_do_not_fit_raise(monkeypatch, change):
    """Before the engine reads what is not the tensor's."""
    monkeypatch.setattr(cpu_engine._C, "block_forward", lambda *_: pytest.fail("it was given this"))
    with pytest.raises((ValueError, RuntimeError, TypeError, TcnfastError), match="block"):
        ops.block(**arguments(**change))


@pytest.mark.parametrize(
    "change", [dict(stride=2, dilation=2), dict(precision="fp64")], ids=["stride", "precision"]
)
def test_what_the_engine_does_not_compute_raises(change):
    with pytest.raises((ValueError, TcnfastError), match="no grid has them|fp64"):
        ops.block(**arguments(**change))


# NaN


@pytest.mark.parametrize("isa, precision", ENGINES, ids=map("-".join, ENGINES))
@pytest.mark.parametrize("norm", ["batch", "weight"])
def test_nan_in_a_weight_is_seen_in_the_logits(monkeypatch, isa, precision, norm):
    monkeypatch.setenv(cpu_engine.ISA_VARIABLE, isa)
    for layer in (0, 1):
        model = small_model(norm=norm)
        conv = model.blocks[layer].conv1
        dict(conv.named_parameters())[
            "weight" if norm == "batch" else "parametrizations.weight.original1"
        ].data[0, 0, 0] = float("nan")
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            logits = model.dense(random_codes(2, model.receptive_field + 9))
        assert logits.isnan().all()
        logits.float().sum().backward()
        for block in model.blocks[: layer + 1]:
            assert any(p.grad.isnan().any() for p in block.parameters())


# the loop


def jitter(model, size, seed):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = 2 * torch.rand(parameter.shape, generator=generator) - 1
            parameter.mul_(1 + size * noise)


def losses(dataset, precision, on_engine, jittered=0, size=0.0):
    """Loss of every step of a short training, the start jittered by ``size``."""
    model = new_model(1, channels=16, blocks=4, dropout=0.1)
    model.engine = on_engine
    if jittered:
        jitter(model, size, jittered)
    config = TrainConfig(
        steps=40,
        epoch_steps=1,
        batch_size=16,
        tile_steps=8,
        learning_rate=1e-2,
        precision=precision,
    )
    epochs = fit(model, dataset, TRAIN, VALID, config, "cpu", progress=False)
    return np.array([epoch.loss for epoch in epochs])


@pytest.mark.parametrize("precision, size", [("fp32", 2.0**-20), ("bf16", 2.0**-9)])
def test_the_loop_on_the_engine_is_the_loop_in_plain_modules(dataset, precision, size):
    """Rounding grows from step to step. The two runs lie no further apart than four times what
    plain runs do whose start differs by the rounding of one gradient: a few units of fp32's last
    place, half of one of bf16's."""
    if reason := why_not(TRAINING, torch.device("cpu"), precision):
        pytest.skip(reason)
    plain = losses(dataset, precision, False)
    noise = [np.abs(losses(dataset, precision, False, j, size) - plain).max() for j in (1, 2, 3)]
    apart = np.abs(losses(dataset, precision, True) - plain)
    assert apart.max() <= 4 * max(noise)
    assert max(noise) < 0.05 * (plain[:10].mean() - plain[20:].min()) or max(noise) < 0.01
    assert apart[0] <= 4 * size
