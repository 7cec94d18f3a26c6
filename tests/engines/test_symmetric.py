"""Stacks of pairs of channels: both strands give the same, whatever runs them."""

import pytest
import torch
from support.engine import Shape, every_engine, random_codes, score, symmetric_weights
from truth import reverse_complement, truth

from tcnfast.base.errors import TcnfastError
from tcnfast.engines import backend, ops, pairs

SHAPES = [
    Shape(6, 3, 5, 4, stride=1),
    Shape(10, 3, 19, 4, stride=4, rest=3),
    Shape(14, 2, 4, 5, stride=2),
    Shape(4, 5, 5, 3, stride=16, steps=3),
    Shape(32, 4, 6, 4, stride=8, rest=5),
]


@pytest.mark.parametrize("shape", SHAPES)
def test_both_strands_have_the_same_scores(shape):
    weights, codes = symmetric_weights(shape), random_codes(2, shape.length)
    plus, minus = (truth(weights, shape.grid, codes, strand) for strand in "+-")
    torch.testing.assert_close(minus, plus, rtol=0, atol=1e-12)
    planted = symmetric_weights(shape)
    planted.blocks[0].weight1[:, 1, 0] += 1e-3
    assert (truth(planted, shape.grid, codes, "-") - plus).abs().max() > 1e-8


@every_engine
@pytest.mark.parametrize("shape", SHAPES)
def test_an_engine_gives_both_strands_the_same(monkeypatch, isa, precision, shape):
    monkeypatch.setenv("TCNFAST_CPU_ISA", isa)
    weights, codes = symmetric_weights(shape), random_codes(2, shape.length)
    plus = score(weights, shape.grid, codes, precision)
    other = reverse_complement(codes)[
        :, (shape.length - shape.grid.receptive_field) % shape.stride :
    ]
    minus = score(weights, shape.grid, other, precision).flip(1)
    tolerance = 1e-5 if precision == "fp32" else 0.03
    scale = float(plus.abs().max())
    torch.testing.assert_close(minus, plus, rtol=0, atol=tolerance * scale)


def test_rows_in_pair_order():
    maps = torch.arange(6.0)
    rows = pairs.to_rows(maps, 8)
    assert rows.tolist() == [0, 1, 2, 0, 5, 4, 3, 0]
    assert torch.equal(pairs.from_rows(rows, 6), maps)
    maps = torch.randn(2, 6, 1, 5)
    assert torch.equal(pairs.to_channels(pairs.to_positions(maps)), maps)
    assert torch.equal(pairs.to_positions(maps)[0, 1, :, 2], maps[0, [1, 4], 0, 2])


def test_a_backend_without_symmetric_blocks_says_so():
    for name in {"cpu", "triton"} - set(backend.SYMMETRIC_BLOCKS):
        with pytest.raises(TcnfastError, match=f"{name} cannot run: it has no symmetric blocks"):
            ops.implementation(torch.device("cpu"), "fp32", backend=name, symmetric=True)
