"""Scores of the Triton kernels against the float64 reference, element by element."""

import pytest
import torch
from support.models import random_model
from support.stack import ROW_STEPS, TABLE, check_scores, setting
from support.triton import DEVICE, GPU, PRECISIONS, needs_triton

from tcnfast.base.errors import TcnfastError
from tcnfast.engines import reference, triton_engine
from tcnfast.engines.grid import stack_grid
from tcnfast.engines.plan import Plan
from tcnfast.engines.triton_layout import Layout, PairLayout, columns
from tcnfast.engines.triton_wgmma import why_not_in_registers

pytestmark = [needs_triton, pytest.mark.usefixtures("kernels")]


def product():
    """Every case in every precision on both strands; without a GPU most of that is slow."""
    ways = [(precision, strand) for precision in PRECISIONS for strand in "+-"]
    for number, case in enumerate(TABLE):
        for way, (precision, strand) in enumerate(ways):
            often = GPU or way == number % len(ways)
            yield pytest.param(case, precision, strand, marks=() if often else pytest.mark.slow)


def words(value):
    return value if isinstance(value, str) else "-".join(map(str, value))


@pytest.mark.parametrize("case, precision, strand", list(product()), ids=words)
def test_scores_are_those_of_the_reference(
    nan_filled_memory, make_codes, monkeypatch, case, precision, strand
):
    monkeypatch.setattr(triton_engine, "row_steps", lambda *_: ROW_STEPS)
    check_scores(case, precision, strand, make_codes, DEVICE)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("case", TABLE, ids=words)
def test_blocks_whose_tiles_are_not_in_registers_are_right(
    nan_filled_memory, make_codes, monkeypatch, case, precision
):
    monkeypatch.setattr(triton_engine, "row_steps", lambda *_: ROW_STEPS)
    monkeypatch.setattr(triton_engine, "IN_REGISTERS", False)
    check_scores(case, precision, "+", make_codes, DEVICE)


@pytest.mark.parametrize(
    "precision",
    [pytest.param(p, marks=() if GPU or p == "fp32" else pytest.mark.slow) for p in PRECISIONS],
)
def test_scores_depend_on_their_window_alone(make_codes, monkeypatch, precision):
    """Not on how long rows are, nor on what else is scored with them: to the bit on a GPU. In the
    interpreter numpy multiplies, whose sums depend on where in a tile a row lies."""
    if not GPU:  # short rows, which the interpreter is through with sooner
        monkeypatch.setattr(triton_engine, "row_steps", lambda *_: 13)
    weights, grid = setting(16, 3, 4, 15, 4, "centred")
    run = triton_engine.prepare(weights, grid, precision, DEVICE)
    codes = make_codes(2, grid.receptive_field + 4 * 49).to(DEVICE)
    whole = run(codes)
    same = torch.equal if GPU else lambda a, b: torch.allclose(a, b, rtol=1e-3, atol=1e-5)
    assert same(run(codes[1:])[0], whole[1])
    part = codes[:, 4 * 27 :]
    assert same(run(part), whole[:, 27:])
    monkeypatch.setattr(triton_engine, "row_steps", lambda *_: 7)
    assert same(run(codes), whole)


def test_a_plan_runs_on_the_kernels_that_are_named(make_codes, monkeypatch):
    if not GPU:
        monkeypatch.setattr(triton_engine, "row_steps", lambda *_: 5)
    model = random_model(channels=8)
    codes = make_codes(model.receptive_field + 20)
    plan = Plan(model, device=DEVICE.type, precision="fp16", stride=4, strand="both")
    assert (plan.backend, plan.precision) == ("triton", "fp16")
    named = Plan(
        model, device=DEVICE.type, precision="fp16", stride=4, strand="both", backend="triton"
    )
    assert torch.equal(plan(codes), named(codes))
    truth = Plan(model, "cpu", "fp64", stride=4, strand="both", backend="reference")(codes)
    torch.testing.assert_close(plan(codes).cpu().double(), truth.double(), rtol=0.02, atol=0.02)


# what numpy says of infinities in the interpreter
not_finite = pytest.mark.filterwarnings("ignore:invalid value", "ignore:overflow")
NAN, INFINITY = float("nan"), float("inf")


@not_finite
@pytest.mark.parametrize(
    "number, where",
    [*((NAN, f"{part}{i}") for part in ("weight", "bias") for i in "12"), (INFINITY, "bias1")],
)
@pytest.mark.parametrize("index, channels", [(0, 16), (1, 16), (1, 64)])
def test_what_is_not_finite_reaches_the_logits(
    monkeypatch, make_codes, number, where, index, channels
):
    """As in PyTorch: a ReLU keeps NaN. 64 channels of kernel 7 are a kernel a convolution."""
    monkeypatch.setattr(triton_engine, "row_steps", lambda *_: 5)
    weights, grid = setting(channels, 7 if channels == 64 else 3, 2, 7, 2, "centred")
    getattr(weights.blocks[index], where)[3] = number
    codes = make_codes(1, grid.receptive_field + 4)
    out = triton_engine.prepare(weights, grid, "fp32", DEVICE)(codes.to(DEVICE)).cpu()
    ref = reference.stack(codes, weights.to("cpu", torch.float64), grid)
    assert not ref.isfinite().any() and not out.isfinite().any()


@not_finite
def test_numbers_that_fp16_cannot_hold_are_no_zeros(make_codes):
    weights, grid = setting(16, 3, 2, 3, 2, "centred")
    weights.blocks[0].bias2[:] = 1e5
    out = triton_engine.prepare(weights, grid, "fp16", DEVICE)(
        make_codes(1, grid.receptive_field).to(DEVICE)
    )
    assert not out.isfinite().any()


@pytest.mark.parametrize("backend", ["triton", "cpu", "reference"])
@pytest.mark.parametrize("code", [5, 9, 255])
def test_a_code_over_4_raises_in_every_backend(make_codes, backend, code):
    model = random_model(channels=8)
    codes = make_codes(2, model.receptive_field + 3)
    codes[1, 2] = code
    plan = Plan(
        model,
        device="cpu" if backend == "cpu" else DEVICE.type,
        precision="fp32",
        stride=4,
        backend=backend,
    )
    with pytest.raises(TcnfastError, match="^plan input: codes: .* by more than 4 .*N 4"):
        plan(codes)


def test_a_code_over_4_is_n_to_the_kernels(make_codes, monkeypatch):
    """Where nobody looked: on a GPU."""
    monkeypatch.setattr(triton_engine, "row_steps", lambda *_: 5)
    weights, grid = setting(16, 3, 2, 3, 2, "centred")
    run = triton_engine.prepare(weights, grid, "fp32", DEVICE)
    codes = make_codes(1, grid.receptive_field + 9)
    wrong = torch.where(codes == 4, torch.tensor(5, dtype=torch.uint8), codes)
    wrong[0, :3], codes[0, :3] = torch.tensor([7, 8, 255], dtype=torch.uint8), 4
    assert torch.equal(run(wrong.to(DEVICE)), run(codes.to(DEVICE)))


# what cannot run


def test_why_not_says_what_is_missing(monkeypatch):
    why_not, grid = triton_engine.why_not, stack_grid(3, 4, 4)
    assert why_not(DEVICE, "fp16", grid) is None
    assert "fp64" in why_not(DEVICE, "fp64", grid)
    assert "21 bases at most, not 27" in why_not(DEVICE, "fp16", stack_grid(3, 4, 4, 25))
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    assert "NVIDIA GPUs, not on cpu" in why_not(torch.device("cpu"), "fp16", grid)
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    assert "runs on cpu" in why_not(torch.device("cuda"), "fp16", grid)
    monkeypatch.setattr(triton_engine.importlib.util, "find_spec", lambda name: None)
    assert "not installed" in why_not(DEVICE, "fp16", grid)


@pytest.mark.parametrize(
    "channels, k, precision, chip, reason",
    [
        (64, 3, "bf16", triton_engine.Chip(132, 232_448, True), None),
        (64, 5, "bf16", triton_engine.Chip(132, 232_448, True), None),
        (64, 3, "bf16", triton_engine.Chip(84, 101_376, False), None),
        (128, 2, "bf16", triton_engine.Chip(84, 101_376, False), "shared memory"),
        (64, 3, "fp32", triton_engine.Chip(132, 232_448, True), "registers"),
        (32, 3, "fp32", triton_engine.Chip(132, 232_448, True), None),
        (128, 3, "bf16", triton_engine.Chip(132, 232_448, True), "registers"),
        (64, 7, "bf16", triton_engine.Chip(132, 232_448, True), "registers"),
    ],
)
def test_which_blocks_are_one_kernel(channels, k, precision, chip, reason):
    block = stack_grid(k, 4, 4).blocks[1]
    found = triton_engine.why_not_fused(block, Layout(channels), precision, chip)
    assert found is None if reason is None else reason in found


@pytest.mark.parametrize(
    "channels, k, precision, reason",
    [
        (64, 3, "bf16", None),
        (64, 2, "fp16", None),
        (33, 3, "bf16", None),
        (32, 6, "bf16", None),
        (64, 3, "tf32", "not tf32"),
        (64, 4, "bf16", "overflow the registers"),
        (128, 2, "bf16", "overflow the registers"),
    ],
)
def test_which_blocks_keep_their_tiles_in_registers(monkeypatch, channels, k, precision, reason):
    def found(wgmma):
        return why_not_in_registers(k, Layout(channels), precision, wgmma)

    assert (found(True) is None) if reason is None else (reason in found(True))
    assert "no wgmma" in found(False)
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    kinds = {True: triton_engine.BlockInRegisters, False: triton_engine.FusedBlock}
    chip, block = triton_engine.Chip(132, 232_448, True), stack_grid(k, 4, 4).blocks[1]
    if triton_engine.why_not_fused(block, Layout(channels), precision, chip) is None:
        kind = triton_engine.kind_of(block, Layout(channels), precision, chip)
        assert kind is kinds[reason is None]
        monkeypatch.setattr(triton_engine, "IN_REGISTERS", False)
        kind = triton_engine.kind_of(block, Layout(channels), precision, chip)
        assert kind is triton_engine.FusedBlock


@pytest.mark.parametrize("channels, k, most", [(64, 3, 3), (32, 3, 7), (64, 4, 3), (32, 8, 7)])
def test_which_pairs_of_channels_keep_their_tiles_in_registers(channels, k, most):
    reason = why_not_in_registers(k, PairLayout(channels), "bf16", True)
    assert (reason is None) == (k <= most)


@pytest.mark.parametrize("channels", [16, 32, 64, 128])
def test_a_thread_holds_channels_that_lie_together(channels):
    order = columns(channels)
    assert sorted(order) == list(range(channels))
    run = min(8, channels // 4)
    for q in range(4):  # of a row's four threads: columns 2 q, 2 q + 1 of every eight
        mine = [order[at] for at in range(channels) if at % 8 // 2 == q]
        for first in range(0, len(mine), run):
            together = mine[first : first + run]
            assert together == list(range(together[0], together[0] + run))
            assert together[0] % run == 0


@pytest.mark.parametrize(
    "channels, k, first, precision, fits",
    [
        (64, 3, 15, "bf16", True),
        (64, 3, 15, "fp32", True),
        (64, 7, 15, "fp32", False),
        (128, 3, 15, "bf16", True),
        (128, 5, 15, "bf16", False),
        (256, 3, 5, "bf16", False),
    ],
)
def test_which_first_blocks_are_one_kernel(channels, k, first, precision, fits):
    geometry, chip = stack_grid(k, 4, 4, first).blocks[0], triton_engine.Chip(132, 232_448, True)
    reason = triton_engine.why_not_first(geometry, Layout(channels), precision, chip)
    assert reason is None if fits else "shared memory are needed" in reason


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("case", [TABLE[1], TABLE[3]], ids=words)
def test_a_first_block_in_parts_gives_the_same(make_codes, monkeypatch, case, precision):
    """Code residual or not, both strides, a causal tap: shapes that would fit in one kernel."""
    monkeypatch.setattr(triton_engine, "row_steps", lambda *_: ROW_STEPS)
    monkeypatch.setattr(triton_engine, "why_not_first", lambda *_: "not today")
    check_scores(case, precision, "-", make_codes, DEVICE)


@pytest.mark.parametrize(
    "channels, precision, reason",
    [(256, "bf16", None), (512, "bf16", "576 KiB"), (128, "fp32", None), (256, "fp32", "512 KiB")],
)
def test_networks_wider_than_any_kernel_are_refused(monkeypatch, channels, precision, reason):
    monkeypatch.setattr(triton_engine, "why_not_here", lambda device, precision: None)
    chip = triton_engine.Chip(132, 232_448, True)
    monkeypatch.setattr(triton_engine.Chip, "of", lambda device: chip)
    said = triton_engine.why_not(DEVICE, precision, stack_grid(3, 4, 4), channels)
    assert said is None if reason is None else reason in said


def test_a_backend_named_runs_or_raises(monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.raises(TcnfastError, match="backend triton cannot run: .* NVIDIA GPUs, not on cpu"):
        Plan(random_model(), device="cpu", backend="triton")


@pytest.mark.parametrize("outputs", [1, 31, 1000, 10**7])
@pytest.mark.parametrize("dilation, sequences", [(1, 1), (128, 1), (1, 64), (128, 1000)])
def test_rows_are_long_enough_and_cover_all(outputs, dilation, sequences):
    chip = triton_engine.Chip(132, 232_448, True)
    tiling = triton_engine.Tiling.of(chip, stack_grid(3, 4, 4).blocks[1], Layout(64))
    steps = triton_engine.row_steps(outputs, dilation, sequences, chip, tiling)
    assert steps >= 32
    rows = -(-outputs // (dilation * steps)) * dilation
    assert rows * steps >= outputs > (rows - dilation) * steps
    assert rows * sequences <= 4 * 132 * 64 + 2 * dilation * sequences
