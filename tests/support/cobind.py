"""A model trained on planted pairs of motifs: one that must stand 8 to 12 bp apart, one of which
each motif multiplies the odds by itself, wherever the other stands.
"""

from functools import cache

import numpy as np
import torch

from tcnfast.cobind.pair_table import PairTable
from tcnfast.genome.codes import encode, reverse_complement
from tcnfast.model.tcn import TCN, TCNConfig
from tcnfast.pwm.meme import Motif

LETTERS = {"TIES": "TGACTTCG", "HELPS": "CCATTGTT", "FIRST": "GGGTTTCC", "SECOND": "ACCACAGC"}
PAIR, SUM = "PAIR@x", "SUM@x"
GAPS = (8, 12)  # of TIES and HELPS, in this order on one strand, for PAIR
LONGEST_GAP = 30
REST, EACH = -3.0, 2.5  # logits of SUM: of no motif, and what each adds
SHAPE = dict(channels=32, blocks=4, first_kernel=11)
LEARNING_RATE, STEPS, BATCH, POOL = 0.01, 400, 256, 20_000


def sharp_motif(name, letters):
    """A motif of one sequence, all but certain."""
    codes = encode(letters)
    probabilities = np.full((len(codes), 4), 0.01)
    probabilities[np.arange(len(codes)), codes] = 0.97
    return Motif(name, f"P_{name}", probabilities)


MOTIFS = [sharp_motif(name, letters) for name, letters in LETTERS.items()]


def planted_windows(rng, n, width):
    """Windows uint8 (n, width) and the probabilities of PAIR and SUM, float32 (n, 2).

    A window may hold one of the two pairs of motifs: none of them, one, the other, or both, in any
    order and orientation at any gap, and one time in four as PAIR wants its own.
    """
    windows = rng.integers(0, 4, (n, width), np.uint8)
    logits = np.tile([-4.0, REST], (n, 1))
    names = list(LETTERS)
    for row in range(n):
        pair = int(rng.integers(0, 2))
        tied, count = _plant(rng, windows[row], *names[2 * pair : 2 * pair + 2])
        if pair == 0 and tied:
            logits[row, 0] = 4.0
        if pair == 1:
            logits[row, 1] += EACH * count
        if rng.random() < 0.5:
            windows[row] = reverse_complement(windows[row])
    return windows, (1 / (1 + np.exp(-logits))).astype(np.float32)


def _plant(rng, window, first, second):
    """Plant none, one or both of two motifs; returns whether they stand as PAIR wants it, and how
    many there are."""
    kind = int(rng.integers(0, 8))  # none; one; the other; both as PAIR wants it; both anyhow
    turned, ahead = rng.random(2) < 0.5, rng.random() < 0.5
    gap = int(rng.integers(0, LONGEST_GAP + 1))
    if kind in (3, 4):
        gap, turned, ahead = int(rng.integers(GAPS[0], GAPS[1] + 1)), np.zeros(2, bool), True
    sites = [encode(LETTERS[name]) for name in (first, second)]
    sites = [reverse_complement(s) if t else s for s, t in zip(sites, turned, strict=True)]
    here = [kind == 1 or kind > 2, kind >= 2]
    straight = (ahead and not turned.any()) or (not ahead and turned.all())
    tied = all(here) and GAPS[0] <= gap <= GAPS[1] and straight
    if not ahead:
        sites, here = sites[::-1], here[::-1]
    last = len(sites[0]) + gap
    start = int(rng.integers(0, len(window) - last - len(sites[1]) + 1))
    for site, present, at in zip(sites, here, (start, start + last), strict=True):
        if present:
            window[at : at + len(site)] = site
    return tied, sum(here)


@cache
def train_planted(seed=0):
    """A TCN trained on planted windows, in seconds, once for all test files."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = TCN(TCNConfig(labels=[PAIR, SUM], **SHAPE))
    optimiser = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, STEPS)
    windows, truth = map(torch.from_numpy, planted_windows(rng, POOL, model.receptive_field))
    for _ in range(STEPS):
        batch = torch.from_numpy(rng.integers(0, POOL, BATCH))
        logits = model(windows[batch])
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, truth[batch])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return model.eval()


def random_pairs(labels, seed=0):
    """Pairs of labels, random but for a first pair of many and a second of none."""
    rng = np.random.default_rng(seed)
    first, second = np.triu_indices(len(labels), 1)
    n = len(first)
    fold = np.exp2(rng.normal(0, 1, n))
    fold[:2] = [2.0**5, 2.0**-1.5][:n]
    q = rng.random(n)
    q[:2] = 1e-9
    columns = {name: rng.random(n) for name in ("odds_ratio", "phi", "jaccard", "pmi")}
    columns |= {"both": rng.integers(0, 90, n), "shift_fold": fold, "shift_q": q}
    columns |= {"shift_z": np.log2(fold), "shift_p": q, "shift_expected": np.ones(n)}
    sites = np.full(len(labels), 99)
    return PairTable(list(labels), sites, first, second, 9_000, ("shift",), columns)
