"""The comparison of support/block.py sees what it is there for: errors planted in the engine's
results, in both precisions, are found."""

import pytest
from support.block import compare, run_engine
from support.block_cases import Case
from support.engine import ENGINES, needs_engine
from support.random_blocks import random_block, random_gradient, random_input, random_masks, seams

from tcnfast.engines import cpu_engine

pytestmark = needs_engine

PRECISIONS = sorted({precision for _, precision in ENGINES})
ON_ROWS = Case(1, 17, 3, 3, 4, "batch", "centred", 2, 700, 1, 0.0, 16.0)  # stride 2
ON_CODES = Case(0, 5, 3, 15, 1, "weight", "centred", 2, 1100, 0, 0.3, 16.0)


@pytest.fixture
def on_best(monkeypatch):
    def on_best(precision):
        isa = next(isa for isa, has in ENGINES if has == precision)
        monkeypatch.setenv(cpu_engine.ISA_VARIABLE, isa)

    return on_best


def last_seam(length):
    return seams(length)[-1]


def zero_a_row_of_y(run):
    run.outputs["y"][0, last_seam(run.outputs["y"].shape[1])] = 0


def zero_a_row_of_dx(run):
    dx = run.gradients["x"]
    dx[1, last_seam(dx.shape[1])] = 0


def shift_dx(run):
    run.gradients["x"] = run.gradients["x"].roll(1, 1)


def swap_phases_of_dx(run):
    dx = run.gradients["x"]
    n = dx.shape[1] // 2 * 2
    dx[:, :n] = dx[:, :n].unflatten(1, (-1, 2)).flip(2).flatten(1, 2).clone()


def forget_a_tap(run):
    run.gradients["conv2.weight"][:, :, -1] = 0


def forget_the_first_tap(run):
    run.gradients["conv1.weight"][:, :, 0] = 0


def exchange_inputs_and_outputs(run):
    weight = run.gradients["conv2.weight"]
    weight.copy_(weight.transpose(0, 1).clone())


def reverse_the_taps(run):
    run.gradients["conv2.weight"].copy_(run.gradients["conv2.weight"].flip(2))


def forget_a_gain(run):
    run.gradients["norm1.weight"][1] = 0


def keep_one_relu_too_many(run):
    kept = run.arguments[1]
    kept[0, 2, 0, 7] = ~kept[0, 2, 0, 7]


PLANTED = [
    zero_a_row_of_y,
    zero_a_row_of_dx,
    shift_dx,
    swap_phases_of_dx,
    forget_a_tap,
    forget_the_first_tap,
    exchange_inputs_and_outputs,
    reverse_the_taps,
    forget_a_gain,
    keep_one_relu_too_many,
]


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("spoil", PLANTED, ids=lambda f: f.__name__)
def test_planted_errors_are_found(on_best, spoil, precision):
    on_best(precision)
    compare(ON_ROWS, precision)
    with pytest.raises(AssertionError):
        compare(ON_ROWS, precision, spoil)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("case", [ON_ROWS, ON_CODES], ids=["rows", "codes"])
def test_a_row_at_a_seam_left_out_of_a_sum_is_found(on_best, case, precision):
    """The row's share of every gradient of a parameter, taken from that one gradient alone."""
    on_best(precision)
    block, x = random_block(case), random_input(case, precision)
    dy = random_gradient(case, precision)
    dy[0, last_seam(case.length2)] = 0
    without = run_engine(case, block, x, dy, random_masks(case), precision).gradients
    for parameter in without:
        if parameter == "x":
            continue

        def spoil(run, parameter=parameter):
            run.gradients[parameter] = without[parameter]

        with pytest.raises(AssertionError, match=parameter):
            compare(case, precision, spoil)
