"""A model made ready to run: norms folded, strand mirrored, grids, backend and precision chosen."""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..base.errors import TcnfastError
from . import backend as backends
from . import cpu_engine, named, reference, triton_engine
from .grid import StackGrid
from .named import Scored
from .strands import one_pass, stacks_of

STRANDS = ("+", "-", "both")
Run = Callable[[Tensor], Tensor]  # uint8 codes (B, T) to float32 logits (B, P, labels)


def _prepare_plain(weights: reference.StackWeights, grid: StackGrid, spec: backends.Spec) -> Run:
    weights = weights.to(spec.device, backends.DTYPES[spec.precision])
    return lambda codes: reference.stack(codes, weights, grid)


# how each backend makes folded weights ready
PREPARE: dict[str, Callable[[reference.StackWeights, StackGrid, backends.Spec], Run]] = {
    "triton": lambda weights, grid, spec: triton_engine.prepare(
        weights, grid, spec.precision, spec.device
    ),
    "cpu": lambda weights, grid, spec: cpu_engine.prepare(weights, grid, spec.precision),
    "reference": _prepare_plain,
}
# bases of scores that suit one call. triton: rows of a tile are long and there are many, 1 GB of
# rows at a block's end. cpu: threads come and go with every call, and each reads a receptive field
# again. reference: shorter ones are slower, longer ones no faster (benchmarks/results/plan.csv)
SEGMENT_BASES = {"triton": 2**23, "cpu": 2**20, "reference": 2**16}


class Plan:
    """``plan(codes)`` -> logits of every ``stride``-th window of the codes.

    The minus strand is a mirrored plan on the same codes, so it is exact for every length and
    stride. A symmetric network runs once whatever the strand, for its strands score the same. Of an
    ensemble every member is scored, all on one backend, and the mean of their logits taken.
    ``symmetric``: whether all of them are, so that every strand is the same plan.

    ``backend``, ``instructions`` (of the C++ engine, else None), ``precision`` and ``device`` tell
    what really runs, ``passed_over`` why backends that "auto" would rather have taken do not;
    ``sparsity`` which convolutions of each stack leave zeros out (of the C++ engine, else empty).
    A copy of the weights is taken: later training of the model does not reach the plan. A plan can
    be pickled; unpickled, it runs on the same backend in the same precision, or raises.

    Args:
        model: a TCN or an Ensemble, a model folder, or the name of a bundled model.
        device: "auto", "cpu", "cuda", "cuda:1" or "mps".
        precision: "fp32", "bf16", "fp64", or "auto": bf16 where the device multiplies bf16 matrices
            in hardware, else fp32.
        stride: spacing of scores in bp, a power of two.
        backend: "auto", "triton", "cpu" or "reference".
        strand: "+" scores the codes, "-" their reverse complement (in the same order: position j is
            the window that starts at base ``j * stride``), "both" the mean of the two logits.

    Raises:
        TcnfastError: where there is no such model, and where what was asked for by name cannot
            run here, with the reason.
    """

    def __init__(
        self,
        model: Scored | str | PathLike[str],
        device: str = "auto",
        precision: str = "auto",
        stride: int = 32,
        backend: str = "auto",
        strand: str = "+",
    ) -> None:
        model = named.as_model(model)
        if strand not in STRANDS:
            raise TcnfastError(f"strand {strand!r}: must be one of {', '.join(STRANDS)}")
        self.labels = list(model.labels)
        self.receptive_field = model.receptive_field
        self.stride, self.strand = stride, strand
        self.device = backends.choose_device(device)
        self._grids = tuple(member.config.grid(stride) for member in model.members)
        self._channels = max(member.config.channels for member in model.members)
        folded = (member.folded() for member in model.members)
        copies = (weights.to("cpu", weights.head_weight.dtype) for weights in folded)
        self._stacks = stacks_of(zip(copies, self._grids, strict=True), strand)
        self.symmetric = one_pass(self._stacks)
        self._make_ready(backend, precision)

    def _make_ready(self, backend: str, precision: str) -> None:
        needs: dict[str, Any] = dict(grids=self._grids, channels=self._channels)
        chosen = backends.choose(backends.SCAN, backend, self.device, precision, **needs)
        self.backend, spec, self.passed_over = chosen
        self.precision = spec.precision
        self.instructions = cpu_engine.isa() if self.backend == "cpu" else None
        self.segment_bases = SEGMENT_BASES[self.backend]
        prepare = PREPARE[self.backend]
        self._runs = [(prepare(x, grid, spec), count) for x, grid, count in self._stacks]
        self.sparsity = [getattr(run, "sparsity", []) for run, _ in self._runs]

    def __getstate__(self) -> dict[str, Any]:
        """What was asked for, what was chosen, and the folded weights. What a backend made of these
        is made anew where the plan is unpickled."""
        return {name: x for name, x in vars(self).items() if name not in ("_runs", "sparsity")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Raises TcnfastError where the backend or the precision of the plan cannot run here."""
        vars(self).update(state)
        self._make_ready(self.backend, self.precision)
        self.passed_over = state["passed_over"]

    @property
    def stacks(self) -> list[Run]:
        """What runs: the members' strands. Logits are the mean of theirs where these count alike,
        which two do."""
        return [run for run, _ in self._runs]

    @torch.inference_mode()
    def __call__(self, codes: np.ndarray | Tensor) -> Tensor:
        """Score codes.

        Args:
            codes: uint8 (T,) or (B, T), a numpy array or a tensor; T is at least the receptive
                field.

        Returns:
            Tensor: float32 logits (steps, labels), or (B, steps, labels), on ``self.device``, where
                steps is (T - RF) // stride + 1.

        Raises:
            TcnfastError: for codes of another shape or type, where T is under the receptive field,
                and
                for a code over 4 in host memory; one that lies on a GPU counts as N.
        """
        if isinstance(codes, (str, bytes)):
            raise TcnfastError("plan input: give codes, tcnfast.encode(sequence)")
        if isinstance(codes, np.ndarray):
            # tensors know neither read-only memory nor negative strides
            codes = torch.from_numpy(np.require(codes, requirements=["C", "W"]))
        if codes.dtype != torch.uint8 or codes.ndim not in (1, 2):
            raise TcnfastError(
                f"plan input {tuple(codes.shape)} {codes.dtype}: must be uint8 codes (T,) or (B, T)"
            )
        if codes.shape[-1] < self.receptive_field:
            raise TcnfastError(
                f"plan input of {codes.shape[-1]} bases is under the receptive field of "
                f"{self.receptive_field}; add context, or N (code 4)"
            )
        if self.backend != "cpu":  # which looks for itself
            reference.check_codes(codes, "plan input: ")
        batch = codes.to(self.device).reshape(-1, codes.shape[-1])
        (run, count), *others = self._runs
        logits = run(batch)
        if count > 1:
            logits = logits.mul_(count)
        for run, count in others:
            logits = logits.add_(run(batch), alpha=count)
        logits = logits.div_(sum(count for _, count in self._runs))
        return logits if codes.ndim == 2 else logits[0]
