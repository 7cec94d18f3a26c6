"""Processes of a scan: they end with the one that started them, and their own end is seen."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tcnfast.scan import narrowpeak, scan_genome
from tcnfast.scan.child import Child

pytestmark = pytest.mark.usefixtures("small_segments")

PARENT = """
import os, sys
from tcnfast.scan.child import Child
children = [Child("deaf", "a", "b") for _ in range(2)]
print(*[child.process.pid for child in children], flush=True)
{waits}
os.kill(os.getpid(), 9)
"""


def gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize("waits", ["", "import time; time.sleep(0.5)"], ids=["at once", "later"])
def test_a_child_that_never_looks_ends_with_its_parent(tmp_path, waits):
    """As one that imports, compiles or computes when its parent is killed."""
    (tmp_path / "deaf.py").write_text("import time\ntime.sleep(300)\n")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    process = subprocess.run(
        [sys.executable, "-c", PARENT.format(waits=waits)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path},
        text=True,
        timeout=120,
    )
    assert process.returncode == -signal.SIGKILL
    pids, deadline = [int(word) for word in process.stdout.split()], time.monotonic() + 30
    try:
        while not all(map(gone, pids)) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert len(pids) == 2 and all(map(gone, pids))
    finally:
        for pid in pids:
            if not gone(pid):
                os.kill(pid, signal.SIGKILL)


def test_the_death_of_the_writer_is_seen_before_the_next_contig(
    fasta, model, out, cli, monkeypatch, scored
):
    """It was seen when a contig was whole: for a minute a scan went on for nothing."""

    def stillborn(*words):
        child = Child(*words)
        child.process.kill()
        child.process.wait()
        return child

    monkeypatch.setattr(scan_genome, "WORTH_A_PROCESS", 0)
    monkeypatch.setattr(narrowpeak, "Child", stillborn)
    monkeypatch.setattr(narrowpeak.PeakProcess, "add", lambda *_: None)
    monkeypatch.setattr(narrowpeak.PeakProcess, "__init__", unsent)
    code, lines = cli(fasta, "-m", model, "-o", out)
    assert code == 1 and "narrowPeak files: its process was killed (SIGKILL" in lines[-1]
    assert len([x for x in scored if x[0] == "chr21"]) < 3  # of its three segments


def unsent(self, files, options, per_contig):
    self.seconds = 0.0
    self._child = narrowpeak.Child("tcnfast.scan.narrowpeak", "narrowPeak files", "go on")
