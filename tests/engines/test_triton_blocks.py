"""``ops.block`` and its gradients on the Triton kernels, against ``model.Block`` (see
support/block.py): on a GPU all that test_ops.py compares on the C++ engine, and in Triton's
interpreter, which is slow, a table in which everything occurs."""

import copy

import pytest
import torch
from support.block import compare
from support.block_cases import LONG, TABLE, case_name
from support.triton import (
    BLOCKS,
    DEVICE,
    GPU,
    PRECISIONS,
    drop_alike,
    few_draws,
    needs_triton,
)

from tcnfast.base.errors import TcnfastError
from tcnfast.engines import cpu_engine, ops, reference, training_pass
from tcnfast.engines.gradients import input_gradient
from tcnfast.model.tcn import TCN, TCNConfig

pytestmark = [needs_triton, pytest.mark.usefixtures("kernels")]

CASES = TABLE + LONG if GPU else BLOCKS
# the interpreter multiplies alike in both
CASES = [
    pytest.param(case, p, marks=() if GPU or p == "fp32" or case is BLOCKS[1] else pytest.mark.slow)
    for p in PRECISIONS
    for case in CASES
    if GPU or p == "fp32" or case in BLOCKS[1:5]
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
    assert {case.norm for case in BLOCKS} == {"batch", "weight"}
    assert {case.k for case in BLOCKS} >= {2, 3, 4, 5, 7}
    assert {case.grid.stride for case in BLOCKS} == {1, 2}
    assert {case.grid.dilation for case in BLOCKS} >= {1, 4, 8}
    assert {case.alignment for case in BLOCKS} == {"centred", "causal"}
    assert any(case.sequences * case.length2 > 64 for case in BLOCKS), "more than a tile"


def model_and_codes(**config):
    torch.manual_seed(0)
    config = dict(labels=["a", "b"], channels=5, blocks=3, first_kernel=5, dropout=0.2) | config
    model = TCN(TCNConfig(**config)).train().to(DEVICE)
    return model, torch.randint(5, (3, model.receptive_field + 20), dtype=torch.uint8).to(DEVICE)


def test_wider_first_kernels_raise_where_the_kernels_are_named():
    model, codes = model_and_codes(first_kernel=21)
    with pytest.raises(TcnfastError, match="20 taps at most, not 21"):
        training_pass.backend_of(model, codes)
    weights, grid = model.eval().folded(), model.config.grid(2)
    with pytest.raises(TcnfastError, match="20 taps at most, not 21"):
        input_gradient(weights, grid, codes, torch.zeros(3, grid.n_scores(codes.shape[1]), 2))


@pytest.mark.parametrize("norm", ["batch", "weight"])
def test_a_model_trains_on_the_kernels(monkeypatch, norm):
    model, codes = model_and_codes(norm=norm)
    assert training_pass.backend_of(model, codes) == "triton"
    plain = copy.deepcopy(model).unfused()
    masks, results = drop_alike(monkeypatch, plain), []
    for network in (model, plain):
        torch.manual_seed(1)
        logits = network.dense(codes, 4)
        logits.square().sum().backward()
        gradients = {n: p.grad for n, p in network.named_parameters()}
        results.append((logits, gradients, dict(network.named_buffers())))
    torch.testing.assert_close(*results, rtol=1e-3, atol=1e-4)
    assert len(masks) == 6 and not torch.equal(masks[0], masks[1])


@pytest.mark.parametrize("symmetric", [False, True])
def test_dropout_draws_for_all_blocks_at_once(symmetric):
    model, codes = model_and_codes(channels=32, dropout=0.25, symmetric=symmetric)
    masks = torch.stack(training_pass.drawn_at_once(model, 400, DEVICE))
    assert masks.shape == (6, 400, 32)
    assert masks.unique().tolist() == [0.0, pytest.approx(4 / 3)]
    drawn = masks[..., :16] if symmetric else masks
    assert torch.equal(masks, masks.flip(2)) == symmetric
    shares = [(drawn > 0).double().mean(axes) for axes in ((1, 2), (0, 2), (0, 1))]
    for share in shares:  # of each dropout, sequence and channel
        error = (0.25 * 0.75 / (drawn.numel() / len(share))) ** 0.5
        assert (share - 0.75).abs().max() < 5 * error
    model.blocks[1].drop2.p = 0.5  # not one probability: one by one
    torch.manual_seed(1)
    masks = training_pass.drawn_at_once(model, 3, DEVICE)
    torch.manual_seed(1)
    for mask, other in zip(masks, training_pass.drawn_one_by_one(model, 3, DEVICE), strict=True):
        assert torch.equal(mask, other)
    assert masks[3].unique().tolist() == [0.0, 2.0]


def test_the_operators_keep_their_promises():
    """Schema, fake tensors and tracing, on the kernels too."""
    model, codes = model_and_codes()
    block = model.blocks[0]
    given = [
        codes,
        block.conv1.weight,
        block.conv2.weight,
        block.norm1.weight,
        block.norm1.bias,
        block.norm2.weight,
        block.norm2.bias,
        None,
        None,
        cpu_engine.code_residual((block.residual.weight.squeeze(-1), block.residual.bias)),
        1,
        2,
        3,
        1e-5,
        "fp32",
    ]
    given = [x.detach().requires_grad_() if isinstance(x, torch.nn.Parameter) else x for x in given]
    given[9] = given[9].detach().to(DEVICE).requires_grad_()
    torch.library.opcheck(ops.operator, given, test_utils=("test_schema", "test_faketensor"))


@pytest.mark.parametrize("codes", [True, False], ids=["codes", "float"])
def test_input_gradients_are_those_of_autograd(codes):
    model, x = model_and_codes(dropout=0.0)
    weights, grid = model.eval().folded(), model.config.grid(2)
    one_hot = reference.one_hot(x, torch.float32).requires_grad_()
    h = one_hot
    for block, geometry in zip(weights.blocks, grid.blocks, strict=True):
        h = reference.block(h, block, geometry)
    dlogits = torch.randn(3, h.shape[-1], 2, device=DEVICE)
    features = h.squeeze(2).transpose(1, 2)
    (features @ weights.head_weight.T * dlogits).sum().backward()
    given = x if codes else one_hot.detach().squeeze(2)
    got = input_gradient(weights, grid, given, dlogits)
    torch.testing.assert_close(got, one_hot.grad.squeeze(2), rtol=1e-3, atol=1e-4)


def test_gradients_are_the_same_every_time():
    """To the bit: sums have a fixed order."""
    model, codes = model_and_codes(dropout=0.0, blocks=2)
    found = []
    for _ in range(2):
        model.zero_grad()
        model.dense(codes[:2], 2).square().sum().backward()
        found.append([p.grad.clone() for p in model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
