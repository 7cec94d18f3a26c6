"""Scores, resamples and nulls: `python -m benchmarks.studies.scores`.

scores     AP, AUROC and best F1 of one label, against scikit-learn.
bootstrap  the same of resamples of blocks; scikit-learn's few are scaled.
windows    windows of co-binding one by one on both strands, against PyTorch's pruned form.
changed    windows of co-binding with some bases changed, on real sequence and one thread: pairs of
           motifs put in, and sites scrambled, by what changes and as whole windows; in seconds of
           the processor.
shifts     replicates of co-binding's null, against scipy's sparse product.

Cases are chosen by name; rows go to results/evaluate.csv and cobind.csv, unless `--dry`. Rows of
co-binding were taken with `taskset -c 0 env OMP_NUM_THREADS=1`.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from scipy.sparse import csr_matrix
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

from benchmarks.harness import GENOME, PROCESSOR, compare, parser, report
from tcnfast.cobind import InfluenceOptions, null
from tcnfast.cobind.inserted_sites import Site
from tcnfast.cobind.interaction import placements
from tcnfast.cobind.occupancy import Occupancy
from tcnfast.cobind.window_scores import BATCH, WindowScorer
from tcnfast.engines import cpu_engine
from tcnfast.evaluate.bootstrap import draw_blocks
from tcnfast.genome.genome import Genome
from tcnfast.model.load_model import load_model
from tcnfast.model.ranking import Ranking
from tcnfast.pwm.meme import DATABASE, read_meme

# as the validation part of encode-v1: 14 Mb every 32 bp
WINDOWS, BLOCKS, RATE = 437_000, 14, 0.004
RESAMPLES, BY_SCIKIT_LEARN = 1_000, 4  # which takes its time
SCORED = 4 * BATCH  # windows of co-binding
# as the peaks of chr20 and chrX: labels, bins of 200 bp, bound bins of a label
LABELS, BINS, BOUND = 112, 624_800, 1_800
REPLICATES = 25


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


def labelled() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores, truth and block of each window."""
    rng = np.random.default_rng(0)
    truth = rng.random(WINDOWS) < RATE
    score = (rng.normal(size=WINDOWS) + 2 * truth).astype(np.float32)
    return score, truth, (np.arange(WINDOWS) * BLOCKS // WINDOWS).astype(np.int32)


def ranked(args: argparse.Namespace, words: str, counts: np.ndarray) -> None:
    score, truth, block = labelled()
    few = counts[:, :BY_SCIKIT_LEARN]
    sides = {
        "scikit-learn": lambda: with_scikit_learn(score, truth, few[block]),
        "tcnfast": lambda: with_ranking(score, truth, block, counts),
    }
    scale = {"scikit-learn": counts.shape[1] / few.shape[1]}
    given, medians = compare(sides, args.rounds, scale=scale)
    np.testing.assert_allclose(given["tcnfast"][: few.shape[1]], given["scikit-learn"], rtol=1e-9)
    case = f"{words}, {WINDOWS} windows, one label"
    report("evaluate", case, medians, "scikit-learn", args.dry)


def scores(args: argparse.Namespace) -> None:
    ranked(args, "AP, AUROC and best F1", np.ones((BLOCKS, 1), np.int32))


def bootstrap(args: argparse.Namespace) -> None:
    words = f"the same, {RESAMPLES} resamples of {BLOCKS} blocks (scikit-learn: {BY_SCIKIT_LEARN} "
    ranked(args, f"{words}of them, scaled)", draw_blocks(BLOCKS, RESAMPLES, 0))


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


def windows(args: argparse.Namespace) -> None:
    network = load_model("encode-v1")
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 4, (SCORED, network.receptive_field), np.uint8)
    for precision, dtype in {"fp32": torch.float32, "bf16": torch.bfloat16}.items():
        scorer = WindowScorer(network, device="cpu", precision=precision)
        plain = network.unfused()
        sides = {
            "PyTorch": lambda dtype=dtype, plain=plain: with_torch(plain, codes[:BATCH], dtype),
            "tcnfast": lambda scorer=scorer: scorer(codes),
        }
        given, medians = compare(sides, args.rounds, scale={"PyTorch": SCORED / BATCH})
        want = with_torch(plain, codes[:64], torch.float32)
        tolerance = 1e-3 if precision == "fp32" else 0.5
        np.testing.assert_allclose(given["tcnfast"][:64], want, atol=tolerance)
        words = f"{SCORED} windows of encode-v1, both strands, {precision} "
        words += f"(PyTorch: {BATCH} of them, scaled), {torch.get_num_threads()} threads"
        report("cobind", words, medians, "PyTorch", args.dry)


def changed(args: argparse.Namespace) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    network = load_model("encode-v1")
    width, draws = network.receptive_field, 2 * InfluenceOptions().draws
    first, second = (Site.of(motif) for motif in read_meme(DATABASE)[:2])
    with Genome(GENOME) as genome:
        (chrom,) = genome.sizes
        starts = range(500_000, 500_000 + 8 * 50_000, 50_000)
        real = np.stack([genome.codes(chrom, start, start + width) for start in starts])
    edits = [
        [(a, first.turned(turn_a)), (b, second.turned(turn_b))]
        for (a, turn_a), (b, turn_b) in placements(first, second, 16, width)
    ]
    copies = np.broadcast_to(real, (draws, *real.shape)).copy()
    piece = copies[..., width // 2 : width // 2 + 15]
    piece[:] = np.random.default_rng(0).permuted(piece, axis=-1)
    scorers = {
        f"whole windows, {precision}": WindowScorer(network, "cpu", precision)
        for precision in ("fp32", "bf16")
        if cpu_engine.why_not(precision) is None
    }
    scorers["whole windows, fp32"]._changed = None
    scorers["what changes, fp32"] = WindowScorer(network, "cpu", "fp32")
    cases = {
        f"{len(real)} windows with {len(edits)} pairs of motifs": lambda x: x.edited(real, edits),
        f"{len(real)} windows, {draws} scrambles": lambda x: x.copies(real, copies),
    }
    for words, score in cases.items():
        sides = {name: lambda x=x, score=score: score(x) for name, x in scorers.items()}
        given, medians = compare(sides, args.rounds, PROCESSOR)
        whole, parts = given["whole windows, fp32"], given["what changes, fp32"]
        np.testing.assert_allclose(parts, whole, atol=1e-4)
        case = f"{words}, encode-v1, both strands, one thread, processor time"
        report("cobind", case, medians, "whole windows, fp32", args.dry)
    torch.set_num_threads(threads)


def random_occupancy() -> Occupancy:
    """Labels of random bins, a third of them in busy places that all share."""
    rng = np.random.default_rng(1)
    busy = rng.choice(BINS, 10_000, replace=False)
    bins = [
        np.unique(
            np.concatenate(
                [rng.choice(busy, BOUND * 2 // 3, replace=False), rng.choice(BINS, BOUND // 3)]
            )
        ).astype(np.int32)
        for _ in range(LABELS)
    ]
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


def shifts(args: argparse.Namespace) -> None:
    found = random_occupancy()
    observed = null.shared_bins(found)
    sides = {
        "scipy sparse": lambda: with_sparse(found, REPLICATES, 0),
        "tcnfast": lambda: null.null_counts(found, "shift", observed, REPLICATES, 0),
    }
    given, medians = compare(sides, args.rounds)
    mean, want = given["tcnfast"].mean.sum(), given["scipy sparse"].sum()
    assert abs(mean / want - 1) < 0.02, f"{mean} shared bins in the mean, not {want}"
    words = f"{REPLICATES} circular shifts of {LABELS} labels, {len(found.bins)} bound bins"
    case = f"{words}, {torch.get_num_threads()} threads"
    report("cobind", case, medians, "scipy sparse", args.dry)


CASES = {
    "scores": scores,
    "bootstrap": bootstrap,
    "windows": windows,
    "changed": changed,
    "shifts": shifts,
}


def main() -> None:
    flags = parser(__doc__, rounds=3)
    flags.add_argument("cases", nargs="*", default=list(CASES), metavar="CASE")
    args = flags.parse_args()
    for case in args.cases:
        CASES[case](args)


if __name__ == "__main__":
    main()
