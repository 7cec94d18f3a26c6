"""Scores per label under masks, against their definitions, and where a scan's steps are scored."""

import numpy as np
import pytest
import torch

from tcnfast.base.errors import TcnfastError
from tcnfast.data.dataset import Dataset
from tcnfast.engines.plan import Plan
from tcnfast.evaluate import predict as prediction
from tcnfast.evaluate.predict import evaluate, predict
from tcnfast.genome.genome import Genome, Region
from tcnfast.genome.intervals import Intervals
from tcnfast.genome.labels import AMBIGUOUS, BOUND, UNBOUND
from tcnfast.model.metrics import LabelScores, score_labels


def auroc_by_definition(score, truth):
    """Chance that a bound window scores above an unbound one; ties count half."""
    pairs = score[truth][:, None] - score[~truth][None]
    return (pairs > 0).mean() + 0.5 * (pairs == 0).mean()


def ap_by_definition(score, truth):
    """Sum over cutoffs of precision times gain in recall; equal scores share a cutoff."""
    total, recall = 0.0, 0.0
    for cutoff in sorted(set(score.tolist()), reverse=True):
        called = score >= cutoff
        hits = (called & truth).sum()
        total += hits / called.sum() * (hits / truth.sum() - recall)
        recall = hits / truth.sum()
    return total


def random_case(n=400, labels=4, seed=0, ties=False):
    rng = np.random.default_rng(seed)
    targets = rng.choice([UNBOUND, BOUND, AMBIGUOUS], (n, labels), p=[0.7, 0.1, 0.2])
    targets = targets.astype(np.uint8)
    scores = rng.normal(size=(n, labels)) + (targets == BOUND)
    # an ambiguous window would spoil every score if it were counted
    scores[targets == AMBIGUOUS] += 9
    return (scores.round() if ties else scores).astype(np.float32), targets


@pytest.mark.parametrize("ties", [False, True], ids=["distinct", "ties"])
def test_ambiguous_windows_are_left_out(ties):
    scores, targets = random_case(ties=ties)
    got = score_labels(list("abcd"), scores, targets)
    for i in range(4):
        known = targets[:, i] != AMBIGUOUS
        score, truth = scores[known, i], targets[known, i] == BOUND
        assert got.ap[i] == pytest.approx(ap_by_definition(score, truth))
        assert got.auroc[i] == pytest.approx(auroc_by_definition(score, truth))
        assert (got.positives[i], got.windows[i]) == (truth.sum(), len(truth))
    np.testing.assert_allclose(got.chance, got.positives / got.windows)


def test_agrees_with_scikit_learn():
    from sklearn.metrics import average_precision_score, roc_auc_score

    scores, targets = random_case(seed=3)
    got = score_labels(list("abcd"), scores, targets)
    for i in range(4):
        known = targets[:, i] != AMBIGUOUS
        pair = targets[known, i] == BOUND, scores[known, i]
        assert got.ap[i] == pytest.approx(average_precision_score(*pair), rel=1e-12)
        assert got.auroc[i] == pytest.approx(roc_auc_score(*pair), rel=1e-12)


def test_perfect_reversed_and_constant_scores():
    truth = np.repeat([[BOUND], [UNBOUND]], [25, 75], axis=0).astype(np.uint8)
    targets = np.repeat(truth, 3, axis=1)
    rank = np.arange(100.0)
    scores = np.stack([-rank, rank, np.zeros(100)], axis=1)
    got = score_labels(["perfect", "reversed", "constant"], scores, targets)
    np.testing.assert_allclose(got.auroc, [1, 0, 0.5])
    np.testing.assert_allclose(got.ap[[0, 2]], [1, 0.25])
    assert got.ap[1] < 0.2


@pytest.mark.parametrize("only", [UNBOUND, BOUND, AMBIGUOUS], ids=["unbound", "bound", "ambiguous"])
def test_a_label_of_one_kind_has_no_score(only):
    scores, targets = random_case()
    targets[:, 2] = only
    got = score_labels(list("abcd"), scores, targets)
    assert np.isnan(got.ap[2]) and np.isnan(got.auroc[2])
    assert np.isfinite(got.ap[[0, 1, 3]]).all()
    assert got.counted(0).tolist() == [True, True, False, True]
    assert got.macro("ap") == pytest.approx(got.ap[[0, 1, 3]].mean())
    assert np.isfinite(got.chance).all()


def test_means_are_over_labels_with_enough_positives():
    got = LabelScores(
        list("abcd"),
        ap=np.array([0.1, 0.5, 0.9, np.nan]),
        auroc=np.array([0.6, 0.8, 1.0, np.nan]),
        positives=np.array([20, 40, 19, 100]),
        windows=np.full(4, 100),
    )
    assert got.counted().tolist() == [True, True, False, False]
    assert got.macro("ap") == pytest.approx(0.3) and got.macro("auroc") == pytest.approx(0.7)
    assert got.macro("ap", min_positives=19) == pytest.approx(0.5)
    assert np.isnan(got.macro("ap", min_positives=1000))


# on a genome

SIZE, N_STRETCH = 3_000, (1_200, 1_700)


@pytest.fixture
def dataset(tmp_path):
    rng = np.random.default_rng(2)
    letters = np.frombuffer(b"ACGT", np.uint8)[rng.integers(0, 4, SIZE)].copy()
    letters[slice(*N_STRETCH)] = ord("N")
    path = tmp_path / "g.fa"
    path.write_bytes(b">c\n" + letters.tobytes() + b"\n")
    start = np.arange(300, 2_800, 400)
    columns = np.array(["c"] * len(start), object), start, start + 200, np.full(len(start), -1)
    bound = Intervals(*columns, np.array(["a"] * len(start), object))
    with Genome(path) as genome:
        yield Dataset(genome, bound, ["a", "b"])


@pytest.mark.parametrize("strand", ["+", "both"])
def test_predict_scores_the_steps_of_a_scan(dataset, make_model, monkeypatch, strand):
    # several segments, the last partial
    monkeypatch.setattr(prediction, "segment_length", lambda plan: 7 * 16)
    model = make_model(labels=["a", "b"])
    plan = Plan(model, device="cpu", precision="fp32", stride=16, strand=strand)
    regions = [Region("c", 103, 1_000), Region("c", 1_100, 2_999)]
    logits, targets = predict(plan, dataset, regions)
    centres = np.concatenate([dataset.centres(region, 61, 16) for region in regions])
    assert logits.shape == targets.shape == (len(centres), 2) and (centres % 16 == 8).all()
    windows = torch.from_numpy(
        np.stack([dataset.genome.codes("c", c - 30, c + 31) for c in centres])
    )
    with torch.no_grad():
        want = model(windows)
        if strand == "both":
            flipped = torch.where(windows < 4, 3 - windows, windows).flip(1)
            want = (want + model(flipped)) / 2
    np.testing.assert_allclose(logits, want.numpy(), rtol=1e-4, atol=1e-4)
    inside = (centres - 100 >= N_STRETCH[0]) & (centres + 100 <= N_STRETCH[1])
    assert inside.any() and (targets[inside] == AMBIGUOUS).all()
    np.testing.assert_array_equal(targets[~inside], dataset.targets("c", centres[~inside]))


def test_evaluate_is_predict_scored(dataset, make_model):
    plan = Plan(make_model(labels=["a", "b"]), device="cpu", precision="fp32", stride=16)
    regions = [Region("c", 0, SIZE)]
    got = evaluate(plan, dataset, regions)
    want = score_labels(["a", "b"], *predict(plan, dataset, regions))
    assert got.labels == ["a", "b"]
    np.testing.assert_array_equal(got.ap, want.ap)
    assert got.positives[0] > 20 and got.positives[1] == 0 and np.isnan(got.ap[1])


def test_regions_too_short_for_a_window_raise(dataset, make_model):
    plan = Plan(make_model(labels=["a", "b"]), device="cpu", precision="fp32", stride=16)
    with pytest.raises(TcnfastError, match=r"c:1-150.*none holds a window of 61 bases"):
        predict(plan, dataset, [Region("c", 0, 150)])
