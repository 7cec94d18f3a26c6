"""One run at a time writes to a folder, whenever the others begin; and no lock outlives its run."""

import errno
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from random import Random

import pytest

from tcnfast.base.errors import TcnfastError
from tcnfast.base.options import Run
from tcnfast.base.run_folder import KEY, LOCK, RunFolder

HOWS = [{"force": True}, {"resume": True}, {}]


def start(out, **run):
    return RunFolder(out, "test", Run(**run), key={"answer": 42}, resumable=True)


def finish(folder, text="whole"):
    (folder.result / "data.txt").write_text(text)
    return folder.publish()


def test_many_runs_at_once_and_never_two(tmp_path, monkeypatch):
    monkeypatch.setattr("tcnfast.base.run_record.versions", dict)
    out, mark, end, seen = tmp_path / "out", tmp_path / "mark", time.monotonic() + 2, []

    def work(seed):
        draws = Random(seed)
        while time.monotonic() < end:
            try:
                with start(out, **draws.choice(HOWS)) as folder:
                    if folder.complete:
                        continue
                    os.close(os.open(mark, os.O_CREAT | os.O_EXCL))  # raises where there are two
                    time.sleep(draws.random() * 0.002)
                    os.unlink(mark)
                    if draws.random() < 0.3:
                        raise ZeroDivisionError
                    finish(folder)
                    seen.append("published")
            except ZeroDivisionError:
                pass
            except TcnfastError as error:
                if not any(x in str(error) for x in ("another run", "exists", "unfinished run")):
                    seen.append(str(error))
            except BaseException as error:
                seen.append(repr(error))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(seen) == {"published"}


def test_a_lock_whose_file_is_gone_is_none(tmp_path, monkeypatch):
    """The run before deletes its folder between our opening of the lock and our locking of it."""
    out, flock, gone = tmp_path / "out", fcntl.flock, []

    def late(file, how):
        if not gone:
            gone.append(shutil.rmtree(tmp_path / "out.partial"))
        return flock(file, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with start(out) as folder:
        assert (folder.work / LOCK).exists() and gone
        with pytest.raises(TcnfastError, match="another run is writing to it"):
            start(out, force=True)
        finish(folder)


@pytest.mark.parametrize("run", HOWS, ids=str)
def test_a_run_that_ended_while_we_waited_is_seen(tmp_path, monkeypatch, run):
    out, flock = tmp_path / "out", fcntl.flock

    def late(file, how):
        monkeypatch.setattr(fcntl, "flock", flock)
        with start(out) as other:
            finish(other, "theirs")
        return flock(file, how)

    monkeypatch.setattr(fcntl, "flock", late)
    if not run:
        with pytest.raises(TcnfastError, match="exists; choose another out"):
            start(out)
    else:
        with start(out, **run) as folder:
            assert folder.complete == ("resume" in run)
            if not folder.complete:
                finish(folder, "ours")
    assert (out / "data.txt").read_text() == ("ours" if "force" in run else "theirs")
    assert os.listdir(tmp_path) == ["out"]


def test_a_folder_made_meanwhile_does_not_hide_the_run(tmp_path):
    """An output that is there and empty is worked on inside it, any other beside it."""
    with start(tmp_path / "out") as folder:
        (tmp_path / "out").mkdir()
        for run in HOWS:
            with pytest.raises(TcnfastError, match=f"another run .*{os.getpid()}"):
                start(tmp_path / "out", **run)
        (tmp_path / "out").rmdir()
        finish(folder)


DIES = """
import os, sys
from tcnfast.base.options import Run
from tcnfast.base.run_folder import RunFolder
folder = RunFolder(sys.argv[1], "test", Run(), key={"answer": 42}, resumable=True)
(folder.work / "shard").write_text("1")
os.kill(os.getpid(), 9)
"""


def test_the_lock_of_a_killed_run_holds_nobody_up(tmp_path):
    out = tmp_path / "out"
    code = subprocess.run([sys.executable, "-c", DIES, out], timeout=120).returncode
    assert code == -signal.SIGKILL and (tmp_path / "out.partial" / LOCK).read_text()
    with start(out, resume=True) as folder:
        assert (folder.work / "shard").read_text() == "1"
        finish(folder)


def test_a_kill_while_the_work_is_deleted_leaves_what_is_known_as_ours(tmp_path, monkeypatch):
    unlink = Path.unlink

    def killed(path):
        if path.name == KEY:
            raise KeyboardInterrupt
        unlink(path)

    with pytest.raises(ZeroDivisionError), start(tmp_path / "out") as folder:
        (folder.work / "a").write_text("")
        (folder.work / "z").write_text("")
        raise ZeroDivisionError
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "unlink", killed)
        start(tmp_path / "out", force=True)
    with start(tmp_path / "out", force=True) as folder:
        assert sorted(os.listdir(folder.work)) == [KEY, LOCK]


@pytest.mark.parametrize("run", HOWS, ids=str)
def test_what_a_full_disk_left_at_the_very_start_is_in_nobodys_way(tmp_path, run):
    work = tmp_path / "out.partial"
    work.mkdir()
    (work / LOCK).write_text("")
    (work / f"{KEY}.tmp").write_text("{")
    with start(tmp_path / "out", **run) as folder:
        assert sorted(os.listdir(work)) == [KEY, LOCK]
        finish(folder)


def no_room(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_at_the_very_start(tmp_path, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(TcnfastError) as caught:
        patch.setattr("pathlib.Path.write_bytes", no_room)
        start(tmp_path / "out")
    words = str(caught.value)
    assert "key.json: cannot be written (No space left on device (" in words
    assert "bytes are needed, " in words and "bytes are free" in words
    assert not os.listdir(tmp_path)
    finish(start(tmp_path / "out"))


def test_a_full_disk_in_a_run_says_where_and_what_is_free(tmp_path):
    with pytest.raises(OSError, match="bytes are free") as caught, start(tmp_path / "out"):
        no_room()
    assert caught.value.filename == str(tmp_path / "out.partial")
