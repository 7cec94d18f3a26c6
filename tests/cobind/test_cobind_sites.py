"""Motifs scrambled at real sites: what is changed and what is not, planted truth, real calls."""

from pathlib import Path

import numpy as np
import pytest
from support.cli import assert_nothing_written, fails, refused
from support.cobind import LETTERS, MOTIFS, PAIR, sharp_motif
from support.scan import random_letters, read_rows, write_fasta

import tcnfast
from tcnfast.base.errors import TcnfastError
from tcnfast.cobind import InfluenceOptions
from tcnfast.cobind.influence import measure_influence
from tcnfast.cobind.scrambles import best_sites, scrambled, scrambled_elsewhere
from tcnfast.cobind.window_scores import WindowScorer
from tcnfast.genome.codes import encode, reverse_complement
from tcnfast.pwm.log_odds import log_odds
from tcnfast.pwm.placements import placement_scores

FP32 = dict(device="cpu", precision="fp32")
DEMO = Path(__file__).resolve().parents[2] / "examples" / "data" / "chr20_34-36Mb.fa.gz"
MOTIF = sharp_motif("M", "GATTACAGCC")


@pytest.fixture(name="windows")
def fixture_windows():
    """60 windows of 301 bp, 40 of them with the motif within 50 bp of the middle, and where."""
    rng = np.random.default_rng(0)
    windows = rng.integers(0, 4, (60, 301), np.uint8)
    start = rng.integers(100, 190, 60)
    for row in range(40):
        site = encode("GATTACAGCC")
        site = reverse_complement(site) if row % 2 else site
        windows[row, start[row] : start[row] + 10] = site
    return windows, start


def test_placement_scores_are_sums_of_log_odds_on_the_better_strand():
    rng = np.random.default_rng(1)
    matrix = log_odds(MOTIF)
    codes = rng.integers(0, 4, (3, 30), np.uint8)
    scores = placement_scores(codes, matrix)
    for row in range(3):
        for at in range(21):
            piece = codes[row, at : at + 10]
            sums = [matrix[np.arange(10), x].sum() for x in (piece, reverse_complement(piece))]
            assert scores[row, at] == pytest.approx(max(sums), abs=1e-4)
    codes[1, 7] = 4
    assert (placement_scores(codes, matrix)[1, :8] <= matrix.min(1).sum() + 1e-4).all()


def test_best_sites_are_the_planted_ones(windows):
    windows, start = windows
    best = best_sites(windows, MOTIF, 60, np.random.default_rng(2))
    assert best.present[:40].all() and best.present[40:].sum() <= 4
    np.testing.assert_array_equal(best.start[:40], start[:40])


def test_a_scramble_permutes_the_site_and_nothing_else(windows):
    windows, start = (x[:40] for x in windows)
    copies = scrambled(windows, start, MOTIF, 3, np.random.default_rng(3))
    columns = start[:, None] + np.arange(10)
    outside = np.ones(windows.shape, bool)
    np.put_along_axis(outside, columns, False, 1)
    before = np.take_along_axis(windows, columns, 1)
    for copy in copies:
        np.testing.assert_array_equal(copy[outside], windows[outside])
        after = np.take_along_axis(copy, columns, 1)
        np.testing.assert_array_equal(np.sort(after, 1), np.sort(before, 1))
        scores = placement_scores(after, log_odds(MOTIF))
        assert (scores < 0.5 * log_odds(MOTIF).max(1).sum()).all()
    assert (copies[0] != copies[1]).any(1).mean() > 0.9


def test_a_control_piece_lies_in_reach_and_leaves_the_site_alone(windows):
    windows, start = (x[:40] for x in windows)
    reach, seen = 60, set()
    for seed in range(30):
        copies = scrambled_elsewhere(windows, start, 10, reach, 4, np.random.default_rng(seed))
        for copy in copies:
            for row in range(40):
                (changed,) = np.nonzero(copy[row] != windows[row])
                if len(changed):
                    assert changed[-1] - changed[0] < 10
                    assert 150 - reach <= changed[0] and changed[-1] <= 150 + reach
                    assert changed[-1] < start[row] or changed[0] >= start[row] + 10
                    seen.add(int(changed[0]) - 150)
    assert min(seen) < -52 and max(seen) > 52


def test_the_planted_partners_carry_their_label_and_the_others_do_not(planted):
    scorer = WindowScorer(tcnfast.load_model(planted / "model"), **FP32)
    rng = np.random.default_rng(4)
    windows = rng.integers(0, 4, (60, scorer.width), np.uint8)
    middle = scorer.width // 2
    windows[:, middle - 13 : middle - 5] = encode(LETTERS["TIES"])
    windows[:, middle + 5 : middle + 13] = encode(LETTERS["HELPS"])
    options = InfluenceOptions(reach=18, draws=3)
    rows = measure_influence(scorer, {PAIR: windows}, MOTIFS[:3], options)
    found = {row.motif.name: row for row in rows}
    for name in ("TIES", "HELPS"):
        row = found[name]
        assert row.with_motif > 55 and row.difference < -2 and row.high < 0 and row.p < 1e-8
        assert row.motif_change == pytest.approx(row.control_change + row.difference)
    assert found["FIRST"].with_motif < 20 and np.isnan(found["FIRST"].p)


def test_no_influence_gives_p_values_that_are_spread(planted):
    """Sites of random sequence: what looks like a motif there does no more than its neighbours."""
    scorer = WindowScorer(tcnfast.load_model(planted / "model"), **FP32)
    rng = np.random.default_rng(5)
    motif = sharp_motif("NONE", "TATCGA")
    windows = rng.integers(0, 4, (400, scorer.width), np.uint8)
    options = InfluenceOptions(reach=20, min_sites=6)
    (row,) = measure_influence(scorer, {PAIR: windows}, [motif], options)
    assert 6 <= row.with_motif < 60 and row.p > 1e-4 and abs(row.difference) < 1


@pytest.mark.checkout
def test_on_real_calls_a_sites_own_motif_matters_more_than_random_pieces(tmp_path):
    """encode-v1 on 2 Mb of chr20 from its test regions, with JASPAR's motifs, both bundled."""
    targets = ["CTCF@GM12878", "CEBPB@HepG2", "SPI1@GM12878", "MAX@K562"]
    asked = dict(targets=targets, cutoff="f1")  # more calls than by default
    scan = tcnfast.scan(DEMO, "encode-v1", out=tmp_path / "scan", **asked, **FP32).path
    settings = dict(scan=scan, targets=targets, max_sites=100, draws=3, min_sites=8)
    found = tcnfast.cobind.sites(DEMO, "encode-v1", out=tmp_path / "out", **settings, **FP32)
    own = {row.label: row for row in found.rows if row.own}
    assert list(own) == targets
    for row in own.values():
        assert row.with_motif >= 8, row
        assert row.high < -0.5 and row.p < 0.01, row
        # the motif is most of it: random pieces, as wide, hardly change the score
        assert row.motif_change < 4 * row.control_change, row
    header, *rows = read_rows(tmp_path / "out" / "influence.tsv")
    assert len(rows) == 16 and rows[0][:3] == ["CTCF", "CTCF@GM12878", "1"]
    table = found.table
    assert list(table.columns) == header and table["p"].dtype == table["q"].dtype == float
    assert [f"{x:.4f}" for x in table["difference"]] == [
        x[header.index("difference")] for x in rows
    ]
    assert [f"{x:.3g}" for x in table["q"]] == [x[header.index("q")] for x in rows]
    q = [float(row[header.index("q")]) for row in rows if row[-1] != "nan"]
    assert q == [float(row[header.index("q")]) for row in rows[: len(q)]] and min(q) < 1e-6
    picture = (tmp_path / "out" / "influence.svg").read_text()
    assert all(f">{label}</text>" in picture for label in targets)


@pytest.fixture(name="place")
def fixture_place(tmp_path):
    """A genome and peaks of PAIR on it, six of them; another label's name, which no model has."""
    write_fasta(tmp_path / "g.fa", {"chr1": random_letters(9_000)})
    starts = range(300, 5400, 900)
    rows = ["#chrom\tstart\tend\tlabel"]
    rows += [f"chr1\t{start}\t{start + 100}\t{PAIR}" for start in starts]
    (tmp_path / "p.bed").write_text("\n".join([*rows, "chr1\t5\t90\tOTHER@x"]) + "\n")
    return tmp_path


def test_bad_input_is_told_in_a_line(planted, place, run):
    base = ["cobind", "sites", "-m", planted / "model", "--motifs", planted / "motifs.meme"]
    base += "-g g.fa -o out --precision fp32 -q".split()
    peaks = ("--peaks", "p.bed")

    def complaint(*more):
        return fails(run(*base, *more), "")

    assert "no label 'Z@x'" in complaint(*peaks, "-t", "Z@x")
    assert "has 6 sites, fewer than 20" in complaint(*peaks, "-t", PAIR)
    assert "no motif with the id or name 'NOPE'" in complaint(
        *peaks, "--names", "NOPE", "--min-sites", 6
    )
    few = (*peaks, "--min-sites", 6)
    assert "too wide for a reach of 10" in complaint(*few, "--names", "TIES", "--reach", 10)
    assert "reach 100: the model's window" in complaint(*few, "--names", "TIES")
    assert "no motif is named for a factor" in complaint(*few, "--reach", 20)
    assert "name --scan or --peaks" in complaint()
    refused(run(*base, *peaks, "--min-sites", 3), "can prove nothing")
    assert "no output of tcnfast scan" in complaint("--scan", ".")
    assert_nothing_written(place, "g.fa", "p.bed")


def test_sites_at_the_ends_of_a_contig_are_filled_with_n(planted, place, run):
    (place / "p.bed").write_text(
        "#chrom\tstart\tend\tlabel\n"
        + "".join(
            f"chr1\t{start}\t{start + 40}\t{PAIR}\n" for start in (0, 2, 8_960, 500, 700, 900)
        )
        # what the genome lacks: peaks may cover more than the contigs that are given
        + f"chr1\t20000\t20040\t{PAIR}\nchr9\t500\t540\t{PAIR}\n"
    )
    command = ["cobind", "sites", "-m", planted / "model", "--motifs", planted / "motifs.meme"]
    command += "-g g.fa --peaks p.bed --names TIES --min-sites 6 --reach 16 -o out".split()
    command += ["--precision", "fp32"]
    code, _, err = run(*command)
    assert code == 0, err
    assert read_rows(place / "out" / "influence.tsv")[1][3] == "6"
    table = (place / "out" / "influence.tsv").read_bytes()
    assert run(*command, "--force")[0] == 0
    assert (place / "out" / "influence.tsv").read_bytes() == table


def test_a_motif_that_takes_all_room_is_refused():
    scorer = WindowScorer(tcnfast.load_model("encode-v1"), **FP32)
    with pytest.raises(TcnfastError, match="control piece needs room"):
        measure_influence(scorer, {}, [sharp_motif("W", "ACGT" * 20)], InfluenceOptions())
