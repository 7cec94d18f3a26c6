"""The kernels with products as a GPU's matrix units take them (support/interpreter.py): the budgets
that follow from those (numerics.py) are kept, and errors are still seen through them."""

import pytest
from support.block import compare
from support.block_cases import Case
from support.interpreter import mended
from support.stack import ROW_STEPS, TABLE, check_scores
from support.triton import DEVICE, GPU, few_draws, needs_triton

from tcnfast.engines import triton_engine

pytestmark = needs_triton

PRECISIONS = ["tf32", "fp32", "bf16", "fp16"]
BLOCKS = [
    Case(0, 4, 3, 15, 32, "weight", "centred", 2, 20),
    Case(1, 3, 4, 4, 2, "batch", "causal", 2, 41, 1, 0.3),
    Case(3, 5, 5, 5, 1, "batch", "centred", 1, 70),
    Case(4, 33, 3, 15, 32, "batch", "centred", 3, 30, 1),
]


@pytest.fixture(autouse=True)
def matrix_units(monkeypatch):
    monkeypatch.setenv("TCNFAST_BACKEND", "triton")
    monkeypatch.setattr(triton_engine, "row_steps", lambda *_: ROW_STEPS)
    with mended(matrix_units=True):
        yield


def some(cases, default):
    """Each case in every precision; without a GPU those of ``default`` (case, precision) alone are
    not slow."""
    for number, case in enumerate(cases):
        for precision in PRECISIONS:
            quick = GPU or (number, precision) in default
            yield pytest.param(case, precision, marks=() if quick else pytest.mark.slow)


@pytest.mark.parametrize(
    "case, precision", list(some(TABLE, [(0, "tf32"), (1, "fp32"), (8, "bf16")]))
)
def test_scores_keep_the_budget(make_codes, case, precision):
    check_scores(case, precision, "+", make_codes, DEVICE)


@pytest.mark.parametrize("case, precision", list(some(BLOCKS, [(0, "tf32"), (1, "fp32")])))
def test_blocks_keep_the_budget(case, precision):
    compare(case, precision, draws=few_draws(case))


def shift(scores):
    scores.copy_(scores.roll(1, 1))


def zero_one(scores):
    scores[0, 9, 1] = 0


def forget_a_label(scores):
    scores[..., 2] = scores[..., 1]


@pytest.mark.parametrize("precision", ["tf32", "fp32"])
@pytest.mark.parametrize("spoil", [shift, zero_one, forget_a_label])
def test_planted_errors_of_scores_are_found(make_codes, precision, spoil):
    with pytest.raises(AssertionError):
        check_scores(TABLE[0], precision, "+", make_codes, DEVICE, spoil)


def zero_a_row_of_y(run):
    run.outputs["y"][0, 11] = 0


def shift_dx(run):
    run.gradients["x"] = run.gradients["x"].roll(1, 1)


def forget_a_tap(run):
    run.gradients["conv2.weight"][:, :, -1] = 0


def exchange_inputs_and_outputs(run):
    weight = run.gradients["conv2.weight"]
    weight.copy_(weight.transpose(0, 1).clone())


@pytest.mark.parametrize("precision", ["tf32", "fp32"])
@pytest.mark.parametrize(
    "spoil", [zero_a_row_of_y, shift_dx, forget_a_tap, exchange_inputs_and_outputs]
)
def test_planted_errors_of_blocks_are_found(precision, spoil):
    with pytest.raises(AssertionError):
        case = Case(1, 3, 4, 4, 2, "batch", "causal", 2, 20)
        compare(case, precision, spoil, draws=few_draws(case))


@pytest.mark.parametrize("cut", ["inputs", "nothing"])
def test_tf32_is_not_fp32(make_codes, monkeypatch, cut):
    """The budget of fp32 sees products that are tf32."""
    inputs = {"fp32": "tf32" if cut == "inputs" else "tf32x3"}
    monkeypatch.setattr(triton_engine, "INPUTS", inputs)
    if cut == "nothing":
        check_scores(TABLE[0], "fp32", "+", make_codes, DEVICE)
        return
    with pytest.raises(AssertionError):
        check_scores(TABLE[0], "fp32", "+", make_codes, DEVICE)
