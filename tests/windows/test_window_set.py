"""Window sets: kept on disk, chosen from, and checked for leaks."""

import json
from dataclasses import replace

import numpy as np
import pytest

from tcnfast.base.errors import TcnfastError
from tcnfast.genome.codes import reverse_complement
from tcnfast.genome.shuffle import dinucleotide_shuffles
from tcnfast.windows.window_leaks import check_leaks, same_sequences
from tcnfast.windows.window_set import GC, GIVEN, PARTS, SHUFFLE, SITE, WindowSet

LENGTH = 60


@pytest.fixture(name="windows")
def fixture_windows():
    """Ten windows of each part on two contigs, a gap between parts, of three labels."""
    rng = np.random.default_rng(0)
    part = np.repeat(np.arange(3, dtype=np.uint8), 10)
    return WindowSet(
        "small",
        ["a", "b", "c"],
        rng.integers(0, 5, (30, LENGTH), np.uint8),
        rng.integers(0, 3, (30, 3), np.uint8),
        part,
        np.where(np.arange(30) % 10 < 7, SITE, GC).astype(np.uint8),
        np.where(part == 2, 1, 0).astype(np.int16),
        np.arange(30) * LENGTH // 2 + 1_000 * part.astype(np.int64),
        ["chr1", "chr2"],
        {"recipe": {"seed": 1}},
    )


def test_a_set_comes_back(windows, tmp_path):
    windows.save(tmp_path / "set")
    again = WindowSet.open(tmp_path / "set")
    for name in ("codes", "labels", "part", "kind", "chrom", "start"):
        a, b = getattr(windows, name), getattr(again, name)
        np.testing.assert_array_equal(a, b)
        assert a.dtype == b.dtype
    for name in ("name", "names", "chroms", "about"):
        assert getattr(windows, name) == getattr(again, name)
    assert again.length == LENGTH and len(again) == 30
    assert repr(again) == "WindowSet('small', windows: 30, length: 60, labels: 3)"


def test_counts_are_those_of_the_labels(windows, tmp_path):
    windows.save(tmp_path)
    counts = json.loads((tmp_path / "windows.json").read_text())["counts"]
    for part in PARTS:
        here = windows.select(part)
        assert counts[part]["windows"] == 10 and counts[part]["kinds"] == {"site": 7, "gc": 3}
        assert counts[part]["bound"]["b"] == (here.labels[:, 1] == 1).sum()
        assert counts[part]["ambiguous"]["c"] == (here.labels[:, 2] == 2).sum()


def test_parts_are_chosen(windows):
    valid = windows.select("valid")
    np.testing.assert_array_equal(valid.codes, windows.codes[10:20])
    assert (valid.part == 1).all()
    with pytest.raises(TcnfastError, match="part 'dev': must be one of train, valid, test"):
        windows.select("dev")


@pytest.mark.parametrize(
    "name, value, words",
    [
        ("labels", np.zeros((30, 2), np.uint8), "labels is uint8 \\(30, 2\\), must be"),
        ("start", np.zeros(30, np.int32), "start is int32"),
        ("codes", np.full((30, LENGTH), 5, np.uint8), "codes holds 5, must be 4 at most"),
        ("labels", np.full((30, 3), 3, np.uint8), "labels holds 3"),
        ("part", np.full(30, 3, np.uint8), "part holds 3"),
        ("kind", np.full(30, 7, np.uint8), "kind holds 7"),
        ("chrom", np.full(30, 2, np.int16), "chrom holds 2"),
        ("chrom", np.full(30, -2, np.int16), "chrom holds -2"),
        ("names", [[], [], []], "labels must be a list of names"),
        ("names", ["a", "b", "a"], "labels names one twice"),
        ("chroms", {"chr1": 1, "chr2": 2}, "chroms must be a list of names"),
    ],
)
def test_what_does_not_fit_is_refused(windows, name, value, words):
    with pytest.raises(TcnfastError, match=words):
        replace(windows, **{name: value})


def test_folders_that_are_no_sets(windows, tmp_path):
    with pytest.raises(TcnfastError, match="is no folder of tcnfast windows prepare"):
        WindowSet.open(tmp_path)
    windows.save(tmp_path)
    data = (tmp_path / "windows.npz").read_bytes()
    (tmp_path / "windows.npz").write_bytes(data[:-1] + b"\1")
    with pytest.raises(TcnfastError, match="is not what windows.json was written for"):
        WindowSet.open(tmp_path)
    (tmp_path / "windows.npz").unlink()
    with pytest.raises(TcnfastError, match="windows.npz: cannot be read"):
        WindowSet.open(tmp_path)
    about = tmp_path / "windows.json"
    about.write_text(about.read_text().replace('"version": 1', '"version": 9'))
    with pytest.raises(TcnfastError, match="has version 9, this tcnfast reads 1"):
        WindowSet.open(tmp_path)
    about.write_text("[")
    with pytest.raises(TcnfastError, match="not JSON"):
        WindowSet.open(tmp_path)


def test_a_pickle_is_not_opened(windows, tmp_path):
    windows.save(tmp_path)
    arrays = dict(np.load(tmp_path / "windows.npz"))
    np.savez(tmp_path / "windows.npz", **arrays | {"codes": np.array([{}], object)})
    about = json.loads((tmp_path / "windows.json").read_text())
    from tcnfast.base.run_folder import file_hash

    about["files"]["windows.npz"] = file_hash(tmp_path / "windows.npz")
    (tmp_path / "windows.json").write_text(json.dumps(about))
    with pytest.raises(TcnfastError, match="codes.npy holds object"):
        WindowSet.open(tmp_path)


# leaks


def changed(windows, **cells):
    """The set with ``name={row: value}`` put in place."""
    arrays = {}
    for name, values in cells.items():
        arrays[name] = getattr(windows, name).copy()
        for row, value in values.items():
            arrays[name][row] = value
    return replace(windows, **arrays)


def test_windows_may_overlap_within_a_part(windows):
    check_leaks(windows)


@pytest.mark.parametrize("away, leaks", [(0, True), (LENGTH - 1, True), (LENGTH, False)])
@pytest.mark.parametrize("way", [-1, 1])
def test_a_test_window_on_a_training_window(windows, away, leaks, way):
    edge = windows.start[9 if way > 0 else 0] + way * away
    planted = changed(windows, chrom={25: 0}, start={25: edge})
    if not leaks:
        return check_leaks(planted)
    with pytest.raises(TcnfastError, match="chr1:.* overlap: parts share bases"):
        check_leaks(planted)


def test_a_shuffle_in_another_part_than_its_window(windows):
    """It lies where its window does."""
    planted = changed(windows, kind={29: SHUFFLE}, chrom={29: 0}, start={29: windows.start[3]})
    with pytest.raises(TcnfastError, match="train.*test.* overlap"):
        check_leaks(planted)
    check_leaks(changed(planted, part={29: 0}))


def test_a_shuffle_without_coordinates_in_another_part(windows):
    loose = replace(windows, chrom=np.full(30, -1, np.int16), start=np.full(30, -1))
    shuffle = dinucleotide_shuffles(windows.codes[3:4], np.random.default_rng(1))[0]
    planted = changed(loose, kind={29: SHUFFLE}, codes={29: shuffle})
    with pytest.raises(TcnfastError, match="window 29 .test. is a shuffle of window 3 .train."):
        check_leaks(planted)
    check_leaks(changed(planted, part={29: 0}))
    check_leaks(changed(planted, kind={29: GIVEN}))  # not one of ours


def test_repeated_sequences_are_counted(windows):
    clean = replace(windows, codes=np.minimum(windows.codes, 3))
    assert same_sequences(clean) == 0
    planted = changed(
        clean,
        codes={
            5: clean.codes[4],  # of one part
            12: clean.codes[4],
            25: reverse_complement(clean.codes[4]),
        },
    )
    assert same_sequences(planted) == 2
