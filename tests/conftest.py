"""What the tests share: seeds, a small random model, and random codes."""

import os
import random
import signal

import numpy as np
import pytest
import torch

if not torch.cuda.is_available():  # before anything imports Triton: it looks once
    os.environ["TRITON_INTERPRET"] = "1"

from tcnfast.model.tcn import TCN, TCNConfig

# a shell starts what runs in its background deaf to Ctrl-C, and children would be so too
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# tensors are tiny here: on busy cores two threads wait on each other a hundred times longer than
# one works
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def seeds():
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture
def make_model():
    """make_model(**config): a small random TCN in evaluation mode, no parameter left trivial."""
    return random_model


def random_model(labels=("CTCF@K562", "MAX@K562", "REST"), **config):
    config = {"channels": 5, "blocks": 4, **config}
    model = TCN(TCNConfig(labels=list(labels), **config)).eval()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.Conv1d) and config.get("norm") != "weight":
                # smoothers, as a network starts, grow without bound under made-up statistics
                torch.nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if isinstance(module, torch.nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(std=0.3)
                module.running_mean.normal_(std=0.3)
                module.running_var.uniform_(0.5, 2.0)
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(std=0.3)
        model.head.weight.normal_(std=0.5)
    return model


@pytest.fixture
def make_codes():
    """make_codes(*shape): random uint8 codes, one in twenty of them N."""
    rng = np.random.default_rng(1)

    def make(*shape):
        codes = rng.integers(0, 4, shape, np.uint8)
        codes[rng.random(shape) < 0.05] = 4
        return torch.from_numpy(codes)

    return make


@pytest.fixture
def nan_filled_memory():
    """Every torch.empty comes full of NaN, so that an output nobody wrote is seen."""
    torch.use_deterministic_algorithms(True)
    assert torch.empty(9).isnan().all()
    yield
    torch.use_deterministic_algorithms(False)
