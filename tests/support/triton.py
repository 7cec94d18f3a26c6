"""How tests run the Triton kernels: compiled where there is a GPU, else in Triton's interpreter,
which conftest.py asks for."""

import importlib.util

import pytest
import torch

from support.block import Scaled
from support.block_cases import Case
from tcnfast.engines import ops

GPU = torch.cuda.is_available()
DEVICE = torch.device("cuda" if GPU else "cpu")
# bf16: support/interpreter.py
PRECISIONS = ["fp32", "fp16", "bf16", "tf32"] if GPU else ["fp32", "fp16", "bf16"]


def few_draws(case):
    """Draws of a block in training that are compared: in the interpreter, which is slow, a third of
    them, whose budget is the tighter for it."""
    return case.draws if GPU else -(-case.draws // 3)


needs_triton = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="Triton is not installed"
)

# blocks in training, few for the sake of the interpreter, in which everything occurs
BLOCKS = [
    Case(0, 4, 3, 15, 32, "weight", "centred", 2, 20),
    Case(0, 16, 3, 15, 32, "batch", "centred", 7, 10, 0, 0.3),
    Case(0, 17, 2, 4, 1, "batch", "causal", 2, 40),
    Case(0, 4, 2, 20, 2, "batch", "centred", 2, 12),
    Case(1, 3, 4, 4, 2, "batch", "causal", 2, 41, 1, 0.3),
    Case(2, 16, 7, 7, 1, "weight", "centred", 2, 9),
    Case(2, 33, 2, 2, 4, "batch", "causal", 3, 60, 0, 0.3),
    Case(4, 64, 3, 15, 32, "batch", "centred", 3, 30, 1),
    Case(3, 5, 5, 5, 1, "batch", "centred", 1, 70),
]
# and in the halved form
SYMMETRIC_BLOCKS = [
    Case(0, 16, 3, 15, 32, "batch", "centred", 3, 9, 0, 0.3, symmetric=True),
    Case(1, 34, 3, 15, 32, "batch", "centred", 2, 34, 1, 0.3, symmetric=True),
    Case(1, 16, 4, 4, 4, "batch", "centred", 1, 9, 1, symmetric=True),
    Case(2, 16, 3, 3, 1, "weight", "centred", 2, 9, 0, 0.3, symmetric=True),
]


def drop_alike(monkeypatch, plain):
    """Make ``plain`` (``TCN.unfused``) drop what the next pass on the kernels drops, which draws
    for all blocks at once; the masks of that pass, as it draws them."""
    real, seen = ops.block, []

    def spy(**given):
        index = len(seen)
        block = plain.blocks[index // 2]
        seen.extend((given["mask1"], given["mask2"]))
        block.drop1, block.drop2 = map(Scaled, seen[index:])
        return real(**given)

    monkeypatch.setattr(ops, "block", spy)
    return seen
