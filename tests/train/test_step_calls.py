"""How many of PyTorch's calls a training step on the Triton kernels makes: on a GPU each is a
launch, which takes longer than its work. The kernels do not run: here they would be interpreted."""

from collections import Counter
from types import SimpleNamespace

import pytest
import torch
from support.triton import DEVICE, GPU, needs_triton
from torch.utils._python_dispatch import TorchDispatchMode

from tcnfast.engines import triton_engine
from tcnfast.model.tcn import TCN, TCNConfig
from tcnfast.train import training
from tcnfast.train.ema import WeightAverage
from tcnfast.train.train_config import TrainConfig

pytestmark = needs_triton

NO_WORK = ("empty", "new_empty", "empty_like", "detach", "_unsafe_view")


class Calls(TorchDispatchMode):
    """Counts what PyTorch computes, by name; neither views nor memory that is only taken."""

    def __init__(self):
        super().__init__()
        self.counts = Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        packet = function.overloadpacket.__name__
        if function.namespace == "aten" and not function.is_view and packet not in NO_WORK:
            self.counts[packet] += 1
        return function(*args, **(kwargs or {}))


@pytest.fixture
def launched(monkeypatch):
    """Kernels by name, which do not run without a GPU."""
    seen = Counter()
    monkeypatch.setenv("TCNFAST_BACKEND", "triton")
    if not GPU:
        from triton.runtime.interpreter import InterpretedFunction

        def run(kernel, *args, **given):
            seen[kernel.fn.__name__] += 1

        monkeypatch.setattr(InterpretedFunction, "run", run)
        monkeypatch.setattr(triton_engine, "why_not_interpreted", lambda precision: None)
    return seen


def step(**config):
    """Takes one step of the default model, with everything that training does in it."""
    shape = dict(labels=["a", "b"], first_kernel=15, dropout=0.1) | config
    model, given = TCN(TCNConfig(**shape)).to(DEVICE), TrainConfig(stride=32)
    average = WeightAverage(model, 0.99)
    optimiser = training.make_optimiser(model, given, DEVICE)
    codes = torch.randint(4, (2, model.receptive_field + 64), dtype=torch.uint8)
    targets = torch.randint(2, (2, model.config.grid(32).n_scores(codes.shape[1]), 2))
    batch = codes.to(DEVICE), targets.to(torch.uint8).to(DEVICE), None
    probe = SimpleNamespace(precision="bf16", device=DEVICE)

    def once():
        training.take_step(model, optimiser, [batch], given, probe)
        average.update(model)

    once()  # an optimiser makes its state at its first step
    return once


def counted(once):
    with Calls() as calls:
        once()
    return calls.counts


@pytest.mark.parametrize("symmetric, most", [(False, 63), (True, 99)])
def test_a_step_makes_a_few_dozen_calls(launched, symmetric, most):
    """And none of them block by block."""
    found = counted(step(symmetric=symmetric, blocks=8))
    assert found.total() <= most, found.most_common()
    fewer = counted(step(symmetric=symmetric, blocks=6))
    assert found == fewer, found - fewer


def test_the_kernels_ran_through_the_counter(launched):
    if GPU:
        pytest.skip("launches are counted where they do not run")
    once = step(symmetric=False, blocks=8)
    launched.clear()
    once()
    assert launched["batch_statistics"] == launched["norm_gradients"] == 16
    assert launched["pack_whole"] == 8 and launched["sum_whole"] == 15
    assert launched.total() <= 120


def test_a_call_for_each_block_is_seen(launched, monkeypatch):
    """Masks drawn one by one."""
    from tcnfast.engines import training_pass

    monkeypatch.setattr(training_pass, "drawn_at_once", training_pass.drawn_one_by_one)
    found = counted(step(symmetric=False, blocks=8))
    assert found["bernoulli_"] == 16
