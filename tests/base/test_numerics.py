"""The rule itself: it must see what a tolerance or a global score would let pass."""

import math

import pytest
import torch
from numerics import MatrixUnits, assert_close, flips, ulp

SEAM = 64


@pytest.fixture
def case():
    """A right result, its truth and PyTorch's own try: (2, 256, 3), errors of about 1e-6."""
    ref = torch.randn(2, 256, 3, dtype=torch.float64)
    ref[ref.abs() < 0.1] = 0.5
    pt = (ref + 1e-6 * torch.empty_like(ref).uniform_(-1, 1)).float()
    out = (ref + 1e-6 * torch.empty_like(ref).uniform_(-1, 1)).float()
    return out, ref, pt


def failure(out, ref, pt, **options):
    with pytest.raises(AssertionError) as info:
        assert_close(out, ref, pt, **options)
    return str(info.value)


def test_a_right_result_passes(case):
    assert_close(*case, seam=SEAM, axis=1)


def test_the_budget_is_twice_the_error_of_pytorch(case):
    out, ref, pt = case
    budget = 2 * (pt.double() - ref).abs().max() + 2 * ulp(ref.abs().max().item(), torch.float32)
    out = ref.clone()
    out[1, 100, 2] += 0.99 * budget
    assert_close(out, ref, pt)
    out[1, 100, 2] = ref[1, 100, 2] - 1.01 * budget
    assert "out[1, 100, 2]" in failure(out, ref, pt)


def test_a_faultless_pytorch_leaves_two_ulps(case):
    _, ref, _ = case
    ref = ref.float().double()
    out = ref.clone()
    step = ulp(ref.abs().max().item(), torch.float32)
    out[0, 0, 0] += 1.9 * step
    assert_close(out, ref, ref.float())
    out[0, 0, 0] += 0.2 * step
    assert "out[0, 0, 0]" in failure(out, ref, ref.float())


def zero(out):
    out[1, 128, 1] = 0


def flip_sign(out):
    out[1, 128, 1] *= -1


def swap_neighbours(out):
    out[1, 128, 1], out[1, 127, 1] = out[1, 127, 1].clone(), out[1, 128, 1].clone()


def shift_by_one(out):
    out[:] = out.roll(1, dims=1)


@pytest.mark.parametrize(
    "plant, distance",
    [(zero, 0), (flip_sign, 0), (swap_neighbours, 0), (shift_by_one, None)],
    ids=lambda x: getattr(x, "__name__", ""),
)
def test_planted_errors_are_found(case, plant, distance):
    out, ref, pt = case
    plant(out)
    message = failure(out, ref, pt, seam=SEAM, axis=1)
    if distance is not None:
        assert f"; {distance} positions from the nearest seam (every 64 of axis 1)" in message


def test_the_worst_coordinate_is_named_and_the_failures_are_counted(case):
    out, ref, pt = case
    out[0, 70, 2] += 1
    out[1, 30, 0] -= 5
    message = failure(out, ref, pt, seam=SEAM, axis=-2)
    assert message.startswith(f"out[1, 30, 0] = {out[1, 30, 0]:.9g}, reference")
    assert "at 2 of 1536 elements; 30 positions from the nearest seam" in message


@pytest.mark.parametrize(
    "position, distance", [(0, 0), (1, 1), (62, 1), (63, 0), (64, 0), (255, 0)]
)
def test_distance_to_a_seam_counts_the_positions_between(case, position, distance):
    out, ref, pt = case
    out[0, position, 0] = 99
    assert f"; {distance} positions from" in failure(out, ref, pt, seam=SEAM, axis=1)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf], ids=str)
def test_nan_and_infinity_must_be_where_the_reference_has_them(case, value):
    out, ref, pt = case
    sound = out.clone()
    out[1, 5, 0] = value
    assert "out[1, 5, 0]" in failure(out, ref, pt)
    ref[1, 5, 0] = pt[1, 5, 0] = value
    assert_close(out, ref, pt)
    assert "out[1, 5, 0]" in failure(sound, ref, pt)
    # one infinity for the other, or for NaN
    other = math.inf if value != math.inf else -math.inf
    out[1, 5, 0] = other
    assert "out[1, 5, 0]" in failure(out, ref, pt)


def test_other_elements_are_still_compared_beside_a_nan(case):
    out, ref, pt = case
    for tensor in case:
        tensor[0, 0, 0] = math.nan
    out[0, 9, 1] += 1
    assert "out[0, 9, 1]" in failure(out, ref, pt)


def test_a_pytorch_run_that_overflowed_gives_no_budget(case):
    out, ref, pt = case
    pt[0, 3, 0] = math.inf
    assert "pt[0, 3, 0]" in failure(out, ref, pt)


@pytest.mark.parametrize("shape", [(2, 255, 3), (1, 256, 3), (2, 256)], ids=str)
def test_shapes_must_match_without_broadcasting(case, shape):
    _, ref, pt = case
    assert f"out is {shape}, the reference (2, 256, 3)" in failure(torch.zeros(shape), ref, pt)


def test_the_reference_must_be_float64(case):
    out, ref, pt = case
    assert "not float64" in failure(out, ref.float(), pt)


def test_a_global_score_would_pass_a_zeroed_element():
    ref = torch.randn(2, 1024, 256, dtype=torch.float64)
    ref[1, 512, 7] = 0.5
    pt = ref.float()
    out = pt.clone()
    out[1, 512, 7] = 0
    assert (out - ref).pow(2).mean().sqrt() / ref.pow(2).mean().sqrt() < 1e-3
    assert "out[1, 512, 7] = 0," in failure(out, ref, pt)


def test_nothing_equals_nothing():
    empty = torch.empty(0, 3)
    assert_close(empty, empty.double(), empty)


@pytest.mark.parametrize(
    "value, dtype, spacing",
    [
        (1.0, torch.float32, 2.0**-23),
        (1.99, torch.float32, 2.0**-23),
        (0.99, torch.float32, 2.0**-24),
        (5.0, torch.bfloat16, 2.0**-5),
        (0.0, torch.float32, 2.0**-149),
    ],
)
def test_ulp(value, dtype, spacing):
    assert ulp(value, dtype) == spacing


# decisions of ReLUs


@pytest.fixture
def decisions(case):
    """What a ReLU keeps of the arguments of ``case``, one of which is all but zero."""
    _, ref, pt = case
    ref[0, 5, 1] = 1e-9
    return ref > 0, ref, pt


def test_decisions_like_those_of_the_truth_pass(decisions):
    assert flips(*decisions) == 0


def test_a_flip_at_an_argument_within_rounding_of_zero_is_counted(decisions):
    kept, ref, pt = decisions
    kept[0, 5, 1] = False
    assert flips(kept, ref, pt) == 1


@pytest.mark.parametrize("share, found", [(0.99, False), (1.01, True)])
def test_a_flip_is_allowed_where_the_rule_allows_the_argument_to_be_zero(decisions, share, found):
    kept, ref, pt = decisions
    allowed = 2 * (pt.double() - ref).abs().max() + 2 * ulp(ref.abs().max().item(), torch.float32)
    ref[1, 128, 2] = -share * allowed
    pt[1, 128, 2] = ref[1, 128, 2].float()
    kept[1, 128, 2] = True
    if not found:
        assert flips(kept, ref, pt) == 1
        return
    with pytest.raises(AssertionError, match=r"flipped at \[1, 128, 2\].* at 1 of 1536"):
        flips(kept, ref, pt)


@pytest.mark.parametrize("size", [0.5, -0.5])
def test_a_flip_elsewhere_is_found(decisions, size):
    kept, ref, pt = decisions
    ref[0, 64, 0] = pt[0, 64, 0] = size
    kept[0, 64, 0] = size < 0
    with pytest.raises(AssertionError, match=r"flipped at \[0, 64, 0\], argument -?0\.5"):
        flips(kept, ref, pt)


def test_a_flip_of_nan_is_found(decisions):
    kept, ref, pt = decisions
    ref[0, 9, 0] = pt[0, 9, 0] = math.nan
    kept[0, 9, 0] = True
    with pytest.raises(AssertionError, match=r"flipped at \[0, 9, 0\]"):
        flips(kept, ref, pt)


def test_decisions_must_be_those_of_the_arguments(decisions):
    kept, ref, pt = decisions
    with pytest.raises(AssertionError, match="decisions on"):
        flips(kept[:1], ref, pt)


def passes_of_a_convolution(k, dilation, stride):
    """A convolution and a product behind it, forward and backward."""
    generator = torch.Generator().manual_seed(0)

    def random(*shape):
        return torch.randn(shape, generator=generator).requires_grad_()

    x, weight, bias, matrix = random(2, 5, 1, 60), random(6, 5, 1, k), random(6), random(6, 3)
    y = torch.conv2d(x, weight, bias, dilation=(1, dilation), stride=(1, stride))
    y = y.squeeze(2).transpose(1, 2) @ matrix
    y.square().sum().backward()
    return [y.detach(), x.grad, weight.grad, bias.grad, matrix.grad]


@pytest.mark.parametrize("k, dilation, stride", [(3, 2, 1), (4, 1, 2), (1, 1, 1)])
@pytest.mark.parametrize("precision, least, most", [("fp32", 1e-8, 2e-6), ("tf32", 1e-4, 1e-2)])
def test_matrix_units_are_as_wrong_as_they_should_be(precision, least, most, k, dilation, stride):
    """tf32 loses 2^-10 of each input, three products of it 2^-22."""
    plain = passes_of_a_convolution(k, dilation, stride)
    with MatrixUnits(precision):
        found = passes_of_a_convolution(k, dilation, stride)
    errors = [
        ((a - b).abs().max() / b.abs().max()).item() for a, b in zip(found, plain, strict=True)
    ]
    assert max(errors) < most and max(errors) > least


def test_matrix_units_leave_the_truth_alone():
    a, b = torch.randn(9, 20, dtype=torch.float64), torch.randn(20, 5, dtype=torch.float64)
    want = a @ b
    with MatrixUnits("tf32"):
        assert torch.equal(a @ b, want)
