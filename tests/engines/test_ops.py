"""Residual blocks in training on the C++ engine against ``model.Block``: outputs, statistics and
every gradient, on every instruction set, element by element (see support/block.py)."""

import random

import pytest
import torch
from support.block import check, compare, run_engine, run_plain
from support.block_cases import LONG, SPAN, TABLE, Case, case_name
from support.engine import every_engine, needs_engine
from support.random_blocks import random_block, random_gradient, random_input, random_masks, seams

from tcnfast.engines import cpu_engine, reference

pytestmark = needs_engine


@pytest.fixture
def on(monkeypatch):
    return lambda isa: monkeypatch.setenv(cpu_engine.ISA_VARIABLE, isa)


@every_engine
@pytest.mark.parametrize("case", TABLE + LONG, ids=case_name)
def test_outputs_and_gradients_are_those_of_the_plain_block(
    on, nan_filled_memory, isa, precision, case
):
    on(isa)
    flipped = compare(case, precision)
    assert flipped <= (0 if precision == "fp32" else 0.01) * case.draws * 3 * case.channels * (
        case.sequences * case.length1
    )


def random_case(rng):
    k, channels = rng.randint(2, 7), rng.choice([3, 4, 5, 8, 16, 17, 33])
    return Case(
        index=rng.randint(0, 4),
        channels=channels,
        k=k,
        first=rng.randrange(k, 20, 2),
        stride=2 ** rng.randint(0, 6),
        norm=rng.choice(["batch", "weight"]),
        alignment=rng.choice(["centred", "causal"]),
        sequences=rng.choice([2, 3, 7]),
        outputs=rng.choice([20, 31, 64, 530 if channels < 6 else 40]),
        rest=rng.randint(0, 3),
        dropout=rng.choice([0, 0.3]),
        loud=rng.choice([1.0, 16.0]),
    )


@every_engine
@pytest.mark.parametrize("seed", range(7))
def test_random_blocks_are_those_of_the_plain_block(on, nan_filled_memory, isa, precision, seed):
    on(isa)
    compare(random_case(random.Random(seed)), precision)


def narrow(mean, rows, channels=16):
    """Rows (1, rows, C) around ``mean`` with a deviation of 1, and a block that passes them on."""
    case = Case(1, channels, 2, 2, 1, "batch", "centred", 1, rows - 4)
    block = random_block(case)
    with torch.no_grad():
        for conv in (block.conv1, block.conv2):
            conv.weight.copy_(torch.eye(channels)[:, :, None] * torch.tensor([1.0, 0.0]))
        block.norm1.weight.fill_(1.0)
        block.norm1.bias.fill_(8.0)  # no ReLU is near its edge
    return case, block, mean + torch.randn(1, rows, channels).clamp(-3, 3)


@pytest.mark.parametrize("mean", [0, 10, 100])
@pytest.mark.parametrize("rows", [60, 1000])
def test_variances_are_as_exact_as_those_of_pytorch(rows, mean):
    case, block, x = narrow(mean, rows)
    dy = random_gradient(case, "fp32")[:, : rows - 4]
    out = run_engine(case, block, x, dy, (None, None), "fp32").outputs
    ref, pt = (
        run_plain(case, block, x, dy, (None, None), dtype).outputs
        for dtype in (torch.float64, torch.float32)
    )
    for name in ("mean1", "var1"):
        check(name, out[name], ref[name], pt[name])


# what the table is made of


def test_the_table_has_every_value():
    cases = TABLE + LONG
    values = {field: {getattr(case, field) for case in cases} for field in Case._fields}
    assert values["channels"] >= {1, 3, 4, 5, 16, 17, 33, 64}
    assert values["k"] == {2, 3, 4, 5, 6, 7} and max(values["first"]) == 19
    assert values["stride"] == {1, 2, 4, 8, 16, 32, 64}
    assert values["sequences"] >= {1, 2, 7}
    assert {case.grid.dilation for case in cases} == {1, 2, 4, 8, 16}
    for codes in (True, False):
        some = [case for case in cases if (case.index == 0) == codes]
        assert {(case.norm, case.alignment) for case in some} == {
            (norm, alignment) for norm in ("batch", "weight") for alignment in ("centred", "causal")
        }
        assert {case.grid.stride for case in some} == {1, 2}
        assert any(case.dropout for case in some) and not all(case.dropout for case in some)
        unused = [case.rest % case.grid.stride > 0 for case in some]
        assert any(unused) and not all(unused)
        assert any(case.outputs == 1 and case.rest == 0 for case in some), "exactly one output"


@pytest.mark.parametrize("case", LONG, ids=case_name)
def test_long_cases_have_seams_in_both_convolutions(case):
    assert seams(case.length1) and seams(case.length2)
    assert max(case.length1, case.length2) > SPAN
    groups = case.sequences * (len(seams(case.length2)) + 1)
    assert groups <= 16 or case is LONG[-1]


def test_masks_drop_channels_and_codes_hold_n():
    for case in TABLE + LONG:
        if case.dropout and case.channels * case.sequences > 9:
            assert any((mask == 0).any() for mask in random_masks(case))
        if case.index == 0 and case.length * case.sequences > 60:
            assert random_input(case, "fp32").unique().tolist() == [0, 1, 2, 3, 4]


# the oracle itself


@pytest.mark.parametrize(
    "norm, index, stride", [("batch", 0, 2), ("weight", 0, 1), ("batch", 1, 4)]
)
def test_gradients_of_the_plain_block_are_its_slopes(norm, index, stride):
    case = Case(index, 3, 3, 5, stride, norm, "centred", 2, 4)
    block = random_block(case).double()
    block.norm1.momentum = block.norm2.momentum = 0.0  # gradcheck calls it many times
    names, values = zip(*block.named_parameters(), strict=True)
    x = random_input(case, "fp32")
    rows = (
        reference.one_hot(x, torch.float64)
        if index == 0
        else x.double().permute(0, 2, 1)[:, :, None]
    )

    def run(rows, *values):
        parameters = dict(zip(names, values, strict=True))
        return torch.func.functional_call(block, parameters, (rows, case.grid))

    # kept from zero, where a ReLU has no slope
    rows = (rows + 0.01).requires_grad_()
    assert torch.autograd.gradcheck(run, (rows, *values))
