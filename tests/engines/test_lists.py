"""Convolutions over lists of the inputs that are not 0: the same bits, wherever zeros are."""

from dataclasses import replace

import pytest
import torch
from numerics import assert_close
from support.engine import (
    Shape,
    every_engine,
    expected,
    needs_engine,
    random_codes,
    random_weights,
    symmetric_weights,
)

import tcnfast
from tcnfast.engines import cpu_engine
from tcnfast.engines.cpu_engine import ISA_VARIABLE, prepare
from tcnfast.engines.plan import Plan

pytestmark = needs_engine

# panels of every kind: halves, wholes, two at a time, vectors left over; taps 2 to 7; dilations
SHAPES = [
    Shape(channels=1, kernel_size=2, first_kernel=2, blocks=3, stride=8, batch=1),
    Shape(channels=5, kernel_size=4, first_kernel=10, blocks=4, stride=1),
    Shape(channels=17, kernel_size=7, first_kernel=7, blocks=3, stride=4, rest=3),
    Shape(channels=24, kernel_size=5, first_kernel=5, blocks=3, stride=2, alignment="causal"),
    Shape(channels=64, kernel_size=3, first_kernel=19, blocks=4, stride=16, steps=9),
    Shape(channels=100, kernel_size=6, first_kernel=6, blocks=3, stride=64, steps=3),  # apart
    Shape(channels=130, kernel_size=3, first_kernel=3, blocks=3, stride=1, batch=1),
]
ACTIVE = {"no": -50.0, "few": -1.5, "half": 0.0, "most": 1.0, "all": 50.0}


@pytest.fixture(autouse=True)
def on_isa(request, monkeypatch):
    if "isa" in request.fixturenames:
        monkeypatch.setenv(ISA_VARIABLE, request.getfixturevalue("isa"))


def shifted(weights, by):
    """``by`` is added to all biases: how many activations are 0."""
    blocks = [replace(b, bias1=b.bias1 + by, bias2=b.bias2 + by) for b in weights.blocks]
    return replace(weights, blocks=tuple(blocks))


def may_list(isa, precision):
    return (isa, precision) != ("amx", "bf16")


def bits(weights, grid, precision, codes, **options):
    """With lists and without; the sign of a zero and the payload of a NaN are bits as well."""
    with_lists, without = (
        prepare(weights, grid, precision, lists=lists, **options) for lists in (True, False)
    )
    assert not any(s.listed for s in without.sparsity)
    return with_lists(codes).view(torch.int32), without(codes).view(torch.int32), with_lists


@pytest.mark.parametrize("active", ACTIVE)
@pytest.mark.parametrize("shape", SHAPES, ids=lambda s: f"C{s.channels}-k{s.kernel_size}")
@every_engine
def test_bits_are_those_without_lists(isa, precision, shape, active):
    weights, codes = shifted(random_weights(shape), ACTIVE[active]), random_codes(2, shape.length)
    for chunk in (0, 7):
        got, want, run = bits(weights, shape.grid, precision, codes, chunk=chunk)
        assert all(s.listed for s in run.sparsity) == may_list(isa, precision)
        assert torch.equal(got, want)


@every_engine
def test_every_weight_of_a_listed_convolution_counts(isa, precision):
    """What would be left out by mistake, or read from another place, shows."""
    shape = Shape(channels=20, kernel_size=3, blocks=2, steps=40)
    weights, codes = random_weights(shape), random_codes(1, shape.length)
    run = prepare(weights, shape.grid, precision, lists=True)
    want = run(codes)
    generator = torch.Generator().manual_seed(0)
    for _ in range(12):
        o, i, tap = (int(torch.randint(n, (), generator=generator)) for n in (20, 20, 3))
        weights.blocks[1].weight1[o, i, tap] += 0.5
        planted = prepare(weights, shape.grid, precision, lists=True)(codes)
        assert not torch.equal(planted, want)
        assert torch.equal(planted, prepare(weights, shape.grid, precision, lists=False)(codes))


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan"), 3.4e38])
@every_engine
def test_a_convolution_with_a_weight_that_is_not_finite_has_no_list(isa, precision, value):
    """0 times infinity is NaN, and 3.4e38 is infinite in bf16."""
    shape = Shape(channels=9, blocks=3, stride=2)
    weights, codes = shifted(random_weights(shape), -0.5), random_codes(2, shape.length)
    weights.blocks[1].weight2[3, 4, 1] = value
    got, want, run = bits(weights, shape.grid, precision, codes)
    assert torch.equal(got, want)
    refused = [(s.block, s.convolution) for s in run.sparsity if not s.listed]
    assert refused == [(1, 2)] or not may_list(isa, precision)
    weights.blocks[1].weight2[3, 4, 1] = 0.5
    assert not torch.equal(bits(weights, shape.grid, precision, codes)[0], want)


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
@every_engine
def test_activations_that_are_not_finite_are_listed(isa, precision, value):
    shape = Shape(channels=9, blocks=3, stride=2, steps=60)
    weights, codes = shifted(random_weights(shape), -0.5), random_codes(2, shape.length)
    weights.blocks[0].residual[0][2, 1] = value  # wherever there is a C
    codes[:, 40:] = torch.where(codes[:, 40:] == 1, 0, codes[:, 40:])
    got, want, _ = bits(weights, shape.grid, precision, codes)
    assert torch.equal(got, want)
    finite = want.view(torch.float32).isfinite()
    assert finite.any() and not finite.all()


@every_engine
def test_lists_are_chosen_by_what_is_measured(isa, precision):
    shape = Shape(channels=32, blocks=4, stride=4)
    chosen = {}
    for active, by in ACTIVE.items():
        run = prepare(shifted(random_weights(shape), by), shape.grid, precision)
        if not may_list(isa, precision):
            assert not any(s.listed or s.nonzero is not None for s in run.sparsity)
            continue
        assert [(s.block, s.convolution) for s in run.sparsity] == [
            (block, which) for block in range(4) for which in (1, 2)
        ][1:]
        assert all(
            s.listed == (s.nonzero < (0.55 if precision == "bf16" else 0.45)) for s in run.sparsity
        )
        chosen[active] = run.sparsity
        for chunk in (1, 64):
            again = prepare(shifted(random_weights(shape), by), shape.grid, precision, chunk=chunk)
            assert again.sparsity == run.sparsity
    if chosen:
        assert chosen["no"][0] == (0, 2, 0.0, True) and chosen["all"][0] == (0, 2, 1.0, False)


def test_what_is_measured_is_what_convolutions_read():
    """Against the reference, on other random letters."""
    model = tcnfast.load_model("encode-v1")
    plan = Plan(model, "cpu", "fp32", backend="cpu")
    shares = _shares(model, random_codes(1, 4000).clamp_max(3))
    (sparsity,) = plan.sparsity
    if isinstance(sparsity[0].nonzero, float):
        for measured, share in zip(sparsity, shares, strict=True):
            assert abs(measured.nonzero - share) < 0.05
        assert sparsity[0].listed and sparsity[1].listed and not all(s.listed for s in sparsity)


def _shares(model, codes):
    from tcnfast.engines import reference

    weights, grid = model.folded(), model.config.grid(32)
    x, shares = reference.one_hot(codes, torch.float32), []
    for index, (block, geometry) in enumerate(zip(weights.blocks, grid.blocks, strict=True)):
        hidden = reference.conv(x, block.weight1, block.bias1, geometry.dilation).relu_()
        shares += [float((t != 0).float().mean()) for t in ((x, hidden) if index else (hidden,))]
        x = reference.block(x, block, geometry)
    return shares


@pytest.mark.parametrize("stride", [1, 32])
@every_engine
def test_the_bundled_model_has_the_same_bits(isa, precision, stride):
    model = tcnfast.load_model("encode-v1")
    weights, grid = model.folded(), model.config.grid(stride)
    codes = random_codes(1, grid.receptive_field + 40 * stride)
    codes[:, 100:160] = 4
    for stack in (weights, weights.mirrored(grid)):
        runs = [prepare(stack, grid, precision, lists=lists) for lists in (None, True, False)]
        outs = [run(codes).view(torch.int32) for run in runs]
        assert torch.equal(outs[0], outs[2]) and torch.equal(outs[1], outs[2])
        if may_list(isa, precision):
            assert [(s.block, s.convolution) for s in runs[0].sparsity if s.listed][:2] == [
                (0, 2),
                (1, 1),
            ]


SYMMETRIC = [
    Shape(channels=6, kernel_size=4, first_kernel=6, blocks=3, stride=2, rest=1),
    Shape(channels=34, kernel_size=3, first_kernel=19, blocks=4, stride=8),
    Shape(channels=64, kernel_size=3, first_kernel=3, blocks=3, stride=1, batch=1),
]


@pytest.mark.parametrize("shape", SYMMETRIC, ids=lambda s: f"C{s.channels}-k{s.kernel_size}")
@every_engine
def test_symmetric_stacks(isa, precision, shape):
    """What goes over lists is not halved: other roundings, the same accuracy."""
    weights, codes, want, pt = expected(shape, precision, make=symmetric_weights)
    runs = {
        (lists, chunk): prepare(weights, shape.grid, precision, lists=lists, chunk=chunk)(codes)
        for lists in (True, False, None)
        for chunk in (0, 5)
    }
    for lists in (True, False, None):
        assert_close(runs[lists, 0], want, pt)
        assert torch.equal(runs[lists, 0], runs[lists, 5])


def test_a_choice_that_there_is_not_raises():
    shape = Shape()
    params = cpu_engine.stack_parameters(random_weights(shape), shape.grid)
    with pytest.raises(ValueError, match="lists: must be measured, never or always"):
        cpu_engine._C.Stack(isa="generic", precision="fp32", params=params, lists="some")
