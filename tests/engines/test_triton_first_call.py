"""The first call of a kernel, which on a GPU compiles it, gives the bits of later calls.

benchmarks/gpu_check.py runs this file by itself, with an empty cache of compiled kernels."""

import numpy as np
import pytest
import torch
from support.models import random_model
from support.stack import ROW_STEPS, TABLE, setting
from support.triton import DEVICE, GPU, PRECISIONS, needs_triton

from tcnfast.engines import triton_engine
from tcnfast.engines.hit_finder import HitFinder
from tcnfast.engines.plan import Plan
from tcnfast.model.tcn import TCN, TCNConfig

pytestmark = [needs_triton, pytest.mark.usefixtures("kernels")]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_first_scores_are_those_of_later_calls(make_codes, monkeypatch, precision):
    if not GPU:
        monkeypatch.setattr(triton_engine, "row_steps", lambda *_: ROW_STEPS)
    *shape, _, _ = TABLE[2 if GPU else 0]
    weights, grid = setting(*shape)
    codes = make_codes(1, grid.receptive_field + (2**16 if GPU else 9)).to(DEVICE)
    run = triton_engine.prepare(weights, grid, precision, DEVICE)
    first = run(codes)
    assert all(torch.equal(first, run(codes)) for _ in range(10 if GPU else 1))


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["bf16", "fp16", "fp32"])
def test_the_first_hits_are_those_of_later_calls(make_codes, precision):
    model = random_model([str(i) for i in range(112)])
    plan = Plan(model, str(DEVICE), precision, 4, "triton", "both")
    codes = make_codes(1, plan.receptive_field + 2**14).to(DEVICE)
    finder = HitFinder([plan], np.zeros(112, np.float32), np.array([3]))
    unknown = torch.zeros(1, 2**12 + 1, dtype=torch.bool, device=DEVICE)
    found = []
    for _ in range(5):
        counted = finder.score(codes, unknown)
        found.append([counted.tracks, *finder.write(counted, 0, 0, unknown.shape[1])])
    for later in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], later, strict=True))


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["bf16", "fp16", "fp32"])
def test_the_first_gradients_are_those_of_later_calls(make_codes, precision):
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)
    torch.manual_seed(0)
    model = TCN(TCNConfig(labels=["a", "b"], dropout=0.0)).train().to(DEVICE)
    codes = make_codes(4, model.receptive_field + 2**12).to(DEVICE)
    found = []
    for _ in range(5):
        model.zero_grad()
        with torch.autocast("cuda", dtype, enabled=dtype is not None):
            logits = model.dense(codes, 32)
        logits.float().square().mean().backward()
        found.append([p.grad.clone() for p in model.parameters()])
    for later in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], later, strict=True))
