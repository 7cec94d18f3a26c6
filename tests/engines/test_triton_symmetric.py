"""Symmetric networks on the Triton kernels: half of the products, and the same scores."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from support.models import random_model
from support.stack import ROW_STEPS, SYMMETRIC, check_scores, setting
from support.triton import DEVICE, GPU, PRECISIONS, needs_triton

from tcnfast.engines import triton_engine
from tcnfast.engines.grid import stack_grid
from tcnfast.engines.plan import Plan
from tcnfast.engines.triton_layout import PairLayout, halved, layout_of
from tcnfast.engines.triton_weights import sum_parts

pytestmark = [needs_triton, pytest.mark.usefixtures("kernels")]

FUSED = triton_engine.Chip(132, 232_448, True)


def product():
    """Every case in every precision; without a GPU most of that is slow."""
    for number, case in enumerate(SYMMETRIC):
        for way, precision in enumerate(PRECISIONS):
            often = GPU or way == number % len(PRECISIONS)
            yield pytest.param(case, precision, marks=() if often else pytest.mark.slow)


def words(value):
    return value if isinstance(value, str) else "-".join(map(str, value))


@pytest.fixture
def short_rows(monkeypatch):
    monkeypatch.setattr(triton_engine, "row_steps", lambda *_: ROW_STEPS)


def score(weights, grid, precision, codes):
    return triton_engine.prepare(weights, grid, precision, DEVICE)(codes.to(DEVICE))


@pytest.mark.parametrize("case, precision", list(product()), ids=words)
def test_scores_are_those_of_the_reference(
    nan_filled_memory, make_codes, short_rows, case, precision
):
    check_scores(case, precision, "+", make_codes, DEVICE, symmetric=True)


def test_the_table_has_blocks_of_one_kernel_and_of_two():
    found = set()
    for channels, k, blocks, first, stride, *_ in SYMMETRIC:
        for geometry in stack_grid(k, blocks, stride, first).blocks[1:]:
            reason = triton_engine.why_not_fused(geometry, PairLayout(channels), "fp16", FUSED)
            found.add((reason is None, geometry.stride, k % 2))
    assert found == {
        (fused, stride, odd) for fused in (True, False) for stride in (1, 2) for odd in (0, 1)
    }


@pytest.mark.parametrize("case", [SYMMETRIC[1], SYMMETRIC[6]], ids=words)
def test_the_direct_form_gives_the_same(make_codes, short_rows, case):
    """To rounding: the same weights, taken as those of any network."""
    *shape, sequences, scores = case
    weights, grid = setting(*shape, symmetric=True)
    codes = make_codes(sequences, grid.receptive_field + (scores - 1) * grid.stride)
    direct = score(replace(weights, symmetric=False), grid, "fp32", codes)
    torch.testing.assert_close(score(weights, grid, "fp32", codes), direct, rtol=1e-4, atol=1e-5)


def test_a_strand_scores_as_the_other(make_codes, short_rows):
    weights, grid = setting(6, 3, 3, 5, 2, "centred", symmetric=True)
    codes = make_codes(1, grid.receptive_field + 2 * 6)
    other = torch.where(codes == 4, codes, 3 - codes).flip(1)
    plus, minus = (score(weights, grid, "fp32", x) for x in (codes, other))
    torch.testing.assert_close(plus, minus.flip(1), rtol=1e-4, atol=1e-5)


def test_a_plan_of_a_symmetric_network_runs_once(make_codes, short_rows, monkeypatch):
    runs = []
    real = triton_engine.prepare
    monkeypatch.setattr(
        triton_engine, "prepare", lambda *args: runs.append(args[0].symmetric) or real(*args)
    )
    model = random_model(channels=8, symmetric=True)
    codes = make_codes(model.receptive_field + 20)
    plan = Plan(model, device=DEVICE.type, precision="fp32", stride=4, strand="both")
    assert (plan.backend, runs) == ("triton", [True])
    truth = Plan(model, "cpu", "fp64", stride=4, strand="both", backend="reference")(codes)
    torch.testing.assert_close(plan(codes).cpu().double(), truth.double(), rtol=1e-4, atol=1e-4)


# the tester tested: what a wrong kernel would do is seen


def wrong_sign(taps):
    """Of the difference of mirrored taps."""
    taps = taps.clone()
    taps[taps.shape[0] // 2 - 1] *= -1
    return taps


def halves_swapped(taps):
    return taps.roll(len(taps) // 2, 0)


def taps_reversed(taps):
    return torch.cat([part.flip(0) for part in taps.chunk(2)])


def middle_forgotten(taps):
    taps = taps.clone()
    taps[len(taps) // 2] = 0
    return taps


@pytest.mark.parametrize(
    "spoil", [wrong_sign, halves_swapped, taps_reversed, middle_forgotten, torch.zeros_like]
)
@pytest.mark.parametrize("k", [3, 7])
def test_planted_errors_are_seen(make_codes, short_rows, monkeypatch, spoil, k):
    case = (16 if k == 3 else 64, k, 2, 7, 2, "centred", 1, 5)
    if spoil is wrong_sign:  # once for all
        check_scores(case, "fp16", "+", make_codes, DEVICE, symmetric=True)
    real = PairLayout.taps
    monkeypatch.setattr(PairLayout, "taps", lambda self, weight: spoil(real(self, weight)))
    with pytest.raises(AssertionError, match="times the allowed"):
        check_scores(case, "fp16", "+", make_codes, DEVICE, symmetric=True)


# how weights are packed


@pytest.mark.parametrize("k", range(1, 8))
def test_half_of_the_products_make_a_convolution(k):
    """In float64, and from gradients of the packed weights follow those of the whole one."""
    channels, inputs, length = 10, 10, 9
    generator = torch.Generator().manual_seed(k)
    half = torch.randn(channels // 2, inputs, k, generator=generator, dtype=torch.float64)
    weight = torch.cat((half, half.flip(0, 1, 2))).requires_grad_()
    x = torch.randn(inputs, length + k - 1, generator=generator, dtype=torch.float64)
    want = torch.conv1d(x[None], weight)[0]
    u, v = x[: inputs // 2], x.flip(0)[: inputs // 2]
    s, d = ([z[:, t : t + length] for t in range(k)] for z in (u + v, u - v))
    taps = halved(weight.detach()).requires_grad_()
    assert taps.shape == (2 * k, inputs // 2, channels // 2)
    got = []
    for same, other, mine in ((s, d, taps[:k]), (d, s, taps[k:])):
        total = mine[0].T @ same[k // 2] if k % 2 else 0
        for t in range(k // 2):
            i = k % 2 + 2 * t
            total = total + mine[i].T @ (same[t] + same[k - 1 - t])
            total = total + mine[i + 1].T @ (other[k - 1 - t] - other[t])
        got.append(total)
    got = torch.cat((got[0] + got[1], (got[0] - got[1]).flip(0)))
    torch.testing.assert_close(got, want, rtol=0, atol=1e-12)
    dy = torch.randn(want.shape, generator=generator, dtype=torch.float64)
    (got * dy).sum().backward()
    (want * dy).sum().backward()
    mean = (weight.grad + weight.grad.flip(0, 1, 2)) / 2
    parts = torch.rand(3, 1, 1, 1, generator=generator, dtype=torch.float64)
    room = 0, 16 - channels // 2
    partial = F.pad(taps.grad * parts / parts.sum(), room * 2, value=torch.nan).float()
    got = torch.full((channels, inputs, k), torch.nan, device=DEVICE)
    call = SimpleNamespace(halved=True, channels=channels, halves=False)
    sum_parts(call, partial.to(DEVICE), got)
    torch.testing.assert_close(got.cpu().double(), mean, rtol=1e-5, atol=1e-5)
    assert torch.equal(got, got.flip(0, 1, 2))
    call.halves, half = True, torch.full_like(got[: channels // 2], torch.nan)
    sum_parts(call, partial.to(DEVICE), half)
    assert torch.equal(half, 2 * got[: channels // 2])


@pytest.mark.parametrize("channels, row", [(2, 32), (32, 32), (34, 64), (64, 64), (96, 128)])
def test_rows_of_pairs(channels, row):
    layout = layout_of(channels, symmetric=True)
    x = torch.arange(1.0, channels + 1)
    assert layout.pad(x).shape == (row,)
    here, partner = layout.pad(x).chunk(2)
    assert torch.equal(
        here[: channels // 2] + partner[: channels // 2],
        torch.full((channels // 2,), channels + 1.0),
    )
    assert torch.equal(layout.unpad(layout.pad(x)), x)


@pytest.mark.parametrize(
    "channels, k, precision, chip, reason",
    [
        (64, 3, "bf16", FUSED, None),
        (64, 3, "bf16", triton_engine.Chip(84, 101_376, False), None),
        (
            64,
            3,
            "bf16",
            triton_engine.Chip(84, 32 << 10, False),
            "36 KiB of shared memory are needed, 32 there",
        ),
        (32, 7, "bf16", FUSED, None),
        (64, 5, "bf16", FUSED, "64 channels, halved, in bf16 overflows the registers"),
        (96, 3, "bf16", FUSED, "128 channels, halved, in bf16 overflows the registers"),
        (32, 2, "fp32", FUSED, None),
        (32, 3, "fp32", FUSED, "registers"),
    ],
)
def test_which_blocks_are_one_kernel(channels, k, precision, chip, reason):
    block = stack_grid(k, 4, 4).blocks[1]
    found = triton_engine.why_not_fused(block, PairLayout(channels), precision, chip)
    assert found is None if reason is None else reason in found
