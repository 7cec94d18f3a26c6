"""What a scan wrote, read back."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pyBigWig
import pytest
from support.scan import FP32, LABELS, TRACKS, calling_model, calls_of, read_rows

import tcnfast
from tcnfast.base.errors import TcnfastError
from tcnfast.genome.intervals import IntervalError
from tcnfast.model.thresholds import Threshold
from tcnfast.scan.scan_folder import ScanFolder


@pytest.fixture(scope="module")
def without_calls(small_segments, fasta, tmp_path_factory):
    """A scan in which one label is never called, and one has no call."""
    model = calling_model()
    model.thresholds["REST"] = Threshold("REST", 0.999999, 0.9, 0.1, 5)
    out = tmp_path_factory.mktemp("quiet") / "scan"
    return tcnfast.scan(fasta, model, out, chroms="chr21", **FP32)


def test_a_scan_is_its_folder(scanned):
    again = ScanFolder(scanned.path)
    assert again.labels == again.called_labels == LABELS and not again.of_motifs
    assert again.record == json.loads((scanned.path / "run.json").read_text())
    assert again.model_hash == again.record["key"]["model"]
    assert again.summary.equals(scanned.summary)


def test_totals_are_rows_of_the_summary(scanned, without_calls):
    for scan in scanned, without_calls:
        whole = scan.summary[scan.summary["chrom"] == "all"]
        totals = pd.DataFrame(scan.totals).astype(dict(whole.dtypes))
        pd.testing.assert_frame_equal(totals, whole.reset_index(drop=True))
    assert all(type(row["calls"]) is int for row in scan.totals)


def test_what_is_no_number_in_a_summary_is_said(scanned, tmp_path):
    shutil.copytree(scanned.path, tmp_path / "scan")
    summary = tmp_path / "scan" / "summary.tsv"
    lines = summary.read_text().splitlines()
    cells = lines[2].split("\t")
    cells[lines[0].split("\t").index("calls")] = "many"
    summary.write_text("\n".join([*lines[:2], "\t".join(cells), *lines[3:]]) + "\n")
    with pytest.raises(TcnfastError, match=r"summary\.tsv:3: calls 'many' is no number"):
        ScanFolder(tmp_path / "scan").totals  # noqa: B018
    summary.unlink()
    with pytest.raises(TcnfastError, match=r"summary\.tsv: cannot be read \(No such file"):
        ScanFolder(tmp_path / "scan").totals  # noqa: B018


def test_a_scan_does_without_pandas(fasta, model, tmp_path):
    """Its import takes half a second."""
    code = "import sys; from tcnfast.cli import main; main(sys.argv[1:]); "
    code += "print('pandas' in sys.modules)"
    words = ("scan", fasta, "-m", model, "-o", tmp_path / "scan", "--device", "cpu", "-q")
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr


@pytest.mark.parametrize("label", LABELS)
def test_calls_as_a_table_and_as_intervals(scanned, label):
    rows = read_rows(scanned.path / "peaks" / f"{label}.narrowPeak")
    calls, intervals = scanned.calls(label), scanned.intervals(label)
    assert list(calls) == ["chrom", "start", "end", "probability", "summit", "percentile"]
    places = calls_of(scanned.path / "peaks" / f"{label}.narrowPeak")
    assert list(calls[["chrom", "start", "end"]].itertuples(index=False, name=None)) == places
    assert calls["probability"].tolist() == [float(row[6]) for row in rows]
    summits = [int(row[1]) + int(row[9]) for row in rows]
    assert calls["summit"].tolist() == summits == intervals.summit.tolist()
    found = zip(intervals.chrom, intervals.start.tolist(), intervals.end.tolist(), strict=True)
    assert list(found) == places and set(intervals.label) == {label}


def test_intervals_of_all_labels_in_their_order(scanned):
    every, parts = scanned.intervals(), [scanned.intervals(label) for label in LABELS]
    assert every.start.tolist() == sum((part.start.tolist() for part in parts), [])
    assert list(dict.fromkeys(every.label)) == LABELS
    with pytest.raises(IntervalError, match="chr21"):
        scanned.intervals(sizes={"chr20": 100_000})


def test_labels_without_a_call(without_calls):
    assert without_calls.labels == LABELS and without_calls.called_labels == LABELS[:2]
    calls, intervals = without_calls.calls("REST"), without_calls.intervals("REST")
    assert len(calls) == len(intervals) == 0 and without_calls.tracks == {}
    assert calls["start"].dtype == intervals.start.dtype == np.int64
    (without_calls.path / "peaks" / "REST.narrowPeak").unlink()  # as of a label never called
    assert len(without_calls.calls("REST")) == 0
    with pytest.raises(TcnfastError, match="the scan has no label 'NO'"):
        without_calls.calls("NO")


def test_tracks_by_label(scanned):
    assert list(scanned.tracks) == TRACKS
    for path in scanned.tracks.values():
        with pyBigWig.open(str(path)) as track:
            assert track.chroms()
    with pytest.raises(TcnfastError):
        scanned.zarr_tracks()


def test_what_is_no_scan(tmp_path, scanned):
    with pytest.raises(TcnfastError, match="no such folder; give the output of tcnfast scan"):
        ScanFolder(tmp_path / "nowhere")
    with pytest.raises(TcnfastError, match="is no output of tcnfast scan"):
        ScanFolder(tmp_path)
    with pytest.raises(TcnfastError, match="is a scan with a model, which has no hits"):
        scanned.hits("MA0139")
