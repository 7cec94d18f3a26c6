"""Pairs of motifs in silico: where sites are put, what is called synergy, planted truth."""

import numpy as np
import pytest
import torch
from support.cli import assert_nothing_written, fails, refused
from support.cobind import GAPS, LETTERS, LONGEST_GAP, MOTIFS, PAIR, SUM, sharp_motif
from support.models import random_model
from support.scan import read_rows

import tcnfast
from tcnfast.base.errors import TcnfastError
from tcnfast.cobind import KINDS, backgrounds, interaction
from tcnfast.cobind.inserted_sites import Site, distinct, motifs_at, named_motifs
from tcnfast.cobind.periodicity import helical
from tcnfast.cobind.window_scores import WindowScorer
from tcnfast.engines import cpu_engine
from tcnfast.genome.codes import encode, reverse_complement
from tcnfast.genome.genome import Genome
from tcnfast.model.ensemble import Ensemble
from tcnfast.pwm.log_odds import log_odds
from tcnfast.pwm.meme import DATABASE, Motif, write_meme
from tcnfast.pwm.similarity import resemblance

FP32 = dict(device="cpu", precision="fp32")


@pytest.fixture(name="table", scope="module")
def fixture_table(planted, tmp_path_factory):
    """The planted pairs, as the command finds them; and where it wrote."""
    out = tmp_path_factory.mktemp("cooperation") / "out"
    pairs = (("TIES", "HELPS"), ("FIRST", "SECOND"))
    settings = dict(motifs=planted / "motifs.meme", backgrounds=24, max_gap=LONGEST_GAP)
    return tcnfast.cobind.motifs(planted / "model", out, pairs=pairs, **settings, **FP32), out


def test_planted_synergy_is_found_with_its_spacing(table):
    table, _ = table
    pair, label = table.pairs[0], table.labels.index(PAIR)
    found = pair.cooperation
    assert found.verdict(table.margin)[label] == "synergy"
    assert interaction_name(found, label) == "A> B>"
    assert GAPS[0] <= found.gap[label] <= GAPS[1]
    # half the height is reached about where the planted gaps begin and end
    assert GAPS[0] - 4 <= found.gap_from[label] <= GAPS[0] + 1
    assert GAPS[1] - 1 <= found.gap_to[label] <= GAPS[1] + 4
    assert found.interaction[label] > 4 and found.low[label] > 3 and found.p[label] < 1e-6
    assert not found.everywhere[label] and abs(found.median[label]) < 2
    assert pair.reacting == label
    # far apart, or the other way round, the two do nothing
    means = pair.interaction[..., label]
    assert (means[0, 18:] < 2).all() and (means[1:] < 2).all()


def test_a_planted_additive_pair_is_reported_as_additive(table):
    table, _ = table
    pair, label = table.pairs[1], table.labels.index(SUM)
    found = pair.cooperation
    assert found.verdict(table.margin)[label] == "additive"
    assert found.first[label] > 1.5 and found.second[label] > 1.5  # each does act
    assert found.both[label] == pytest.approx(5, abs=1.5)
    assert abs(found.median[label]) < 0.7


def interaction_name(found, label):
    return list(interaction.ARRANGEMENTS)[found.arrangement[label]]


def test_the_tables_and_pictures_are_written(table):
    table, out = table
    names = {"cooperation.tsv", "profiles.tsv", "interaction.npz", "index.html"}
    names |= {"overview.svg", "profiles.1.svg", "profiles.2.svg"}
    assert {path.name for path in out.iterdir()} == names | {"run.json"}
    header, *rows = read_rows(out / "cooperation.tsv")
    assert len(rows) == 4 and rows[0][:4] == ["TIES", "HELPS", PAIR, "synergy"]
    values = dict(zip(header, rows[0], strict=True))
    assert float(values["low"]) <= float(values["interaction"]) <= float(values["high"])
    assert float(values["both"]) == pytest.approx(
        float(values["a"]) + float(values["b"]) + float(values["interaction"]), abs=0.01
    )
    assert len(read_rows(out / "profiles.tsv")) == 1 + 2 * 4 * (LONGEST_GAP + 1)
    with np.load(out / "interaction.npz") as arrays:
        assert arrays["interaction"].shape == (2, 4, LONGEST_GAP + 1, 2)
        np.testing.assert_array_equal(arrays["labels"], table.labels)


def test_the_same_seed_gives_the_same_table(planted, table, tmp_path):
    settings = dict(motifs=planted / "motifs.meme", pairs="TIES+HELPS", backgrounds=8, max_gap=3)
    model = planted / "model"
    rows = [tcnfast.cobind.motifs(model, tmp_path / x, **settings, **FP32).table for x in "ab"]
    assert rows[0].equals(rows[1])


def test_sites_stand_where_they_are_said_to(planted):
    first, second = Site.of(MOTIFS[0]), Site.of(sharp_motif("LONG", "GATTACAGATTA"))
    places = interaction.placements(first, second, 5, 69)
    assert len(places) == 4 * 5
    for index, ((a, turn_a), (b, turn_b)) in enumerate(places):
        name, gap = list(interaction.ARRANGEMENTS)[index // 5], index % 5
        left, right = min((a, 8), (b, 12)), max((a, 8), (b, 12))
        assert right[0] - (left[0] + left[1]) == gap
        assert (left[0] + right[0] + right[1]) // 2 in (34, 35)
        words = sorted(((a, "<A" if turn_a else "A>"), (b, "<B" if turn_b else "B>")))
        assert " ".join(word for _, word in words) == name


BACKENDS = pytest.mark.parametrize("backend", ["cpu", "reference"])


@BACKENDS
def test_edited_windows_score_as_windows_made_by_hand(backend):
    model = random_model(channels=8, blocks=4)
    scorer = WindowScorer(model, backend=backend, **FP32)
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 4, (3, scorer.width), np.uint8)
    site = np.array([0, 4, 2, 3], np.uint8)
    told = []
    logits = scorer.edited(codes, [[(5, site)], [(0, site), (20, site)]], told.append)
    assert logits.shape == (2, 3, 3) and sum(told) == 6
    for row, starts in enumerate(([5], [0, 20])):
        windows = codes.copy()
        for start in starts:
            windows[:, [start, start + 2, start + 3]] = 0, 2, 3
        both = np.concatenate([windows, reverse_complement(windows)])
        expected = model(torch_codes(both)).detach().numpy().reshape(2, 3, -1).mean(0)
        np.testing.assert_allclose(logits[row], expected, atol=1e-4)


@BACKENDS
def test_copies_score_as_whole_windows(backend):
    """Of an ensemble; copies that differ in runs, at both ends, in N, or nowhere."""
    torch.manual_seed(0)
    model = Ensemble([random_model(blocks=3), random_model(blocks=3)])
    scorer = WindowScorer(model, backend=backend, **FP32)
    rng = np.random.default_rng(0)
    windows = rng.integers(0, 5, (3, scorer.width), np.uint8)
    copies = np.tile(windows, (4, 1, 1))
    copies[0, :, 5:12] = rng.integers(0, 5, (3, 7))
    copies[1, :, [0, -1]] = 2
    copies[2, 1] = rng.integers(0, 5, scorer.width)
    whole = scorer(copies.reshape(-1, scorer.width)).reshape(4, 3, -1)
    assert np.abs(whole[0] - whole[3]).max() > 0.01
    np.testing.assert_allclose(scorer.copies(windows, copies), whole, atol=1e-5)


def test_auto_is_fp32_on_the_engine_and_a_precision_by_name_is_kept():
    model = random_model()
    assert WindowScorer(model, "cpu").plan.precision == "fp32"
    if cpu_engine.why_not("bf16") is None:
        assert WindowScorer(model, "cpu", "bf16").plan.precision == "bf16"


def torch_codes(codes):
    return torch.from_numpy(np.ascontiguousarray(codes))


def responses(interaction_of):
    """Responses whose interaction is ``interaction_of`` (4, gaps, n, labels)."""
    zero = np.zeros_like(interaction_of, np.float32)
    return interaction.Responses(zero + 1, zero + 2, zero + 3 + interaction_of.astype(np.float32))


def test_an_effect_is_measured_on_backgrounds_that_did_not_choose_it():
    """Of pure noise, the best of 400 places looks large where it was chosen, and not elsewhere."""
    rng = np.random.default_rng(1)
    found = interaction.judge(responses(rng.normal(size=(4, 100, 40, 50))))
    assert np.abs(found.interaction).mean() < 0.25
    assert 0.01 < (found.p < 0.1).mean() < 0.3
    assert np.isin(found.verdict(0.5), ["additive", "unsure"]).mean() > 0.95


def test_the_gap_range_and_the_verdicts():
    shape = np.zeros((4, 30, 20, 4))
    shape[2, 8:13, :, 0] = 3.0  # synergy at 8 to 12
    shape[..., 1] = -2.0  # less than the sum, everywhere
    shape[..., 3] = np.where(np.arange(20) % 4 < 2, 0, 2)  # 1 on average, and spread
    shape += np.random.default_rng(2).normal(scale=0.05, size=shape.shape)
    found = interaction.judge(responses(shape))
    assert found.verdict(1.0).tolist() == ["synergy", "sub-additive", "additive", "unsure"]
    assert (found.arrangement[0], found.gap_from[0], found.gap_to[0]) == (2, 8, 12)
    assert found.everywhere.tolist()[:2] == [False, True]
    assert (found.gap_from[1], found.gap_to[1]) == (0, 29)
    np.testing.assert_allclose(found.first, 1, rtol=1e-5)
    assert found.least[0] == pytest.approx(3, abs=0.1) and found.least[2] < 0.1


def test_a_helical_wave_is_told_from_noise_and_from_a_trend():
    rng = np.random.default_rng(3)
    at = np.arange(100)
    curves = rng.normal(scale=0.3, size=(4, 100, 3))
    for row, phase in enumerate((0.0, 1.0, 2.0, 3.0)):
        curves[row, :, 0] += 0.4 * np.cos(2 * np.pi * at / 10.5 + phase)
        curves[row, :, 1] += 3 - 0.05 * at + 0.0003 * at**2
    share, p, period = helical(curves, 199, 0)
    assert share[0] > 0.3 and p[0] == 1 / 200 and period[0] == pytest.approx(10.5, abs=0.5)
    assert share[1] < 0.1 and p[1] > 0.05 and p[2] > 0.05
    assert all(np.isnan(x).all() for x in helical(curves[:, :41], 9, 0))


def test_weak_columns_leave_the_background():
    probabilities = np.full((6, 4), 0.25)
    probabilities[[1, 4]] = [0.01, 0.97, 0.01, 0.01]
    assert Site.of(Motif("x", "x", probabilities)).codes.tolist() == [1, 4, 4, 1]
    with pytest.raises(TcnfastError, match="no column tells"):
        Site.of(Motif("x", "x", np.full((6, 4), 0.25)))


def test_backgrounds_hold_no_motif_and_keep_their_dinucleotides(tmp_path):
    from support.scan import small_genome, write_fasta

    motifs = [sharp_motif("E", "CACGTG")]
    with Genome(write_fasta(tmp_path / "g.fa", small_genome())) as genome:
        for kind in KINDS:
            draw = (kind, 6, 300, 4, genome)
            codes, left = backgrounds.draw_backgrounds(*draw, motifs)
            again, _ = backgrounds.draw_backgrounds(*draw, motifs)
            other, _ = backgrounds.draw_backgrounds(kind, 6, 300, 5, genome, motifs)
            np.testing.assert_array_equal(codes, again)
            assert (codes != other).any() and codes.shape == (6, 300) and codes.max() < 4
            assert not any("CACGTG" in "".join("ACGT"[c] for c in row) for row in codes)
            assert left < 1 == backgrounds.relative_scores(encode("GGCACGTGGG")[None], motifs)[0, 0]
        whole, _ = backgrounds.draw_backgrounds("genome", 6, 300, 4, genome, [])
        shuffled, _ = backgrounds.draw_backgrounds("shuffled", 6, 300, 4, genome, [])
        pairs = [np.bincount(4 * x[0, :-1] + x[0, 1:], minlength=16) for x in (whole, shuffled)]
        np.testing.assert_array_equal(*pairs)
        assert (whole != shuffled).any()
        with pytest.raises(TcnfastError, match="too few windows"):
            backgrounds.draw_backgrounds("genome", 2, 200_000, 0, genome, [])


def alike(a, b):
    return resemblance(log_odds(a), log_odds(b))


def test_motifs_by_name_and_the_ones_that_differ():
    motifs = [*MOTIFS, sharp_motif("TWIN", "ATGACTTCGT")]
    assert [m.name for m in named_motifs(motifs, ["P_HELPS", "ties"], "x")] == ["HELPS", "TIES"]
    assert alike(motifs[0], motifs[-1]) > 0.8 > alike(motifs[0], motifs[1])
    assert [m.name for m in distinct([motifs[-1], *motifs], 3)] == ["TWIN", "HELPS", "FIRST"]
    assert motifs_at(None) == DATABASE and DATABASE.exists()


def words(planted, *more):
    return [
        "cobind",
        "motifs",
        "-m",
        planted / "model",
        "-o",
        "out",
        "-q",
        "--precision",
        "fp32",
        *more,
    ]


def test_the_top_motifs_of_a_folder(planted, run, tmp_path):
    (tmp_path / "found").mkdir()
    write_meme(tmp_path / "found" / "motifs.meme", MOTIFS, [9] * 4)
    more = ("--top", 3, "--max-gap", 2, "--backgrounds", 8, "--motifs", "found")
    code, out, err = run(*words(planted, *more))
    assert code == 0 and out == err == ""
    assert len(read_rows(tmp_path / "out" / "cooperation.tsv")) == 1 + 3 * 2


def test_bad_input_is_told_in_a_line(planted, home, run, tmp_path):
    meme = ("--motifs", planted / "motifs.meme")
    (tmp_path / "empty").mkdir()
    wide = [sharp_motif("WIDE", "ACGT" * 20), MOTIFS[0]]
    write_meme(tmp_path / "wide.meme", wide, [1, 1])

    def complaint(*more):
        return fails(run(*words(planted, *more)), "")

    assert "no motif with the id or name 'NOPE'" in complaint(*meme, "--names", "TIES,NOPE")
    assert "span 188 bp" in complaint("--motifs", "wide.meme", "--names", "WIDE,TIES")
    assert "holds no motifs.meme" in complaint("--motifs", "empty")
    assert "at least 8" in complaint(
        *meme, "--names", "TIES,HELPS", "--backgrounds", 4, "--max-gap", 9
    )
    assert "needs a genome" in complaint(*meme, "--background", "genome")
    both = ("--names", "TIES,HELPS", "--pairs", "A+B")
    refused(run(*words(planted, *meme, *both)), "exclude each other")
    assert "named twice" in complaint(*meme, "--names", "TIES,P_TIES")
    refused(run(*words(planted, *meme, "--names", "TIES")), "a pair needs two")
    assert "cannot be read" in complaint("--motifs", "absent.meme")
    code, _, err = run(*words(planted, *meme, "--pairs", "TIES"))
    assert code == 2 and "write two motifs" in err
    assert_nothing_written(tmp_path, "empty", "wide.meme")


def test_letters_of_the_planted_motifs_do_not_resemble_each_other():
    for i, motif in enumerate(MOTIFS):
        assert all(alike(motif, other) < 0.8 for other in MOTIFS[:i])
    assert list(LETTERS) == [motif.name for motif in MOTIFS]
