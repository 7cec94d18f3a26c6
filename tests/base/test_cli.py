"""The command line: three ways to one scan, exit codes, clean stdout, help, info, training."""

import gzip
import inspect
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from support.cli import QUICK, assert_nothing_written, data_words, fails, scan_words
from support.scan import LABELS, calls_of, files_in, read_rows, run_record_of, write_fasta

import tcnfast
from tcnfast.base.verb import DEFAULT_MODEL
from tcnfast.model import model_folder as names
from tcnfast.pwm.motif_formats import BUNDLED

PACKAGE = Path(tcnfast.__file__).parent
EXAMPLES = PACKAGE.parent / "examples" / "data"
SCORES = ["scores.test.tsv", "scores.valid.tsv"]
MODEL_FILES = [names.WEIGHTS, names.CONFIG, names.LABELS, names.THRESHOLDS]
MEASURED = [names.CALLS, names.GRADED, names.GENOME]
SCRIPT = Path(sys.executable).with_name("tcnfast")


def python(*words, **options):
    options = {"capture_output": True, "text": True, "timeout": 600, **options}
    return subprocess.run([sys.executable, *map(str, words)], **options)


# three ways


def test_three_ways_give_the_same_bytes_and_no_warnings(home, tmp_path):
    flags = ["-m", home / "model", "--tracks", "REST", "--precision", "fp32", "--threads", "1"]
    done = [
        python(
            "-W",
            "error",
            "-m",
            "tcnfast.scan",
            home / "genome.fa",
            "-o",
            tmp_path / "m",
            *flags,
        ),
        subprocess.run(
            [SCRIPT, "scan", home / "genome.fa", "-o", tmp_path / "c", *flags],
            capture_output=True,
            text=True,
            timeout=600,
        ),
    ]
    for process in done:
        assert process.returncode == 0 and process.stdout == ""
        lines = process.stderr.splitlines()
        assert all(line.startswith("tcnfast: ") for line in lines)
        assert "warning" not in process.stderr.lower()
        assert lines[0].startswith("tcnfast: model model: 3 labels, a score sees 61 bp")
        assert "what the model was trained on is not known" in lines[1]
        assert lines[2].startswith("tcnfast: device ") and "precision fp32" in lines[2]
        assert " Mb/s about " in process.stderr and " calls in " in lines[-3]
        assert lines[-2] == "tcnfast: how many of them are right is not known"
        assert lines[-1].startswith("tcnfast: to see them, open ")
    where = home / "genome.fa", home / "model", tmp_path / "p"
    tcnfast.scan(*where, tracks="REST", precision="fp32")
    files = files_in(tmp_path / "p")
    assert "tracks/REST.bw" in files
    assert files == files_in(tmp_path / "m") == files_in(tmp_path / "c")


def test_a_verb_is_a_function_that_says_what_it_takes():
    assert tcnfast.scan.__module__ == "tcnfast.scan" and "FASTA" in tcnfast.scan.__doc__
    assert list(inspect.signature(tcnfast.scan).parameters)[:3] == ["genome", "model", "out"]
    assert "track_floor (P): " in tcnfast.scan.__doc__


def test_the_output_is_scan_in_the_working_folder_by_default(run, home, tmp_path):
    code, out, err = run("scan", home / "genome.fa", "-m", home / "model", "-q", "-c", "chrM")
    assert (code, out, err) == (0, "", "")
    assert (tmp_path / "scan" / "run.json").exists()


# quick answers


@pytest.mark.parametrize(
    "words",
    [
        ["-c", "import tcnfast, sys; assert 'scan' in dir(tcnfast)"],
        ["-m", "tcnfast.cli", "--help"],
        ["-m", "tcnfast.cli", "scan", "--help"],
        ["-m", "tcnfast.cli", "--version"],
        ["-m", "tcnfast.cli", "scan"],
    ],
    ids=["import", "--help", "scan --help", "--version", "usage error"],
)
def test_answers_at_once_without_torch(words):
    """-X importtime lists every module that is imported."""
    process = python("-X", "importtime", *words)
    imported = {line.rsplit("|", 1)[-1].strip() for line in process.stderr.splitlines()}
    assert "tcnfast" in imported
    assert not {"torch", "numba", "numpy", "sklearn"} & imported


def test_version(run):
    from tcnfast import __version__

    code, out, err = run("--version")
    assert (code, out, err) == (0, f"tcnfast {__version__}\n", "")


def test_help_names_the_commands(run):
    code, out, err = run("--help")
    assert code == 0 and err == ""
    assert all(word in out for word in ("scan", "train", "evaluate", "info"))


@pytest.mark.parametrize("command", ["scan", "train", "evaluate", "info"])
def test_every_command_has_help(run, command):
    code, out, err = run(command, "--help")
    assert code == 0 and err == "" and out.startswith(f"usage: tcnfast {command}")


@pytest.mark.parametrize(
    "words, complaint",
    [
        ([], "COMMAND"),
        (["scna"], "no 'scna'"),
        (["scan"], "FASTA"),
        (["scan", "x.fa", "--stride", "0"], "--stride 0: must be at least 1"),
        (["scan", "x.fa", "--stride", "many"], "--stride"),
        (["scan", "x.fa", "--strand", "sum"], "--strand 'sum': must be one of"),
        (["scan", "x.fa", "--min-length", "0"], "--min-length 0: must be at least 1"),
        (["scan", "x.fa", "--colour", "red"], "unrecognized arguments"),
        (["train", "-g", "x.fa"], "--peaks is required"),
        (["evaluate", "--part", "all"], "--part 'all': must be one of train, valid, test"),
    ],
)
def test_usage_errors_exit_with_2(run, words, complaint, tmp_path):
    code, out, err = run(*words)
    assert code == 2 and out == "" and complaint in err and "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_stdout_of_a_scan_is_empty_and_quiet_is_quiet(run, home):
    code, out, err = run(*scan_words(home, "a"))
    assert code == 0 and out == "" and err
    assert run(*scan_words(home, "b", "-q")) == (0, "", "")


def test_threads(run, home):
    assert run(*scan_words(home, "a", "-q", "-c", "chrM", "--threads", 2)) == (0, "", "")
    assert run_record_of("a")["threads"] == 2


# info


def test_info_of_a_model_is_a_table(run, home):
    code, out, err = run("info", "-m", home / "model")
    comment, header, *rows = out.splitlines()
    assert code == 0 and err == ""
    assert comment == f"# {home / 'model'}: 3 labels, receptive field 61 bp"
    assert header.split("\t") == ["label", "threshold", "expected_precision", "expected_recall"]
    thresholds = tcnfast.load_model(home / "model").thresholds
    for row, label in zip(rows, LABELS, strict=True):
        name, *numbers = row.split("\t")
        t = thresholds[label]
        assert name == label
        assert [float(x) for x in numbers] == [t.threshold, t.precision, t.recall]


def test_info_of_a_model_that_is_not_there(run):
    fails(run("info", "-m", "nowhere", "-q"), "nowhere")


def test_info_of_the_machine(run, monkeypatch):
    monkeypatch.setenv("TCNFAST_CPU_ISA", "generic")
    code, out, err = run("info")
    rows = [line.split("\t") for line in out.splitlines()]
    first = {row[0]: row[1:] for row in rows[::-1]}
    assert code == 0 and err == ""
    # metadata of a package index leave out the build, as "+cu130"
    assert first["tcnfast"] and torch.__version__.startswith(first["torch"][0])
    assert {"platform", "device", "gpu", "threads", "backend", "task"} <= first.keys()
    assert first["threads"] == [str(torch.get_num_threads()), f"of {os.cpu_count()} processors"]
    engine = first["engine"][1]
    assert engine == "built; generic runs" or "not built" in engine
    assert ["environment", "TCNFAST_CPU_ISA", "generic"] in rows
    assert any(row[:2] == ["model", DEFAULT_MODEL] and "112 labels" in row[2] for row in rows)
    assert [row[1] for row in rows if row[0] == "motifs"] == list(BUNDLED)


def test_info_names_the_extras_that_are_missing(run, monkeypatch):
    from tcnfast.bench import installed

    asked = ["numpy>=2", "nowhere>=3; extra == 'motifs'", "numpy>=1 ; extra == 'zarr'"]
    asked += ["tcnfast[zarr]; extra == 'all'", "nowhere; extra == 'dev'"]
    monkeypatch.setattr(installed.metadata, "requires", lambda name: asked)
    assert installed.extras() == {"motifs": ["nowhere"], "zarr": [], "all": []}
    out = run("info")[1]
    assert "extra\tmotifs\tmissing nowhere: pip install 'tcnfast[motifs]'\n" in out
    assert "extra\tzarr\there\n" in out


# train and evaluate


def test_train_makes_a_model_that_scans_and_evaluates(run, lesson, tmp_path):
    code, out, err = run("train", *data_words(lesson), *QUICK, "-o", "made", "--no-progress")
    assert (code, out) == (0, ""), err
    assert "3 labels, 1 dropped for want of peaks" in err and "validation macro-AP" in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["made"]
    assert sorted(path.name for path in (tmp_path / "made").iterdir()) == sorted(
        ["README.md", "run.json", "train.tsv", *SCORES, *MODEL_FILES, *MEASURED]
    )
    card = (tmp_path / "made" / "README.md").read_text()
    assert card.startswith("# made\n") and "rare (1)" in card and "chr1:60001-90000" in card
    header, *rows = read_rows(tmp_path / "made" / "train.tsv")
    assert header[0] == "step" and [row[0] for row in rows] == ["3", "6"]
    key = run_record_of(tmp_path / "made")["key"]
    assert {name for name, _ in key["inputs"]} == {"g.fa", "peaks.bed", "split.json"}

    code, out, err = run("scan", lesson / "g.fa", "-m", "made", "-o", "scan", "-t", "all", "-q")
    assert (code, out, err) == (0, "", "")
    assert [path.stem for path in sorted((tmp_path / "scan" / "peaks").iterdir())] == [
        "CTCF@here",
        "MAX@here",
        "other",
    ]

    exact = ("--precision", "fp32", "--device", "cpu")
    code, out, err = run("evaluate", *data_words(lesson), "-m", "made", "--part", "test", *exact)
    header, *rows = (line.split("\t") for line in out.splitlines())
    assert code == 0 and header[:5] == ["label", "AP", "AUROC", "positives", "chance"]
    assert [row[0] for row in rows] == ["CTCF@here", "MAX@here", "other"]
    assert read_rows(tmp_path / "made" / "scores.test.tsv") == [header, *rows]
    for _, ap, auroc, positives, chance, *_ in rows:
        assert 0 <= float(ap) <= 1 and 0 <= float(auroc) <= 1
        assert int(positives) > 0 and 0 < float(chance) < 1
    assert "macro-AP" in err and run("evaluate", *data_words(lesson), "-m", "made", "-q")[2] == ""


def test_training_again_gives_the_same_model(run, lesson, tmp_path):
    for name in ("a", "b"):
        words = ("train", *data_words(lesson), *QUICK, "-o", name, "-q", "--seed", 5)
        assert run(*words) == (0, "", "")
    for name in MODEL_FILES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_an_existing_model_is_not_trained_over(run, lesson, tmp_path):
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "x").write_text("mine")
    words = ("train", *data_words(lesson), *QUICK, "-o", "made", "-q")
    fails(run(*words), "made: exists and is no output of tcnfast")
    assert files_in(tmp_path) == {"made/x": b"mine"}


def test_an_interrupted_training_exits_with_130(run, lesson, tmp_path, monkeypatch):
    from tcnfast.train import train_run

    def fit(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(train_run, "fit", fit)
    code, out, err = run("train", *data_words(lesson), *QUICK, "-o", "made", "-q")
    lost = "tcnfast: train: stopped before anything was finished: nothing is left of it"
    assert (code, out, err) == (130, "", f"{lost}\ntcnfast: interrupted\n")
    assert_nothing_written(tmp_path)


def test_evaluate_of_a_label_without_peaks(run, lesson, home):
    words = fails(run("evaluate", *data_words(lesson), "-m", home / "model", "-q"))
    assert "label 'CTCF@K562' has no peaks in" in words


# the bundled model


@pytest.mark.checkout
def test_the_bundled_model_calls_ctcf_where_it_binds(run, tmp_path):
    """The 100 kb with most CTCF peaks of the demo region, which is in the test part."""
    with gzip.open(EXAMPLES / "chr20_34-36Mb.fa.gz") as file:
        header, *lines = file.read().split(b"\n")
    letters = b"".join(lines)
    with gzip.open(EXAMPLES / "chr20_34-36Mb.peaks.bed.gz", "rt") as file:
        rows = [line.split("\t") for line in file if "\tCTCF@K562\t" in line]
    peaks = np.array([[int(row[1]), int(row[2])] for row in rows])
    starts = range(0, len(letters) - 100_000, 50_000)
    start = max(starts, key=lambda x: ((peaks >= x) & (peaks <= x + 100_000)).sum())
    path = write_fasta(tmp_path / "x.fa", {"x": letters[start : start + 100_000]})
    assert run("scan", path, "-t", "CTCF@K562", "-q") == (0, "", "")
    calls = calls_of(tmp_path / "scan" / "peaks" / "CTCF@K562.narrowPeak")
    hits = [
        (a, b) for _, a, b in calls if ((peaks[:, 0] - start < b) & (peaks[:, 1] - start > a)).any()
    ]
    assert hits, f"{len(calls)} calls, none over a peak"
