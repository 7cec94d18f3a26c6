"""Matrices as networks: learned ones find a planted motif, given ones score as the scanner does."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from support.study import of_labels

from tcnfast.base.errors import TcnfastError
from tcnfast.genome.codes import encode, reverse_complement
from tcnfast.genome.labels import AMBIGUOUS
from tcnfast.pwm.learned_matrices import best_sums
from tcnfast.pwm.log_odds import UNIFORM, log_odds
from tcnfast.pwm.meme import DATABASE, Motif, read_meme, write_meme
from tcnfast.pwm.placements import bin_scores
from tcnfast.windows.architectures import build, window_scorer
from tcnfast.windows.motif_network import MotifNetwork
from tcnfast.windows.motif_start import enriched_words, start_matrix
from tcnfast.windows.pwm_network import PWMNetwork
from tcnfast.windows.window_config import WindowConfig
from tcnfast.windows.window_fit import fit_windows
from tcnfast.windows.window_set import WindowSet

LENGTH = 60
SITES = {"EARLY@one": "TGACGTCAGG", "GAPPED@one": "CCGTNNNNNATTG"}
LABELS = list(SITES)
FP32 = WindowConfig(epochs=2, batch_size=64, shift=3, precision="fp32")


def planted(n, seed, mutate=0.1):
    """Half of the windows of each label hold its site, on either strand, somewhere, with a tenth of
    its bases changed."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 4, (n, LENGTH), np.uint8)
    labels = rng.integers(0, 2, (n, len(LABELS))).astype(np.uint8)
    for row in range(n):
        for site, half, bound in zip(SITES.values(), (0, 30), labels[row], strict=True):
            if bound:
                site = encode(site)
                site = np.where(rng.random(site.size) < mutate, rng.integers(0, 4, site.size), site)
                site = reverse_complement(site) if rng.random() < 0.5 else site.astype(np.uint8)
                start = half + rng.integers(0, 30 - site.size + 1)
                known = site < 4
                codes[row, start : start + site.size][known] = site[known]
    zeros = np.zeros(n, np.uint8)
    return WindowSet(
        "planted",
        LABELS,
        codes,
        labels,
        zeros,
        zeros,
        zeros.astype(np.int16) - 1,
        zeros.astype(np.int64) - 1,
        [],
    )


@pytest.fixture(scope="module")
def parts():
    return planted(900, 1), planted(400, 2)


@pytest.fixture(scope="module")
def learned(parts):
    torch.manual_seed(0)
    model = build("pwm", LABELS, LENGTH, shape={"width": 13})
    return model, fit_windows(model, *parts, FP32, "cpu")


@pytest.fixture(scope="module")
def meme_path(tmp_path_factory):
    """The planted motifs, a fragment of one, and one that fits into no window."""
    path = tmp_path_factory.mktemp("meme") / "m.meme"
    shares = [np.full((10, 4), 0.03), np.full((13, 4), 0.03)]
    for matrix, site in zip(shares, SITES.values(), strict=True):
        for row, code in zip(matrix, encode(site), strict=True):
            row[:] = 0.25 if code == 4 else row
            row[code % 4] = 0.25 if code == 4 else 0.91
    motifs = [Motif("EARLY", "M1", shares[0]), Motif("LATE", "M2", shares[1])]
    motifs.append(Motif("EARLY::X", "M3", shares[0][2:6]))
    motifs.append(Motif("WIDE", "M4", np.full((LENGTH + 1, 4), 0.25)))
    write_meme(path, motifs, [100] * len(motifs))
    return path


@pytest.fixture
def meme(meme_path, tmp_path):
    """A copy that may be removed."""
    return Path(shutil.copy(meme_path, tmp_path))


@pytest.fixture(scope="module")
def truth(parts, meme_path):
    """AP of the planted motifs themselves."""
    model = build("motif", LABELS, LENGTH, shape={"meme": str(meme_path)})
    return fit_windows(model, *parts, FP32, "cpu").epochs[0].scores.ap


def test_a_planted_motif_is_learned(learned, truth):
    model, training = learned
    assert truth.min() > 0.9
    # three columns too many for one of them: sites at the edge of a window do not fit
    assert (training.epochs[training.best].scores.ap > truth - 0.025).all()
    for label, site in SITES.items():
        found = model.to_motif(label).probabilities
        np.testing.assert_allclose(found.sum(1), 1)
        # the site lies somewhere in the matrix, on either strand
        codes = encode(site)
        fits = []
        for strand in (codes, reverse_complement(codes)):
            for first in range(len(found) - len(codes) + 1):
                at = [first + i for i in np.flatnonzero(strand < 4)]
                fits.append(found[at, strand[strand < 4]].min())
        assert max(fits) > 0.5


def test_without_a_start_it_mostly_stays_where_it_was(parts, learned, monkeypatch):
    # what `start` is for; if a random start did as well, it would be of no use
    monkeypatch.delattr(PWMNetwork, "start")
    torch.manual_seed(0)
    model = build("pwm", LABELS, LENGTH, shape={"width": 13})
    random = fit_windows(model, *parts, FP32, "cpu").epochs[-1].scores.ap
    assert random.mean() < 0.8 < learned[1].epochs[-1].scores.ap.min()


def test_the_start_depends_on_the_seed_alone(parts):
    states = []
    for seed in (5, 5, 6):
        model = PWMNetwork(LABELS[:1], LENGTH, width=8)
        model.start(of_labels(parts[0].take(np.arange(300)), LABELS[:1]), seed)
        states.append(model.weight.detach().numpy().copy())
    np.testing.assert_array_equal(states[0], states[1])
    assert (states[0] != states[2]).any()


def test_enriched_words_are_counted_on_both_strands():
    rng = np.random.default_rng(0)
    bound, unbound = (rng.integers(0, 4, (300, 40), np.uint8) for _ in range(2))
    word = encode("GATTNNNNACAC")
    for row in range(0, 300, 3):
        site = word if row % 2 else reverse_complement(word)
        place = bound[row, 20:32]
        place[site < 4] = site[site < 4]
    found = enriched_words(bound, unbound, 15, 3)
    assert found[0].gap == 4 and found[0].span == 12
    letters = word[word < 4].tolist()
    assert found[0].codes.tolist() in (letters, reverse_complement(np.array(letters)).tolist())
    assert found[0].z > max(5, found[1].z)
    matrix = start_matrix(bound, found[0], 15, np.array(UNIFORM))
    assert matrix.shape == (15, 4)
    np.testing.assert_allclose(matrix.sum(1), 1)
    # the word is in it, on its own strand
    runs = [matrix[i + np.r_[0:4, 8:12], found[0].codes].min() for i in range(4)]
    assert max(runs) > 0.5
    # few windows, short windows, windows of N: no words, no error
    assert enriched_words(bound[:10], unbound, 15, 3) == []
    assert enriched_words(bound[:, :7], unbound[:, :7], 15, 3) == []
    assert enriched_words(np.full_like(bound, 4), unbound, 15, 3) == []


@pytest.mark.parametrize("width", [1, 6, 40])
def test_best_sums_equal_the_scanner(width):
    rng = np.random.default_rng(width)
    matrix = log_odds(Motif("m", "m", rng.dirichlet(np.full(4, 0.4), width)), (0.3, 0.2, 0.2, 0.3))
    codes = rng.integers(0, 4, (50, 40), np.uint8)
    codes[rng.random(codes.shape) < 0.02] = 4
    codes[7] = 4
    weight = torch.from_numpy(matrix.T.copy())[None]
    got = best_sums(torch.from_numpy(codes), weight)[:, 0].numpy()
    # sums of whole 4096ths of bits: exact in any order
    np.testing.assert_array_equal(got, bin_scores(codes.ravel(), matrix, np.arange(50) * 40, 40))
    assert got[7] == matrix.min(1).sum()
    with torch.autocast("cpu", torch.bfloat16):  # asked of a network, it stays exact
        again = best_sums(torch.from_numpy(codes), weight)[:, 0].numpy()
    np.testing.assert_array_equal(got, again)


def test_strands_score_alike_and_are_not_averaged(learned, parts):
    model, codes = learned[0], parts[1].codes[:64]
    with torch.no_grad():
        plus = model(torch.from_numpy(codes)).numpy()
        minus = model(torch.from_numpy(reverse_complement(codes))).numpy()
    np.testing.assert_allclose(plus, minus, atol=1e-4)
    np.testing.assert_array_equal(window_scorer(model, "cpu", "fp32")(codes), plus)


def test_a_given_motif_is_fitted_and_stands_alone(meme, parts):
    model = build("motif", LABELS, LENGTH, shape={"meme": str(meme)})
    fit_windows(model, *parts, FP32, "cpu")
    # EARLY rather than its fragment; GAPPED has no motif of its name, so the best of all
    assert model.widths.tolist() == [10, 13]
    codes = torch.from_numpy(parts[1].codes)
    with torch.no_grad():
        logits = model(codes)
    # a probability: its mean is the share of bound windows that it was fitted on
    assert abs(logits.sigmoid().mean().item() - 0.5) < 0.05
    state = model.state_dict()
    meme.unlink()
    again = build("motif", LABELS, LENGTH, shape={"meme": str(meme)})
    with pytest.raises(TcnfastError, match="call fit"):
        again(codes)
    again.load_state_dict(state)
    with torch.no_grad():
        torch.testing.assert_close(again(codes), logits, rtol=0, atol=0)


def test_motifs_by_name_id_and_label(meme, parts):
    by_id = MotifNetwork(LABELS, LENGTH, motif="M3", meme=meme)
    by_id.fit(*parts)
    assert by_id.widths.tolist() == [4, 4]
    each = MotifNetwork(
        LABELS, LENGTH, motif=dict(zip(LABELS, ["M3", "late"], strict=True)), meme=meme
    )
    each.fit(*parts)
    assert each.widths.tolist() == [4, 13]
    matrix = each.log_odds[1, :13].numpy()
    shares = np.bincount(parts[0].codes.ravel(), minlength=5)[:4]
    shares = (shares + shares[::-1] + 2) / (2 * shares.sum() + 8)
    np.testing.assert_allclose(matrix, log_odds(read_meme(meme)[1], shares), atol=1e-3)


def test_the_bundled_motifs_are_the_default(parts):
    windows = of_labels(parts[0].take(np.arange(200)), LABELS[:1])
    model = MotifNetwork(LABELS[:1], LENGTH, motif="CTCF")
    model.fit(windows, windows)
    widths = [len(motif.probabilities) for motif in read_meme(DATABASE) if motif.is_named("CTCF")]
    assert model.widths.item() in widths


def test_clear_words(meme, parts):
    with pytest.raises(TcnfastError, match="width 7: "):
        PWMNetwork(LABELS, 60, width=7)
    with pytest.raises(TcnfastError, match="19 bp does not fit into windows of 18"):
        PWMNetwork(LABELS, 18)
    with pytest.raises(TcnfastError, match="one-hot"):
        PWMNetwork(LABELS, 60, "eiip")
    with pytest.raises(TcnfastError, match="one-hot"):
        MotifNetwork(LABELS, 60, "integer")
    with pytest.raises(TcnfastError, match="arch motif"):
        build("motif", LABELS, 60, shape={"width": 3})
    with pytest.raises(TcnfastError, match="no motif of the id or name 'NO'"):
        MotifNetwork(LABELS, LENGTH, motif="NO", meme=meme).fit(*parts)
    with pytest.raises(TcnfastError, match="fits into windows of 60"):
        MotifNetwork(LABELS, LENGTH, motif="WIDE", meme=meme).fit(*parts)
    with pytest.raises(TcnfastError, match="name one for each"):
        MotifNetwork(LABELS, LENGTH, motif={"EARLY@one": "M1"}, meme=meme)
    one_class = parts[0].take(parts[0].labels.all(1))
    with pytest.raises(TcnfastError, match="bound and unbound"):
        MotifNetwork(LABELS, LENGTH, meme=meme).fit(one_class, one_class)


def test_ambiguous_windows_teach_nothing(meme, parts):
    train = parts[0].take(np.arange(300))
    labels = train.labels.copy()
    labels[100:] = AMBIGUOUS
    known = train.take(np.arange(100))
    masked = WindowSet(
        "m", LABELS, train.codes, labels, train.part, train.kind, train.chrom, train.start, []
    )
    curves = []
    for windows in (masked, known):
        model = MotifNetwork(LABELS, LENGTH, motif="M1", meme=meme)
        model.fit(windows, windows)
        curves.append(model.slope.tolist())
    # but for the composition, which all windows have
    np.testing.assert_allclose(*curves, rtol=0.05)


def test_windows_of_n_score_the_lowest_sum():
    model = PWMNetwork(LABELS, 20)
    codes = torch.full((2, 20), 4, dtype=torch.uint8)
    with torch.no_grad():
        lowest = 10 * model.weight.amin(1).sum(1) + model.bias
        torch.testing.assert_close(model(codes), lowest.expand(2, -1))
