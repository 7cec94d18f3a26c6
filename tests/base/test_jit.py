"""Compiled code follows an edit of any source, and is kept where the user wants it."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import tcnfast
from tcnfast.base import jit

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


RUNNING = """
import sys
import tcnfast.base.jit
from tcnfast.base.caller import ask
print("ready", flush=True)
sys.stdin.readline()
print(ask(1), tcnfast.base.jit.cache_folder().exists())
"""


def test_what_runs_while_sources_are_edited_keeps_its_folder(package):
    """It compiles later than the edit, and a folder that goes away under numba is an error."""
    kept = package / "__pycache__" / "numba"
    running = subprocess.Popen(
        [sys.executable, "-P", "-c", RUNNING],
        env={**os.environ, "PYTHONPATH": str(package.parent)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert running.stdout.readline() == "ready\n"
    (package / "base" / "callee.py").write_text(CALLEE.format(10))
    assert ask(package) == (11, False) and len(os.listdir(kept)) == 2
    out, _ = running.communicate("go on\n")
    assert out == "2 True\n"
    assert ask(package) == (11, True) and len(os.listdir(kept)) == 1


def test_a_folder_deleted_between_its_making_and_its_lock_is_made_again(tmp_path, monkeypatch):
    folder, opened = tmp_path / "cache", []

    def late(path, flags):
        if not opened:
            path.rmdir()
        opened.append(path)
        return open_(path, flags)

    open_ = os.open
    monkeypatch.setattr(os, "open", late)
    jit._hold(folder)
    monkeypatch.undo()
    assert len(opened) == 2 and folder.is_dir()
    jit._delete_unused(folder)
    assert folder.is_dir()
    (tmp_path / "other").mkdir()
    jit._delete_unused(tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_a_folder_that_is_deleted_again_and_again_is_not_used(tmp_path, monkeypatch, caplog):
    """It would go away under numba: the next place is taken, and a word said."""
    root, home = tmp_path / "package" / "__pycache__" / "numba", tmp_path / "home"
    is_open_file = jit.is_open_file
    monkeypatch.setattr(jit, "PACKAGE", tmp_path / "package")
    monkeypatch.setattr(jit, "_TRIES", 3)
    monkeypatch.setattr(
        jit, "is_open_file", lambda path, file: root != path.parent and is_open_file(path, file)
    )
    monkeypatch.setenv("XDG_CACHE_HOME", str(home))
    monkeypatch.setattr(jit.numba.config, "CACHE_DIR", "")
    folder = jit.cache_folder.__wrapped__()
    assert folder.parent.parent == home and folder.is_dir()
    assert [x.levelname for x in caplog.records] == ["WARNING"]
    assert f"{root}" in caplog.text and "compiled code is kept elsewhere" in caplog.text


@pytest.mark.parametrize("place", ["", "mine"])
def test_an_optimiser_leaves_nothing_in_tmpdir(tmp_path, place):
    """PyTorch's compiler comes with it, and makes a folder for its cache, there if not told."""
    code = "import os, sys, torch; from tcnfast.base.jit import place_torch_cache\n"
    code += "place_torch_cache(); parameter = torch.nn.Parameter(torch.zeros(2)); "
    code += "parameter.sum().backward(); torch.optim.AdamW([parameter], fused=True).step()\n"
    code += "print('torch._inductor' in sys.modules, os.listdir(os.environ['TMPDIR']))"
    (tmp_path / "tmp").mkdir()
    environment = {"TMPDIR": str(tmp_path / "tmp"), "NUMBA_CACHE_DIR": str(tmp_path / "numba")}
    if place:
        environment["TORCHINDUCTOR_CACHE_DIR"] = str(tmp_path / place)
    # an optimiser of a test before has set it in this process
    others = {name: x for name, x in os.environ.items() if name != "TORCHINDUCTOR_CACHE_DIR"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=others | environment, capture_output=True, text=True)
    assert done.stdout == "True []\n", done.stderr
    ours = list((tmp_path / "numba").glob("*/*/torchinductor"))
    assert len(ours) == (not place) and (tmp_path / "mine").exists() == bool(place)


def test_every_optimiser_is_made_after_that():
    made = 0
    for path in Path(tcnfast.__file__).parent.rglob("*.py"):
        lines = path.read_text().splitlines()
        for number, line in enumerate(lines):
            if re.search(r"= torch\.optim\.[A-Z]|torch\.optim\.[A-Z]\w*\(", line):
                made += 1
                before = [text.strip() for text in lines[max(0, number - 4) : number]]
                assert "place_torch_cache()" in before, f"{path}:{number + 1}"
    assert made >= 2
