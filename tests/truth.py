"""What a plan must give: the reference in float64, and in the tested precision for the budget."""

import torch

from tcnfast.engines import halved, reference
from tcnfast.engines.grid import stack_grid

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp64": torch.float64}


def reverse_complement(codes):
    return torch.where(codes < 4, 3 - codes, codes).flip(-1)


@torch.no_grad()
def truth(weights, grid, codes, strand):
    """float64 logits (B, P, labels), one window at a time; the minus strand by its definition."""
    first, kernel_size = grid.blocks[0].kernel_sizes
    n_blocks = len(grid.blocks)
    window_grid = stack_grid(kernel_size, n_blocks, 2**n_blocks, first)
    weights = weights.to("cpu", torch.float64)
    windows = codes.unfold(1, grid.receptive_field, grid.stride)
    flat = windows.reshape(-1, grid.receptive_field)
    plus = reference.stack(flat, weights, window_grid) if strand != "-" else 0
    minus = reference.stack(reverse_complement(flat), weights, window_grid) if strand != "+" else 0
    logits = (plus + minus) / (2 if strand == "both" else 1)
    return logits.reshape(*windows.shape[:2], -1)


@torch.no_grad()
def in_precision(weights, grid, codes, strand, precision):
    """The reference in the dtype of ``precision``, which sets the budget."""
    strands = {"+": weights, "-": weights.mirrored(grid)}
    runs = [strands[s].to("cpu", DTYPES[precision]) for s in ("+", "-") if strand in (s, "both")]
    return sum(reference.stack(codes, run, grid) for run in runs) / len(runs)


@torch.no_grad()
def in_halved_form(weights, grid, codes, precision):
    """``in_precision`` of a symmetric stack whose convolutions take half of the products."""
    return halved.stack(codes, weights.to("cpu", DTYPES[precision]), grid)
