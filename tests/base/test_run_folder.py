"""The life of a run: refused, locked, filled, kept, resumed, published, discarded."""

import fcntl
import json
import logging
import os
import pty
import signal
import subprocess
import sys
import termios
import time

import pytest

from tcnfast.base.errors import Misfit, TcnfastError
from tcnfast.base.options import Run, speaking_of_flags
from tcnfast.base.output_file import output_file
from tcnfast.base.run_folder import RunFolder, read_record

KEY = {"answer": 42}


def start(out, key=KEY, *, resumable=True, **run):
    return RunFolder(out, "test", Run(**run), key=key, resumable=resumable)


def finish(out, text="whole", **how):
    with start(out, **how) as folder:
        (folder.result / "data.txt").write_text(text)
        folder.publish({"device": "cpu"})
    return folder


def stop(out, key=KEY, **how):
    """A run that stops after it has settled its key and written a shard."""
    with pytest.raises(ZeroDivisionError), start(out, key, **how) as folder:
        folder.settle()
        (folder.work / "shard").write_text("1")
        raise ZeroDivisionError
    return folder


def names(path):
    return sorted(entry.name for entry in path.iterdir())


def test_a_whole_run(tmp_path):
    out = tmp_path / "deep" / "out"
    folder = finish(out)
    assert folder.path == out and names(out) == ["data.txt", "run.json"]
    assert names(out.parent) == ["out"]
    record = json.loads((out / "run.json").read_text())
    assert record["key"] == {"command": "test", **KEY} and record["device"] == "cpu"
    assert record["command"] == "test" and record["versions"]["tcnfast"] and record["seconds"] >= 0
    assert read_record(out, "test") == record


def test_an_existing_output_is_refused_replaced_or_complete(tmp_path):
    out = tmp_path / "out"
    finish(out)
    with pytest.raises(TcnfastError, match="exists; choose another out, or force=True to replace"):
        start(out)
    with speaking_of_flags(), pytest.raises(TcnfastError, match="another -o/--output, or --force"):
        start(out)
    assert start(out, resume=True).complete
    with pytest.raises(TcnfastError, match="is the result of another run"):
        start(out, {"answer": 41}, resume=True)
    finish(out, "new", key={"answer": 41}, force=True)
    assert (out / "data.txt").read_text() == "new" and names(tmp_path) == ["out"]


def test_what_is_no_output_of_the_command_is_left_alone(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years")
    for run in ({}, {"force": True}, {"resume": True}):
        with pytest.raises(TcnfastError, match="is no output of tcnfast test"):
            start(tmp_path / "mine", **run)
    (tmp_path / "out.partial").mkdir()
    (tmp_path / "out.partial" / "thesis.txt").write_text("years")
    for run in ({}, {"force": True}):
        with pytest.raises(TcnfastError, match="is in the way"):
            start(tmp_path / "out", **run)
    assert names(tmp_path / "out.partial") == ["thesis.txt"]


def test_a_stopped_run_is_kept_and_gone_on_with(tmp_path, caplog):
    out = tmp_path / "out"
    with caplog.at_level(logging.WARNING):
        stop(out)
    assert "what is finished is kept in" in caplog.text and "resume=True" in caplog.text
    with pytest.raises(TcnfastError, match="was left by an unfinished run; give resume=True"):
        start(out)
    with pytest.raises(TcnfastError, match="with other inputs or settings"):
        start(out, {"answer": 1}, resume=True)
    with start(out, resume=True) as folder:
        assert (folder.work / "shard").read_text() == "1" and not folder.complete
        (folder.result / "data.txt").write_text("both")
        folder.publish()
    assert names(out) == ["data.txt", "run.json"] and names(tmp_path) == ["out"]


def test_nothing_is_kept_of_inputs_that_do_not_fit(tmp_path, caplog):
    """Going on would come to the same end."""
    out = tmp_path / "out"
    for run in ({}, {"resume": True}):
        if run:
            stop(out)
            caplog.clear()
        with pytest.raises(Misfit), start(out, **run) as folder:
            folder.settle()
            (folder.work / "shard").write_text("1")
            raise Misfit("g.fa: changed")
        assert names(tmp_path) == [] and not caplog.records


def test_force_begins_an_unfinished_run_anew(tmp_path):
    stop(tmp_path / "out")
    with start(tmp_path / "out", force=True) as folder:
        assert not (folder.work / "shard").exists()


@pytest.mark.parametrize("why", ["not resumable", "not settled", "key is wrong", "not worth it"])
def test_a_stopped_run_that_cannot_be_gone_on_with_leaves_nothing(tmp_path, why, caplog):
    def wrong():
        raise TcnfastError("the genome changed")

    keeping = {"key is wrong": True, "not worth it": False}.get(why)
    folder = RunFolder(
        tmp_path / "out",
        "test",
        Run(),
        key=wrong if why == "key is wrong" else lambda: KEY,
        resumable=why != "not resumable",
        worth_keeping=None if keeping is None else lambda: keeping,
    )
    with pytest.raises(KeyboardInterrupt), folder:
        if why == "not resumable":
            folder.settle()
        raise KeyboardInterrupt
    assert names(tmp_path) == [] and "kept" not in caplog.text


def test_work_that_was_never_settled_is_begun_anew(tmp_path):
    folder = start(tmp_path / "out", lambda: KEY)
    (folder.work / "shard").write_text("1")
    folder._lock.close()  # as after a kill
    with start(tmp_path / "out", lambda: KEY, resume=True) as folder:
        assert not (folder.work / "shard").exists()


def test_an_empty_folder_is_filled_and_not_replaced(tmp_path):
    out = tmp_path / "volume"
    out.mkdir()
    inode = out.stat().st_ino
    stop(out)
    assert names(tmp_path) == ["volume"] and names(out) == [".partial"]
    finish(out, resume=True)
    assert out.stat().st_ino == inode and names(out) == ["data.txt", "run.json"]


def test_a_mount_point_is_filled_again_with_force(tmp_path, monkeypatch):
    out = tmp_path / "volume"
    out.mkdir()
    finish(out)
    (out / "old.txt").write_text("of the first run")
    monkeypatch.setattr(os.path, "ismount", lambda path: str(path) == str(out))
    monkeypatch.setattr(type(out), "rename", _within(out))
    finish(out, "new", force=True)
    assert names(out) == ["data.txt", "run.json"] and (out / "data.txt").read_text() == "new"


def _within(mount):
    """Path.rename that fails, as it does across a mount point."""
    rename = type(mount).rename

    def checked(self, target):
        assert str(self).startswith(f"{mount}/") and str(target).startswith(f"{mount}/")
        return rename(self, target)

    return checked


def test_a_link_is_followed_and_stays(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk" / "out")
    folder = finish(tmp_path / "link")
    assert folder.path == tmp_path / "disk" / "out" and (tmp_path / "link").is_symlink()
    assert names(tmp_path / "link") == ["data.txt", "run.json"]
    assert names(tmp_path) == ["disk", "link"]


def test_a_second_run_into_one_folder_is_told_so(tmp_path):
    out = tmp_path / "out"
    with start(out) as first:
        for run in ({}, {"force": True}, {"resume": True}):
            words = f"another run is writing to it \\(process {os.getpid()}\\)"
            with pytest.raises(TcnfastError, match=words):
                start(out, **run)
        (first.result / "data.txt").write_text("mine")
        first.publish()
    assert names(out) == ["data.txt", "run.json"]


def test_what_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(TcnfastError, match="cannot be made"):
        start(tmp_path / "file" / "out")
    with pytest.raises(TcnfastError, match="resume: tcnfast test cannot be resumed"):
        start(tmp_path / "out", resumable=False, resume=True)
    with pytest.raises(TcnfastError, match="force=True and resume=True: give one of the two"):
        start(tmp_path / "out", force=True, resume=True)


def test_read_record_says_what_a_folder_is(tmp_path):
    with pytest.raises(TcnfastError, match="no such folder; give the output of tcnfast scan"):
        read_record(tmp_path / "none", "scan")
    finish(tmp_path / "out")
    with pytest.raises(TcnfastError, match="no output of tcnfast scan .*it is one of tcnfast test"):
        read_record(tmp_path / "out", "scan")


def test_output_file(tmp_path):
    (tmp_path / "page.html").write_text("")
    assert output_file(tmp_path / "new.html", False) == tmp_path / "new.html"
    assert output_file(tmp_path / "page.html", True) == tmp_path / "page.html"
    with pytest.raises(TcnfastError, match="exists; choose another out"):
        output_file(tmp_path / "page.html", False)
    with pytest.raises(TcnfastError, match="is a folder"):
        output_file(tmp_path, True)
    with pytest.raises(TcnfastError, match="no such folder, for out"):
        output_file(tmp_path / "none" / "page.html", False)


SLEEPER = """
import sys, time
from tcnfast import cli
from tcnfast.base.run_folder import RunFolder
from tcnfast.base.verb import OUT, verb

@verb("sleep", OUT, run=("force", "resume"))
def sleep(out, *, options, run):
    with RunFolder(out, "sleep", run, key=lambda: {"a": 1}, resumable=True) as folder:
        if "--force" not in sys.argv:
            folder.settle()
        print("ready", flush=True)
        for _ in range(1000):  # a signal just before one long sleep would be seen after it
            time.sleep(0.1)

cli.ROOMS = {"sleep": "base"}
sys.exit(cli.main(["sleep", *sys.argv[1:]]))
"""


@pytest.mark.parametrize(
    "number, code, word",
    [(signal.SIGTERM, 143, "terminated"), (signal.SIGINT, 130, "interrupted")],
)
def test_signals_stop_every_command_alike(tmp_path, number, code, word):
    process = subprocess.Popen(
        [sys.executable, "-c", SLEEPER, "-o", tmp_path / "out"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    began = time.monotonic()
    process.send_signal(number)
    _, talk = process.communicate(timeout=30)
    assert process.returncode == code and time.monotonic() - began < 10
    assert "go on with --resume" in talk and talk.endswith(f"tcnfast: {word}\n")
    assert names(tmp_path) == ["out.partial"]


def test_ctrl_c_before_anything_is_kept_says_so(tmp_path):
    """On a terminal, as a person presses it."""
    keyboard, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", SLEEPER, "-o", tmp_path / "out", "--force"],
        stdin=terminal,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: (os.setsid(), fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)),
    )
    try:
        assert process.stdout.readline() == "ready\n"
        os.write(keyboard, b"\x03")
        _, talk = process.communicate(timeout=30)
    finally:
        process.kill()
        os.close(terminal), os.close(keyboard)
    assert process.returncode == 130 and names(tmp_path) == []
    assert talk.splitlines() == [
        "tcnfast: sleep: stopped before anything was finished: nothing is left of it",
        "tcnfast: interrupted",
    ]


def test_what_is_no_interrupt_says_nothing_of_keeping(tmp_path, caplog):
    with pytest.raises(ZeroDivisionError), start(tmp_path / "out", resumable=False) as folder:
        (folder.work / "shard").write_text("1")
        raise ZeroDivisionError
    assert names(tmp_path) == [] and caplog.text == ""
