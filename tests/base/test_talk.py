"""What is said on stderr: lines on a terminal and elsewhere, progress of a run that goes on."""

import ast
import ctypes
import fcntl
import io
import logging
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from tcnfast import cli
from tcnfast.base import progress
from tcnfast.base.errors import Terminated
from tcnfast.base.progress import Progress
from tcnfast.base.talk import count, wrapped

LOOP = """
import logging, sys
from tcnfast.base.progress import Progress
from tcnfast.base.talk import Talk
logging.basicConfig(level=logging.INFO, handlers=[Talk()])
with Progress(4, "step") as bar:
    bar.begin_at(2)
    for step in range(2):
        bar.update(1)
        logging.info("a line that is longer than the terminal is wide, by several words, %d", step)
"""


def on_a_terminal(code, columns):
    """What ``code`` writes to a terminal of this width."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")}
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=slave, env=environment
    )
    os.close(slave)
    text = b""
    while True:
        try:
            part = os.read(master, 4096)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        text += part
    os.close(master)
    assert child.wait() == 0
    return text.decode()


@pytest.mark.parametrize("columns", [70, 50])
def test_lines_wrap_at_words_and_stay_away_from_bars(columns):
    text = on_a_terminal(LOOP, columns)
    said = [line.rsplit("\r", 1)[-1] for line in text.replace("\r\n", "\n").split("\n")]
    said = [line.replace("\x1b[A", "") for line in said if line.strip() and "%|" not in line]
    for step in range(2):
        first = next(i for i, line in enumerate(said) if line.startswith("tcnfast: a line"))
        message = said[first : first + 2]
        assert " ".join(x.strip() for x in message) == (
            f"tcnfast: a line that is longer than the terminal is wide, by several words, {step}"
        )
        assert all(len(line) < columns for line in message) and message[1].startswith("  ")
        del said[first : first + 2]
    bars = [line for line in text.split("\r") if "%|" in line]
    assert bars[0].startswith(("  0%", " 50%")) and any("| 2/4 [" in bar for bar in bars)
    assert "| 4/4 [" in bars[-1] and not any("tcnfast:" in bar.split("]")[0] for bar in bars)


def test_an_error_wraps_at_words_too():
    words = "it is of another assembly than the model is of: scan another, or take another model"
    code = f"""
import tcnfast.cli as cli
def fail(*_): raise cli.TcnfastError({words!r})
cli.call = fail
cli.main(["labels"])
"""
    lines = on_a_terminal(code, 50).splitlines()
    assert lines[0].startswith("tcnfast: error: it is of") and len(lines) == 3
    assert all(len(line) < 50 for line in lines) and all(x.startswith("  ") for x in lines[1:])
    assert " ".join(line.strip() for line in lines) == f"tcnfast: error: {words}"


def test_a_path_stays_whole():
    path = "/a/very/long/path/" + "x" * 70
    assert path in wrapped(f"tcnfast: {path}: cannot be read", 60).split()[1]


def test_elsewhere_a_message_is_one_line(capfd):
    code = LOOP.replace("Progress(4,", "Progress(4, enabled=False, unit=").replace(
        "unit= ", "unit="
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("\n") == 2 and "by several words, 1\n" in done.stderr


def test_time_left_is_that_of_this_run(monkeypatch, caplog):
    """Three quarters were done before: the rest takes as long as it takes now."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with caplog.at_level(logging.INFO), Progress(400, "step") as bar:
        bar.begin_at(300)
        now[0] += 50.0
        bar.update(50)
    assert " 88 %, about 50 s left" in caplog.text


@pytest.mark.parametrize("n, words", [(0, "0 calls"), (1, "1 call"), (2, "2 calls")])
def test_numbers_have_their_plural(n, words):
    assert count(n, "call") == words


THINGS = """backgrounds blocks cells columns genomes headers labels networks paths peaks processors
    rows seqlets sites steps threads trainings windows workers""".split()
NEVER_ONE = {  # what is said of more than one alone
    "data/prepare.py": "labels",
    "doctor/output_folders.py": "networks",
    "model/load_model.py": "networks",
    "report/report_model.py": "networks",
    "scan/zarr_tracks.py": "labels columns",
    "cobind/cooperation_run.py": "backgrounds",
    "windows/window_build.py": "windows",  # of a kind: the number follows
    "train/card.py": "networks",
    "windows/frozen_network.py": "windows",
    "windows/gkm_svm.py": "windows",
    "evaluate/evaluation_report.py": "blocks",
}


def test_no_message_says_one_things():
    """A number before a plural stands in :func:`count`, which knows the singular."""
    root, found = Path(cli.__file__).parent, {}
    for path in sorted(root.rglob("*.py")):
        name = str(path.relative_to(root))
        for node in ast.walk(ast.parse(path.read_text())):
            text = ""
            if isinstance(node, ast.JoinedStr):  # {} for each value
                parts = (x.value if isinstance(x, ast.Constant) else "{}" for x in node.values)
                text = "".join(parts)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                text = node.value
            said = re.findall(rf"(?:{{}}|%d) ({'|'.join(THINGS)})\b(?!/)", text)
            known = NEVER_ONE.get(name, "").split()
            if said := [x for x in said if x not in known]:
                found[name] = said
    assert not found


@pytest.mark.parametrize(
    "stop, word, code", [(Terminated, "terminated", 143), (KeyboardInterrupt, "interrupted", 130)]
)
def test_what_fails_over_a_stop_is_told_as_the_stop(run, monkeypatch, stop, word, code):
    """A library that cleans up may fail where a signal found it half way."""

    def fail(*_):
        try:
            raise stop
        finally:
            raise AttributeError("no lock")

    monkeypatch.setattr(cli, "call", fail)
    assert run("labels") == (code, "", f"tcnfast: {word}\n")


STOPS = pytest.mark.parametrize(
    "number, word, code",
    [(signal.SIGTERM, "terminated", 143), (signal.SIGINT, "interrupted", 130)],
)


def test_a_stop_before_the_command_is_known(run, monkeypatch):
    monkeypatch.setattr(cli, "build_parser", lambda: signal.raise_signal(signal.SIGTERM))
    assert run("labels") == (143, "", "tcnfast: terminated\n")


@pytest.fixture(name="default_interrupt")
def fixture_default_interrupt():
    """SIGINT as a shell starts a command with it, not as pytest has it."""
    of_pytest = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, of_pytest)


@STOPS
def test_a_second_stop_while_the_first_is_told(
    run, monkeypatch, default_interrupt, number, word, code
):
    """As of a scheduler that asks twice: it was a traceback."""
    told = cli.last_word

    def interrupted(text):
        signal.raise_signal(number)
        told(text)

    monkeypatch.setattr(cli, "last_word", interrupted)
    monkeypatch.setattr(cli, "call", lambda *_: signal.raise_signal(number))
    assert run("labels") == (code, "", f"tcnfast: {word}\n")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


CLOSED = """
import sys
from tcnfast import cli

codes = [cli.main(["labels", "-m", "no-such-model"])]
cli.call = lambda *_: sys.stdout.write("a report") * 0
codes.append(cli.main(["labels"]))
with open(sys.argv[1], "w") as file:
    print(*codes, file.fileno() > 2, file=file)
"""


def test_streams_that_are_closed_at_the_start(tmp_path):
    """As by some schedulers: what writes a report, or an error, there met None."""
    out = tmp_path / "codes"
    command = [sys.executable, "-c", CLOSED, str(out)]
    subprocess.run(command, preexec_fn=lambda: [os.close(number) for number in (0, 1, 2)])
    assert out.read_text() == "1 0 True\n"


TWICE = """
import signal, sys
from tcnfast import cli

cli.call = lambda *_: signal.raise_signal(signal.SIGINT)
sys.argv = ["tcnfast", "labels"]
code = cli.main()
signal.raise_signal(signal.SIGINT)  # while threads are joined and modules taken down
"""


def test_a_second_ctrl_c_while_the_process_ends():
    done = subprocess.run([sys.executable, "-c", TWICE], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (-signal.SIGINT, "tcnfast: interrupted\n")


@STOPS
def test_a_stop_in_a_callback_of_a_c_library_is_not_lost(
    run, monkeypatch, default_interrupt, number, word, code
):
    """As in llvmlite's, which compiles for seconds: Python prints what they raise, and goes on."""
    callback = ctypes.CFUNCTYPE(None)(lambda: signal.raise_signal(number))

    def command(*_):
        callback()
        for _ in range(1000):
            time.sleep(0.01)

    monkeypatch.setattr(cli, "call", command)
    assert run("labels") == (code, "", f"tcnfast: {word}\n")
