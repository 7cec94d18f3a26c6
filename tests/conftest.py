"""What the tests share: seeds and random codes, and the fixtures that several rooms use."""

import fcntl
import gc
import os
import random
import re
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

if not torch.cuda.is_available():  # before anything imports Triton: it looks once
    os.environ["TRITON_INTERPRET"] = "1"

pytest.register_assert_rewrite("support", "numerics", "truth")
# nothing here imports what a machine for benchmarks/gpu_check.py may lack: pyfaidx, pyBigWig, ...
pytest_plugins = ["support.models", "support.cli", "support.chrome"]

# tests may lie alone beside an installed tcnfast: see campaigns/installed.py
CHECKOUT = Path(__file__).resolve().parents[1].joinpath("setup.py").exists()

INTERRUPTED: list[int] = []  # signals of Ctrl-C


def interrupt(number, frame):
    INTERRUPTED.append(number)
    if "PYTEST_XDIST_WORKER" in os.environ:  # its parent says what is to be said
        os._exit(2)
    signal.default_int_handler(number, frame)


# also because a shell starts what runs in its background deaf to Ctrl-C, and children would be too
signal.signal(signal.SIGINT, interrupt)

# tensors are tiny here: on busy cores two threads wait on each other a hundred times longer than
# one works
torch.set_num_threads(1)


def pytest_make_parametrize_id(val):
    """Bytes are named by their number: a gzip holds the time it was made at, and the workers of a
    run must give a test one name."""
    return f"{len(val)} bytes" if isinstance(val, bytes) else None


def pytest_ignore_collect(collection_path):
    """Without a checkout no file is imported that is marked ``checkout`` as a whole: it may import
    what only a checkout has."""
    if not CHECKOUT and collection_path.name.startswith("test_"):
        text = collection_path.read_text()
        if re.search(r"^pytestmark = \[?\s*pytest\.mark\.checkout\b", text, re.M):
            return True
    return None


@pytest.hookimpl(wrapper=True)
def pytest_collection(session):
    """Tests and what they import stay until the end: Python need not look through them for garbage,
    neither now, a third of the time that collection takes, nor in every test."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_runtest_setup(item):
    """``checkout`` marks what needs a checkout, ``gpu`` what needs a GPU, ``gpu(2)`` two."""
    if not CHECKOUT and item.get_closest_marker("checkout"):
        pytest.skip("needs a checkout of tcnfast")
    if INTERRUPTED:  # a library took it for an error of its own, and went on
        pytest.exit("interrupted", 2)
    for mark in item.iter_markers("gpu"):
        needed = mark.args[0] if mark.args else 1
        if torch.cuda.device_count() < needed:
            pytest.skip(f"needs {needed} GPU(s)")
    if "triton.runtime.interpreter" in sys.modules and "TRITON_INTERPRET" in os.environ:
        from support.interpreter import quicken

        quicken()


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config):
    """After Ctrl-C nothing is waited for: threads of an interrupted test may run for long."""
    if INTERRUPTED:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(2)


@pytest.fixture(autouse=True)
def seeds():
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    torch.set_num_threads(1)  # whatever the test before left: PyTorch's own bits depend on it


@pytest.fixture
def make_codes():
    """make_codes(*shape): random uint8 codes, one in twenty of them N."""
    rng = np.random.default_rng(1)

    def make(*shape):
        codes = rng.integers(0, 4, shape, np.uint8)
        codes[rng.random(shape) < 0.05] = 4
        return torch.from_numpy(codes)

    return make


@pytest.fixture
def nan_filled_memory():
    """Every torch.empty comes full of NaN, so that an output nobody wrote is seen."""
    torch.use_deterministic_algorithms(True)
    assert torch.empty(9).isnan().all()
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture(scope="session")
def made_once(tmp_path_factory):
    """made_once(name, make): a folder that ``make(folder)`` filled, once for all workers of a run
    of the tests, which take it as it is."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent

    def folder_of(name, make):
        folder, begun = shared / name, shared / f"{name}.begun"
        with open(shared / f"{name}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not folder.exists():
                begun.mkdir()
                make(begun)
                begun.rename(folder)
        return folder

    return folder_of


@pytest.fixture(scope="session")
def planted(made_once):
    """A network trained on planted motifs, and windows it never saw: see support/planted.py."""
    from support.planted import open_planted, train_planted

    return open_planted(made_once("planted", train_planted))
