"""Fixtures of the tests of engines/."""

import pytest


@pytest.fixture
def kernels(monkeypatch):
    """The Triton kernels are what runs, on DEVICE."""
    monkeypatch.setenv("TCNFAST_BACKEND", "triton")
