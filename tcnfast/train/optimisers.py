"""The optimisers of training: AdamW, and Muon for the kernels of hidden convolutions.

Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/) keeps the momentum of a
matrix's gradient and steps along the nearest orthogonal matrix, which five Newton-Schulz
iterations approach. A convolution's matrix is (out, in * taps). Steps are scaled to the size of
AdamW's (Liu et al. 2025, arXiv 2502.16982), so one rate and one weight decay serve both.

Of a symmetric network half of a kernel is kept; the whole is made orthogonal. That keeps the
symmetry, as it only exchanges rows and columns, and every singular value of the whole becomes one,
which those of a half would not say.
"""

from __future__ import annotations

from itertools import groupby

import torch
from torch import Tensor, nn

from ..base.jit import place_torch_cache
from ..engines import pairs
from .train_config import TrainConfig

MOMENTUM = 0.95
ITERATIONS, COEFFICIENTS = 5, (3.4445, -4.7750, 2.0315)
ADAMW_SIZE = 0.2  # root mean square of an AdamW step, in rates


def decay_groups(model: nn.Module, weight_decay: float) -> list[dict]:
    """Weight decay for kernels and the head's matrix; none for biases and norms."""
    trained = [p for p in model.parameters() if p.requires_grad]
    # one number a channel is a bias or a gain, whatever its shape: weight norm's are (C, 1, 1)
    decayed = [p for p in trained if p.numel() > len(p)]
    free = [p for p in trained if p.numel() == len(p)]
    return [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": free, "weight_decay": 0.0},
    ]


def make_optimiser(
    model: nn.Module, config: TrainConfig, device: torch.device
) -> torch.optim.Optimizer:
    """AdamW or Muon as ``config`` has it."""
    place_torch_cache()
    groups = decay_groups(model, config.weight_decay)
    made = torch.optim.AdamW
    if config.optimiser == "muon":
        made, (decayed, free) = Muon, groups
        kernels = hidden_kernels(decayed["params"])
        of_muon = {id(kernel) for kernel in kernels}
        others = [p for p in decayed["params"] if id(p) not in of_muon]
        muon = decayed | {"params": kernels, "symmetric": model.config.symmetric, "muon": True}
        groups = [muon, decayed | {"params": others}, free]
    fused = device.type in ("cpu", "cuda")
    return made(groups, lr=config.learning_rate, betas=(0.9, 0.99), fused=fused)


def hidden_kernels(parameters: list[nn.Parameter]) -> list[nn.Parameter]:
    """Kernels (out, in, taps) that read channels, not bases."""
    return [p for p in parameters if p.ndim == 3 and p.shape[1] != 4]


class Muon(torch.optim.AdamW):
    """AdamW whose groups with ``muon`` are stepped by Muon. ``symmetric``: kernels are halves."""

    def __init__(self, groups: list[dict], **settings) -> None:
        super().__init__(groups, **settings)
        # not a step of its own around AdamW's: hooks on steps would be called twice
        self.register_step_pre_hook(lambda *_: self._step_kernels())

    @torch.no_grad()
    def _step_kernels(self) -> None:
        """Step the kernels by their gradients and leave none for AdamW, which passes over them."""
        for group in self.param_groups:
            if group.get("muon"):
                given = [p for p in group["params"] if p.grad is not None]
                given.sort(key=lambda p: tuple(p.shape))
                for _, alike in groupby(given, key=lambda p: p.shape):
                    self._step_of(list(alike), group)

    def _step_of(self, kernels: list[nn.Parameter], group: dict) -> None:
        """A step of kernels of one shape."""
        directions = []
        for kernel in kernels:
            state = self.state[kernel]
            if not state:
                state["momentum"] = torch.zeros_like(kernel)
                state["step"] = torch.zeros(())  # which AdamW looks for in what it loads
            state["momentum"].lerp_(kernel.grad, 1 - MOMENTUM)
            direction = kernel.grad.lerp(state["momentum"], MOMENTUM)
            directions.append(pairs.whole(direction) if group["symmetric"] else direction)
            kernel.grad = None
        matrices = torch.stack(directions).flatten(2)
        size = ADAMW_SIZE * max(matrices.shape[1:]) ** 0.5
        for kernel, step in zip(kernels, orthogonalised(matrices), strict=True):
            kernel.mul_(1 - group["lr"] * group["weight_decay"])
            step = step[: len(kernel)].view_as(kernel)
            kernel.add_(step, alpha=-group["lr"] * size)


def orthogonalised(matrices: Tensor) -> Tensor:
    """Of each matrix (N, rows, columns) about the nearest whose singular values are one: they come
    within .7 and 1.2, as five iterations leave them."""
    a, b, c = COEFFICIENTS
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp_min(1e-7)
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x
