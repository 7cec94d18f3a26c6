"""Room on the disk is held before a map is written to: SIGBUS cannot be caught."""

import errno
import os
import resource

import numpy as np
import pytest
from support.cli import data_words, fails

from tcnfast.base.disk import hold, new_array, save_array
from tcnfast.scan import track_bigwig


def no_room(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_new_array_is_a_file_with_room(tmp_path):
    array = new_array(tmp_path / "a.npy", np.float32, (300, 4, 70))
    status = os.stat(tmp_path / "a.npy")
    assert status.st_size == 128 + array.nbytes and status.st_blocks * 512 >= array.nbytes
    array[:] = 7
    array.flush()
    np.save(tmp_path / "b.npy", np.asarray(array))
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()


def test_a_disk_that_cannot_promise_room_is_filled(tmp_path, monkeypatch):
    def cannot(*_):
        raise OSError(errno.EOPNOTSUPP, "no")

    monkeypatch.setattr(os, "posix_fallocate", cannot)
    hold(tmp_path / "a", 2**21 + 5)
    assert (tmp_path / "a").read_bytes() == bytes(2**21 + 5)


def test_no_room_tells_how_much_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "posix_fallocate", no_room)
    with pytest.raises(
        OSError, match=r"\(1,000,000 bytes are needed, [\d,]+ bytes are free\)"
    ) as e:
        hold(tmp_path / "a", 1_000_000)
    assert e.value.filename == str(tmp_path / "a")


def test_an_array_that_may_not_grow_is_told_with_its_file(tmp_path):
    array, path = np.arange(100_000), tmp_path / "a.npy"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, before[1]))
    try:
        with pytest.raises(OSError, match=r"\(800,128 bytes are needed, ") as error:
            save_array(path, array)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert error.value.filename == str(path)
    save_array(path, array.reshape(100, -1).T)
    np.testing.assert_array_equal(np.load(path), array.reshape(100, -1).T)


def test_a_full_disk_under_the_track_of_attributions(run, home, tmp_path, monkeypatch):
    """libBigWig may crash over a write that failed: room is held before it begins."""
    pytest.importorskip("tangermeme", reason="the extra motifs is not installed: one more warning")
    (tmp_path / "r.bed").write_text("chr20\t50000\t50001\n")
    words = ["attribute", "-g", home / "genome.fa", "-m", home / "model", "-b", "r.bed", "-q"]
    monkeypatch.setattr(track_bigwig, "hold", no_room)
    fails(run(*words, "-o", "out"), "No space left on device", "bytes are free")
    assert not (tmp_path / "out").exists()


def test_prepare_and_attribute_on_a_full_disk(run, lesson, home, tmp_path, monkeypatch):
    pytest.importorskip("tangermeme", reason="the extra motifs is not installed: one more warning")
    (tmp_path / "r.bed").write_text("chr20\t50000\t50001\n")
    attribute = ["attribute", "-g", home / "genome.fa", "-m", home / "model", "-b", "r.bed"]
    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", no_room)
        for words in (["prepare", *data_words(lesson)], attribute):
            err = fails(run(*words, "-o", "out", "-q"), "No space left on device", "are needed")
            assert "codes.npy: " in err
            assert os.listdir(tmp_path) == ["r.bed"]
