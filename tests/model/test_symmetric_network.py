"""Symmetric networks: half of the parameters, and the same score for both strands of anything."""

import copy
import json

import pytest
import torch
from support.engine import needs_engine
from support.models import random_model
from support.triton import drop_alike
from torch import nn
from torch.nn.utils import parametrize
from truth import reverse_complement

from tcnfast.base.errors import TcnfastError
from tcnfast.engines import training_pass
from tcnfast.engines.backend import TRAINING, VARIABLE, why_not
from tcnfast.engines.plan import Plan
from tcnfast.model import tcn
from tcnfast.model.calibrate import scale_head
from tcnfast.model.ensemble import Ensemble, mean_weights
from tcnfast.model.load_model import load_model
from tcnfast.model.paired import set_parameter
from tcnfast.model.tcn import TCN, TCNConfig
from tcnfast.model.tcn_config import NORMS

SHAPES = {
    "odd-half": dict(channels=6),
    "wide": dict(channels=10, first_kernel=19),
    "k2": dict(channels=4, kernel_size=2, first_kernel=6),
    "k4": dict(channels=8, kernel_size=4, blocks=3),
    "k5": dict(channels=6, kernel_size=5, blocks=3, first_kernel=7),
    "weight-norm": dict(channels=6, norm="weight", first_kernel=5),
    "weight-norm-k2": dict(channels=10, norm="weight", kernel_size=2),
}
every_shape = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)


def symmetric_model(**shape):
    return random_model(symmetric=True, **shape)


def trained(model, codes, steps=4, stride=4, rate=0.02):
    """A few steps away from where it was."""
    optimiser = torch.optim.AdamW(model.train().parameters(), rate, weight_decay=0.05)
    for _ in range(steps):
        optimiser.zero_grad()
        (model.dense(codes, stride) - 1).square().mean().backward()
        optimiser.step()
    return model.eval()


@torch.no_grad()
def strands_differ(model, codes):
    """By how much at most, relative to the largest logit, windows on either strand score."""
    plus, minus = model(codes), model(reverse_complement(codes))
    return float((plus - minus).abs().max() / plus.abs().max())


@torch.no_grad()
def streams_differ(model, codes, stride):
    """The same of streams that begin at every offset of the grid."""
    worst, turned = 0.0, reverse_complement(codes)
    for offset in range(stride):
        plus = model.dense(codes[:, offset:], stride)
        span = model.receptive_field + stride * (plus.shape[-1] - 1)
        minus = model.dense(turned[:, codes.shape[1] - offset - span :], stride)
        minus = minus[..., : plus.shape[-1]].flip(-1)
        worst = max(worst, float((plus - minus).abs().max() / plus.abs().max()))
    return worst


# both strands


@every_shape
def test_windows_score_alike_on_both_strands(shape, make_codes):
    model = symmetric_model(**shape)
    codes = make_codes(20, model.receptive_field)
    assert strands_differ(model, codes) < 1e-5
    assert strands_differ(model.double(), codes) < 1e-12
    assert strands_differ(random_model(**shape).double(), codes) > 1e-3


@every_shape
@pytest.mark.parametrize("stride", [1, 2, 8, 32])
def test_streams_score_alike_from_every_offset_of_every_grid(shape, stride, make_codes):
    model = symmetric_model(**shape)
    codes = make_codes(2, model.receptive_field + 4 * stride + 3)
    assert streams_differ(model, codes, stride) < 1e-5
    assert streams_differ(model.double(), codes, stride) < 1e-12


@needs_engine
@every_shape
@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_training_keeps_the_strands_alike(shape, backend, dropout, make_codes, monkeypatch):
    monkeypatch.setenv(VARIABLE, backend)
    model = symmetric_model(**shape, dropout=dropout)
    codes = make_codes(6, model.receptive_field + 30)
    before = model(codes).detach()
    trained(model, codes)
    monkeypatch.delenv(VARIABLE)
    assert (model(codes) - before).abs().max() > 1e-2
    assert strands_differ(model, codes) < 1e-5
    assert strands_differ(copy.deepcopy(model).double(), codes) < 1e-12
    rounded = model.to(torch.bfloat16).double()  # as weights of that precision are read
    assert strands_differ(rounded, codes) < 1e-12


@torch.no_grad()
def test_a_batch_in_training_scores_alike_too(make_codes):
    model = symmetric_model(channels=6).double().train()
    codes = make_codes(4, model.receptive_field + 20)
    plus, minus = model.dense(codes), model.dense(reverse_complement(codes))
    torch.testing.assert_close(minus.flip(-1), plus, rtol=0, atol=1e-12)


class Noise(nn.Module):
    """A parametrization that leaves nothing its own flip."""

    def forward(self, tensor):
        noise = torch.randn(tensor.shape, generator=torch.Generator().manual_seed(1))
        return tensor + 0.1 * noise.to(tensor)


@every_shape
def test_an_asymmetry_is_found_wherever_it_is(shape, make_codes):
    model = symmetric_model(**shape).double()
    codes = make_codes(50, model.receptive_field)
    assert strands_differ(model, codes) < 1e-12
    tied = [
        (module, name)
        for module in model.modules()
        if parametrize.is_parametrized(module)
        for name in list(module.parametrizations)
    ]
    assert len(tied) > 2 * model.config.blocks
    for module, name in tied:
        twin = copy.deepcopy(model)
        at = [m is module for m in model.modules()].index(True)
        parametrize.register_parametrization(list(twin.modules())[at], name, Noise())
        assert strands_differ(twin, codes) > 1e-9, name


# what is kept


@every_shape
def test_half_of_the_parameters_are_free_and_tensors_are_whole(shape):
    model, plain = symmetric_model(**shape), random_model(**shape)
    counts = [sum(p.numel() for p in x.parameters()) for x in (model, plain)]
    labels = len(model.labels)  # their biases have no pairs
    assert 2 * (counts[0] - labels) == counts[1] - labels
    for block, other in zip(model.blocks, plain.blocks, strict=True):
        for conv, like in ((block.conv1, other.conv1), (block.conv2, other.conv2)):
            assert conv.weight.shape == like.weight.shape
            assert torch.equal(conv.weight, conv.weight.flip(0, 1, 2))
    assert torch.equal(model.head.weight, model.head.weight.flip(1))
    assert model.folded().symmetric and not plain.folded().symmetric
    weights = model.folded()
    for block in weights.blocks:
        assert torch.equal(block.weight1, block.weight1.flip(0, 1, 2))
        assert torch.equal(block.bias2, block.bias2.flip(0))


def test_a_network_starts_as_a_plain_one_does():
    """Variance of random kernels, smoothers, and the head; rates of labels go to its bias."""
    torch.manual_seed(3)
    model = TCN(TCNConfig(labels=["a"], channels=64, first_kernel=15, symmetric=True))
    plain = TCN(TCNConfig(labels=["a"], channels=64, first_kernel=15))
    for block, other in zip(model.blocks, plain.blocks, strict=True):
        for here, there in ((block.conv1, other.conv1), (block.conv2, other.conv2)):
            here, there = here.weight.detach(), there.weight.detach()
            assert here.std() == pytest.approx(there.std().item(), rel=0.1)
            if here.shape[0] == here.shape[1]:
                diagonals = here.diagonal(), there.diagonal()
                middle = [x.mean().item() for x in diagonals]
                assert middle == pytest.approx([tcn.SMOOTHING] * 2, abs=0.05)
        assert torch.equal(block.norm2.weight, torch.full((32,), tcn.BRANCH_GAIN))
    model.set_label_rates(torch.tensor([0.25]))
    assert model.head.bias.item() == pytest.approx(-1.0986, abs=1e-3)


def test_norms_count_both_channels_of_a_pair():
    norm = TCN(TCNConfig(labels=["a"], channels=6, symmetric=True)).blocks[1].norm1.train()
    x = torch.randn(5, 6, 1, 9, dtype=torch.float64) * 2 + torch.arange(6.0).view(6, 1, 1)
    norm.double()(x)
    for c in range(3):
        both = torch.stack((x[:, c], x[:, 5 - c]))
        assert norm.running_mean[c].item() == pytest.approx(0.1 * both.mean().item())
        assert norm.running_var[c].item() == pytest.approx(0.9 + 0.1 * both.var().item())


@needs_engine
@pytest.mark.parametrize("norm", ["batch", "weight"])
def test_dropout_drops_pairs_by_the_same_draws_everywhere(norm, make_codes):
    model = symmetric_model(channels=8, dropout=0.5, norm=norm).train()
    codes, given = make_codes(7, model.receptive_field + 20), []
    state = torch.get_rng_state()

    def spy(**arguments):
        given.append((arguments["mask1"], arguments["mask2"]))
        return block(**arguments)

    block = training_pass.ops.block
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training_pass.ops, "block", spy)
        model.dense(codes)
    after = torch.get_rng_state()
    seen, twin = [], model.unfused()
    hooks = [
        layer.register_forward_hook(lambda _, x, out: seen.append((x[0], out)))
        for x in model.blocks
        for layer in (x.drop1, x.drop2)
    ]
    torch.set_rng_state(state)
    twin.dense(codes)
    assert torch.equal(torch.get_rng_state(), after)
    for hook in hooks:
        hook.remove()
    masks = [mask for pair in given for mask in pair]
    assert len(masks) == len(seen) == 2 * model.config.blocks
    for mask, (x, out) in zip(masks, seen, strict=True):
        assert torch.equal(mask, mask.flip(1)) and len(mask.unique()) == 2
        torch.testing.assert_close(out, x * mask[:, :, None, None])


WAYS = [("cpu", norm, dropout) for norm in NORMS for dropout in (0.0, 0.4)]
WAYS.append(("triton", "batch", 0.4))  # in its interpreter, seconds


@pytest.mark.parametrize("backend, norm, dropout", WAYS)
def test_it_trains_in_kernels_as_in_plain_modules(backend, norm, dropout, make_codes, monkeypatch):
    """Logits, gradients of the halves, and running statistics."""
    monkeypatch.setenv(VARIABLE, backend)
    if reason := why_not(TRAINING, torch.device("cpu"), "fp32"):
        pytest.skip(reason)
    model = symmetric_model(channels=6, blocks=2, norm=norm, first_kernel=7, dropout=dropout)
    model, codes = model.train(), make_codes(6, model.receptive_field + 30)
    twin, state, found = copy.deepcopy(model), torch.get_rng_state(), []
    plain = twin.unfused()
    if backend == "triton":
        drop_alike(monkeypatch, plain)
    for one, network in ((model, model), (twin, plain)):
        torch.set_rng_state(state)
        logits = network.dense(codes, 2)
        logits.square().mean().backward()
        gradients = {name: p.grad for name, p in one.named_parameters()}
        found.append((logits.detach(), gradients, dict(one.named_buffers())))
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-5)


# where models go


def test_a_folder_says_so_and_older_ones_are_plain(tmp_path, make_codes):
    model = trained(symmetric_model(channels=6), make_codes(4, 100))
    model.save(tmp_path / "new")
    config = json.loads((tmp_path / "new" / "config.json").read_text())
    assert config["symmetric"] is True
    again = load_model(tmp_path / "new")
    codes = make_codes(3, model.receptive_field)
    assert again.config == model.config and torch.equal(again(codes), model(codes))
    plain = random_model()
    plain.save(tmp_path / "old")
    path = tmp_path / "old" / "config.json"
    config = json.loads(path.read_text())
    assert config.pop("symmetric") is False
    path.write_text(json.dumps(config))
    old = load_model(tmp_path / "old")
    assert not old.config.symmetric and torch.equal(old(codes), plain(codes))
    config["symmetric"] = True
    path.write_text(json.dumps(config | {"channels": 6}))
    with pytest.raises(TcnfastError, match=r"tensor .*weight.* is missing"):
        load_model(tmp_path / "old")


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(channels=5), "channels 5 must be even"),
        (dict(alignment="causal"), "alignment 'causal': a symmetric network must be centred"),
        (dict(symmetric=1), "symmetric 1 must be true or false"),
    ],
)
def test_shapes_that_are_none_say_why(change, message):
    shape = dict(labels=["a"], channels=6, symmetric=True) | change
    with pytest.raises(TcnfastError, match=message) as caught:
        TCNConfig(**shape)
    assert "\n" not in str(caught.value)


def test_scaling_and_averaging_keep_the_symmetry(make_codes):
    models = [symmetric_model(channels=6) for _ in range(2)]
    codes = make_codes(9, models[0].receptive_field)
    before = models[0](codes).detach()
    scale_head(models[0], [2.0, 0.5, 1.0], [1.0, 0.0, -1.0])
    want = before * torch.tensor([2.0, 0.5, 1.0]) + torch.tensor([1.0, 0.0, -1.0])
    torch.testing.assert_close(models[0](codes).detach(), want)
    mean = mean_weights(["a", "b"], models)
    half = (models[0].head.weight + models[1].head.weight) / 2
    torch.testing.assert_close(mean.head.weight, half)
    assert strands_differ(mean.double(), codes) < 1e-12
    with pytest.raises(TcnfastError, match="b: symmetric is False, that of a True"):
        mean_weights(["a", "b"], [models[0], random_model(channels=6)])


@pytest.mark.parametrize("norm", ["batch", "weight"])
def test_an_assigned_weight_gives_its_first_half(norm):
    conv = TCN(TCNConfig(labels=["a"], channels=6, norm=norm, symmetric=True)).blocks[1].conv1
    wanted = torch.randn(6, 6, 3)
    set_parameter(conv, "weight", wanted)
    torch.testing.assert_close(conv.weight[:3], wanted[:3])
    torch.testing.assert_close(conv.weight[3:], wanted[:3].flip(0, 1, 2))
    assert isinstance(conv, nn.Conv1d)


# plans: one pass for every strand


@pytest.fixture
def count_runs(monkeypatch):
    """The stacks that plans make ready."""
    from tcnfast.engines import plan

    made = []
    real = dict(plan.PREPARE)
    for name in real:
        monkeypatch.setitem(
            plan.PREPARE, name, lambda *a, name=name: made.append(a) or real[name](*a)
        )
    return made


@needs_engine
@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_a_plan_runs_once_for_every_strand(backend, count_runs, make_codes):
    model = symmetric_model(channels=6)
    options = dict(device="cpu", precision="fp32", backend=backend, stride=4)
    codes = make_codes(2, model.receptive_field + 50)
    scores = {}
    for strand in ("+", "-", "both"):
        count_runs.clear()
        plan = Plan(model, strand=strand, **options)
        scores[strand] = plan(codes)
        assert len(count_runs) == 1 and plan.symmetric
    assert torch.equal(scores["+"], scores["-"]) and torch.equal(scores["+"], scores["both"])
    stack, grid = model.folded(), model.config.grid(4)
    plain = copy.deepcopy(model)
    plain.folded = lambda: stack.__class__(stack.blocks, stack.head_weight, stack.head_bias)
    twice = Plan(plain, strand="both", **options)
    assert not twice.symmetric and len(count_runs) == 3
    torch.testing.assert_close(twice(codes), scores["both"], rtol=1e-5, atol=1e-5)
    turned = stack.mirrored(grid)  # itself, its channels in the other order
    assert torch.equal(turned.blocks[1].weight2, stack.blocks[1].weight2.flip(0, 1))
    assert torch.equal(turned.blocks[0].weight1, stack.blocks[0].weight1.flip(0))


@needs_engine
@pytest.mark.parametrize("strand, runs", [("+", 3), ("-", 3), ("both", 4)])
def test_members_of_both_kinds_are_averaged_one_by_one(strand, runs, count_runs, make_codes):
    members = [symmetric_model(channels=6), random_model(), symmetric_model(channels=4)]
    options = dict(device="cpu", precision="fp32", strand=strand, stride=4)
    plan = Plan(Ensemble(members).eval(), **options)
    assert len(count_runs) == runs and not plan.symmetric
    codes = make_codes(2, 120)
    want = torch.stack([Plan(member, **options)(codes) for member in members]).mean(0)
    torch.testing.assert_close(plan(codes), want, rtol=1e-5, atol=1e-5)
    pair = Plan(Ensemble(members[::2]).eval(), **options)
    assert pair.symmetric and len(count_runs) == runs + (4 if strand == "both" else 3) + 2
