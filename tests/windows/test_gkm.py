"""Gapped k-mer SVM: kernel, table and machine against their definitions, letter by letter."""

from itertools import combinations, product

import numpy as np
import pytest
import torch
from sklearn.svm import SVC
from support.gkm import MOTIF, window_set
from support.study import of_labels

from tcnfast.base.errors import TcnfastError
from tcnfast.genome.codes import encode, reverse_complement
from tcnfast.genome.labels import AMBIGUOUS, BOUND
from tcnfast.windows import gkm_gram
from tcnfast.windows.architectures import build
from tcnfast.windows.gkm_gram import gram
from tcnfast.windows.gkm_kernel import GkmKernel, krawtchouk, lmers
from tcnfast.windows.gkm_svm import GkmSVM, lmer_table
from tcnfast.windows.window_config import WindowConfig
from tcnfast.windows.window_run import open_window_model, save_window_model

SMALL = {"l": 6, "k": 4, "d": 1}
KERNELS = [
    GkmKernel(6, 4, 1),
    GkmKernel(6, 4, 2, filter="estimated"),
    GkmKernel(5, 5, 0, weighting="centre", peak=4, half_life=3),
    GkmKernel(9, 6, 3, weighting="centre", peak=9, half_life=8),
    GkmKernel(),
]


def words_of(codes, l):  # noqa: E741
    """Starts and l-mers of one strand that hold no N."""
    return [
        (i, codes[i : i + l]) for i in range(len(codes) - l + 1) if (codes[i : i + l] < 4).all()
    ]


def kernel_by_hand(x, y, kernel):
    """All pairs of l-mers, both strands of y, by comparing letters."""
    h, at = kernel.mismatch_weights(), kernel.position_weights(len(x))
    total = 0.0
    for i, u in words_of(x, kernel.l):
        for j, v in words_of(y, kernel.l):
            for other in (v, reverse_complement(v)):
                m = int((u != other).sum())
                total += at[i] * at[j] * (h[m] if m <= kernel.d else 0.0)
    return total


def gram_by_hand(windows, kernel):
    raw = np.array([[kernel_by_hand(x, y, kernel) for x in windows] for y in windows])
    scale = np.sqrt(np.diag(raw))
    return raw / np.outer(scale, scale).clip(1e-12)


@pytest.mark.parametrize("kernel", KERNELS, ids=str)
def test_the_kernel_is_that_of_all_pairs_of_lmers(make_codes, kernel):
    windows = make_codes(5, 24).numpy()
    windows[3] = reverse_complement(windows[0])
    windows[4, 4:] = windows[0, :-4]
    np.testing.assert_allclose(gram(windows, kernel), gram_by_hand(windows, kernel), rtol=1e-5)


def test_rows_and_slabs_do_not_matter(make_codes, monkeypatch):
    windows = make_codes(9, 40).numpy()
    want = gram(windows, GkmKernel())
    for rows, suffix in ((2, 3), (4, 6)):
        monkeypatch.setattr(gkm_gram, "ROWS", rows)
        monkeypatch.setattr(gkm_gram, "SUFFIX", suffix)
        np.testing.assert_allclose(gram(windows, GkmKernel()), want, rtol=1e-6)


@pytest.fixture
def gapped_kmer_counts():
    from benchmarks.scan.patterns import gapped_kmer_counts  # of a checkout

    return gapped_kmer_counts


@pytest.mark.checkout
@pytest.mark.parametrize(("width", "k"), [(6, 4), (7, 5), (11, 7)])
def test_with_all_mismatches_it_is_the_product_of_gapped_kmer_counts(
    make_codes, gapped_kmer_counts, width, k
):
    windows = make_codes(6, 30).numpy()
    windows[0, :8] = encode("ACGTACGT")  # gapped k-mers that are their own reverse complements
    counts = gapped_kmer_counts(windows, width, k)
    products = (counts @ counts.T).toarray()
    scale = np.sqrt(np.diag(products))
    want = products / np.outer(scale, scale).clip(1e-12)
    np.testing.assert_allclose(gram(windows, GkmKernel(width, k, width - k)), want, rtol=1e-5)


@pytest.mark.checkout
def test_counts_are_those_of_gapped_words(gapped_kmer_counts):
    windows = np.stack([encode("ACGTTGCAAN"), encode("NNTTGCAACG")])
    found = {}
    for row, codes in enumerate(windows):
        for _, word in words_of(codes, 5):
            for kept in combinations(range(5), 3):
                seen = tuple(word[i] if i in kept else 9 for i in range(5))
                mirror = reverse_complement(word)
                other = tuple(mirror[i] if 4 - i in kept else 9 for i in range(5))
                key = min(seen, other)
                found.setdefault(key, [0, 0])[row] += 1
    counts = gapped_kmer_counts(windows, 5, 3)
    got = sorted(map(tuple, counts.toarray().T[np.abs(counts).sum(0) > 0].tolist()))
    assert got == sorted(map(tuple, found.values()))
    hashed = gapped_kmer_counts(windows, 5, 3, hash_bits=5)
    assert hashed.shape == (2, 32) and hashed.sum() == counts.sum()


def test_the_estimated_filter_is_the_least_squares_estimate():
    """By the pseudo-inverse: gapped 2-mer counts of 4-mers, and back."""
    width, k = 4, 2
    words = np.array(list(product(range(4), repeat=width)))
    features = [
        (words[:, kept] == letters).all(1)
        for kept in map(list, combinations(range(width), k))
        for letters in product(range(4), repeat=k)
    ]
    counts = np.array(features, float)
    # the smallest singular value that is none is 1e-15 of the largest, give or take
    estimate = np.linalg.pinv(counts, rcond=1e-10) @ counts
    first = np.array([estimate[0, (words != 0).sum(1) == m][0] for m in range(width + 1)])
    assert (first[:3] > 0).all() and first[3] < 0
    kept = np.where((words[:, None] != words[None]).sum(2) < 3, estimate, 0)
    want = (kept @ kept.T)[0]
    h = GkmKernel(width, k, width - k, filter="estimated").mismatch_weights()
    for m in range(3):
        np.testing.assert_allclose(h[m], want[(words != 0).sum(1) == m][0] / want[0], rtol=1e-9)


def test_krawtchouk_is_its_own_inverse():
    for length in (1, 4, 11):
        p = krawtchouk(length)
        np.testing.assert_allclose(p @ p, 4.0**length * np.eye(length + 1), atol=1e-3)


def test_centre_weights_halve_with_distance():
    weights = GkmKernel(weighting="centre").position_weights(411)
    middle = 200
    assert weights[middle] == 50 and weights[middle + 50] == weights[middle - 50] == 26
    assert weights[middle + 150] == 7 and weights[0] == 4  # 6.25, 3.125, each rounded up
    far = GkmKernel(weighting="centre").position_weights(1011)
    assert far[0] == 1 and np.array_equal(far, far[::-1])


@pytest.mark.parametrize("kernel", KERNELS, ids=str)
def test_the_table_holds_what_each_lmer_adds(make_codes, kernel):
    support = make_codes(3, 16).numpy()
    alphas = np.array([1.0, -0.5, 0.25])
    table = lmer_table(support, alphas, kernel)
    h, at = kernel.mismatch_weights(), kernel.position_weights(16)
    rng = np.random.default_rng(2)
    nearby = [word for _, word in words_of(support[0], kernel.l)]
    for word in [*nearby, *rng.integers(0, 4, (5, kernel.l), np.uint8)]:
        want = 0.0
        for codes, alpha in zip(support, alphas, strict=True):
            norm = np.sqrt(kernel_by_hand(codes, codes, kernel))
            for i, v in words_of(codes, kernel.l):
                for strand in (v, reverse_complement(v)):
                    m = int((word != strand).sum())
                    want += alpha / norm * at[i] * (h[m] if m <= kernel.d else 0)
        got = table[lmers(word[None], kernel.l)[0, 0]]
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-7)


def trained(train, valid=None, **settings):
    model = GkmSVM(train.names, train.length, **{**SMALL, **settings})
    model.fit(train, valid or train, WindowConfig())
    return model


@pytest.mark.parametrize("weighting", ["none", "centre"])
def test_scores_are_the_decision_of_the_support_vectors(weighting):
    train, other = window_set(60), window_set(20, seed=1)
    other.codes[3, 5:9] = 4
    model = trained(train, l=11, k=7, d=3, weighting=weighting, C=2.0)
    both = gram(np.concatenate([train.codes, other.codes]), model.kernel)
    machine = SVC(C=2.0, kernel="precomputed").fit(both[:60, :60], train.labels[:, 0] == BOUND)
    want = machine.decision_function(both[60:, :60])
    got = model(torch.from_numpy(other.codes))[:, 0].numpy()
    slope = float(model.slope[0])
    assert slope > 0
    shift = float(model.bias[0]) - slope * machine.intercept_[0]
    np.testing.assert_allclose((got - shift) / slope, want, atol=1e-4)
    assert want.std() > 0.1


def test_a_machine_finds_a_planted_motif_on_either_strand():
    model, other = trained(window_set(400)), window_set(200, seed=3)
    logits = model(torch.from_numpy(other.codes))
    hits = (logits[:, 0].numpy() > 0) == (other.labels[:, 0] == BOUND)
    assert hits.mean() > 0.9
    mirror = model(torch.from_numpy(reverse_complement(other.codes)))
    torch.testing.assert_close(mirror, logits, rtol=1e-4, atol=1e-4)
    parts = model.contributions(other.codes)
    assert parts.shape == (200, 1, 35)
    again = model.slope * torch.from_numpy(parts.sum(2)) + model.bias
    torch.testing.assert_close(again, logits, rtol=1e-4, atol=1e-4)
    for i in np.flatnonzero(other.labels[:, 0] == BOUND)[:20]:
        best = int(parts[i, 0].argmax())
        seen = MOTIF if i % 2 else reverse_complement(MOTIF)
        where = next(p for p in range(31) if np.array_equal(other.codes[i, p : p + 10], seen))
        assert abs(best + 3 - (where + 5)) <= 4


def test_platt_scaling_gives_probabilities():
    train, valid = window_set(300, share=0.3), window_set(300, seed=4, share=0.2)
    valid.labels[:40] = BOUND - valid.labels[:40]  # so that no line parts the classes
    model = trained(train, valid)
    chance = torch.sigmoid(model(torch.from_numpy(valid.codes)))
    assert abs(float(chance.mean()) - (valid.labels == BOUND).mean()) < 0.01


def test_labels_are_machines_of_their_own_and_ambiguous_windows_are_left_out():
    train = window_set(120, labels=("A", "B"))
    train.labels[:, 1] = np.where(np.arange(120) < 30, AMBIGUOUS, train.labels[:, 0])
    both = trained(train)
    alone = trained(of_labels(train.take(np.arange(30, 120)), ["B"]))
    torch.testing.assert_close(both.table[1], alone.table[0])
    assert not torch.allclose(both.table[0], both.table[1])


def test_windows_of_n_score_the_intercept_and_are_left_out_of_training(caplog):
    train = window_set(80)
    blank = window_set(84)
    blank.codes[:80], blank.labels[:80] = train.codes, train.labels
    blank.codes[80:, ::6] = 4  # no six bases without an N
    with caplog.at_level("INFO"):
        model = trained(blank, train)
    assert "4 training windows of N left out" in caplog.text
    torch.testing.assert_close(model.table, trained(train).table)
    logits = model(torch.from_numpy(blank.codes[80:]))
    assert torch.equal(logits, model.bias.expand(4, 1))
    assert not gram(blank.codes, model.kernel)[80:].any()


def test_a_saved_machine_scores_the_same(tmp_path):
    train = window_set(60)
    shape = {**SMALL, "weighting": "centre"}
    model = build("gkm-svm", train.names, train.length, shape=shape)
    model.fit(train, train, WindowConfig())
    kind = {"arch": "gkm-svm", "mapping": "one-hot", "length": train.length, "shape": shape}
    save_window_model(model, tmp_path / "model", kind)
    codes = torch.from_numpy(train.codes)
    assert torch.equal(open_window_model(tmp_path / "model")(codes), model(codes))


def test_a_subsample_is_seeded_and_said(caplog):
    train = window_set(120)
    with caplog.at_level("INFO"):
        models = [trained(train, max_windows=60) for _ in range(2)]
    assert "60 of 120 training windows, drawn at random" in caplog.text
    assert torch.equal(models[0].table, models[1].table)
    assert not torch.equal(models[0].table, trained(train).table)


def test_refusals():
    for settings, words in (
        ({"l": 13}, "l 13: must be within 2 and 12"),
        ({"k": 12}, "k 12: must be"),
        ({"d": 5}, "d 5: must be within 0 and l - k, 4"),
        ({"filter": "x"}, "filter 'x'"),
        ({"weighting": "x"}, "weighting 'x'"),
        ({"half_life": 0}, "half_life 0"),
        ({"mapping": "eiip"}, "mapping 'eiip'"),
        ({"C": 0}, "C 0"),
        ({"length": 1}, "1 bases"),
        ({"length": 10}, "windows of 10 bases are under l, 11"),
    ):
        with pytest.raises(TcnfastError, match=words):
            GkmSVM(["A"], **{"length": 40, **settings})
    for code, words in ((BOUND, "no unbound"), (1 - BOUND, "no bound")):
        train = window_set(20)
        train.labels[:] = code
        with pytest.raises(TcnfastError, match=f"label A has {words} window among 20"):
            trained(train)
    train.codes[:] = 4
    with pytest.raises(TcnfastError, match="no training window has 6 bases"):
        trained(train)
    with pytest.raises(TcnfastError, match="scores 40 bases, not 41"):
        GkmSVM(["A"], 40)(torch.zeros(2, 41, dtype=torch.uint8))
