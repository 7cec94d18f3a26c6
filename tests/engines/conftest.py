"""Fixtures of the tests of engines/."""

import pytest
import torch
from support.interpreter import mended


@pytest.fixture
def kernels(monkeypatch):
    """The Triton kernels are what runs, on DEVICE; in the interpreter in bf16 too. Models compute
    float32 as fp32, which PyTorch makes tf32 on a GPU unless told."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    monkeypatch.setenv("TCNFAST_BACKEND", "triton")
    with mended():
        yield
