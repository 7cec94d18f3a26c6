"""A model from its folder: one network or an ensemble."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ..base.errors import TcnfastError
from .ensemble import Ensemble
from .model_folder import CONFIG, LABELS, WEIGHTS, ModelFolder
from .tcn import TCN
from .tcn_config import TCNConfig


def load_model(name: str | Path | ModelFolder) -> TCN | Ensemble:
    """The model of a folder, or a bundled one by name, in evaluation mode.

    Args:
        name: a model folder, the name of a bundled model, or a ModelFolder.

    Returns:
        TCN | Ensemble: on the CPU, in fp32, with what the folder knows of thresholds and calls.

    Raises:
        TcnfastError: where there is no such model; of a broken folder it says which file is at
            fault,
            and why.
    """
    folder = name if isinstance(name, ModelFolder) else ModelFolder(name)
    path, config, labels = folder.path / CONFIG, folder.config, folder.labels
    state, thresholds, calls = folder.state(), folder.thresholds, folder.calls
    shapes = config.get("members", ())
    if isinstance(shapes, list) and len(shapes) > len(state):  # a stranger may list any number
        words = f"{len(shapes):,} networks, {WEIGHTS} holds {len(state):,} tensors"
        raise TcnfastError(f"{path}: lists {words}")
    try:
        # without memory: a stranger's shapes may ask for more than there is
        with torch.device("meta"):
            expected = _build(config, labels).state_dict()
    except TypeError as error:
        raise TcnfastError(f"{path}: {str(error).split('() ')[-1]}") from None
    except TcnfastError as error:
        raise TcnfastError(f"{path}: {error}") from None
    for key in dict.fromkeys([*expected, *state]):  # in the model's order: one folder, one message
        if key not in state:
            problem = f"tensor {key} is missing"
        elif key not in expected:
            problem = f"tensor {key} belongs to another model"
        elif state[key].shape != expected[key].shape:
            problem = f"tensor {key} is {tuple(state[key].shape)}, not {tuple(expected[key].shape)}"
        else:
            continue
        raise TcnfastError(f"{folder.path / WEIGHTS}: {problem} (by {CONFIG} and {LABELS})")
    model = _build(config, labels)
    model.load_state_dict(state)
    model.thresholds, model.calls, model.home = thresholds, calls, folder.home
    return model.eval()


def _build(config: dict[str, Any], labels: list[str]) -> TCN | Ensemble:
    """A model of config.json: a network's shape, or ``{"members": [shape, ...]}``."""
    if "arch" in config:
        raise TcnfastError(
            f"a network {config['arch']} of tcnfast windows train, and no TCN; what takes it is "
            "tcnfast windows evaluate and, if it is wavelet, windows attribute"
        )
    if "members" not in config:
        return TCN(TCNConfig(labels=labels, **config))
    shapes = config["members"]
    whole = isinstance(shapes, list) and all(isinstance(shape, dict) for shape in shapes)
    if not whole or not shapes or len(config) > 1:
        raise TcnfastError('"members" must be a list of configurations, with nothing beside it')
    return Ensemble([TCN(TCNConfig(labels=labels, **shape)) for shape in shapes])
