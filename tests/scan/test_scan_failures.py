"""``tcnfast scan`` where the world changes under it: inputs, and the process that writes calls."""

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from support.scan import FP32, TRACKS, files_in, partial, run_record_of, small_genome, write_fasta

import tcnfast
from tcnfast.base.errors import TcnfastError
from tcnfast.base.run_folder import RunFolder
from tcnfast.scan import ScanOptions, inputs, pipeline, scan_genome
from tcnfast.scan.inputs import InputFiles
from tcnfast.scan.narrowpeak import PeakFiles, PeakProcess
from tcnfast.scan.peaks import RUN

pytestmark = pytest.mark.usefixtures("small_segments")

# inputs


@pytest.fixture
def own(tmp_path):
    """A genome that may be damaged."""
    return write_fasta(tmp_path / "own.fa", small_genome())


@pytest.fixture
def on_read(monkeypatch):
    """on_read(n, act): ``act`` is called before the n-th segment is read; what was read before is
    taken in by then."""
    read = pipeline.read

    def arm(n, act):
        left = [n]

        def reading(*args):
            left[0] -= 1
            if not left[0]:
                act()
            return read(*args)

        monkeypatch.setattr(pipeline, "look_ahead", lambda readers: 0)
        monkeypatch.setattr(pipeline, "WRITE_BEHIND", 0)
        monkeypatch.setattr(pipeline, "read", reading)

    return arm


def test_a_genome_that_shrinks_is_an_error_and_what_was_finished_is_kept(
    scanned, fasta, own, model, out, cli, on_read
):
    data, status = own.read_bytes(), own.stat()
    on_read(4, lambda: os.truncate(own, 50_000))
    code, lines = cli(own, "-m", model, "-o", out, "--tracks", ",".join(TRACKS))
    assert code == 1 and "own.fa: became shorter while it was read" in lines[-1]
    own.write_bytes(data)
    os.utime(own, ns=(status.st_atime_ns, status.st_mtime_ns))
    on_read(99, None)
    tcnfast.scan(own, model, out, tracks=TRACKS, resume=True, **FP32)
    assert files_in(out) == files_in(scanned.path)


@pytest.mark.parametrize("when", [2, 4, 7])
def test_a_genome_that_changes_is_an_error(own, model, out, cli, on_read, when):
    """To another of the same length, even: the time of the file tells."""
    other = own.read_bytes()[::-1]
    on_read(when, lambda: own.write_bytes(b">chr20\n" + other[:-7]))
    code, lines = cli(own, "-m", model, "-o", out)
    assert code == 1 and "own.fa" in lines[-1] and not out.exists()
    assert "changed while it was scanned" in lines[-1] or "does not fit the index" in lines[-1]


def test_a_genome_that_changes_at_the_very_end_is_an_error(own, model, out, cli, monkeypatch):
    def touch(*_):
        os.utime(own, ns=(1, 1))

    monkeypatch.setattr(scan_genome, "write_rows", touch)
    code, lines = cli(own, "-m", model, "-o", out)
    assert code == 1 and "own.fa: changed while it was scanned; scan it anew" in lines[-1]
    assert not out.exists()


def test_what_was_hashed_late_of_a_changed_genome_is_not_kept(
    own, model, out, cli, interrupt, monkeypatch
):
    """Stretches were finished, but which bytes they are of is not known."""
    named_hash = inputs.named_hash

    def late(path):
        time.sleep(0.5)
        return named_hash(path)

    monkeypatch.setattr(inputs, "named_hash", late)
    interrupt(4, OSError("a failure"))
    settle = RunFolder.settle

    def changed(folder):
        os.utime(own, ns=(1, 1))
        settle(folder)

    monkeypatch.setattr(RunFolder, "settle", changed)
    code, lines = cli(own, "-m", model, "-o", out)
    assert code == 1 and len(lines) == 1 and "a failure" in lines[0]
    assert not out.exists() and not partial(out).exists()


def test_a_genome_is_hashed_while_it_is_scanned(own, model, out, monkeypatch, scored):
    named_hash, scored_before = inputs.named_hash, []

    def slow(path):
        deadline = time.monotonic() + 20
        while len(scored) < 7 and time.monotonic() < deadline:
            time.sleep(0.01)
        scored_before.append(len(scored))
        return named_hash(path)

    monkeypatch.setattr(inputs, "named_hash", slow)
    tcnfast.scan(own, model, out, **FP32)
    assert scored_before == [7]
    assert run_record_of(out)["key"]["genome"] == [list(named_hash(own))]


def test_input_files_see_what_happens_to_them(tmp_path):
    path = tmp_path / "x"
    path.write_text("abc")
    for change in (
        lambda: path.write_text("abcd"),
        lambda: os.utime(path, ns=(5, 5)),
        lambda: (tmp_path / "y").write_text("abc") and (tmp_path / "y").rename(path),
        path.unlink,
    ):
        seen = InputFiles([path])
        seen.check()
        change()
        with pytest.raises(TcnfastError, match="x: changed while it was scanned"):
            seen.check()


# the process that writes calls


def runs(*rows):
    """RUN of (label, first, last) rows."""
    calls = np.zeros(len(rows), RUN)
    for name, column in zip(("label", "first", "last"), zip(*rows, strict=True), strict=True):
        calls[name] = column
    return calls


def two_contigs(folder):
    """A format of two labels, and what is to be added: contigs with the shards of stretches."""
    shards = {
        "a0": runs((0, 5, 9), (1, 0, 3), (1, 98, 99)),
        "a1": runs((1, 100, 100)),
        "b0": np.empty(0, RUN),
    }
    for name, calls in shards.items():
        np.save(folder / f"{name}.npy", calls)
    files = [("X", 1, folder / "X.narrowPeak"), ("Y", 0, None), ("Z", 2, folder / "Z.narrowPeak")]
    add = [
        ("a", 3210, [folder / "a0.npy", folder / "a1.npy"]),
        ("b", 10, [folder / "b0.npy"]),
    ]
    return (files[:1] + files[2:], ScanOptions()), add


@pytest.mark.parametrize("kind", [PeakFiles, PeakProcess])
def test_calls_of_stretches_are_joined_and_written(tmp_path, kind):
    form, contigs = two_contigs(tmp_path)
    files = kind(*form)
    for contig in contigs:
        files.add(*contig)
    counts = files.finish()
    files.close()
    assert counts.tolist() == [[[2, 128 + 74], [0, 0]], [[0, 0], [0, 0]]]
    lines = (tmp_path / "X.narrowPeak").read_text().splitlines()
    assert [line.split("\t")[:4] for line in lines] == [
        ["a", "0", "128", "X"],
        ["a", "3136", "3210", "X"],
    ]
    assert (tmp_path / "Z.narrowPeak").read_bytes() == b"" and files.seconds > 0


def test_a_failure_in_the_process_is_raised_here(tmp_path):
    form, contigs = two_contigs(tmp_path)
    os.unlink(tmp_path / "a1.npy")
    files = PeakProcess(*form)
    files.add(*contigs[0])
    with pytest.raises(FileNotFoundError) as caught:
        files.finish()
    assert caught.value.filename == str(tmp_path / "a1.npy")
    files.close()


def processes_below():
    """Those that this one started and that have not ended."""
    return {
        int(p) for x in Path("/proc/self/task").glob("*/children") for p in x.read_text().split()
    }


@pytest.mark.parametrize("moment", ["add", "finish"])
def test_a_killed_process_is_an_error_that_says_what_it_was(tmp_path, moment):
    before = processes_below()
    form, contigs = two_contigs(tmp_path)
    files = PeakProcess(*form)
    (pid,) = processes_below() - before
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    with pytest.raises(TcnfastError, match=r"narrowPeak files: its process was killed \(SIGKILL"):
        files.add(*contigs[0]) if moment == "add" else files.finish()
    files.close()


def test_a_scan_with_a_process_writes_the_same_bytes(scanned, fasta, model, out, monkeypatch):
    monkeypatch.setattr(scan_genome, "WORTH_A_PROCESS", 0)
    tcnfast.scan(fasta, model, out, tracks=TRACKS, **FP32)
    assert files_in(out) == files_in(scanned.path)


def test_a_full_disk_under_the_process_is_one_line(
    scanned, fasta, model, out, cli, monkeypatch, scored
):
    """Its files are where nothing can be written; the scan stops, and goes on with --resume."""
    monkeypatch.setattr(scan_genome, "WORTH_A_PROCESS", 0)
    words = (fasta, "-m", model, "-o", out, "--tracks", ",".join(TRACKS))
    with monkeypatch.context() as patch:
        full = Path("/dev/full")
        elsewhere = lambda files, *x: PeakProcess([(*y, full) for *y, _ in files], *x)  # noqa: E731
        patch.setattr(scan_genome, "PeakProcess", elsewhere)
        code, lines = cli(*words)
    assert code == 1 and "No space left on device" in lines[-1] and "defect" not in lines[-1]
    scored.clear()
    assert cli(*words, "--resume") == (0, []) and len(scored) < 7
    assert files_in(out) == files_in(scanned.path)
