"""The best hit of a motif that is known already, as a classifier of windows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from ..base.errors import TcnfastError
from ..genome.labels import AMBIGUOUS, BOUND, UNBOUND
from ..pwm.learned_matrices import best_sums
from ..pwm.log_odds import log_odds
from ..pwm.meme import DATABASE, Motif, MotifError
from ..pwm.motif_ap import best_motifs, motif_precisions
from ..pwm.motif_formats import read_motifs
from ..pwm.placements import MAX_WIDTH
from .baseline_network import set_rates
from .pwm_network import check_windows, composition

if TYPE_CHECKING:
    from .window_set import WindowSet


class MotifNetwork(nn.Module):
    """Codes (N, length) -> logits (N, labels): the best hit of a given motif for each label, on
    either strand, and a logistic curve fitted to it. No gradient.

    ``motif``: id or name, of all labels or a dict by label. Where none is given, or several bear
    the name, the one with the best average precision on the training windows is taken: of those
    named for the factor in front of the label's ``@``, of the whole file where none is. ``meme``: a
    MEME file, the bundled JASPAR 2024 if None. Both are read by :meth:`fit` alone: a saved model
    holds the matrices. Hits are log-odds in bits over the composition of the training windows; a
    placement with N is none, and a window that has only such scores the lowest sum of the matrix.
    """

    both_strands = False  # a hit is looked for on both

    def __init__(
        self,
        labels: list[str],
        length: int,
        mapping: str = "one-hot",
        *,
        motif: str | dict[str, str] | None = None,
        meme: str | Path | None = None,
    ) -> None:
        super().__init__()
        check_windows(length, 1, mapping)
        if isinstance(motif, dict) and sorted(motif) != sorted(labels):
            raise TcnfastError(f"motif: name one for each of {', '.join(labels)}, or one for all")
        self.labels, self.length, self.motif = list(labels), length, motif
        self.meme = DATABASE if meme is None else meme
        # as wide as any: what a file holds is not known before it is read
        self.register_buffer("log_odds", torch.zeros(len(labels), MAX_WIDTH, 4))
        self.register_buffer("widths", torch.zeros(len(labels), dtype=torch.int64))
        self.slope = nn.Parameter(torch.ones(len(labels)))
        self.bias = nn.Parameter(torch.zeros(len(labels)))

    def forward(self, codes: Tensor) -> Tensor:
        return self.slope * self.best_hits(codes) + self.bias

    def best_hits(self, codes: Tensor) -> Tensor:
        """Score in bits of the best hit: float32 (N, labels)."""
        if not self.widths.all():
            raise TcnfastError("this network has no motif yet: call fit")
        matrices = zip(self.log_odds, self.widths.tolist(), strict=True)
        best = [best_sums(codes, m[None, :width].transpose(1, 2)) for m, width in matrices]
        return torch.cat(best, 1)

    @torch.no_grad()
    def set_label_rates(self, rates: Tensor) -> None:
        set_rates(self.bias, rates)

    @torch.no_grad()
    def fit(
        self, train: WindowSet, valid: WindowSet, config: object = None, work: object = None
    ) -> None:
        """Choose the motifs, and fit the curve of each label to the training windows; ``valid``,
        ``config`` and ``work`` are not looked at."""
        for index, label in enumerate(self.labels):
            if not {UNBOUND, BOUND} <= set(np.unique(train.labels[:, index])):
                raise TcnfastError(f"{train.name}: label {label} needs bound and unbound windows")
        background = composition(train.codes)
        for index, motif in enumerate(self._choose(train, background)):
            matrix = torch.from_numpy(log_odds(motif, background))
            self.log_odds[index] = 0
            self.log_odds[index, : len(matrix)] = matrix
            self.widths[index] = len(matrix)
        hits = self.best_hits(torch.from_numpy(train.codes).to(self.widths.device)).cpu().numpy()
        for index in range(len(self.labels)):
            known = train.labels[:, index] != AMBIGUOUS
            bound = train.labels[known, index] == BOUND
            self.slope[index], self.bias[index] = _logistic_curve(hits[known, index], bound)

    def _choose(self, train: WindowSet, background: np.ndarray) -> list[Motif]:
        """The motif of each label."""
        motifs = read_motifs(self.meme)
        candidates = np.stack([self._candidates(motifs, label) for label in self.labels], 1)
        some = np.flatnonzero(candidates.any(1))
        motifs, candidates = [motifs[i] for i in some], candidates[some]
        windows = train.codes.ravel(), np.arange(len(train)) * train.length
        found = motif_precisions(motifs, [windows], train.labels, train.length, background)
        return [motifs[index] for index in best_motifs(found, candidates)]

    def _candidates(self, motifs: list[Motif], label: str) -> np.ndarray:
        """Which motifs may be taken for a label: bool (motifs,)."""
        name = self.motif[label] if isinstance(self.motif, dict) else self.motif
        named = [m.is_named(name or label.partition("@")[0]) or m.id == name for m in motifs]
        if name and not any(named):
            raise MotifError(f"{self.meme}: has no motif of the id or name {name!r}")
        fits = [len(motif.probabilities) <= self.length for motif in motifs]
        found = np.array(named if any(named) else [True] * len(motifs)) & fits
        if not found.any():
            raise TcnfastError(
                f"no motif for {label} fits into windows of {self.length} bp: take longer ones"
            )
        return found


def _logistic_curve(hits: np.ndarray, bound: np.ndarray) -> tuple[float, float]:
    """Slope and bias of a logistic regression of bool (n,) on scores (n,)."""
    from sklearn.linear_model import LogisticRegression

    mean, spread = float(hits.mean()), float(hits.std()) or 1.0
    # hardly regularised; some, so that hits that separate the windows have a curve too
    fitted = LogisticRegression(C=1e3).fit(((hits - mean) / spread)[:, None], bound)
    slope = float(fitted.coef_[0, 0]) / spread
    return slope, float(fitted.intercept_[0]) - slope * mean
