"""Gradients along a path, zeros passed by, against autograd at every point in float64."""

import numpy as np
import pytest
import torch
from numerics import assert_close
from support.models import random_model

from tcnfast.base.errors import TcnfastError
from tcnfast.engines import path as module
from tcnfast.engines import reference
from tcnfast.engines.path import Path

SHAPES = {
    "window": dict(channels=17, first_kernel=7),
    "more-than-a-tile": dict(channels=70, blocks=2),
    "identity-residual-causal": dict(channels=4, kernel_size=2, alignment="causal"),
    "wide-kernels": dict(channels=6, kernel_size=5, first_kernel=9, blocks=3),
    "one-block": dict(channels=5, blocks=1),
    "weight-norm": dict(channels=33, blocks=3, norm="weight"),
}
POINTS = [(0.0, 0.2), (0.3, 0.5), (0.55, 0.1), (1.0, 0.2)]


def by_autograd(weights, grid, start, end, dlogits, dtype):
    """The mean (K, N, 4, L), point by point."""
    weights = weights.to("cpu", dtype)
    totals = []
    for wanted in dlogits.to(dtype):
        total = torch.zeros_like(start, dtype=dtype)
        for place, share in POINTS:
            x = start.to(dtype) + place * (end.to(dtype) - start.to(dtype))
            x = x.requires_grad_()
            h = reference.channels_last(x)
            for block, geometry in zip(weights.blocks, grid.blocks, strict=True):
                h = reference.block(h, block, geometry)
            logits = h[:, :, 0, 0] @ weights.head_weight.T
            total += share * torch.autograd.grad((logits * wanted).sum(), x)[0]
        totals.append(total)
    return torch.stack(totals)


@pytest.fixture(name="case", params=SHAPES.values(), ids=SHAPES.keys())
def fixture_case(request):
    model = random_model(**request.param)
    grid = model.config.grid(2**model.config.blocks)
    generator = torch.Generator().manual_seed(4)
    start, end = torch.rand(2, 3, 4, model.receptive_field, generator=generator)
    return model, grid, start, end, torch.randn(2, len(model.labels), generator=generator)


@pytest.mark.parametrize("strand", ["+", "-"])
def test_it_obeys_the_rule(case, strand):
    model, grid, start, end, dlogits = case
    weights = model.folded() if strand == "+" else model.folded().mirrored(grid)
    got = Path(weights, grid, start.shape[2]).gradients(start, end, dlogits, POINTS)
    ref, pt = (
        by_autograd(weights, grid, start, end, dlogits, dtype)
        for dtype in (torch.float64, torch.float32)
    )
    assert got.shape == ref.shape and ref.abs().max() > 1e-2
    assert_close(got, ref, pt)


def test_threads_and_company_change_nothing(case, monkeypatch):
    model, grid, start, end, dlogits = case
    path = Path(model.folded(), grid, start.shape[2])
    monkeypatch.setattr(module, "POINTS", 2)
    together = path.gradients(start, end, dlogits, POINTS)
    torch.set_num_threads(2)
    alone = path.gradients(start[1:2], end[1:2], dlogits[1:], POINTS)
    torch.set_num_threads(1)
    np.testing.assert_allclose(alone, together[1:, 1:2], rtol=1e-5, atol=1e-6)
    assert torch.equal(path.gradients(start, end, dlogits, POINTS), together)


def test_where_all_is_zero_there_is_no_gradient(case):
    model, grid, start, end, dlogits = case
    weights = model.folded()
    with torch.no_grad():
        for block in weights.blocks:
            for bias in (block.bias1, block.bias2, *(block.residual or ())[1:]):
                bias.fill_(-1e4)
    found = Path(weights, grid, start.shape[2]).gradients(start, end, dlogits, POINTS)
    reaches_on = weights.blocks[0].residual is None  # an identity lets the sequence through
    assert found.any() == reaches_on


def test_a_path_has_one_score():
    model = random_model()
    with pytest.raises(TcnfastError, match="give more than one score"):
        Path(model.folded(), model.config.grid(4), model.receptive_field + 8)
    with pytest.raises(TcnfastError, match="under the receptive field"):
        Path(model.folded(), model.config.grid(4), model.receptive_field - 1)
