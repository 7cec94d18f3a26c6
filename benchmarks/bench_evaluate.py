"""Scores and bootstrap replicates of one label, against scikit-learn: `pytest
benchmarks/bench_evaluate.py`."""

import numpy as np
import pytest
from record import record
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

from tcnfast.evaluate.bootstrap import draw_blocks
from tcnfast.model.ranking import Ranking

# as the validation part of encode-v1: 14 Mb every 32 bp
WINDOWS, BLOCKS, RATE = 437_000, 14, 0.004
RESAMPLES, BY_SCIKIT_LEARN = 1_000, 4  # which takes its time


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    truth = rng.random(WINDOWS) < RATE
    score = (rng.normal(size=WINDOWS) + 2 * truth).astype(np.float32)
    block = (np.arange(WINDOWS) * BLOCKS // WINDOWS).astype(np.int32)
    return score, truth, block, draw_blocks(BLOCKS, RESAMPLES, 0)


def with_scikit_learn(score, truth, weights):
    """AP, AUROC and best F1 under each weighting."""
    out = []
    for weight in weights.T:
        precision, recall, _ = precision_recall_curve(truth, score, sample_weight=weight)
        f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
        ap = average_precision_score(truth, score, sample_weight=weight)
        out.append([ap, roc_auc_score(truth, score, sample_weight=weight), f1.max()])
    return np.array(out)


def with_ranking(score, truth, block, weights):
    found = Ranking.of(score, truth, block).scores(weights)
    return np.column_stack([found[name] for name in ("ap", "auroc", "f1")])


medians = {}


@pytest.mark.parametrize("side", ["scikit-learn", "tcnfast"])
@pytest.mark.parametrize("case", ["scores", "bootstrap"])
def test_scores(benchmark, data, case, side):
    score, truth, block, drawn = data
    counts = np.ones((BLOCKS, 1), np.int32) if case == "scores" else drawn
    few = counts[:, :BY_SCIKIT_LEARN]
    if side == "scikit-learn":
        args = score, truth, few[block]
        benchmark.pedantic(with_scikit_learn, args, rounds=3, warmup_rounds=1)
    else:
        args = score, truth, block, counts
        got = benchmark.pedantic(with_ranking, args, rounds=5, warmup_rounds=1)
        want = with_scikit_learn(score, truth, few[block])
        np.testing.assert_allclose(got[: few.shape[1]], want, rtol=1e-9)
    seconds = benchmark.stats.stats.median
    if case == "bootstrap" and side == "scikit-learn":
        seconds *= RESAMPLES / BY_SCIKIT_LEARN
    medians[case, side] = seconds
    if side == "tcnfast":
        sides = {name: medians[case, name] for name in ("scikit-learn", "tcnfast")}
        assert sides["scikit-learn"] / sides["tcnfast"] > 3
        words = {
            "scores": "AP, AUROC and best F1",
            "bootstrap": f"the same, {RESAMPLES} resamples of {BLOCKS} blocks "
            f"(scikit-learn: {BY_SCIKIT_LEARN} of them, scaled)",
        }
        record("evaluate", f"{words[case]}, {WINDOWS} windows, one label", sides, "scikit-learn")
