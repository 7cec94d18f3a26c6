"""Several devices on one list of stretches: the same bytes, and one clear line where one fails."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.scan import (
    FP32,
    TRACKS,
    files_in,
    partial,
    random_letters,
    run_record_of,
    small_genome,
    write_fasta,
)

import tcnfast
from tcnfast.base.errors import TcnfastError
from tcnfast.base.options import Run
from tcnfast.base.run_record import version
from tcnfast.scan import child, device_engine, pieces, scan_genome
from tcnfast.scan.scan_job import chosen_devices
from tcnfast.scan.stretch_worker import Ran
from tcnfast.scan.work_pool import WorkPool

pytestmark = pytest.mark.usefixtures("small_segments")

TWO = dict(devices="cpu,cpu", precision="fp32")


@pytest.fixture
def children(monkeypatch):
    """The processes of devices that were started; all must have ended."""
    started = []

    class Recorded(child.Child):
        def __init__(self, *args):
            super().__init__(*args)
            started.append(self.process)

    monkeypatch.setattr(device_engine, "Child", Recorded)
    yield started
    assert started and all(process.poll() is not None for process in started)


@pytest.fixture
def on_finish(monkeypatch):
    """on_finish(n, act): ``act`` is called when n stretches were finished; they are short here, so
    that there are more to come."""
    monkeypatch.setattr(pieces, "STRETCH_BASES", 2**12)

    def arm(n, act):
        left = [n]

        class Acting(WorkPool):
            def run(self, report, finished, stages):
                def finished_and_act(stretch):
                    finished(stretch)
                    left[0] -= 1
                    if not left[0]:
                        act()

                return super().run(report, finished_and_act, stages)

        monkeypatch.setattr(scan_genome, "WorkPool", Acting)

    return arm


def test_two_devices_write_the_same_bytes(scanned, fasta, model, out, children, interrupt):
    """They go on, too, with what one began."""
    interrupt(2)
    with pytest.raises(KeyboardInterrupt):
        tcnfast.scan(fasta, model, out, tracks=TRACKS, **FP32)
    result = tcnfast.scan(fasta, model, out, tracks=TRACKS, resume=True, **TWO)
    assert files_in(out) == files_in(scanned.path) and result.summary.equals(scanned.summary)
    record = run_record_of(out)
    assert len(children) == 2 and record["devices"] == ["cpu", "cpu"]
    assert record["key"] == run_record_of(scanned.path)["key"]
    assert record["stages"]["compute"] > 0  # theirs


def test_a_killed_process_is_named_and_what_is_finished_is_gone_on_with(
    scanned, fasta, model, out, cli, children, on_finish
):
    def kill():
        children[1].kill()
        children[1].wait()  # else the other may finish the rest before it is dead

    on_finish(3, kill)
    words = (fasta, "-m", model, "-o", out, "--tracks", ",".join(TRACKS))
    code, lines = cli(*words, "--devices", "cpu,cpu")
    assert code == 1 and len(lines) == 2, lines
    assert "what is finished is kept in" in lines[0]
    assert lines[1] == (
        "tcnfast: error: device cpu (2 of 2): its process was killed (SIGKILL; is memory "
        "short?); --resume goes on after the last finished stretch"
    )
    assert len(list(partial(out).glob("calls.*.npy"))) >= 3
    assert cli(*words, "--resume", "--device", "cpu") == (0, [])
    assert files_in(out) == files_in(scanned.path)


def test_an_error_in_one_process_ends_the_others(model, tmp_path, out, cli, children, on_finish):
    path = write_fasta(tmp_path / "x.fa", small_genome())
    on_finish(2, lambda: os.truncate(path, 50_000))
    code, lines = cli(path, "-m", model, "-o", out, "--devices", "cpu,cpu")
    assert code == 1 and "Traceback" not in "".join(lines)
    assert lines[-1].startswith("tcnfast: error: device cpu (")
    assert "became shorter while it was read" in lines[-1] or "changed while" in lines[-1]
    assert not out.exists()


ORPHANS = """
import sys
from tcnfast.cli import main
from tcnfast.scan import pieces
pieces.STRETCH_BASES = 2**16
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize(
    "number, code",
    [pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow), (signal.SIGKILL, -9)],
)
def test_no_process_outlives_the_first(model, tmp_path, out, number, code):
    """Nor is what was finished lost."""
    path = write_fasta(tmp_path / "x.fa", {"chr1": random_letters(8_000_000)}, 8_000_000)
    words = [path, "-m", model, "-o", out, "--devices", "cpu,cpu", "--stride", "1", "-q"]
    process = subprocess.Popen(
        [sys.executable, "-c", ORPHANS, "scan", *map(str, words)],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + 120
        while not list(partial(out).glob("calls.*.npy")) and time.monotonic() < deadline:
            time.sleep(0.02)
        listed = f"/proc/{process.pid}/task/{process.pid}/children"
        numbers = [int(word) for word in Path(listed).read_text().split()]
        process.send_signal(number)
        lines = process.communicate(timeout=60)[1].splitlines()
    finally:
        process.kill()
    assert process.returncode == code and len(numbers) == 2
    while any(running(pid) for pid in numbers) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(running(pid) for pid in numbers)
    assert list(partial(out).glob("calls.*.npy")) and not out.exists()
    if number == signal.SIGTERM:
        assert len(lines) == 2 and "kept in" in lines[0] and lines[1] == "tcnfast: terminated"


def running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


# what is asked for


@pytest.mark.parametrize(
    "given, names",
    [
        (None, ["auto"]),
        ("cpu", ["cpu"]),
        ("cuda:0,cuda:1", ["cuda:0", "cuda:1"]),
        (["0", "1"], ["cuda:0", "cuda:1"]),
        (["cpu", " cpu"], ["cpu", "cpu"]),
    ],
)
def test_devices_by_name(given, names):
    assert chosen_devices(Run(devices=given)) == names


@pytest.mark.parametrize(
    "device, given, words",
    [
        ("cpu", "cpu,cpu", "device and devices: give one of the two"),
        ("auto", "", "devices: name each device"),
        ("auto", "auto,cpu", "devices: name each device"),
        ("auto", "0,0", "each GPU once"),
        ("auto", "cuda:0,cpu", "not together with a processor"),
    ],
)
def test_devices_that_cannot_work_together(device, given, words):
    with pytest.raises(TcnfastError, match=words):
        chosen_devices(Run(device=device, devices=given))


@pytest.mark.slow  # by default in test_work_pool.py, without processes
def test_devices_that_would_score_differently_are_refused(
    fasta, model, out, cli, children, monkeypatch
):
    other = Ran("cuda", "triton", "bf16", None, False, version())

    def as_if_the_first_ran_otherwise(engine, stretches, _):
        return WorkPool(engine, stretches, other)

    monkeypatch.setattr(scan_genome, "WorkPool", as_if_the_first_ran_otherwise)
    code, lines = cli(fasta, "-m", model, "-o", out, "--devices", "cpu,cpu")
    assert code == 1 and not out.exists()
    words = r"tcnfast: error: device cpu \(. of 2\): runs \S+ fp32.*, the first one triton bf16; "
    assert re.match(words, lines[-1]) and "name --backend and --precision" in lines[-1]


FAILS = """
from tcnfast.base.errors import TcnfastError
from tcnfast.scan.child import serve

def main(number):
    serve(number, work)

def work(parent):
    raise %s
"""


@pytest.mark.parametrize(
    "error, kind, words",
    [
        ("TcnfastError('device cuda:1 failed: oh')", TcnfastError, "device cuda:1 failed: oh"),
        ("TcnfastError('x.fa: oh')", TcnfastError, "device cuda:1: x.fa: oh"),
        ("KeyError('x')", RuntimeError, "device cuda:1: KeyError: 'x'"),
        ("OSError(28, 'No space', 'f')", OSError, "[Errno 28] No space: 'f'"),
        ("SystemExit(3)", RuntimeError, "device cuda:1: SystemExit: 3"),
    ],
)
def test_what_goes_wrong_in_a_process_is_raised_with_its_name(
    tmp_path, monkeypatch, error, kind, words
):
    """And with a note where."""
    (tmp_path / "fails.py").write_text(FAILS % error)
    monkeypatch.syspath_prepend(tmp_path)
    started = child.Child("fails", "device cuda:1", "try again")
    with pytest.raises(kind) as caught:
        started.receive()
    assert str(caught.value) == words and 'fails.py", line' in caught.value.__notes__[0]
    with pytest.raises(TcnfastError, match="device cuda:1: its process ended .* status 0; try ag"):
        started.receive()
    started.end()
