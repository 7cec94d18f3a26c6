"""Random residual blocks in training, and what goes into them."""

import torch
from torch import nn

from support.block_cases import SPAN
from tcnfast.engines import ops, pairs
from tcnfast.model.tcn import Block


def seams(length):
    """First positions of spans but the first."""
    pieces = -(-length // SPAN)
    return [length * piece // pieces for piece in range(1, pieces)]


def random_block(case, seed=0):
    """A block in training, no parameter left trivial."""
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        block = Block(4 if case.index == 0 else case.channels, case.index, case.config).train()
    with torch.no_grad():
        for name, parameter in block.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.ndim == 1 and name.startswith("norm") and name.endswith("weight"):
                parameter.copy_(1 + 0.3 * noise)
            elif parameter.ndim == 1:
                parameter.copy_(0.3 * noise)
            elif case.norm == "batch" and parameter.shape[-1] > 1:  # smoothers at the start: He
                parameter.copy_(noise * (2 / parameter[0].numel()) ** 0.5)
        for norm in (block.norm1, block.norm2):
            if isinstance(norm, nn.BatchNorm2d):
                norm.momentum = 1.0  # the running statistics are those of the last batch
    return block


def random_input(case, precision, seed=0):
    """uint8 codes (N, L), or rows (N, L, C) as a ReLU leaves them, exact in ``precision``."""
    generator = torch.Generator().manual_seed(seed + 1)
    if case.index == 0:
        codes = torch.randint(4, (case.sequences, case.length), generator=generator)
        codes[torch.rand(codes.shape, generator=generator) < 0.05] = 4
        return codes.to(torch.uint8)
    rows = torch.randn(case.sequences, case.length, case.channels, generator=generator)
    return rows.relu().to(ops.ROWS[precision])


def random_gradient(case, precision, seed=0):
    generator = torch.Generator().manual_seed(seed + 2)
    dy = torch.randn(case.sequences, case.length2, case.channels, generator=generator)
    for seam in seams(case.length2):
        dy[:, seam - 1 : seam + 1] *= case.loud
    return dy.to(ops.ROWS[precision])


def random_masks(case, seed=0):
    if not case.dropout:
        return None, None
    generator = torch.Generator().manual_seed(seed + 3)
    keep = 1 - case.dropout
    drawn = case.channels // 2 if case.symmetric else case.channels
    draws = torch.rand(2, case.sequences, drawn, generator=generator) < keep
    masks = draws.float() / keep
    return tuple(pairs.whole(masks, 2) if case.symmetric else masks)
