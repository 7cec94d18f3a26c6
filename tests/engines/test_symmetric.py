"""Stacks of pairs of channels: both strands give the same, whatever runs them."""

import pytest
import torch
from numerics import assert_close
from support.engine import Shape, every_engine, random_codes, score, symmetric_weights
from truth import reverse_complement, truth

from tcnfast.engines import halved, pairs, reference

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


# the halved form

every_kernel = pytest.mark.parametrize("taps", [1, 2, 3, 4, 5, 6, 7, 19])


def own_flip(*shape):
    return pairs.whole(torch.randn(*shape, dtype=torch.float64))


@every_kernel
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("dilation", [1, 4])
@pytest.mark.parametrize("half, inputs", [(3, 4), (5, 10), (16, 32), (1, 2)])
def test_a_halved_convolution_is_the_direct_one(taps, stride, dilation, half, inputs):
    weight, bias = own_flip(half, inputs, taps), own_flip(half)
    x = torch.randn(2, inputs, 1, (taps - 1) * dilation + 24, dtype=torch.float64)
    want = reference.conv(x, weight, bias, dilation, stride)
    got = halved.conv(x, weight, bias, dilation, stride)
    torch.testing.assert_close(got, want, rtol=0, atol=1e-12 * float(want.abs().max()))
    kernel = halved.halve(weight)
    assert [m.shape for m in kernel] == [(half, taps, inputs // 2)] * 2
    assert 2 * sum(m.numel() for m in kernel) == weight.numel()


@every_kernel
def test_both_strands_are_the_same_to_the_last_bit(taps):
    weight = own_flip(4, 6, taps).float()
    x = torch.randn(2, 6, 1, taps + 20)
    plus, minus = (halved.tap_sums(rows, taps) for rows in (x, x.flip(1, 3)))
    assert torch.equal(minus[0].flip(3), plus[0])
    assert torch.equal(minus[1].flip(3), -plus[1])
    direct = reference.conv(x, weight), reference.conv(x.flip(1, 3), weight).flip(1, 3)
    torch.testing.assert_close(*direct)


def test_a_lopsided_kernel_is_not_the_same_halved():
    weight = own_flip(3, 6, 3)
    x = torch.randn(1, 6, 1, 30, dtype=torch.float64)
    for place in [(5, 0, 1), (4, 5, 0), (3, 2, 2)]:  # of the half that is not read
        lopsided = weight.clone()
        lopsided[place] += 1
        differ = halved.conv(x, lopsided) - reference.conv(x, lopsided)
        assert differ.abs().max() > 0.1


@pytest.mark.parametrize("shape", SHAPES)
def test_a_halved_stack_is_the_direct_one(shape):
    weights = symmetric_weights(shape).to("cpu", torch.float64)
    codes = random_codes(2, shape.length)
    want = reference.stack(codes, weights, shape.grid)
    got = halved.stack(codes, weights, shape.grid)
    torch.testing.assert_close(got, want, rtol=0, atol=1e-12 * float(want.abs().max()))


@pytest.mark.parametrize("shape", SHAPES)
def test_a_halved_stack_in_fp32_is_as_right_as_the_direct_one(shape):
    weights, codes = symmetric_weights(shape), random_codes(6, shape.length)
    want = reference.stack(codes, weights.to("cpu", torch.float64), shape.grid)
    direct = reference.stack(codes, weights, shape.grid)
    assert_close(halved.stack(codes, weights, shape.grid), want, direct)


@every_kernel
def test_rows_of_bf16_are_rounded_once_and_so_are_matrices(taps):
    weight = own_flip(8, 16, taps).bfloat16()
    x = torch.randn(2, 16, 1, taps + 20).bfloat16()
    sums, differences = halved.tap_sums(x, taps)
    exact = halved.tap_sums(x.double(), taps)
    assert torch.equal(sums, exact[0].bfloat16()) and torch.equal(differences, exact[1].bfloat16())
    want = reference.conv(x.double(), weight.double())
    kernel = halved.halve(weight.double())
    size = sum(
        torch.einsum("oki,nkip->nop", m.abs(), rows.abs())
        for m, rows in zip(kernel, exact, strict=True)
    )
    size = torch.cat((size, size.flip(1)), 1).unsqueeze(2)
    error = (halved.conv(x, weight).double() - want).abs()
    unit = 2.0**-8  # half a unit in the last place of bf16
    assert (error <= 2 * unit * size + unit * want.abs()).all()


def test_gradients_are_those_of_the_direct_form():
    free = torch.randn(3, 6, 3, dtype=torch.float64, requires_grad=True)
    x = torch.randn(2, 6, 1, 20, dtype=torch.float64, requires_grad=True)
    found = []
    for conv in (reference.conv, halved.conv):
        y = conv(x, pairs.whole(free), None, 2, 2)
        found.append(torch.autograd.grad(y.sin().sum(), (x, free)))
    torch.testing.assert_close(*found, rtol=1e-11, atol=1e-12)
