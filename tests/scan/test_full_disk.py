"""``tcnfast scan`` on a full disk: one line on stderr, and no half output."""

import errno
import os
import subprocess
import sys

import numpy as np
import pytest
from full_disk import FullDisk
from support.scan import TRACKS, files_in, partial, random_letters, write_fasta

from tcnfast.scan import track_shards

pytestmark = pytest.mark.usefixtures("small_segments")


def full_disk(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def assert_failed(code, lines, out):
    assert code == 1 and not out.exists()
    errors = [line for line in lines if line.startswith("tcnfast: error: ")]
    assert len(errors) == 1 and lines[-1] == errors[0] and "Traceback" not in "".join(lines)
    assert "defect" not in errors[0]
    return errors[0]


@pytest.mark.parametrize("room", [0, 300])
def test_a_full_disk_under_a_shard(fasta, model, out, cli, monkeypatch, room):
    monkeypatch.setattr(track_shards, "open", lambda *x: FullDisk(open(*x), room), raising=False)
    code, lines = cli(fasta, "-m", model, "-o", out, "--tracks", "all")
    assert "No space left on device" in assert_failed(code, lines, out)
    assert not partial(out).exists() and len(lines) == 1


def test_a_full_disk_under_the_calls(fasta, model, out, cli, monkeypatch):
    monkeypatch.setattr(np, "save", full_disk)
    code, lines = cli(fasta, "-m", model, "-o", out)
    assert "No space left on device" in assert_failed(code, lines, out)
    assert not partial(out).exists() and len(lines) == 1


@pytest.mark.parametrize("room", [3, 8, 100])
def test_a_shard_written_in_part_is_an_error(tmp_path, monkeypatch, room):
    """What a disk takes when it fills up in the middle of a write."""
    shard = track_shards.TrackShard(tmp_path / "s", np.zeros(1))
    shard.add(0, np.float32(np.arange(100) % 2 - 0.5)[:, None])
    monkeypatch.setattr(track_shards, "open", lambda *x: FullDisk(open(*x), room), raising=False)
    with pytest.raises(OSError, match="No space left"):
        shard.finish()


def test_a_full_disk_under_a_bigwig(scanned, fasta, model, out, cli, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full_disk)
        code, lines = cli(fasta, "-m", model, "-o", out, "--tracks", ",".join(TRACKS))
    assert "No space left on device" in assert_failed(code, lines, out)
    assert len(lines) == 2 and "go on with --resume" in lines[0]
    tracks_wanted = ",".join(TRACKS)
    code, lines = cli(fasta, "-m", model, "-o", out, "--tracks", tracks_wanted, "--resume")
    assert (code, lines) == (0, []) and files_in(out) == files_in(scanned.path)


LIMITED = """
import resource, sys
from tcnfast.cli import main
from tcnfast.scan import scan_genome as scan, track_bigwig

def limit():
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)

def scanned_then_limited(*args, real=scan.run_stretches):
    counts = real(*args)
    limit()
    return counts

if sys.argv[1] == "scan":
    limit()
else:
    scan.run_stretches = scanned_then_limited
if sys.argv[1] == "processes":
    track_bigwig.WORTH_A_PROCESS = 0
sys.exit(main(sys.argv[3:]))
"""


@pytest.mark.parametrize(
    "stage, room",
    [
        ("assemble", 75_000),
        ("processes", 300_000),
        pytest.param("scan", 782_000, marks=pytest.mark.slow),
        pytest.param("scan", 100_000, marks=pytest.mark.slow),
        pytest.param("assemble", 300_000, marks=pytest.mark.slow),
        pytest.param("assemble", 563_000, marks=pytest.mark.slow),
    ],
)
def test_a_file_that_cannot_grow_is_an_error_and_no_hang(model, tmp_path, out, stage, room):
    """A true failure of the operating system to write: no file may exceed ``room`` bytes.

    The shard of the track is 782 kB and that of the calls 125 kB, the largest narrowPeak 76 kB,
    the bigWig 564 kB.
    """
    fasta = write_fasta(tmp_path / "x.fa", {"chr1": random_letters(3_200_000)})
    wanted = "REST,MAX@K562" if stage == "processes" else "REST"
    words = ["scan", fasta, "-m", model, "-o", out, "-q", "--tracks", wanted, "--precision", "fp32"]
    words += ["--threads", "2"]
    process = subprocess.run(
        [sys.executable, "-c", LIMITED, stage, str(room), *map(str, words)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert process.stdout == ""
    error = assert_failed(process.returncode, process.stderr.splitlines(), out)
    assert "File too large" in error and (stage == "scan" or room < 77_000 or ".bw: " in error)
