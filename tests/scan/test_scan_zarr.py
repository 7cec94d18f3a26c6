"""``tcnfast scan --track-format zarr``: every score of the tracks asked for."""

import numpy as np
import pytest
from support.scan import (
    FP32,
    LABELS,
    SCANNED,
    TRACKS,
    calls_of,
    files_in,
    logits_of,
    partial,
    run_record_of,
)

import tcnfast
from tcnfast.base.errors import TcnfastError
from tcnfast.engines import segments
from tcnfast.scan import ZARR_KINDS, pieces, pipeline
from tcnfast.scan.scan_folder import ScanFolder

pytest.importorskip("zarr", reason="zarr is not installed")
from tcnfast.scan.zarr_tracks import ZarrTracks, encode  # noqa: E402


@pytest.fixture(autouse=True)
def chunks(monkeypatch):
    """Chunks of 1,024 steps and stretches of two."""
    monkeypatch.setattr(ZarrTracks, "CHUNK_STEPS", 1024)
    monkeypatch.setattr(pieces, "STRETCH_BASES", 2048 * 32)
    monkeypatch.setattr(pieces, "LEAST_STEPS", 1)
    monkeypatch.setattr(segments, "SEGMENT_LOGITS", 700 * len(LABELS))  # across chunks


def contents(folder):
    group = ZarrTracks.open(folder / "tracks.zarr", "r").group
    return {chrom: group[chrom][:] for chrom in SCANNED}


@pytest.mark.parametrize("track_format", ZARR_KINDS)
def test_every_score_is_there_and_calls_are_the_same(fasta, model, tmp_path, out, track_format):
    tcnfast.scan(fasta, model, out, tracks=TRACKS, track_format=track_format, **FP32)
    tcnfast.scan(fasta, model, tmp_path / "bigwig", **FP32)
    peaks = [name for name in files_in(out) if name.startswith(("peaks", "summary"))]
    assert len(peaks) == 4
    assert {x: files_in(out)[x] for x in peaks} == files_in(tmp_path / "bigwig")
    columns = np.array([LABELS.index(label) for label in TRACKS])
    for chrom, levels in contents(out).items():
        logits = logits_of(model, fasta, chrom)
        want = encode(logits, ZARR_KINDS[track_format], columns)
        np.testing.assert_array_equal(levels, want)
        assert np.isnan(logits[:, 0]).any() == (chrom == "chr20")  # of which some is a gap
    scan = ScanFolder(out)
    assert scan.tracks == dict.fromkeys(TRACKS, out / "tracks.zarr")
    tracks = scan.zarr_tracks()
    assert tracks.labels == TRACKS and len(tracks.group.attrs["model_sha256"]) == 64
    assert not (out / "tracks").exists() and not partial(out).exists()
    assert run_record_of(out)["key"]["track_format"] == track_format


@pytest.mark.parametrize("stop", ["scanning", "publishing"])
def test_a_resumed_scan_has_every_score(fasta, model, tmp_path, out, monkeypatch, interrupt, stop):
    options = dict(tracks=TRACKS, track_format="zarr", **FP32)
    tcnfast.scan(fasta, model, tmp_path / "whole", **options)
    with monkeypatch.context() as patch:
        if stop == "scanning":
            interrupt(7)
        else:

            def fail(*_):
                raise KeyboardInterrupt

            patch.setattr("tcnfast.base.run_folder.RunFolder.publish", fail)
        with pytest.raises(KeyboardInterrupt):
            tcnfast.scan(fasta, model, out, **options)
    interrupt(10**6)
    tcnfast.scan(fasta, model, out, resume=True, **options)
    for chrom, levels in contents(tmp_path / "whole").items():
        np.testing.assert_array_equal(contents(out)[chrom], levels)
    for label in LABELS:
        name = f"peaks/{label}.narrowPeak"
        assert calls_of(out / name) == calls_of(tmp_path / "whole" / name)


def test_scores_that_come_from_a_device_are_the_same(fasta, model, tmp_path, out, monkeypatch):
    options = dict(tracks=TRACKS, track_format="zarr-fp16", **FP32)
    tcnfast.scan(fasta, model, tmp_path / "dense", **options)
    monkeypatch.setattr(pipeline, "compacts", lambda plan: True)
    tcnfast.scan(fasta, model, out, **options)
    for chrom, levels in contents(tmp_path / "dense").items():
        np.testing.assert_array_equal(contents(out)[chrom], levels)


def test_without_zarr_nothing_is_begun(fasta, model, out, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "zarr", None)
    with pytest.raises(TcnfastError, match="zarr"):
        tcnfast.scan(fasta, model, out, tracks=TRACKS, track_format="zarr", **FP32)
    assert not out.exists() and not partial(out).exists()
