"""Ctrl-C ends pytest at once, whatever the threads of the interrupted test do."""

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

LONG = """
import threading, time

def test_long():
    threading.Thread(target=time.sleep, args=(100,)).start()  # no daemon: Python waits for it
    print("begun", flush=True)
    {waits}

def test_next():
    print("next", flush=True)
"""
WAITS = {
    "in the test": "time.sleep(100)",
    "lost": "\n    ".join(["try:", "    time.sleep(100)", "except BaseException:", "    pass"]),
}


@pytest.mark.parametrize("waits", WAITS.values(), ids=WAITS.keys())
@pytest.mark.checkout
def test_ctrl_c_ends_pytest(tmp_path, waits):
    tests = Path(__file__).parents[1]
    (tmp_path / "test_long.py").write_text(LONG.format(waits=waits))
    shutil.copy(tests / "conftest.py", tmp_path)
    words = ["-q", "-s", "-p", "no:cacheprovider", "-c", tests.parent / "pyproject.toml"]
    command = [sys.executable, "-m", "pytest", *words, "--rootdir", tmp_path, tmp_path]
    process = subprocess.Popen(
        [str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        while "begun" not in (line := process.stdout.readline()):
            assert line, "pytest ended before the test began"
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
        out = process.communicate(timeout=20)[0]
        assert process.returncode == 2 and time.monotonic() - began < 10, out
        assert "next" not in out.splitlines()
    finally:
        process.kill()
