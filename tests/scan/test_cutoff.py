"""``scan --cutoff``: which steps are called, what is expected of them, and what is said."""

import logging
import math
from dataclasses import replace

import numpy as np
import pytest
from support.scan import FP32, LABELS, calling_model, files_in, read_rows, run_record_of

import tcnfast
from tcnfast.base.errors import TcnfastError
from tcnfast.base.options import Run
from tcnfast.model.thresholds import Cutoff
from tcnfast.scan import ScanOptions
from tcnfast.scan.scan_job import ScanJob

pytestmark = pytest.mark.usefixtures("small_segments")

SILENT = "MAX@K562"  # never reached a precision of 0.9


def shifted(probability, by):
    return float(f"{1 / (1 + math.exp(-math.log(probability / (1 - probability)) - by)):.6g}")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Folder of a model with a lower and a higher cutoff than that of the best F1."""
    model = calling_model()
    for label, row in model.thresholds.items():
        low = Cutoff(shifted(row.threshold, -0.3), 0.55, 0.4)
        high = Cutoff(shifted(row.threshold, 0.3), 0.85, 0.1)
        at = {0.5: low, 0.9: None if label == SILENT else high}
        model.thresholds[label] = replace(row, at_precision=at)
    folder = tmp_path_factory.mktemp("models") / "cutoffs"
    model.save(folder)
    return folder


def calling_at(model, thresholds, folder):
    """Folder of the model with these probabilities, a label each, as its best F1."""
    changed = tcnfast.load_model(model)
    for label, threshold in thresholds.items():
        changed.thresholds[label] = replace(changed.thresholds[label], threshold=threshold)
    changed.save(folder)
    return folder


def narrowpeaks(folder):
    return {x: data for x, data in files_in(folder).items() if x.startswith("peaks/")}


RULES = [("precision=0.5", 0.5), ("fdr=0.5", 0.5), ("fdr=0.1", 0.9), ("0.85", None), (0.85, None)]


@pytest.mark.parametrize("rule, row", RULES)
def test_calls_are_those_of_a_model_with_these_thresholds(fasta, model, tmp_path, out, rule, row):
    options = dict(chroms="chr20", **FP32)
    rows = tcnfast.load_model(model).thresholds
    cutoffs = {x: rows[x].at_precision[row] if row else Cutoff(0.85, 0, 0) for x in LABELS}
    thresholds = {label: cutoff.threshold for label, cutoff in cutoffs.items() if cutoff}
    same = calling_at(model, thresholds, tmp_path / "same")
    want = narrowpeaks(tcnfast.scan(fasta, same, tmp_path / "want", **options).path)
    got = tcnfast.scan(fasta, model, out, cutoff=rule, **options)
    called = {f"peaks/{label}.narrowPeak" for label in thresholds}
    assert narrowpeaks(out) == {name: want[name] for name in called}
    assert all(narrowpeaks(out).values())
    for entry in got.summary.to_dict("records"):
        here = thresholds.get(entry["label"], math.nan)
        # the precisions in thresholds.tsv are of windows, and none was measured of calls
        np.testing.assert_equal([entry["threshold"], entry["expected_precision"]], [here, math.nan])
    default = tcnfast.scan(fasta, model, tmp_path / "default", **options)
    assert narrowpeaks(default.path) != narrowpeaks(out)


def test_a_label_that_never_got_there_is_named_loudly(fasta, model, cli, out):
    words = (fasta, "-m", model, "-o", out, "-c", "chrM", "--cutoff", "fdr=0.1", "--tracks", "all")
    code, lines = cli(*words)
    assert code == 0 and len(lines) == 1, lines
    assert "no calls of 1 of 3 labels, which never reached precision=0.9" in lines[0]
    assert lines[0].endswith(SILENT)
    assert sorted(files_in(out)) == [
        *(f"peaks/{label}.narrowPeak" for label in LABELS if label != SILENT),
        "summary.tsv",
        *(f"tracks/{label}.bw" for label in LABELS),
    ]
    assert run_record_of(out)["uncalled_labels"] == [SILENT]
    rows = [row for row in read_rows(out / "summary.tsv") if row[0] == SILENT]
    assert [row[2:] for row in rows] == [[*["nan"] * 5, "0", "0", "NA", "nan"]] * 2
    again = tcnfast.scan(
        fasta, model, out, resume=True, cutoff="fdr=0.1", chroms="chrM", tracks="all", **FP32
    )
    assert again.summary["calls"][again.summary["label"] == SILENT].tolist() == [0, 0]


def test_nothing_but_labels_that_never_got_there_is_an_error(fasta, model, out):
    with pytest.raises(TcnfastError, match="cutoff='precision=0.9': no label reached it"):
        tcnfast.scan(fasta, model, out, targets=SILENT, cutoff="fdr=0.1", **FP32)
    assert not out.exists()


def test_a_probability_has_no_expected_precision_and_says_so(fasta, model, out, caplog):
    with caplog.at_level(logging.INFO):
        tcnfast.scan(fasta, model, out, chroms="chrM", cutoff="0.5", **FP32)
    assert "cutoff 0.5: no expected precision is known for it" in caplog.text
    rows = read_rows(out / "summary.tsv")[1:]
    assert {row[2] for row in rows} == {"0.5"} and {row[3] for row in rows} == {"nan"}


def test_a_model_without_thresholds_can_be_called_at_a_probability(fasta, model, out):
    bare = tcnfast.load_model(model)
    bare.thresholds = None
    assert tcnfast.scan(fasta, bare, out, chroms="chrM", cutoff=0.5, **FP32).labels
    with pytest.raises(TcnfastError, match="has no thresholds.tsv"):
        tcnfast.scan(fasta, bare, out, chroms="chrM", cutoff="fdr=0.1", force=True, **FP32)


def test_the_cutoff_is_part_of_what_a_result_depends_on(fasta, model, out, interrupt):
    """A scan is only gone on with at its own cutoff, however that is spelt."""
    interrupt(3)
    with pytest.raises(KeyboardInterrupt):
        tcnfast.scan(fasta, model, out, cutoff="fdr=0.5", **FP32)
    interrupt(10**6)
    for other in ("f1", "fdr=0.1", 0.5):
        with pytest.raises(TcnfastError, match="left by a run with other inputs or settings"):
            tcnfast.scan(fasta, model, out, cutoff=other, resume=True, **FP32)
    tcnfast.scan(fasta, model, out, cutoff="precision=0.5", resume=True, **FP32)
    whole = out.with_name("whole")
    tcnfast.scan(fasta, model, whole, cutoff="fdr=0.5", **FP32)
    assert files_in(out) == files_in(whole)
    assert run_record_of(out)["key"]["cutoff"] == "precision=0.5"
    with pytest.raises(TcnfastError, match="is the result of another run"):
        tcnfast.scan(fasta, model, out, cutoff="f1", resume=True, **FP32)


@pytest.mark.parametrize("rule", ["f2", "fdr=0", "1"])
def test_what_is_no_cutoff_fails_before_anything_is_written(fasta, model, cli, out, rule):
    code, lines = cli(fasta, "-m", model, "-o", out, "--cutoff", rule)
    assert (
        code == 2 and "give best, f1, precision=P, fdr=P, recall=P, or a probability P" in lines[-1]
    )
    assert not out.exists()


def test_tracks_show_every_call_of_the_cutoff(fasta, model, out):
    """The floor of a track sinks to the cutoff, and stays where a label has none."""
    model = tcnfast.load_model(model)
    options = dict(chroms="chrM", tracks="all", track_floor=0.999, **FP32)
    for rule, label, floor in (
        ("fdr=0.1", SILENT, 0.999),
        ("fdr=0.1", LABELS[0], model.thresholds[LABELS[0]].at_precision[0.9].threshold),
        ("0.2", SILENT, 0.2),
    ):
        kept = {x: options[x] for x in ("chroms", "tracks", "track_floor")}
        with tcnfast.Genome(fasta) as genome:
            job = ScanJob(genome, model, ScanOptions(cutoff=rule, **kept), Run(**FP32))
        column = model.labels.index(label)
        np.testing.assert_allclose(1 / (1 + np.exp(-job.floors[column])), floor, rtol=1e-5)
