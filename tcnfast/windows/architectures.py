"""Every network that the option ``arch`` names, and how each scores many windows fast."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ..base.errors import TcnfastError, shown
from ..base.finite import check_scores
from ..engines import backend as backends
from ..engines.plan import Plan
from ..genome.codes import reverse_complement
from ..model.tcn import TCN
from .baseline_network import DeepBind
from .forms import AttentionTCN, SingleTaskTCNs, window_tcn
from .frozen_network import wavelet_network
from .gkm_svm import GkmSVM
from .motif_network import MotifNetwork
from .pwm_network import PWMNetwork
from .rnn import RNN

BATCH = 256  # windows scored at once
_MOST = {"length": 2**20, "max_windows": 2**40}  # of other sizes 4,096, at which memory still does
_MAY_BE_NONE = ("filters", "hidden_layer", "d")


class Architecture(NamedTuple):
    """``build(labels, length, mapping, **shape)`` makes one; ``shape`` are its settings here.

    What it makes is a module of uint8 codes (N, length) -> logits (N, labels), with ``labels`` and
    ``set_label_rates``. Trainers and scorers look for four more things: ``start(train, seed)``
    prepares it from the training windows; ``fit(train, valid, config, work)`` takes the place of
    gradient training (see :class:`tcnfast.windows.window_fit.Once`); ``both_strands`` False says
    that it is not to be averaged over strands; and ``batch_statistics`` True that a score depends
    on the windows beside it.
    """

    build: Callable[..., nn.Module]
    shape: dict = {}


_GRU, _ATTENTION, _BASES = {"cell": "gru"}, {"readout": "attention"}, {"filters": 0}
_DANQ = {"filters": 320, "kernel": 26, "pool": 13, "hidden": 320, "hidden_layer": 925}
_DANQ |= {"readout": "all", "dropout": (0.2, 0.5)}
_NARROW = {"filters": 128, "hidden": 128, "hidden_layer": 256}  # two fifths of DanQ's widths
_DEEPRAM = {"filters": 16, "pool": 3, "pool_stride": 1, "hidden_layer": 64}  # a step a base

ARCHITECTURES = {
    "tcn": Architecture(window_tcn),  # scores the centre
    "tcn-causal": Architecture(window_tcn, {"alignment": "causal"}),  # scores the last position
    "tcn-attention": Architecture(AttentionTCN),
    "tcn-single": Architecture(SingleTaskTCNs),  # a TCN for each label
    "bilstm": Architecture(RNN, _BASES),  # on single bases
    "bigru": Architecture(RNN, _BASES | _GRU),
    "conv-bilstm": Architecture(RNN),  # behind a convolution and pooling; reads the last states
    "conv-bigru": Architecture(RNN, _GRU),
    "conv-bilstm-attention": Architecture(RNN, _ATTENTION),  # over steps
    "conv-bigru-attention": Architecture(RNN, _ATTENTION | _GRU),
    "deepram": Architecture(RNN, _DEEPRAM),
    "deepbind": Architecture(DeepBind),
    "danq": Architecture(RNN, _DANQ | _NARROW),
    "danq-full": Architecture(RNN, _DANQ),  # at the published widths
    "gkm-svm": Architecture(GkmSVM),
    "wavelet": Architecture(wavelet_network),
    "pwm": Architecture(PWMNetwork),  # a learned matrix for each label, its best hit
    "motif": Architecture(MotifNetwork),  # the best hit of a given motif, JASPAR's by default
}


def build(
    arch: str, labels: list[str], length: int, mapping: str = "one-hot", shape: dict | None = None
) -> nn.Module:
    """The network ``arch`` for windows of ``length`` bases, freshly initialised; ``shape`` changes
    its settings, which may be a stranger's. Raises TcnfastError for an unknown name or setting, and
    for sizes that no network has."""
    if not isinstance(arch, str) or arch not in ARCHITECTURES:
        raise TcnfastError(f"arch {arch!r}: must be one of {', '.join(ARCHITECTURES)}")
    known = ARCHITECTURES[arch]
    try:
        shape = {**known.shape, **(shape or {})}
        _check_sizes({"length": length, **shape})
        return known.build(labels, length, mapping, **shape)
    except TcnfastError:
        raise
    except (TypeError, ValueError, ArithmeticError, RuntimeError) as error:
        raise TcnfastError(f"arch {arch}: {str(error).split('() ')[-1]}") from None


def _check_sizes(sizes: dict) -> None:
    """Raise TcnfastError for a whole number that would take all memory, or is none to count by."""
    for name, size in sizes.items():
        most, least = _MOST.get(name, 2**12), 0 if name in _MAY_BE_NONE else 1
        if isinstance(size, int) and not isinstance(size, bool) and not least <= size <= most:
            raise TcnfastError(f"{name} {shown(str(size))}: must be within {least} and {most:,}")


def count_parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def window_scorer(
    model: nn.Module, device: str = "auto", precision: str = "auto"
) -> Callable[[np.ndarray], np.ndarray]:
    """A function of uint8 codes (n, L) that gives float32 logits (n, labels), the mean of both
    strands (of the strand given where a network says ``both_strands = False``). TCNs run as plans
    on the best backend, the others as they are in PyTorch.

    The function raises TcnfastError for logits that are NaN or infinite."""
    model.eval()
    place = backends.choose_device(device)
    run = _runner(model.to(place), place, precision)
    both = getattr(model, "both_strands", True)
    mixed = getattr(model, "batch_statistics", False)

    @torch.inference_mode()
    def score(codes: np.ndarray) -> np.ndarray:
        out = np.empty((len(codes), len(model.labels)), np.float32)
        order = np.random.default_rng(0).permutation(len(codes)) if mixed else np.arange(len(codes))
        for start in range(0, len(codes), BATCH):
            rows = order[start : start + BATCH]
            part = codes[rows]
            strands = [part, reverse_complement(part)] if both else [part]
            logits = [run(torch.from_numpy(np.ascontiguousarray(x)).to(place)) for x in strands]
            mean = sum(x.float() for x in logits) / len(logits)
            check_scores(mean, "the network")
            out[rows] = mean.cpu().numpy()
        return out

    return score


def training_precision(model: nn.Module, device: torch.device, precision: str) -> str:
    """ "auto" is bf16 where the device multiplies bf16 matrices in hardware, else fp32."""
    if precision not in ("auto", "fp32", "bf16"):
        raise TcnfastError(f"precision {precision!r}: windows take auto, fp32 or bf16")
    if not any(isinstance(part, TCN) for part in model.modules()):
        chosen = backends.choose(backends.OTHER_NETWORKS, "auto", device, precision)
        return chosen.spec.precision
    return backends.auto_precision("reference", device) if precision == "auto" else precision


def _runner(model: nn.Module, device: torch.device, precision: str) -> Callable[[Tensor], Tensor]:
    if isinstance(model, TCN):
        rf = model.receptive_field
        plan = Plan(model, str(device), precision, stride=2**model.config.blocks)
        return lambda codes: plan(fitted(codes, rf))[:, 0]
    if isinstance(model, AttentionTCN):
        plan = Plan(model.tcn, str(device), precision, stride=model.stride)
        return lambda codes: model.pool(plan(codes).transpose(1, 2))
    if isinstance(model, SingleTaskTCNs):
        runs = [_runner(tcn, device, precision) for tcn in model.tcns]
        return lambda codes: torch.cat([run(codes) for run in runs], 1)
    bf16 = training_precision(model, device, precision) == "bf16"

    def run(codes: Tensor) -> Tensor:
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            return model(codes)

    return run


def fitted(codes: Tensor, length: int) -> Tensor:
    """Codes (N, L) cropped, or filled with N, evenly to ``length``, as TCN.forward has it."""
    start = codes.shape[1] // 2 - length // 2
    codes = codes[:, max(0, start) : max(0, start) + length]
    left = max(0, -start)
    if codes.shape[1] < length:
        codes = nn.functional.pad(codes, (left, length - left - codes.shape[1]), value=4)
    return codes.contiguous()
