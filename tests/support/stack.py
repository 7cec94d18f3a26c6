"""Stacks of every shape for the Triton kernels, and the comparison of their scores."""

from contextlib import nullcontext

import torch
from numerics import MatrixUnits, assert_close

from support.interpreter import on_matrix_units
from support.models import random_model
from tcnfast.engines import reference, triton_engine

# channels, k, blocks, first kernel, stride, alignment, sequences, scores
TABLE = [
    (16, 3, 3, 3, 1, "centred", 1, 70),
    (5, 3, 4, 15, 4, "causal", 2, 40),
    (64, 3, 4, 15, 8, "centred", 2, 9),
    (33, 2, 4, 4, 16, "causal", 3, 5),
    (17, 5, 3, 7, 2, "centred", 1, 33),
    (16, 4, 3, 14, 1, "causal", 1, 50),
    (64, 7, 2, 7, 4, "centred", 1, 20),  # too wide for one kernel a block
    (1, 3, 5, 3, 64, "centred", 2, 3),  # stride beyond the stack's
    (16, 3, 2, 19, 2, "causal", 1, 20),  # the longest window; mirrored, all of it
    (16, 2, 2, 20, 2, "centred", 1, 20),  # the most letters
]
# of pairs of channels
SYMMETRIC = [
    (16, 3, 3, 3, 1, "centred", 1, 70),
    (6, 3, 4, 15, 4, "centred", 2, 40),
    (64, 3, 4, 15, 8, "centred", 2, 9),
    (34, 2, 4, 4, 16, "centred", 3, 5),
    (18, 5, 3, 7, 2, "centred", 1, 33),
    (16, 4, 3, 14, 1, "centred", 1, 50),
    (64, 7, 2, 7, 4, "centred", 1, 20),  # too wide for one kernel a block
    (34, 5, 2, 5, 1, "centred", 1, 9),
    (64, 4, 2, 4, 4, "centred", 1, 9),
    (34, 4, 2, 4, 1, "centred", 1, 9),
    (2, 3, 5, 3, 64, "centred", 2, 3),  # stride beyond the stack's
    (16, 3, 2, 19, 2, "centred", 1, 20),  # the longest window
    (16, 2, 2, 20, 2, "centred", 1, 20),  # the most letters
    (4, 3, 3, 5, 1, "centred", 1, 20),  # codes are their own residual
]
ROW_STEPS = 5  # of the tests: many rows, some not full


def setting(channels, k, blocks, first, stride, alignment, symmetric=False):
    """Folded weights and grid of the first six columns of ``TABLE``."""
    model = random_model(
        channels=channels,
        kernel_size=k,
        blocks=blocks,
        first_kernel=first,
        alignment=alignment,
        symmetric=symmetric,
    )
    return model.folded(), model.config.grid(stride)


def check_scores(case, precision, strand, make_codes, device, spoil=None, symmetric=False):
    """Raise AssertionError unless the kernels' scores of a row of ``TABLE``, or of ``SYMMETRIC``,
    pass the rule. ``spoil(scores)`` may change what they gave."""
    *shape, sequences, scores = case
    weights, grid = setting(*shape, symmetric)
    if strand == "-":
        weights = weights.mirrored(grid)
    codes = make_codes(sequences, grid.receptive_field + (scores - 1) * grid.stride + 1)
    out = triton_engine.prepare(weights, grid, precision, device)(codes.to(device))
    dtype = triton_engine.DTYPES[precision]
    ref = reference.stack(codes, weights.to("cpu", torch.float64), grid)
    if spoil:
        spoil(out)
    units = on_matrix_units() and dtype == torch.float32
    with torch.no_grad(), MatrixUnits(precision) if units else nullcontext():
        pt = reference.stack(codes, weights.to("cpu", dtype), grid).to(dtype)
    assert_close(out, ref, pt)
