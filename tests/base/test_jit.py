"""Compiled code follows an edit of any source, and is kept where the user wants it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import tcnfast

CALLEE = "from .jit import jit\n\n\n@jit\ndef rule(x):\n    return x + {}\n"
CALLER = (
    "from .callee import rule\nfrom .jit import jit\n\n\n@jit\ndef ask(x):\n    return rule(x)\n"
)
ASK = "from tcnfast.base.caller import ask; print(ask(1), ask.stats.cache_hits)"


@pytest.fixture(name="package")
def fixture_package(tmp_path):
    """A copy of the package with a compiled function that calls one of another file."""
    package = tmp_path / "tcnfast"
    sources = shutil.ignore_patterns("__pycache__", "*.so", "bundled", "databases", "kernels")
    shutil.copytree(Path(tcnfast.__file__).parent, package, ignore=sources)
    (package / "base" / "caller.py").write_text(CALLER)
    (package / "base" / "callee.py").write_text(CALLEE.format(1))
    return package


def ask(package, **environment):
    """Answer of the compiled function in a process of its own, and how often it was kept."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", ASK],
        env={**os.environ, "PYTHONPATH": str(package.parent), **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    answer, hits = done.stdout.replace("Counter", "").split(" ", 1)
    return int(answer), hits.strip() != "({})" and hits.strip() != "()"


def test_an_edited_callee_is_compiled_anew_and_old_code_is_deleted(package):
    kept = package / "__pycache__" / "numba"
    assert ask(package) == (2, False)
    first = os.listdir(kept)
    assert ask(package) == (2, True) and os.listdir(kept) == first
    (package / "base" / "callee.py").write_text(CALLEE.format(10))
    assert ask(package) == (11, False)
    second = os.listdir(kept)
    assert len(first) == len(second) == 1 and first != second


def test_the_users_own_folder_is_taken(package, tmp_path):
    ask(package, NUMBA_CACHE_DIR=str(tmp_path / "mine"))
    assert not (package / "__pycache__" / "numba").exists()
    (ours,) = (tmp_path / "mine").iterdir()
    assert ours.name.startswith("tcnfast-") and len(list(ours.iterdir())) == 1


def test_a_package_that_cannot_be_written_to_uses_the_users_cache(package, tmp_path):
    (package / "__pycache__").mkdir(exist_ok=True)
    (package / "__pycache__" / "numba").write_text("in the way")
    assert ask(package, XDG_CACHE_HOME=str(tmp_path / "home"))[0] == 2
    assert list((tmp_path / "home").glob("tcnfast-*/*"))


def test_without_any_folder_it_compiles_every_time(package, tmp_path):
    (package / "__pycache__").mkdir(exist_ok=True)
    (package / "__pycache__" / "numba").write_text("in the way")
    (tmp_path / "home").write_text("no folder")
    assert ask(package, XDG_CACHE_HOME=str(tmp_path / "home")) == (2, False)
