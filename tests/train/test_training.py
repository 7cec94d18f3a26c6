"""Training a whole model on the C++ engine against the same model in plain modules: numbers, draws,
statistics, and what must not run on the engine."""

import copy
import pickle
from functools import partial

import pytest
import torch
from support.block import Kept, Scaled, check_all, decided, looked_up, stack, to_maps
from support.engine import ENGINES, needs_engine, random_codes

from tcnfast import load_model
from tcnfast.engines import cpu_engine, ops, training_pass
from tcnfast.model.tcn import TCN, TCNConfig
from tcnfast.train.losses import masked_bce

pytestmark = needs_engine

# of each precision the best; tests/test_ops.py goes through all of them, block by block
BEST = {precision: isa for isa, precision in reversed(ENGINES)}
in_every_precision = pytest.mark.parametrize("precision, isa", BEST.items(), ids=BEST)


def new_model(**config):
    """In training, no parameter left trivial."""
    config = dict(labels=["a", "b", "c"], channels=5, blocks=4, dropout=0.0) | config
    model = TCN(TCNConfig(**config)).train()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.3 * torch.randn_like(parameter))
        model.head.weight.normal_(std=0.5)
    return model


@pytest.fixture
def calls(monkeypatch):
    """The precision of every block that ran on the engine."""
    seen = []

    def spy(**given):
        seen.append(given["precision"])
        return block(**given)

    block = ops.block
    monkeypatch.setattr(ops, "block", spy)
    return seen


@pytest.fixture
def on(monkeypatch):
    return lambda isa: monkeypatch.setenv(cpu_engine.ISA_VARIABLE, isa)


def bf16_autocast(precision):
    return torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16")


def step(model, codes, stride, precision, seed=3):
    """Logits, gradients of every parameter, and buffers, after one forward and backward pass."""
    model = copy.deepcopy(model)
    torch.manual_seed(seed)
    with bf16_autocast(precision):
        logits = model.dense(codes, stride)
    weights = torch.linspace(-1, 1, logits.numel(), dtype=torch.float64).reshape(logits.shape)
    (logits.double() * weights).sum().backward()
    gradients = {name: p.grad for name, p in model.named_parameters()}
    return logits.detach(), gradients, dict(model.named_buffers())


def plain(model, dtype=torch.float32):
    return copy.deepcopy(model).unfused().to(dtype)


# the numbers

SHAPES = {
    "dense": (dict(), 1, 80, 0),
    "strided": (dict(channels=17, first_kernel=15, dropout=0.3), 32, 25, 3),
    "over-2^blocks": (dict(blocks=2, alignment="causal"), 16, 30, 5),
    "weight-norm": (dict(channels=16, norm="weight", dropout=0.2, alignment="causal"), 4, 20, 1),
    "identity": (dict(channels=4, kernel_size=2, first_kernel=4, blocks=3), 2, 40, 1),
}
DRAWS = 5


def stacked(shape, run):
    """What ``run(model, codes, stride)`` gives, a list of dicts of tensors, stacked over draws."""
    config, stride, steps, rest = shape
    draws = []
    for seed in range(DRAWS):
        torch.manual_seed(seed)
        model = new_model(**config)
        codes = random_codes(3, model.receptive_field + (steps - 1) * stride + rest, seed=seed)
        draws.append(run(model, codes, stride))
    return [stack(group) for group in zip(*draws, strict=True)]


@in_every_precision
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_logits_and_statistics_are_those_of_the_plain_model(
    on, nan_filled_memory, calls, isa, precision, shape
):
    on(isa)

    def run(model, codes, stride):
        calls.clear()
        out, _, buffers = step(model, codes, stride, precision)
        assert calls == [precision] * model.config.blocks
        pt, _, pt_buffers = step(plain(model), codes, stride, precision)
        ref, _, ref_buffers = step(plain(model, torch.float64), codes, stride, "fp64")
        assert len(calls) == model.config.blocks, "the plain model ran on the engine"
        results = (out, buffers), (ref, ref_buffers), (pt, pt_buffers)
        return [{"logits": logits} | buffers for logits, buffers in results]

    out, ref, pt = stacked(shape, run)
    for name in [name for name in out if name.endswith("num_batches_tracked")]:
        assert (out.pop(name) == 1).all()
    check_all(out, ref, pt)


def record(model, codes, stride, precision, seed=3):
    """A pass on the engine: gradients by name, and every block's ReLU decisions and dropout."""
    seen = []

    def spy(**given):
        outputs = block(**given)
        seen.append((given, outputs))
        return outputs

    block = ops.block
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ops, "block", spy)
        _, gradients, _ = step(model, codes, stride, precision, seed)
    decisions, masks = [], []
    for given, outputs in seen:
        x, w1, eps = given["x"], given["weight1"], given["eps"]
        g1, s1, g2, s2 = (given[name] for name in ("gain1", "shift1", "gain2", "shift2"))
        y, a1, a2, *statistics = (tensor.detach() for tensor in outputs)
        if x.dtype == torch.uint8:
            a1 = looked_up(x, w1.detach(), y.dtype)
        channels, kept = len(w1), []
        for a, gain, shift, i in ((a1, g1, s1, 0), (a2, g2, s2, 2)):
            norm = None if gain is None else (gain.detach(), *statistics[i : i + 2], eps)
            kept.append(decided(a[..., :channels], shift.detach(), norm))
        kept.append(to_maps(y[..., :channels] > 0))
        decisions.append(kept)
        masks.append((given["mask1"], given["mask2"]))
    return gradients, decisions, masks


def at_equal_relus(model, decisions, masks, dtype):
    """The plain model with the engine's ReLU decisions and dropout draws."""
    model = plain(model, dtype)
    for block, kept, (mask1, mask2) in zip(model.blocks, decisions, masks, strict=True):
        block.relu1, block.relu2, block.relu3 = map(Kept, kept)
        block.drop1, block.drop2 = Scaled(mask1), Scaled(mask2)
    return model


@in_every_precision
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_gradients_are_those_of_the_plain_model(on, nan_filled_memory, isa, precision, shape):
    on(isa)

    def run(model, codes, stride):
        out, decisions, masks = record(model, codes, stride, precision)
        results = [out]
        for dtype, amp in ((torch.float64, "fp64"), (torch.float32, precision)):
            same = at_equal_relus(model, decisions, masks, dtype)
            results.append(step(same, codes, stride, amp)[1])
        return results

    out, ref, pt = stacked(shape, run)
    check_all(out, ref, pt, "gradient of ")


def test_dropout_draws_are_those_of_the_plain_model(make_codes):
    model = new_model(channels=16, blocks=3, dropout=0.4)
    codes = make_codes(6, model.receptive_field + 20)
    _, _, masks = record(model, codes, 1, "fp32", seed=7)
    drawn = []
    for block in (twin := plain(model)).blocks:
        for layer in (block.drop1, block.drop2):
            layer.register_forward_hook(lambda _, x, out: drawn.append((x[0], out)))
    step_in_place = partial(twin.dense, codes, 1)
    torch.manual_seed(7)
    step_in_place()
    flat = [mask for pair in masks for mask in pair]
    assert len(drawn) == len(flat) == 6
    for (x, out), mask in zip(drawn, flat, strict=True):
        torch.testing.assert_close(out, x * mask[:, :, None, None])
        assert mask.unique().tolist() == [0.0, pytest.approx(1 / 0.6)]


@in_every_precision
def test_the_same_generator_state_is_left_behind(on, make_codes, precision, isa):
    on(isa)
    model, states = new_model(dropout=0.3), []
    codes = make_codes(2, model.receptive_field + 9)
    for one in (model, model.unfused()):
        step(one, codes, 1, precision)
        states.append(torch.get_rng_state())
    assert torch.equal(*states)


# what runs where


def test_evaluation_and_one_hot_run_plain(make_codes, calls):
    model = new_model()
    codes = make_codes(2, model.receptive_field + 9)
    one_hot = torch.nn.functional.one_hot(codes.long(), 5)[..., :4].transpose(1, 2).float()
    model.dense(one_hot)
    model.eval().dense(codes)
    assert not calls
    model.train().dense(codes)
    assert calls == ["fp32"] * 4


def test_a_model_of_another_dtype_runs_plain(make_codes, calls):
    model = new_model().double()
    logits = model.dense(make_codes(2, model.receptive_field + 9))
    assert logits.dtype == torch.float64 and not calls


def test_bf16_runs_plain_where_the_instruction_set_has_none(on, make_codes, calls):
    on("generic")
    model = new_model()
    codes = make_codes(2, model.receptive_field + 9)
    with bf16_autocast("bf16"):
        logits = model.dense(codes)
        assert logits.dtype == torch.bfloat16 and not calls
        torch.manual_seed(0)
        assert torch.equal(model.dense(codes), model.unfused().dense(codes))
    model.dense(codes)
    assert set(calls) == {"fp32"}


def test_hooks_are_called(make_codes, calls):
    model, seen = new_model(), []
    handle = model.blocks[1].relu2.register_forward_hook(lambda *_: seen.append(1))
    codes = make_codes(2, model.receptive_field + 9)
    model.dense(codes)
    assert seen and not calls
    handle.remove()
    model.dense(codes)
    assert calls


def test_unfused_shares_weights(make_codes):
    model = new_model()
    twin = model.unfused()
    assert [id(p) for p in twin.parameters()] == [id(p) for p in model.parameters()]
    assert twin.state_dict().keys() == model.state_dict().keys()
    before = copy.deepcopy(model.state_dict())
    codes = make_codes(2, model.receptive_field + 9)
    optimiser = torch.optim.SGD(twin.parameters(), lr=0.1)
    twin.dense(codes).sum().backward()
    optimiser.step()
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, twin.state_dict()[name])
        assert not torch.equal(tensor, before[name]), name
    assert model.engine and not twin.engine


@pytest.mark.parametrize("move", ["deepcopy", "pickle", "save"])
def test_a_copy_trains_on_the_engine_as_well(make_codes, calls, tmp_path, move):
    model = new_model(norm="batch")
    if move == "deepcopy":
        other = copy.deepcopy(model)
    elif move == "pickle":
        other = pickle.loads(pickle.dumps(model))
    else:
        model.save(tmp_path / "model")
        other = load_model(tmp_path / "model").train()
    codes = make_codes(2, model.receptive_field + 9)
    assert torch.equal(other.dense(codes), model.dense(codes))
    assert len(calls) == 8 and other.engine
    assert not copy.deepcopy(model.unfused()).engine


def test_a_frozen_norm_keeps_its_statistics(make_codes):
    model = new_model()
    for block in model.blocks:
        block.norm1.eval()
    check_as_plain(model, make_codes)


def test_dropout_that_is_switched_off_drops_nothing(make_codes):
    model = new_model(dropout=0.5)
    for block in model.blocks:
        block.drop1.eval()
        block.drop2.eval()
    check_as_plain(model, make_codes)


def test_a_model_evaluated_through_its_twin_is_in_evaluation(make_codes):
    model = new_model()
    model.unfused().eval()
    check_as_plain(model, make_codes)


def check_as_plain(model, make_codes):
    codes = make_codes(3, model.receptive_field + 20)
    (out, _, buffers), (want, _, others) = (
        step(m, codes, 1, "fp32") for m in (model, model.unfused())
    )
    torch.testing.assert_close(out, want)
    torch.testing.assert_close(buffers, others)


def test_running_in_bf16_needs_autocast_to_bf16():
    assert training_pass.precision_now(torch.device("cpu")) == "fp32"
    with torch.autocast("cpu", torch.bfloat16):
        assert training_pass.precision_now(torch.device("cpu")) == "bf16"
        with torch.autocast("cpu", enabled=False):
            assert training_pass.precision_now(torch.device("cpu")) == "fp32"


def test_ambiguous_targets_alone_train_nothing(make_codes):
    model = new_model()
    logits = model.dense(make_codes(2, model.receptive_field + 20))
    targets = torch.full((2, 21, 3), 2, dtype=torch.uint8)
    loss = masked_bce(logits, targets)
    loss.backward()
    assert loss == 0
    assert all((p.grad == 0).all() for p in model.parameters())
