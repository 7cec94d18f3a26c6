"""Which implementation runs a task on a device in a precision, and why another does not.

Every task lists its implementations here, best first. An implementation has the name of its
backend: ``triton`` (Triton kernels, on an NVIDIA GPU; by name also in Triton's interpreter),
``cpu`` (compiled code for processors: C++, and numba where a task has no C++) or ``reference``
(plain PyTorch). A backend asked for by name, or by TCNFAST_BACKEND, runs the task or raises; "auto"
takes the first that can. ``why_not`` gives the reason to both.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch

from ..base.errors import TcnfastError
from . import cpu_engine, reference, triton_engine
from .grid import StackGrid

DTYPES = reference.DTYPES | {"fp64": torch.float64}
VARIABLE = "TCNFAST_BACKEND"
# on which devices "auto" takes a backend
ANY = ("any",)
DEVICES = {"triton": ("cuda",), "cpu": ("cpu",), "reference": ("cpu", "cuda", "mps")}


@dataclass(frozen=True)
class Spec:
    """What a task asks of a backend."""

    device: torch.device
    precision: str
    grids: tuple[StackGrid, ...] = ()  # of the stacks to run, where that matters
    channels: int = 1  # of the widest stack, where that matters
    first_kernel: int = 1  # taps of a single block that reads codes
    plain_only: str | None = None  # why this network can only run as plain PyTorch modules
    shared: bool = False  # several processes share each batch (ranks.py)


@dataclass(frozen=True)
class Implementation:
    """One way to run a task; ``devices``: where "auto" takes it, by default on the backend's own,
    ANY for all that PyTorch knows."""

    backend: str
    why_not: Callable[[Spec], str | None]
    devices: tuple[str, ...] | None = None

    def suits(self, device: torch.device) -> bool:
        devices = DEVICES[self.backend] if self.devices is None else self.devices
        return device.type in devices or devices == ANY


@dataclass(frozen=True)
class Task:
    """Something that runs, and its implementations, best first."""

    name: str
    implementations: tuple[Implementation, ...]


class Choice(NamedTuple):
    """The backend that will run, for what, and why better ones for its device will not."""

    backend: str
    spec: Spec
    passed_over: list[str]


def _on_processor(spec: Spec) -> str | None:
    return None if spec.device.type == "cpu" else f"it runs on the processor, not on {spec.device}"


def _nothing(spec: Spec) -> None:
    """Nothing speaks against it."""


def _only_fp32(spec: Spec) -> str | None:
    return None if spec.precision == "fp32" else f"it computes in fp32, not {spec.precision}"


def _engine(spec: Spec) -> str | None:
    return _on_processor(spec) or cpu_engine.why_not(spec.precision)


def _kernels(spec: Spec) -> str | None:
    here = triton_engine.why_not_here(spec.device, spec.precision)
    return here or triton_engine.why_not_wide(spec.device, spec.precision, spec.channels)


def _stack_kernels(spec: Spec) -> str | None:
    reasons = (triton_engine.why_not(spec.device, spec.precision, grid) for grid in spec.grids)
    return next(filter(None, reasons), None) or _kernels(spec)


def _block_kernels(spec: Spec) -> str | None:
    taps = max([spec.first_kernel, *(grid.blocks[0].kernel_sizes[0] for grid in spec.grids)])
    if taps > triton_engine.MAX_LETTERS:
        return f"a kernel of codes has {triton_engine.MAX_LETTERS} taps at most, not {taps}"
    return _kernels(spec)


def _plain(spec: Spec) -> str | None:
    if spec.precision == "tf32" and spec.device.type != "cuda":
        return "tf32 is a precision of GPUs"
    if spec.device.type == "mps" and spec.precision != "fp32":
        return f"on mps it runs in fp32, not {spec.precision}"
    return None


def _plain_stack(spec: Spec) -> str | None:
    return "tf32 is a precision of the Triton kernels" if spec.precision == "tf32" else _plain(spec)


def _fused(spec: Spec) -> str | None:
    return spec.plain_only


def _one_process(spec: Spec) -> str | None:
    return "its batch statistics are those of one process" if spec.shared else None


def _all(*checks: Callable[[Spec], str | None]) -> Callable[[Spec], str | None]:
    """The first reason that one of ``checks`` has."""
    return lambda spec: next(filter(None, (check(spec) for check in checks)), None)


def _task(name: str, **why_not: Callable[[Spec], str | None]) -> Task:
    return Task(name, tuple(Implementation(*item) for item in why_not.items()))


SCAN = _task("scan", triton=_stack_kernels, cpu=_engine, reference=_plain_stack)
# one residual block in training: the operators of ops.py, which other tasks are made of
BLOCK = _task(
    "residual block",
    triton=_block_kernels,
    cpu=_engine,
)
TRAINING = Task(
    "training step",
    (
        Implementation("triton", _all(_fused, _block_kernels)),
        Implementation("cpu", _all(_fused, _engine)),
        Implementation("reference", _one_process, ANY),
    ),
)
GRADIENTS = _task(
    "gradients",
    triton=_block_kernels,
    cpu=_all(_on_processor, _only_fp32),
    reference=_only_fp32,
)
# windows come back from the device that they lie on
MUTAGENESIS = Task(
    "mutagenesis",
    (
        Implementation("cpu", lambda spec: cpu_engine.why_not(spec.precision), ANY),
        Implementation("reference", _only_fp32),
    ),
)
VARIANTS = _task(
    "variants", triton=_all(_stack_kernels, _block_kernels), cpu=_engine, reference=_plain_stack
)
MOTIF_HITS = _task("motif hits", cpu=_on_processor, reference=_nothing)
# networks other than the TCN
OTHER_NETWORKS = _task("other networks", reference=_plain)
TASKS = (
    SCAN,
    BLOCK,
    TRAINING,
    GRADIENTS,
    MUTAGENESIS,
    VARIANTS,
    MOTIF_HITS,
    OTHER_NETWORKS,
)


def choose(task: Task, name: str, device: torch.device, precision: str, **needs: object) -> Choice:
    """The backend called ``name`` for ``task``, or for "auto" the first that can run it.

    TCNFAST_BACKEND stands in for "auto". Precision "auto" is what the backend runs best: bf16 where
    the device multiplies bf16 in hardware, else fp32. ``needs``: the other fields of ``Spec``.
    Raises TcnfastError with every reason.
    """
    if name == "auto":
        name = os.environ.get(VARIABLE, "auto")
    has = [implementation.backend for implementation in task.implementations]
    known = list(dict.fromkeys([*DEVICES, *has]))
    if name != "auto" and name not in known:
        raise TcnfastError(f"backend {name!r} is not in this build; it has: {', '.join(known)}")
    if name != "auto" and name not in has:
        raise TcnfastError(f"backend {name} cannot run {task.name}; {' and '.join(has)} can")
    if precision != "auto" and precision not in DTYPES:
        raise TcnfastError(f"precision {precision!r}: must be auto, {', '.join(DTYPES)}")
    reasons = []
    for implementation in task.implementations:
        backend = implementation.backend
        if name == backend or (name == "auto" and implementation.suits(device)):
            wanted = auto_precision(backend, device) if precision == "auto" else precision
            spec = Spec(device, wanted, **needs)
            reason = implementation.why_not(spec)
            if reason is None:
                return Choice(backend, spec, reasons)
            reasons.append(f"backend {backend} cannot run: {reason}")
    nothing = f"nothing runs {task.name} on {device}"
    raise TcnfastError("; ".join(reasons) or nothing)


def why_not(task: Task, device: torch.device, precision: str, **needs: object) -> str | None:
    """Why nothing that "auto" or TCNFAST_BACKEND may take runs ``task``; None if something does."""
    try:
        choose(task, "auto", device, precision, **needs)
    except TcnfastError as error:
        return str(error)
    return None


def auto_precision(backend: str, device: torch.device) -> str:
    """The precision that a backend runs best in on ``device``."""
    if backend == "cpu":
        return "fp32" if cpu_engine.why_not("bf16") else "bf16"
    if backend == "triton":
        return "fp16" if triton_engine.interpreted() or not _has_bf16(device) else "bf16"
    return "bf16" if _has_bf16(device) else "fp32"


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
