"""What the scanner's SEGMENT_BASES was tuned on: `pytest benchmarks/bench_plan.py`. The plan
against others is in bench_cpu.py."""

import pytest
import torch
from record import record

from tcnfast.engines.plan import Plan
from tcnfast.model.tcn import TCN, TCNConfig

STRIDE = 32
SEGMENTS = [2**k for k in range(12, 19)]
per_base = {}


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    labels = [f"label{i}" for i in range(112)]
    return TCN(TCNConfig(labels=labels, first_kernel=19)).eval()


@pytest.mark.parametrize("bases", SEGMENTS)
def test_segment_length(benchmark, model, bases):
    """Seconds for 2^20 bases, by segments of this many."""
    plan = Plan(model, device="cpu", stride=STRIDE)
    codes = torch.randint(0, 4, (bases + model.receptive_field - STRIDE,), dtype=torch.uint8)
    benchmark.pedantic(plan, (codes,), rounds=7, warmup_rounds=2)
    per_base[f"{bases} bp"] = benchmark.stats.stats.median * 2**20 / bases
    if bases == SEGMENTS[-1]:
        case = f"2^20 bp in segments, s={STRIDE}, {plan.backend} {plan.precision}"
        record("plan", case, per_base, f"{SEGMENTS[0]} bp")
