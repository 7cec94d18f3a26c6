"""``ops.block`` and its gradients in the halved form on the Triton kernels, against symmetric
``model.Block`` (see support/block.py)."""

import copy

import pytest
import torch
from support.block import compare, train_once
from support.block_cases import LONG, TABLE, Case, case_name
from support.interpreter import mended
from support.triton import (
    BLOCKS,
    DEVICE,
    GPU,
    PRECISIONS,
    SYMMETRIC_BLOCKS,
    drop_alike,
    few_draws,
    needs_triton,
)

from tcnfast.engines import ops, training_pass, triton_backward, triton_blocks, triton_forward
from tcnfast.model.tcn import TCN, TCNConfig

pytestmark = [needs_triton, pytest.mark.usefixtures("kernels")]


def paired(case):
    """The case of a network of as many channels, or one more."""
    even = case.channels + case.channels % 2
    if (
        case.first == 20
    ):  # two pairs of channels have too few numbers to tell PyTorch's error in bf16
        even = 16
    return case._replace(channels=even, alignment="centred", symmetric=True)


OFTEN = SYMMETRIC_BLOCKS
RARE = [
    *map(paired, BLOCKS),
    Case(1, 16, 5, 5, 4, "weight", "centred", 2, 20, 1, 0.3, symmetric=True),
    Case(1, 4, 7, 7, 4, "batch", "centred", 1, 30, symmetric=True),
]
FEW = OFTEN + RARE
# in which errors are planted: small, strided, of more channels than one
CASE = Case(1, 16, 3, 3, 4, "batch", "centred", 2, 12, 1, symmetric=True)
CASES = [*map(paired, TABLE + LONG)] if GPU else FEW
CASES = [
    pytest.param(case, p, marks=() if GPU or (p == "fp32" and case in OFTEN) else pytest.mark.slow)
    for p in PRECISIONS
    for case in CASES
]


def words(value):
    return value if isinstance(value, str) else case_name(value)


@pytest.mark.parametrize("case, precision", CASES, ids=words)
def test_outputs_and_gradients_are_those_of_the_plain_block(nan_filled_memory, case, precision):
    draws = few_draws(case)
    flipped = compare(case, precision, draws=draws)
    least = 0 if precision == "fp32" else 0.02
    assert flipped <= least * draws * 3 * case.channels * case.sequences * case.length1


def test_the_table_has_every_value():
    above = [case for case in FEW if case.index]
    assert {(case.k % 2, case.grid.stride) for case in above} == {(0, 1), (0, 2), (1, 1), (1, 2)}
    assert {case.k for case in above if case.grid.stride == 2} >= {3, 4, 5, 7}
    assert {case.norm for case in FEW} == {"batch", "weight"}
    assert {case.grid.dilation for case in FEW} >= {1, 4, 8}
    assert any(case.sequences * case.length2 > 64 for case in FEW), "more than a tile"


# the tester tested


@pytest.fixture(scope="module")
def sound():
    """The block in which errors are planted passes without them."""
    assert CASE.grid.stride == 2
    with pytest.MonkeyPatch.context() as patch, mended():
        patch.setenv("TCNFAST_BACKEND", "triton")
        patch.setattr(torch.backends.cudnn, "allow_tf32", False)
        compare(CASE, "fp32", draws=1)


def packed_wrong(monkeypatch, spoil):
    """``spoil(matrices)`` changes what the forward pass packed."""
    real = triton_forward.pack

    def spoilt(call, packed):
        found = real(call, packed)
        spoil(found)
        return found

    monkeypatch.setattr(triton_forward, "pack", spoilt)


def swapped(halved, axis=0):
    return halved.roll(halved.shape[axis] // 2, axis)


def halves_swapped(monkeypatch):
    """Of the matrices of every convolution."""

    def swap(found):
        for matrices in found:
            matrices.copy_(swapped(matrices))

    packed_wrong(monkeypatch, swap)


def weight_as_it_is(monkeypatch):
    """Not transposed, on the way back."""

    def forwards(found):
        found.back1.copy_(found.taps1)
        found.back2.copy_(found.taps2)

    packed_wrong(monkeypatch, forwards)


def one_phase_forgotten(monkeypatch):
    """Of the gradient of what a strided convolution read."""
    real = triton_backward.input_gradient_of_pairs

    def spoilt(call, back, weight, dx, stride, **more):
        real(call, back, weight, dx, stride, **more)
        if stride == 2:
            dx[:, 1::2] = 0

    monkeypatch.setattr(triton_backward, "input_gradient_of_pairs", spoilt)


def mirrored_taps_swapped(monkeypatch):
    """Of the gradient of a weight."""
    real = triton_backward.sum_parts
    monkeypatch.setattr(
        triton_backward,
        "sum_parts",
        lambda call, partial, gradient: real(call, swapped(partial, 1), gradient),
    )


def statistics_of_channels(monkeypatch):
    """Of the first of each pair, not of both."""
    real = triton_forward.find_norm

    def spoilt(call, norm, tiles, *rest):
        first, second = tiles.statistics.chunk(2, 2)
        second.copy_(first)
        real(call, norm, tiles, *rest)

    monkeypatch.setattr(triton_forward, "find_norm", spoilt)


@pytest.mark.parametrize(
    "plant",
    [
        halves_swapped,
        weight_as_it_is,
        one_phase_forgotten,
        mirrored_taps_swapped,
        statistics_of_channels,
    ],
)
def test_planted_errors_are_seen(monkeypatch, plant, sound):
    plant(monkeypatch)
    with pytest.raises(AssertionError):
        compare(CASE, "fp32", draws=1)


# whole networks


def model_and_codes(**config):
    torch.manual_seed(0)
    config = dict(channels=6, blocks=2, first_kernel=5, dropout=0.2, symmetric=True) | config
    model = TCN(TCNConfig(labels=["a", "b"], **config)).train().to(DEVICE)
    return model, torch.randint(5, (2, model.receptive_field + 20), dtype=torch.uint8).to(DEVICE)


def trained(network, codes):
    """Logits, gradients and running statistics of one step."""
    torch.manual_seed(1)
    logits = network.dense(codes, 4)
    logits.square().sum().backward()
    gradients = {name: p.grad for name, p in network.named_parameters()}
    return logits, gradients, dict(network.named_buffers())


@pytest.fixture
def halved(monkeypatch):
    """Whether each block that ran was in the halved form."""
    seen, real = [], triton_blocks.forward
    monkeypatch.setattr(
        triton_blocks,
        "forward",
        lambda call, outputs: seen.append(call.symmetric) or real(call, outputs),
    )
    return seen


@pytest.mark.parametrize("norm", ["batch", "weight"])
def test_a_model_trains_on_the_kernels(halved, monkeypatch, norm):
    model, codes = model_and_codes(norm=norm)
    assert training_pass.backend_of(model, codes) == "triton"
    plain = copy.deepcopy(model).unfused()
    drop_alike(monkeypatch, plain)
    torch.testing.assert_close(trained(model, codes), trained(plain, codes), rtol=1e-3, atol=1e-4)
    assert halved == [True] * 2


def test_gradients_are_the_same_every_time():
    """To the bit: sums have a fixed order."""
    model, codes = model_and_codes(dropout=0.0)
    found = []
    for _ in range(2):
        model.zero_grad()
        model.dense(codes[:1], 2).square().sum().backward()
        found.append([p.grad.clone() for p in model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_channels_of_a_pair_get_one_gradient():
    """To the bit: a sum of both would otherwise depend on which is added to which."""
    case = paired(BLOCKS[7])
    generator = torch.Generator().manual_seed(0)
    c = case.channels
    half = torch.randn(c // 2, c, 3, generator=generator) / 10
    weight = torch.cat((half, half.flip(0, 1, 2))).requires_grad_()
    x = torch.randn(2, 40, 64, generator=generator).relu().to(DEVICE)
    ones, zeros = torch.ones(c, requires_grad=True), torch.zeros(c, requires_grad=True)
    vectors = [v.detach().to(DEVICE).requires_grad_() for v in (ones, zeros, ones, zeros)]
    weights = [weight.detach().to(DEVICE).requires_grad_() for _ in range(2)]
    y, *_ = ops.block(x, *weights, *vectors, None, None, None, 1, 1, 2, 1e-5, "fp32", True)
    y.square().sum().backward()
    for tensor in (*weights, *vectors):
        assert tensor.grad.any() or tensor is vectors[1]
        assert torch.equal(tensor.grad, tensor.grad.flip(tuple(range(tensor.ndim))))


@pytest.mark.parametrize(
    "case, launched",
    [
        (OFTEN[1], {"input_gradient_of_pairs"}),
        (OFTEN[2], {"input_gradient_of_pairs", "_input_gradient"}),
    ],
)
def test_of_an_even_number_of_taps_a_strided_gradient_is_direct(monkeypatch, case, launched):
    """Mirrored taps meet inputs of different phases there."""
    seen = set()
    for name in ("input_gradient_of_pairs", "_input_gradient"):
        real = getattr(triton_backward, name)

        def watched(*args, name=name, real=real, **more):
            seen.add(name)
            real(*args, **more)

        monkeypatch.setattr(triton_backward, name, watched)
    assert case.grid.stride == 2
    train_once(case, "fp32")
    assert seen == launched
