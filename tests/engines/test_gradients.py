"""Gradients of logits by sequence on the engine, against those of the float64 model by autograd."""

import pytest
import torch
from numerics import assert_close

from tcnfast.base.errors import TcnfastError
from tcnfast.engines import cpu_engine, reference
from tcnfast.engines.gradients import input_gradient

ISAS = [name for name, reason in cpu_engine.isas().items() if reason is None]
SHAPES = {
    "pruned": (dict(channels=17, first_kernel=7), 4),
    "identity-residual-causal-dense": (
        dict(channels=4, kernel_size=2, alignment="causal", blocks=3),
        1,
    ),
    "weight-norm": (dict(channels=33, blocks=3, norm="weight"), 16),
    "beyond-the-top": (dict(channels=16, kernel_size=5, first_kernel=19, blocks=2), 8),
}


def by_autograd(weights, grid, codes, dlogits, dtype):
    """The same gradient (N, 4, L) through reference.py on float one-hot, or what is given as it."""
    if codes.dtype == torch.uint8:
        x = reference.one_hot(codes, dtype).requires_grad_()
    else:
        x = reference.channels_last(codes.to(dtype)).requires_grad_()
    h, weights = x, weights.to("cpu", dtype)
    for block, geometry in zip(weights.blocks, grid.blocks, strict=True):
        h = reference.block(h, block, geometry)
    features = h[..., :: grid.sample].squeeze(2).transpose(1, 2)
    logits = features @ weights.head_weight.T
    (logits * dlogits.to(dtype)).sum().backward()
    return x.grad.squeeze(2)


@pytest.fixture(params=SHAPES.values(), ids=SHAPES.keys())
def case(request, make_model, make_codes):
    config, stride = request.param
    model = make_model(**config)
    codes = make_codes(3, model.receptive_field + 40 * stride + 600)
    grid = model.config.grid(stride)
    dlogits = torch.randn(3, grid.n_scores(codes.shape[1]), len(model.labels))
    return model, grid, codes, dlogits


@pytest.mark.parametrize("strand", ["+", "-"])
@pytest.mark.parametrize("isa", ISAS)
def test_fp32_obeys_the_rule(case, monkeypatch, isa, strand):
    monkeypatch.setenv(cpu_engine.ISA_VARIABLE, isa)
    model, grid, codes, dlogits = case
    weights = model.folded() if strand == "+" else model.folded().mirrored(grid)
    got = input_gradient(weights, grid, codes, dlogits)
    ref = by_autograd(weights, grid, codes, dlogits, torch.float64)
    assert got.shape == (3, 4, codes.shape[1]) and ref.abs().max() > 1e-2
    assert_close(got, ref, by_autograd(weights, grid, codes, dlogits, torch.float32))


@pytest.mark.skipif(cpu_engine.why_not("bf16") is not None, reason=str(cpu_engine.why_not("bf16")))
def test_bf16_is_as_near_as_pytorch_is(case):
    """In the mean: a ReLU whose argument bf16 rounds over zero moves single elements anywhere."""
    model, grid, codes, dlogits = case
    ref = by_autograd(model.folded(), grid, codes, dlogits, torch.float64)
    plain = by_autograd(model.folded(), grid, codes, dlogits, torch.bfloat16)
    got = input_gradient(model.folded(), grid, codes, dlogits, "bf16")
    assert (got - ref).norm() <= 1.5 * (plain - ref).norm() < 0.5 * ref.norm()


def test_float_input_may_lie_between_sequences(case):
    model, grid, codes, dlogits = case
    x = torch.rand(3, 4, codes.shape[1]) * reference.one_hot(codes, torch.float32).squeeze(2)
    got = input_gradient(model.folded(), grid, x, dlogits)
    ref, pt = (
        by_autograd(model.folded(), grid, x, dlogits, dtype)
        for dtype in (torch.float64, torch.float32)
    )
    assert_close(got, ref, pt)


def test_one_logit_depends_on_its_window_alone(make_model, make_codes):
    model, stride = make_model(channels=8), 4
    grid = model.config.grid(stride)
    codes = make_codes(1, 400)
    dlogits = torch.zeros(1, grid.n_scores(400), len(model.labels))
    dlogits[0, 20, 1] = 1
    gradient = input_gradient(model.folded(), grid, codes, dlogits)[0].abs().sum(0)
    window = slice(20 * stride, 20 * stride + model.receptive_field)
    assert gradient[window].count_nonzero() > model.receptive_field // 2
    gradient[window] = 0
    assert not gradient.any()


def test_where_the_engine_cannot_run_it_says_why(make_model, make_codes, monkeypatch):
    monkeypatch.setenv(cpu_engine.ISA_VARIABLE, "generic")
    model = make_model()
    grid = model.config.grid(4)
    dlogits = torch.zeros(1, grid.n_scores(100), len(model.labels))
    with pytest.raises(TcnfastError, match="generic has no bf16 products"):
        input_gradient(model.folded(), grid, make_codes(1, 100), dlogits, "bf16")
