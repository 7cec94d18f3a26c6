"""How tests run the Triton kernels: compiled where there is a GPU, else in Triton's interpreter,
which conftest.py asks for."""

import importlib.util

import pytest
import torch

GPU = torch.cuda.is_available()
DEVICE = torch.device("cuda" if GPU else "cpu")
# the interpreter gets bf16 products wrong
PRECISIONS = ["fp32", "fp16", "bf16", "tf32"] if GPU else ["fp32", "fp16"]

needs_triton = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="Triton is not installed"
)
