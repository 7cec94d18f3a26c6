"""Backends in order of preference. One check, two voices: ``why_not`` feeds both the choice made
by "auto" and the error of a backend asked for by name."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ..base.errors import TcnfastError
from . import cpu_engine, reference, triton_engine
from .grid import StackGrid

DTYPES = triton_engine.DTYPES | {"fp64": torch.float64}
Run = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Spec:
    """What a plan asks of a backend."""

    device: torch.device
    precision: str
    grid: StackGrid


class Cpu:
    """The C++ engine, on the processor."""

    name = "cpu"
    devices = ("cpu",)
    # long, because threads come and go with every call and each reads a receptive field again
    segment_bases = 2**20

    @property
    def instructions(self) -> str:
        return cpu_engine.isa()

    def auto_precision(self, device: torch.device) -> str:
        return "fp32" if cpu_engine.why_not("bf16") else "bf16"

    def why_not(self, spec: Spec) -> str | None:
        if spec.device.type not in self.devices:
            return f"it runs on the processor, not on {spec.device}"
        return cpu_engine.why_not(spec.precision)

    def prepare(self, weights: reference.StackWeights, spec: Spec) -> Run:
        return cpu_engine.prepare(weights, spec.grid, spec.precision)


class Triton:
    """Fused Triton kernels, on an NVIDIA GPU; by name also in Triton's interpreter."""

    name = "triton"
    devices = ("cuda",)
    # rows of a tile are long, and there are many: 1 GB of rows at a block's end
    segment_bases = 2**23
    instructions = None  # Triton chooses

    def auto_precision(self, device: torch.device) -> str:
        return "fp16" if triton_engine.interpreted() or not _has_bf16(device) else "bf16"

    def why_not(self, spec: Spec) -> str | None:
        return triton_engine.why_not(spec.device, spec.precision, spec.grid)

    def prepare(self, weights: reference.StackWeights, spec: Spec) -> Run:
        return triton_engine.prepare(weights, spec.grid, spec.precision, spec.device)


class Reference:
    """Plain PyTorch on pruned grids, channels-last."""

    name = "reference"
    devices = ("cpu", "cuda", "mps")
    # shorter ones are slower, longer ones no faster beyond noise: benchmarks/results/plan.csv
    segment_bases = 2**16
    instructions = None  # PyTorch chooses

    def auto_precision(self, device: torch.device) -> str:
        return "bf16" if _has_bf16(device) else "fp32"

    def why_not(self, spec: Spec) -> str | None:
        if spec.precision == "tf32":
            return "tf32 is a precision of the Triton kernels"
        if spec.device.type == "mps" and spec.precision != "fp32":
            return f"on mps it runs in fp32, not {spec.precision}"
        return None

    def prepare(self, weights: reference.StackWeights, spec: Spec) -> Run:
        weights = weights.to(spec.device, DTYPES[spec.precision])
        return lambda codes: reference.stack(codes, weights, spec.grid)


BACKENDS = (Triton(), Cpu(), Reference())


class Choice(NamedTuple):
    """The backend that will run, for what, and why others for its device, better ones, will not."""

    backend: object
    spec: Spec
    passed_over: list[str]


def forced(name: str) -> bool:
    """Whether TCNFAST_BACKEND names the backend ``name``."""
    return os.environ.get("TCNFAST_BACKEND") == name


def choose(name: str, device: torch.device, precision: str, grid: StackGrid) -> Choice:
    """The backend called ``name``, or for "auto" the first that can run.

    TCNFAST_BACKEND stands in for "auto". Precision "auto" is what the backend runs best: bf16 where
    the device multiplies bf16 in hardware, else fp32. Raises TcnfastError with every reason.
    """
    if name == "auto":
        name = os.environ.get("TCNFAST_BACKEND", "auto")
    known = [backend.name for backend in BACKENDS]
    if name != "auto" and name not in known:
        raise TcnfastError(f"backend {name!r} is not in this build; it has: {', '.join(known)}")
    if precision != "auto" and precision not in DTYPES:
        raise TcnfastError(f"precision {precision!r}: must be auto, {', '.join(DTYPES)}")
    reasons = []
    for backend in BACKENDS:
        if name == backend.name or (name == "auto" and device.type in backend.devices):
            wanted = backend.auto_precision(device) if precision == "auto" else precision
            spec = Spec(device, wanted, grid)
            reason = backend.why_not(spec)
            if reason is None:
                return Choice(backend, spec, reasons)
            reasons.append(f"backend {backend.name} cannot run: {reason}")
    raise TcnfastError("; ".join(reasons))


def choose_device(device: str) -> torch.device:
    """ "auto" is the first GPU if there is one, else the CPU; a device by name must be there."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        found = torch.device(device)
    except RuntimeError:
        raise TcnfastError(f"device {device!r}: must be auto, cpu, cuda[:i] or mps") from None
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        raise TcnfastError(f"device {device}: {torch.cuda.device_count()} CUDA devices are here")
    if found.type == "mps" and not torch.backends.mps.is_available():
        raise TcnfastError("device mps: not available here")
    if found.type not in ("cpu", "cuda", "mps"):
        raise TcnfastError(f"device {device!r}: must be auto, cpu, cuda[:i] or mps")
    return found


def _has_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        capability = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
        return bool(capability.get("avx512_bf16") or capability.get("amx_bf16"))
    return False
