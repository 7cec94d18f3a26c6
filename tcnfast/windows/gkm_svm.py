"""Gapped k-mer SVM (Ghandi et al. 2014; LS-GKM, Lee 2016): one support vector machine per label.

It scores without support vectors: each label has a weight for every l-mer, and a window's score is
their sum.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from ..base.errors import TcnfastError
from ..base.jit import jit
from ..genome.labels import AMBIGUOUS, BOUND
from .baseline_network import set_rates
from .gkm_gram import gram, self_similarity
from .gkm_kernel import GkmKernel, lmers, strand_lmers

if TYPE_CHECKING:
    from .window_config import WindowConfig
    from .window_set import WindowSet

log = logging.getLogger(__name__)


class GkmSVM(nn.Module):
    """Codes (N, length) -> logits (N, labels), by the processor (numba) whatever the device.

    ``kernel``: settings of GkmKernel. ``C``: cost of a training window on the wrong side.
    ``max_windows``: training takes as many at most, drawn at random; the kernel matrix takes 8
    bytes a pair, and as many again for a label with ambiguous windows: 2.4 GB in all for 10,000.

    An SVM is not trained by gradient: ``fit`` does it. Of the support vectors nothing is kept but
    ``table``, the weight of every l-mer. A window without an l-mer (all hold N) scores the
    intercept. Logits are Platt-scaled on the validation windows.
    """

    both_strands = False  # the kernel reads both

    def __init__(
        self,
        labels: list[str],
        length: int,
        mapping: str = "one-hot",
        *,
        C: float = 1.0,
        max_windows: int = 10_000,
        **kernel,
    ) -> None:
        super().__init__()
        if mapping != "one-hot":
            raise TcnfastError(f"gkm-svm reads letters: mapping {mapping!r} must be one-hot")
        if not C > 0 or max_windows < 2:
            raise TcnfastError(f"gkm-svm: C {C} must be above 0, max_windows {max_windows} above 1")
        self.labels, self.length = list(labels), length
        self.kernel = GkmKernel(**kernel)
        self.kernel.position_weights(length)  # raises where windows are too short
        self.C, self.max_windows = C, max_windows
        # logit = slope * (sum of the window's l-mers / norm) + bias
        shapes = {
            "table": (len(labels), 4**self.kernel.l),
            "slope": (len(labels),),
            "bias": (len(labels),),
        }
        for name, shape in shapes.items():
            start = torch.ones(shape) if name == "slope" else torch.zeros(shape)
            setattr(self, name, nn.Parameter(start, requires_grad=False))

    @torch.no_grad()
    def set_label_rates(self, rates: Tensor) -> None:
        set_rates(self.bias, rates)

    def forward(self, codes: Tensor) -> Tensor:
        scores = self.contributions(codes.cpu().numpy()).sum(2, dtype=np.float64)
        return self.slope * torch.from_numpy(scores).to(self.bias) + self.bias

    def contributions(self, codes: np.ndarray) -> np.ndarray:
        """What the l-mer at each start adds to the score of the SVM, before Platt scaling and
        without the intercept: uint8 codes (N, length) -> float32 (N, labels, length - l + 1)."""
        if codes.shape[-1] != self.length:
            raise TcnfastError(f"this gkm-svm scores {self.length} bases, not {codes.shape[-1]}")
        return contributions(codes, self.table.detach().cpu().numpy(), self.kernel)

    @torch.no_grad()
    def fit(
        self, train: WindowSet, valid: WindowSet, config: WindowConfig, work: object = None
    ) -> None:
        """Train on ``train``, then scale the scores on ``valid``. Of ``config`` only the seed is
        used, and nothing is kept in ``work``. Raises TcnfastError where a label has one class
        only, or no window has an l-mer."""
        from ..model.calibrate import fit_scaling

        train = self._usable(train, config.seed)
        log.info("gkm-svm: kernel of %d windows", len(train))
        similar = gram(train.codes, self.kernel)
        for index, label in enumerate(self.labels):
            self._fit_label(index, train, similar)
            log.info("gkm-svm: %s trained", label)
        self.slope.fill_(1)
        raw = self._scores(valid.codes)
        slope, shift = (torch.from_numpy(x).to(self.bias) for x in fit_scaling(raw, valid.labels))
        self.slope.copy_(slope)
        self.bias.mul_(slope).add_(shift)

    def _scores(self, codes: np.ndarray, batch: int = 1024) -> np.ndarray:
        """float32 (N, labels)."""
        parts = [self(torch.from_numpy(codes[i : i + batch])) for i in range(0, len(codes), batch)]
        return torch.cat([self.bias.new_zeros(0, len(self.labels)), *parts]).cpu().numpy()

    def _usable(self, train: WindowSet, seed: int) -> WindowSet:
        some = (lmers(train.codes, self.kernel.l) >= 0).any(1)
        if not some.any():
            words = f"no training window has {self.kernel.l} bases without N between them"
            raise TcnfastError(f"{train.name}: {words}")
        if not some.all():
            log.info("gkm-svm: %d training windows of N left out", (~some).sum())
        index = np.flatnonzero(some)
        if len(index) > self.max_windows:
            words = "gkm-svm: %d of %d training windows, drawn at random (max_windows)"
            log.info(words, self.max_windows, len(index))
            rng = np.random.default_rng(seed)
            index = np.sort(rng.choice(index, self.max_windows, replace=False))
        return train.take(index)

    def _fit_label(self, index: int, train: WindowSet, similar: np.ndarray) -> None:
        from sklearn.svm import SVC

        label = train.labels[:, index]
        known = np.flatnonzero(label != AMBIGUOUS)
        bound = label[known] == BOUND
        for wanted, word in ((bound.any(), "bound"), (not bound.all(), "unbound")):
            if not wanted:
                words = f"has no {word} window among {len(known)} for training"
                raise TcnfastError(f"{train.name}: label {self.labels[index]} {words}")
        if len(known) < len(label):
            similar = similar[np.ix_(known, known)]
        machine = SVC(C=self.C, kernel="precomputed").fit(similar, bound)
        if machine.fit_status_:
            raise TcnfastError(f"gkm-svm: no solution found for label {self.labels[index]}")
        support = train.codes[known[machine.support_]]
        table = lmer_table(support, machine.dual_coef_[0], self.kernel)
        self.table[index] = torch.from_numpy(table).to(self.table)
        self.bias[index] = float(machine.intercept_[0])


def lmer_table(codes: np.ndarray, alphas: np.ndarray, kernel: GkmKernel) -> np.ndarray:
    """float32 (4^l,): sum over windows x and their l-mers v of alpha(x) weight(v) h(m(u, v)) /
    sqrt(K(x, x)), for every l-mer u.

    ``codes`` uint8 (n, L), ``alphas`` float64 (n,): the support vectors and their signed weights.
    """
    words, weights = lmers(codes, kernel.l), kernel.position_weights(codes.shape[1])
    scale = alphas / _norms(words, weights, kernel)
    words = strand_lmers(codes, kernel.l)
    adds = np.broadcast_to((scale[:, None] * weights)[..., None], words.shape)
    counts = np.bincount(words[words >= 0], adds[words >= 0], 4**kernel.l)
    return _spread(counts, kernel).astype(np.float32)


def _norms(words: np.ndarray, weights: np.ndarray, kernel: GkmKernel) -> np.ndarray:
    """Roots of K(x, x), float64 (n,); 1 where a window has no l-mer."""
    norms = np.sqrt(self_similarity(words, weights, kernel))
    return np.where(norms > 0, norms, 1.0)


def _spread(counts: np.ndarray, kernel: GkmKernel) -> np.ndarray:
    """sum_v counts(v) h(m(u, v)) for every u, float64 (4^l,).

    Mismatches are counted letter by letter: with parts[m] the sums over v that differ from u in m
    of the letters seen so far, one more letter either agrees (parts[m] stays) or is one of three
    others (from parts[m - 1]).
    """
    parts = np.zeros((kernel.d + 1, counts.size))
    parts[0] = counts
    for letter in range(kernel.l):
        _add_letter(parts, 4**letter)
    return kernel.mismatch_weights() @ parts


@jit
def _add_letter(parts, step):
    for m in range(parts.shape[0] - 1, 0, -1):
        here, below = parts[m], parts[m - 1]
        for start in range(0, here.size, 4 * step):
            for i in range(start, start + step):
                total = below[i] + below[i + step] + below[i + 2 * step] + below[i + 3 * step]
                for j in range(i, i + 4 * step, step):
                    here[j] += total - below[j]


def contributions(codes: np.ndarray, tables: np.ndarray, kernel: GkmKernel) -> np.ndarray:
    """What the l-mer at each start adds to the score: uint8 codes (n, L) and float32 tables
    (labels, 4^l) -> float32 (n, labels, L - l + 1); 0 where it holds N."""
    words, weights = lmers(codes, kernel.l), kernel.position_weights(codes.shape[1])
    scale = weights / _norms(words, weights, kernel)[:, None]
    out = np.empty((len(words), len(tables), words.shape[1]), np.float32)
    _look_up(words, scale, tables, out)
    return out


@jit
def _look_up(words, scale, tables, out):
    for i in range(words.shape[0]):
        for label in range(tables.shape[0]):
            for j in range(words.shape[1]):
                known = words[i, j] >= 0
                out[i, label, j] = tables[label, words[i, j]] * scale[i, j] if known else 0.0
