"""Symmetric stacks in halved form: half of the products, the numbers of the reference.

The budget of rounding is that of the halved form in plain PyTorch: its sums of inputs are rounded.
"""

import random
from dataclasses import replace

import pytest
import torch
from numerics import assert_close
from support.engine import ENGINES, Shape, every_engine, expected, needs_engine, random_codes, score
from support.engine import symmetric_weights as weights_of
from support.substitution import some_windows, whole
from truth import in_halved_form

from tcnfast.engines import cpu_engine
from tcnfast.engines.cpu_engine import ISA_VARIABLE, ChangedWindows

pytestmark = needs_engine


def random_shape(rng, channels, kernel_size):
    """A centred stack that takes little time."""
    while True:
        shape = Shape(
            channels=channels,
            kernel_size=kernel_size,
            first_kernel=rng.choice([n for n in range(1, 20) if (n - kernel_size) % 2 == 0]),
            blocks=rng.randint(2, 5),
            labels=rng.randint(1, 20),
            stride=2 ** rng.randint(0, 6),
            batch=rng.randint(1, 3),
            steps=rng.randint(10, 120),
        )
        shape = shape._replace(rest=rng.randrange(shape.stride))
        windows = shape.batch * shape.steps
        work = windows * shape.grid.receptive_field * shape.kernel_size * shape.channels**2
        # logits are made of so many numbers: of few PyTorch gets some right, which is no budget
        if windows * min(shape.labels, channels // 2) >= 100 and work < 1e8:
            return shape


# one pair, odd numbers of pairs, one more than a vector holds, panels of every kind
CHANNELS = [2, 4, 6, 10, 14, 16, 18, 30, 32, 34, 48, 64, 66, 70, 96, 130]
SWEEP = [
    random_shape(random.Random(i), channels, 1 + i % 7) for i, channels in enumerate(2 * CHANNELS)
]


def name(shape):
    return f"C{shape.channels} k{shape.kernel_size} b{shape.blocks} s{shape.stride}"


@pytest.mark.parametrize("shape", SWEEP, ids=name)
@every_engine
def test_it_gives_the_numbers_of_the_reference(
    monkeypatch, nan_filled_memory, isa, precision, shape
):
    monkeypatch.setenv(ISA_VARIABLE, isa)
    weights, codes, want, _ = expected(shape, precision, make=weights_of)
    pt = in_halved_form(weights, shape.grid, codes, precision)
    assert_close(score(weights, shape.grid, codes, precision), want, pt)


def test_the_sweep_has_every_number_of_taps():
    assert {shape.kernel_size for shape in SWEEP} == set(range(1, 8))
    assert {shape.stride for shape in SWEEP} >= {1, 2, 4, 8, 16, 32}


STACKS = [
    Shape(channels=10, kernel_size=4, first_kernel=10, blocks=4, stride=1),
    Shape(channels=48, kernel_size=3, first_kernel=15, blocks=5, stride=8),
]
every_stack = pytest.mark.parametrize("shape", STACKS, ids=["dense", "pruned"])


@every_stack
@every_engine
def test_bits_do_not_depend_on_chunk_threads_batch_and_cuts(monkeypatch, isa, precision, shape):
    monkeypatch.setenv(ISA_VARIABLE, isa)
    grid, weights = shape.grid, weights_of(shape)
    field, stride = grid.receptive_field, shape.stride
    codes = random_codes(3, 10 * field + 77)

    def run(codes, chunk=0):
        return cpu_engine.prepare(weights, grid, precision, chunk=chunk)(codes)

    want = run(codes, chunk=10**6)
    assert want.isfinite().all() and want.std() > 1e-2
    for chunk in (1, 2, 7, 64, 1000):
        assert torch.equal(run(codes, chunk), want), f"chunk {chunk}"
    for n in (2, 3, 1):
        torch.set_num_threads(n)
        assert torch.equal(run(codes, chunk=100), want), f"{n} threads"
    assert torch.equal(torch.cat([run(part) for part in codes.split(2)]), want)
    for steps in (1, 7, 100):
        starts = range(0, want.shape[1], steps)[:20]
        cuts = [slice(j * stride, (j + steps - 1) * stride + field) for j in starts]
        parts = torch.cat([run(codes[:, cut]) for cut in cuts], 1)
        assert torch.equal(parts, want[:, : parts.shape[1]]), f"cut every {steps} scores"


# the rule bites: one number of a pair of mirrored ones is wrong, which the engine refuses, or both

SMALL = Shape(channels=18, first_kernel=15, stride=4, steps=40)


def planted(part, both, by=1.0):
    """The weights with the first number of a tensor moved, and its mirror image where ``both``."""
    weights = weights_of(SMALL)
    tensor = part(weights)
    flat = tensor.view(-1)
    flat[0] += by
    if both:
        mirrored = tensor.shape[-1] - 1 if tensor.shape[0] == SMALL.labels else -1
        flat[mirrored] += by
    return weights


PARTS = {
    "block 0: weight1": lambda weights: weights.blocks[0].weight1,
    "code_residual": lambda weights: weights.blocks[0].residual[0],
    "block 1: weight1": lambda weights: weights.blocks[1].weight1,
    "block 2: weight2": lambda weights: weights.blocks[2].weight2,
    "block 3: bias2": lambda weights: weights.blocks[3].bias2,
    "head_weight": lambda weights: weights.head_weight,
}


@pytest.mark.parametrize("part", PARTS)
@every_engine
def test_a_planted_error_is_found(monkeypatch, isa, precision, part):
    monkeypatch.setenv(ISA_VARIABLE, isa)
    _, codes, want, pt = expected(SMALL, precision, make=weights_of)
    out = score(planted(PARTS[part], both=True), SMALL.grid, codes, precision)
    with pytest.raises(AssertionError, match="times the allowed"):
        assert_close(out, want, pt)


@pytest.mark.parametrize("part", PARTS)
def test_weights_that_are_not_their_mirror_image_are_refused(part):
    weights = planted(PARTS[part], both=False, by=1e-6)
    with pytest.raises(ValueError, match=f"^{part}: of a symmetric stack, must equal its flip"):
        cpu_engine.prepare(weights, SMALL.grid, "fp32")


def test_an_odd_number_of_channels_is_refused():
    weights = replace(expected(SMALL._replace(channels=5), "fp32")[0], symmetric=True)
    with pytest.raises(ValueError, match="channels: of a symmetric stack, must be even"):
        cpu_engine.prepare(weights, SMALL.grid, "fp32")


@pytest.mark.parametrize("value", [float("nan"), float("inf")], ids=str)
@every_engine
def test_a_broken_weight_is_seen_in_the_logits(monkeypatch, isa, precision, value):
    monkeypatch.setenv(ISA_VARIABLE, isa)
    weights = planted(PARTS["block 2: weight2"], both=True, by=value)
    codes = random_codes(SMALL.batch, SMALL.length)
    out = score(weights, SMALL.grid, codes, precision)
    direct = score(replace(weights, symmetric=False), SMALL.grid, codes, precision)
    assert not direct.isfinite().all()
    assert torch.equal(out.isfinite(), direct.isfinite())


def test_windows_that_change_take_symmetric_weights(monkeypatch):
    """They are walked in the direct form, whose bits they have."""
    monkeypatch.setenv(ISA_VARIABLE, ENGINES[0][0])
    shape = Shape(34, 3, 9, 3, 5, 8)
    weights, grid = weights_of(shape), shape.grid
    windows = some_windows(grid.receptive_field, 30)
    before, after = cpu_engine.Substitutions(weights, grid).pairs(ChangedWindows(*windows))
    direct = replace(weights, symmetric=False)
    assert torch.equal(before, whole(direct, grid, *windows[:2]))
    assert torch.equal(after, whole(direct, grid, *windows))
