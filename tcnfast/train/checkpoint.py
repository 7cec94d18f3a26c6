"""All that a training depends on in one safetensors file, written whole or not at all."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes

from ..base.disk import named
from ..base.errors import TcnfastError
from ..data.training_tiles import Places
from ..model.metrics import LabelScores
from .epochs import Epoch
from .training import Training

log = logging.getLogger(__name__)

FORMAT = 1


def save(path: str | Path, training: Training) -> None:
    """Write the state of ``training`` between two epochs. A kill at any moment leaves this state or
    the one before."""
    tensors = {
        **_prefixed("model", training.model.state_dict()),
        **_prefixed("best", training.best_state),
        **_prefixed("random", _random_states(training.probe.device)),
    }
    if training.average is not None:
        tensors |= _prefixed("average", training.average.model.state_dict())
    if training.teachers is not None:
        names = "slope", "intercept"
        tensors |= _prefixed("teachers", dict(zip(names, training.teachers.scaling, strict=True)))
    for index, state in training.optimiser.state_dict()["state"].items():
        tensors |= _prefixed(f"optimiser.{index}", state)
    if training.sampler.hard_places is not None:
        hard = training.sampler.hard_places._asdict()
        tensors |= _prefixed("hard", {key: torch.from_numpy(x) for key, x in hard.items()})
    for index, epoch in enumerate(training.epochs):
        arrays = {k: v for k, v in vars(epoch.scores).items() if isinstance(v, np.ndarray)}
        tensors |= _prefixed(f"scores.{index}", {k: torch.from_numpy(v) for k, v in arrays.items()})
    record = {
        "format": FORMAT,
        "step": training.step,
        "epochs": [[epoch.step, epoch.loss, epoch.seconds] for epoch in training.epochs],
        "seconds": training.seconds,
        "average_steps": training.average.steps if training.average else None,
        "runs_on": training.runs_on(),
        "processes": training.ranks.count,
    }
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    _replace(Path(path), to_bytes(tensors, {"training": json.dumps(record)}))


class Saved(NamedTuple):
    """What a checkpoint holds."""

    path: str
    record: dict
    tensors: dict[str, torch.Tensor]


def load(path: str | Path, training: Training) -> None:
    """Bring ``training``, made from the same model, data and settings, to the state of the file.

    Raises TcnfastError for a file that is broken or of another training."""
    take_up(read(path), training)


def read(path: str | Path) -> Saved:
    """What is in the file. Raises TcnfastError for one that is broken."""
    with _refused(path), safe_open(path, "pt") as file:
        record = json.loads(file.metadata()["training"])
        if record["format"] != FORMAT:
            raise KeyError("format")
        names = file.keys()
        return Saved(str(path), record, {name: file.get_tensor(name) for name in names})


def take_up(saved: Saved, training: Training) -> None:
    """Bring ``training`` to the state of ``saved``. Raises TcnfastError for another training's."""
    record, tensors = saved.record, saved.tensors
    with _refused(saved.path):
        training.model.load_state_dict(_without("model", tensors))
        if training.average is not None:
            training.average.model.load_state_dict(_without("average", tensors))
            training.average.steps = record["average_steps"]
        if training.teachers is not None:
            taught = _without("teachers", tensors)
            training.teachers.scaling = taught["slope"], taught["intercept"]
        _load_optimiser(training.optimiser, _without("optimiser", tensors))
        hard = {key: tensor.numpy() for key, tensor in _without("hard", tensors).items()}
        training.sampler.set_hard(Places(**hard) if hard else None)
        epochs = [
            Epoch(*row, _scores(training.dataset.labels, _without(f"scores.{index}", tensors)))
            for index, row in enumerate(record["epochs"])
        ]
        best = _without("best", tensors)
        training.continue_at(record["step"], epochs, best, record["seconds"])
        _say_what_changed(record, training)
        _set_random_states(_without("random", tensors), training.probe.device)


def _say_what_changed(record: dict, training: Training) -> None:
    if tuple(record["runs_on"]) != training.runs_on():
        was, now = (" ".join(words) for words in (record["runs_on"], training.runs_on()))
        words = "the weights will differ from those of one run"
        log.warning("WARNING: training began on %s and goes on on %s: %s", was, now, words)
    was, now = record.get("processes", 1), training.ranks.count
    if was != now:
        words = "training began in %s and goes on in %s: the weights will differ by rounding"
        log.info(words, *(f"{n} process{'' if n == 1 else 'es'}" for n in (was, now)))


@contextmanager
def _refused(path: str | Path) -> Iterator[None]:
    """A file that is no checkpoint of this training is one line."""
    try:
        yield
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        words = " ".join(str(error).split())[:200]
        raise TcnfastError(
            f"{path}: no checkpoint of this training ({words}); begin anew with --force"
        ) from None


def _scores(labels: list[str], tensors: dict) -> LabelScores:
    return LabelScores(list(labels), **{name: x.numpy() for name, x in tensors.items()})


def _load_optimiser(optimiser: torch.optim.Optimizer, tensors: dict) -> None:
    state: dict[int, dict] = {}
    for name, tensor in tensors.items():
        index, key = name.split(".")
        state.setdefault(int(index), {})[key] = tensor
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": state, "param_groups": groups})


def _random_states(device: torch.device) -> dict[str, torch.Tensor]:
    """States of the generators that dropout draws from."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    elif device.type == "mps":
        states["mps"] = torch.mps.get_rng_state()
    return states


def _set_random_states(states: dict[str, torch.Tensor], device: torch.device) -> None:
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)
    elif device.type == "mps" and "mps" in states:
        torch.mps.set_rng_state(states["mps"])


def _prefixed(prefix: str, values: dict) -> dict:
    return {f"{prefix}.{name}": value for name, value in values.items()}


def _without(prefix: str, tensors: dict) -> dict:
    start = prefix + "."
    return {name[len(start) :]: x for name, x in tensors.items() if name.startswith(start)}


def _replace(path: Path, data: bytes) -> None:
    temporary = path.with_name(path.name + ".tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        words = named(error, path, len(data)).strerror
        raise TcnfastError(f"{path}: cannot be written ({words})") from None
