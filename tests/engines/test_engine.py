"""The C++ engine gives the numbers of the reference, on every instruction set of this machine."""

import random
from dataclasses import replace

import pytest
import torch
from numerics import assert_close
from support.engine import Shape, every_engine, expected, needs_engine, random_codes, score
from support.models import random_model
from truth import in_precision, truth

from tcnfast.engines.cpu_engine import ISA_VARIABLE
from tcnfast.engines.plan import Plan

pytestmark = needs_engine

# every number of channels, kernel size, number of blocks, of labels and stride that is special
SHAPES = [
    Shape(1, 2, 2, 1, 2, 1, steps=40),
    Shape(3, 3, 31, 2, 15, 2, "causal", "-", rest=1),
    Shape(4, 3, 3, 3, 16, 4, "centred", "both", rest=3),
    Shape(4, 5, 5, 4, 17, 8, "causal", "-", steps=9, rest=2),
    Shape(5, 4, 10, 5, 1, 16, "centred", "+", steps=33, rest=7),
    Shape(16, 2, 4, 10, 112, 32, "causal", "both", batch=1, steps=3, rest=31),
    Shape(17, 6, 6, 6, 1000, 64, "causal", "+", batch=1, steps=2, rest=63),
    Shape(33, 7, 15, 4, 3, 128, "centred", "-", batch=5, steps=4, rest=9),  # beyond 2^blocks
    Shape(48, 3, 19, 7, 17, 256, "causal", "both", batch=3, steps=3),
    Shape(64, 3, 15, 8, 112, 32, "centred", "both", batch=1, steps=5, rest=20),
    Shape(100, 8, 8, 3, 15, 512, "centred", "+", batch=2, steps=4, rest=511),  # windows apart
    Shape(64, 9, 9, 5, 1, 1024, "causal", "-", batch=9, steps=5, rest=1),
    Shape(17, 9, 21, 2, 16, 16, "causal", "both", steps=7, rest=15),
    Shape(64, 3, 19, 8, 112, 256, "centred", "+", batch=3, steps=1),  # windows
    Shape(5, 3, 17, 6, 2, 4, "causal", "both", batch=40, steps=1),
    Shape(33, 2, 2, 9, 3, 1, "centred", "-", batch=1, steps=40),
]


def name(shape):
    fields = zip(shape._fields, shape, strict=True)
    return " ".join(x if isinstance(x, str) else f"{key[0]}{x}" for key, x in fields)


@pytest.mark.parametrize("norm", ["batch", "weight"])
@pytest.mark.parametrize("shape", SHAPES, ids=name)
@every_engine
def test_a_plan_gives_the_numbers_of_its_model(
    monkeypatch, nan_filled_memory, isa, precision, shape, norm
):
    monkeypatch.setenv(ISA_VARIABLE, isa)
    keys = ("channels", "kernel_size", "first_kernel", "blocks", "alignment")
    config = {key: getattr(shape, key) for key in keys}
    model = random_model([f"label {i}" for i in range(shape.labels)], norm=norm, **config)
    options = dict(precision=precision, stride=shape.stride, strand=shape.strand)
    plan = Plan(model, device="cpu", backend="cpu", **options)
    assert (plan.backend, plan.precision) == ("cpu", precision)
    codes = random_codes(shape.batch, shape.length)
    out = plan(codes)
    assert out.shape == (shape.batch, shape.steps, shape.labels) and out.dtype == torch.float32
    weights = model.folded()
    want = truth(weights, shape.grid, codes, shape.strand)
    assert want.std() > 1e-2
    assert_close(out, want, in_precision(weights, shape.grid, codes, shape.strand, precision))


def test_the_table_holds_every_special_value():
    seen = [set(column) for column in zip(*SHAPES, strict=True)]
    assert seen[0] >= {1, 3, 4, 5, 16, 17, 33, 48, 64, 100}
    assert seen[1] == set(range(2, 10)) and seen[3] == set(range(1, 11))
    assert seen[4] >= {1, 2, 15, 16, 17, 112, 1000}
    assert seen[5] == {2**i for i in range(11)}


def random_shape(rng):
    """Any shape of a stack, those that no TCNConfig allows among them, that takes little time."""
    while True:
        kernel_size = rng.randint(1, 9)
        shape = Shape(
            channels=rng.choice([rng.randint(1, 9), rng.randint(10, 70)]),
            kernel_size=kernel_size,
            # differs by an even number: the residual tap of the first block has a middle
            first_kernel=rng.choice([n for n in range(1, 32) if (n - kernel_size) % 2 == 0]),
            blocks=rng.randint(1, 8),
            labels=rng.choice([rng.randint(1, 9), rng.randint(10, 130)]),
            stride=2 ** rng.randint(0, 10),
            alignment=rng.choice(["centred", "causal"]),
            strand=rng.choice(["+", "-", "both"]),
            batch=rng.randint(1, 4),
            steps=rng.choice([1, rng.randint(2, 9), rng.randint(10, 60)]),
        )
        shape = shape._replace(rest=rng.randrange(shape.stride))
        windows = shape.batch * shape.steps
        work = windows * shape.grid.receptive_field * shape.kernel_size * shape.channels**2
        # of a few numbers PyTorch gets some exactly right, which leaves no fair budget
        if windows * shape.labels >= 64 and work < 2e8 and shape.length < 2e4:
            return shape


SWEEP = [random_shape(random.Random(seed)) for seed in range(60)]


@pytest.mark.parametrize("shape", SWEEP, ids=name)
@every_engine
def test_any_shape_gives_the_numbers_of_the_reference(
    monkeypatch, nan_filled_memory, isa, precision, shape
):
    monkeypatch.setenv(ISA_VARIABLE, isa)
    weights, codes, want, pt = expected(shape, precision)
    assert_close(score(weights, shape.grid, codes, precision, shape.strand), want, pt)


def test_the_sweep_reaches_what_a_config_cannot():
    assert {shape.kernel_size for shape in SWEEP} == set(range(1, 10))
    first = {shape.first_kernel for shape in SWEEP}
    assert min(first) <= 2 and max(first) >= 30
    assert any(shape.first_kernel < shape.kernel_size for shape in SWEEP)
    assert any(shape.stride >= shape.grid.receptive_field and shape.steps > 1 for shape in SWEEP)


# the rule bites: one wrong number among the weights, the geometry or the codes

SMALL = Shape(channels=17, first_kernel=15, stride=4, steps=40)


def other_tap(weights):
    block = weights.blocks[2]
    return replace(weights, blocks=(*weights.blocks[:2], replace(block, tap=0), weights.blocks[3]))


def other_number(part):
    """The first number of a tensor put up by one."""

    def change(weights):
        weights = weights.to("cpu", torch.float32)
        tensor = part(weights)
        tensor.view(-1)[0] += 1
        return weights

    return change


@pytest.mark.parametrize(
    "plant",
    [
        other_tap,
        other_number(lambda weights: weights.blocks[0].weight1),
        other_number(lambda weights: weights.blocks[0].residual[0]),
        other_number(lambda weights: weights.blocks[1].weight1),
        other_number(lambda weights: weights.blocks[3].bias2[1:]),
        other_number(lambda weights: weights.head_weight),
    ],
    ids=["tap", "first-kernel", "1x1", "kernel", "bias", "head"],
)
@every_engine
def test_a_planted_error_is_found(monkeypatch, isa, precision, plant):
    monkeypatch.setenv(ISA_VARIABLE, isa)
    weights, codes, want, pt = expected(SMALL, precision)
    assert_close(score(weights, SMALL.grid, codes, precision), want, pt)
    with pytest.raises(AssertionError, match="times the allowed"):
        assert_close(score(plant(weights), SMALL.grid, codes, precision), want, pt)


@pytest.mark.parametrize("value", [float("nan"), float("inf")], ids=str)
@every_engine
def test_a_broken_weight_is_seen_in_the_logits(monkeypatch, isa, precision, value):
    monkeypatch.setenv(ISA_VARIABLE, isa)
    weights, codes, _, _ = expected(SMALL, precision)
    weights = weights.to("cpu", torch.float32)
    weights.blocks[1].weight2[3, 2, 1] = value
    reference = in_precision(weights, SMALL.grid, codes, "+", "fp32")
    assert not reference.isfinite().all()
    out = score(weights, SMALL.grid, codes, precision)
    assert torch.equal(out.isfinite(), reference.isfinite())
