"""Numbers that stopped being numbers: looked for where weights enter and where scores leave."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from .errors import TcnfastError


def check_finite(state: Mapping[str, Tensor], what: str, mend: str) -> None:
    """Raise TcnfastError, that ``what`` holds NaN or infinity in a tensor of ``state``, and how to
    ``mend`` it."""
    for name, tensor in state.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            bad = int((~torch.isfinite(tensor)).sum())
            raise TcnfastError(
                f"{what}: {bad} of {tensor.numel()} numbers of tensor {name} are NaN or infinite; "
                f"{mend}"
            )


def check_scores(scores: Tensor, what: str) -> None:
    """Raise TcnfastError where scores that ``what`` gave are NaN or infinite."""
    check_finite({"scores": scores}, what, "its weights are too large, or were damaged")
