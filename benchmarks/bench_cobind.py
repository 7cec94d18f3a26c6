"""Co-binding: windows scored one by one through the engine, and replicates of the null.

`taskset -c 0 env OMP_NUM_THREADS=1 pytest benchmarks/bench_cobind.py`
"""

import numpy as np
import pytest
import torch
from record import record
from scipy.sparse import csr_matrix

from tcnfast.cobind import null
from tcnfast.cobind.occupancy import Occupancy
from tcnfast.cobind.window_scores import BATCH, WindowScorer
from tcnfast.model.load_model import load_model

WINDOWS = 4 * BATCH
# as the peaks of chr20 and chrX: labels, bins of 200 bp, bound bins of a label
LABELS, BINS, BOUND = 112, 624_800, 1_800
REPLICATES = 25
medians = {}


@pytest.fixture(scope="module")
def windows():
    network = load_model("encode-v1")
    codes = np.random.default_rng(0).integers(0, 4, (WINDOWS, network.receptive_field), np.uint8)
    return network, codes


@torch.inference_mode()
def with_torch(network, codes, dtype):
    """Both strands in plain PyTorch: the pruned form, one score a window, its best here."""
    codes = torch.from_numpy(codes)
    turned = torch.where(codes < 4, 3 - codes, codes).flip(-1)
    stride = 2**network.config.blocks
    out = []
    for first in range(0, len(codes), 512):
        part = slice(first, first + 512)
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            out.append(sum(network.dense(x[part], stride)[..., 0] for x in (codes, turned)) / 2)
    return torch.cat(out).float().numpy()


@pytest.mark.parametrize("side", ["PyTorch", "tcnfast"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_windows(benchmark, windows, precision, side):
    network, codes = windows
    scorer = WindowScorer(network, device="cpu", precision=precision)
    if side == "PyTorch":
        dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
        args = network.unfused(), codes[:BATCH], dtype
        benchmark.pedantic(with_torch, args, rounds=3, warmup_rounds=1)
        seconds = benchmark.stats.stats.median * WINDOWS / BATCH
    else:
        got = benchmark.pedantic(scorer, (codes,), rounds=5, warmup_rounds=1)
        seconds = benchmark.stats.stats.median
        want = with_torch(network.unfused(), codes[:64], torch.float32)
        np.testing.assert_allclose(got[:64], want, atol=1e-3 if precision == "fp32" else 0.5)
    medians[precision, side] = seconds
    if side == "tcnfast":
        sides = {name: medians[precision, name] for name in ("PyTorch", "tcnfast")}
        words = f"{WINDOWS} windows of encode-v1, both strands, {precision} "
        words += f"(PyTorch: {BATCH} of them, scaled), {torch.get_num_threads()} threads"
        record("cobind", words, sides, "PyTorch")


@pytest.fixture(scope="module")
def found():
    """Labels of random bins, a third of them in busy places that all share."""
    rng = np.random.default_rng(1)
    busy = rng.choice(BINS, 10_000, replace=False)
    bins = [
        np.unique(np.concatenate([
            rng.choice(busy, BOUND * 2 // 3, replace=False), rng.choice(BINS, BOUND // 3)
        ])).astype(np.int32)
        for _ in range(LABELS)
    ]  # fmt: skip
    first = np.concatenate([[0], np.cumsum([len(x) for x in bins])])
    gc = rng.random(BINS // 5)
    labels = [str(i) for i in range(LABELS)]
    return Occupancy(labels, first, np.concatenate(bins), np.array([0, BINS]), 5, gc)


def with_sparse(found, replicates, seed):
    """Circular shifts, counted by scipy's sparse product."""
    rng = np.random.default_rng(seed)
    total = np.zeros((LABELS, LABELS))
    for _ in range(replicates):
        turns = rng.integers(0, BINS, LABELS)
        moved = (found.bins + turns[found.label_of]) % BINS
        ones = np.ones(len(moved), np.int32)
        matrix = csr_matrix((ones, (found.label_of, moved)), (LABELS, BINS))
        total += (matrix @ matrix.T).toarray()
    return np.triu(total / replicates, 1)


@pytest.mark.parametrize("side", ["scipy sparse", "tcnfast"])
def test_shifts(benchmark, found, side):
    observed = null.shared_bins(found)
    if side == "tcnfast":
        args = found, "shift", observed, REPLICATES, 0
        counts = benchmark.pedantic(null.null_counts, args, rounds=5, warmup_rounds=1)
        mean = with_sparse(found, REPLICATES, 1)
        assert counts.mean.sum() == pytest.approx(mean.sum(), rel=0.02)
    else:
        benchmark.pedantic(with_sparse, (found, REPLICATES, 0), rounds=3, warmup_rounds=1)
    medians["shift", side] = benchmark.stats.stats.median
    if side == "tcnfast":
        sides = {name: medians["shift", name] for name in ("scipy sparse", "tcnfast")}
        words = f"{REPLICATES} circular shifts of {LABELS} labels, {len(found.bins)} bound bins"
        record("cobind", f"{words}, {torch.get_num_threads()} threads", sides, "scipy sparse")
