"""What the tests of the command line share: a folder to scan, one to train on, and how to fail.

tests/conftest.py makes its fixtures those of all tests.
"""

import json
import logging
import shlex

import numpy as np
import pytest
import torch

from tcnfast import cli

SITE = b"CCACCAGGGGGCGC"
QUICK = (
    "--channels 4 --blocks 3 --steps 6 --epoch-steps 3 --batch-size 8 --min-peaks 10 "
    "--precision fp32 --device cpu"
).split()


@pytest.fixture(name="home", scope="module")
def fixture_home(tmp_path_factory):
    """A folder with genome.fa, and model/ that calls."""
    from support.scan import calling_model, small_genome, write_fasta

    folder = tmp_path_factory.mktemp("home")
    write_fasta(folder / "genome.fa", small_genome())
    calling_model().save(folder / "model")
    return folder


@pytest.fixture(name="run")
def fixture_run(capfd, monkeypatch, tmp_path):
    """run(*words) -> exit code, stdout, stderr of tcnfast in tmp_path; logging is put back."""
    monkeypatch.chdir(tmp_path)
    handlers, level, threads = logging.root.handlers[:], logging.root.level, torch.get_num_threads()

    def run(*words):
        capfd.readouterr()
        try:
            code = cli.main([str(word) for word in words])
        except SystemExit as stop:
            code = stop.code
        return code, *capfd.readouterr()

    yield run
    torch.set_num_threads(threads)
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


def of_shell(line):
    """The words that a program gets of a line of a shell: none behind a comment, a redirection or a
    pipe."""
    words = shlex.split(line, comments=True)
    ends = [i for i, word in enumerate(words) if word in (">", "|", "<")]
    return words[: ends[0]] if ends else words


def scan_words(home, out="scan", *more):
    return ["scan", home / "genome.fa", "-m", home / "model", "-o", out, *more]


def refused(result, *words):
    """The complaint of a command whose options do not go together."""
    code, out, err = result
    assert code == 2 and out == "" and "Traceback" not in err, result
    for word in words:
        assert word in err, err
    return err


def fails(result, *words):
    """The complaint of a command that failed as it should."""
    code, out, err = result
    assert code == 1 and out == "" and "Traceback" not in err, result
    assert err.count("\n") == 1 and err.startswith("tcnfast: error: "), err
    assert "a defect of tcnfast?" not in err, err
    for word in words:
        assert word in err, err
    return err


def assert_nothing_written(folder, *inputs):
    left = {path.name for path in folder.iterdir()} - set(inputs)
    assert {name for name in left if not name.endswith(".fai")} == set()


@pytest.fixture(name="lesson", scope="module")
def fixture_lesson(tmp_path_factory):
    """A genome with a planted motif under the peaks of one label, and what training takes."""
    from support.scan import random_letters, write_fasta

    folder = tmp_path_factory.mktemp("lesson")
    rng = np.random.default_rng(0)
    letters = random_letters(120_000, 9)
    starts = 300 + 400 * np.arange(290) + rng.integers(0, 150, 290)
    rows = ["#chrom\tstart\tend\tlabel"]
    for index, start in enumerate(starts.tolist()):
        label = ("CTCF@here", "MAX@here", "CTCF@here", "other")[index % 4]
        if label == "CTCF@here":
            letters[start + 93 : start + 93 + len(SITE)] = np.frombuffer(SITE, np.uint8)
        rows.append(f"chr1\t{start}\t{start + 200}\t{label}")
    rows.append("chr1\t500\t700\trare")
    write_fasta(folder / "g.fa", {"chr1": letters})
    (folder / "peaks.bed").write_text("\n".join(rows) + "\n")
    split = {
        "train": ["chr1:1-60000"],
        "valid": ["chr1:60001-90000"],
        "test": ["chr1:90001-120000"],
    }
    (folder / "split.json").write_text(json.dumps(split))
    return folder


def data_words(lesson, **other):
    files = {"peaks": lesson / "peaks.bed", "split": lesson / "split.json", **other}
    flags = [word for name, path in files.items() for word in (f"--{name}", path)]
    return ["-g", lesson / "g.fa", *flags]
