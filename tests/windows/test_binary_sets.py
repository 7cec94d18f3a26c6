"""Readers of published sets of one label."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from tcnfast.base.errors import TcnfastError
from tcnfast.genome.codes import encode
from tcnfast.windows.binary_sets import read_deepbind, read_gue
from tcnfast.windows.window_leaks import check_leaks, composition
from tcnfast.windows.window_set import GIVEN, SHUFFLE

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "labelled"
LENGTH = 30


def words(number, seed, length=LENGTH):
    rows = np.random.default_rng(seed).choice(list("ACGT"), (number, length))
    return ["".join(row) for row in rows]


def seq_file(path, positives, negatives=()):
    lines = ["FoldID\tEventID\tseq\tBound"]
    lines += [f"A\tseq_{i}_peak\t{x}\t1" for i, x in enumerate(positives)]
    lines += [f"A\tseq_{i}_shuf\t{x}\t0" for i, x in enumerate(negatives)]
    path.write_bytes(gzip.compress("\n".join(lines).encode() + b"\n"))
    return path


@pytest.fixture(name="files")
def fixture_files(tmp_path):
    """A DeepBind set; three of its training sequences are the same."""
    training = words(100, 1)
    training[40] = training[70] = training[10]
    training[5] = "N" + training[5][1:].lower()
    a = seq_file(tmp_path / "SP1_K562_AC.seq.gz", training)
    return a, seq_file(tmp_path / "SP1_K562_B.seq.gz", words(20, 2), words(20, 3))


def test_a_deepbind_set(files):
    made = read_deepbind(*files, valid=0.2)
    assert made.name == "SP1_K562" and made.names == ["SP1_K562"] and made.length == LENGTH
    positives, shuffles = (made.take(made.kind == kind) for kind in (GIVEN, SHUFFLE))
    test = positives.select("test")
    np.testing.assert_array_equal(test.codes[:20], [encode(x) for x in words(20, 2)])
    assert test.labels.ravel().tolist() == 20 * [1] + 20 * [0]
    assert not shuffles.labels.any() and len(shuffles) == 100
    training = positives.take(positives.part < 2)
    np.testing.assert_array_equal(composition(training.codes), composition(shuffles.codes))
    np.testing.assert_array_equal(training.part, shuffles.part)
    assert training.labels.all() and 18 <= (training.part == 1).sum() <= 22
    assert (made.chrom == -1).all() and (made.start == -1).all() and made.chroms == []
    check_leaks(made)


def test_equal_sequences_stay_together(files):
    parts = set()
    for seed in range(12):
        part = read_deepbind(*files, valid=0.5, seed=seed).part
        assert part[10] == part[40] == part[70]
        parts.add(int(part[10]))
    assert parts == {0, 1}


def test_the_seed_draws_shuffles(files):
    a, b, c = (read_deepbind(*files, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(a.codes, b.codes)
    assert (a.codes != c.codes).any() and (a.part != c.part).any()


def csv_file(path, rows, header="sequence,label"):
    path.write_text("\n".join([header, *(f"{x},{y}" for x, y in rows)]) + "\n")
    return path


def test_a_gue_set(tmp_path):
    sets = {x: list(zip(words(10, i), "0110010101", strict=True)) for i, x in enumerate("abc")}
    sets["c"][3] = sets["a"][0]  # a copy, which is said and kept
    made = read_gue(*(csv_file(tmp_path / f"tf.{x}.csv", rows) for x, rows in sets.items()))
    assert made.part.tolist() == [0] * 10 + [1] * 10 + [2] * 10
    for part, rows in zip(("train", "valid", "test"), sets.values(), strict=True):
        here = made.select(part)
        np.testing.assert_array_equal(here.codes, [encode(x) for x, _ in rows])
        assert here.labels.ravel().tolist() == [int(y) for _, y in rows]
    assert made.about["copies"] == 1 and (made.kind == GIVEN).all()


@pytest.mark.parametrize(
    "rows, header, words",
    [
        ([("ACGT", 1), ("AZGT", 0)], None, ":3: letter 'Z' at 2 is none of ACGTN"),
        ([("ACGT", 1), ("AUGT", 0)], None, ":3: letter 'U' at 2"),
        ([("ACGT", 1), ("ACG", 0)], None, ":3: sequence of 3 bases, those before have 4"),
        ([("ACGT", 1), ("", 0)], None, ":3: empty sequence"),
        ([("ACGT", 2)], None, ":2: label '2' must be 0 or 1"),
        ([("ACGT", "1,7")], None, ":2: 3 columns, its header has 2"),
        ([("ACGT", 1)], "seq,label", ":1: column 'sequence' is missing"),
        ([("ACGT", 1)], "sequence,class", ":1: column 'label' is missing"),
        ([("ACGT", 1), ("ACCT", 1)], None, "holds one class only"),
        ([], None, "holds no sequence"),
        ([("A" * 200_000, 1)], None, ":2: field larger than field limit"),
    ],
)
def test_bad_tables(tmp_path, rows, header, words):
    path = csv_file(tmp_path / "bad.csv", rows, header or "sequence,label")
    with pytest.raises(TcnfastError) as error:
        read_gue(path, path, path)
    assert str(error.value).startswith(str(path)) and words in str(error.value)


def test_files_that_do_not_go_together(tmp_path, files):
    good = csv_file(tmp_path / "a.csv", [("ACGT", 1), ("ACCT", 0)])
    longer = csv_file(tmp_path / "b.csv", [("ACGTA", 1), ("ACCTA", 0)])
    with pytest.raises(TcnfastError, match="b.csv:2: sequence of 5 bases, those of the training"):
        read_gue(good, longer, good)
    train, test = files
    with pytest.raises(TcnfastError, match="B.seq.gz: holds negatives"):
        read_deepbind(test, train)
    with pytest.raises(TcnfastError, match="AC.seq.gz: holds one class only"):
        read_deepbind(train, train)
    with pytest.raises(TcnfastError, match="valid 1.5: must be above 0 and below 1"):
        read_deepbind(train, test, valid=1.5)
    with pytest.raises(TcnfastError, match="no.gz: no such file"):
        read_deepbind(tmp_path / "no.gz", test)
    train.write_bytes(train.read_bytes()[:-30])
    with pytest.raises(TcnfastError, match="truncated gzip"):
        read_deepbind(train, test)


@pytest.mark.skipif(not DATA.exists(), reason="the shared data are not here")
def test_published_files():
    made = read_gue(*(DATA / f"tf2.{part}.csv.gz" for part in ("train", "dev", "test")))
    assert [len(made.select(part)) for part in ("train", "valid", "test")] == [19_000, 1_000, 1_000]
    assert made.length == 101 and (made.select("test").labels == 1).sum() == 500
    (path,) = (DATA / "deepbind_encode").glob("ELK1_*_AC.seq.gz")
    made = read_deepbind(path, Path(str(path).replace("_AC.", "_B.")))
    test = made.select("test")
    assert len(test) == 1_000 and test.labels.sum() == 500
    assert len(made) == 1_000 + 2 * 5_084 and made.length == 101
