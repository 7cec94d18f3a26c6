"""Fixtures of the tests of engines/."""

import pytest
from support.interpreter import mended


@pytest.fixture
def kernels(monkeypatch):
    """The Triton kernels are what runs, on DEVICE; in the interpreter in bf16 too."""
    monkeypatch.setenv("TCNFAST_BACKEND", "triton")
    with mended():
        yield
