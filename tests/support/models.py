"""Small random models."""

from dataclasses import replace

import pytest
import torch

from support.engine import random_codes
from tcnfast.engines import pairs
from tcnfast.model.paired import set_parameter
from tcnfast.model.tcn import TCN, TCNConfig


def random_model(labels=("CTCF@K562", "MAX@K562", "REST"), **config):
    config = {"channels": 5, "blocks": 4, **config}
    model = TCN(TCNConfig(labels=list(labels), **config)).eval()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.Conv1d) and config.get("norm") != "weight":
                # smoothers, as a network starts, grow without bound under made-up statistics
                weight = torch.empty_like(module.weight)
                torch.nn.init.kaiming_normal_(weight, nonlinearity="relu")
                set_parameter(module, "weight", weight)
            if isinstance(module, torch.nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(std=0.3)
                module.running_mean.normal_(std=0.3)
                module.running_var.uniform_(0.5, 2.0)
        for name, parameter in model.named_parameters():
            if name.endswith(("bias", "bias.original")):
                parameter.normal_(std=0.3)
        set_parameter(model.head, "weight", torch.empty_like(model.head.weight).normal_(std=0.5))
    return model


@torch.no_grad()
def untied(model):
    """A plain network of a symmetric one's whole weights."""
    plain = TCN(replace(model.config, symmetric=False)).eval()
    state = {}
    for name, module in model.named_modules():
        if isinstance(module, (torch.nn.Conv1d, torch.nn.Linear)):
            state[f"{name}.weight"] = module.weight
            if module.bias is not None:
                state[f"{name}.bias"] = module.bias
        if isinstance(module, torch.nn.BatchNorm2d):
            for key, tensor in module.state_dict().items():
                state[f"{name}.{key}"] = pairs.whole(tensor) if tensor.ndim else tensor
    plain.load_state_dict(state)
    plain.thresholds = model.thresholds
    return plain


@pytest.fixture
def make_model():
    """make_model(**config): a small random TCN in evaluation mode, no parameter left trivial."""
    return random_model


def model_and_codes(norm="batch", **config):
    config = dict(labels=["a", "b"], channels=5, blocks=3, dropout=0.0, norm=norm) | config
    model = TCN(TCNConfig(**config)).train()
    return model, random_codes(4, model.receptive_field + 20)


def gradients(model):
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return found
