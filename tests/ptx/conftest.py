"""Processes that compile and execute kernels, one a Triton."""

import os

import pytest

from ptx.worker import OTHER, Worker


@pytest.fixture(scope="session")
def worker():
    """Answers for the kernels as the Triton here compiles them."""
    worker = Worker()
    yield worker
    worker.close()


@pytest.fixture(scope="session")
def other_worker():
    """The same for another Triton."""
    python = os.environ.get(OTHER)
    if not python:
        pytest.skip(f"{OTHER} names no Python of an environment with another Triton")
    worker = Worker(python)
    yield worker
    worker.close()
