"""The plan of the default model's shape against plain PyTorch: `pytest benchmarks/bench_plan.py`.

Like with like: every side gives the same scores of the same 65,536 bases every 32 bp, one strand,
from codes in memory. What pruning gains is the step from "dense" to "pruned" of one layout and
precision; what the layout gains is the step from "Conv1d" to "channels-last".
"""

import pytest
import torch
import torch.nn.functional as F
from record import record

from tcnfast.model import TCN, TCNConfig
from tcnfast.plan import Plan
from tcnfast.scanner import SEGMENT_BASES

STRIDE = 32


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    labels = [f"label{i}" for i in range(112)]
    return TCN(TCNConfig(labels=labels, first_kernel=19)).eval()


@pytest.fixture(scope="module")
def codes(model):
    length = SEGMENT_BASES + model.receptive_field - STRIDE
    return torch.randint(0, 4, (length,), dtype=torch.uint8)


def conv1d_stack(model, stride):
    """The folded stack as a user of PyTorch writes it: Conv1d on (1, C, L), fp32."""
    weights, grid = model.folded(), model.config.grid(stride)

    def run(codes):
        x = F.pad(torch.eye(4), (0, 0, 0, 1))[codes.int()].T.unsqueeze(0)
        for block, geometry in zip(weights.blocks, grid.blocks, strict=True):
            d, s = geometry.dilation, geometry.stride
            h = F.conv1d(x, block.weight1, block.bias1, dilation=d).relu_()
            h = F.conv1d(h, block.weight2, block.bias2, stride=s, dilation=d).relu_()
            start = block.tap // geometry.grid_in
            shortcut = x[..., start::s][..., : h.shape[-1]]
            if block.residual is not None:
                shortcut = F.conv1d(shortcut, block.residual[0].unsqueeze(-1), block.residual[1])
            x = (h + shortcut).relu_()
        x = x[..., :: STRIDE // stride] if stride < STRIDE else x
        return F.linear(x[0].T, weights.head_weight, weights.head_bias)

    return run


SIDES = [
    "dense Conv1d fp32",
    "dense channels-last fp32",
    "dense channels-last bf16",
    "pruned Conv1d fp32",
    "pruned channels-last fp32",
    "pruned channels-last bf16",
]
medians = {}


def make_side(name, model):
    pruning, layout, precision = name.split()
    stride = STRIDE if pruning == "pruned" else 1
    if layout == "Conv1d":
        return conv1d_stack(model, stride)
    plan = Plan(model, device="cpu", precision=precision, stride=stride)
    return lambda codes: plan(codes)[:: STRIDE // stride]


@pytest.mark.parametrize("name", SIDES)
def test_plan(benchmark, model, codes, name):
    run = make_side(name, model)
    with torch.inference_mode():
        want = Plan(model, device="cpu", precision="fp64", stride=STRIDE)(codes)
        got = benchmark.pedantic(run, (codes,), rounds=5, warmup_rounds=1)
        tolerance = 0.05 if name.endswith("bf16") else 1e-4
        assert torch.allclose(got.double(), want.double(), atol=tolerance * want.abs().max().item())
    medians[name] = benchmark.stats.stats.median
    if name == SIDES[-1]:
        record("plan", f"{SEGMENT_BASES} bp, s={STRIDE}, C=64, RF 1037", medians, SIDES[0])


SEGMENTS = [2**k for k in range(12, 19)]
per_base = {}


@pytest.mark.parametrize("bases", SEGMENTS)
def test_segment_length(benchmark, model, bases):
    """What SEGMENT_BASES was tuned on: seconds for 2^20 bases, by segments of this many."""
    plan = Plan(model, device="cpu", stride=STRIDE)
    codes = torch.randint(0, 4, (bases + model.receptive_field - STRIDE,), dtype=torch.uint8)
    benchmark.pedantic(plan, (codes,), rounds=7, warmup_rounds=2)
    per_base[f"{bases} bp"] = benchmark.stats.stats.median * 2**20 / bases
    if bases == SEGMENTS[-1]:
        case = f"2^20 bp in segments, s={STRIDE}, {plan.precision}"
        record("plan", case, per_base, f"{SEGMENTS[0]} bp")
