"""Many tracks in many processes."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.track import random_logits, shard_of

from tcnfast.base.errors import TcnfastError
from tcnfast.scan import track_bigwig, track_shards
from tcnfast.scan.track_bigwig import Track, write_bigwigs

SIZES = {"a": 32_000, "b": 32, "c": 16_000}
LABELS = 12


def many(folder, floors=(-2,) * LABELS):
    """Twelve tracks over three contigs."""
    folder.mkdir(exist_ok=True)
    shards = [
        [str(shard_of(folder / chrom, random_logits(size // 32, LABELS, index), floors))]
        for index, (chrom, size) in enumerate(SIZES.items())
    ]
    paths = [str(folder / f"{label}.bw") for label in range(LABELS)]
    return [Track(path, SIZES, shards, LABELS, label, 32) for label, path in enumerate(paths)]


@pytest.fixture
def always(monkeypatch):
    """Processes however little there is to write."""
    monkeypatch.setattr(track_bigwig, "WORTH_A_PROCESS", 0)


@pytest.fixture
def program(tmp_path, monkeypatch, always):
    """program(source): what runs in place of the module that writes a track; ``parent`` is who
    started it."""

    def replace_by(source):
        lines = textwrap.indent(textwrap.dedent(source).strip(), "    ")
        (tmp_path / "writer.py").write_text(
            "import os, sys, time\nfrom tcnfast.scan.child import serve\n\n"
            f"def work(parent):\n{lines}\n\ndef main(number):\n    serve(number, work)\n"
        )
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.setattr(track_bigwig, "WRITER", "writer")

    return replace_by


def test_processes_and_other_tracks_do_not_change_the_bytes(tmp_path, monkeypatch, always):
    every = many(tmp_path / "all")
    write_bigwigs(every, 1)
    want = [Path(track.path).read_bytes() for track in every]
    for track in every:
        os.unlink(track.path)
    write_bigwigs(every, 5)
    assert [Path(track.path).read_bytes() for track in every] == want
    monkeypatch.setattr(track_shards, "CHANGES_AT_ONCE", 50)
    alone = many(tmp_path / "alone", np.where(np.arange(LABELS) == 7, -2, np.nan))[7]
    write_bigwigs([alone], 5)
    assert Path(alone.path).read_bytes() == want[7]


def test_no_process_for_one_track_one_thread_or_little(tmp_path, monkeypatch, program):
    program("raise ValueError('started')")
    every = many(tmp_path)
    write_bigwigs(every, 1)
    write_bigwigs(every[:1], 9)
    with pytest.raises(RuntimeError, match="0.bw: ValueError: started"):
        write_bigwigs([every[0], every[0]], 9)
    monkeypatch.undo()
    write_bigwigs(every, 9)


def test_an_oserror_of_a_process_is_raised_here(tmp_path, always):
    every = many(tmp_path)
    every[3] = replace(every[3], path=str(tmp_path / "no" / "3.bw"))
    with pytest.raises(FileNotFoundError, match="No such file") as caught:
        write_bigwigs(every, 2)
    assert caught.value.filename == every[3].path


def test_a_killed_process_is_an_error_that_names_the_track(tmp_path, program):
    program("os.kill(os.getpid(), 9)")
    with pytest.raises(TcnfastError, match=r"^0.bw: its process was killed \(SIGKILL; is memory"):
        write_bigwigs([many(tmp_path)[0]] * 2, 2)


def test_a_defect_in_a_process_names_the_track(tmp_path, program):
    program("1 / 0")
    with pytest.raises(RuntimeError, match="^0.bw: ZeroDivisionError: division by zero"):
        write_bigwigs([many(tmp_path)[0]] * 2, 2)


# one process that writes down its number and stays, unless its track is the third
STAYS = """
track = parent.receive()
with open(track.path + ".pid", "w") as file:
    print(os.getpid(), file=file, flush=True)
while track.label != 2 or len([x for x in os.listdir(".") if x.endswith(".pid")]) < 3:
    time.sleep(0.01)
raise ValueError("failed")
"""


def assert_all_ended(folder):
    numbers = [int(path.read_text() or 0) for path in folder.glob("*.pid")]
    assert numbers
    for number in filter(None, numbers):
        with pytest.raises(ProcessLookupError):
            os.kill(number, 0)


def test_an_error_in_one_track_ends_them_all(tmp_path, monkeypatch, program):
    program(STAYS)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RuntimeError, match="2.bw: ValueError: failed"):
        write_bigwigs(many(tmp_path), 3)
    assert_all_ended(tmp_path)


INTERRUPTED = """
import json, sys
from tcnfast.scan import track_bigwig

sys.path.insert(0, "")
track_bigwig.WORTH_A_PROCESS, track_bigwig.WRITER = 0, "writer"
tracks = [track_bigwig.Track(**fields) for fields in json.load(sys.stdin)]
try:
    track_bigwig.write_bigwigs(tracks, 2)
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.parametrize("group", [True, False])
def test_an_interrupt_ends_the_processes(tmp_path, program, group):
    """``group``: all processes get the signal, as of Ctrl-C in a terminal."""
    import json
    from dataclasses import asdict

    program(STAYS.replace("!= 2", "!= 99"))
    (tmp_path / "tracks.json").write_text(json.dumps([asdict(x) for x in many(tmp_path)]))
    with open(tmp_path / "tracks.json") as file:
        process = subprocess.Popen(
            [sys.executable, "-c", INTERRUPTED],
            stdin=file,
            stdout=subprocess.PIPE,
            cwd=tmp_path,
            start_new_session=True,
            text=True,
        )
    while len([x for x in tmp_path.glob("*.pid") if x.read_text()]) < 2 and process.poll() is None:
        time.sleep(0.01)
    (os.killpg if group else os.kill)(process.pid, signal.SIGINT)
    assert process.communicate(timeout=30)[0] == "interrupted\n" and process.returncode == 0
    assert_all_ended(tmp_path)
    assert not list(tmp_path.glob("*.bw"))
