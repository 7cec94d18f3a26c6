"""What a run ran on: versions, device, hashes, for first lines and for run.json."""

from __future__ import annotations

import hashlib
import json
import platform
from dataclasses import fields, is_dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from .finite import check_finite
from .talk import count
from .version import __version__


def version() -> str:
    return __version__


def versions() -> dict[str, str]:
    """Versions of Python, this package and what its numbers depend on."""
    names = ("torch", "numpy", "numba", "pyBigWig")
    own = {"python": platform.python_version(), "tcnfast": __version__}
    return own | {name: metadata.version(name) for name in names}


def device_words(device: torch.device) -> str:
    """The device as a person would name it."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    if device.type == "cpu":
        return f"cpu ({cpu_name()}, {count(torch.get_num_threads(), 'thread')})"
    return str(device)


def cpu_name() -> str:
    """Model name of the processor where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def unused_gpu(device: torch.device) -> str | None:
    """One line if this machine has a GPU that the run does not use."""
    if device.type != "cpu":
        return None
    if torch.cuda.is_available():
        return f"a GPU ({torch.cuda.get_device_name()}) is here and not used; --device cuda uses it"
    if Path("/proc/driver/nvidia/gpus").exists():
        return f"an NVIDIA GPU is here, but PyTorch {torch.__version__} was built without CUDA"
    return None


def _plain(value: Any) -> object:
    """An array or a dataclass as JSON has it, to the last digit of every number."""
    if is_dataclass(value):
        return [type(value).__name__, {x.name: getattr(value, x.name) for x in fields(value)}]
    return value.tolist()


def state_hash(model: torch.nn.Module) -> str:
    """SHA-256 of a model's configuration, thresholds, calls, genome and weights in memory. Raises
    TcnfastError where these are not finite."""
    check_finite(model.state_dict(), "the model", "it can score nothing")
    about = model.config, model.thresholds, model.calls, model.home
    digest = hashlib.sha256(json.dumps(about, default=_plain).encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode() + tensor.cpu().numpy().tobytes())
    return digest.hexdigest()
