"""``tcnfast scan`` from a FASTA file to the output folder, undisturbed."""

import numpy as np
import pyBigWig
import pytest
import torch
from support.engine import needs_engine
from support.scan import (
    FP32,
    GAP,
    LABELS,
    SCANNED,
    SHOWN,
    SIZES,
    TRACKS,
    calls_of,
    files_in,
    logits_of,
    partial,
    read_rows,
    run_record_of,
    small_genome,
    write_fasta,
)

import tcnfast
from tcnfast.base.errors import TcnfastError
from tcnfast.base.run_folder import file_hash
from tcnfast.engines import segments
from tcnfast.scan import pieces
from tcnfast.scan.stages import STAGES

pytestmark = pytest.mark.usefixtures("small_segments")

# the output folder


def test_the_files_of_an_output_folder(scanned):
    assert sorted(files_in(scanned.path, but=SHOWN)) == [
        *(f"peaks/{label}.narrowPeak" for label in LABELS),
        "run.json",
        "summary.tsv",
        *(f"tracks/{label}.bw" for label in TRACKS),
    ]
    assert all((scanned.path / name).is_file() for name in SHOWN)
    assert not partial(scanned.path).exists()


def test_calls_are_the_runs_of_scores_above_the_threshold(scanned, fasta, model):
    """Each call begins and ends with a called step, and holds no gap of more than two steps."""
    thresholds = tcnfast.load_model(model).thresholds
    scores = {chrom: logits_of(model, fasta, chrom) for chrom in SCANNED}
    for column, label in enumerate(LABELS):
        p = thresholds[label].threshold
        hit = {
            chrom: x[:, column] >= np.float32(np.log(p / (1 - p))) for chrom, x in scores.items()
        }
        covered = {chrom: np.zeros(len(x), bool) for chrom, x in scores.items()}
        rows = calls_of(scanned.path / "peaks" / f"{label}.narrowPeak")
        assert len(rows) > 50 and rows == sorted(rows, key=lambda r: (SCANNED.index(r[0]), r[1]))
        for chrom, start, end in rows:
            first, last = start // 32, -(-end // 32)
            part = hit[chrom][first:last]
            assert part[0] and part[-1] and end - start >= 64
            assert "000" not in "".join("01"[int(x)] for x in part)
            covered[chrom][first:last] = True
        for chrom in SCANNED:  # what is left over are lone steps
            left = hit[chrom] & ~covered[chrom]
            assert not (left[1:] & left[:-1]).any()


def test_narrowpeak_rows_have_ten_columns_and_a_summit_inside(scanned):
    for label in LABELS:
        for row in read_rows(scanned.path / "peaks" / f"{label}.narrowPeak"):
            assert len(row) == 10 and row[3] == label and row[5] == "."
            assert 0 <= int(row[9]) < int(row[2]) - int(row[1])
            assert row[7:9] == ["-1", "-1"] and int(row[2]) <= SIZES[row[0]]
            assert abs(int(row[4]) - 1000 * float(row[6])) <= 0.5 + 1000 * 5e-5


def test_the_summary_counts_what_is_in_the_narrowpeak_files(scanned, model):
    header, *rows = read_rows(scanned.path / "summary.tsv")
    assert header == [
        *("label", "chrom", "threshold", "expected_precision", "precision_low", "precision_high"),
        *("relaxed_precision", "calls", "bases", "grade", "percentile"),
    ]
    assert [row[:2] for row in rows] == [[x, c] for x in LABELS for c in ["all", *SCANNED]]
    thresholds = tcnfast.load_model(model).thresholds
    for label, chrom, threshold, *expected, calls, bases, grade, percentile in rows:
        found = calls_of(scanned.path / "peaks" / f"{label}.narrowPeak")
        found = [row for row in found if chrom in ("all", row[0])]
        assert int(calls) == len(found)
        assert int(bases) == sum(end - start for _, start, end in found)
        assert float(threshold) == thresholds[label].threshold
        # what calls of this model are worth was never measured
        assert expected == ["nan"] * 4 and (grade, percentile) == ("NA", "nan")


def test_the_result_holds_the_summary(scanned):
    header, *rows = read_rows(scanned.path / "summary.tsv")
    assert scanned.summary.columns.tolist() == header
    known = ["label", "chrom", "threshold", "calls", "bases"]
    kinds = (str, str, float, int, int)
    want = [
        [kind(row[header.index(name)]) for name, kind in zip(known, kinds, strict=True)]
        for row in rows
    ]
    assert scanned.summary[known].values.tolist() == want
    assert scanned.summary.drop(columns=known).isna().all(axis=None)


@pytest.fixture(scope="module")
def all_steps(fasta, model, tmp_path_factory):
    """A scan whose tracks have no floor."""
    out = tmp_path_factory.mktemp("scans") / "all_steps"
    return tcnfast.scan(fasta, model, out, tracks=TRACKS, track_floor=0, **FP32)


def track_of(folder, label):
    """Contig to the value of each base."""
    with pyBigWig.open(str(folder / "tracks" / f"{label}.bw")) as file:
        assert list(file.chroms()) == SCANNED
        return {chrom: file.values(chrom, 0, SIZES[chrom], numpy=True) for chrom in SCANNED}


def probabilities(model, fasta, label):
    """Contig to the probability of each base's step."""
    for chrom in SCANNED:
        logits = logits_of(model, fasta, chrom)[:, LABELS.index(label)]
        yield chrom, np.repeat(1 / (1 + np.exp(-logits)), 32)[: SIZES[chrom]]


@pytest.mark.parametrize("label", TRACKS)
def test_tracks_without_a_floor_hold_the_probability_of_every_step(all_steps, fasta, model, label):
    track = track_of(all_steps.path, label)
    for chrom, p in probabilities(model, fasta, label):
        np.testing.assert_allclose(track[chrom], p, atol=0.0051)
        np.testing.assert_allclose(track[chrom][p < 0.099], p[p < 0.099], atol=0.00051)


@pytest.mark.parametrize("floor", [0.01, 0.3, 0.999])
def test_tracks_hold_what_reaches_the_floor_or_the_threshold(all_steps, fasta, model, out, floor):
    tcnfast.scan(fasta, model, out, tracks=TRACKS, track_floor=floor, **FP32)
    thresholds = tcnfast.load_model(model).thresholds
    for label in TRACKS:
        least = min(floor, thresholds[label].threshold)
        track, whole = track_of(out, label), track_of(all_steps.path, label)
        for chrom, p in probabilities(model, fasta, label):
            want = np.where(p >= np.float32(least), whole[chrom], np.nan)
            surely = np.abs(p - least) > 1e-6
            np.testing.assert_array_equal(track[chrom][surely], want[surely])
        for chrom, start, end in calls_of(out / "peaks" / f"{label}.narrowPeak"):
            assert not np.isnan(track[chrom][[start, end - 1]]).any()


def test_nothing_is_reported_where_the_sequence_is_unknown(all_steps):
    scanned, inner = all_steps, (GAP[0] + 132, GAP[1] - 132)
    with pyBigWig.open(str(scanned.path / "tracks" / "REST.bw")) as file:
        assert np.isnan(file.values("chr20", *inner, numpy=True)).all()
        assert not np.isnan(file.values("chr20", inner[0] - 300, GAP[0], numpy=True)).any()
    for label in LABELS:
        for chrom, start, end in calls_of(scanned.path / "peaks" / f"{label}.narrowPeak"):
            assert chrom != "chr20" or end <= inner[0] or start >= inner[1]


def test_the_run_record(scanned, fasta, model):
    record = run_record_of(scanned.path)
    assert {"tcnfast", "torch", "numpy", "python"} <= record["versions"].keys()
    assert record["device"].startswith("cpu (") and record["seconds"] >= 0
    assert record["threads"] == torch.get_num_threads()
    assert record["devices"] == ["cpu"] and set(record["stages"]) == set(STAGES)
    assert record["stages"]["compute"] > 0 and record["stages"]["copy"] == 0
    assert record["skipped_contigs"] == ["chrUn_x", "chr1_alt", "chrM"]
    key = record["key"]
    assert key["genome"] == [[fasta.name, file_hash(fasta)]]
    assert len(key["model"]) == 64 and key["within"] is None
    expected = {
        "chroms": SCANNED,
        "targets": LABELS,
        "tracks": TRACKS,
        "track_floor": 0.01,
        "stride": 32,
        "strand": "both",
        "min_length": 64,
        "max_gap": 64,
        "device": "cpu",
        "precision": "fp32",
    }
    assert {name: key[name] for name in expected} == expected
    assert key["backend"] and key["tcnfast"]


def test_a_model_in_memory_gives_the_same_calls(scanned, fasta, model, out):
    tcnfast.scan(fasta, tcnfast.load_model(model), out, tracks=TRACKS, **FP32)
    assert files_in(out) == files_in(scanned.path)


def test_several_fasta_files_are_one_genome(scanned, model, tmp_path, out):
    contigs = small_genome()
    paths = [write_fasta(tmp_path / f"{x}.fa", {x: contigs[x]}) for x in SCANNED]
    tcnfast.scan(paths, model, out, tracks=TRACKS, **FP32)
    assert files_in(out) == files_in(scanned.path)


def test_segments_scored_at_once_change_nothing(scanned, fasta, model, out):
    tcnfast.scan(fasta, model, out, tracks=TRACKS, batch_size=3, **FP32)
    for label in LABELS:
        name = f"peaks/{label}.narrowPeak"
        assert calls_of(out / name) == calls_of(scanned.path / name)


@needs_engine
@pytest.mark.parametrize(
    "stretch_bases, segment_steps, batch_size, threads",
    [(2**24, 2**20, 1, 1), (2**11, 2**20, 1, 2), (2**13, 7, 1, 1), (2**14, 33, 3, 2)],
)
def test_neither_stretches_segments_batches_nor_threads_change_a_byte(
    scanned, fasta, model, out, monkeypatch, stretch_bases, segment_steps, batch_size, threads
):
    monkeypatch.setattr(pieces, "STRETCH_BASES", stretch_bases)
    monkeypatch.setattr(segments, "SEGMENT_LOGITS", segment_steps * len(LABELS))
    torch.set_num_threads(threads)
    tcnfast.scan(fasta, model, out, tracks=TRACKS, batch_size=batch_size, **FP32)
    assert files_in(out) == files_in(scanned.path)


def test_a_model_without_thresholds_cannot_call(fasta, make_model, out):
    with pytest.raises(TcnfastError, match="has no thresholds.tsv, so it cannot call"):
        tcnfast.scan(fasta, make_model(), out, **FP32)
    assert not out.exists() and not partial(out).exists()


# labels and tracks


def test_targets_are_reported_in_the_order_of_the_model(scanned, fasta, model, out):
    result = tcnfast.scan(fasta, model, out, targets=["REST", "CTCF@K562"], **FP32)
    files, all_files = files_in(out), files_in(scanned.path)
    assert list(files) == ["peaks/CTCF@K562.narrowPeak", "peaks/REST.narrowPeak", "summary.tsv"]
    assert all(files[name] == all_files[name] for name in files if name.startswith("peaks"))
    rows = scanned.summary[scanned.summary["label"] != "MAX@K562"]
    assert result.summary.equals(rows.reset_index(drop=True))


def test_tracks_of_a_label_that_is_no_target(scanned, fasta, model, out):
    tcnfast.scan(fasta, model, out, targets="MAX@K562", tracks="REST", **FP32)
    files = files_in(out)
    assert list(files) == ["peaks/MAX@K562.narrowPeak", "summary.tsv", "tracks/REST.bw"]
    assert files["tracks/REST.bw"] == files_in(scanned.path)["tracks/REST.bw"]


# within


# many edges inside calls, some regions overlapping, one of 16 bases that holds no whole step
REGIONS = [("chr20", 70_001, 70_017)]
REGIONS += [("chr20", x, x + 200 + x % 777) for x in range(1_003, 39_000, 477)]


@pytest.fixture
def bed(tmp_path):
    path = tmp_path / "open.bed"
    path.write_text("".join(f"{c}\t{start}\t{end}\n" for c, start, end in REGIONS[::-1]))
    return path


def masked_calls(model, fasta, column, regions):
    """Runs of called steps whose centre lies in a region, joined and filtered, by a loop."""
    p = tcnfast.load_model(model).thresholds[LABELS[column]].threshold
    cutoff, calls = np.float32(np.log(p / (1 - p))), []
    for chrom in SCANNED:
        runs = []
        for step, logit in enumerate(logits_of(model, fasta, chrom)[:, column]):
            inside = any(c == chrom and a <= step * 32 + 16 < b for c, a, b in regions)
            if not inside or not logit >= cutoff:
                continue
            start, end = step * 32, min(step * 32 + 32, SIZES[chrom])
            if runs and start - runs[-1][1] <= 64:
                runs[-1][1] = end
            else:
                runs.append([start, end])
        calls += [(chrom, *run) for run in runs if run[1] - run[0] >= 64]
    return calls


@pytest.mark.parametrize("with_tracks", [False, True])
def test_within_calls_the_steps_whose_centre_is_inside(fasta, model, bed, out, with_tracks):
    tcnfast.scan(fasta, model, out, within=bed, tracks=TRACKS if with_tracks else None, **FP32)
    for column, label in enumerate(LABELS):
        rows = calls_of(out / "peaks" / f"{label}.narrowPeak")
        assert len(rows) >= 5 and rows == masked_calls(model, fasta, column, REGIONS)
    assert run_record_of(out)["key"]["within"] == file_hash(bed)


def test_within_everything_is_no_restriction(scanned, fasta, model, tmp_path, out):
    path = tmp_path / "all.bed"
    path.write_text("".join(f"{chrom}\t0\t{SIZES[chrom]}\n" for chrom in SCANNED))
    tcnfast.scan(fasta, model, out, within=path, tracks=TRACKS, **FP32)
    assert files_in(out) == files_in(scanned.path)


def test_nothing_is_scored_outside_when_no_tracks_are_asked_for(fasta, model, bed, out, scored):
    bed.write_text("chr20\t65540\t70000\nchr21\t10\t20\n")
    tcnfast.scan(fasta, model, out, within=bed, **FP32)
    assert scored == [("chr20", 2048), ("chr21", 0)]
    assert run_record_of(out)["stages"]["compute"] > 0


def test_tracks_are_whole_even_within_regions(scanned, fasta, model, bed, out):
    tcnfast.scan(fasta, model, out, within=bed, tracks=TRACKS, **FP32)
    whole = files_in(scanned.path)
    for name, data in files_in(out).items():
        assert not name.startswith("tracks") or data == whole[name]
