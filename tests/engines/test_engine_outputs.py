"""What the C++ engine reads, writes, refuses and shares: memory, bad codes, threads, processes."""

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from support.engine import Shape, every_engine, needs_engine, random_codes, random_weights
from support.models import random_model

from tcnfast.base.errors import TcnfastError
from tcnfast.engines import cpu_engine
from tcnfast.engines.cpu_engine import ISA_VARIABLE
from tcnfast.engines.plan import Plan

pytestmark = needs_engine

SHAPE = Shape(channels=5, first_kernel=7, blocks=3, stride=4, labels=3)
RF = SHAPE.grid.receptive_field
GUARD, SENTINEL = 1000, -12345.0


@pytest.fixture
def packed():
    """packed(precision, shape, **options): a ``_C.Stack`` of random weights."""

    def pack(precision="fp32", shape=SHAPE, **options):
        return cpu_engine.pack(random_weights(shape), shape.grid, precision, **options)

    return pack


def score_in_place(stack, codes, labels, threads=1, stride=SHAPE.stride, rf=RF):
    """Logits between two guards of sentinels, and whether both guards are whole."""
    batch, length = codes.shape
    scores = (length - rf) // stride + 1
    memory = np.full(2 * GUARD + batch * scores * labels, SENTINEL, np.float32)
    try:
        address = memory[GUARD:].ctypes.data
        stack.score(codes.ctypes.data, batch, length, address, threads)
    finally:
        assert (memory[:GUARD] == SENTINEL).all() and (memory[-GUARD:] == SENTINEL).all()
    return memory[GUARD:-GUARD].reshape(batch, scores, labels)


@pytest.mark.parametrize("labels", [1, 3, 8, 15, 16, 17, 31, 33, 112])
@every_engine
def test_every_logit_is_written_and_nothing_beside_them(
    monkeypatch, packed, isa, precision, labels
):
    monkeypatch.setenv(ISA_VARIABLE, isa)
    shape = SHAPE._replace(labels=labels)
    stack = packed(precision, shape, chunk=50)
    for batch, length, threads in [(3, RF, 1), (1, RF + 1, 2), (2, 1001, 1), (2, 1001, 3)]:
        codes = random_codes(batch, length).numpy()
        before = codes.copy()
        logits = score_in_place(stack, codes, labels, threads)
        assert np.isfinite(logits).all() and not (logits == SENTINEL).any()
        assert (codes == before).all()


@pytest.mark.parametrize("code", [5, 77, 255])
@pytest.mark.parametrize("place", ["first", "last", "piece-of-another-thread"])
@every_engine
def test_a_code_over_4_raises(monkeypatch, isa, precision, place, code):
    monkeypatch.setenv(ISA_VARIABLE, isa)
    run = cpu_engine.prepare(random_weights(SHAPE), SHAPE.grid, precision, chunk=50)
    codes = random_codes(1, RF + 500 * SHAPE.stride)  # pieces for many threads; a last whole window
    want = run(codes)
    bad = codes.clone()
    bad[0, {"first": 0, "last": -1}.get(place, codes.shape[1] * 3 // 4)] = code
    torch.set_num_threads(1 if place != "piece-of-another-thread" else 2)
    with pytest.raises(TcnfastError, match="^plan input: codes: .* by more than 4 .*N 4") as info:
        run(bad)
    assert "\n" not in str(info.value)
    assert torch.equal(run(codes), want)


def test_a_bad_code_in_one_sequence_of_a_batch_raises_and_writes_nothing_outside(packed):
    codes = random_codes(7, 300).numpy()
    codes[6, 150] = 9
    with pytest.raises(ValueError, match="more than 4"):
        score_in_place(packed(), codes, SHAPE.labels, threads=3)


@pytest.mark.parametrize("threads", [1, 2, 8])
def test_an_empty_batch_has_no_logits(packed, threads):
    codes = np.zeros((0, RF + 400), np.uint8)
    assert score_in_place(packed(), codes, SHAPE.labels, threads).shape == (0, 101, 3)


def test_views_of_codes_give_the_scores_of_their_copies():
    run = cpu_engine.prepare(random_weights(SHAPE), SHAPE.grid, "fp32")
    codes = random_codes(4, 400)
    for view in (codes[:, ::2], codes[::2, 3:], codes[:, 1:300], codes[:1].expand(3, 400)):
        assert torch.equal(run(view), run(view.clone()))
    tall = random_codes(400, 4)
    assert torch.equal(run(tall.T), run(tall.T.contiguous()))


@pytest.mark.parametrize("length, threads", [(RF - 1, 1), (0, 1), (RF, 0), (RF, -1)])
def test_the_binding_refuses_what_it_cannot_score(packed, length, threads):
    codes = np.zeros((1, 400), np.uint8)
    logits = np.zeros(1000, np.float32)
    with pytest.raises(ValueError, match="under the receptive field, or no thread"):
        packed().score(codes.ctypes.data, 1, length, logits.ctypes.data, threads)
    assert not logits.any()


@pytest.mark.parametrize(
    "change",
    [
        dict(head_bias=np.zeros(4, np.float32)),
        dict(head_weight=np.zeros(5, np.float32)),
        dict(code_residual=np.zeros((4, 5), np.float32)),
        dict(blocks=[]),
        dict(isa="abacus"),
        dict(precision="fp8"),
    ],
    ids=lambda change: "".join(change),
)
def test_the_binding_refuses_a_stack_that_does_not_fit(monkeypatch, change):
    name = "Stack" if {"isa", "precision"} & change.keys() else "StackParams"
    real = getattr(cpu_engine._C, name)
    monkeypatch.setattr(cpu_engine._C, name, lambda **options: real(**{**options, **change}))
    with pytest.raises(ValueError):
        cpu_engine.pack(random_weights(SHAPE), SHAPE.grid, "fp32")


def test_two_threads_may_call_one_plan_at_once():
    plan = Plan(random_model(), device="cpu", backend="cpu", precision="fp32", stride=4)
    inputs = [random_codes(2, 2000, seed=seed) for seed in range(8)]
    want = [plan(codes) for codes in inputs]
    with ThreadPoolExecutor(4) as pool:
        got = list(pool.map(plan, inputs * 5))
    assert all(torch.equal(a, b) for a, b in zip(got, want * 5, strict=True))


def test_other_python_threads_run_during_a_call(packed):
    stack = packed(shape=SHAPE._replace(channels=32))
    codes = random_codes(1, 2_000_000).numpy()
    logits = np.empty((codes.shape[1] // SHAPE.stride, SHAPE.labels), np.float32)
    call = (codes.ctypes.data, *codes.shape, logits.ctypes.data, 1)
    ticks, done = [0], threading.Event()

    def tick():
        while not done.is_set():
            ticks[0] += 1
            time.sleep(0)

    ticker = threading.Thread(target=tick)
    interval = sys.getswitchinterval()
    try:
        # so long that nobody gets the interpreter unless it is given away
        sys.setswitchinterval(1000)
        ticker.start()
        before = ticks[0]
        stack.score(*call)
        after = ticks[0]
    finally:
        sys.setswitchinterval(interval)
        done.set()
        ticker.join()
    assert after > before


def test_a_forked_child_scores_too():
    script = """
import os, sys
import torch
sys.path.insert(0, sys.argv[1])
from support.engine import random_codes
from support.models import random_model
from tcnfast.engines.plan import Plan

torch.set_num_threads(2)
plan = Plan(random_model(), device="cpu", backend="cpu", precision="fp32", stride=4)
codes = random_codes(2, 1000)
want = plan(codes)
child = os.fork()
if child == 0:
    os._exit(0 if torch.equal(plan(codes), want) else 3)
assert os.waitpid(child, 0)[1] == 0
assert torch.equal(plan(codes), want)
"""
    folder = __file__.rpartition("/engines/")[0]
    done = subprocess.run(
        [sys.executable, "-c", script, folder], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr


def test_seconds_tell_where_the_time_went_and_start_again(packed):
    stack = packed()
    score_in_place(stack, random_codes(1, 10_000).numpy(), SHAPE.labels)
    spent = stack.seconds()
    assert set(spent) == {"lookup", "convolutions", "history", "head"}
    assert all(share > 0 for share in spent.values())
    assert not any(stack.seconds().values())
